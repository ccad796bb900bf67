package registry

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Kind says what became of a name or of an alias from build A to build B.
type Kind string

// Of a base name, counted over all symbols of a build.
const (
	KindBecameAmbiguous Kind = "became-ambiguous" // one symbol carried it in A, several do in B
	KindBecameUnique    Kind = "became-unique"
	KindAppeared        Kind = "appeared"
	KindVanished        Kind = "vanished"
	KindMore            Kind = "more" // ambiguous in both, and more symbols carry it
	KindFewer           Kind = "fewer"
)

// Of an alias of A, by what is not as it was with its symbol's counterpart in B; of several the first of File, Unit, Suffix.
const (
	KindSame      Kind = "same"      // the alias names the same function
	KindLine      Kind = "line"      // the line alone moved
	KindSpelling  Kind = "spelling"  // at the same place, spelled in another way: another policy or another ordinal
	KindSuffix    Kind = "suffix"    // the symbol's own name has another suffix
	KindUnit      Kind = "unit"      // in the same file, compiled by another unit
	KindFile      Kind = "file"      // declared in another file
	KindUnique    Kind = "unique"    // no alias is there and none is needed: no other symbol bears its name
	KindUnaliased Kind = "unaliased" // it is there without an alias
	KindGone      Kind = "gone"
	KindUndecided Kind = "undecided" // its counterpart may be one of Candidates
	KindReused    Kind = "reused"    // the alias names another symbol in B
	KindNew       Kind = "new"       // an alias of B without a counterpart among those of A
)

// NameKinds and AliasKinds are all kinds, in the order in which they are told.
var (
	NameKinds  = []Kind{KindBecameAmbiguous, KindBecameUnique, KindAppeared, KindVanished, KindMore, KindFewer}
	AliasKinds = []Kind{
		KindSame, KindLine, KindSpelling, KindSuffix, KindUnit, KindFile, KindUnique, KindUnaliased, KindGone, KindUndecided, KindReused, KindNew,
	}
)

// Diff is what differs between two builds.
type Diff struct {
	A, B    Side
	Names   []Name        // by name
	Aliases []Translation // by base name, object and alias
	byAlias map[string]int
}

// Side is one of the two builds.
type Side struct {
	Header
	Aliases   int
	Ambiguous int // base names that several symbols carry, one with an alias at least
}

// Name is a base name of which other numbers of symbols carry it.
type Name struct {
	Kind   Kind
	Name   string
	A, B   int    // how many symbols carry it
	Code   bool   // one of them is a function
	Object string // of the one symbol that carries it in A, or in B alone; "" if there is none
}

// Translation is what became of an alias.
type Translation struct {
	Kind       Kind
	A, B       *Record // the symbol and its counterpart; nil if there is none, or none is known
	To         string  // what B calls the symbol: its alias, or its name if no other bears it; "" if neither
	Candidates []Record
	ReusedBy   []Record // of KindReused: the symbols of B that A's alias names
}

// Holds says whether B calls the symbol by A's alias, and nothing else.
func (t *Translation) Holds() bool {
	return t.A != nil && t.A.Alias != "" && t.To == t.A.Alias && t.Kind != KindReused
}

// Translate returns what became of an alias of A.
func (d *Diff) Translate(alias string) (*Translation, bool) {
	i, ok := d.byAlias[alias]
	if !ok {
		return nil, false
	}
	return &d.Aliases[i], true
}

// comparison is the work of Compare. What there is of A and of B stands in pairs: at 0 and at 1.
type comparison struct {
	registries [2]*Registry
	groups     []group
	index      map[string]int32 // into groups, by base name
	lines      [2][]groupLine
	modules    [2]map[string]bool // their names, "" for vmlinux
	files      [2]map[string]bool // that declare a symbol with an alias
	units      [2]map[string]bool // that compile one
	aliases    [2]map[string]*Record
}

// group is the symbols of a base name.
type group struct {
	base    string
	count   [2]int
	first   [2]int32 // into lines
	code    bool
	alias   [2]bool
	records [2][]Record // if one of them has an alias
}

type groupLine struct {
	group int32
	line  []byte
}

