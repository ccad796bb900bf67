package stages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
)

// Scan lists the objects of the configuration and reads them.
func Scan(ctx context.Context, b *pipeline.Build) (err error) {
	if b.Objects, err = Objects(&b.Config); err != nil {
		return err
	}
	if b.Unchanged(ctx) {
		return nil
	}
	b.Inputs = pipeline.InputsOf(b.Objects)
	return read(ctx, b)
}

// Objects lists the objects of a configuration, vmlinux first.
func Objects(c *configs.Build) ([]pipeline.Object, error) {
	var all []pipeline.Object
	if c.Vmlinux != "" {
		all = append(all, pipeline.Object{Name: "vmlinux", Path: c.Vmlinux, Vmlinux: true})
	}
	modules, err := c.ModuleFiles()
	for _, m := range modules {
		all = append(all, pipeline.Object{Name: m.Name, Path: m.Path, Absent: m.Absent})
	}
	return all, err
}

// Read reads the symbol tables of the build's objects in parallel and keeps the symbols that
// kallsyms would show. It reads only headers, symbols and strings. If the last run made everything
// that this one would make, it reads nothing.
func Read(ctx context.Context, b *pipeline.Build) error {
	if b.Unchanged(ctx) {
		return nil
	}
	return read(ctx, b)
}

func read(ctx context.Context, b *pipeline.Build) error {
	all := b.Every(func(*pipeline.Object) bool { return true })
	scan := func(o *pipeline.Object) error { return scanObject(b, o) }
	if err := b.Each(ctx, all, scan); err != nil {
		return err
	}
	settleArch(ctx, b)
	settleTwins(b)
	settleToolchain(b)
	settleDebug(ctx, b)
	return nil
}

