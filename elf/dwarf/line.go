package dwarf

import (
	"kas/elf"
)

// lineTable is the header of a unit's line number program (section 6.2.4).
type lineTable struct {
	version    int
	offsetSize int
	addrSize   int
	minInst    uint64
	isStmt     bool // default_is_stmt
	lineBase   int64
	lineRange  uint64
	opcodeBase byte
	lengths    []byte
	dirs       [][]byte
	files      []fileEntry
	start, end uint64 // the program
}

type fileEntry struct {
	name []byte
	dir  uint64
}

// Content types of directory and file tables (section 7.22).
const (
	lnctPath      = 1
	lnctDirectory = 2
)

// lineTable reads the header of the unit's line table, once; nil if there is none or it is damaged.
func (u *Unit) lineTable() *lineTable {
	if u.lines != nil || u.linesUnreadable {
		return u.lines
	}
	u.linesUnreadable = true
	offset, ok := u.number(u.stmtList)
	if !ok {
		return nil
	}
	d := u.d
	r := d.reader(d.line, offset)
	t := &lineTable{addrSize: u.addrSize}
	t.end, t.offsetSize = r.initialLength()
	t.version = int(r.uint(2))
	if r.bad || t.version < 2 || t.version > 5 {
		return nil
	}
	if t.version >= 5 {
		t.addrSize = int(r.u8())
		r.u8() // segment selector size
	}
	length := r.uint(t.offsetSize)
	t.start = r.at + length
	t.minInst = uint64(r.u8())
	if t.version >= 4 {
		r.u8() // operations per instruction: 1 on every machine of this package
	}
	t.isStmt = r.u8() != 0
	t.lineBase = int64(int8(r.u8()))
	t.lineRange = uint64(r.u8())
	t.opcodeBase = r.u8()
	if r.bad || t.lineRange == 0 || t.opcodeBase == 0 || t.start < r.at || t.start > t.end || t.addrSize != 4 && t.addrSize != 8 {
		return nil
	}
	if !r.need(uint64(t.opcodeBase) - 1) {
		return nil
	}
	t.lengths = r.data[r.at:][:t.opcodeBase-1]
	r.skip(uint64(t.opcodeBase) - 1)
	if t.version >= 5 {
		dirs := d.lineEntries(&r, t)
		for _, e := range dirs {
			t.dirs = append(t.dirs, e.name)
		}
		t.files = d.lineEntries(&r, t)
	} else {
		for {
			dir := r.cstring()
			if len(dir) == 0 {
				break
			}
			t.dirs = append(t.dirs, dir)
		}
		for {
			name := r.cstring()
			if len(name) == 0 {
				break
			}
			t.files = append(t.files, fileEntry{name: name, dir: r.uleb()})
			r.uleb() // time
			r.uleb() // size
		}
	}
	if r.bad || r.at > t.start {
		return nil
	}
	u.lines, u.linesUnreadable = t, false
	return t
}

// lineEntries reads a directory or file table of DWARF 5 (section 6.2.4, items 14 to 21).
func (d *Data) lineEntries(r *reader, t *lineTable) []fileEntry {
	formats := make([][2]uint64, r.u8())
	for i := range formats {
		formats[i] = [2]uint64{r.uleb(), r.uleb()}
	}
	count := r.uleb()
	if len(formats) == 0 && count == 0 {
		return nil
	}
	// An entry takes a byte or more: a count that damage made huge must not run through a format of no size.
	if r.bad || len(formats) == 0 || r.at > t.end || count > t.end-r.at {
		r.fail()
		return nil
	}
	u := Unit{d: d, version: t.version, offsetSize: t.offsetSize, addrSize: t.addrSize, sizes: d.sizesOf(t.version, t.addrSize, t.offsetSize)}
	var all []fileEntry
	for i := uint64(0); i < count && !r.bad; i++ {
		var e fileEntry
		for _, f := range formats {
			form, at := uint16(f[1]), r.at
			switch {
			case f[0] == lnctPath && form == formString:
				e.name = r.cstring()
				continue
			case f[0] == lnctPath && form == formLineStrp:
				e.name = d.stringAt(d.line, at, t.offsetSize, d.lineStr)
			case f[0] == lnctPath && form == formStrp:
				e.name = d.stringAt(d.line, at, t.offsetSize, d.str)
			case f[0] == lnctDirectory && form == formUdata:
				e.dir = r.uleb()
				continue
			case f[0] == lnctDirectory && (form == formData1 || form == formData2):
				e.dir = r.uint(u.fixedSize(form))
				continue
			}
			u.skipForm(r, form)
		}
		all = append(all, e)
	}
	return all
}

