// Package verify reads the inputs and the output of a run, and works out again what the run must
// have written: every byte of the copies, the tables, the registry and the counts. docs/outputs.md
// lists what is proved, and what only the debugging information can say. The package shares no code
// with what wrote the files, so that a mistake there cannot hide here, and imports no other package
// of kas.
package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"
)

// Target is one build and its outputs.
type Target struct {
	Build     string // name, for messages
	Dir       string // the build's output folder, OUT/BUILD
	Vmlinux   string // path of the input; "" if the build has none
	Modules   []Module
	Separator string // between name and location in an alias
	Line      string // opening, declaration or none; with none, an alias may lack its line
	Beside    bool   // rewritten modules are beside their inputs, not below Dir

	Config Config

	// Effective is the build's part of the effective configuration.
	Effective string

	// Stats is the entry of the build in stats.json; nil if there is none to check.
	Stats *BuildStats

	// Unreadable names the objects that the run reported as unreadable. They must not occur in the
	// outputs. All others must be readable.
	Unreadable []string

	// LeftOut are modules that must not occur in the outputs either.
	LeftOut []LeftOut

	// AllowIncomplete accepts unreadable objects. Otherwise they are a problem, since symbols of
	// other objects may share names with theirs.
	AllowIncomplete bool
}

// Config is what else the configuration says about a build, with the values that docs/configuration
// has. Empty values of the first three mean that the objects say it.
type Config struct {
	Arch, Toolchain, LTO string
	Symbols              string   // text, data or all
	NamesAll             bool     // all names get an alias
	Names                []string // globs of the names that do, nil for duplicates only
	MaxLength            int      // of an alias, 0 for the limit of the release
	Never                []string // regular expressions of names without an alias
	NeverReplaces        bool     // Never replaces the built-in list
	SuffixFree           bool
	Link                 bool // modules without aliases are linked to
	NotResolved          bool // the run left out the stage resolve
}

// Module is an input module: its name in the outputs and its path.
type Module struct {
	Name string // path below the module root, with .xz, .zst or .gz
	Path string
}

// Problem is one failed check. Object is "" for a table of the build.
type Problem struct {
	Build, Object string
	Msg           string
}

func (p Problem) String() string {
	if p.Object == "" {
		return p.Build + ": " + p.Msg
	}
	return p.Build + ": " + p.Object + ": " + p.Msg
}

// Summary counts what was checked.
type Summary struct {
	Objects     int64 // inputs read
	Unreadable  int64 // inputs that could not be read, and were skipped
	LeftOut     int64 // inputs that are the same module as another one, and were skipped
	Aliases     int64
	Unaliased   int64
	Visible     int64 // symbols that kallsyms shows
	Rewritten   int64 // rewritten modules compared with their originals
	Symbols     int64 // original symbols in them
	Sections    int64
	Relocations int64
	Bytes       int64 // of section content
}

// most is the largest number of problems that an object reports one by one.
const most = 20

type problems struct {
	list []string
	more int
}

func (p *problems) add(format string, args ...any) {
	if len(p.list) == most {
		p.more++
		return
	}
	p.list = append(p.list, fmt.Sprintf(format, args...))
}

// object is an input and what the checks of several objects need of it.
type object struct {
	name, path string
	emitted    string  // path of its rewritten form; "" for vmlinux
	aliases    []int32 // indices of its rows in aliases.tsv
	unaliased  []int32 // and in unaliased.tsv
	visible    []visibleSymbol
	sections   []string // their names, indexed by visibleSymbol.sec
	skipped    bool     // reported as unreadable or as left out
	leftOut    bool
	module     string // the kernel's name of the module
	known      bool   // module is the name that the kernel will use
	buildID    string
	sum        Summary
	facts
	problems
}

type visibleSymbol struct {
	name     string
	base     string // base name
	addr     uint64
	size     uint64
	sec      uint32
	file     int32 // index in files of the STT_FILE symbol that it belongs to
	row      int32 // index of its row in aliases.tsv, plus 1
	without  int32 // index of its row in unaliased.tsv, plus 1
	position int32 // among the symbols of its name in the object, from 1
	count    int32 // of the symbols of its name in the build
	letter   byte
	code     bool
	restored bool // it is the name that an earlier run restored for another symbol
}

// build is the state of one verification.
type build struct {
	Target
	problems  // of the build's tables
	objects   []object
	index     map[string]int // of objects by name
	aliases   []row
	unaliased []row
	byAlias   map[string]int
	syms      string // vmlinux.syms
	hasSyms   bool

	policy  aliasPolicy
	failed  map[string]int // the stages in which objects failed
	arch    string
	release string
	tools   toolchain
	limit   int              // on the length of an alias
	counts  map[string]int32 // of the symbols of each name
	members map[string]int32 // see group

	lacksCopies bool // a module with aliases has no copy
}

