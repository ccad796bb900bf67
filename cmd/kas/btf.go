package main

import (
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/elf/btf"
	"kas/kernels"
	"kas/registry"
)

// btfIDs finds the BTF IDs of functions. A registry does not have them: a kernel's build makes the
// BTF of modules after their symbols, and a running kernel shows its own. Only files of the
// registry's kernel are read, those with its build IDs. What is not here or damaged has no ID.
type btfIDs struct {
	sysroot string
	of      map[*registry.Registry]*kernelBTF
}

// id returns the ID of a function, 0 if it is not known or in doubt. BTF has only the name of a
// function, the one in the source. So the ID counts only if no other symbol of the object has the
// name, as it is or with a suffix: the record may be that of foo.isra.0, another file's foo. A part
// of the function itself (.cold) is no other.
func (b *btfIDs) id(reg *registry.Registry, r *registry.Record) uint32 {
	if !r.Code() || r.Name != r.BaseName() {
		return 0
	}
	same := func(o registry.Record) bool {
		return o.Object != r.Object || o.Name == r.Name && o.Section == r.Section &&
			o.Address == r.Address && o.Position == r.Position ||
			strings.HasPrefix(o.Name, r.Name+".cold")
	}
	suffixed := reg.Find(func(file *registry.File) iter.Seq[registry.Record] {
		return file.Prefixed(r.Name + ".")
	})
	for _, o := range slices.Concat(reg.Named(r.Name), reg.Based(r.Name), suffixed) {
		if !same(o) {
			return 0
		}
	}
	k, known := b.of[reg]
	if !known {
		k = b.find(reg)
		b.of[reg] = k
	}
	if k.base == nil {
		return 0
	}
	types := k.base
	if r.Object != registry.Vmlinux {
		if types = k.module(reg, r); types == nil {
			return 0
		}
	}
	id, _ := types.Func(r.Name)
	return id
}

// kernelBTF is the BTF of a kernel.
type kernelBTF struct {
	base    *btf.Types // of vmlinux, nil if there is none
	running *kernels.Running
	build   configs.Build         // has the modules, unless it is the running kernel
	modules map[string]*btf.Types // by object; nil if a module has none
}

// find finds the BTF of a registry's kernel: that of the running one, or of the files that were the
// input of the run or are installed.
func (b *btfIDs) find(reg *registry.Registry) *kernelBTF {
	k := &kernelBTF{modules: map[string]*btf.Types{}}
	if reg.BuildID == "" {
		return k
	}
	r, err := kernels.ReadRunning(b.sysroot)
	if err == nil && r.BuildID == reg.BuildID {
		data, err := os.ReadFile(r.Path(runningBTF, registry.Vmlinux))
		if err == nil {
			k.base, k.running = parseBTF(data, nil), r
		}
	}
	for _, build := range buildsOf(reg, b.sysroot) {
		if k.base == nil {
			k.build, k.base = build, fileBTF(build.Vmlinux, reg.BuildID, nil)
		}
	}
	return k
}

// runningBTF is the folder in which the running kernel shows its BTF.
const runningBTF = "sys/kernel/btf"

// buildsOf returns builds that may be the registry's: that of the run that wrote it, and the
// installed kernel of its release.
func buildsOf(reg *registry.Registry, root string) (all []configs.Build) {
	dir := filepath.Dir(reg.Path)
	plan, err := configs.LoadSome(filepath.Join(dir, "..", effectiveConfig), configs.Choice{
		Names: []string{filepath.Base(absolute(dir))}, Unlisted: true,
	})
	if err == nil {
		all = plan.Builds
	}
	if !isFolderName(reg.Release) {
		return all
	}
	installed := kernels.Of(reg.Release, root)
	if path, _ := installed.Choose(reg.BuildID); path != "" {
		all = append(all, configs.Build{Vmlinux: path, Modules: installed.Modules})
	}
	return all
}

// module returns the BTF of the module that has a symbol, nil if it has none.
func (k *kernelBTF) module(reg *registry.Registry, r *registry.Record) *btf.Types {
	types, known := k.modules[r.Object]
	if !known {
		types = k.readModule(r, reg.ModuleBuildID(r.Object))
		k.modules[r.Object] = types
	}
	return types
}

func (k *kernelBTF) readModule(r *registry.Record, id string) *btf.Types {
	if id == "" {
		return nil
	}
	if k.running != nil {
		if k.running.Loaded()[r.Module()] != id {
			return nil
		}
		data, err := os.ReadFile(k.running.Path(runningBTF, r.Module()))
		if err != nil {
			return nil
		}
		return parseBTF(data, k.base)
	}
	files, _ := k.build.ModuleFiles() // without those that cannot be listed
	for _, m := range files {
		if m.Name == r.Object {
			return fileBTF(m.Path, id, k.base)
		}
	}
	return nil
}

// fileBTF returns the BTF of an object with a build ID, nil if it has none. A module that was built
// out of the tree has a base of its own (.BTF.base), and other IDs once it is loaded.
func fileBTF(path, id string, base *btf.Types) *btf.Types {
	f, err := elf.OpenTables(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	section := f.Section(".BTF")
	if f.BuildID() != id || section == 0 || f.Section(".BTF.base") != 0 {
		return nil
	}
	data, err := f.Data(section)
	if err != nil {
		return nil
	}
	return parseBTF(data, base)
}

// parseBTF returns nil for BTF that cannot be read.
func parseBTF(data []byte, base *btf.Types) *btf.Types {
	types, err := btf.Parse(data, base)
	if err != nil {
		return nil
	}
	return types
}
