package registry

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
)

// comparison is the working state of Compare. Pairs hold build A at index 0 and build B at index 1.
type comparison struct {
	registries [2]*Registry
	groups     []group
	index      map[string]int32 // base name to index of its group
	lines      [2][]groupLine
	modules    [2]map[string]bool // names of all modules, "" for vmlinux
	files      [2]map[string]bool // files that declare a symbol with an alias
	units      [2]map[string]bool // units that compile a symbol with an alias
	aliases    [2]map[string]*Record
}

// group is the symbols with one base name.
type group struct {
	base    string
	count   [2]int
	first   [2]int32 // index of the first of lines
	code    bool
	alias   [2]bool     // at least one symbol has an alias
	records [2][]Record // only of groups with an alias
}

func (g *group) aliased() bool { return g.alias[0] || g.alias[1] }

type groupLine struct {
	group int32
	line  []byte
}

func newComparison(a, b *Registry) *comparison {
	c := &comparison{registries: [2]*Registry{a, b}}
	size := max(a.lineCount(), b.lineCount())
	c.index, c.groups = make(map[string]int32, size), make([]group, 0, size)
	for side := range c.registries {
		c.read(side)
	}
	c.pairRust()
	for side := range c.registries {
		c.parse(side)
	}
	return c
}

// lineCount returns the number of lines that the header states, limited to what fits the file.
func (f *File) lineCount() int { return min(max(f.Symbols, 0), f.size/len(Columns)) }

// all yields the lines of the registry and its overlay, without the lines that the overlay hides.
func (r *Registry) all() iter.Seq[[]byte] {
	if r.Overlay == nil {
		return r.from(0)
	}
	return func(yield func([]byte) bool) {
		for line := range r.from(0) {
			if record := r.record(line); !r.hides(&record) && !yield(line) {
				return
			}
		}
		for line := range r.Overlay.from(0) {
			if !yield(line) {
				return
			}
		}
	}
}

// symbols yields the lines of all, and their columns, without the aliases that a symbol table has.
// It runs over every line, so it parses no records. The columns are valid until the next line.
func (r *Registry) symbols() iter.Seq2[[]byte, *columns] {
	separator := []byte(r.Separator())
	return func(yield func([]byte, *columns) bool) {
		var c columns
		for line := range r.all() {
			c = cutColumns(line)
			if bytes.Contains(c.name, separator) && r.isAlias(string(c.name)) {
				continue
			}
			if !yield(line, &c) {
				return
			}
		}
	}
}

// read counts the symbols of a build by base name.
func (c *comparison) read(side int) {
	r := c.registries[side]
	objects := map[string]bool{}
	c.lines[side] = make([]groupLine, 0, r.lineCount())
	at, last := int32(-1), []byte(nil)
	for line, col := range r.symbols() {
		base := col.baseName()
		if at < 0 || !bytes.Equal(base, last) {
			at, last = c.groupOf(base), base
		}
		g := &c.groups[at]
		if g.count[side] == 0 {
			g.first[side] = int32(len(c.lines[side]))
		}
		g.count[side]++
		g.code = g.code || col.function()
		g.alias[side] = g.alias[side] || len(col.alias) > 0
		// This index expression does not allocate; an assignment does.
		if object := col.object(); !objects[string(object)] {
			objects[string(object)] = true
		}
		c.lines[side] = append(c.lines[side], groupLine{at, line})
	}
	c.modules[side] = map[string]bool{}
	for object := range objects {
		c.modules[side][cmp.Or(r.renamedTo(object), ModuleName(object))] = true
	}
}

// pairRust makes one group of a base name that only A has and one that only B has, if both are the
// same name of Rust and differ in the hashes that rustc puts into mangled names. The name must be
// that of one group in each build, or of one with its file and unit: instances for other types may
// have the same name in the legacy scheme.
func (c *comparison) pairRust() {
	joined := map[int32]int32{} // from a group of B to one of A
	for _, withFile := range []bool{false, true} {
		named := map[matchKey]*[2][]int32{}
		for i := range c.groups {
			g := &c.groups[i]
			if (g.count[0] == 0) == (g.count[1] == 0) {
				continue
			}
			name := Demangled(g.base)
			if name == "" {
				continue
			}
			side := 0
			if g.count[0] == 0 {
				side = 1
			}
			key := matchKey{name}
			if withFile {
				first := parseRecord(c.lines[side][g.first[side]].line)
				key[1], key[2] = first.File, first.Unit
			}
			if named[key] == nil {
				named[key] = &[2][]int32{}
			}
			named[key][side] = append(named[key][side], int32(i))
		}
		for _, pair := range named {
			if len(pair[0]) == 1 && len(pair[1]) == 1 {
				a, b := &c.groups[pair[0][0]], &c.groups[pair[1][0]]
				if a.code != b.code {
					continue
				}
				a.count[1], a.first[1], a.alias[1] = b.count[1], b.first[1], b.alias[1]
				*b = group{base: b.base}
				c.index[b.base] = pair[0][0]
				joined[pair[1][0]] = pair[0][0]
			}
		}
	}
	for i := range c.lines[1] {
		l := &c.lines[1][i]
		if to, ok := joined[l.group]; ok {
			l.group = to
		}
	}
}

