package registry

import (
	"cmp"
	"slices"
	"strings"
)

// translate returns what became of the aliases of a base name, and its new aliases.
func (c *comparison) translate(g *group) []Translation {
	m := c.match(g)
	var all []Translation
	known := map[*Record]bool{} // records of B that are in the translation of an alias of A
	for i := range g.records[0] {
		a := &g.records[0][i]
		if a.Alias == "" {
			continue
		}
		t := Translation{A: a, B: m.pair[a]}
		if t.B != nil {
			known[t.B] = true
			t.To, t.Kind = c.findableAs(g, t.B), KindUnaliased
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
		if t.ReusedBy = c.reusedBy(&t); len(t.ReusedBy) > 0 {
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

// findableAs returns the alias or name that finds this symbol of B and no other, "" if there is
// none.
func (c *comparison) findableAs(g *group, b *Record) string {
	if b.Alias != "" || g.count[1] > 1 && len(c.registries[1].Named(b.Name)) > 1 {
		return b.Alias
	}
	return b.Name
}

// changed returns what differs between a symbol and its counterpart. Both have an alias.
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

// reusedBy returns the symbols of B that A's alias names, except the counterpart and the candidates
// for it.
func (c *comparison) reusedBy(t *Translation) []Record {
	var found []Record
	if b := c.aliases[1][t.A.Alias]; b != nil {
		found = append(found, *b)
	}
	if i, ok := c.index[t.A.Alias]; ok && c.groups[i].count[1] > 0 {
		found = append(found, c.registries[1].Named(t.A.Alias)...)
	}
	return slices.DeleteFunc(found, func(r Record) bool {
		same := func(o *Record) bool {
			return o.Object == r.Object && o.Section == r.Section && o.Address == r.Address
		}
		return t.B != nil && same(t.B) ||
			slices.ContainsFunc(t.Candidates, func(o Record) bool { return same(&o) })
	})
}

// compareTranslations orders translations by base name, object, alias of A and alias of B.
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
	return cmp.Or(strings.Compare(rx.BaseName(), ry.BaseName()),
		strings.Compare(rx.Object, ry.Object), strings.Compare(ax, ay), strings.Compare(bx, by))
}
