package probe

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"kas/registry"
)

// inModule names a symbol of a module.
func (f *finder) inModule() error {
	r := &f.Record
	if initSection(r) {
		return fmt.Errorf("%s is in %s of %s, which the kernel frees after loading the module",
			r.Name, r.Section, r.Object)
	}
	if err := f.checkModuleBuild(); err != nil {
		return err
	}
	m := f.readModule()
	if m.loaded != nil {
		if err := cmp.Or(f.checkEnds(), f.checkModule(m)); err != nil {
			return err
		}
	}
	switch {
	case f.isUnique():
		f.uniqueName = r.Name
	case f.uniqueIn(m, r.Name):
		f.uniqueName = f.Module + ":" + r.Name
	}
	switch {
	case f.kernelHasAlias():
		f.Symbol, f.Alias = r.Alias, true
	case f.uniqueName != "":
		f.Symbol = r.Name
	default:
		if o := f.uniqueBefore(m); o != nil {
			f.Symbol, f.Offset = o.Name, r.Address-o.Address
		}
	}
	return nil
}

// module is what the registry and the kernel know about a module.
type module struct {
	counts  map[string]int      // symbols of the registry by name
	section []registry.Record   // functions in the section of the symbol
	loaded  map[string][]Symbol // symbols of the kernel by name; nil if not loaded
}

func (f *finder) readModule() module {
	r, k := &f.Record, f.kernel
	records := f.reg.Find(func(file *registry.File) iter.Seq[registry.Record] {
		return file.Of(r.Object)
	})
	m := module{counts: map[string]int{}}
	for _, o := range records {
		if o.Object != r.Object {
			continue
		}
		m.counts[o.Name]++
		if o.Section == r.Section && o.Code() {
			m.section = append(m.section, o)
		}
	}
	if k == nil {
		return m
	}
	symbols := k.Module(f.Module)
	switch {
	case !k.HasModules():
		f.note("%s lists no modules", k.Path)
	case len(symbols) == 0:
		f.note("module %s is not loaded in %s", f.Module, k.Path)
	default:
		m.loaded = map[string][]Symbol{}
		for _, s := range symbols {
			m.loaded[s.Name] = append(m.loaded[s.Name], s)
		}
	}
	return m
}

// uniqueIn reports whether MODULE:NAME is one symbol.
func (f *finder) uniqueIn(m module, name string) bool {
	return nameable(name) && m.counts[name] == 1 && (m.loaded == nil || len(m.loaded[name]) == 1) &&
		!f.hasSuffixed(name)
}

// uniqueBefore returns the last function of the section that has a unique name and does not begin
// after the symbol, nil if there is none.
func (f *finder) uniqueBefore(m module) (best *registry.Record) {
	for i := range m.section {
		o := &m.section[i]
		if o.Address > f.Record.Address || !f.uniqueIn(m, o.Name) {
			continue
		}
		if best == nil || o.Address > best.Address ||
			o.Address == best.Address && o.Name < best.Name {
			best = o
		}
	}
	return best
}

// checkModuleBuild compares the build ID of the loaded module with the registry's, if both are
// known.
func (f *finder) checkModuleBuild() error {
	if f.kernel == nil {
		return nil
	}
	want, have := f.reg.ModuleBuildID(f.Record.Object), f.kernel.moduleBuildID(f.Module)
	if want == "" || have == "" || want == have {
		return nil
	}
	return fmt.Errorf("module %s has build ID %s, %s in the registry has %s: "+
		"not the same build of the module", f.Module, have, f.Record.Object, want)
}

// checkModule compares all functions of the symbol's section with those of the loaded module: every
// one must yield the same address of the section.
func (f *finder) checkModule(m module) error {
	r, k := &f.Record, f.kernel
	seen, compared := map[string]bool{}, map[string]bool{}
	var base uint64
	var by string // the function that base is computed from
	for i := range m.section {
		name := m.section[i].Name
		if seen[name] {
			continue
		}
		seen[name] = true
		have := codeOnly(m.loaded[name])
		if len(have) == 0 && name != r.Name {
			continue // kallsyms does not show every symbol
		}
		want, err := f.pairable(name, have)
		if err != nil {
			return err
		}
		for j, o := range want {
			if o.Section != r.Section {
				continue
			}
			compared[name] = true
			begin := have[j].Address - o.Address
			if by == "" {
				base, by = begin, name
			}
			if begin != base {
				return fmt.Errorf("%s has %s of module %s at %#x, the registry, counted from %s, "+
					"at %#x: not the same build of the module",
					k.Path, name, f.Module, have[j].Address, by, base+o.Address)
			}
		}
	}
	address, ok := k.sectionAddress(f.Module, r.Section)
	if ok && address != base {
		return fmt.Errorf("section %s of module %s is at %#x, by its symbols and the registry at "+
			"%#x: not the same build of the module", r.Section, f.Module, address, base)
	}
	f.Base, f.Address = base, base+r.Address
	f.confirm(m.loaded[r.Name])
	if err := f.checkAlias(); err != nil {
		return err
	}
	namesakes := len(codeOnly(m.loaded[r.Name]))
	if !ok && len(compared) == 1 && namesakes > 1 && !f.kernelHasAlias() {
		return fmt.Errorf("%s of module %s is one of %d that only the order of its symbols "+
			"distinguishes", r.Name, f.Module, namesakes)
	}
	return nil
}

// pairable returns the registry's functions with this name in the module, in the order of the
// loaded ones. There must be as many.
func (f *finder) pairable(name string, have []Symbol) ([]registry.Record, error) {
	all := f.inObject(name)
	want := slices.DeleteFunc(slices.Clone(all), func(o registry.Record) bool { return !o.Code() })
	if len(want) != len(have) {
		// A kernel that cannot unload modules drops their exit sections.
		want = slices.DeleteFunc(want, func(o registry.Record) bool {
			return strings.HasPrefix(o.Section, ".exit")
		})
	}
	if len(want) != len(have) || len(have) == 0 {
		return nil, fmt.Errorf("%s has %d functions %s in module %s, the registry has %d: "+
			"not the same build of the module", f.kernel.Path, len(have), name, f.Module, len(all))
	}
	return want, nil
}
