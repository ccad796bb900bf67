package stages

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"kas/elf"
	"kas/pipeline"
)

// Scan lists the build's objects, reads their symbol tables in parallel and keeps what kallsyms would show. It touches
// headers, symbols and names only; and nothing at all where the last run made everything.
func Scan(ctx context.Context, b *pipeline.Build) error {
	if b.Config.Vmlinux != "" {
		b.Objects = append(b.Objects, pipeline.Object{Name: "vmlinux", Path: b.Config.Vmlinux, Vmlinux: true})
	}
	modules, err := b.Config.ModuleFiles()
	if err != nil {
		return err
	}
	for _, m := range modules {
		b.Objects = append(b.Objects, pipeline.Object{Name: m.Name, Path: m.Path})
	}
	return Read(ctx, b)
}

// Read is Scan for a build whose objects are listed.
func Read(ctx context.Context, b *pipeline.Build) error {
	if b.Unchanged(ctx) {
		return nil
	}
	all := b.Every(func(*pipeline.Object) bool { return true })
	if err := b.Each(ctx, all, scanObject); err != nil {
		return err
	}
	settleArch(ctx, b)
	settleToolchain(b)
	settleDebug(ctx, b)
	return nil
}

// scanObject reads one object.
func scanObject(o *pipeline.Object) error {
	f, err := o.ScanTables()
	if err != nil {
		return err
	}
	defer f.Close()
	if !o.Vmlinux && f.Type != elf.Relocatable {
		return &elf.FormatError{Offset: 16, Msg: fmt.Sprintf("not a relocatable object (e_type %d)", f.Type)}
	}
	syms, err := f.Symtab()
	if err != nil {
		return err
	}
	symbols, files, err := visibleSymbols(f, syms)
	if err != nil {
		return err
	}
	o.Size = f.Size()
	o.Arch = f.Arch()
	o.Symbols, o.Files = symbols, files
	o.Release = release(f, syms)
	if o.Vmlinux {
		o.BuildID = f.BuildID()
	}
	o.Toolchain = commentToolchain(f.Comments())
	o.Sections = make([]pipeline.Section, len(f.Sections))
	for i := range f.Sections {
		s := &f.Sections[i]
		o.Sections[i] = pipeline.Section{Name: s.Name, Code: s.Exec(), Discarded: !o.Vmlinux && discarded(s.Name)}
	}
	o.Headers = f.HeadersOffset()
	o.NoDebug = f.Section(".debug_info") == 0 && f.Section(".zdebug_info") == 0
	return nil
}

// discarded names the sections of a module that are freed after its init function ran or never loaded at all.
func discarded(section string) bool {
	return strings.HasPrefix(section, ".init") || strings.HasPrefix(section, ".exit")
}

// visibleSymbols copies what kallsyms shows of an object: named symbols of allocated sections, but for the marks that
// assemblers leave between code and data.
func visibleSymbols(f *elf.File, syms *elf.Symtab) ([]pipeline.Symbol, []string, error) {
	var names strings.Builder
	files := []string{""}
	file := int32(0)
	symbols := make([]pipeline.Symbol, 0, syms.Len())
	ends := make([]int, 0, syms.Len())
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			return nil, nil, err
		}
		if s.SourceFile() {
			// Local symbols belong to the file symbol before them; one without a name ends that (gABI "Symbol Table").
			if file = 0; len(s.Name) > 0 {
				file = int32(len(files))
				files = append(files, string(s.Name))
			}
			continue
		}
		if id == syms.Locals {
			file = 0
		}
		if len(s.Name) == 0 || !s.Defined() || !f.Sections[s.Section].Alloc() || s.Marker() || f.MappingSymbol(s.Name) {
			continue
		}
		if bytes.ContainsAny(s.Name, "\t\n") || s.Name[0] == '#' {
			return nil, nil, &elf.FormatError{Offset: f.HeadersOffset(), Msg: fmt.Sprintf("symbol %d has the name %q, which no table can hold", id, s.Name)}
		}
		names.Write(s.Name)
		ends = append(ends, names.Len())
		symbols = append(symbols, pipeline.Symbol{Value: f.CodeAddress(&s), Size: s.Size, ID: id, Section: s.Section, File: file, Letter: f.NMType(&s), Local: id < syms.Locals})
	}
	// One string holds all names: an object's symbols cost a handful of allocations.
	all, start := names.String(), 0
	for i, end := range ends {
		symbols[i].Name, start = all[start:end], end
	}
	return symbols, files, nil
}

// release is the kernel release the object was built for: the first word of a module's vermagic, the third of vmlinux's
// banner ("Linux version 6.1.0-56-cloud-amd64 ...").
func release(f *elf.File, syms *elf.Symtab) string {
	if magic := strings.Fields(f.Modinfo("vermagic")); len(magic) > 0 {
		return magic[0]
	}
	if f.Type == elf.Relocatable {
		return ""
	}
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil || string(s.Name) != "linux_banner" {
			continue
		}
		if words := strings.Fields(string(f.Bytes(&s))); len(words) > 2 && words[0] == "Linux" {
			return strings.TrimRight(words[2], "\x00")
		}
	}
	return ""
}

// settleArch takes the build's arch from the configuration, else from vmlinux or the first readable module, and refuses
// the objects of another.
func settleArch(ctx context.Context, b *pipeline.Build) {
	b.Arch = b.Config.Arch
	for i := range b.Objects {
		o := &b.Objects[i]
		if b.Arch == "" {
			b.Arch = o.Arch
		}
		if o.Readable() && o.Arch != b.Arch {
			// Its symbols are those of another kernel.
			o.Symbols, o.Sections = nil, nil
			o.Release, o.Toolchain = "", ""
			b.Fail(ctx, o, &elf.FormatError{Offset: 18, Msg: fmt.Sprintf("%s object in a build of %s", o.Arch, b.Arch)})
		}
		if b.Release == "" {
			b.Release = o.Release
		}
		if o.Vmlinux {
			b.BuildID = o.BuildID
		}
	}
}

// settleDebug reports the objects without debugging information, unless no object of the build has any: then it was
// built that way. Their symbols count in either case: they make the names of others ambiguous all the same.
func settleDebug(ctx context.Context, b *pipeline.Build) {
	without := b.Every(func(o *pipeline.Object) bool { return o.Readable() && o.NoDebug })
	if with := b.Every(func(o *pipeline.Object) bool { return o.Readable() && !o.NoDebug }); len(with) == 0 {
		return
	}
	for _, o := range without {
		b.Fail(ctx, o, &elf.FormatError{Offset: o.Headers, Msg: fmt.Sprintf("no debugging information among %d sections", len(o.Sections))})
	}
}
