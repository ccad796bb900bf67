package dwarf

import (
	"cmp"
	"path"
	"slices"
	"sort"
)

// finish turns the candidates of a unit into locations. Then it reads the unit's line table for
// what the entries do not have: opening rows, and the locations of code that no entry declares.
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
	for _, i := range l.codeIn(u) {
		l.bare(u, i, &s)
	}
	if s.open = len(s.openings) + len(s.bare); s.open == 0 {
		return
	}
	slices.SortStableFunc(s.openings, func(a, b opening) int {
		return cmp.Compare(a.start, b.start)
	})
	slices.SortStableFunc(s.bare, func(a, b bareCode) int {
		return cmp.Compare(a.address, b.address)
	})
	u.rows(s.row)
}

// bare adds a code target inside the unit to the search if only the line table can locate it: no
// subprogram owns it, or the one that does has no declaration. In a unit of a compiler that has
// declarations, code without an owner was assembled inside the source; rows do not describe it.
func (l *locator) bare(u *Unit, target int, s *rowSearch) {
	c, loc := &l.found[target], &s.out[target]
	b := bareCode{target: target, address: l.targets[target].Address, compiled: !u.Assembly()}
	switch {
	case c.ok && (c.entry.unit != u || loc.File != ""):
		return
	case !c.ok && b.compiled && (l.declares || u.skeleton()):
		return
	case c.ok && b.compiled:
		b.address += c.distance
		// The first row of a function may be that of code inlined into it, from another file.
		if file, line, ok := c.entry.call(b.address); ok {
			*loc = u.lineLocation(file, line)
			return
		}
	}
	s.bare = append(s.bare, b)
}

// lineLocation returns a location that comes from the line table.
func (u *Unit) lineLocation(file string, line int64) Location {
	loc := Location{
		Method: LineRow, File: file, Line: line, Unit: u.Name(), CompDir: u.CompDir(),
	}
	u.d.payLocation(&loc)
	return loc
}

// codeIn returns the code targets whose address is in a range of the unit, by address.
func (l *locator) codeIn(u *Unit) []int {
	spans := u.spans
	byStart := func(a, b span) int { return cmp.Compare(a.start, b.start) }
	if !slices.IsSortedFunc(spans, byStart) {
		spans = slices.SortedFunc(slices.Values(spans), byStart)
	}
	var in []int
	next := 0
	for _, s := range spans {
		next += sort.Search(len(l.code)-next, func(i int) bool {
			return l.targets[l.code[next+i]].Address >= s.start
		})
		from := next
		for next < len(l.code) && l.targets[l.code[next]].Address < s.end {
			next++
		}
		in = append(in, l.code[from:next]...)
	}
	l.d.spend(uint64(len(spans) + len(in)))
	return in
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
	target   int
	address  uint64
	compiled bool // only a statement at the address counts
	located  bool
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
		s.l.d.spend(1)
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
		s.l.d.spend(uint64(len(loc.CompDir) + len(loc.File)))
		s.l.d.check()
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
	next = noRow
	bare := s.bare
	first := sort.Search(len(bare), func(i int) bool {
		return bare[i].address >= r.address || last.valid && bare[i].address > last.address
	})
	for i := first; i < len(bare); i++ {
		b := &bare[i]
		if b.address > r.address {
			return min(next, b.address)
		}
		s.l.d.spend(1)
		s.l.d.check()
		exact := !r.end && r.address == b.address
		inside := last.valid && last.address < b.address && b.address < r.address
		if b.compiled {
			inside = false
			if !b.located && exact && (!r.stmt || r.line == 0) {
				exact, next = false, r.address // the next row may be a statement at this address
			}
		}
		if b.located || !exact && !inside {
			continue
		}
		at := r
		if inside {
			at = last
		}
		b.located = true
		s.open--
		s.out[b.target] = s.u.lineLocation(s.u.file(at.file), at.line)
	}
	return next
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
