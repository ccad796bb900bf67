package stages

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"kas/pipeline"
	"kas/registry"
)

// Limits on the length of a symbol's name, without the NUL: KSYM_NAME_LEN - 1 from Linux 6.1 and before.
const (
	maxName    = 511
	maxNameOld = 127
)

// maxLength is the limit of the build: the configuration's, else that of its release, else the newer one.
func maxLength(b *pipeline.Build) int {
	if b.Config.Alias.MaxLength > 0 {
		return b.Config.Alias.MaxLength
	}
	major, rest, _ := strings.Cut(b.Release, ".")
	minor := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	x, err := strconv.Atoi(major)
	if err != nil || len(minor) == 0 {
		return maxName
	}
	if y, _ := strconv.Atoi(minor[0]); x < 6 || x == 6 && y < 1 {
		return maxNameOld
	}
	return maxName
}

// place is the location as an alias spells it, before folding: FILE, UNIT where it is another, LINE.
func place(l *pipeline.Location, withLine bool) string {
	s := l.File
	if l.Unit != "" && l.Unit != l.File {
		unit := l.Unit
		if path.Dir(unit) == path.Dir(l.File) {
			unit = path.Base(unit)
		}
		s += ":" + unit
	}
	if withLine && l.Line > 0 {
		s += ":" + strconv.FormatInt(l.Line, 10)
	}
	return s
}

// namer makes the aliases of a build.
type namer struct {
	b     *pipeline.Build
	sep   string
	limit int
	taken map[string]pipeline.Ref // names that hold the separator already, and the aliases given
}

