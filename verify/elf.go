package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// The ELF values this package looks at, from the System V ABI and its
// processor and LLVM supplements.
const (
	etRel = 1

	emMIPS    = 8
	emPPC64   = 21
	emARM     = 40
	emAArch64 = 183
	emRISCV   = 243
	emLoong   = 258

	shtNull        = 0
	shtSymtab      = 2
	shtStrtab      = 3
	shtRela        = 4
	shtNobits      = 8
	shtRel         = 9
	shtGroup       = 17
	shtSymtabShndx = 18
	shtCrel        = 0x40000014
	shtOldProfile  = 0x6fff4c02 // call graph profile with symbol indices in the content
	shtAddrsig     = 0x6fff4c03

	shfWrite = 1
	shfAlloc = 2
	shfExec  = 4

	shnUndef     = 0
	shnLoReserve = 0xff00
	shnAbs       = 0xfff1
	shnCommon    = 0xfff2
	shnXindex    = 0xffff

	shnMIPSSmallCommon = 0xff03

	stbLocal, stbGlobal, stbWeak, stbUnique = 0, 1, 2, 10

	sttObject, sttFunc, sttSection, sttFile, sttCommon, sttIfunc, sttARMTFunc = 1, 2, 3, 4, 5, 10, 13
)

// image is a parsed ELF file. Its data stays the caller's; names are copies.
type image struct {
	data     []byte
	order    binary.ByteOrder
	is64     bool
	typ      uint16
	machine  uint16
	shoff    uint64
	sections []section
	symtab   int // section index of .symtab, 0 if there is none
	shndx    int // section index of its SHT_SYMTAB_SHNDX, 0 if there is none
	symbols  []symbol
}

type section struct {
	name    string
	nameOff uint32
	typ     uint32
	flags   uint64
	addr    uint64
	off     uint64
	size    uint64
	link    uint32
	info    uint32
	align   uint64
	entsize uint64
}

type symbol struct {
	name  string
	value uint64
	size  uint64
	raw   uint16 // st_shndx as it stands
	info  byte
	other byte
	sec   uint32 // the section index when inSection, with SHN_XINDEX resolved
}

func (s *symbol) bind() byte { return s.info >> 4 }
func (s *symbol) kind() byte { return s.info & 15 }

// inSection tells whether sec names a section: not undefined, absolute or common.
func (s *symbol) inSection() bool {
	return s.raw != shnUndef && (s.raw < shnLoReserve || s.raw == shnXindex)
}

// span returns size bytes at off, or an error that names the place.
func (m *image) span(off, size uint64, what string) ([]byte, error) {
	if end, carry := bits.Add64(off, size, 0); carry != 0 || end > uint64(len(m.data)) {
		return nil, fmt.Errorf("offset %#x: %s of %d bytes runs past the end of the file (%d bytes)", off, what, size, len(m.data))
	}
	return m.data[off : off+size], nil
}

// content returns the bytes of section i; none for SHT_NOBITS.
func (m *image) content(i int) ([]byte, error) {
	s := &m.sections[i]
	if s.typ == shtNobits || s.typ == shtNull {
		return nil, nil
	}
	return m.span(s.off, s.size, "section "+s.name)
}

func (m *image) sectionName(s *symbol) string {
	if s.inSection() && int(s.sec) < len(m.sections) {
		return m.sections[s.sec].name
	}
	switch {
	case s.raw == shnUndef:
		return "*UND*"
	case s.raw == shnCommon:
		return "*COM*"
	}
	return "*ABS*"
}

