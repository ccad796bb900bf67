package registry

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Registry is the symbols of one kernel: what its build exported, and what is known of it since then.
type Registry struct {
	*File
	Overlay *File // nil if there is none

	restated map[symbolKey]bool // symbols of the file of which the overlay says more
	replaced map[string]bool    // modules of the file in place of which the overlay has others
}

// place names a symbol within a kernel.
type symbolKey struct {
	name, object, section string
	address               uint64
}

func (r *Record) key() symbolKey { return symbolKey{r.Name, r.Object, r.Section, r.Address} }

// OpenAll opens registries. An overlay among them joins its registry, wherever that stands in the list.
func OpenAll(paths []string) (all []*Registry, err error) {
	defer func() {
		if err != nil {
			CloseAll(all)
			all = nil
		}
	}()
	var overlays []*File
	for _, path := range paths {
		f, err := Open(path)
		switch {
		case err != nil:
			for _, o := range overlays {
				o.Close()
			}
			return all, fmt.Errorf("%s: %w", path, err)
		case f.OverlayOf != "":
			overlays = append(overlays, f)
		default:
			all = append(all, &Registry{File: f})
		}
	}
	var problems []error
	for _, o := range overlays {
		i := slices.IndexFunc(all, func(r *Registry) bool { return r.Digest == o.OverlayOf })
		switch {
		case i < 0:
			problems = append(problems, fmt.Errorf("%s: overlay of another registry (%s, %s): name that one, too", o.Path, o.Release, o.OverlayOf))
		case all[i].Overlay != nil:
			problems = append(problems, fmt.Errorf("%s: %s has an overlay already: %s", o.Path, all[i].Path, all[i].Overlay.Path))
		default:
			all[i].attach(o)
			continue
		}
		o.Close()
	}
	return all, errors.Join(problems...)
}

// CloseAll closes them.
func CloseAll(all []*Registry) {
	for _, r := range all {
		r.Close()
	}
}

// Close closes the registry and its overlay.
func (r *Registry) Close() error {
	if r.Overlay != nil {
		r.Overlay.Close()
	}
	return r.File.Close()
}

func (r *Registry) attach(overlay *File) {
	r.Overlay = overlay
	r.know(overlay.Prefixed(""))
}

// know takes what an overlay holds.
func (r *Registry) know(overlay iter.Seq[Record]) {
	r.restated, r.replaced = map[symbolKey]bool{}, map[string]bool{}
	for o := range overlay {
		if r.Has(&o) {
			r.restated[o.key()] = true
		} else {
			r.replaced[o.Module()] = true
		}
	}
}

// hides says whether the overlay has another symbol in place of one of the file: told anew, or of a module that was built
// again. Two modules of one name cannot be loaded.
func (r *Registry) hides(b *Record) bool {
	return r.restated[b.key()] || r.replaced[b.Module()]
}

// Find returns the symbols that find yields of the registry and of its overlay, as they are now: counted over both, and
// as the overlay tells them where both do.
func (r *Registry) Find(find func(*File) iter.Seq[Record]) []Record {
	found := slices.Collect(find(r.File))
	if r.Overlay == nil {
		return found
	}
	hidden := func(b Record) bool { return r.hides(&b) }
	found = slices.AppendSeq(slices.DeleteFunc(found, hidden), find(r.Overlay))
	counts := map[string]int{}
	for i := range found {
		name := found[i].Name
		if counts[name] == 0 {
			own := slices.DeleteFunc(slices.Collect(r.File.Named(name)), hidden)
			counts[name] = len(own) + len(slices.Collect(r.Overlay.Named(name)))
		}
		found[i].Count = counts[name]
	}
	return found
}

// Has says whether the registry itself, without its overlay, has the symbol.
func (r *Registry) Has(record *Record) bool {
	for b := range r.File.Named(record.Name) {
		if b.key() == record.key() {
			return true
		}
	}
	return false
}

// Named returns the symbols of exactly this name.
func (r *Registry) Named(name string) []Record {
	return r.Find(func(f *File) iter.Seq[Record] { return f.Named(name) })
}

// Based returns the symbols whose name without its identity suffix is this one.
func (r *Registry) Based(base string) []Record {
	return r.Find(func(f *File) iter.Seq[Record] { return f.Based(base) })
}