// nameAll gives every located duplicate its alias and proves that all are unique: no alias equals another, nor the name
// of a symbol.
func nameAll(ctx context.Context, b *pipeline.Build) error {
	n := &namer{b: b, sep: b.Config.Alias.Separator, limit: maxLength(b), taken: map[string]pipeline.Ref{}}
	var taken [pipeline.Parts][]int // names that hold the separator
	err := b.Split(ctx, b.Names.Len(), func(part, from, to int) {
		for i := from; i < to; i++ {
			if strings.Contains(b.Name(i), n.sep) {
				taken[part] = append(taken[part], i)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, part := range taken {
		for _, i := range part {
			members := b.Names.At(i)
			n.taken[b.Name(i)] = members[len(members)-1]
		}
	}
	n.plain()
	withLine := b.Config.Alias.Line != "none"
	tied := n.collide(n.located(), withLine)
	if !withLine {
		tied = n.collide(tied, true)
	}
	for _, set := range tied {
		n.number(set)
	}
	return nil
}

// plain gives the names back that link-time optimization took from symbols that are alone with them.
func (n *namer) plain() {
	for i := range n.b.Objects {
		o := &n.b.Objects[i]
		for j := range o.Duplicates {
			if d := &o.Duplicates[j]; d.Plain && d.Reason == "" {
				if n.hasName(int32(i), d) {
					d.Reason, d.Has = hasAlready, n.b.Groups[d.Group].Base
					continue
				}
				base := n.b.Groups[d.Group].Base
				if n.elsewhere(base) {
					continue
				}
				if d.Location.Source == "" {
					d.Location.Source = "suffix"
				}
				n.give(spelling{int32(i), d}, base)
			}
		}
	}
}

// hasName says whether an earlier run gave the symbol its base name back.
func (n *namer) hasName(object int32, d *pipeline.Duplicate) bool {
	base := n.b.Groups[d.Group].Base
	return slices.ContainsFunc(n.b.Find(base), func(r pipeline.Ref) bool {
		return samePlace(n.b, r, pipeline.Ref{Object: object, Symbol: d.Symbol})
	})
}

// spelling is a duplicate with the alias it asks for.
type spelling struct {
	object int32
	d      *pipeline.Duplicate
}

func (n *namer) located() [][]spelling {
	var all []spelling
	for i := range n.b.Objects {
		o := &n.b.Objects[i]
		for j := range o.Duplicates {
			if d := &o.Duplicates[j]; d.Reason == "" && d.Alias == "" {
				all = append(all, spelling{int32(i), &o.Duplicates[j]})
			}
		}
	}
	return [][]spelling{all}
}

// collide gives an alias to each that is alone in asking for it and returns the others, set by set in order.
func (n *namer) collide(sets [][]spelling, withLine bool) [][]spelling {
	asked := map[string][]spelling{}
	var order []string
	for _, set := range sets {
		for _, s := range set {
			alias, ok := n.spell(s.d, place(&s.d.Location, withLine), "")
			if !ok {
				s.d.Reason = "name as long as the kernel's limit"
				continue
			}
			if asked[alias] == nil {
				order = append(order, alias)
			}
			asked[alias] = append(asked[alias], s)
		}
	}
	var tied [][]spelling
	for _, alias := range order {
		set := asked[alias]
		if owner, ok := n.taken[alias]; ok {
			set = slices.DeleteFunc(set, func(s spelling) bool { return n.isOwn(s, owner) })
		} else if len(set) == 1 && !n.elsewhere(alias) {
			n.give(set[0], alias)
			continue
		}
		if len(set) > 0 {
			tied = append(tied, set)
		}
	}
	return tied
}

// isOwn says whether the symbol that bears the name already is an alias of this very symbol, from an earlier run.
func (n *namer) isOwn(s spelling, owner pipeline.Ref) bool {
	o := &n.b.Objects[s.object]
	mine := &o.Symbols[s.d.Symbol]
	theirs, bearer := n.b.Ref(owner)
	if theirs != o || bearer.Section != mine.Section || bearer.Value != mine.Value {
		return false
	}
	s.d.Reason, s.d.Has = hasAlready, bearer.Name
	return true
}

const hasAlready = "has its alias already"

// elsewhere says whether the name belongs to a symbol that is none of the build's.
func (n *namer) elsewhere(name string) bool { return n.b.Taken != nil && n.b.Taken(name) }

func (n *namer) give(s spelling, alias string) {
	s.d.Alias = alias
	n.taken[alias] = pipeline.Ref{Object: s.object, Symbol: s.d.Symbol}
}

// number tells apart symbols that the source does not: by an ordinal in address order.
func (n *namer) number(set []spelling) {
	slices.SortStableFunc(set, func(x, y spelling) int {
		if x.object != y.object {
			return int(x.object) - int(y.object)
		}
		symbols := n.b.Objects[x.object].Symbols
		a, b := &symbols[x.d.Symbol], &symbols[y.d.Symbol]
		switch {
		case a.Section != b.Section:
			return int(a.Section) - int(b.Section)
		case a.Value < b.Value:
			return -1
		case a.Value > b.Value:
			return 1
		}
		return int(x.d.Symbol) - int(y.d.Symbol)
	})
	ordinal := 0
	for _, s := range set {
		for {
			ordinal++
			alias, ok := n.spell(s.d, place(&s.d.Location, true), "_"+strconv.Itoa(ordinal))
			if !ok {
				s.d.Reason = "name as long as the kernel's limit"
				break
			}
			owner, taken := n.taken[alias]
			if taken && n.isOwn(s, owner) {
				break
			}
			if !taken && !n.elsewhere(alias) {
				s.d.Ordinal = true
				n.give(s, alias)
				break
			}
		}
	}
}

// spell writes an alias. One longer than the limit loses the front of its path; false if not even a byte of it fits.
func (n *namer) spell(d *pipeline.Duplicate, place, ordinal string) (string, bool) {
	base := n.b.Groups[d.Group].Base
	folded := registry.Fold(place)
	d.Shortened = false
	if over := len(base) + len(n.sep) + len(folded) + len(ordinal) - n.limit; over > 0 {
		if over >= len(folded) {
			return "", false
		}
		folded = folded[over:]
		d.Shortened = true
	}
	return base + n.sep + folded + ordinal, true
}

// prove holds the promise of the whole once more, by what was written and not by how: no two aliases of the build are
// equal, none is the name of a symbol, none is longer than the kernel takes.
func prove(b *pipeline.Build) error {
	bearer := map[string]pipeline.Ref{}
	who := func(r pipeline.Ref) string {
		o, s := b.Ref(r)
		return fmt.Sprintf("%s %s at %#x", o.Name, s.Name, s.Value)
	}
	limit := maxLength(b)
	for i := range b.Objects {
		o := &b.Objects[i]
		for j := range o.Duplicates {
			d := &o.Duplicates[j]
			if d.Alias == "" {
				continue
			}
			ref := pipeline.Ref{Object: int32(i), Symbol: d.Symbol}
			if other, ok := bearer[d.Alias]; ok {
				return fmt.Errorf("not unique: %s is the alias of %s and of %s", d.Alias, who(other), who(ref))
			}
			if len(d.Alias) > limit {
				return fmt.Errorf("too long: %s of %s", d.Alias, who(ref))
			}
			if symbols := b.Find(d.Alias); symbols != nil {
				return fmt.Errorf("not unique: %s, the alias of %s, is a symbol: %s", d.Alias, who(ref), who(symbols[0]))
			}
			if b.Taken != nil && b.Taken(d.Alias) {
				return fmt.Errorf("not unique: %s, the alias of %s, is a symbol or an alias of the kernel", d.Alias, who(ref))
			}
			bearer[d.Alias] = ref
		}
	}
	return nil
}
