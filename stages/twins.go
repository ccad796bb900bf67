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
	var modules []namedModule
	for i := range b.Objects {
		o := &b.Objects[i]
		if o.Vmlinux {
			continue
		}
		if o.Readable() {
			file := configs.ModuleFile{Name: o.Name, Path: o.Path}
			modules = append(modules, namedModule{file, o.Module})
		}
		o.Module = cmp.Or(o.Module, registry.ModuleName(o.Name))
	}
	b.Stats.LeftOut = leftOut(modules)
	for _, l := range b.Stats.LeftOut {
		i := slices.IndexFunc(b.Objects, func(o pipeline.Object) bool { return o.Name == l.Object })
		o := &b.Objects[i]
		o.LeftOut = true
		o.Symbols, o.Files, o.Sections = nil, nil, nil
	}
}

// LeftOut returns the modules of a build that a run leaves out. It skips files that cannot be read:
// the run reports them.
func LeftOut(files []configs.ModuleFile, jobs int) []pipeline.LeftOut {
	modules := make([]namedModule, len(files))
	pipeline.Parallel(jobs, len(files), func(i int) {
		if f, err := elf.OpenTables(files[i].Path); err == nil {
			modules[i] = namedModule{files[i], f.ModuleName()}
			f.Close()
		}
	})
	return leftOut(modules)
}

// namedModule is a module's file and the name that is in it, "" if none is.
type namedModule struct {
	configs.ModuleFile
	name string
}

// leftOut returns the modules that have the name of one that counts more, sorted by object. An X.o
// without a name in it is not linked yet; two of them are compared only after the final link.
func leftOut(modules []namedModule) []pipeline.LeftOut {
	best := map[string]configs.ModuleFile{}
	named := func(m *namedModule) string {
		if m.name == "" && configs.Linked(m.Name) {
			return registry.ModuleName(m.Name)
		}
		return m.name
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
