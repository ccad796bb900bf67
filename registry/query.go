package registry

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
)

// Lookup returns the symbols that match a pattern: an alias, a name with or without its identity
// suffix, a name of Rust as the source spells it, NAME@FILE or NAME@FILE:LINE, a glob over names
// and aliases, a source file or FILE:LINE, an address, NAME+OFFSET or an object. They are sorted by
// base name, name, object and address. No match is not an error.
func (r *Registry) Lookup(pattern string) ([]Record, error) {
	found, err := r.lookup(strings.TrimPrefix(pattern, "./"))
	found = slices.DeleteFunc(found, func(f Record) bool { return r.isAlias(f.Name) })
	if err := r.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.BaseName(), b.BaseName()), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Object, b.Object), strings.Compare(a.Section, b.Section),
			cmp.Compare(a.Address, b.Address))
	})
	return found, err
}

// lookup tries what a pattern may mean, one meaning after the other, until one has matches.
func (r *Registry) lookup(pattern string) ([]Record, error) {
	if pattern == "" {
		return nil, errors.New("empty pattern")
	}
	if strings.ContainsAny(pattern, "*?[") {
		// Names of types in Rust have these characters, too.
		if found := r.demangled(pattern); len(found) > 0 {
			return found, nil
		}
		return r.glob(pattern)
	}
	if found := r.exact(pattern); len(found) > 0 {
		return found, nil
	}
	switch a, ok, err := r.AddressOf(pattern); {
	case err != nil:
		return nil, err
	case ok && a.Object == "": // an offset from a name that is not here
		return nil, nil
	case ok:
		return r.at(a.Object, a.Section, a.Address), nil
	}
	if found := r.object(pattern); len(found) > 0 {
		return found, nil
	}
	return r.byLocation(pattern), nil
}

// exact finds an alias or part of one, else a name or base name, else a name of Rust, else the
// clones and fragments of a function that has no symbol of its own.
func (r *Registry) exact(pattern string) []Record {
	if name, tail, ok := r.cut(pattern); ok {
		found := r.Find(func(f *File) iter.Seq[Record] {
			return filter(f.Based(name), func(r *Record) bool {
				return r.Alias == pattern || r.Alias != "" && isAt(r, name, tail)
			})
		})
		if len(found) > 0 {
			return found
		}
	}
	if found := r.Based(pattern); len(found) > 0 {
		return found
	}
	if found := r.Named(pattern); len(found) > 0 {
		return found
	}
	if found := r.demangled(pattern); len(found) > 0 {
		return found
	}
	if strings.ContainsAny(pattern, "/:") || strings.Contains(pattern, r.Separator()) {
		return nil
	}
	return r.Find(func(f *File) iter.Seq[Record] { return f.Prefixed(pattern + ".") })
}

// demangled finds symbols of Rust by the name that the source spells, alone or as NAME@FILE or
// NAME@FILE:LINE.
func (r *Registry) demangled(pattern string) []Record {
	if !isRustPath(pattern) {
		return nil
	}
	name, tail, located := r.cut(pattern)
	return r.rust(func(f *Record, spelled string) bool {
		return spelled == pattern ||
			located && spelled == name && f.Alias != "" && isAt(f, f.BaseName(), tail)
	})
}

// isRustPath reports whether a pattern may be meant for names of Rust. All of these have a path,
// and no other names have colons.
func isRustPath(pattern string) bool { return strings.Contains(pattern, "::") }

// rust finds the symbols of Rust of which keep accepts a spelling.
func (r *Registry) rust(keep func(f *Record, spelled string) bool) []Record {
	accepted := func(f *Record) bool {
		return slices.ContainsFunc(spellings(f.Name), func(s string) bool { return keep(f, s) })
	}
	return r.Find(func(f *File) iter.Seq[Record] {
		return func(yield func(Record) bool) {
			for _, prefix := range []string{"_R", "_ZN"} {
				for record := range filter(f.Prefixed(prefix), accepted) {
					if !yield(record) {
						return
					}
				}
			}
		}
	})
}

// Aliased returns the symbols that have this alias. An alias without the separator finds nothing.
func (r *Registry) Aliased(alias string) []Record {
	base, _, ok := r.cut(alias)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(r.Based(base), func(o Record) bool { return o.Alias != alias })
}

// isAlias reports whether the name is an alias. A kernel that was built with the hooks has symbols
// with such names.
func (r *Registry) isAlias(name string) bool { return len(r.Aliased(name)) > 0 }

// glob finds names and aliases that match a shell pattern. No name contains a slash, so "*"
// matches any text. After the separator the pattern may spell the location as a path.
func (r *Registry) glob(pattern string) ([]Record, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	if isRustPath(pattern) {
		name, tail, located := r.cut(pattern)
		return r.rust(func(f *Record, spelled string) bool {
			if whole, _ := path.Match(pattern, spelled); whole || !located {
				return whole
			}
			byName, _ := path.Match(name, spelled)
			byLocation, _ := path.Match(foldPattern(tail), r.location(f))
			return byName && byLocation
		}), nil
	}
	folded := pattern
	if name, tail, ok := r.cut(pattern); ok {
		folded = name + r.Separator() + foldPattern(tail)
	}
	candidates := r.globCandidates(pattern)
	return r.Find(func(f *File) iter.Seq[Record] {
		return filter(candidates(f), func(r *Record) bool {
			byName, _ := path.Match(pattern, r.Name)
			byAlias, _ := path.Match(pattern, r.Alias)
			byLocation, _ := path.Match(folded, r.Alias)
			return byName || byAlias || byLocation
		})
	}), nil
}

