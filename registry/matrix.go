package registry

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
)

// Row is a function, or a variable, in each of several builds. In a row without a location there
// may be several.
type Row struct {
	Base, File, Unit string
	Cells            []Cell // one for each build
}

// Cell is what a build calls a function.
type Cell struct {
	// The symbols with an alias: several if the location does not separate them. Complete adds the
	// symbol of a unique name.
	Records []Record
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
	for j, s := range builds {
		base, presence := "", Absent // of the row before: many rows have one name
		for i := range rows {
			if c := &rows[i].Cells[j]; len(c.Records) == 0 {
				if rows[i].Base != base {
					base, presence = rows[i].Base, s.presence(rows[i].Base)
				}
				c.Presence = presence
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
	i, found := sort.Find(len(s.names), func(i int) int {
		return strings.Compare(name, string(s.name(i)))
	})
	switch {
	case !found || s.kind(i)&unaliased == 0:
		return Absent
	case s.kind(i)&several == 0:
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

// Complete looks in the registries for the symbols of which the builds have no alias. It corrects
// the presence of names with a dot, and gives a cell that is Unique the record of its symbol.
func (r *Row) Complete(builds []*Registry) {
	for i := range r.Cells {
		c := &r.Cells[i]
		if len(c.Records) > 0 {
			continue
		}
		found := slices.DeleteFunc(builds[i].Based(r.Base), func(r Record) bool {
			return r.Alias != "" || builds[i].isAlias(r.Name)
		})
		switch len(found) {
		case 0:
			c.Presence = Absent
		case 1:
			c.Presence, c.Records = Unique, found
		default:
			c.Presence = Unnamed
		}
	}
}

// RowKinds are the kinds that Row.Is knows, and what they mean.
var RowKinds = [][2]string{
	{"renamed", "a build gave its name an identity suffix: LTO"},
	{"folded", "a build folded it into an equal function"},
	{"absent", "a build has no symbol of it, and another has"},
	{"unique", "its name is unique in a build, and ambiguous in another"},
	{"unaliased", "a build has several symbols of the name without an alias"},
	{"line", "the builds place it at different lines"},
	{"alias", "the builds have different aliases for it"},
	{"same", "all builds have it, with the same name and alias"},
}

// Is reports whether a row that is complete is of one of RowKinds.
func (r *Row) Is(kind string) bool {
	switch kind {
	case "renamed":
		return r.any(func(c *Cell) bool {
			return c.has(func(r *Record) bool { return r.Name != r.BaseName() })
		})
	case "folded":
		return r.any(func(c *Cell) bool { return c.has((*Record).Folded) })
	case "absent":
		return r.any(func(c *Cell) bool { return c.Presence == Absent && len(c.Records) == 0 })
	case "unique":
		return r.any(func(c *Cell) bool { return c.Presence == Unique }) &&
			r.any(func(c *Cell) bool { return c.aliased() || c.Presence == Unnamed })
	case "unaliased":
		return r.any(func(c *Cell) bool { return c.Presence == Unnamed })
	case "line":
		return r.vary(func(r *Record) string { return fmt.Sprint(r.Line) })
	case "alias":
		return r.vary(func(r *Record) string { return r.Alias })
	}
	return kind == "same" && !r.Differs()
}

func (r *Row) any(is func(*Cell) bool) bool {
	return slices.ContainsFunc(r.Cells, func(c Cell) bool { return is(&c) })
}

// vary reports whether a value of the records differs among the builds that have an alias.
func (r *Row) vary(value func(*Record) string) bool {
	var first []string
	return r.any(func(c *Cell) bool {
		if !c.aliased() {
			return false
		}
		var values []string
		for i := range c.Records {
			values = append(values, value(&c.Records[i]))
		}
		if first == nil {
			first = values
		}
		return !slices.Equal(first, values)
	})
}

func (c *Cell) aliased() bool { return c.has(func(r *Record) bool { return r.Alias != "" }) }

func (c *Cell) has(is func(*Record) bool) bool {
	return slices.ContainsFunc(c.Records, func(r Record) bool { return is(&r) })
}

// Folded reports whether the compiler or the linker folded the function into an equal one of
// another name: debugging information has it without an address.
func (r *Record) Folded() bool {
	method, _, _ := strings.Cut(r.Method, ",")
	return r.Alias != "" && method == "name"
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
