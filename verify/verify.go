// Package verify re-reads what a run emitted and proves the promises made
// about it: aliases are unique and in the right place, rewritten objects differ
// from their originals in nothing but the aliases, lists are complete and in
// order. It shares no code with what wrote those files, so that a mistake there
// cannot hide here, and imports nothing of kas.
package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Target is one build and where its outputs lie.
type Target struct {
	Build     string // name, for messages
	Dir       string // the build's output folder, OUT/BUILD
	Vmlinux   string // path of the input; "" if the build has none
	Modules   []Module
	Separator string // what stands between name and location in an alias
	Line      string // opening, declaration or none: whether an alias must bear the line of its row
	Beside    bool   // rewritten modules lie beside their inputs, not under Dir

	// Unreadable names the objects that the run reported as unreadable. They
	// are skipped, and must have left no trace; any other must be readable.
	Unreadable []string
}

// Module is an input module: its name in the outputs and its path.
type Module struct {
	Name string // path below the module root, with .xz, .zst or .gz if it has one
	Path string
}

// Problem is one broken promise. Object is "" when it concerns the build's lists.
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

// Summary counts what was looked at.
type Summary struct {
	Objects     int64 // inputs read
	Unreadable  int64 // inputs that could not be read, and were skipped
	Aliases     int64
	Unaliased   int64
	Visible     int64 // symbols that count as names of the kernel
	Rewritten   int64 // emitted modules compared with their originals
	Symbols     int64 // original symbols found again in them
	Sections    int64 // sections compared in them
	Relocations int64
	Bytes       int64 // bytes of section content compared
}

// most is how many problems of one object are told one by one.
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

// object is an input and what is known of it after it was read.
type object struct {
	name, path string
	emitted    string  // where its rewritten form lies; "" for vmlinux
	aliases    []int32 // rows of aliases.tsv
	unaliased  []int32
	visible    []visibleSymbol
	sections   []string // their names, indexed by visibleSymbol.sec
	skipped    bool     // reported as unreadable
	sum        Summary
	problems
}

type visibleSymbol struct {
	name   string
	addr   uint64
	size   uint64
	sec    uint32
	row    int32 // of aliases.tsv, plus 1
	letter byte
	told   bool // has a row in aliases.tsv or unaliased.tsv
}

// build is the state of one verification.
type build struct {
	Target
	problems  // of the build's lists
	objects   []object
	index     map[string]int // of objects by name
	aliases   []row
	unaliased []row
	byAlias   map[string]int
	syms      string // vmlinux.syms
	hasSyms   bool
}

// Build verifies the outputs of one build. It runs each for its parallel
// loops: each(n, f) calls f(0) to f(n-1), in any order and at the same time, and
// returns when all are done. The problems come sorted: those of the lists first,
// then by object, vmlinux before the modules. The error is for what stops
// verification itself: a cancelled ctx, a folder that cannot be read.
func Build(ctx context.Context, t Target, each func(n int, f func(i int)) error) (Summary, []Problem, error) {
	b := &build{Target: t, index: make(map[string]int), byAlias: make(map[string]int)}
	if _, err := os.Stat(t.Dir); err != nil {
		return Summary{}, nil, err
	}
	b.list()
	if b.readTables() {
		if err := b.check(ctx, each); err != nil {
			return Summary{}, nil, err
		}
	}
	if err := b.strays(); err != nil {
		return Summary{}, nil, err
	}
	sum, list := b.result()
	return sum, list, ctx.Err()
}

// list makes the objects: vmlinux first, then the modules by name.
func (b *build) list() {
	if b.Vmlinux != "" {
		b.objects = append(b.objects, object{name: "vmlinux", path: b.Vmlinux, skipped: !b.hasVmlinux()})
	}
	modules := slices.Clone(b.Modules)
	slices.SortFunc(modules, func(x, y Module) int { return strings.Compare(x.Name, y.Name) })
	for _, m := range modules {
		emitted := filepath.Join(b.Dir, "modules", filepath.FromSlash(plain(m.Name))+".kas")
		if b.Beside {
			emitted = plain(m.Path) + ".kas"
		}
		b.objects = append(b.objects, object{
			name: m.Name, path: m.Path, emitted: emitted, skipped: slices.Contains(b.Unreadable, m.Name),
		})
	}
	for i := range b.objects {
		if _, ok := b.index[b.objects[i].name]; ok {
			b.add("two objects are named %q", b.objects[i].name)
		}
		b.index[b.objects[i].name] = i
	}
}

// plain cuts the ending of a compressed module.
func plain(name string) string {
	switch ext := path.Ext(name); ext {
	case ".xz", ".zst", ".gz":
		return strings.TrimSuffix(name, ext)
	}
	return name
}

// read returns a list of the build; a missing one is a problem.
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

