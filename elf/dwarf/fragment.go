package dwarf

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"kas/elf"
)

// fragmentWords are the parts of a symbol's name that mark a range of a function other than the one
// with its entry: "cold" (GCC; LLVM's MachineFunctionSplitter, BasicBlockSections and BOLT),
// "__part" and "eh" (BasicBlockSections), "warm" (BOLT).
var fragmentWords = []string{"cold", "__part", "eh", "warm"}

// fragmentName reports whether a symbol's name has the suffix of a fragment.
func fragmentName(symbol string) bool {
	_, rest, more := strings.Cut(symbol, ".")
	for more {
		var part string
		part, rest, more = strings.Cut(rest, ".")
		if slices.Contains(fragmentWords, part) {
			return true
		}
	}
	return false
}

// enter sets the method and the entry point of a target's candidate. The order of the ranges in
// DW_AT_ranges says nothing about the entry: clang may list a cold range first. The symbol with the
// function's name is at the entry.
func (l *locator) enter(target int) {
	c := &l.found[target]
	e := &c.entry
	if c.method != Subprogram || e.vals[slotRanges].form == 0 && e.vals[slotEntryPC].form == 0 {
		return
	}
	fragment := fragmentName(l.targets[target].Name)
	if c.named && !fragment {
		return // at the entry
	}
	if entry := l.entryPoint(e, c.start, c.named); entry != c.start {
		c.start, c.method = entry, Fragment
	}
}

// entryPoint returns the address at which a function is entered: the range at which a symbol with
// its name is, else DW_AT_entry_pc, else the first range at which no symbol of a fragment is, else
// the base address. at is the start of one of its ranges, and fragment is set if the symbol there
// has the name of a fragment.
func (l *locator) entryPoint(e *entry, at uint64, fragment bool) uint64 {
	spans := e.unit.entrySpans(e)
	pc, ok := e.entryPC(spans)
	ok = ok && !(fragment && pc == at) && slices.ContainsFunc(spans, func(s span) bool {
		return s.start <= pc && pc < s.end
	})
	if len(spans) > 1 {
		spans = slices.DeleteFunc(spans, func(s span) bool { return fragment && s.start == at })
	}
	var free []uint64
	if len(spans) > 1 {
		for _, s := range spans {
			whole, part := l.symbolsAt(e, s.start)
			if whole {
				return s.start
			}
			if !part {
				free = append(free, s.start)
			}
		}
	}
	switch {
	case ok:
		return pc
	case len(free) > 0:
		return free[0]
	}
	base := e.base(spans)
	if slices.ContainsFunc(spans, func(s span) bool { return s.start == base }) {
		return base
	}
	return spans[0].start
}

// base returns the base address of an entry (section 2.17).
func (e *entry) base(spans []span) uint64 {
	if low, ok := e.unit.address(e.vals[slotLowPC]); ok {
		return low
	}
	return spans[0].start
}

// entryPC returns DW_AT_entry_pc (section 2.18): an address, or an offset from the base address.
func (e *entry) entryPC(spans []span) (uint64, bool) {
	v := e.vals[slotEntryPC]
	if v.form == 0 || len(spans) == 0 {
		return 0, false
	}
	if pc, ok := e.unit.address(v); ok {
		return pc, true
	}
	if n, ok := e.unit.number(v); ok {
		return e.base(spans) + n, true
	}
	return 0, false
}

// codeSymbol is a symbol of code in the order of addresses.
type codeSymbol struct {
	address, size uint64
	id            elf.SymID
}

// maxLead is the largest distance from a function's symbol to its code that is looked at. On arm64
// patchable instructions are between them.
const maxLead = 64

// symbolsAt reports whether the symbols that contain an address name the function (whole) or a
// fragment of it (part).
func (l *locator) symbolsAt(e *entry, address uint64) (whole, part bool) {
	l.readSymbols()
	i := sort.Search(len(l.symbols), func(i int) bool { return l.symbols[i].address > address })
	for i--; i >= 0; i-- {
		s := &l.symbols[i]
		distance := address - s.address
		if distance > maxLead {
			break
		}
		l.d.spend(stepsPerOffer)
		l.d.check()
		if distance >= max(s.size, 1) {
			continue
		}
		symbol, err := l.symtab.At(s.id)
		if err != nil {
			continue
		}
		l.d.spend(uint64(len(symbol.Name)))
		switch name := string(symbol.Name); {
		case !e.hasName(name):
		case fragmentName(name):
			part = true
		default:
			whole = true
		}
	}
	return whole, part
}

// readSymbols reads the symbols of code once. A damaged symbol table has none: then the debugging
// information decides.
func (l *locator) readSymbols() {
	if l.symtab != nil {
		return
	}
	l.symtab = &elf.Symtab{}
	f := l.d.f
	table, err := f.Symtab()
	if err != nil {
		return
	}
	l.symtab = table
	for id := elf.SymID(1); ; id++ {
		if id, err = table.NextLoaded(id); err != nil || int(id) >= table.Len() {
			break
		}
		s, err := table.At(id)
		if err != nil || !s.Defined() || s.Marker() || !f.Sections[s.Section].Exec() {
			continue
		}
		address := f.Address(s.Section, f.CodeAddress(&s))
		l.symbols = append(l.symbols, codeSymbol{address, s.Size, id})
	}
	l.d.spend(uint64(table.Len()) * stepsPerEntry)
	slices.SortFunc(l.symbols, func(a, b codeSymbol) int {
		return cmp.Compare(a.address, b.address)
	})
}