// Compare tells what differs between the builds of two registries. It keeps nothing of them.
func Compare(a, b *Registry) *Diff {
	c := &comparison{registries: [2]*Registry{a, b}}
	size := max(a.lineCount(), b.lineCount())
	c.index, c.groups = make(map[string]int32, size), make([]group, 0, size)
	for side := range c.registries {
		c.read(side)
	}
	for side := range c.registries {
		c.parse(side)
	}
	d := &Diff{A: c.side(0), B: c.side(1), Names: c.names()}
	for i := range c.groups {
		if g := &c.groups[i]; g.alias[0] || g.alias[1] {
			d.Aliases = append(d.Aliases, c.translate(g)...)
		}
	}
	slices.SortFunc(d.Aliases, compareTranslations)
	d.byAlias = make(map[string]int, len(d.Aliases))
	for i, t := range d.Aliases {
		if t.A != nil && t.A.Alias != "" {
			d.byAlias[t.A.Alias] = i
		}
	}
	return d
}

// lineCount is what the header says, as far as there is room for so many.
func (f *File) lineCount() int { return min(max(f.Symbols, 0), len(f.lines)/len(Columns)) }

// all yields the lines of the registry and of its overlay, each symbol once.
func (r *Registry) all() iter.Seq[[]byte] {
	if r.Overlay == nil {
		return r.from(0)
	}
	return func(yield func([]byte) bool) {
		for line := range r.from(0) {
			if record := parseRecord(line); !r.hides(&record) && !yield(line) {
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

// read counts the symbols of a build by base name.
func (c *comparison) read(side int) {
	r := c.registries[side]
	objects := map[string]bool{}
	c.lines[side] = make([]groupLine, 0, r.lineCount())
	at, last, separator := int32(-1), []byte(nil), []byte(r.Separator())
	for line := range r.all() {
		var column [10][]byte
		rest := line
		for i := range column {
			n := bytes.IndexByte(rest, '\t')
			if n < 0 {
				break
			}
			column[i], rest = rest[:n], rest[n+1:]
		}
		name, object, letter, base, alias := column[0], column[1], column[5], column[8], column[9]
		if bytes.Contains(name, separator) && r.isAlias(string(name)) {
			continue
		}
		if len(base) == 0 {
			base = name
		}
		if at < 0 || !bytes.Equal(base, last) {
			var known bool
			if at, known = c.index[string(base)]; !known {
				at = int32(len(c.groups))
				c.groups = append(c.groups, group{base: string(base)})
				c.index[c.groups[at].base] = at
			}
			last = base
		}
		g := &c.groups[at]
		if g.count[side] == 0 {
			g.first[side] = int32(len(c.lines[side]))
		}
		g.count[side]++
		g.code = g.code || isCode(letter) && !isPadding(name)
		g.alias[side] = g.alias[side] || len(alias) > 0
		if !objects[string(object)] { // asked with bytes, which makes no string
			objects[string(object)] = true
		}
		c.lines[side] = append(c.lines[side], groupLine{at, line})
	}
	c.modules[side] = map[string]bool{}
	for object := range objects {
		c.modules[side][ModuleName(object)] = true
	}
}

func isCode(letter []byte) bool {
	return len(letter) > 0 && (&Record{Type: letter[0]}).Code()
}

// isPadding says whether the symbol marks what stands before a function: it repeats that function's name, and nobody asks
// for it.
func isPadding(name []byte) bool {
	for _, prefix := range []string{"__pfx_", "__cfi_", "__kcfi_typeid_"} {
		if len(name) > len(prefix) && string(name[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}

// parse reads the symbols whose base name has an alias in one of the builds.
func (c *comparison) parse(side int) {
	for _, l := range c.lines[side] {
		if g := &c.groups[l.group]; g.alias[0] || g.alias[1] {
			g.records[side] = append(g.records[side], parseRecord(l.line))
		}
	}
	c.files[side], c.units[side], c.aliases[side] = map[string]bool{}, map[string]bool{}, map[string]*Record{}
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

// object is that of the group's first symbol.
func (c *comparison) object(side int, g *group) string {
	_, rest, _ := bytes.Cut(c.lines[side][g.first[side]].line, []byte{'\t'})
	object, _, _ := bytes.Cut(rest, []byte{'\t'})
	return string(object)
}

func compareTranslations(x, y Translation) int {
	key := func(t *Translation) (r *Record, a, b string) {
		if t.B != nil {
			b = t.B.Alias
		}
		if t.Kind == KindNew {
			return t.B, "", b
		}
		return t.A, t.A.Alias, b
	}
	rx, ax, bx := key(&x)
	ry, ay, by := key(&y)
	return cmp.Or(strings.Compare(rx.BaseName(), ry.BaseName()), strings.Compare(rx.Object, ry.Object),
		strings.Compare(ax, ay), strings.Compare(bx, by))
}

// translate tells what became of the aliases of a base name, and which are new.
func (c *comparison) translate(g *group) []Translation {
	m := c.match(g)
	var all []Translation
	known := map[*Record]bool{} // of B: told of with an alias of A
	for i := range g.records[0] {
		a := &g.records[0][i]
		if a.Alias == "" {
			continue
		}
		t := Translation{A: a, B: m.pair[a]}
		if t.B != nil {
			known[t.B] = true
			t.To, t.Kind = c.call(g, t.B), KindUnaliased
			switch {
			case t.B.Alias != "":
				t.Kind = changed(a, t.B)
			case t.To != "":
				t.Kind = KindUnique
			}
		} else {
			t.Kind = KindGone
			for _, b := range m.left[1] {
				if c.plausible(a, b) {
					t.Kind = KindUndecided
					t.Candidates = append(t.Candidates, *b)
					known[b] = true
				}
			}
		}
		if t.ReusedBy = c.bearers(&t); len(t.ReusedBy) > 0 {
			t.Kind = KindReused
		}
		all = append(all, t)
	}
	for i := range g.records[1] {
		if b := &g.records[1][i]; b.Alias != "" && !known[b] {
			all = append(all, Translation{Kind: KindNew, A: m.back[b], B: b, To: b.Alias})
		}
	}
	return all
}

// call returns what finds this symbol of B and no other, "" if nothing does.
func (c *comparison) call(g *group, b *Record) string {
	if b.Alias != "" || g.count[1] > 1 && len(c.registries[1].Named(b.Name)) > 1 {
		return b.Alias
	}
	return b.Name
}

// changed says what is not as it was with a symbol that has an alias in both builds.
func changed(a, b *Record) Kind {
	switch {
	case a.File != b.File && a.File != "" && b.File != "":
		return KindFile
	case a.Unit != b.Unit && a.Unit != "" && b.Unit != "":
		return KindUnit
	case a.Name != b.Name:
		return KindSuffix
	case a.Alias == b.Alias:
		return KindSame
	case a.Line != b.Line:
		return KindLine
	}
	return KindSpelling
}

// bearers returns the symbols of B that A's alias names and that are not the counterpart, nor may be it.
func (c *comparison) bearers(t *Translation) []Record {
	var found []Record
	if b := c.aliases[1][t.A.Alias]; b != nil {
		found = append(found, *b)
	}
	if i, ok := c.index[t.A.Alias]; ok && c.groups[i].count[1] > 0 {
		found = append(found, c.registries[1].Named(t.A.Alias)...)
	}
	return slices.DeleteFunc(found, func(r Record) bool {
		at := func(o *Record) bool {
			return o.Object == r.Object && o.Section == r.Section && o.Address == r.Address
		}
		return t.B != nil && at(t.B) || slices.ContainsFunc(t.Candidates, func(o Record) bool { return at(&o) })
	})
}

// Count returns how many aliases are of this kind.
func (d *Diff) Count(kind Kind) int {
	n := 0
	for i := range d.Aliases {
		if d.Aliases[i].Kind == kind {
			n++
		}
	}
	return n
}

// Held returns how many aliases of A hold in B.
func (d *Diff) Held() int {
	n := 0
	for i := range d.Aliases {
		if d.Aliases[i].Holds() {
			n++
		}
	}
	return n
}
