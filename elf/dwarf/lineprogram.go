package dwarf

import (
	"kas/elf"
)

// row is a row of the line number table (section 6.2.2), with the registers that kas needs.
type row struct {
	address uint64
	file    uint64
	line    int64
	stmt    bool // is_stmt: a recommended place for a breakpoint
	end     bool // end_sequence: address is the first one after the code
	valid   bool // not the zero value
	gone    bool // the code is not in this object
}

// noRow is above every address: no row is wanted.
const noRow = ^uint64(0)

// rows runs the unit's line number program (section 6.2.5). It calls yield with a row and the row
// before it in the same sequence, which is not valid for the first one. yield returns the lowest
// address from which it wants rows of this sequence, and whether it wants more rows at all.
func (u *Unit) rows(yield func(last, r row) (next uint64, more bool)) {
	if u.from != nil {
		u = u.from
	}
	t := u.lineTable()
	if t == nil {
		return
	}
	u.d.spend(u.run(t, yield) - t.start)
}

// run runs the program for rows. It returns the offset at which it stopped.
func (u *Unit) run(t *lineTable, yield func(last, r row) (next uint64, more bool)) uint64 {
	d := u.d
	r := d.reader(d.line, t.start)
	r.data = r.data[:t.end]
	steps := d.stepsOf(t)
	initial := row{file: 1, line: 1, stmt: t.isStmt, valid: true}
	s, last := initial, row{}
	next := uint64(0)
	for r.at < t.end && !r.bad {
		op := r.u8()
		switch {
		case op >= t.opcodeBase:
			s.address += uint64(steps.address[op])
			s.line += int64(steps.line[op])
		case op == lnsSetColumn:
			r.uleb()
			continue
		case op == lnsNegateStmt:
			s.stmt = !s.stmt
			continue
		case op == lnsAdvanceLine:
			s.line += r.sleb()
			continue
		case op == lnsCopy:
		default:
			if back := t.standard(&r, op, &s, d); back {
				next = 0
			}
			if !s.end {
				continue
			}
		}
		// s is a row now.
		if s.address >= next && !s.gone {
			var more bool
			d.check()
			if next, more = yield(last, s); !more {
				return r.at
			}
		}
		last = s
		if s.end {
			s, last, next = initial, row{}, 0
		}
	}
	return r.at
}

// Standard and extended opcodes (section 7.22).
const (
	lnsCopy           = 1
	lnsAdvancePC      = 2
	lnsAdvanceLine    = 3
	lnsSetFile        = 4
	lnsSetColumn      = 5
	lnsNegateStmt     = 6
	lnsBasicBlock     = 7
	lnsConstAddPC     = 8
	lnsFixedAdvancePC = 9
	lnsPrologueEnd    = 10
	lnsEpilogueBegin  = 11

	lneEndSequence = 1
	lneSetAddress  = 2
)

// standard runs an opcode that makes no row, or one that ends the sequence: then it sets s.end. It
// reports whether the address may have gone back.
func (t *lineTable) standard(r *reader, op byte, s *row, d *Data) (back bool) {
	switch op {
	case 0:
		size := r.uleb()
		end := r.at + size
		if size == 0 || end > t.end || end < r.at {
			r.fail()
			r.at = t.end
			return false
		}
		switch r.u8() {
		case lneEndSequence:
			s.end = true
		case lneSetAddress:
			if size-1 == 4 || size-1 == 8 {
				s.address = d.line.Uint(r.at, int(size-1))
				s.gone = s.address == elf.NoAddress
				back = true
			}
		}
		r.at = end
	case lnsAdvancePC:
		before := s.address
		s.address += r.uleb() * t.minInst
		back = s.address < before
	case lnsSetFile:
		s.file = r.uleb()
	case lnsConstAddPC:
		s.address += uint64(255-t.opcodeBase) / t.lineRange * t.minInst
	case lnsFixedAdvancePC:
		s.address += r.uint(2)
	case lnsBasicBlock, lnsPrologueEnd, lnsEpilogueBegin:
	default: // DW_LNS_set_isa, or unknown: the header has the number of operands
		for range t.lengths[op-1] {
			r.uleb()
		}
	}
	return back
}

// lineSteps holds what each special opcode adds to the registers. Almost all line tables have the
// same steps.
type lineSteps struct {
	opcodeBase byte
	lineRange  uint64
	lineBase   int64
	minInst    uint64
	address    [256]uint32
	line       [256]int16
}

// stepsOf returns the steps of a table (section 6.2.5.1).
func (d *Data) stepsOf(t *lineTable) *lineSteps {
	s := &d.steps
	if s.opcodeBase == t.opcodeBase && s.lineRange == t.lineRange &&
		s.lineBase == t.lineBase && s.minInst == t.minInst {
		return s
	}
	s.opcodeBase, s.lineRange, s.lineBase, s.minInst =
		t.opcodeBase, t.lineRange, t.lineBase, t.minInst
	for op := int(t.opcodeBase); op < 256; op++ {
		n := uint64(op) - uint64(t.opcodeBase)
		s.address[op] = uint32(n / t.lineRange * t.minInst)
		s.line[op] = int16(t.lineBase + int64(n%t.lineRange))
	}
	return s
}
