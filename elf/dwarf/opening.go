package dwarf

import (
	"cmp"
	"path"
	"slices"
	"sort"
)

// finish turns the candidates of a unit into locations. Then it reads the unit's line table for
// what the entries do not have: opening rows, and the locations of assembly code.
func (l *locator) finish(u *Unit, out []Location) {
	for _, i := range l.changed {
		l.enter(i)
	}
	l.unfold(u)
	s := rowSearch{l: l, u: u, out: out, openings: make([]opening, 0, len(l.changed))}
	for _, i := range l.changed {
		out[i] = l.found[i].location()
		if m := out[i].Method; m == Subprogram || m == Fragment {
			s.openings = append(s.openings, opening{target: i, start: l.found[i].start})
		}
	}
	l.changed = l.changed[:0]
	for _, i := range l.code {
		if l.bare(u, i, &out[i]) {
			s.bare = append(s.bare, bareCode{target: i, address: l.targets[i].Address})
		}
	}
	l.d.work += uint64(len(l.code))
	if s.open = len(s.openings) + len(s.bare); s.open == 0 {
		return
	}
	slices.SortStableFunc(s.openings, func(a, b opening) int {
		return cmp.Compare(a.start, b.start)
	})
	u.rows(s.row)
}

// bare reports whether a code target is in the unit, but no subprogram that owns it has a
// declaration.
func (l *locator) bare(u *Unit, target int, loc *Location) bool {
	c := &l.found[target]
	if c.ok && (c.entry.unit != u || loc.File != "") || !c.ok && !u.Assembly() {
		return false
	}
	return u.contains(l.targets[target].Address)
}

// contains reports whether an address is in a range of the unit.
func (u *Unit) contains(address uint64) bool {
	u.d.work += uint64(len(u.spans))
	return slices.ContainsFunc(u.spans, func(s span) bool {
		return address >= s.start && address < s.end
	})
}

// rowSearch looks for the rows of a unit's line table that complete locations.
type rowSearch struct {
	l        *locator
	u        *Unit
	out      []Location
	openings []opening  // by start
	bare     []bareCode // by address
	open     int        // how many of both may still get a better row
}

// opening is a function whose first row is wanted.
type opening struct {
	target int
	start  uint64
	by     byte // the row so far
}

// The rows that an opening can have.
const (
	byNone = iota
	byAny  // a row that is not a statement
	byStmt // a statement
)

// bareCode is code that only the line table can locate.
type bareCode struct {
	target  int
	address uint64
	located bool
}

// row handles a row of the line table; last is the row before. It returns what Unit.rows asks for.
func (s *rowSearch) row(last, r row) (next uint64, more bool) {
	next = min(s.openAt(r), s.locateAt(last, r))
	return next, s.open > 0
}

// openAt sets the opening row of the functions that start at r. It returns the next address of
// interest.
//
// The first row may be the last one of the function before (gcc on s390x), but a function starts
// with a statement. So the first row that is a statement wins over an earlier one that is not.
func (s *rowSearch) openAt(r row) (next uint64) {
	next = noRow
	openings := s.openings
	first := sort.Search(len(openings), func(i int) bool { return openings[i].start >= r.address })
	for i := first; i < len(openings); i++ {
		o := &openings[i]
		if o.start > r.address {
			return min(next, o.start)
		}
		s.l.d.work++
		if r.end || o.by == byStmt {
			continue
		}
		if !r.stmt {
			next = r.address // the next row may be a statement at this address
			if o.by == byAny {
				continue
			}
			o.by = byAny
		} else {
			o.by = byStmt
			s.open--
		}
		loc := &s.out[o.target]
		loc.Opening = 0
		if r.line >= loc.Line &&
			sameFile(s.u.CompDir(), s.u.file(r.file), loc.CompDir, loc.File) {
			loc.Opening = r.line
		}
	}
	return next
}

// locateAt locates the bare code at r, or between last and r. It returns the next address of
// interest.
func (s *rowSearch) locateAt(last, r row) (next uint64) {
	bare := s.bare
	first := sort.Search(len(bare), func(i int) bool {
		return bare[i].address >= r.address || last.valid && bare[i].address > last.address
	})
	for i := first; i < len(bare); i++ {
		b := &bare[i]
		if b.address > r.address {
			return b.address
		}
		s.l.d.work++
		exact := !r.end && r.address == b.address
		inside := last.valid && last.address < b.address && b.address < r.address
		if b.located || !exact && !inside {
			continue
		}
		at := r
		if inside {
			at = last
		}
		b.located = true
		s.open--
		s.out[b.target] = Location{
			Method: LineRow, File: s.u.file(at.file), Line: at.line,
			Unit: s.u.Name(), CompDir: s.u.CompDir(),
		}
	}
	return noRow
}

// sameFile reports whether two paths, relative to their folders, are the same file. Units made by
// link-time optimization have "../src/a.c" where the unit of the source has "a.c".
func sameFile(dirA, a, dirB, b string) bool {
	if dirA == dirB && a == b {
		return true
	}
	return path.Base(a) == path.Base(b) && absolute(dirA, a) == absolute(dirB, b)
}

func absolute(dir, file string) string {
	if path.IsAbs(file) {
		return path.Clean(file)
	}
	return path.Join(dir, file)
}
