package registry

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// matcher finds the counterparts of symbols that share a base name, code among code and data among data.
type matcher struct {
	pair, back map[*Record]*Record // from A to B and from B to A
	left       [2][]*Record        // without a counterpart, so far
}

// match pairs the symbols of a base name. What stands first is the stronger evidence; none of it says which of several a
// symbol is, but for the order within one unit.
func (c *comparison) match(g *group) *matcher {
	m := &matcher{pair: map[*Record]*Record{}, back: map[*Record]*Record{}}
	for side := range g.records {
		for i := range g.records[side] {
			m.left[side] = append(m.left[side], &g.records[side][i])
		}
	}
	located := func(r *Record) bool { return r.File != "" }
	// A unit declares a name once, so what is of one name, file and unit is one function.
	m.round(func(r *Record) (matchKey, bool) { return matchKey{r.File, r.Unit, r.Module()}, located(r) }, c.sameOrder)
	m.round(func(r *Record) (matchKey, bool) { return matchKey{r.File, r.Unit}, located(r) }, one)
	m.round(func(r *Record) (matchKey, bool) { return matchKey{r.Unit}, located(r) }, one)
	// A file that was compiled by itself and is included now, or the other way round.
	m.round(func(r *Record) (matchKey, bool) { return matchKey{r.File}, located(r) }, func(a, b []*Record) bool {
		return one(a, b) && (a[0].File == a[0].Unit && !c.units[1][a[0].Unit] || b[0].File == b[0].Unit && !c.units[0][b[0].Unit])
	})
	// A file in another folder: it has its name there, and is in the same module, or below a folder of the same name.
	m.round(func(r *Record) (matchKey, bool) {
		k := matchKey{path.Base(r.File), path.Base(r.Unit), r.Module()}
		if r.Module() == "" {
			k[3], k[4] = path.Base(path.Dir(r.File)), path.Base(path.Dir(r.Unit))
		}
		return k, located(r)
	}, func(a, b []*Record) bool {
		return one(a, b) && c.moved(a[0].File, b[0].File) && c.moved(a[0].Unit, b[0].Unit)
	})
	// A function that went to another file of the folder: no other of that name came or went, and one of the files is in both
	// builds, so that no driver came for another.
	rest := len(slices.DeleteFunc(slices.Concat(m.left[0], m.left[1]), func(r *Record) bool { return !r.Code() }))
	m.round(func(r *Record) (matchKey, bool) {
		return matchKey{r.Module(), path.Dir(r.File), path.Ext(r.File)}, located(r) && r.File == r.Unit && r.Code()
	}, func(a, b []*Record) bool {
		return one(a, b) && rest == 2 && c.registries[0].Arch == c.registries[1].Arch && c.knows(1, a[0].File) != c.knows(0, b[0].File)
	})
	alone := func(side int, r *Record) bool {
		n := 0
		for _, other := range m.left[1-side] {
			if side == 0 && c.plausible(r, other) || side == 1 && c.plausible(other, r) {
				n++
			}
		}
		return n == 1
	}
	// One of them is in no known place. That no other may be meant decides, unless it comes from a header, which any of the
	// object's units may include.
	m.round(func(r *Record) (matchKey, bool) { return matchKey{r.Module()}, true }, func(a, b []*Record) bool {
		return one(a, b) && (!located(a[0]) || !located(b[0])) && a[0].File == a[0].Unit && b[0].File == b[0].Unit &&
			!c.foreign(a[0].File, b[0].File) && alone(0, a[0]) && alone(1, b[0])
	})
	return m
}

// key is what symbols have in common that a round compares.
type matchKey [5]string