func (b *build) readTables() bool {
	ok := false
	for _, t := range []struct {
		name, header string
		rows         *[]row
	}{{"aliases.tsv", aliasHeader, &b.aliases}, {"unaliased.tsv", unaliasedHeader, &b.unaliased}} {
		data, found := b.read(t.name)
		if found {
			*t.rows, found = readRows(&b.problems, t.name, data, t.header)
		}
		if t.rows == &b.aliases {
			ok = found
		} else {
			ok = ok && found
		}
		b.assign(t.name, *t.rows)
	}
	checkRows(&b.problems, b.aliases, b.Separator, b.Line, b.byAlias)
	return ok
}

// assign hands the rows to their objects, which must come in the right order.
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
			b.add("%s:%d: object %q comes before the one of the line above", file, r.at, r.object)
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

	counts := make(map[string]int32)
	for i := range b.objects {
		for k := range b.objects[i].visible {
			counts[b.objects[i].visible[k].name]++
		}
	}
	if data, ok := b.read("modules.symbfreq"); ok {
		checkFrequencies(&b.problems, counts, data)
	}
	registry, ok := b.read("symbols.kas")
	var lines [][]int
	if ok {
		checkDigest(&b.problems, registry)
		lines = splitRegistry(&b.problems, registry, b.index)
	}
	return loop(func(o *object, i int) {
		for k := range o.visible {
			if v := &o.visible[k]; !v.told && counts[v.name] > 1 {
				o.add("%q at %s+%#x is one of %d of this name, and is in neither aliases.tsv nor unaliased.tsv",
					v.name, o.sections[v.sec], v.addr, counts[v.name])
			}
		}
		if ok {
			o.checkRegistry(&o.problems, registry, lines[i], b.aliases, b.byAlias)
		}
	})
}

// object reads one input and checks all that concerns it alone.
func (b *build) object(o *object) {
	if o.skipped {
		o.sum.Unreadable = 1
		if n := len(o.aliases) + len(o.unaliased); n > 0 {
			o.add("has %d rows, and stats.json calls it unreadable", n)
		}
		b.unaliasedModule(o, nil, nil)
		return
	}
	raw, unmap, err := mapFile(o.path)
	if err == nil {
		defer unmap()
	}
	var data []byte
	var m *image
	if err == nil {
		err = guard(func() (err error) {
			if data, err = decompress(raw); err == nil {
				m, err = parse(data)
			}
			if err == nil && o.emitted != "" && m.typ != etRel {
				err = fmt.Errorf("offset 0x10: not a relocatable object")
			}
			return err
		})
	}
	if err != nil {
		o.add("cannot be read, and stats.json does not say so: %v", err)
		return
	}
	o.sum.Objects = 1
	taken := make([]int32, len(m.symbols))
	matchRows(&o.problems, "unaliased.tsv", m, b.unaliased, o.unaliased, taken)
	told := slices.Clone(taken)
	clear(taken)
	matchRows(&o.problems, "aliases.tsv", m, b.aliases, o.aliases, taken)
	b.gather(o, m, told, taken)
	aliasOf := func(i int) string {
		if taken[i] == 0 {
			return ""
		}
		return b.aliases[taken[i]-1].alias
	}
	switch {
	case o.emitted == "":
		if b.hasSyms {
			checkSyms(&o.problems, m, aliasOf, b.syms)
		}
	case len(o.aliases) == 0:
		b.unaliasedModule(o, raw, data)
	default:
		b.rewritten(o, m, aliasOf)
	}
}

// hasVmlinux tells whether there must be a list of vmlinux's symbols.
func (b *build) hasVmlinux() bool {
	return b.Vmlinux != "" && !slices.Contains(b.Unreadable, "vmlinux")
}

// gather keeps the visible symbols and looks at every name for aliases.
func (b *build) gather(o *object, m *image, told, taken []int32) {
	o.sections = make([]string, len(m.sections))
	for i := range m.sections {
		o.sections[i] = m.sections[i].name
	}
	n := 0
	for i := range m.symbols {
		if visible(m, &m.symbols[i]) {
			n++
		}
	}
	o.sum.Visible = int64(n)
	o.visible = make([]visibleSymbol, 0, n)
	for i := range m.symbols {
		s := &m.symbols[i]
		if told[i] != 0 && taken[i] != 0 {
			o.add("%q at %s+%#x is in aliases.tsv and in unaliased.tsv", s.name, m.sectionName(s), s.value)
		}
		if strings.Contains(s.name, b.Separator) {
			if k, ok := b.byAlias[s.name]; ok {
				o.add("symbol %d has the name of an alias: %q, aliases.tsv:%d", i, s.name, b.aliases[k].at)
			}
			if taken[i] != 0 && aliasOfNeighbour(m, s, b.Separator) {
				o.add("aliases.tsv:%d: %q is an alias already", b.aliases[taken[i]-1].at, s.name)
			}
		}
		if visible(m, s) {
			o.visible = append(o.visible, visibleSymbol{
				name: s.name, addr: address(m, s), size: s.size, sec: s.sec,
				row: taken[i], letter: letter(m, s), told: told[i] != 0 || taken[i] != 0,
			})
		}
	}
}

