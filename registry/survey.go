package registry

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"
)

// Survey is what one pass over all lines of a registry finds. It refers to nothing in the registry.
type Survey struct {
	Functions int      // symbols that are code, without the padding before functions
	Repeated  int      // functions that share their exact name with another symbol of the build
	Renamed   int      // functions with an identity suffix in their name: LTO renamed them
	Aliased   []Record // symbols that have an alias, in the order of the file

	text  []byte       // the names
	names []sourceName // sorted, no name twice
}

// sourceName is a name up to its first dot, and the symbols that have it. It joins a function with
// its clones and parts, and with the names that LTO gave it.
type sourceName struct {
	at      int   // offset of the name in Survey.text
	size    int32 // of the name, in bytes
	symbols int32 // of any type, without clones and parts
	aliased int32 // of symbols, those that have an alias
	code    int32 // of symbols, the functions
	clones  int32 // of functions, and their parts: .cold, .isra.0
}

// Survey reads all lines of the registry.
func (f *File) Survey() *Survey {
	// The names are a fifth of a kernel's registry.
	s := &Survey{
		text: make([]byte, 0, len(f.lines)/4), names: make([]sourceName, 0, f.lineCount()),
	}
	aliases, separator := map[string]bool{}, []byte(f.Separator())
	var maybe []columns // symbols that may be aliases: the symbol tables of a later build have them
	for line := range f.from(0) {
		c := cutColumns(line)
		if len(c.alias) > 0 {
			s.Aliased = append(s.Aliased, f.record(line))
			aliases[string(c.alias)] = true
		}
		if bytes.Contains(c.name, separator) {
			maybe = append(maybe, c)
			continue
		}
		s.add(&c)
	}
	for i := range maybe {
		if !aliases[string(maybe[i].name)] {
			s.add(&maybe[i])
		}
	}
	// All but sorted: few bytes sort between the end of a name and a dot.
	slices.SortFunc(s.names, func(a, b sourceName) int {
		return bytes.Compare(s.name(&a), s.name(&b))
	})
	s.join()
	return s
}

// add counts a symbol.
func (s *Survey) add(c *columns) {
	function := isCode(c.letter, c.source) && !isPadding(c.name)
	base := c.base
	if len(base) == 0 {
		base = c.name
	}
	if function {
		s.Functions++
		if string(c.count) != "1" {
			s.Repeated++
		}
		if !bytes.Equal(base, c.name) {
			s.Renamed++
		}
	}
	name := c.name
	if dot := bytes.IndexByte(name, '.'); dot > 0 {
		name = name[:dot]
	}
	n := sourceName{at: len(s.text), size: int32(len(name))}
	switch {
	case len(base) == len(name):
		n.symbols = 1
		if len(c.alias) > 0 {
			n.aliased = 1
		}
		if function {
			n.code = 1
		}
	case function:
		n.clones = 1
	}
	if last := len(s.names) - 1; last >= 0 && bytes.Equal(s.name(&s.names[last]), name) {
		s.names[last].join(&n)
		return
	}
	s.text = append(s.text, name...)
	s.names = append(s.names, n)
}

func (n *sourceName) join(o *sourceName) {
	n.symbols += o.symbols
	n.aliased += o.aliased
	n.code += o.code
	n.clones += o.clones
}

// join adds up equal names, which must be neighbours.
func (s *Survey) join() {
	joined := s.names[:0]
	for i := range s.names {
		n := &s.names[i]
		if last := len(joined) - 1; last >= 0 && bytes.Equal(s.name(&joined[last]), s.name(n)) {
			joined[last].join(n)
			continue
		}
		joined = append(joined, *n)
	}
	s.names = joined
}

func (s *Survey) name(n *sourceName) []byte { return s.text[n.at:][:n.size] }

// Change says how the functions of one build differ from those of another, by their names up to the
// first dot.
type Change struct {
	Gone    int // names that only the first build has: removed, inlined or folded functions
	New     int // names that only the second build has
	Settled int // names of several functions in the first build, and of at most one in the second
}

