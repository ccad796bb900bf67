package stages

import (
	"context"
	"slices"
	"sort"

	"kas/pipeline"
)

// Dedupe sorts the symbols of all objects by name, so that symbols of one name are neighbours. It
// keeps names that only one symbol has, because normalize may find that they repeat without their
// suffixes.
//
// It is a parallel bucket sort: symbols are distributed into buckets by the first bytes of their
// names, and the buckets are then sorted at the same time.
func Dedupe(ctx context.Context, b *pipeline.Build) error {
	all := newLayout(b)
	buckets, err := all.distribute(ctx)
	if err != nil {
		return err
	}
	var counts [pipeline.Parts][]int32 // of each bucket, how many symbols each of its names has
	err = b.Split(ctx, pipeline.Parts, func(i, _, _ int) {
		counts[i] = sortNames(b, buckets.of(i), 0, nil)
	})
	if err != nil {
		return err
	}
	b.Names = pipeline.Names{Refs: make([]pipeline.Ref, all.len())}
	for i := range buckets.symbols {
		b.Names.Refs[i] = buckets.symbols[i].ref
	}
	end := int32(0)
	for i := range counts {
		for _, n := range counts[i] {
			end += n
			b.Names.Ends = append(b.Names.Ends, end)
		}
	}
	return nil
}

// layout numbers the symbols of all objects in a row.
type layout struct {
	b     *pipeline.Build
	first []int // of each object the number of its first symbol, and then the number of all symbols
}

func newLayout(b *pipeline.Build) layout {
	first := make([]int, len(b.Objects)+1)
	for i := range b.Objects {
		first[i+1] = first[i] + len(b.Objects[i].Symbols)
	}
	return layout{b, first}
}

func (l layout) len() int { return l.first[len(l.first)-1] }

// each calls f for the symbols from one number to before another.
func (l layout) each(from, to int, f func(i int, r pipeline.Ref, name string)) {
	object := sort.SearchInts(l.first, from+1) - 1
	for i := from; i < to; i++ {
		for i >= l.first[object+1] {
			object++
		}
		r := pipeline.Ref{Object: int32(object), Symbol: int32(i - l.first[object])}
		f(i, r, l.b.Objects[object].Symbols[r.Symbol].Name)
	}
}

// borders returns up to Parts-1 keys that divide the symbols into buckets of about the same size.
func (l layout) borders() []uint64 {
	var sample []uint64
	for i := 0; i < l.len(); i += max(1, l.len()/4096) {
		l.each(i, i+1, func(_ int, _ pipeline.Ref, name string) {
			sample = append(sample, nameKey(name, 0))
		})
	}
	slices.Sort(sample)
	var borders []uint64
	for i := 1; i < pipeline.Parts && len(sample) > 0; i++ {
		borders = append(borders, sample[len(sample)*i/pipeline.Parts])
	}
	return slices.Compact(borders)
}

// buckets are ranges of symbols. All names in a bucket are less than those in the next.
type buckets struct {
	symbols []keyed
	ends    [pipeline.Parts]int // of each bucket the end of its range
}

// of returns the symbols of bucket i.
func (s *buckets) of(i int) []keyed {
	start := 0
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.symbols[start:s.ends[i]]
}

// distribute divides the symbols into buckets. The order in a bucket is that of the layout.
func (l layout) distribute(ctx context.Context) (*buckets, error) {
	borders := l.borders()
	all := make([]keyed, l.len())
	bucketOf := make([]uint8, l.len())
	// By part of the layout and by bucket: first the number of symbols, then the index of the next.
	var next [pipeline.Parts][pipeline.Parts]int
	err := l.b.Split(ctx, l.len(), func(part, from, to int) {
		l.each(from, to, func(i int, r pipeline.Ref, name string) {
			all[i] = keyed{nameKey(name, 0), r}
			bucket := sort.Search(len(borders), func(j int) bool { return borders[j] > all[i].key })
			bucketOf[i] = uint8(bucket)
			next[part][bucket]++
		})
	})
	if err != nil {
		return nil, err
	}
	to := &buckets{symbols: make([]keyed, l.len())}
	at := 0
	for bucket := range to.ends {
		for part := range next {
			at, next[part][bucket] = at+next[part][bucket], at
		}
		to.ends[bucket] = at
	}
	err = l.b.Split(ctx, l.len(), func(part, from, end int) {
		for i := from; i < end; i++ {
			at := &next[part][bucketOf[i]]
			to.symbols[*at] = all[i]
			*at++
		}
	})
	return to, err
}

// keyed is a symbol with eight bytes of its name.
type keyed struct {
	key uint64
	ref pipeline.Ref
}

// nameKey returns the eight bytes from depth on of a name and the tab after it, as a number.
// Numbers compare as the bytes do. The tab makes the order that of the registry's lines, also for
// names with bytes below it. Names contain no NUL byte, so a NUL at the end says that the name ends
// before.
func nameKey(name string, depth int) uint64 {
	if len(name) >= depth+8 {
		b := name[depth : depth+8]
		return uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32 |
			uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8 | uint64(b[7])
	}
	key := uint64(0)
	for i := depth; i < depth+8; i++ {
		key <<= 8
		switch {
		case i < len(name):
			key |= uint64(name[i])
		case i == len(name):
			key |= '\t'
		}
	}
	return key
}

// sortNames sorts symbols by name, then by Ref, and appends the number of symbols of each name to
// counts. The names agree up to depth, and the keys are the eight bytes from there. Comparing keys
// avoids reading the names from memory.
func sortNames(b *pipeline.Build, list []keyed, depth int, counts []int32) []int32 {
	slices.SortFunc(list, func(x, y keyed) int {
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
			counts = append(counts, int32(n))
		} else {
			for i := range list[:n] {
				_, s := b.Ref(list[i].ref)
				list[i].key = nameKey(s.Name, depth+8)
			}
			counts = sortNames(b, list[:n], depth+8, counts)
		}
		list = list[n:]
	}
	return counts
}
