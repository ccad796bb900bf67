// Package pipeline holds the data that flows through the stages and runs them: many builds at once, the objects of each
// in parallel, under one budget of workers.
package pipeline

import (
	"errors"
	"path/filepath"
	"sort"
	"time"

	"kas/configs"
	"kas/elf"
)

// Build is one kernel on its way through the stages. Inside Each a function writes only to its own Object; outside, a
// stage has the whole Build to itself.
type Build struct {
	Config  configs.Build
	Dir     string // where its output goes: OUT/BUILD
	Objects []Object

	// Set by scan.
	Arch      string // as the objects say
	Toolchain string // gcc, llvm or "" if neither the configuration nor the objects tell
	LTO       string // none, thin, full, or "" likewise
	Release   string // kernel release, "" if no object tells
	BuildID   string // of vmlinux, in hexadecimal

	// Set by dedupe: every name and who carries it, in the order of the names.
	Names Names

	// Set by normalize: the duplicates, in the order of their base names.
	Groups []Group

	Stats   Stats
	Timings []Timing

	// Own says of which modules copies are made; the others count, and what lies beside them is not touched. Bears says
	// whether a copy is to bear the alias of a symbol. nil is yes to all. Also is for what goes into a module later: where
	// it is not "", there is a copy, and it is made anew when this changes.
	Own   func(*Object) bool
	Bears func(*Object, *Duplicate) bool
	Also  func(*Object) string

	// Of modules that are built after their kernel. Taken says of a name whether a symbol or an alias that is none of the
	// build's has it; nil is no to all. Roots are source roots beside those that the objects tell.
	Taken func(name string) bool
	Roots []string

	// Skipped says that the last run had made everything; the stages after scan did nothing.
	Skipped bool

	run    *run
	last   *state   // what the last run left, nil if nothing can be used
	tables []string // paths of the files that were written of the build as a whole
}

// Object is an ELF file of a build. The symbols are its own copies; nothing in it refers to the mapped file.
type Object struct {
	Name    string // "vmlinux", or the module's path below its root
	Path    string
	Vmlinux bool

	// Set by scan.
	Identity  elf.Identity
	Size      int64
	Arch      string
	Release   string
	BuildID   string // of vmlinux
	Toolchain string
	Headers   uint64 // offset of the section headers
	Sections  []Section
	Symbols   []Symbol // what kallsyms would show, in table order
	Files     []string // names of STT_FILE symbols, which Symbols refer to; the first is "", for none
	NoDebug   bool     // the object has no debugging information

	// Set by normalize and resolve: this object's members of Groups, in table order.
	Duplicates []Duplicate

	// Set by emit.
	Emitted int64 // bytes written

	failed bool      // an error was reported; what could be read of it is kept
	opened time.Time // before scan read it

	// For the next run: see state.go.
	product product
	remark  remark
}

// Open opens the object again after scan. One that was changed or replaced meanwhile is refused: what is remembered of
// its symbols is of the file that was.
func (o *Object) Open() (*elf.File, error) { return o.reopen(elf.Open) }

// OpenTables is likewise, for who needs the headers and a few sections alone.
func (o *Object) OpenTables() (*elf.File, error) { return o.reopen(elf.OpenTables) }

func (o *Object) reopen(open func(string) (*elf.File, error)) (*elf.File, error) {
	f, err := open(o.Path)
	if err != nil {
		return nil, err
	}
	if f.Identity() != o.Identity {
		f.Close()
		return nil, errors.New("the file changed during the run")
	}
	return f, nil
}

// ScanTables opens the object for scan and remembers its state.
func (o *Object) ScanTables() (*elf.File, error) {
	o.opened = time.Now()
	f, err := elf.OpenTables(o.Path)
	if err == nil {
		o.Identity = f.Identity()
	}
	return f, err
}

// Readable says whether scan could read the object's symbols.
func (o *Object) Readable() bool { return o.Sections != nil }

// Failed says whether an error of this object was reported.
func (o *Object) Failed() bool { return o.failed }