// file returns the path of file number i as the compiler wrote it: absolute or relative to the unit's CompDir.
func (u *Unit) file(i uint64) string {
	t := u.lineTable()
	if t == nil {
		return ""
	}
	if t.version < 5 {
		if i == 0 {
			return u.Name()
		}
		i--
	}
	if i >= uint64(len(t.files)) {
		return ""
	}
	f := t.files[i]
	dir := f.dir
	if t.version < 5 {
		dir-- // directory 0 is CompDir; the first of the table is 1
	}
	if len(f.name) == 0 || f.name[0] == '/' || f.dir == 0 || dir >= uint64(len(t.dirs)) {
		return string(f.name)
	}
	return string(t.dirs[dir]) + "/" + string(f.name)
}

// row is a row of the line number matrix (section 6.2.2) with the registers that matter here.
type row struct {
	address uint64
	file    uint64
	line    int64
	stmt    bool // is_stmt: a recommended place for a breakpoint
	end     bool // end_sequence: the address is the first after the code
	valid   bool // not the zero value
	gone    bool // the code is not in this object
}

// noRow is beyond every address: no row is wanted.
const noRow = ^uint64(0)

// lineSteps is what each special opcode adds to the registers; almost all line tables agree in it.
type lineSteps struct {
	opcodeBase byte
	lineRange  uint64
	lineBase   int64
	minInst    uint64
	address    [256]uint32
	line       [256]int16
}

// stepsOf returns the steps of a table.
func (d *Data) stepsOf(t *lineTable) *lineSteps {
	s := &d.steps
	if s.opcodeBase == t.opcodeBase && s.lineRange == t.lineRange && s.lineBase == t.lineBase && s.minInst == t.minInst {
		return s
	}
	s.opcodeBase, s.lineRange, s.lineBase, s.minInst = t.opcodeBase, t.lineRange, t.lineBase, t.minInst
	for op := int(t.opcodeBase); op < 256; op++ {
		n := uint64(op) - uint64(t.opcodeBase)
		s.address[op] = uint32(n / t.lineRange * t.minInst)
		s.line[op] = int16(t.lineBase + int64(n%t.lineRange))
	}
	return s
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
	lnsSetISA         = 12

	lneEndSequence = 1
	lneSetAddress  = 2
)

// rows runs the unit's line number program (section 6.2.5). It calls yield with a row and the one before it in its
// sequence, which is not valid for the first. yield returns the address of this sequence from which on it wants to see
// rows, and whether it wants any more at all.
func (u *Unit) rows(yield func(last, r row) (next uint64, more bool)) {
	t := u.lineTable()
	if t == nil {
		return
	}
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
			if restarted := t.standard(&r, op, &s, d); restarted {
				next = 0
			}
			if !s.end {
				continue
			}
		}
		// A row.
		if s.address >= next && !s.gone {
			var more bool
			if next, more = yield(last, s); !more {
				return
			}
		}
		last = s
		if s.end {
			s, last, next = initial, row{}, 0
		}
	}
}

// standard executes an opcode that makes no row, or ends a sequence, which sets s.end. It says whether rows may follow at
// lower addresses than before.
func (t *lineTable) standard(r *reader, op byte, s *row, d *Data) (restarted bool) {
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
				restarted = true
			}
		}
		r.at = end
	case lnsAdvancePC:
		before := s.address
		s.address += r.uleb() * t.minInst
		restarted = s.address < before
	case lnsSetFile:
		s.file = r.uleb()
	case lnsConstAddPC:
		s.address += uint64(255-t.opcodeBase) / t.lineRange * t.minInst
	case lnsFixedAdvancePC:
		s.address += r.uint(2)
	case lnsBasicBlock, lnsPrologueEnd, lnsEpilogueBegin:
	default: // lnsSetISA and whatever a later version adds: the header says how many operands
		for range t.lengths[op-1] {
			r.uleb()
		}
	}
	return restarted
}
