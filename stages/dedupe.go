package stages

import (
	"context"
	"slices"
	"strings"

	"kas/pipeline"
)

// Dedupe groups the symbols of vmlinux and all modules by name. Names that one symbol carries are listed, too: a suffix
// may hide that they repeat.
func Dedupe(ctx context.Context, b *pipeline.Build) error {
	total := 0
	for i := range b.Objects {
		total += len(b.Objects[i].Symbols)
	}
	index := make(map[string]int32, total/2)
	group := make([]int32, 0, total) // of every symbol, in order
	counts := make([]int32, 0, total/2)
	for i := range b.Objects {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for j := range b.Objects[i].Symbols {
			name := b.Objects[i].Symbols[j].Name
			g, ok := index[name]
			if !ok {
				g = int32(len(counts))
				index[name] = g
				counts = append(counts, 0)
			}
			counts[g]++
			group = append(group, g)
		}
	}
	b.Names = make([]pipeline.Group, len(counts))
	refs := make([]pipeline.Ref, total)
	for g, n := range counts {
		b.Names[g].Members, refs = refs[:0:n], refs[n:]
	}
	at := 0
	for i := range b.Objects {
		for j := range b.Objects[i].Symbols {
			g := &b.Names[group[at]]
			g.Base = b.Objects[i].Symbols[j].Name
			g.Members = append(g.Members, pipeline.Ref{Object: int32(i), Symbol: int32(j)})
			at++
		}
	}
	slices.SortFunc(b.Names, func(x, y pipeline.Group) int { return strings.Compare(x.Base, y.Base) })
	return nil
}
