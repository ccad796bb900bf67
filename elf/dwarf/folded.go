package dwarf

import (
	"slices"

	"kas/elf"
)

// unfold finds the owners of targets of the current unit whose address an entry of another name
// owns: the compiler found two functions or constants equal and kept one. The other has an entry
// too, but no address. It owns the target if no other entry claims it.
func (l *locator) unfold(u *Unit) {
	var targets []int
	for _, i := range l.changed {
		if c := &l.found[i]; !c.named && c.method != Fragment {
			targets = append(targets, i)
		}
	}
	folded := map[int][]candidate{}
	// The unit was walked to find these candidates; a damaged unit that it imports claims nothing.
	_ = l.claims(u, true, targets, func(i int, c candidate) {
		// An inlined function has an abstract instance too, with the same declaration.
		same := func(o candidate) bool { return o.location() == c.location() }
		l.d.check()
		if !slices.ContainsFunc(folded[i], same) {
			folded[i] = append(folded[i], c)
		}
	})
	for i, claims := range folded {
		if len(claims) == 1 {
			claims[0].start = l.found[i].start
			l.found[i] = claims[0]
		}
	}
}

// claims calls found for each folded entry of the unit and each of the targets with its name. If
// imports is set, so do the entries of partial units that the unit imports.
func (l *locator) claims(
	u *Unit, imports bool, targets []int, found func(target int, c candidate),
) error {
	if len(targets) == 0 {
		return nil
	}
	variables := slices.ContainsFunc(targets, func(i int) bool { return l.targets[i].Data })
	return u.walkAll(variables, imports, func(e *entry) {
		if !e.folded() {
			return
		}
		for _, i := range targets {
			l.d.check()
			if l.targets[i].Data == (e.tag == tagVariable) && e.hasName(l.targets[i].Name) {
				found(i, candidate{entry: *e, method: ByName, named: true, ok: true})
			}
		}
		l.d.spend(uint64(len(targets)) * stepsPerClaim)
	})
}

// folded reports whether the entry defines a function or variable that has no address: the compiler
// merged it with an equal one, or a linker did and left a value that is no address.
func (e *entry) folded() bool {
	if e.vals[slotDeclaration].form != 0 {
		return false
	}
	u := e.unit
	if e.tag == tagVariable {
		// A variable inside a function that has no address is one that the compiler did not need.
		location := e.vals[slotLocation]
		address, ok := u.staticAddress(location)
		return e.outer && (location.form == 0 || ok && u.tombstone(address) ||
			address == elf.NoAddress)
	}
	if e.vals[slotRanges].form == 0 {
		low := e.vals[slotLowPC]
		address, ok := u.address(low)
		return low.form == 0 || !ok || u.tombstone(address)
	}
	spans := u.entrySpans(e)
	return len(spans) > 0 && !slices.ContainsFunc(spans, func(s span) bool {
		return !u.tombstone(s.start)
	})
}

// tombstone reports whether an address is what a linker leaves for code or data that it dropped: 0,
// 1 where 0 ends a list, or the last addresses.
func (u *Unit) tombstone(address uint64) bool {
	last := uint64(1)<<(8*uint64(u.addrSize)-1)<<1 - 1
	return address <= 1 || address >= last-1
}
