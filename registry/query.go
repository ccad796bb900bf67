package registry

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Lookup finds symbols by what is known of one: an alias, a name with or without its suffix, NAME@FILE or NAME@FILE:LINE,
// a glob over names and aliases, a source file or FILE:LINE, an address, NAME+OFFSET or an object.
// They come in the order of names, objects and addresses; none is no error.
func (r *Registry) Lookup(pattern string) ([]Record, error) {
	found, err := r.lookup(strings.TrimPrefix(pattern, "./"))
	found = slices.DeleteFunc(found, func(f Record) bool { return r.isAlias(f.Name) })
	slices.SortFunc(found, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.BaseName(), b.BaseName()), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Object, b.Object), strings.Compare(a.Section, b.Section), cmp.Compare(a.Address, b.Address))
	})
	return found, err
}

func (r *Registry) lookup(pattern string) ([]Record, error) {
	if pattern == "" {
		return nil, errors.New("an empty pattern")
	}
	if strings.ContainsAny(pattern, "*?[") {
		return r.glob(pattern)
	}
	if found := r.exact(pattern); len(found) > 0 {
		return found, nil
	}
	switch t, ok, err := r.AddressOf(pattern); {
	case err != nil:
		return nil, err
	case ok && t.Object == "": // so many bytes after a name that is not known
		return nil, nil
	case ok:
		return r.at(t.Object, t.Section, t.Address), nil
	}
	if found := r.object(pattern); len(found) > 0 {
		return found, nil
	}
	return r.byLocation(pattern), nil
}

// parseOffset reads a decimal number, or a hexadecimal one with 0x.
func parseOffset(s string) (uint64, bool) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		n, err := strconv.ParseUint(digits, 16, 64)
		return n, err == nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// parseAddress reads an address as kallsyms and people write it: with 0x, or with as many digits as one has.
func parseAddress(s string) (uint64, bool) {
	digits, marked := strings.CutPrefix(s, "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && (marked || len(digits) == 8 || len(digits) == 16)
}

// exact finds an alias or a part of one, else a name or a base name, else the clones and fragments of a function that is not
// there itself.
func (r *Registry) exact(pattern string) []Record {
	if name, tail, ok := r.cut(pattern); ok {
		found := r.Find(func(f *File) iter.Seq[Record] {
			return filter(f.Based(name), func(r *Record) bool { return r.Alias == pattern || r.Alias != "" && isAt(r, name, tail) })
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
	if strings.ContainsAny(pattern, "/:") || strings.Contains(pattern, r.Separator()) {
		return nil
	}
	return r.Find(func(f *File) iter.Seq[Record] { return f.Prefixed(pattern + ".") })
}

// Separator is what stands between name and place in the aliases of this registry.
func (h *Header) Separator() string {
	for _, word := range strings.Fields(h.Policy) {
		if sep, ok := strings.CutPrefix(word, "separator="); ok && sep != "" {
			return sep
		}
	}
	return "@"
}

// cut divides NAME@PLACE.
func (r *Registry) cut(pattern string) (name, tail string, ok bool) {
	name, tail, ok = strings.Cut(pattern, r.Separator())
	return name, tail, ok && name != "" && tail != ""
}

// Aliased returns the symbols whose alias this is; an alias without the separator is not looked for.
func (r *Registry) Aliased(alias string) []Record {
	base, _, ok := r.cut(alias)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(r.Based(base), func(o Record) bool { return o.Alias != alias })
}

// isAlias says whether a name is the alias of another symbol here: of a kernel that was built with the hooks.
func (r *Registry) isAlias(name string) bool { return len(r.Aliased(name)) > 0 }

// isAt says whether the symbol's place is meant by the tail of an alias: as it is spelled there, whole or at its
// beginning, or as FILE or FILE:LINE with as many of its folders as were given.
func isAt(r *Record, name, tail string) bool {
	spelled := strings.TrimPrefix(r.Alias, name)
	for len(spelled) > 0 && !alphanumeric(spelled[0]) {
		spelled = spelled[1:] // the separator
	}
	if rest, ok := strings.CutPrefix(spelled, Fold(tail)); ok && (rest == "" || rest[0] == '_') {
		return true
	}
	file, line, _ := CutLine(tail)
	return (line == 0 || line == r.Line) && (PathEndsWith(r.File, file) || PathEndsWith(r.Unit, file))
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// Fold writes a place as aliases do: every byte outside [A-Za-z0-9] is an underscore.
func Fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !alphanumeric(c) {
			b[i] = '_'
		}
	}
	return string(b)
}

// CutLine divides FILE:LINE.
func CutLine(s string) (file string, line int64, ok bool) {
	if i := strings.LastIndexByte(s, ':'); i > 0 {
		if n, err := strconv.ParseInt(s[i+1:], 10, 64); err == nil && n > 0 {
			return s[:i], n, true
		}
	}
	return s, 0, false
}

// PathEndsWith says whether the path's last parts are those of file.
func PathEndsWith(path, file string) bool {
	rest, ok := strings.CutSuffix(path, file)
	return ok && file != "" && (rest == "" || rest[len(rest)-1] == '/')
}

func filter(seq iter.Seq[Record], keep func(*Record) bool) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for r := range seq {
			if keep(&r) && !yield(r) {
				return
			}
		}
	}
}

// glob finds names and aliases that match as a shell would; no name holds a slash, so a star takes all. NAME@PLACE
// takes a place with slashes, too.
func (r *Registry) glob(pattern string) ([]Record, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, err)
	}
	folded := pattern
	if name, tail, ok := r.cut(pattern); ok {
		folded = name + r.Separator() + strings.NewReplacer("/", "_", ".", "_", ":", "_", "-", "_").Replace(tail)
	}
	// Every name, and the base of every alias, begins with what stands before the first of these; a pattern that begins with
	// one is first looked for by the longest text that every match holds.
	const special = "*?[\\"
	literal, _, _ := strings.Cut(pattern[:strings.IndexAny(pattern, special)], r.Separator())
	candidates := func(f *File) iter.Seq[Record] { return f.Prefixed(literal) }
	if name, _, _ := strings.Cut(pattern, r.Separator()); literal == "" && !strings.ContainsAny(name, "[\\") {
		parts := strings.FieldsFunc(name, func(c rune) bool { return strings.ContainsRune(special, c) })
		longest := slices.MaxFunc(append(parts, ""), func(a, b string) int { return len(a) - len(b) })
		candidates = func(f *File) iter.Seq[Record] { return f.Holding(longest) }
	}
	return r.Find(func(f *File) iter.Seq[Record] {
		return filter(candidates(f), func(r *Record) bool {
			byName, _ := path.Match(pattern, r.Name)
			byAlias, _ := path.Match(pattern, r.Alias)
			byPlace, _ := path.Match(folded, r.Alias)
			return byName || byAlias || byPlace
		})
	}), nil
}