// aliasOfNeighbour tells whether s is the alias an earlier run gave to another
// symbol of its place.
func aliasOfNeighbour(m *image, s *symbol, sep string) bool {
	for i := range m.symbols {
		o := &m.symbols[i]
		if o.sec == s.sec && o.value == s.value && o.size == s.size && o.name != s.name && o.name != "" {
			for k := strings.LastIndex(s.name, sep); k > 0; k = strings.LastIndex(s.name[:k], sep) {
				if baseOf(s.name[:k], o.name) {
					return true
				}
			}
		}
	}
	return false
}

// rewritten compares the emitted form of a module with its original.
func (b *build) rewritten(o *object, m *image, aliasOf func(int) string) {
	data, unmap, err := mapFile(o.emitted)
	if errors.Is(err, fs.ErrNotExist) {
		o.add("has aliases, and %s is missing", filepath.Base(o.emitted))
		return
	} else if err != nil {
		o.add("%v", err)
		return
	}
	defer unmap()
	err = guard(func() error {
		e, err := parse(data)
		if err == nil {
			o.sum.Rewritten = 1
			compare(&o.problems, m, e, aliasOf, &o.sum)
		}
		return err
	})
	if err != nil {
		o.add("%s: %v", filepath.Base(o.emitted), err)
	}
}

// unaliasedModule: a module without aliases has no output, or one that is the
// module itself.
func (b *build) unaliasedModule(o *object, raw, data []byte) {
	if o.emitted == "" {
		return
	}
	out, unmap, err := mapFile(o.emitted)
	if errors.Is(err, fs.ErrNotExist) {
		return
	} else if err != nil {
		o.add("%v", err)
		return
	}
	defer unmap()
	if !bytes.Equal(out, raw) && (data == nil || !bytes.Equal(out, data)) {
		o.add("has no aliases, and %s is not the module itself", filepath.Base(o.emitted))
	}
}

// strays looks for files that no run should have left.
func (b *build) strays() error {
	emitted := make(map[string]bool)
	folders := make(map[string]bool)
	for i := range b.objects {
		if o := &b.objects[i]; o.emitted != "" {
			emitted[o.emitted] = true
			if b.Beside {
				folders[filepath.Dir(o.emitted)] = true
			}
		}
	}
	registry := filepath.Join(b.Dir, "symbols.kas")
	look := func(file string, inside bool) {
		name, shown := filepath.Base(file), file
		if rel, err := filepath.Rel(b.Dir, file); err == nil && inside {
			shown = filepath.ToSlash(rel)
		}
		switch {
		case strings.HasPrefix(name, ".kas-") || inside && strings.HasSuffix(name, ".tmp"):
			b.add("%s: a temporary file was left behind", shown)
		case inside && strings.HasSuffix(name, ".kas") && !emitted[file] && file != registry:
			b.add("%s belongs to no module of the build", shown)
		case !b.hasVmlinux() && file == filepath.Join(b.Dir, "vmlinux.syms"):
			b.add("%s, and the build has no vmlinux that could be read", shown)
		}
	}
	err := filepath.WalkDir(b.Dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			look(file, true)
		}
		return err
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
			look(filepath.Join(dir, e.Name()), false)
		}
	}
	return nil
}

func (b *build) result() (sum Summary, list []Problem) {
	tell := func(object string, p *problems) {
		for _, msg := range p.list {
			list = append(list, Problem{b.Build, object, msg})
		}
		if p.more > 0 {
			list = append(list, Problem{b.Build, object, fmt.Sprintf("and %d more", p.more)})
		}
	}
	tell("", &b.problems)
	for i := range b.objects {
		o := &b.objects[i]
		tell(o.name, &o.problems)
		s := &o.sum
		sum.Objects += s.Objects
		sum.Unreadable += s.Unreadable
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

// guard runs f and turns a panic, a file truncated under its mapping among
// them, into an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading failed: %v", r)
		}
	}()
	return f()
}

func mapFile(name string) (data []byte, unmap func(), err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is no regular file", name)
	case info.Size() == 0:
		return nil, func() {}, nil
	}
	data, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "mmap", Path: name, Err: err}
	}
	return data, func() { _ = syscall.Munmap(data) }, nil
}

// decompress returns data as it is, or what a gzip, xz or zstd file holds.
func decompress(data []byte) ([]byte, error) {
	var r io.Reader
	var err error
	in := bytes.NewReader(data)
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		r, err = gzip.NewReader(in)
	case bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")):
		r, err = xz.NewReader(in, 0)
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
			r = z
		}
	default:
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = out.ReadFrom(r)
	return out.Bytes(), err
}
