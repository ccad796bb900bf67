// Package pipeline runs the stages on builds: many builds at once, the objects of each in parallel,
// under one budget of workers. It defines the data that the stages read and write, and how files
// are written whole or not at all.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"kas/configs"
	"kas/elf"
)

// Build is one kernel of a run. Inside Each a function writes only to its own Object; outside Each
// a stage has the whole Build to itself.
type Build struct {
	Config  configs.Build
	Dir     string // output folder
	Scope   Scope
	Objects []Object // vmlinux first, if there is one

	// Set by scan.
	Arch      string
	Toolchain string // gcc or llvm, "" if neither the configuration nor the objects say
	LTO       string // none, thin or full, "" if not known
	Release   string // kernel release, "" if not known
	BuildID   string // of vmlinux, in hexadecimal
	Inputs    Inputs // what the build is made from; of the last run if Skipped

	// Set by dedupe.
	Names Names

	// Set by normalize: the duplicates, sorted by base name.
	Groups []Group

	Stats   Stats
	Timings []Timing // of the stages that ran, in order

	// Skipped is set by Unchanged: the output is up to date, and the stages after scan do not run.
	Skipped bool

	run      *run
	last     *state   // state that the last run left, nil if there is none to use
	tables   []string // paths of the files written by WriteTable and WriteLines
	files    Files    // what the build writes
	recorded bool     // the build's folder has a record
	record   *Record  // set by Claim
}

// Object is an ELF file of a build. Its strings are copies; nothing refers to the mapped file.
type Object struct {
	Name    string // "vmlinux", or the module's path below its root
	Path    string
	Vmlinux bool
	Absent  bool // there was no file when the configuration was loaded

	// Set by scan.
	Identity  elf.Identity
	Size      int64 // of the file, in bytes
	Arch      string
	Release   string
	BuildID   string
	Module    string // the kernel's name of the module, "" for vmlinux
	LeftOut   bool   // another object is the same module: see Stats.LeftOut
	Toolchain string
	Headers   uint64 // file offset of the section headers
	Sections  []Section
	Symbols   []Symbol // symbols that kallsyms would show, in table order
	Files     []string // names of STT_FILE symbols, for Symbol.File; the first is "", for none
	NoDebug   bool     // neither the object nor a file beside it has debugging information
	Debug     Separate // where the debugging information is, if it is not in the object
	Signed    bool     // the kernel's build signed the file

	// Set by normalize, completed by resolve: this object's members of Groups, in table order.
	Duplicates []Duplicate

	// Set by emit.
	Emitted int64 // bytes written

	failed bool      // an error of this object was reported
	fresh  bool      // product was made in this run, and is not settled yet
	opened time.Time // when scan opened it

	content string // see content.go

	// Saved for the next run: see state.go.
	product product
	note
}

// Open opens the object again after scan. It returns an error if the file was changed or replaced
// since then, because the symbols that scan read would not be those of the file.
func (o *Object) Open() (*elf.File, error) { return o.reopen(elf.Open) }

// OpenTables is Open for callers that need only the headers and a few sections.
func (o *Object) OpenTables() (*elf.File, error) { return o.reopen(elf.OpenTables) }

func (o *Object) reopen(open func(string) (*elf.File, error)) (*elf.File, error) {
	return reopen(open, o.Path, o.Identity)
}

// OpenDebug opens the file that has the object's debugging information: the object itself, or
// Debug.
func (o *Object) OpenDebug() (*elf.File, error) {
	if o.Debug.Path == "" {
		return o.Open()
	}
	f, err := reopen(elf.Open, o.Debug.Path, o.Debug.Identity)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Debug.Path, err)
	}
	return f, nil
}

func reopen(
	open func(string) (*elf.File, error), path string, id elf.Identity,
) (*elf.File, error) {
	f, err := open(path)
	if err != nil {
		return nil, changed(err)
	}
	if f.Identity() != id {
		f.Close()
		return nil, ErrChanged
	}
	return f, nil
}

// ErrChanged is in the error of an input that was there when the run began, and is gone or another.
var ErrChanged = errors.New("the file changed during the run")

// changed returns the error of opening a file that was there before.
func changed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}

// Separate is the file with the debugging information of a stripped object.
type Separate struct {
	Path     string // "" if the object has its own, or if no file was found
	Identity elf.Identity

	// Refused says why a file in the place of such a file is not used, or why Scope.FindDebug found
	// none; else it is nil.
	Refused error
}

// ScanTables opens an object for scan and sets its Identity.
func (b *Build) ScanTables(o *Object) (*elf.File, error) {
	o.opened = time.Now()
	f, err := elf.OpenTables(o.Path)
	switch {
	case err == nil:
		o.Identity = f.Identity()
		o.content = b.contentOf(o, f)
	case !o.Absent:
		err = changed(err)
	}
	return f, err
}

