package dwarf

import (
	"context"
	"slices"

	"kas/elf"
)

// locateByName locates targets by the one definition with their name that has no address, in any
// unit. It knows two kinds.
//
// A compiler finds a function equal to another one and makes it a jump to that one or a copy of it.
// The symbol's code is in a range of its unit, but its entry has no address. Local ones are looked
// for here if they have no file symbol.
//
// A linker folds a function or constant into one of another name, so the entry at the symbol's
// address is not its own. The linkers keep the rows of a folded function at the address that is
// left, so that a debugger can stop there. Such rows prove that the entry was folded and not
// dropped. Without an entry of its own, as for a second name, nothing says which of the functions
// at the address is meant; then the location is removed.
func (l *locator) locateByName(ctx context.Context, out []Location) error {
	s := nameSearch{
		l: l, out: out,
		claims: map[int][]Location{}, folded: map[int]bool{}, partition: map[int]bool{},
	}
	for i := range l.targets {
		switch t := &l.targets[i]; {
		case (t.Global || t.File == "") && !t.Data && out[i].Method == None:
			s.lost = append(s.lost, i)
		case l.foreign(i, &out[i]):
			s.foreign = append(s.foreign, i)
		}
	}
	if err := s.ownUnits(ctx); err != nil {
		return err
	}
	if len(s.lost)+len(s.foreign) == 0 {
		return nil
	}
	units := [][]Unit{l.d.units}
	if l.d.shared != nil {
		units = append(units, l.d.shared.units)
	}
	for _, units := range units {
		for i := range units {
			l.d.check()
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.unit(&units[i]); err != nil {
				return err
			}
		}
	}
	s.decide()
	return nil
}

// foreign reports whether a target's location is that of an entry with another name.
func (l *locator) foreign(target int, loc *Location) bool {
	c := &l.found[target]
	return c.ok && !c.named && (loc.Method == Subprogram || loc.Method == Variable)
}

// nameSearch looks for definitions by name.
type nameSearch struct {
	l         *locator
	out       []Location
	lost      []int              // functions without a location or file symbol
	foreign   []int              // targets with the location of another name
	claims    map[int][]Location // by target: the locations that it may have
	folded    map[int]bool       // by target: another unit has rows at its address
	partition map[int]bool       // by target: its code is in a unit of link-time optimization
	unread    bool               // a unit that may have a claim was not read
}

// ownUnits locates lost targets in the units that have their addresses.
func (s *nameSearch) ownUnits(ctx context.Context) error {
	if len(s.lost) == 0 {
		return nil
	}
	for i := range s.l.d.units {
		s.l.d.check()
		if err := ctx.Err(); err != nil {
			return err
		}
		u := &s.l.d.units[i]
		in := slices.DeleteFunc(s.l.codeIn(u), func(i int) bool {
			_, lost := slices.BinarySearch(s.lost, i)
			return !lost
		})
		if err := s.search(u, true, in, nil); err != nil {
			return err
		}
		for _, i := range in {
			s.partition[i] = u.Name() == artificial
		}
	}
	// Elsewhere a local symbol is another one, except that link-time optimization has moved the
	// code.
	s.lost = slices.DeleteFunc(s.lost, func(i int) bool {
		if len(s.claims[i]) == 1 {
			s.out[i] = s.claims[i][0]
		}
		return len(s.claims[i]) > 0 || !s.l.targets[i].Global && !s.partition[i]
	})
	return nil
}

// unit adds the claims of any unit.
func (s *nameSearch) unit(u *Unit) error {
	var rows []int
	if !u.partial { // its line table is that of another unit
		rows = s.rowsOf(u)
	}
	for _, i := range rows {
		s.folded[i] = true
	}
	targets := s.lost
	if u.skeleton() {
		// Reading each file of split units would take too long.
		targets, s.unread = nil, true
		if len(rows) == 0 {
			return nil
		}
	}
	for _, i := range s.foreign {
		// In another unit, the name of a local symbol means another one; see ownUnits.
		_, here := slices.BinarySearch(rows, i)
		owner := s.l.found[i].entry.unit
		here = here || owner.inObject() == u
		if here || s.l.targets[i].Global || owner.Name() == artificial {
			targets = append(targets[:len(targets):len(targets)], i)
		}
	}
	return s.search(u, false, targets, rows)
}