func scanObject(b *pipeline.Build, o *pipeline.Object) error {
	if elf.Control(o.Name) {
		return badName(0, "the file", o.Name)
	}
	f, err := b.ScanTables(o)
	if errors.As(err, new(*elf.FormatError)) && o.Vmlinux {
		return notBootImage(o, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if machine := f.Unsupported(); machine != "" {
		return formatErrorf(18, "%s is not supported", machine)
	}
	if !o.Vmlinux && f.Type != elf.Relocatable {
		return formatErrorf(16, "not a relocatable object (e_type %d)", f.Type)
	}
	syms, err := f.Symtab()
	if err != nil {
		return err
	}
	magic := strings.Fields(f.Modinfo("vermagic"))
	release, text := kernelOf(f, syms, magic)
	release = cmp.Or(release, b.Scope.Release)
	if f.SlimLTO(syms) {
		return formatErrorf(f.HeadersOffset(),
			"intermediate code of link-time optimization (GCC, -flto), no machine code")
	}
	if err := checkNames(f, release); err != nil {
		return err
	}
	symbols, files, err := visibleSymbols(f, syms, newShown(f, o.Vmlinux, release, text))
	if err != nil {
		return err
	}
	if len(symbols) == 0 {
		return formatErrorf(f.HeadersOffset(),
			"kallsyms would show none of the %d symbols", syms.Len())
	}
	o.Size = f.Size()
	o.Arch = f.Arch()
	o.Symbols, o.Files = symbols, files
	o.Release = release
	o.BuildID = f.BuildID()
	if !o.Vmlinux {
		o.Module = f.ModuleName()
	}
	o.Toolchain = commentToolchain(f.Comments())
	o.Sections = make([]pipeline.Section, len(f.Sections))
	unloads := canUnload(magic)
	for i := range f.Sections {
		s := &f.Sections[i]
		o.Sections[i] = pipeline.Section{Name: s.Name, Alloc: s.Alloc()}
		if !o.Vmlinux {
			init, exit := strings.HasPrefix(s.Name, ".init"), strings.HasPrefix(s.Name, ".exit")
			o.Sections[i].Discarded = init || exit && !unloads
		}
	}
	o.Headers = f.HeadersOffset()
	o.Signed = f.Signed()
	if !f.HasDebug() {
		findDebug(b, o, f)
	}
	return nil
}

// longestName is the length of the longest name that is read, in bytes. The kernel's limit is 511,
// and that of a path 4,095.
const longestName = 4095

// badName returns an error about a name that no table may contain.
func badName[T string | []byte](offset uint64, what string, name T) error {
	if len(name) > longestName {
		return formatErrorf(offset, "%s has a name of %d bytes, more than %d", what, len(name),
			longestName)
	}
	return formatErrorf(offset, "%s has the name %q, which a table cannot contain", what,
		string(name))
}

// checkNames checks the names that an object has besides those of its symbols: they come from
// outside, and tables and headers contain them.
func checkNames(f *elf.File, release string) error {
	for i := range f.Sections {
		if name := f.Sections[i].Name; elf.Control(name) || len(name) > longestName {
			return badName(f.HeadersOffset(), fmt.Sprintf("section %d", i), name)
		}
	}
	if elf.Control(release) || len(release) > longestName {
		return badName(f.HeadersOffset(), "the release of the kernel", release)
	}
	if module := f.ModuleName(); elf.Control(module) || len(module) > longestName {
		return badName(f.HeadersOffset(), "the module", module)
	}
	return nil
}

// A compressed file can hold a million equal symbols in a few bytes.
const (
	// freeSymbols is how many symbols every object may have.
	freeSymbols = 1 << 18
	// bytesPerSymbol is how many bytes of the file each further symbol needs. An entry of a symbol
	// table has 16 or 24.
	bytesPerSymbol = 24
	// mostPrepared is for how many symbols memory is allocated before they are read.
	mostPrepared = 1 << 20
)

// visibleSymbols returns the symbols of an object that kallsyms would show, and the names of its
// file symbols.
func visibleSymbols(
	f *elf.File, syms *elf.Symtab, kallsyms *shown,
) ([]pipeline.Symbol, []string, error) {
	var names strings.Builder
	sources := fileScope{names: []string{""}}
	most := min(syms.Len(), mostPrepared)
	if f.KeepsLabels() {
		// Nineteen of twenty symbols are labels, and memory for them would be most of the run's.
		most = 0
	}
	limit := freeSymbols + f.FileSize()/bytesPerSymbol
	symbols := make([]pipeline.Symbol, 0, most)
	ends := make([]int, 0, most)
	for id := elf.SymID(1); ; id++ {
		var err error
		if id, err = syms.NextLoaded(id); err == nil && int(id) == syms.Len() {
			break
		}
		var s elf.Symbol
		if err == nil {
			s, err = syms.At(id)
		}
		if err != nil {
			return nil, nil, err
		}
		if s.SourceFile() && (elf.Control(s.Name) || len(s.Name) > longestName) {
			return nil, nil, badName(f.HeadersOffset(), fmt.Sprintf("symbol %d", id), s.Name)
		}
		sources.enter(&s, id, syms.Locals)
		if !kallsyms.shows(&s) {
			continue
		}
		if elf.Control(s.Name) || s.Name[0] == '#' || len(s.Name) > longestName {
			return nil, nil, badName(f.HeadersOffset(), fmt.Sprintf("symbol %d", id), s.Name)
		}
		if uint64(len(symbols)) >= limit {
			return nil, nil, formatErrorf(f.HeadersOffset(),
				"more than %d symbols in a file of %d bytes", limit, f.FileSize())
		}
		names.Write(s.Name)
		ends = append(ends, names.Len())
		symbols = append(symbols, pipeline.Symbol{
			Value: f.CodeAddress(&s), Size: s.Size, ID: id, Section: s.Section,
			File: sources.of(&s), Letter: f.NMType(&s), Local: id < syms.Locals,
			Code: kallsyms.code(&s),
		})
	}
	// One string for all names saves an allocation per symbol.
	all, start := names.String(), 0
	for i, end := range ends {
		symbols[i].Name, start = all[start:end], end
		symbols[i].File = sources.settle(symbols[i].File, f.Type)
	}
	return symbols, sources.names, nil
}

// fileScope knows which file symbol the symbols of a table belong to.
//
// Local symbols belong to the file symbol before them, if it has a name (gABI, "Symbol Table"). The
// table of LLD begins with a file symbol, and there the symbols of assembly are below that of
// another object. The sections that an object is the first to have come after its own symbols, and
// compilers give each symbol a type; so a symbol after that of a section, and one without a type,
// may be of another file. An assembler's table begins with a file symbol, too, but has only one.
type fileScope struct {
	names   []string // of the file symbols; the first is "", for symbols without one
	current int32    // index in names of the last one, 0 after the local symbols
	first   bool     // a file symbol begins the table
	section bool     // the symbol of a section came after the last file symbol
}

// enter is called with each symbol of the table, or each of NextLoaded. locals is the index of the
// first global symbol.
func (f *fileScope) enter(s *elf.Symbol, id, locals elf.SymID) {
	switch {
	case s.SourceFile():
		f.first = f.first || id == 1
		f.section = false
		if f.current = 0; len(s.Name) > 0 {
			f.current = int32(len(f.names))
			f.names = append(f.names, string(s.Name))
		}
	case id >= locals:
		f.current = 0
	case s.Marker():
		f.section = true
	}
}

// of returns the index in names of the file of the symbol that was entered last; negative if it is
// of another file should LLD have linked the object.
func (f *fileScope) of(s *elf.Symbol) int32 {
	if f.first && (f.section || s.Untyped()) {
		return -f.current
	}
	return f.current
}

// settle returns the file that a result of of stands for, after the last symbol. typ is the type of
// the object.
func (f *fileScope) settle(file int32, typ elf.Type) int32 {
	switch lld := typ != elf.Relocatable || len(f.names) > 2; {
	case file >= 0:
		return file
	case lld:
		return 0
	}
	return -file
}

// canUnload reports whether the kernel of a module keeps its .exit sections, because it can unload
// modules (CONFIG_MODULE_UNLOAD). magic has the words of the module's vermagic, which say so. An
// object without vermagic, which modpost has not completed yet, counts as one of such a kernel.
func canUnload(magic []string) bool {
	return len(magic) == 0 || slices.Contains(magic, "mod_unload")
}

func formatErrorf(offset uint64, format string, args ...any) error {
	return &elf.FormatError{Offset: offset, Msg: fmt.Sprintf(format, args...)}
}

// settleArch sets the build's arch to that of the configuration, else of vmlinux, else of the first
// readable module. It drops the symbols of objects of another arch.
func settleArch(ctx context.Context, b *pipeline.Build) {
	b.Arch = b.Config.Arch
	for i := range b.Objects {
		o := &b.Objects[i]
		if b.Arch == "" {
			b.Arch = o.Arch
		}
		if o.Readable() && o.Arch != b.Arch {
			o.Symbols, o.Sections = nil, nil
			o.Release, o.Toolchain = "", ""
			b.Fail(ctx, o, formatErrorf(18, "%s object in a build of %s", o.Arch, b.Arch))
		}
		if b.Release == "" {
			b.Release = o.Release
		}
		if o.Vmlinux {
			b.BuildID = o.BuildID
		}
	}
}