// Readable reports whether scan read the object's symbols and the run uses them.
func (o *Object) Readable() bool { return o.Sections != nil }

// Failed reports whether an error of this object was reported.
func (o *Object) Failed() bool { return o.failed }

// Section is what scan keeps of a section header.
type Section struct {
	Name      string
	Alloc     bool // occupies memory in the running kernel
	Discarded bool // of a module: never loaded, or freed after its init function ran
}

// Symbol is an entry of an object's symbol table that kallsyms would show.
type Symbol struct {
	Name    string
	Value   uint64 // as nm prints it: an address in vmlinux, an offset in its section in a module
	Size    uint64
	ID      elf.SymID
	Section uint32
	File    int32 // index into the object's Files: the file symbol before this local symbol

	// Set by normalize: index into the object's Duplicates plus 1; 0 if the symbol is not a
	// duplicate.
	Duplicate int32

	Letter byte // type, as nm prints it
	Local  bool // has local binding
	Code   bool // is code: see docs/symbols.md
}

// Ref names a symbol of a build: indices into Objects and into the object's Symbols.
type Ref struct{ Object, Symbol int32 }

// Compare orders refs by object, then by symbol.
func (r Ref) Compare(o Ref) int {
	if r.Object != o.Object {
		return int(r.Object) - int(o.Object)
	}
	return int(r.Symbol) - int(o.Symbol)
}

// CompareNames compares two names in the order of lines that begin with the name and a tab. That is
// the order of their bytes, except that a byte below the tab comes before the end of a name.
func CompareNames(a, b string) int {
	n := min(len(a), len(b))
	switch {
	case len(a) > n && a[:n] == b && a[n] < '\t':
		return -1
	case len(b) > n && b[:n] == a && b[n] < '\t':
		return 1
	}
	return strings.Compare(a, b)
}

// Names lists all symbols of a build by name. Names are sorted by CompareNames, the symbols of a
// name by Ref.
type Names struct {
	Refs []Ref
	Ends []int32 // for each name the end of its range in Refs
}

// Len returns the number of names.
func (n *Names) Len() int { return len(n.Ends) }

// At returns the symbols that have the i-th name, at least one. The caller must not modify the
// slice.
func (n *Names) At(i int) []Ref {
	start := int32(0)
	if i > 0 {
		start = n.Ends[i-1]
	}
	return n.Refs[start:n.Ends[i]:n.Ends[i]]
}

// Name returns the i-th name of the build.
func (b *Build) Name(i int) string {
	_, s := b.Ref(b.Names.At(i)[0])
	return s.Name
}

// Find returns the symbols that have a name, nil if there are none.
func (b *Build) Find(name string) []Ref {
	i := sort.Search(b.Names.Len(), func(i int) bool { return CompareNames(b.Name(i), name) >= 0 })
	if i < b.Names.Len() && b.Name(i) == name {
		return b.Names.At(i)
	}
	return nil
}

// Group is a base name and all symbols of the build that have it, sorted by Ref.
type Group struct {
	Base    string
	Members []Ref
}

// Duplicate is a symbol that shares its base name, or that gets an alias for another reason of the
// configuration.
type Duplicate struct {
	Symbol   int32  // index into the object's Symbols
	Group    int32  // index into the build's Groups
	Suffix   string // meaning of the name's suffix, "" if it has none
	Reason   string // why the symbol gets no alias, "" if it gets one
	Alias    string
	Has      string // the alias from an earlier run that the object already has for this symbol
	Location Location

	SuffixFree bool // the only symbol with its base name: its alias is the base name
	Ordinal    bool // the alias has an ordinal, to be unique
	Shortened  bool // the alias was shortened to the kernel's limit
}

// Location is where the source declares a symbol. Paths are relative to the source root.
type Location struct {
	File   string
	Line   int64 // line that the alias shows, 0 if not known
	Unit   string
	Method string // how the location was found
}

// Scope says which part of a kernel a build covers. The zero value is a whole kernel: every module
// is copied, each copy has all aliases of its module, and no other object uses a name. It is for
// modules that are linked after the run, by kbuild or against a kernel that was built before.
type Scope struct {
	// Own reports whether a copy of the module is written. The other modules only make names
	// ambiguous; their copies of earlier runs stay. nil means all.
	Own func(*Object) bool

	// Carry reports whether the copy of the object has the alias of the duplicate. nil means all.
	Carry func(*Object, *Duplicate) bool

	// Copy returns the path of the copy beside the object at path. nil means X.ko.kas.
	Copy func(path string) string

	// Later returns a key of what is added to the copy after the run. If it is not "", the module
	// gets a copy even without aliases, and a new one when the key changes. nil means "".
	Later func(*Object) string

	// Taken reports whether a symbol or an alias of the kernel that is not in the build has the
	// name. nil means none.
	Taken func(name string) bool

	// Roots are source roots in addition to those found in the objects.
	Roots []string

	// FindDebug returns the file with the debugging information of an object that has none and no
	// debug file on this machine. It is called only for objects that own a duplicate, for several
	// at the same time. nil means that there is nowhere to look.
	FindDebug func(context.Context, *Object) (path string, err error)

	// Release is that of objects that do not have it: vmlinux without the bytes of its sections.
	Release string

	// Absent are the names of objects that the kernel has and this machine has not.
	Absent []string
}