// rowsOf returns the foreign functions that have a row of the unit at their address, sorted, if the
// entry there is of another unit. Linkers fold only what they finish.
func (s *nameSearch) rowsOf(u *Unit) []int {
	if s.l.d.f.Type == elf.Relocatable {
		return nil
	}
	s.l.d.spend(uint64(len(s.foreign)) * stepsPerOffer)
	wanted := map[uint64][]int{}
	var addresses []uint64
	for _, i := range s.foreign {
		if t := &s.l.targets[i]; !t.Data && s.l.found[i].entry.unit.inObject() != u {
			addresses = append(addresses, t.Address)
			wanted[t.Address] = append(wanted[t.Address], i)
		}
	}
	slices.Sort(addresses)
	var found []int
	u.rows(func(_, r row) (next uint64, more bool) {
		n, ok := slices.BinarySearch(addresses, r.address)
		if ok && !r.end {
			found = append(found, wanted[r.address]...)
			delete(wanted, r.address)
		}
		for ; n < len(addresses); n++ {
			s.l.d.spend(1)
			if wanted[addresses[n]] != nil {
				return addresses[n], true
			}
		}
		return noRow, len(wanted) > 0
	})
	u.lines = nil
	slices.Sort(found)
	return found
}

// inObject returns the unit in the object: of a split unit its skeleton.
func (u *Unit) inObject() *Unit {
	if u.from != nil {
		return u.from
	}
	return u
}

// search adds a unit's claims on the targets. rows lists those that have a row of the unit. imports
// includes the partial units that the unit imports.
func (s *nameSearch) search(u *Unit, imports bool, targets, rows []int) error {
	if len(targets) == 0 {
		return nil
	}
	whole := u.whole()
	err := s.l.claims(whole, imports, targets, func(i int, c candidate) {
		loc := c.location()
		s.l.d.spend(uint64(len(s.claims[i])))
		if s.claim(i, &c.entry, rows) && !slices.Contains(s.claims[i], loc) {
			s.claims[i] = append(s.claims[i], loc)
			if whole.partial {
				s.claims[i] = append(s.claims[i], loc) // several units import it
			}
		}
	})
	if err != nil && whole != u {
		u.lacksSplit(whole.d.named(err))
		err = nil
	}
	whole.unload()
	u.unload()
	return err
}

// claim reports whether an entry without an address defines a target. rows lists the targets that
// have a row of the entry's unit at their address.
func (s *nameSearch) claim(target int, e *entry, rows []int) bool {
	t := &s.l.targets[target]
	if _, ok := slices.BinarySearch(rows, target); ok {
		return true
	}
	if t.Global && !e.external() {
		return false
	}
	// An entry with a dead address was dropped by the linker.
	return t.Data ||
		e.vals[slotLowPC].form == 0 && e.vals[slotRanges].form == 0 && !e.declaredInline()
}

// decide locates the targets with exactly one claim. A foreign target keeps its location if it is
// only another name of the function at its address.
func (s *nameSearch) decide() {
	for _, i := range s.lost {
		if len(s.claims[i]) == 1 && !s.unread {
			s.out[i] = s.claims[i][0]
		}
	}
	for _, i := range s.foreign {
		switch n := len(s.claims[i]); {
		case n == 1:
			s.out[i] = s.claims[i][0]
		case n > 1 || s.folded[i]:
			s.out[i] = Location{}
		}
	}
}

// external reports whether the entry is visible outside its unit (section 3.3.1).
func (e *entry) external() bool {
	for o := range e.origins() {
		if o.vals[slotExternal].form != 0 {
			return true
		}
	}
	return false
}

// declaredInline reports whether the source declares the function inline (DW_AT_inline, section
// 3.3.8.1). The kernel's external ones are gnu_inline: another source has their code.
func (e *entry) declaredInline() bool {
	const declaredNotInlined, declaredInlined = 2, 3
	n, ok := e.unit.number(e.vals[slotInline])
	return ok && (n == declaredNotInlined || n == declaredInlined)
}