// parse reads header, section headers and the symbol table of an ELF file.
// Every error names an offset; damaged input gives an error, never a panic.
func parse(data []byte) (*image, error) {
	m := &image{data: data}
	ident, err := m.span(0, 16, "ELF identification")
	if err != nil {
		return nil, err
	}
	if string(ident[:4]) != "\x7fELF" {
		return nil, fmt.Errorf("offset 0x0: not an ELF file")
	}
	switch ident[4] {
	case 1:
	case 2:
		m.is64 = true
	default:
		return nil, fmt.Errorf("offset 0x4: unknown ELF class %d", ident[4])
	}
	switch ident[5] {
	case 1:
		m.order = binary.LittleEndian
	case 2:
		m.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("offset 0x5: unknown byte order %d", ident[5])
	}
	hsize, at := uint64(52), 46 // at: where e_shentsize stands
	if m.is64 {
		hsize, at = 64, 58
	}
	h, err := m.span(0, hsize, "ELF header")
	if err != nil {
		return nil, err
	}
	m.typ, m.machine = m.order.Uint16(h[16:]), m.order.Uint16(h[18:])
	if m.is64 {
		m.shoff = m.order.Uint64(h[40:])
	} else {
		m.shoff = uint64(m.order.Uint32(h[32:]))
	}
	entsize, num, strndx := m.order.Uint16(h[at:]), uint64(m.order.Uint16(h[at+2:])), uint32(m.order.Uint16(h[at+4:]))
	if m.shoff == 0 {
		return m, nil
	}
	if entsize != m.shentsize() {
		return nil, fmt.Errorf("offset %#x: section header size is %d, not %d", at, entsize, m.shentsize())
	}
	first, err := m.span(m.shoff, uint64(entsize), "section header 0")
	if err != nil {
		return nil, err
	}
	// With too many sections for the header, the true numbers stand in section header 0.
	zero := m.header(first)
	if num == 0 {
		num = zero.size
	}
	if strndx == shnXindex {
		strndx = zero.link
	}
	if num > uint64(len(data)) {
		return nil, fmt.Errorf("offset %#x: %d section headers in a file of %d bytes", m.shoff, num, len(data))
	}
	table, err := m.span(m.shoff, num*uint64(entsize), "section header table")
	if err != nil {
		return nil, err
	}
	m.sections = make([]section, num)
	for i := range m.sections {
		m.sections[i] = m.header(table[i*int(entsize):])
	}
	if err := m.nameSections(strndx); err != nil {
		return nil, err
	}
	return m, m.readSymbols()
}

func (m *image) shentsize() uint16 {
	if m.is64 {
		return 64
	}
	return 40
}

func (m *image) header(b []byte) section {
	o := m.order
	if m.is64 {
		return section{
			nameOff: o.Uint32(b), typ: o.Uint32(b[4:]), flags: o.Uint64(b[8:]), addr: o.Uint64(b[16:]),
			off: o.Uint64(b[24:]), size: o.Uint64(b[32:]), link: o.Uint32(b[40:]), info: o.Uint32(b[44:]),
			align: o.Uint64(b[48:]), entsize: o.Uint64(b[56:]),
		}
	}
	u := func(at int) uint64 { return uint64(o.Uint32(b[at:])) }
	return section{
		nameOff: o.Uint32(b), typ: o.Uint32(b[4:]), flags: u(8), addr: u(12), off: u(16), size: u(20),
		link: o.Uint32(b[24:]), info: o.Uint32(b[28:]), align: u(32), entsize: u(36),
	}
}

func (m *image) nameSections(strndx uint32) error {
	if strndx == 0 {
		return nil
	}
	names, err := m.strings(strndx)
	if err != nil {
		return err
	}
	for i := range m.sections {
		s := &m.sections[i]
		if s.name, err = names.at(s.nameOff); err != nil {
			return fmt.Errorf("offset %#x: section header %d: %w", m.shoff+uint64(i)*uint64(m.shentsize()), i, err)
		}
	}
	return nil
}

// stringTable is a copy, so that the names cut from it outlive the mapping.
type stringTable string

func (m *image) strings(i uint32) (stringTable, error) {
	if uint64(i) >= uint64(len(m.sections)) {
		return "", fmt.Errorf("offset %#x: string table %d of %d sections", m.shoff, i, len(m.sections))
	}
	b, err := m.content(int(i))
	return stringTable(b), err
}

