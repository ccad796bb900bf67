package registry

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// matcher finds the counterparts of symbols with one base name. It matches code with code and data
// with data.
type matcher struct {
	pair, back map[*Record]*Record // from A to B and from B to A
	left       [2][]*Record        // symbols without a counterpart so far
}

// match pairs the symbols of a base name in rounds, the strongest evidence first. Only the order
// within one unit can choose among several symbols; all other rounds need exactly one on each side.
func (c *comparison) match(g *group) *matcher {
	m := &matcher{pair: map[*Record]*Record{}, back: map[*Record]*Record{}}
	for side := range g.records {
		for i := range g.records[side] {
			m.left[side] = append(m.left[side], &g.records[side][i])
		}
	}
	// A unit declares a name once, so symbols with one name, file and unit are one function.
	m.round(func(r *Record) (matchKey, bool) {
		return matchKey{r.File, r.Unit, r.Module()}, located(r)
	}, c.sameOrder)
	m.round(func(r *Record) (matchKey, bool) {
		return matchKey{r.File, r.Unit}, located(r)
	}, single)
	m.round(func(r *Record) (matchKey, bool) { return matchKey{r.Unit}, located(r) }, single)
	// A file that was compiled as a unit and is included now, or the other way round.
	m.round(func(r *Record) (matchKey, bool) {
		return matchKey{r.File}, located(r)
	}, func(a, b []*Record) bool {
		return single(a, b) && (a[0].File == a[0].Unit && !c.units[1][a[0].Unit] ||
			b[0].File == b[0].Unit && !c.units[0][b[0].Unit])
	})
	m.round(func(r *Record) (matchKey, bool) {
		return movedFileKey(r), located(r)
	}, func(a, b []*Record) bool {
		return single(a, b) && c.moved(a[0].File, b[0].File) && c.moved(a[0].Unit, b[0].Unit)
	})
	m.movedFunction(c)
	m.onlyCandidate(c)
	return m
}

// movedFileKey is equal for a file that moved to another folder: the file keeps its name, and it is
// in the same module or, in vmlinux, in a folder of the same name.
func movedFileKey(r *Record) matchKey {
	k := matchKey{path.Base(r.File), path.Base(r.Unit), r.Module()}
	if r.Module() == "" {
		k[3], k[4] = path.Base(path.Dir(r.File)), path.Base(path.Dir(r.Unit))
	}
	return k
}

// movedFunction pairs a function that moved to another file of its folder, if no other function of
// that name came or went. Exactly one of the files must be in both builds; otherwise one driver may
// have replaced another.
func (m *matcher) movedFunction(c *comparison) {
	functions := 0
	for _, r := range slices.Concat(m.left[0], m.left[1]) {
		if r.Code() {
			functions++
		}
	}
	m.round(func(r *Record) (matchKey, bool) {
		key := matchKey{r.Module(), path.Dir(r.File), path.Ext(r.File)}
		return key, located(r) && r.File == r.Unit && r.Code()
	}, func(a, b []*Record) bool {
		return single(a, b) && functions == 2 && c.registries[0].Arch == c.registries[1].Arch &&
			c.knows(1, a[0].File) != c.knows(0, b[0].File)
	})
}

// onlyCandidate pairs two symbols of which at least one has no location, if neither may be the
// counterpart of a third. It leaves out functions from headers, because any unit of the object may
// include the header.
func (m *matcher) onlyCandidate(c *comparison) {
	candidates := func(side int, r *Record) int {
		n := 0
		for _, other := range m.left[1-side] {
			if side == 0 && c.plausible(r, other) || side == 1 && c.plausible(other, r) {
				n++
			}
		}
		return n
	}
	m.round(func(r *Record) (matchKey, bool) {
		return matchKey{r.Module()}, true
	}, func(a, b []*Record) bool {
		return single(a, b) && (!located(a[0]) || !located(b[0])) &&
			a[0].File == a[0].Unit && b[0].File == b[0].Unit &&
			!c.foreign(a[0].File, b[0].File) && candidates(0, a[0]) == 1 && candidates(1, b[0]) == 1
	})
}

// matchKey is what a round compares: symbols with equal keys may be counterparts.
type matchKey [5]string

// round pairs symbols with equal keys, in order, if accept agrees. keyOf returns false for symbols
// that the round leaves out.
func (m *matcher) round(keyOf func(*Record) (matchKey, bool), accept func(a, b []*Record) bool) {
	if len(m.left[0]) == 0 || len(m.left[1]) == 0 {
		return
	}
	type fullKey struct {
		key  matchKey
		code bool
	}
	keyed := map[fullKey]*[2][]*Record{}
	for side := range m.left {
		for _, r := range m.left[side] {
			k, ok := keyOf(r)
			if !ok {
				continue
			}
			f := fullKey{k, r.Code()}
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

func single(a, b []*Record) bool { return len(a) == 1 && len(b) == 1 }

func located(r *Record) bool { return r.File != "" }

// sameOrder sorts the symbols of one name, unit and object on both sides and reports whether equal
// positions mean the same symbol. The order of different lines does. For equal lines the order of
// addresses does, if the same compiler made both builds. Local variables of functions come and go,
// so for data all lines or all sizes must be equal, too.
func (c *comparison) sameOrder(a, b []*Record) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 1 {
		return true
	}
	for _, records := range [][]*Record{a, b} {
		slices.SortFunc(records, func(x, y *Record) int {
			return cmp.Or(cmp.Compare(x.Line, y.Line), strings.Compare(x.Section, y.Section),
				cmp.Compare(x.Address, y.Address), cmp.Compare(len(x.Alias), len(y.Alias)),
				strings.Compare(x.Alias, y.Alias), strings.Compare(x.Name, y.Name))
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

// moved reports whether file a of A may be file b of B under another path: neither is known in the
// other build, and neither belongs to the architecture of one build only.
func (c *comparison) moved(a, b string) bool {
	return a == b || !c.knows(1, a) && !c.knows(0, b) && !c.foreign(a, b)
}

// knows reports whether a symbol of the build has an alias and this file or unit.
func (c *comparison) knows(side int, file string) bool {
	return c.files[side][file] || c.units[side][file]
}

// foreign reports whether the builds have different architectures and the files do not belong to
// the same one. "" is an unknown file.
func (c *comparison) foreign(a, b string) bool {
	return c.registries[0].Arch != c.registries[1].Arch && archOf(a) != archOf(b)
}

// archOf returns the folder below arch/ that the file is in, "" for a file of all architectures.
func archOf(file string) string {
	if rest, ok := strings.CutPrefix(file, "arch/"); ok {
		arch, _, _ := strings.Cut(rest, "/")
		return arch
	}
	return ""
}

// plausible reports whether b may be the counterpart of a although no round paired them. An alias
// with a plausible counterpart is undecided, not gone.
func (c *comparison) plausible(a, b *Record) bool {
	if a.Code() != b.Code() {
		return false
	}
	if located(a) && located(b) {
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
	return x == y || !c.modules[1][x] && y == "" || x == "" && !c.modules[0][y] ||
		!c.modules[1][x] && !c.modules[0][y]
}
