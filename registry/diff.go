package registry

import "slices"

// Compare returns what differs between the builds of two registries. The result stays valid after
// they are closed.
func Compare(a, b *Registry) *Diff {
	c := newComparison(a, b)
	d := &Diff{A: c.side(0), B: c.side(1), Names: c.names()}
	for i := range c.groups {
		if g := &c.groups[i]; g.aliased() {
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

// Diff is the difference between two builds.
type Diff struct {
	A, B    Side
	Names   []Name        // sorted by name
	Aliases []Translation // sorted by base name, object and alias
	byAlias map[string]int
}

// Side is one of the two builds.
type Side struct {
	Header
	Aliases   int
	Ambiguous int // base names with several symbols, at least one of them with an alias
}

// Name is a base name whose number of symbols differs.
type Name struct {
	Kind   Kind
	Name   string
	A, B   int    // number of symbols
	Code   bool   // at least one symbol is a function
	Object string // of the only symbol in A, or else of the only one in B; "" if neither is unique
}

// Translation is what became of an alias.
type Translation struct {
	Kind       Kind
	A, B       *Record  // the symbol and its counterpart; nil if there is none or it is unknown
	To         string   // what finds the symbol in B: its alias, or its name if unique; else ""
	Candidates []Record // of KindUndecided: symbols of B that may be the counterpart
	ReusedBy   []Record // of KindReused: symbols of B that A's alias names
}

// Kind is what became of a name or an alias from build A to build B.
type Kind string

// Kinds of a base name, counted over all symbols of a build.
const (
	KindBecameAmbiguous Kind = "became-ambiguous" // one symbol in A, several in B
	KindBecameUnique    Kind = "became-unique"    // several symbols in A, one in B
	KindAppeared        Kind = "appeared"
	KindVanished        Kind = "vanished"
	KindMore            Kind = "more"  // several symbols in A, more in B
	KindFewer           Kind = "fewer" // several symbols in A, fewer but still several in B
)

// Kinds of an alias of A, by how its symbol's counterpart in B differs. Where several apply, File
// is before Unit, Unit before Suffix and Suffix before the rest.
const (
	KindSame      Kind = "same"      // the same alias names the same function
	KindLine      Kind = "line"      // only the line differs
	KindSpelling  Kind = "spelling"  // same location, but another policy or ordinal spells it
	KindSuffix    Kind = "suffix"    // the symbol's own name has another suffix or, in Rust, hash
	KindUnit      Kind = "unit"      // declared in the same file, compiled by another unit
	KindFile      Kind = "file"      // declared in another file
	KindUnique    Kind = "unique"    // without an alias, because its name is unique now
	KindUnaliased Kind = "unaliased" // without an alias, although its name is not unique
	KindGone      Kind = "gone"      // no counterpart
	KindUndecided Kind = "undecided" // the counterpart may be one of Candidates
	KindReused    Kind = "reused"    // the alias names another symbol in B
	KindNew       Kind = "new"       // an alias of B; its symbol had none in A
)

// NameKinds and AliasKinds are all kinds, in the order in which they are printed.
var (
	NameKinds = []Kind{
		KindBecameAmbiguous, KindBecameUnique, KindAppeared, KindVanished, KindMore, KindFewer,
	}
	AliasKinds = []Kind{
		KindSame, KindLine, KindSpelling, KindSuffix, KindUnit, KindFile, KindUnique, KindUnaliased,
		KindGone, KindUndecided, KindReused, KindNew,
	}
)

// Holds reports whether A's alias finds the symbol in B, and nothing else.
func (t *Translation) Holds() bool {
	return t.A != nil && t.A.Alias != "" && t.To == t.A.Alias && t.Kind != KindReused
}

// Translate returns what became of an alias of A, false if A does not have it.
func (d *Diff) Translate(alias string) (*Translation, bool) {
	i, ok := d.byAlias[alias]
	if !ok {
		return nil, false
	}
	return &d.Aliases[i], true
}

// Count returns the number of aliases of this kind.
func (d *Diff) Count(kind Kind) int {
	n := 0
	for i := range d.Aliases {
		if d.Aliases[i].Kind == kind {
			n++
		}
	}
	return n
}

// Held returns the number of aliases of A that hold in B.
func (d *Diff) Held() int {
	n := 0
	for i := range d.Aliases {
		if d.Aliases[i].Holds() {
			n++
		}
	}
	return n
}
