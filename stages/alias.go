package stages

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"kas/pipeline"
	"kas/registry"
)

// Reasons why a duplicate gets no alias.
const (
	hasAlready = "has its alias already"
	tooLong    = "name as long as the kernel's limit"
)

// maxLength returns the limit on the length of an alias: that of the configuration, else that of
// the build's release.
func maxLength(b *pipeline.Build) int {
	if limit := b.Config.Alias.MaxLength; limit > 0 {
		return limit
	}
	return parseRelease(b.Release).maxName()
}

// locationText returns the location as an alias shows it, before folding: FILE, UNIT if it is
// another file, LINE.
func locationText(l *pipeline.Location, withLine bool) string {
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
	used  map[string]pipeline.Ref // symbols of the names with the separator and of the aliases
}

// nameAll gives an alias to each duplicate that has a location. No alias equals another one or the
// name of a symbol.
func nameAll(ctx context.Context, b *pipeline.Build) error {
	sep := b.Config.Alias.Separator
	n := &namer{b: b, sep: sep, limit: maxLength(b), used: map[string]pipeline.Ref{}}
	if err := n.findUsed(ctx); err != nil {
		return err
	}
	n.restoreNames()
	withLine := b.Config.Alias.Line != "none"
	tied := n.collide([][]spelling{n.unnamed()}, withLine)
	if !withLine {
		tied = n.collide(tied, true)
	}
	for _, set := range tied {
		n.number(set)
	}
	return nil
}

// findUsed finds the names that contain the separator: only these can equal an alias with a
// location.
func (n *namer) findUsed(ctx context.Context) error {
	var used [pipeline.Parts][]int
	err := n.b.Split(ctx, n.b.Names.Len(), func(part, from, to int) {
		for i := from; i < to; i++ {
			if strings.Contains(n.b.Name(i), n.sep) {
				used[part] = append(used[part], i)
			}
		}
	})
	for _, part := range used {
		for _, i := range part {
			members := n.b.Names.At(i)
			n.used[n.b.Name(i)] = members[len(members)-1]
		}
	}
	return err
}

// restoreNames restores the original name of each symbol that link-time optimization renamed, if no
// other symbol has it.
func (n *namer) restoreNames() {
	for i := range n.b.Objects {
		o := &n.b.Objects[i]
		for j := range o.Duplicates {
			d := &o.Duplicates[j]
			if !d.SuffixFree || d.Reason != "" {
				continue
			}
			base := n.b.Groups[d.Group].Base
			switch {
			case n.isRestored(int32(i), d):
				d.Reason, d.Has = hasAlready, base
			case len(base) > n.limit:
				d.Reason = tooLong
			case !n.b.Scope.Takes(base):
				d.Location.Method = cmp.Or(d.Location.Method, "suffix")
				n.give(spelling{int32(i), d}, base)
			}
		}
	}
}

// isRestored reports whether an earlier run restored the symbol's base name.
func (n *namer) isRestored(object int32, d *pipeline.Duplicate) bool {
	base := n.b.Groups[d.Group].Base
	return slices.ContainsFunc(n.b.Find(base), func(r pipeline.Ref) bool {
		return sameExtent(n.b, r, pipeline.Ref{Object: object, Symbol: d.Symbol})
	})
}

// spelling is a duplicate whose alias is being made.
type spelling struct {
	object int32
	d      *pipeline.Duplicate
}

// unnamed lists the duplicates that get an alias and have none yet.
func (n *namer) unnamed() []spelling {
	var all []spelling
	for i := range n.b.Objects {
		o := &n.b.Objects[i]
		for j := range o.Duplicates {
			if d := &o.Duplicates[j]; d.Reason == "" && d.Alias == "" {
				all = append(all, spelling{int32(i), d})
			}
		}
	}
	return all
}

// collide gives an alias to each duplicate that shares its spelling with no other. It returns the
// rest, in sets of one spelling, in the order of the input.
func (n *namer) collide(sets [][]spelling, withLine bool) [][]spelling {
	spelled := map[string][]spelling{}
	var order []string
	for _, set := range sets {
		for _, s := range set {
			alias, ok := n.spell(s.d, locationText(&s.d.Location, withLine), "")
			if !ok {
				s.d.Reason = tooLong
				continue
			}
			if spelled[alias] == nil {
				order = append(order, alias)
			}
			spelled[alias] = append(spelled[alias], s)
		}
	}
	var tied [][]spelling
	for _, alias := range order {
		set := spelled[alias]
		if owner, ok := n.used[alias]; ok {
			set = slices.DeleteFunc(set, func(s spelling) bool { return n.markOwn(s, owner) })
		} else if len(set) == 1 && !n.b.Scope.Takes(alias) {
			n.give(set[0], alias)
			continue
		}
		if len(set) > 0 {
			tied = append(tied, set)
		}
	}
	return tied
}

