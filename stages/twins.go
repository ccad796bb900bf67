package stages

import (
	"cmp"
	"slices"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
	"kas/registry"
)

// settleTwins leaves out modules that have the name of another one, and completes the names of all.
// The kernel loads only one module of a name, so the symbols of the others must not make names
// ambiguous.
func settleTwins(b *pipeline.Build) {
	var modules []Heading
	for i := range b.Objects {
		o := &b.Objects[i]
		if o.Vmlinux {
			continue
		}
		if o.Readable() {
			file := configs.ModuleFile{Name: o.Name, Path: o.Path}
			modules = append(modules, Heading{ModuleFile: file, Module: o.Module})
		}
		o.Module = cmp.Or(o.Module, registry.ModuleName(o.Name))
	}
	b.Stats.LeftOut = LeftOut(modules)
	for _, l := range b.Stats.LeftOut {
		i := slices.IndexFunc(b.Objects, func(o pipeline.Object) bool { return o.Name == l.Object })
		o := &b.Objects[i]
		o.LeftOut = true
		o.Symbols, o.Files, o.Sections = nil, nil, nil
	}
}

// Heading is what the first tables of an object say about it.
type Heading struct {
	configs.ModuleFile
	Arch   string
	Module string // the kernel's name of the module, "" if the file has none
	Err    error  // why the object cannot be read
}

// Headings reads the first tables of objects, in parallel.
func Headings(files []configs.ModuleFile, jobs int) []Heading {
	all := make([]Heading, len(files))
	pipeline.Parallel(jobs, len(files), func(i int) {
		h := &all[i]
		h.ModuleFile = files[i]
		var f *elf.File
		if f, h.Err = elf.OpenTables(files[i].Path); h.Err == nil {
			h.Arch, h.Module = f.Arch(), f.ModuleName()
			f.Close()
		}
	})
	return all
}

// LeftOut returns the modules of a build that a run leaves out, sorted by object: those that have
// the name of one that counts more. It skips files that cannot be read: the run reports them. An
// X.o without a name in it is not linked yet; two of them are compared only after the final link.
func LeftOut(modules []Heading) []pipeline.LeftOut {
	modules = slices.DeleteFunc(slices.Clone(modules), func(h Heading) bool { return h.Err != nil })
	best := map[string]configs.ModuleFile{}
	named := func(m *Heading) string {
		if m.Module == "" && configs.Linked(m.Name) {
			return registry.ModuleName(m.Name)
		}
		return m.Module
	}
	for i := range modules {
		m := &modules[i]
		name := named(m)
		if other, ok := best[name]; !ok || configs.Precedes(m.ModuleFile, other) {
			best[name] = m.ModuleFile
		}
	}
	var all []pipeline.LeftOut
	for i := range modules {
		m := &modules[i]
		if name := named(m); name != "" && best[name] != m.ModuleFile {
			l := pipeline.LeftOut{Object: m.Name, Module: name, Counts: best[name].Name}
			all = append(all, l)
		}
	}
	slices.SortFunc(all,
		func(a, b pipeline.LeftOut) int { return strings.Compare(a.Object, b.Object) })
	return all
}
