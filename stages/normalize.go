package stages

import (
	"context"
	"path"
	"slices"
	"strings"

	"kas/configs"
	"kas/pipeline"
)

// Normalize merges the groups whose names differ only in what link-time optimization added, drops the names that one
// symbol carries, and gives each object the list of its duplicates.
func Normalize(ctx context.Context, b *pipeline.Build) error {
	wanted := wantedNames(b.Config.Alias.Names)
	groups := merge(b)
	dropOwn(b, groups)
	b.Groups = slices.DeleteFunc(groups, func(g pipeline.Group) bool {
		return len(g.Members) < 2 && !(len(g.Members) == 1 && (wanted(g.Base) || plain(b, &g)))
	})
	slices.SortFunc(b.Groups, func(x, y pipeline.Group) int { return strings.Compare(x.Base, y.Base) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for g := range b.Groups {
		for _, r := range b.Groups[g].Members {
			o, s := b.Ref(r)
			_, meaning, act := classify(s.Name, o.Sections[s.Section].Code, b.Toolchain, b.LTO)
			d := pipeline.Duplicate{Symbol: r.Symbol, Group: int32(g), Suffix: meaning, Plain: plain(b, &b.Groups[g])}
			if act == skip {
				d.Reason = meaning
			}
			o.Duplicates = append(o.Duplicates, d)
		}
	}
	for i := range b.Objects {
		slices.SortFunc(b.Objects[i].Duplicates, func(x, y pipeline.Duplicate) int { return int(x.Symbol) - int(y.Symbol) })
	}
	return nil
}

// dropOwn takes from a group the names that an earlier run gave back (alias.suffix_free): foo beside foo.llvm.123 is no
// second symbol, but its alias.
func dropOwn(b *pipeline.Build, groups []pipeline.Group) {
	for g := range groups {
		group := &groups[g]
		renamed := func(r pipeline.Ref) bool { _, s := b.Ref(r); return s.Name != group.Base }
		if len(group.Members) < 2 || !slices.ContainsFunc(group.Members, renamed) {
			continue
		}
		group.Members = slices.DeleteFunc(slices.Clone(group.Members), func(r pipeline.Ref) bool {
			return !renamed(r) && slices.ContainsFunc(group.Members, func(x pipeline.Ref) bool {
				return renamed(x) && samePlace(b, r, x)
			})
		})
	}
}

func samePlace(b *pipeline.Build, x, y pipeline.Ref) bool {
	_, s := b.Ref(x)
	_, o := b.Ref(y)
	return x.Object == y.Object && s.Section == o.Section && s.Value == o.Value && s.Size == o.Size
}

// plain says whether the group's one symbol is to get its base name as an alias: it was renamed, and no other bears it.
func plain(b *pipeline.Build, g *pipeline.Group) bool {
	if !b.Config.Alias.SuffixFree || len(g.Members) != 1 {
		return false
	}
	o, s := b.Ref(g.Members[0])
	_, meaning, _ := classify(s.Name, o.Sections[s.Section].Code, b.Toolchain, b.LTO)
	return s.Name != g.Base && meaning != functionVariable
}

// merge returns the names with the symbols whose suffix is an identity moved to their base names.
func merge(b *pipeline.Build) []pipeline.Group {
	groups := slices.Clone(b.Names)
	type move struct {
		ref  pipeline.Ref
		base string
	}
	var moves []move
	for g := range groups {
		group := &groups[g]
		if strings.IndexByte(group.Base, '.') < 0 {
			continue
		}
		group.Members = slices.DeleteFunc(slices.Clone(group.Members), func(r pipeline.Ref) bool {
			o, s := b.Ref(r)
			base, _, _ := classify(s.Name, o.Sections[s.Section].Code, b.Toolchain, b.LTO)
			if base != s.Name {
				moves = append(moves, move{r, base})
				b.Stats.Renamed++
			}
			return base != s.Name
		})
	}
	if len(moves) == 0 {
		return groups
	}
	index := make(map[string]int32, len(moves))
	for _, m := range moves {
		index[m.base] = -1
	}
	for g := range groups {
		if _, ok := index[groups[g].Base]; ok {
			index[groups[g].Base] = int32(g)
		}
	}
	grown := make(map[int32]bool, len(index))
	for _, m := range moves {
		g := index[m.base]
		if g < 0 {
			g = int32(len(groups))
			index[m.base] = g
			groups = append(groups, pipeline.Group{Base: m.base})
		}
		if !grown[g] {
			grown[g] = true
			groups[g].Members = slices.Clip(groups[g].Members) // Names keep their own list
		}
		groups[g].Members = append(groups[g].Members, m.ref)
	}
	for _, g := range index {
		slices.SortFunc(groups[g].Members, func(x, y pipeline.Ref) int {
			if x.Object != y.Object {
				return int(x.Object) - int(y.Object)
			}
			return int(x.Symbol) - int(y.Symbol)
		})
	}
	return groups
}

// wantedNames says which names get an alias although one symbol alone carries them.
func wantedNames(n configs.Names) func(base string) bool {
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
