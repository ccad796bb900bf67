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

// Normalize merges the names that differ only in what link-time optimization added, drops those that one symbol carries,
// and gives each object the list of its duplicates.
func Normalize(ctx context.Context, b *pipeline.Build) error {
	wanted := Wanted(b.Config.Alias.Names)
	groups, err := merge(ctx, b, wanted)
	if err != nil {
		return err
	}
	dropOwn(b, groups)
	b.Groups = slices.DeleteFunc(groups, func(g pipeline.Group) bool {
		return len(g.Members) < 2 && !(len(g.Members) == 1 && (wanted(g.Base) || plain(b, &g)))
	})
	slices.SortFunc(b.Groups, func(x, y pipeline.Group) int { return strings.Compare(x.Base, y.Base) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	alone := make([]bool, len(b.Groups))
	for g := range b.Groups {
		alone[g] = plain(b, &b.Groups[g])
		for _, r := range b.Groups[g].Members {
			_, s := b.Ref(r)
			s.Duplicate = int32(g + 1) // its group, until it has its place below
		}
	}
	return b.Split(ctx, len(b.Objects), func(_, from, to int) {
		for i := from; i < to; i++ {
			listDuplicates(b, &b.Objects[i], alone)
		}
	})
}

// listDuplicates lists the symbols of an object that are in a group. alone says of each group whether its one symbol is
// to get its base name back.
func listDuplicates(b *pipeline.Build, o *pipeline.Object, alone []bool) {
	n := 0
	for i := range o.Symbols {
		if o.Symbols[i].Duplicate > 0 {
			n++
		}
	}
	if n == 0 {
		return
	}
	o.Duplicates = make([]pipeline.Duplicate, 0, n)
	for i := range o.Symbols {
		s := &o.Symbols[i]
		if s.Duplicate == 0 {
			continue
		}
		group := s.Duplicate - 1
		_, meaning, act := classify(s.Name, o.Sections[s.Section].Code, b.Toolchain, b.LTO)
		d := pipeline.Duplicate{Symbol: int32(i), Group: group, Suffix: meaning, Plain: alone[group]}
		if act == skip {
			d.Reason = meaning
		}
		o.Duplicates = append(o.Duplicates, d)
		s.Duplicate = int32(len(o.Duplicates))
	}
}

// dropOwn takes from a group the names that an earlier run gave back (alias.suffix_free): foo beside foo.llvm.123 is no
// second symbol, but its alias.
func dropOwn(b *pipeline.Build, groups []pipeline.Group) {
	for g := range groups {
		group := &groups[g]
		isRenamed := func(r pipeline.Ref) bool { _, s := b.Ref(r); return s.Name != group.Base }
		if len(group.Members) < 2 || !slices.ContainsFunc(group.Members, isRenamed) {
			continue
		}
		group.Members = slices.DeleteFunc(slices.Clone(group.Members), func(r pipeline.Ref) bool {
			return !isRenamed(r) && slices.ContainsFunc(group.Members, func(x pipeline.Ref) bool {
				return isRenamed(x) && samePlace(b, r, x)
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

// renamed is a symbol whose suffix is an identity, and its base name.
type renamed struct {
	base string
	ref  pipeline.Ref
}

// merge returns the names that several symbols carry, or would if their suffixes were cut, and those that are wanted
// whatever their number. A group may turn out to be of one symbol, or of none that is left.
func merge(ctx context.Context, b *pipeline.Build, wanted func(base string) bool) ([]pipeline.Group, error) {
	var parts [pipeline.Parts]struct {
		groups []pipeline.Group
		moves  []renamed
	}
	err := b.Split(ctx, b.Names.Len(), func(part, from, to int) {
		p := &parts[part]
		for i := from; i < to; i++ {
			members, name := b.Names.At(i), b.Name(i)
			if strings.IndexByte(name, '.') >= 0 {
				if members, p.moves = cutMembers(b, members, p.moves); len(members) == 0 {
					continue
				}
			}
			if len(members) > 1 || wanted(name) {
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
	slices.SortFunc(moves, func(x, y renamed) int {
		return cmp.Or(strings.Compare(x.base, y.base), x.ref.Compare(y.ref))
	})
	// Both are in the order of the names: each base with moves grows the group of that name, or the name that stood alone.
	named := len(groups)
	for at := 0; len(moves) > 0; {
		base, n := moves[0].base, 1
		for n < len(moves) && moves[n].base == base {
			n++
		}
		for at < named && groups[at].Base < base {
			at++
		}
		if at < named && groups[at].Base == base {
			groups[at].Members = join(groups[at].Members, moves[:n])
		} else {
			members, _ := cutMembers(b, b.Find(base), nil)
			groups = append(groups, pipeline.Group{Base: base, Members: join(members, moves[:n])})
		}
		moves = moves[n:]
	}
	return groups, nil
}

// cutMembers returns the symbols of one name without those whose suffix is an identity, which are appended to moves.
func cutMembers(b *pipeline.Build, members []pipeline.Ref, moves []renamed) ([]pipeline.Ref, []renamed) {
	kept, copied := members, false
	for i, r := range members {
		o, s := b.Ref(r)
		base, _, _ := classify(s.Name, o.Sections[s.Section].Code, b.Toolchain, b.LTO)
		switch {
		case base != s.Name:
			if !copied {
				kept, copied = slices.Clone(members[:i]), true // Names keep their own list
			}
			moves = append(moves, renamed{base, r})
		case copied:
			kept = append(kept, r)
		}
	}
	return kept, moves
}

// join returns the symbols of a name and those that were renamed from it, in the order of objects and tables.
func join(members []pipeline.Ref, moves []renamed) []pipeline.Ref {
	all := make([]pipeline.Ref, 0, len(members)+len(moves))
	all = append(all, members...)
	for _, m := range moves {
		all = append(all, m.ref)
	}
	slices.SortFunc(all, pipeline.Ref.Compare)
	return all
}

// Wanted says which names get an alias although one symbol alone carries them.
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