// at finds the symbols that an address lies in; of symbols within symbols those that begin last.
func (r *Registry) at(object, section string, address uint64) []Record {
	found := r.Find(func(f *File) iter.Seq[Record] { return f.At(object, section, address) })
	last := uint64(0)
	for i := range found {
		last = max(last, found[i].Address)
	}
	return slices.DeleteFunc(found, func(f Record) bool { return f.Address != last })
}

// Target is the place that an address or NAME+OFFSET means; false if the pattern is neither.
func (r *Registry) AddressOf(pattern string) (place Record, ok bool, err error) {
	name, offset, plus := strings.Cut(pattern, "+")
	more := uint64(0)
	if plus {
		if more, ok = parseOffset(offset); !ok {
			return place, false, nil
		}
	}
	if address, ok := parseAddress(name); ok {
		return Record{Object: Vmlinux, Address: address + more}, true, nil
	}
	if !plus {
		return place, false, nil
	}
	from := r.exact(name)
	for i := range from {
		if f := &from[i]; f.Object != from[0].Object || f.Section != from[0].Section || f.Address != from[0].Address {
			return place, true, fmt.Errorf("%s is %d symbols: %s+%#x says of none of them what lies there", name, len(from), name, more)
		}
	}
	if len(from) == 0 {
		return place, true, nil
	}
	f := &from[0]
	place = Record{Object: f.Object, Section: f.Section, Address: f.Address + more}
	if f.Object == Vmlinux {
		place.Section = "" // addresses say it
	}
	return place, true, nil
}

// object finds the symbols of a module's file, given with as many of its folders as are wanted.
func (r *Registry) object(pattern string) []Record {
	base := path.Base(pattern)
	if pattern == Vmlinux || strings.HasSuffix(base, ".ko") || strings.HasSuffix(base, ".o") {
		return r.Find(func(f *File) iter.Seq[Record] {
			return f.Of(pattern)
		})
	}
	return nil
}

// byPlace finds the symbols that are declared in FILE or at FILE:LINE, or compiled there.
func (r *Registry) byLocation(pattern string) []Record {
	file, line, _ := CutLine(pattern)
	return r.Find(func(f *File) iter.Seq[Record] {
		return filter(f.In(file), func(r *Record) bool { return line == 0 || line == r.Line })
	})
}

// Complete returns names and aliases that begin with prefix, no more than most.
func (r *Registry) Complete(prefix string, most int) []string {
	name, _, _ := strings.Cut(prefix, r.Separator())
	var words []string
	for _, found := range r.Find(func(f *File) iter.Seq[Record] { return first(most, f.Prefixed(name)) }) {
		for _, word := range []string{found.Name, found.Alias} {
			if word != "" && strings.HasPrefix(word, prefix) {
				words = append(words, word)
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

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
