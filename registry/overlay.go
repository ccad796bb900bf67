package registry

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Registry is the symbols of one kernel: those its build exported and those of its overlay.
type Registry struct {
	*File
	Overlay *File // nil if there is none

	restated map[symbolKey]bool // symbols of the file that the overlay has, too
	replaced map[string]bool    // modules whose symbols the overlay replaces
}

// symbolKey identifies a symbol within a kernel.
type symbolKey struct {
	name, object, section string
	address               uint64
}

func (r *Record) key() symbolKey { return symbolKey{r.Name, r.Object, r.Section, r.Address} }

// OpenAll opens registries and overlays. Each overlay is attached to its registry, which must be
// among the paths, in any order. On an error it closes all of them.
func OpenAll(paths []string) ([]*Registry, error) { return openAll(paths, Open) }

// OpenForLookup opens registries and overlays like OpenAll, but reads and checks a part of a file
// only when a search needs it. If that fails, the search and all later ones find nothing, Err
// returns why, and so does Lookup. Searches of one registry must not run at the same time.
func OpenForLookup(paths []string) ([]*Registry, error) { return openAll(paths, openParts) }

func openAll(paths []string, open func(string) (*File, error)) (all []*Registry, err error) {
	defer func() {
		if err != nil {
			CloseAll(all)
			all = nil
		}
	}()
	var overlays []*File
	for _, path := range paths {
		f, err := open(path)
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
			problems = append(problems, fmt.Errorf("%s: overlay of another registry (%s, %s): "+
				"pass that registry, too", o.Path, o.Release, o.OverlayOf))
		case all[i].Overlay != nil:
			problems = append(problems, fmt.Errorf("%s: %s already has an overlay: %s",
				o.Path, all[i].Path, all[i].Overlay.Path))
		default:
			all[i].Overlay = o
			all[i].setOverlay(o.Prefixed(""))
			if err := all[i].Err(); err != nil {
				problems = append(problems, err)
			}
			continue
		}
		o.Close()
	}
	return all, errors.Join(problems...)
}

// CloseAll closes every registry.
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

// Err returns the error of a search in a registry of OpenForLookup, nil if there was none.
func (r *Registry) Err() error {
	if r.Overlay != nil {
		return cmp.Or(r.File.Err(), r.Overlay.Err())
	}
	return r.File.Err()
}

// setOverlay records which symbols of the file the symbols of an overlay hide.
func (r *Registry) setOverlay(overlay iter.Seq[Record]) {
	r.restated, r.replaced = map[symbolKey]bool{}, map[string]bool{}
	for o := range overlay {
		if r.Has(&o) {
			r.restated[o.key()] = true
		} else {
			r.replaced[o.Module()] = true
		}
	}
}

// hides reports whether the overlay replaces a symbol of the file: it has a newer record of it, or
// a module of the same name, of which the kernel loads only one.
func (r *Registry) hides(b *Record) bool {
	return r.restated[b.key()] || r.replaced[b.Module()]
}

// renamedTo returns the kernel's name of a module if the file has another, else "".
func (r *Registry) renamedTo(object string) string {
	if r.Overlay != nil && r.Overlay.renamed[object] != "" {
		return r.Overlay.renamed[object]
	}
	return r.renamed[object]
}

// ModuleBuildID returns the build ID of a module, "" if it has none or if the registry has format
// 1.
func (r *Registry) ModuleBuildID(object string) string {
	for _, f := range []*File{r.Overlay, r.File} {
		if f == nil {
			continue
		}
		if m := f.findModule(object); m != nil {
			return m.BuildID
		}
	}
	return ""
}

// Find runs find on the registry and on its overlay and returns the symbols of both, without those
// that the overlay hides. Counts are over both files. After an error it returns none.
func (r *Registry) Find(find func(*File) iter.Seq[Record]) []Record {
	found := r.find(find)
	if r.Err() != nil {
		return nil
	}
	return found
}

func (r *Registry) find(find func(*File) iter.Seq[Record]) []Record {
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

// Has reports whether the registry itself, without its overlay, has the symbol.
func (r *Registry) Has(record *Record) bool {
	for b := range r.File.Named(record.Name) {
		if b.key() == record.key() {
			return true
		}
	}
	return false
}

// Named returns the symbols with exactly this name.
func (r *Registry) Named(name string) []Record {
	return r.Find(func(f *File) iter.Seq[Record] { return f.Named(name) })
}

// Based returns the symbols whose name without its identity suffix is base.
func (r *Registry) Based(base string) []Record {
	return r.Find(func(f *File) iter.Seq[Record] { return f.Based(base) })
}