// round pairs, in order, the symbols that keyOf gives the same key, where accept agrees.
func (m *matcher) round(keyOf func(*Record) (matchKey, bool), accept func(a, b []*Record) bool) {
	if len(m.left[0]) == 0 || len(m.left[1]) == 0 {
		return
	}
	type full struct {
		key  matchKey
		code bool
	}
	keyed := map[full]*[2][]*Record{}
	for side := range m.left {
		for _, r := range m.left[side] {
			k, ok := keyOf(r)
			if !ok {
				continue
			}
			f := full{k, r.Code()}
			if keyed[f] == nil {
				keyed[f] = &[2][]*Record{}
			}
			keyed[f][side] = append(keyed[f][side], r)
		}
	}
	for _, k := range keyed {
		if len(k[0]) == 0 || len(k[1]) == 0 || !accept(k[0], k[1]) {
			continue
		}
		for i, a := range k[0] {
			m.pair[a], m.back[k[1][i]] = k[1][i], a
		}
	}
	m.left[0] = slices.DeleteFunc(m.left[0], func(r *Record) bool { return m.pair[r] != nil })
	m.left[1] = slices.DeleteFunc(m.left[1], func(r *Record) bool { return m.back[r] != nil })
}

func one(a, b []*Record) bool { return len(a) == 1 && len(b) == 1 }

// sameOrder sorts the symbols of one name, unit and object, and says whether their order tells which is which. Lines do;
// where they are equal, addresses do as long as one compiler laid them out. Variables of functions come and go, so those
// must have their lines or sizes, too.
func (c *comparison) sameOrder(a, b []*Record) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 1 {
		return true
	}
	for _, records := range [][]*Record{a, b} {
		slices.SortFunc(records, func(x, y *Record) int {
			return cmp.Or(cmp.Compare(x.Line, y.Line), strings.Compare(x.Section, y.Section), cmp.Compare(x.Address, y.Address),
				cmp.Compare(len(x.Alias), len(y.Alias)), strings.Compare(x.Alias, y.Alias), strings.Compare(x.Name, y.Name))
		})
	}
	x, y := &c.registries[0].Header, &c.registries[1].Header
	oneCompiler := x.Toolchain == y.Toolchain && x.LTO == y.LTO
	lines, sizes := true, true
	for i := range a {
		lines, sizes = lines && a[i].Line == b[i].Line, sizes && a[i].Size == b[i].Size
		if i == 0 {
			continue
		}
		tiedA, tiedB := a[i].Line == a[i-1].Line, b[i].Line == b[i-1].Line
		if tiedA != tiedB || tiedA && !oneCompiler {
			return false
		}
	}
	return a[0].Code() || lines || sizes
}

// moved says whether what was one file of A may be the other of B: neither is known in the other build, and neither is
// another architecture's.
func (c *comparison) moved(a, b string) bool {
	return a == b || !c.knows(1, a) && !c.knows(0, b) && !c.foreign(a, b)
}

// knows says whether a symbol with an alias is of this file in a build.
func (c *comparison) knows(side int, file string) bool {
	return c.files[side][file] || c.units[side][file]
}

// foreign says whether the builds are of two architectures, and one of the files is of its own; "" is a file that is not
// known.
func (c *comparison) foreign(a, b string) bool {
	return c.registries[0].Arch != c.registries[1].Arch && archOf(a) != archOf(b)
}

// archOf is the folder of the architecture that the file is of, "" if it is of all.
func archOf(file string) string {
	if rest, ok := strings.CutPrefix(file, "arch/"); ok {
		arch, _, _ := strings.Cut(rest, "/")
		return arch
	}
	return ""
}

// plausible says whether a symbol may be the counterpart of another that none was found for: only of such is said that it
// is not decided.
func (c *comparison) plausible(a, b *Record) bool {
	if a.Code() != b.Code() {
		return false
	}
	if a.File != "" && b.File != "" {
		switch {
		case a.Unit == b.Unit:
			return true
		case a.File == b.File:
			return !c.units[1][a.Unit] && !c.units[0][b.Unit]
		case c.foreign(a.File, b.File), (a.File == a.Unit) != (b.File == b.Unit):
			return false
		case path.Dir(a.File) != path.Dir(b.File) && path.Base(a.File) != path.Base(b.File):
			return false
		case a.File != a.Unit && !c.moved(a.Unit, b.Unit):
			return false
		}
	}
	x, y := a.Module(), b.Module()
	return x == y || !c.modules[1][x] && y == "" || x == "" && !c.modules[0][y] || !c.modules[1][x] && !c.modules[0][y]
}