// groupOf returns the index of the group with the base name. It makes the group if there is none.
func (c *comparison) groupOf(base []byte) int32 {
	at, known := c.index[string(base)]
	if !known {
		at = int32(len(c.groups))
		c.groups = append(c.groups, group{base: string(base)})
		c.index[c.groups[at].base] = at
	}
	return at
}

// baseName is Record.BaseName.
func (c *columns) baseName() []byte {
	if len(c.base) == 0 {
		return c.name
	}
	return c.base
}

// function reports whether the symbol is code, and not only the padding before a function.
func (c *columns) function() bool { return c.code() && !isPadding(c.name) }

// code is Record.Code.
func (c *columns) code() bool {
	if len(c.source) == 0 { // of most symbols
		return strings.IndexByte(codeLetters, c.letter) >= 0
	}
	r := Record{Type: c.letter, Method: string(c.source)}
	return r.Code()
}

// isPadding reports whether the symbol marks the bytes before a function. Such a name repeats the
// function's name, and nobody looks it up.
func isPadding(name []byte) bool {
	if len(name) < 2 || name[0] != '_' || name[1] != '_' {
		return false // most names, at once
	}
	for _, prefix := range []string{"__pfx_", "__cfi_", "__kcfi_typeid_"} {
		if len(name) > len(prefix) && string(name[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}

// parse reads the records of all groups that have an alias in one of the builds.
func (c *comparison) parse(side int) {
	for _, l := range c.lines[side] {
		if g := &c.groups[l.group]; g.aliased() {
			r := parseRecord(l.line)
			r.Renamed = c.registries[side].renamedTo(r.Object)
			g.records[side] = append(g.records[side], r)
		}
	}
	c.files[side], c.units[side] = map[string]bool{}, map[string]bool{}
	c.aliases[side] = map[string]*Record{}
	for i := range c.groups {
		records := c.groups[i].records[side]
		for j := range records {
			r := &records[j]
			if r.File != "" {
				c.files[side][r.File], c.units[side][r.Unit] = true, true
			}
			if r.Alias != "" {
				c.aliases[side][r.Alias] = r
			}
		}
	}
}

func (c *comparison) side(side int) Side {
	s := Side{Header: c.registries[side].Header, Aliases: len(c.aliases[side])}
	s.Symbols = len(c.lines[side]) // with those of the overlay
	for i := range c.groups {
		if g := &c.groups[i]; g.count[side] > 1 && g.alias[side] {
			s.Ambiguous++
		}
	}
	return s
}

// names returns the base names whose counts differ.
func (c *comparison) names() []Name {
	var names []Name
	for i := range c.groups {
		g := &c.groups[i]
		a, b := g.count[0], g.count[1]
		var kind Kind
		switch {
		case a == b:
			continue
		case a == 0:
			kind = KindAppeared
		case b == 0:
			kind = KindVanished
		case a == 1:
			kind = KindBecameAmbiguous
		case b == 1:
			kind = KindBecameUnique
		case a < b:
			kind = KindMore
		default:
			kind = KindFewer
		}
		n := Name{Kind: kind, Name: g.base, A: a, B: b, Code: g.code}
		if a == 1 {
			n.Object = c.object(0, g)
		} else if b == 1 {
			n.Object = c.object(1, g)
		}
		names = append(names, n)
	}
	slices.SortFunc(names, func(x, y Name) int { return strings.Compare(x.Name, y.Name) })
	return names
}

// object returns the object of the group's first symbol.
func (c *comparison) object(side int, g *group) string {
	_, rest, _ := bytes.Cut(c.lines[side][g.first[side]].line, []byte{'\t'})
	object, _, _ := bytes.Cut(rest, []byte{'\t'})
	return string(object)
}
