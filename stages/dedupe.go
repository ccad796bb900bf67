package stages

import (
	"context"
	"slices"
	"sort"

	"kas/pipeline"
)

// Dedupe orders the symbols of vmlinux and all modules by name, so that those of one name stand together. Names that one
// symbol carries are kept, too: a suffix may hide that they repeat.
func Dedupe(ctx context.Context, b *pipeline.Build) error {
	first := make([]int, len(b.Objects)+1) // of each object, where its symbols begin if all are laid out in a row
	for i := range b.Objects {
		first[i+1] = first[i] + len(b.Objects[i].Symbols)
	}
	total := first[len(b.Objects)]
	// each calls f for a range of that row.
	each := func(from, to int, f func(i int, r pipeline.Ref, name string)) {
		object := sort.SearchInts(first, from+1) - 1
		for i := from; i < to; i++ {
			for i >= first[object+1] {
				object++
			}
			symbol := i - first[object]
			f(i, pipeline.Ref{Object: int32(object), Symbol: int32(symbol)}, b.Objects[object].Symbols[symbol].Name)
		}
	}

	// Names are dealt out into as many drawers as there are parts, by borders taken from a sample, and the drawers are
	// then sorted at the same time.
	var sample []uint64
	for i := 0; i < total; i += max(1, total/4096) {
		each(i, i+1, func(_ int, _ pipeline.Ref, name string) { sample = append(sample, nameKey(name, 0)) })
	}
	slices.Sort(sample)
	var borders []uint64
	for i := 1; i < pipeline.Parts && len(sample) > 0; i++ {
		borders = append(borders, sample[len(sample)*i/pipeline.Parts])
	}
	borders = slices.Compact(borders)
	drawer := func(key uint64) int {
		return sort.Search(len(borders), func(i int) bool { return borders[i] > key })
	}
	row := make([]named, total)
	drawers := make([]uint8, total)
	var counts [pipeline.Parts][pipeline.Parts]int // of each part of the row, how many go into each drawer
	err := b.Split(ctx, total, func(part, from, to int) {
		each(from, to, func(i int, r pipeline.Ref, name string) {
			row[i] = named{nameKey(name, 0), r}
			d := drawer(row[i].key)
			drawers[i] = uint8(d)
			counts[part][d]++
		})
	})
	if err != nil {
		return err
	}
	var ends [pipeline.Parts]int
	at := 0
	for d := range ends {
		for part := range counts {
			at, counts[part][d] = at+counts[part][d], at
		}
		ends[d] = at
	}
	sorted := make([]named, total)
	err = b.Split(ctx, total, func(part, from, to int) {
		for i := from; i < to; i++ {
			to := &counts[part][drawers[i]]
			sorted[*to] = row[i]
			*to++
		}
	})
	if err != nil {
		return err
	}
	var sizes [pipeline.Parts][]int32 // of each drawer, how many symbols carry each of its names
	err = b.Split(ctx, pipeline.Parts, func(d, _, _ int) {
		start := 0
		if d > 0 {
			start = ends[d-1]
		}
		sizes[d] = sortNames(b, sorted[start:ends[d]], 0, nil)
	})
	if err != nil {
		return err
	}
	b.Names = pipeline.Names{Refs: make([]pipeline.Ref, total)}
	for i := range sorted {
		b.Names.Refs[i] = sorted[i].ref
	}
	end := int32(0)
	for d := range sizes {
		for _, size := range sizes[d] {
			end += size
			b.Names.Ends = append(b.Names.Ends, end)
		}
	}
	return nil
}

// named is a symbol with eight bytes of its name.
type named struct {
	key uint64
	ref pipeline.Ref
}

// nameKey is the eight bytes of a name from depth as a number that orders as they do. A name has no NUL byte: one at the
// end says that the name ends there.
func nameKey(name string, depth int) uint64 {
	if len(name) >= depth+8 {
		b := name[depth : depth+8]
		return uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32 | uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8 | uint64(b[7])
	}
	key := uint64(0)
	for i := depth; i < depth+8; i++ {
		key <<= 8
		if i < len(name) {
			key |= uint64(name[i])
		}
	}
	return key
}

// sortNames orders symbols, whose names agree up to depth and whose keys are the eight bytes from there, by name, those
// of one name by object and table, and appends to sizes how many carry each. Comparing numbers instead of strings keeps
// the names themselves out of the cache.
func sortNames(b *pipeline.Build, list []named, depth int, sizes []int32) []int32 {
	slices.SortFunc(list, func(x, y named) int {
		switch {
		case x.key < y.key:
			return -1
		case x.key > y.key:
			return 1
		}
		return x.ref.Compare(y.ref)
	})
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].key == list[0].key {
			n++
		}
		if n == 1 || list[0].key&0xff == 0 {
			sizes = append(sizes, int32(n))
		} else {
			for i := range list[:n] {
				_, s := b.Ref(list[i].ref)
				list[i].key = nameKey(s.Name, depth+8)
			}
			sizes = sortNames(b, list[:n], depth+8, sizes)
		}
		list = list[n:]
	}
	return sizes
}