func (t stringTable) at(off uint32) (string, error) {
	if uint64(off) >= uint64(len(t)) {
		if off == 0 {
			return "", nil
		}
		return "", fmt.Errorf("name at %d of a string table of %d bytes", off, len(t))
	}
	s := string(t[off:])
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			return s[:i], nil
		}
	}
	return "", fmt.Errorf("name at %d of the string table has no end", off)
}

func (m *image) readSymbols() error {
	for i := range m.sections {
		if m.sections[i].typ == shtSymtab {
			m.symtab = i
			break
		}
	}
	if m.symtab == 0 {
		return nil
	}
	table, err := m.content(m.symtab)
	if err != nil {
		return err
	}
	head := &m.sections[m.symtab]
	size := m.symsize()
	if len(table)%size != 0 {
		return fmt.Errorf("offset %#x: symbol table of %d bytes is no multiple of %d", head.off, len(table), size)
	}
	names, err := m.strings(head.link)
	if err != nil {
		return err
	}
	n := len(table) / size
	var wide []byte
	for i := range m.sections {
		if s := &m.sections[i]; s.typ == shtSymtabShndx && int(s.link) == m.symtab {
			if wide, err = m.content(i); err != nil {
				return err
			}
			if len(wide) != 4*n {
				return fmt.Errorf("offset %#x: %s has %d bytes for %d symbols", s.off, s.name, len(wide), n)
			}
			m.shndx = i
			break
		}
	}
	m.symbols = make([]symbol, n)
	for i := range m.symbols {
		s := &m.symbols[i]
		b := table[i*size:]
		if m.is64 {
			s.info, s.other, s.raw = b[4], b[5], m.order.Uint16(b[6:])
			s.value, s.size = m.order.Uint64(b[8:]), m.order.Uint64(b[16:])
		} else {
			s.value, s.size = uint64(m.order.Uint32(b[4:])), uint64(m.order.Uint32(b[8:]))
			s.info, s.other, s.raw = b[12], b[13], m.order.Uint16(b[14:])
		}
		at := head.off + uint64(i*size)
		if s.name, err = names.at(m.order.Uint32(b)); err != nil {
			return fmt.Errorf("offset %#x: symbol %d: %w", at, i, err)
		}
		s.sec = uint32(s.raw)
		if s.raw == shnXindex {
			if wide == nil {
				return fmt.Errorf("offset %#x: symbol %d wants an extended section index and there is no table of them", at, i)
			}
			s.sec = m.order.Uint32(wide[4*i:])
		}
		if s.inSection() && uint64(s.sec) >= uint64(len(m.sections)) {
			return fmt.Errorf("offset %#x: symbol %d is in section %d of %d", at, i, s.sec, len(m.sections))
		}
	}
	return nil
}

func (m *image) symsize() int {
	if m.is64 {
		return 24
	}
	return 16
}

// relocEntry gives the size of a relocation and where in it the symbol stands.
func (m *image) relocEntry(typ uint32) (size, at int) {
	switch {
	case m.is64 && typ == shtRela:
		size = 24
	case m.is64:
		size = 16
	case typ == shtRela:
		size = 12
	default:
		size = 8
	}
	switch {
	case !m.is64:
		return size, 4
	case m.order == binary.ByteOrder(binary.BigEndian), m.machine == emMIPS:
		// Little-endian mips64 keeps the big-endian order of the fields of r_info.
		return size, 8
	}
	return size, 12
}

// relocSymbol reads the symbol index at the place relocEntry names.
func (m *image) relocSymbol(b []byte) uint32 {
	v := m.order.Uint32(b)
	if !m.is64 {
		v >>= 8
	}
	return v
}

const signatureTrailer = "~Module signature appended~\n"

func signed(data []byte) bool { return bytes.HasSuffix(data, []byte(signatureTrailer)) }