// Build verifies the outputs of one build. It calls each for its parallel loops: each(n, f) calls
// f(0) to f(n-1), concurrently and in any order, and returns when all have returned. The problems
// are sorted: those of the tables first, then by object, vmlinux before the modules. The error is
// not nil if verification itself fails, since ctx is cancelled or a folder cannot be read.
func Build(
	ctx context.Context, t Target, each func(n int, f func(i int)) error,
) (Summary, []Problem, error) {
	b := &build{Target: t, index: make(map[string]int), byAlias: make(map[string]int)}
	if _, err := os.Stat(t.Dir); err != nil {
		return Summary{}, nil, err
	}
	var err error
	if b.policy, err = newPolicy(&b.Config); err != nil {
		return Summary{}, nil, err
	}
	b.list()
	b.readErrors()
	if b.readTables() {
		if err := b.check(ctx, each); err != nil {
			return Summary{}, nil, err
		}
	}
	b.checkBuilt()
	b.checkRecord()
	if err := b.strays(); err != nil {
		return Summary{}, nil, err
	}
	sum, list := b.result()
	return sum, list, ctx.Err()
}

// list fills b.objects: vmlinux first, then the modules by name.
func (b *build) list() {
	if b.Vmlinux != "" {
		b.objects = append(b.objects,
			object{name: "vmlinux", path: b.Vmlinux, skipped: !b.hasVmlinux()})
	}
	modules := slices.Clone(b.Modules)
	slices.SortFunc(modules, func(x, y Module) int { return strings.Compare(x.Name, y.Name) })
	for _, m := range modules {
		emitted := filepath.Join(b.Dir, "modules", filepath.FromSlash(uncompressed(m.Name))+".kas")
		if b.Beside {
			emitted = uncompressed(m.Path) + ".kas"
		}
		b.objects = append(b.objects, object{
			name: m.Name, path: m.Path, emitted: emitted,
			skipped: slices.Contains(b.Unreadable, m.Name) || b.isLeftOut(m.Name),
			leftOut: b.isLeftOut(m.Name),
		})
	}
	for i := range b.objects {
		if _, ok := b.index[b.objects[i].name]; ok {
			b.add("two objects are named %q", b.objects[i].name)
		}
		b.index[b.objects[i].name] = i
	}
}

func (b *build) isLeftOut(name string) bool {
	return slices.ContainsFunc(b.LeftOut, func(l LeftOut) bool { return l.Object == name })
}

// uncompressed returns the name of a module without a suffix of compression.
func uncompressed(name string) string {
	switch ext := path.Ext(name); ext {
	case ".xz", ".zst", ".gz":
		return strings.TrimSuffix(name, ext)
	}
	return name
}

// read returns the content of a table. If there is none, it reports a problem.
func (b *build) read(name string) (string, bool) {
	data, err := os.ReadFile(filepath.Join(b.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		b.add("%s is missing", name)
		return "", false
	} else if err != nil {
		b.add("%s: %v", name, err)
		return "", false
	}
	return unsafe.String(unsafe.SliceData(data), len(data)), true
}

// readTables reads aliases.tsv and unaliased.tsv. It returns false if one of them cannot be used.
func (b *build) readTables() bool {
	ok := true
	for _, t := range []struct {
		name, header string
		rows         *[]row
	}{{"aliases.tsv", aliasHeader, &b.aliases}, {"unaliased.tsv", unaliasedHeader, &b.unaliased}} {
		data, found := b.read(t.name)
		if found {
			*t.rows, found = readRows(&b.problems, t.name, data, t.header)
		}
		ok = ok && found
		b.assign(t.name, *t.rows)
	}
	checkRows(&b.problems, b.aliases, b.byAlias)
	return ok
}

// assign gives the rows to their objects. Rows must be in the order of b.objects.
func (b *build) assign(file string, rows []row) {
	last := 0
	for i := range rows {
		r := &rows[i]
		k, ok := b.index[r.object]
		if !ok {
			b.add("%s:%d: no object %q", file, r.at, r.object)
			continue
		}
		if k < last {
			b.add("%s:%d: object %q should come before that of the line above",
				file, r.at, r.object)
		}
		last = k
		o := &b.objects[k]
		if r.alias != "" {
			o.aliases = append(o.aliases, int32(i))
		} else {
			o.unaliased = append(o.unaliased, int32(i))
		}
	}
}

// check runs the checks that need the objects.
func (b *build) check(ctx context.Context, each func(int, func(int)) error) error {
	if b.hasVmlinux() {
		b.syms, b.hasSyms = b.read("vmlinux.syms")
	}
	loop := func(f func(o *object, i int)) error {
		err := each(len(b.objects), func(i int) {
			if ctx.Err() != nil {
				return
			}
			o := &b.objects[i]
			if err := guard(func() error { f(o, i); return nil }); err != nil {
				o.add("%v", err)
			}
		})
		if err == nil {
			err = ctx.Err()
		}
		return err
	}
	if err := loop(func(o *object, _ int) { b.object(o) }); err != nil {
		return err
	}

	b.checkNames()
	b.settle()
	if err := loop(func(o *object, _ int) { o.classify(b.tools) }); err != nil {
		return err
	}
	b.groupUp()
	if data, ok := b.read("modules.symbfreq"); ok {
		checkFrequencies(&b.problems, b.counts, data)
	}
	registry, ok := b.read("symbols.kas")
	var lines [][]int
	if ok {
		checkDigest(&b.problems, registry)
		checkParts(&b.problems, registry)
		b.checkHeader(registry)
		lines = splitRegistry(&b.problems, registry, b.index, len(b.objects))
	}
	err := loop(func(o *object, i int) {
		o.number(b.counts)
		b.checkDuplicates(o)
		if ok {
			b.checkRegistry(o, registry, lines[i])
		}
	})
	b.checkStats()
	return err
}

// hasVmlinux reports whether there must be a vmlinux.syms.
func (b *build) hasVmlinux() bool {
	return b.Vmlinux != "" && !slices.Contains(b.Unreadable, "vmlinux")
}

// strays looks for files that should not be there: all that the run did not write, in the folder of
// the build; what looks like its output, in the folders of inputs that have their copies beside
// them.
func (b *build) strays() error {
	own := map[string]bool{filepath.Join(b.Dir, recordFile): true}
	for _, name := range tableFiles {
		own[filepath.Join(b.Dir, name)] = true
	}
	own[filepath.Join(b.Dir, "vmlinux.syms")] = b.hasVmlinux()
	folders := make(map[string]bool)
	for i := range b.objects {
		if o := &b.objects[i]; o.emitted != "" {
			own[o.emitted] = true
			if b.Beside {
				folders[filepath.Dir(o.emitted)] = true
			}
		}
	}
	err := filepath.WalkDir(b.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || own[file] {
			return err
		}
		b.stray(file, own)
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if file := filepath.Join(dir, e.Name()); written(file, own) != file {
				b.add("%s: a temporary file of a run that did not end", file)
			}
		}
	}
	return nil
}