// Section is what is remembered of a section header.
type Section struct {
	Name      string
	Code      bool // holds instructions
	Discarded bool // of a module: freed after, or never loaded (.init*, .exit*)
}

// Symbol is an entry of an object's symbol table that kallsyms would show.
type Symbol struct {
	Name    string
	Value   uint64 // as nm prints it: an address in vmlinux, an offset in its section in a module
	Size    uint64
	ID      elf.SymID
	Section uint32
	File    int32 // index into the object's Files: the STT_FILE symbol that a local symbol stands under

	// Set by normalize: index into the object's Duplicates, and one more; 0 if it is none.
	Duplicate int32

	Letter byte // nm's
	Local  bool // its binding
}

// Ref names a symbol of a build: indices into Objects and its Symbols.
type Ref struct{ Object, Symbol int32 }

// Compare orders by objects and tables.
func (r Ref) Compare(o Ref) int {
	if r.Object != o.Object {
		return int(r.Object) - int(o.Object)
	}
	return int(r.Symbol) - int(o.Symbol)
}

// Names is every name of a build with the symbols that carry it: by the bytes of the names, then in the order of objects
// and tables.
type Names struct {
	Refs []Ref
	Ends []int32 // of each name, where its Refs end
}

// Len is the number of names.
func (n *Names) Len() int { return len(n.Ends) }

// At returns the symbols that carry name i, one or more. The slice is the Names'.
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

// Find returns the symbols that carry a name, nil if none does.
func (b *Build) Find(name string) []Ref {
	i := sort.Search(b.Names.Len(), func(i int) bool { return b.Name(i) >= name })
	if i < b.Names.Len() && b.Name(i) == name {
		return b.Names.At(i)
	}
	return nil
}

// Group is a base name and all symbols of the build that carry it, in the order of objects and tables.
type Group struct {
	Base    string
	Members []Ref
}

// Duplicate is a symbol that shares its base name, or is to get an alias for another reason of the configuration.
type Duplicate struct {
	Symbol   int32  // index into the object's Symbols
	Group    int32  // index into the build's Groups
	Suffix   string // what its suffix means, "" if it has none
	Reason   string // why it gets no alias, "" if it gets one
	Alias    string
	Has      string // the alias that an earlier run gave it: its object bears that already
	Location Location

	Plain     bool // alone with its base name: the alias is that name, without the suffix of link-time optimization
	Ordinal   bool // the alias needed a number to be unique
	Shortened bool // the alias was cut to the kernel's limit
}

// Location is where the source declares a symbol; paths are relative to the source root.
type Location struct {
	File   string
	Line   int64 // the line of the alias, 0 if it is unknown
	Unit   string
	Source string // what told the location
}

// Stats counts what a run did to a build. Nothing in it depends on time, host or the number of workers.
type Stats struct {
	Objects    int            `json:"objects"`
	Modules    int            `json:"modules"`
	Unreadable int            `json:"unreadable"`
	Failed     int            `json:"failed"`
	BytesIn    int64          `json:"bytes_in"`
	Symbols    int            `json:"symbols"`
	Names      int            `json:"names"`
	Repeated   int            `json:"repeated_names"` // exact names that several symbols carry
	Groups     int            `json:"groups"`         // base names likewise
	Duplicates int            `json:"duplicates"`     // symbols in groups
	Aliases    int            `json:"aliases"`
	InVmlinux  int            `json:"aliases_vmlinux"`
	InModules  int            `json:"aliases_modules"`
	ByUnit     int            `json:"aliases_with_unit"` // declared in a header or an included C file
	ByOrdinal  int            `json:"aliases_with_ordinal"`
	Shortened  int            `json:"aliases_shortened"`
	SuffixFree int            `json:"aliases_suffix_free"`
	Renamed    int            `json:"suffixes_cut"`
	Unaliased  map[string]int `json:"unaliased,omitempty"` // by reason
	Emitted    int            `json:"modules_emitted"`
	BytesOut   int64          `json:"bytes_emitted"`
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