// markOwn reports whether owner, the symbol that has the name already, is the alias that an earlier
// run gave to this duplicate. If so, it notes that in the duplicate.
func (n *namer) markOwn(s spelling, owner pipeline.Ref) bool {
	o := &n.b.Objects[s.object]
	mine := &o.Symbols[s.d.Symbol]
	object, other := n.b.Ref(owner)
	if object != o || other.Section != mine.Section || other.Value != mine.Value {
		return false
	}
	s.d.Reason, s.d.Has = hasAlready, other.Name
	return true
}

func (n *namer) give(s spelling, alias string) {
	s.d.Alias = alias
	n.used[alias] = pipeline.Ref{Object: s.object, Symbol: s.d.Symbol}
}

// number gives aliases to duplicates of one spelling: with ordinals in the order of objects and
// addresses.
func (n *namer) number(set []spelling) {
	slices.SortStableFunc(set, n.compareAddresses)
	ordinal := 0
	for _, s := range set {
		for {
			ordinal++
			alias, ok := n.spell(s.d, locationText(&s.d.Location, true), "_"+strconv.Itoa(ordinal))
			if !ok {
				s.d.Reason = tooLong
				break
			}
			owner, used := n.used[alias]
			if used && n.markOwn(s, owner) {
				break
			}
			if !used && !n.b.Scope.Takes(alias) {
				s.d.Ordinal = true
				n.give(s, alias)
				break
			}
		}
	}
}

func (n *namer) compareAddresses(x, y spelling) int {
	a, b := &n.b.Objects[x.object].Symbols[x.d.Symbol], &n.b.Objects[y.object].Symbols[y.d.Symbol]
	return cmp.Or(
		cmp.Compare(x.object, y.object),
		cmp.Compare(a.Section, b.Section),
		cmp.Compare(a.Value, b.Value),
		cmp.Compare(x.d.Symbol, y.d.Symbol),
	)
}

// spell returns an alias. If it is longer than the limit, the front of its location is cut off. It
// returns false if no byte of the location fits.
func (n *namer) spell(d *pipeline.Duplicate, location, ordinal string) (string, bool) {
	base := n.b.Groups[d.Group].Base
	folded := registry.Fold(location)
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

// prove checks the result of nameAll, independently of how it was made: no two aliases of the build
// are equal, no alias is the name of a symbol, and none is longer than the kernel allows.
func prove(b *pipeline.Build) error {
	owners := map[string]pipeline.Ref{}
	limit := maxLength(b)
	for i := range b.Objects {
		for j := range b.Objects[i].Duplicates {
			d := &b.Objects[i].Duplicates[j]
			if d.Alias == "" {
				continue
			}
			ref := pipeline.Ref{Object: int32(i), Symbol: d.Symbol}
			if other, ok := owners[d.Alias]; ok {
				return notUnique(b, ref, d.Alias, "also that of "+symbolText(b, other))
			}
			if symbols := b.Find(d.Alias); symbols != nil {
				return notUnique(b, ref, d.Alias, "the name of "+symbolText(b, symbols[0]))
			}
			if b.Scope.Takes(d.Alias) {
				return notUnique(b, ref, d.Alias, "a symbol or an alias of the kernel")
			}
			if len(d.Alias) > limit {
				return fmt.Errorf("%s, the alias of %s, is too long: %d bytes, the limit is %d",
					d.Alias, symbolText(b, ref), len(d.Alias), limit)
			}
			owners[d.Alias] = ref
		}
	}
	return nil
}

func notUnique(b *pipeline.Build, r pipeline.Ref, alias, other string) error {
	owner := symbolText(b, r)
	return fmt.Errorf("%s, the alias of %s, is not unique: it is %s", alias, owner, other)
}

func symbolText(b *pipeline.Build, r pipeline.Ref) string {
	o, s := b.Ref(r)
	return fmt.Sprintf("%s of %s at %#x", s.Name, o.Name, s.Value)
}
