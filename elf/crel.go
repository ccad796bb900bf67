package elf

import (
	stdelf "debug/elf"
)

// shtCREL is the type of sections of compact relocations (llvm/BinaryFormat/ELF.h, and the proposal
// "CREL relocation format" for the gABI). The section begins with a ULEB128: the number of
// relocations times 8, plus 4 if they have addends, plus the shift of their offsets. A relocation
// is what changes since the one before: a ULEB128 of flags in the lowest bits and the offset, then
// an SLEB128 for each flag: symbol, type, addend.
const shtCREL = 0x40000014

// Flags of a compact relocation.
const (
	crelSymbol = 1
	crelType   = 2
	crelAddend = 4 // in the header: the section has addends
)

// crelReader reads the relocations of an SHT_CREL section.
type crelReader struct {
	data    []byte
	at      int // the next byte
	left    uint64
	addends bool
	shift   uint
	bad     bool

	start  int // of the last relocation in data
	symbol int // of its symbol in data, behind flags and offset
	rest   int // of what follows the symbol
	last   reloc
}

func newCRELReader(data []byte) *crelReader {
	c := &crelReader{data: data}
	header := c.uleb()
	c.left, c.addends, c.shift = header>>3, header&crelAddend != 0, uint(header&3)
	// A relocation has at least one byte.
	if c.left > uint64(len(data)-c.at) {
		c.bad = true
	}
	return c
}

// next reads a relocation into last. It returns false at the end and if the section is damaged.
func (c *crelReader) next() bool {
	if c.bad || c.left == 0 {
		return false
	}
	c.left--
	c.start = c.at
	if c.at >= len(c.data) {
		c.bad = true
		return false
	}
	first := uint64(c.data[c.at])
	c.at++
	flagBits := uint(2)
	if c.addends {
		flagBits = 3
	}
	delta := first & 0x7f >> flagBits
	if first >= 0x80 {
		delta += c.uleb() << (7 - flagBits)
	}
	c.last.offset += delta << c.shift
	c.symbol = c.at
	if first&crelSymbol != 0 {
		c.last.sym += SymID(c.sleb())
	}
	c.rest = c.at
	if first&crelType != 0 {
		c.last.kind += uint32(c.sleb())
	}
	if c.addends && first&crelAddend != 0 {
		c.last.addend += c.sleb()
	}
	return !c.bad
}

func (c *crelReader) uleb() uint64 {
	v, n := uleb128(c.data[c.at:])
	c.at += n
	c.bad = c.bad || n == 0
	return v
}

func (c *crelReader) sleb() int64 {
	v, n := sleb128(c.data[c.at:])
	c.at += n
	c.bad = c.bad || n == 0
	return v
}

// sleb128 decodes a number and returns its length, 0 if it has no end.
func sleb128(b []byte) (v int64, n int) {
	u, n := uleb128(b)
	if unused := 64 - 7*n; n > 0 && unused > 0 {
		return int64(u<<unused) >> unused, n
	}
	return int64(u), n
}

func appendSLEB128(b []byte, v int64) []byte {
	for v < -0x40 || v >= 0x40 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

// expandCREL returns compact relocations as a table of SHT_RELA or SHT_REL.
func (f *File) expandCREL(section int) (relocTable, error) {
	t := relocTable{f: f}
	data, err := f.Data(section)
	if err != nil || len(data) == 0 {
		t.entsize = f.relocEntrySize(false)
		return t, err
	}
	c := newCRELReader(data)
	t.rela = c.addends
	t.entsize = f.relocEntrySize(t.rela)
	t.mips64 = f.Is64 && f.Machine == uint16(stdelf.EM_MIPS)
	if !c.bad {
		size := c.left * uint64(t.entsize)
		if err := f.spend(size, f.Sections[section].Offset, "relocations"); err != nil {
			return t, err
		}
		t.data = make([]byte, 0, size)
	}
	entry := make([]byte, t.entsize)
	for c.next() {
		if !t.put(entry, c.last) {
			c.bad = true
			break
		}
		t.data = append(t.data, entry...)
	}
	if c.bad {
		return t, damagedCREL(f, section, c)
	}
	return t, nil
}

// put encodes an entry; false if its symbol or type does not fit.
func (t *relocTable) put(b []byte, r reloc) bool {
	f := t.f
	if !f.Is64 {
		if r.sym >= 1<<24 || r.kind > 0xff {
			return false
		}
		f.put32(b, uint32(r.offset))
		f.put32(b[4:], uint32(r.sym)<<8|r.kind)
		if t.rela {
			f.put32(b[8:], uint32(r.addend))
		}
		return true
	}
	f.put64(b, r.offset)
	f.put32(b[t.symbolOffset():], uint32(r.sym))
	switch {
	case t.mips64:
		b[15] = byte(r.kind)
	case f.Big:
		f.put32(b[12:], r.kind)
	default:
		f.put32(b[8:], r.kind)
	}
	if t.rela {
		f.put64(b[16:], uint64(r.addend))
	}
	return true
}

// compactRelocations renumbers an SHT_CREL section. Only the differences of symbol indices change.
func (r *rewriter) compactRelocations(section int) error {
	s := &r.f.Sections[section]
	data, err := r.f.Data(section)
	if err != nil || len(data) == 0 {
		return err
	}
	c := newCRELReader(data)
	out := append(make([]byte, 0, len(data)+8), data[:c.at]...)
	for last := SymID(0); c.next(); {
		if int(c.last.sym) >= len(r.now) {
			return noSymbol(s.Offset+uint64(c.start), uint32(c.last.sym), len(r.now))
		}
		moved := r.moved(c.last.sym)
		at := len(out)
		out = append(out, data[c.start:c.symbol]...)
		if out[at] &^= crelSymbol; moved != last {
			out[at] |= crelSymbol
			out = appendSLEB128(out, int64(int32(moved-last)))
		}
		out = append(out, data[c.rest:c.at]...)
		last = moved
	}
	if c.bad {
		return damagedCREL(r.f, section, c)
	}
	r.replace(section, append(out, data[c.at:]...))
	return nil
}

func damagedCREL(f *File, section int, c *crelReader) error {
	s := &f.Sections[section]
	return formatErrorf(s.Offset+uint64(c.start), "damaged compact relocations in %s", s.Name)
}
