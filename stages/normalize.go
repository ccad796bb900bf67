package stages

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"

	"kas/configs"
	"kas/pipeline"
)

// Normalize merges names that differ only in what link-time optimization added, drops names that
// one symbol has, and makes each object's list of duplicates.
func Normalize(ctx context.Context, b *pipeline.Build) error {
	wanted := Wanted(b.Config.Alias.Names)
	groups, err := merge(ctx, b, wanted)
	if err != nil {
		return err
	}
	dropRestored(b, groups)
	b.Groups = slices.DeleteFunc(groups, func(g pipeline.Group) bool {
		return len(g.Members) < 2 &&
			!(len(g.Members) == 1 && (wanted(g.Base) || suffixFree(b, &g) || shared(b, &g)))
	})
	slices.SortFunc(b.Groups, func(x, y pipeline.Group) int {
		return strings.Compare(x.Base, y.Base)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return listDuplicates(ctx, b)
}

// merge returns a group for each name that several symbols have, with their suffixes or without,
// and for each name that is wanted in any case. A group may have one symbol, or none after its
// symbols moved to their base names.
func merge(
	ctx context.Context, b *pipeline.Build, wanted func(base string) bool,
) ([]pipeline.Group, error) {
	var parts [pipeline.Parts]struct {
		groups []pipeline.Group
		moves  []renamed
	}
	err := b.Split(ctx, b.Names.Len(), func(part, from, to int) {
		p := &parts[part]
		for i := from; i < to; i++ {
			members, name := b.Names.At(i), b.Name(i)
			several := len(members) > 1
			if strings.IndexByte(name, '.') >= 0 {
				if members, p.moves = cutMembers(b, members, p.moves); len(members) == 0 {
					continue
				}
			}
			if several || wanted(name) {
				p.groups = append(p.groups, pipeline.Group{Base: name, Members: members})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var groups []pipeline.Group
	var moves []renamed
	for i := range parts {
		groups = append(groups, parts[i].groups...)
		moves = append(moves, parts[i].moves...)
	}
	b.Stats.Renamed = len(moves)
	return moveRenamed(b, groups, moves), nil
}

// renamed is a symbol that the toolchain renamed, and its base name.
type renamed struct {
	base string
	ref  pipeline.Ref
}

// cutMembers returns the symbols of a name whose base name it is, and appends the others to moves.
func cutMembers(
	b *pipeline.Build, members []pipeline.Ref, moves []renamed,
) ([]pipeline.Ref, []renamed) {
	kept, copied := members, false
	for i, r := range members {
		_, s := b.Ref(r)
		base, _, _ := classify(s.Name, s.Code, b.Toolchain, b.LTO)
		switch {
		case base != s.Name:
			if !copied {
				kept, copied = slices.Clone(members[:i]), true // members belongs to b.Names
			}
			moves = append(moves, renamed{base, r})
		case copied:
			kept = append(kept, r)
		}
	}
	return kept, moves
}

// moveRenamed adds renamed symbols to the groups of their base names. groups are sorted by base
// name.
func moveRenamed(b *pipeline.Build, groups []pipeline.Group, moves []renamed) []pipeline.Group {
	slices.SortFunc(moves, func(x, y renamed) int {
		return cmp.Or(pipeline.CompareNames(x.base, y.base), x.ref.Compare(y.ref))
	})
	existing := len(groups)
	for at := 0; len(moves) > 0; {
		base, n := moves[0].base, 1
		for n < len(moves) && moves[n].base == base {
			n++
		}
		for at < existing && pipeline.CompareNames(groups[at].Base, base) < 0 {
			at++
		}
		if at < existing && groups[at].Base == base {
			groups[at].Members = join(groups[at].Members, moves[:n])
		} else {
			members, _ := cutMembers(b, b.Find(base), nil)
			groups = append(groups, pipeline.Group{Base: base, Members: join(members, moves[:n])})
		}
		moves = moves[n:]
	}
	return groups
}

// join returns the symbols of a name and those renamed from it, sorted.
func join(members []pipeline.Ref, moves []renamed) []pipeline.Ref {
	all := make([]pipeline.Ref, 0, len(members)+len(moves))
	all = append(all, members...)
	for _, m := range moves {
		all = append(all, m.ref)
	}
	slices.SortFunc(all, pipeline.Ref.Compare)
	return all
}

// dropRestored removes from each group the names that an earlier run restored (alias.suffix_free):
// foo with the extent of foo.llvm.123 is its alias, not another symbol.
func dropRestored(b *pipeline.Build, groups []pipeline.Group) {
	for g := range groups {
		group := &groups[g]
		isRenamed := func(r pipeline.Ref) bool { _, s := b.Ref(r); return s.Name != group.Base }
		if len(group.Members) < 2 || !slices.ContainsFunc(group.Members, isRenamed) {
			continue
		}
		renamed := map[place]bool{}
		for _, r := range group.Members {
			if isRenamed(r) {
				renamed[placeOf(b, r)] = true
			}
		}
		group.Members = slices.DeleteFunc(slices.Clone(group.Members), func(r pipeline.Ref) bool {
			return !isRenamed(r) && renamed[placeOf(b, r)]
		})
	}
}

// place is an extent in an object.
type place struct {
	object      int32
	section     uint32
	value, size uint64
}

func placeOf(b *pipeline.Build, r pipeline.Ref) place {
	_, s := b.Ref(r)
	return place{r.Object, s.Section, s.Value, s.Size}
}

// sameExtent reports whether two symbols have the same object, section, value and size.
func sameExtent(b *pipeline.Build, x, y pipeline.Ref) bool {
	return placeOf(b, x) == placeOf(b, y)
}

// suffixFree reports whether the base name becomes the alias of the group's only symbol, because
// the toolchain renamed it and no other symbol has that name.
func suffixFree(b *pipeline.Build, g *pipeline.Group) bool {
	if !b.Config.Alias.SuffixFree || len(g.Members) != 1 {
		return false
	}
	_, s := b.Ref(g.Members[0])
	_, meaning, _ := classify(s.Name, s.Code, b.Toolchain, b.LTO)
	return s.Name != g.Base && meaning != functionVariable
}

// shared reports whether another symbol has the name of the group's only one. The other one has
// another base name, because a suffix of code is not one of data.
func shared(b *pipeline.Build, g *pipeline.Group) bool {
	_, s := b.Ref(g.Members[0])
	return strings.IndexByte(s.Name, '.') >= 0 && len(b.Find(s.Name)) > 1
}

// listDuplicates makes each object's list of its members of the groups.
func listDuplicates(ctx context.Context, b *pipeline.Build) error {
	free := make([]bool, len(b.Groups))
	groupOf := make([][]int32, len(b.Objects)) // by object and symbol: its group plus 1, 0 if none
	for g := range b.Groups {
		free[g] = suffixFree(b, &b.Groups[g])
		for _, r := range b.Groups[g].Members {
			if groupOf[r.Object] == nil {
				groupOf[r.Object] = make([]int32, len(b.Objects[r.Object].Symbols))
			}
			groupOf[r.Object][r.Symbol] = int32(g + 1)
		}
	}
	return b.Split(ctx, len(b.Objects), func(_, from, to int) {
		for i := from; i < to; i++ {
			listMembers(b, &b.Objects[i], groupOf[i], free)
		}
	})
}

func listMembers(b *pipeline.Build, o *pipeline.Object, groupOf []int32, free []bool) {
	n := 0
	for _, g := range groupOf {
		if g > 0 {
			n++
		}
	}
	if n == 0 {
		return
	}
	o.Duplicates = make([]pipeline.Duplicate, 0, n)
	for i, g := range groupOf {
		if g == 0 {
			continue
		}
		s := &o.Symbols[i]
		_, meaning, act := classify(s.Name, s.Code, b.Toolchain, b.LTO)
		d := pipeline.Duplicate{Symbol: int32(i), Group: g - 1, Suffix: meaning}
		d.SuffixFree = free[d.Group]
		if act == skip {
			d.Reason = meaning
		}
		o.Duplicates = append(o.Duplicates, d)
		s.Duplicate = int32(len(o.Duplicates))
	}
}

// Wanted returns a function that reports whether a base name gets an alias even if only one symbol
// has it.
func Wanted(n configs.Names) func(base string) bool {
	return func(base string) bool {
		if n.All {
			return true
		}
		for _, glob := range n.Globs {
			if ok, _ := path.Match(glob, base); ok {
				return true
			}
		}
		return false
	}
}