// written returns the file that a temporary file would have become, or else the file itself. own
// has the files that a run may write.
func written(file string, own map[string]bool) string {
	name, hidden := strings.CutPrefix(filepath.Base(file), ".")
	name, temporary := strings.CutSuffix(name, ".tmp")
	whole := filepath.Join(filepath.Dir(file), name)
	if _, ours := own[whole]; hidden && temporary && ours {
		return whole
	}
	return file
}

// stray reports a file that the run did not write.
func (b *build) stray(file string, own map[string]bool) {
	shown := file
	if rel, err := filepath.Rel(b.Dir, file); err == nil {
		shown = filepath.ToSlash(rel)
	}
	_, ours := own[file]
	switch {
	case written(file, own) != file:
		b.add("%s: a temporary file of a run that did not end", shown)
	case ours: // vmlinux.syms
		b.add("%s: the build has no readable vmlinux", shown)
	case shown == "symbols.kas.zst":
		b.compressedRegistry(file)
	case strings.HasSuffix(shown, ".kas"):
		b.add("%s belongs to no module of the build", shown)
	default:
		b.add("%s: the run did not write this file", shown)
	}
}

// compressedRegistry checks that symbols.kas.zst is symbols.kas. A run does not write it, but it
// may be shipped.
func (b *build) compressedRegistry(file string) {
	packed, err := os.ReadFile(file)
	var text, plain []byte
	if err == nil {
		text, err = decompress(packed)
	}
	if err == nil {
		plain, err = os.ReadFile(filepath.Join(b.Dir, "symbols.kas"))
	}
	switch {
	case err != nil:
		b.add("symbols.kas.zst: %v", err)
	case !bytes.Equal(text, plain):
		b.add("symbols.kas.zst: it is not symbols.kas, compressed")
	}
}

// result adds up the counts and problems of all objects.
func (b *build) result() (sum Summary, list []Problem) {
	report := func(object string, p *problems) {
		for _, msg := range p.list {
			list = append(list, Problem{b.Build, object, msg})
		}
		if p.more > 0 {
			list = append(list, Problem{b.Build, object, fmt.Sprintf("and %d more", p.more)})
		}
	}
	report("", &b.problems)
	for i := range b.objects {
		o := &b.objects[i]
		report(o.name, &o.problems)
		s := &o.sum
		sum.Objects += s.Objects
		sum.Unreadable += s.Unreadable
		sum.LeftOut += s.LeftOut
		sum.Visible += s.Visible
		sum.Rewritten += s.Rewritten
		sum.Symbols += s.Symbols
		sum.Sections += s.Sections
		sum.Relocations += s.Relocations
		sum.Bytes += s.Bytes
	}
	sum.Aliases, sum.Unaliased = int64(len(b.aliases)), int64(len(b.unaliased))
	return sum, list
}