// Against compares the functions of a build with those of build a.
func (s *Survey) Against(a *Survey) (c Change) {
	old, now := a.names, s.names
	for len(old) > 0 || len(now) > 0 {
		order := 0
		switch {
		case len(old) == 0:
			order = 1
		case len(now) == 0:
			order = -1
		default:
			order = bytes.Compare(a.name(&old[0]), s.name(&now[0]))
		}
		var x, y sourceName
		if order <= 0 {
			x, old = old[0], old[1:]
		}
		if order >= 0 {
			y, now = now[0], now[1:]
		}
		had, has := x.code+x.clones > 0, y.code+y.clones > 0
		if had && !has {
			c.Gone++
		}
		if has && !had {
			c.New++
		}
		if x.code > 1 && y.code < 2 {
			c.Settled++
		}
	}
	return c
}

// Row is a function, or a variable, in each of several builds. In a row without a location there
// may be several.
type Row struct {
	Base, File, Unit string
	Cells            []Cell // one for each build
}

// Cell is what a build calls a function.
type Cell struct {
	Records []Record // the symbols with an alias: several if the location does not separate them
	Presence
}

// Presence says what is known of a function of which a build has no alias.
type Presence byte

// In a build without an alias for the function there is
const (
	Absent  Presence = iota // no symbol of the name, or each of them is another function
	Unique                  // one symbol of the name; the registry does not know its location
	Unnamed                 // a symbol of the name that has no alias, among several of that name
)

// Location returns FILE, and " in UNIT" if the unit is another file; "" if it is unknown.
func (r *Row) Location() string { return (&Record{File: r.File, Unit: r.Unit}).Location() }

// Matrix returns a row for each function that has an alias in a build, sorted by name and location.
func Matrix(builds []*Survey) []Row {
	type key struct{ base, file, unit string }
	index := map[key]int{}
	var rows []Row
	for i, s := range builds {
		for _, r := range s.Aliased {
			k := key{r.BaseName(), r.File, r.Unit}
			at, known := index[k]
			if !known {
				at = len(rows)
				index[k] = at
				rows = append(rows, Row{k.base, k.file, k.unit, make([]Cell, len(builds))})
			}
			cell := &rows[at].Cells[i]
			cell.Records = append(cell.Records, r)
		}
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(strings.Compare(a.Base, b.Base), strings.Compare(a.File, b.File),
			strings.Compare(a.Unit, b.Unit))
	})
	for i := range rows {
		for j := range rows[i].Cells {
			if c := &rows[i].Cells[j]; len(c.Records) == 0 {
				c.Presence = builds[j].presence(rows[i].Base)
			}
		}
	}
	return rows
}

// presence says what the build has of a function that has no alias there.
func (s *Survey) presence(base string) Presence {
	name, _, _ := strings.Cut(base, ".")
	if name != base {
		return Absent // clones are counted by the name of their function
	}
	i, found := slices.BinarySearchFunc(s.names, name, func(n sourceName, name string) int {
		return strings.Compare(string(s.name(&n)), name)
	})
	switch {
	case !found || s.names[i].symbols == s.names[i].aliased:
		return Absent
	case s.names[i].symbols == 1:
		return Unique
	}
	return Unnamed
}

// Differs reports whether the builds differ in the function: whether only some have it, or its name
// or its alias is not the same in all.
func (r *Row) Differs() bool {
	first := &r.Cells[0]
	for i := range r.Cells[1:] {
		c := &r.Cells[i+1]
		if len(c.Records) != len(first.Records) || c.Presence != first.Presence {
			return true
		}
		for j := range c.Records {
			a, b := &c.Records[j], &first.Records[j]
			if a.Name != b.Name || a.Alias != b.Alias {
				return true
			}
		}
	}
	return false
}

// Tail returns what the alias has after the name, the separator and the location without its line:
// the line, an ordinal or both, as in "186" and "18_2". An alias that was shortened, or that has no
// location, is returned whole.
func (r *Record) Tail(separator string) string {
	places := []string{r.File}
	if r.Unit != r.File {
		places = []string{r.File + ":" + r.Unit, r.File + ":" + path.Base(r.Unit), r.File}
	}
	for _, place := range places {
		if tail, ok := strings.CutPrefix(r.Alias, r.BaseName()+separator+Fold(place)); ok {
			return strings.TrimPrefix(tail, "_")
		}
	}
	return r.Alias
}