// foldPattern spells a location as aliases do. Fold would also replace the special characters.
func foldPattern(tail string) string {
	return strings.NewReplacer("/", "_", ".", "_", ":", "_", "-", "_").Replace(tail)
}

// location returns the part of an alias after the separator, "" without an alias.
func (r *Registry) location(f *Record) string {
	_, tail, _ := r.cut(f.Alias)
	return tail
}

// globCandidates returns a search for records that may match the pattern: those whose names have
// its literal prefix or, if it has none, those whose lines contain its longest literal text.
func (r *Registry) globCandidates(pattern string) func(*File) iter.Seq[Record] {
	const special = "*?[\\"
	literal, _, _ := strings.Cut(pattern[:strings.IndexAny(pattern, special)], r.Separator())
	name, _, _ := strings.Cut(pattern, r.Separator())
	if literal != "" || strings.ContainsAny(name, "[\\") {
		return func(f *File) iter.Seq[Record] { return f.Prefixed(literal) }
	}
	parts := strings.FieldsFunc(name, func(c rune) bool {
		return strings.ContainsRune(special, c)
	})
	longest := slices.MaxFunc(append(parts, ""), func(a, b string) int { return len(a) - len(b) })
	return func(f *File) iter.Seq[Record] { return f.Holding(longest) }
}

// at finds the symbols that contain an address. Of symbols within symbols it returns the innermost,
// those that begin last.
func (r *Registry) at(object, section string, address uint64) []Record {
	found := r.Find(func(f *File) iter.Seq[Record] { return f.At(object, section, address) })
	last := uint64(0)
	for i := range found {
		last = max(last, found[i].Address)
	}
	found = slices.DeleteFunc(found, func(f Record) bool { return f.Address != last })
	for i := range found {
		found[i].Offset = address - last
	}
	return found
}

// AddressOf resolves a pattern that is an address of vmlinux or NAME+OFFSET; ok is false if it is
// neither. Only Object, Section and Address of the result are set. In vmlinux the Section is empty;
// all fields are empty if no symbol has the name.
func (r *Registry) AddressOf(pattern string) (a Record, ok bool, err error) {
	name, text, plus := strings.Cut(pattern, "+")
	offset := uint64(0)
	if plus {
		if offset, ok = parseOffset(text); !ok {
			return a, false, nil
		}
	}
	if address, ok := parseAddress(name); ok {
		return Record{Object: Vmlinux, Address: address + offset}, true, nil
	}
	if !plus {
		return a, false, nil
	}
	from := r.exact(name)
	if len(from) == 0 {
		return a, true, nil
	}
	a = Record{Object: from[0].Object, Section: from[0].Section, Address: from[0].Address}
	for i := range from {
		f := &from[i]
		if f.Object != a.Object || f.Section != a.Section || f.Address != a.Address {
			return Record{}, true, fmt.Errorf("%s is ambiguous: %d symbols match %s",
				pattern, len(from), name)
		}
	}
	a.Address += offset
	if a.Object == Vmlinux {
		a.Section = "" // the address is enough
	}
	return a, true, nil
}

// object finds the symbols of a module's file. The pattern may have leading folders.
func (r *Registry) object(pattern string) []Record {
	base := path.Base(pattern)
	if pattern != Vmlinux && !strings.HasSuffix(base, ".ko") && !strings.HasSuffix(base, ".o") {
		return nil
	}
	return r.Find(func(f *File) iter.Seq[Record] { return f.Of(pattern) })
}

// byLocation finds the symbols that FILE or FILE:LINE declares, and those that FILE as a unit
// compiles.
func (r *Registry) byLocation(pattern string) []Record {
	file, line, _ := CutLine(pattern)
	return r.Find(func(f *File) iter.Seq[Record] {
		return filter(f.In(file), func(r *Record) bool { return line == 0 || line == r.Line })
	})
}

// Complete returns the names and aliases that begin with prefix, of at most the given number of
// symbols in each file.
func (r *Registry) Complete(prefix string, most int) []string {
	name, _, _ := strings.Cut(prefix, r.Separator())
	var words []string
	for _, found := range r.Find(func(f *File) iter.Seq[Record] {
		return first(most, f.Prefixed(name))
	}) {
		for _, word := range []string{found.Name, found.Alias} {
			if word != "" && strings.HasPrefix(word, prefix) {
				words = append(words, word)
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// first yields the first n records.
func first(n int, seq iter.Seq[Record]) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		left := n
		for r := range seq {
			if left--; left < 0 || !yield(r) {
				return
			}
		}
	}
}