// Owns reports whether a copy of the module is written if it has aliases.
func (s *Scope) Owns(o *Object) bool { return s.Own == nil || s.Own(o) }

// Carries reports whether the object's copy has the alias of the duplicate. Without an alias it is
// false.
func (s *Scope) Carries(o *Object, d *Duplicate) bool {
	return d.Alias != "" && (s.Carry == nil || s.Carry(o, d))
}

// CopyOf returns the path of the copy beside the object at path.
func (s *Scope) CopyOf(path string) string {
	if s.Copy == nil {
		return elf.Uncompressed(path) + ".kas"
	}
	return s.Copy(path)
}

// LaterKey returns a key of what is added to the object's copy after the run, "" if nothing is.
func (s *Scope) LaterKey(o *Object) string {
	if s.Later == nil {
		return ""
	}
	return s.Later(o)
}

// Takes reports whether a symbol or an alias outside the build has the name.
func (s *Scope) Takes(name string) bool { return s.Taken != nil && s.Taken(name) }

// LeftOut is a module that a run leaves out, because another object is a module of the same name.
// The kernel loads only one of them.
type LeftOut struct {
	Object string `json:"object"`
	Module string `json:"module"`
	Counts string `json:"counts"` // the object that the run uses
}

func (l *LeftOut) String() string {
	return elf.Escape(fmt.Sprintf(
		"%s and %s are both module %s: %[2]s counts, the other is left out",
		l.Object, l.Counts, l.Module))
}

// Missing returns the names of the objects whose symbols are unknown.
func (b *Build) Missing() []string {
	names := slices.Clone(b.Scope.Absent)
	for i := range b.Objects {
		if o := &b.Objects[i]; !o.Readable() && !o.LeftOut {
			names = append(names, o.Name)
		}
	}
	return names
}

// Stats counts what a run did to a build. Nothing in it depends on time, host or the number of
// workers.
type Stats struct {
	Objects    int            `json:"objects"`
	Modules    int            `json:"modules"`
	Unreadable int            `json:"unreadable"`
	Failed     int            `json:"failed"`
	BytesIn    int64          `json:"bytes_in"`
	Symbols    int            `json:"symbols"`
	Names      int            `json:"names"`
	Repeated   int            `json:"repeated_names"` // exact names that several symbols have
	Groups     int            `json:"groups"`         // base names of duplicates
	Duplicates int            `json:"duplicates"`     // symbols in groups
	Aliases    int            `json:"aliases"`
	InVmlinux  int            `json:"aliases_vmlinux"`
	InModules  int            `json:"aliases_modules"`
	ByUnit     int            `json:"aliases_with_unit"` // of headers and included C files
	ByOrdinal  int            `json:"aliases_with_ordinal"`
	Shortened  int            `json:"aliases_shortened"`
	SuffixFree int            `json:"aliases_suffix_free"`
	Renamed    int            `json:"suffixes_cut"`
	Unaliased  map[string]int `json:"unaliased,omitempty"` // by reason
	Emitted    int            `json:"modules_emitted"`
	BytesOut   int64          `json:"bytes_emitted"`
	Signed     int            `json:"signed_modules_emitted,omitempty"` // without their signature
	NoDebug    int            `json:"objects_without_debug,omitempty"`
	LeftOut    []LeftOut      `json:"modules_left_out,omitempty"`
}

// Ref returns the object and the symbol that r names.
func (b *Build) Ref(r Ref) (*Object, *Symbol) {
	o := &b.Objects[r.Object]
	return o, &o.Symbols[r.Symbol]
}

// Path returns the path of an output file of the build.
func (b *Build) Path(name string) string { return filepath.Join(b.Dir, name) }

// Vmlinux returns the build's vmlinux, nil if it has none.
func (b *Build) Vmlinux() *Object {
	if len(b.Objects) > 0 && b.Objects[0].Vmlinux {
		return &b.Objects[0]
	}
	return nil
}

// Every returns pointers to the objects for which keep returns true, in order.
func (b *Build) Every(keep func(*Object) bool) []*Object {
	var all []*Object
	for i := range b.Objects {
		if keep(&b.Objects[i]) {
			all = append(all, &b.Objects[i])
		}
	}
	return all
}
