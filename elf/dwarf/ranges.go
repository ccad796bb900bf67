package dwarf

import (
	"kas/elf"
)

// span is a range of addresses, without end.
type span struct{ start, end uint64 }

// entrySpans returns the addresses of an entry (section 2.17).
func (u *Unit) entrySpans(e *entry) []span {
	if v := e.vals[slotRanges]; v.form != 0 {
		return u.rangeList(v)
	}
	low, ok := u.address(e.vals[slotLowPC])
	if !ok {
		return nil
	}
	high := e.vals[slotHighPC]
	if end, ok := u.address(high); ok {
		return []span{{low, end}}
	}
	if n, ok := u.number(high); ok {
		return []span{{low, low + n}}
	}
	return nil
}

// base returns the address that range lists start from (section 2.17.3): the unit's low_pc, or 0.
// It is read only if a list needs it, for its relocation: a unit of several sections has a low_pc
// of 0 without one.
func (u *Unit) base() uint64 {
	if u.from != nil {
		return u.from.base()
	}
	if base, ok := u.address(u.lowPC); ok {
		return base
	}
	return 0
}

// Kinds of range list entries (section 7.25).
const (
	rleEndOfList    = 0
	rleBaseAddressx = 1
	rleStartxEndx   = 2
	rleStartxLength = 3
	rleOffsetPair   = 4
	rleBaseAddress  = 5
	rleStartEnd     = 6
	rleStartLength  = 7
)

// rangeList reads the list of a DW_AT_ranges value. Damage ends the list.
func (u *Unit) rangeList(v value) []span {
	offset, ok := u.number(v)
	if !ok {
		return nil
	}
	if u.version < 5 {
		if u.from != nil {
			offset += u.from.rangesBase
		}
		return u.oldRangeList(offset)
	}
	d := u.d
	if v.form == formRnglistx {
		if offset > uint64(len(d.rnglists.Data)) {
			return nil
		}
		at := u.rnglistsBase + offset*uint64(u.offsetSize)
		n, ok := d.field(d.rnglists, at, u.offsetSize)
		if !ok {
			return nil
		}
		offset = u.rnglistsBase + n
	} else {
		offset += u.rnglistsStart
	}
	l := rangeReader{u: u, r: d.reader(d.rnglists, offset)}
	var spans []span
	for !l.r.bad {
		s, ok, more := l.next()
		if !more {
			break
		}
		if ok && !l.r.bad && s.start < s.end {
			spans = append(spans, s)
		}
	}
	if l.r.at > offset {
		d.spend(l.r.at - offset + uint64(len(spans))*stepsPerSpan)
	}
	return spans
}

// rangeReader reads a list of .debug_rnglists (section 2.17.3).
type rangeReader struct {
	u     *Unit
	r     reader
	base  uint64
	known bool // base is set; until then it is the unit's
}

// next reads an entry of the list. ok is false if the entry has no range, more is false at the end.
func (l *rangeReader) next() (s span, ok, more bool) {
	u, r := l.u, &l.r
	var okEnd bool
	switch r.u8() {
	case rleEndOfList:
		return s, false, false
	case rleBaseAddressx:
		l.base, l.known = u.indexedAddress(r.uleb())
		return s, false, l.known
	case rleBaseAddress:
		l.base, l.known = l.address()
		return s, false, l.known
	case rleStartxEndx:
		s.start, ok = u.indexedAddress(r.uleb())
		s.end, okEnd = u.indexedAddress(r.uleb())
		return s, ok && okEnd, true
	case rleStartxLength:
		s.start, ok = u.indexedAddress(r.uleb())
		s.end = s.start + r.uleb()
		return s, ok, true
	case rleOffsetPair:
		if !l.known {
			l.base, l.known = u.base(), true
		}
		s.start = l.base + r.uleb()
		s.end = l.base + r.uleb()
		return s, true, true
	case rleStartEnd:
		s.start, ok = l.address()
		s.end, okEnd = l.address()
		return s, ok && okEnd, true
	case rleStartLength:
		s.start, ok = l.address()
		s.end = s.start + r.uleb()
		return s, ok, true
	}
	return s, false, false // damage
}

// address reads an address of the list, which may have a relocation.
func (l *rangeReader) address() (uint64, bool) {
	a, ok := l.u.d.field(l.u.d.rnglists, l.r.at, l.u.addrSize)
	l.r.skip(uint64(l.u.addrSize))
	return a, ok && a != elf.NoAddress
}

// oldRangeList reads a list of .debug_ranges (DWARF 4, section 2.17.3).
func (u *Unit) oldRangeList(offset uint64) []span {
	d, size := u.d, uint64(u.addrSize)
	var spans []span
	base, known := uint64(0), false
	selector := uint64(1)<<(8*size-1)<<1 - 1 // all ones in the width of an address
	at := offset
	for {
		start, ok1 := d.field(d.ranges, at, u.addrSize)
		end, ok2 := d.field(d.ranges, at+size, u.addrSize)
		if !ok1 || !ok2 || start == 0 && end == 0 {
			d.spend(at - offset + uint64(len(spans))*stepsPerSpan)
			return spans
		}
		at += 2 * size
		switch {
		case start == selector:
			base, known = end, true
		case start < end:
			if !known {
				base, known = u.base(), true
			}
			spans = append(spans, span{base + start, base + end})
		}
	}
}
