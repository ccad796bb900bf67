package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// ELF constants of the System V ABI, its processor supplements and LLVM's extensions.
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
	shtCrel        = 0x40000014 // SHT_CREL, compact relocations
	shtOldProfile  = 0x6fff4c02 // call graph profile with symbol indices in its content
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

	sttNone, sttObject, sttFunc, sttSection, sttFile, sttCommon, sttIfunc = 0, 1, 2, 3, 4, 5, 10
)

// image is a parsed ELF file. It refers to the caller's data; names are copies.
type image struct {
	data     []byte
	order    binary.ByteOrder
	is64     bool
	typ      uint16
	machine  uint16
	shoff    uint64
	sections []section
	symtab   int    // section index of .symtab, 0 if there is none
	shndx    int    // section index of its SHT_SYMTAB_SHNDX, 0 if there is none
	count    int    // of symbols
	kernel   kernel // set by readKernel

	// A module of riscv64 has eleven million symbols, so they are not kept in another form.
	table, wide []byte      // content of the two sections
	names       stringTable // of the symbols

	mapped bool // data is a mapped file
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
	raw   uint16 // st_shndx in the symbol table
	info  byte
	other byte
	sec   uint32 // section index if inSection, with SHN_XINDEX resolved, 0 if it cannot be
}

func (s *symbol) bind() byte { return s.info >> 4 }
func (s *symbol) kind() byte { return s.info & 15 }

// inSection reports whether sec is a section index. It is not if the symbol is undefined, absolute
// or common.
func (s *symbol) inSection() bool {
	return s.sec != shnUndef && (s.raw < shnLoReserve || s.raw == shnXindex)
}

// span returns size bytes at off. what names them in the error.
func (m *image) span(off, size uint64, what string) ([]byte, error) {
	if end, carry := bits.Add64(off, size, 0); carry != 0 || end > uint64(len(m.data)) {
		return nil, fmt.Errorf("offset %#x: %s of %d bytes runs past the end of the file "+
			"(%d bytes)", off, what, size, len(m.data))
	}
	return m.data[off : off+size], nil
}

// content returns the bytes of section i, nil for SHT_NOBITS.
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

// parse reads the header, the section headers and the symbol table of an ELF file. data is what was
// decompressed from a file that is mapped at raw; nil if none is. Every error names an offset.
// Damaged input gives an error, never a panic.
func parse(data, raw []byte) (*image, error) {
	mapped := len(data) > 0 && len(raw) > 0 && &data[0] == &raw[0]
	m := &image{data: data, mapped: mapped}
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
	hsize, at := uint64(52), 46 // at is the offset of e_shentsize
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
	if m.shoff == 0 {
		return m, nil
	}
	if entsize := m.order.Uint16(h[at:]); entsize != m.shentsize() {
		return nil, fmt.Errorf("offset %#x: section header size is %d, not %d",
			at, entsize, m.shentsize())
	}
	num, strndx := uint64(m.order.Uint16(h[at+2:])), uint32(m.order.Uint16(h[at+4:]))
	if err := m.readSections(num, strndx); err != nil {
		return nil, err
	}
	return m, m.readSymbols()
}

// readSections reads the section headers. num and strndx are e_shnum and e_shstrndx. If they do not
// fit the ELF header, section header 0 has them in sh_size and sh_link (gABI, Sections).
func (m *image) readSections(num uint64, strndx uint32) error {
	entsize := uint64(m.shentsize())
	first, err := m.span(m.shoff, entsize, "section header 0")
	if err != nil {
		return err
	}
	zero := m.header(first)
	if num == 0 {
		num = zero.size
	}
	if strndx == shnXindex {
		strndx = zero.link
	}
	if num > uint64(len(m.data)) {
		return fmt.Errorf("offset %#x: %d section headers in a file of %d bytes",
			m.shoff, num, len(m.data))
	}
	table, err := m.span(m.shoff, num*entsize, "section header table")
	if err != nil {
		return err
	}
	m.sections = make([]section, num)
	for i := range m.sections {
		m.sections[i] = m.header(table[i*int(entsize):])
	}
	return m.nameSections(strndx)
}

func (m *image) shentsize() uint16 {
	if m.is64 {
		return 64
	}
	return 40
}

func (m *image) header(b []byte) section {
	o := m.order
	s := section{nameOff: o.Uint32(b), typ: o.Uint32(b[4:])}
	if m.is64 {
		s.flags, s.addr, s.off = o.Uint64(b[8:]), o.Uint64(b[16:]), o.Uint64(b[24:])
		s.size, s.link, s.info = o.Uint64(b[32:]), o.Uint32(b[40:]), o.Uint32(b[44:])
		s.align, s.entsize = o.Uint64(b[48:]), o.Uint64(b[56:])
		return s
	}
	u := func(at int) uint64 { return uint64(o.Uint32(b[at:])) }
	s.flags, s.addr, s.off, s.size = u(8), u(12), u(16), u(20)
	s.link, s.info, s.align, s.entsize = o.Uint32(b[24:]), o.Uint32(b[28:]), u(32), u(36)
	return s
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
			return fmt.Errorf("offset %#x: section header %d: %w",
				m.shoff+uint64(i)*uint64(m.shentsize()), i, err)
		}
	}
	return nil
}

// stringTable is a copy, so that names cut from it outlive the mapped file.
type stringTable string

func (m *image) strings(i uint32) (stringTable, error) {
	if uint64(i) >= uint64(len(m.sections)) {
		return "", fmt.Errorf("offset %#x: string table is section %d of %d",
			m.shoff, i, len(m.sections))
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
	if n := strings.IndexByte(s, 0); n >= 0 {
		return s[:n], nil
	}
	return "", fmt.Errorf("name at %d of the string table has no end", off)
}

// readSymbols reads the first SHT_SYMTAB and its SHT_SYMTAB_SHNDX.
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
		return fmt.Errorf("offset %#x: symbol table of %d bytes is not a multiple of %d",
			head.off, len(table), size)
	}
	if m.names, err = m.strings(head.link); err != nil {
		return err
	}
	m.table, m.count = table, len(table)/size
	if m.wide, err = m.readShndx(m.count); err != nil {
		return err
	}
	for i := range m.each() {
		if i == 0 {
			continue
		}
		at := head.off + uint64(i*size)
		if _, err = m.names.at(m.order.Uint32(table[i*size:])); err != nil {
			return fmt.Errorf("offset %#x: symbol %d: %w", at, i, err)
		}
		raw, sec := m.place(i)
		s := symbol{raw: raw, sec: sec}
		if s.inSection() && uint64(sec) >= uint64(len(m.sections)) {
			return fmt.Errorf("offset %#x: symbol %d is in section %d of %d",
				at, i, sec, len(m.sections))
		}
	}
	return nil
}

// forgetEvery is after how many symbols their pages are given back.
const forgetEvery = 1 << 16

// each yields the indices of the symbols in order. It gives back the pages of those that it passed.
func (m *image) each() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range m.count {
			m.passed(i)
			if !yield(i) {
				return
			}
		}
	}
}

// passed gives back the pages of symbols before the i-th, some at a time.
func (m *image) passed(i int) {
	if i > 0 && i%forgetEvery == 0 {
		m.forget(m.table[(i-forgetEvery)*m.symsize() : i*m.symsize()])
	}
}

// forget gives back the pages of a part of a mapped file. They are read again if they are needed.
func (m *image) forget(part []byte) {
	if !m.mapped || len(part) == 0 {
		return
	}
	page := uintptr(os.Getpagesize())
	from := uintptr(unsafe.Pointer(&part[0])) - uintptr(unsafe.Pointer(&m.data[0]))
	begin, end := (from+page-1)/page*page, (from+uintptr(len(part)))/page*page
	if begin < end {
		_ = syscall.Madvise(m.data[begin:end], syscall.MADV_DONTNEED)
	}
}

// entryOf returns the bytes of a symbol.
func (m *image) entryOf(i int) []byte {
	size := m.symsize()
	return m.table[i*size:][:size]
}

// place returns st_shndx of a symbol and the section index that it stands for.
func (m *image) place(i int) (raw uint16, sec uint32) {
	b := m.entryOf(i)
	if m.is64 {
		raw = m.order.Uint16(b[6:])
	} else {
		raw = m.order.Uint16(b[14:])
	}
	if raw != shnXindex {
		return raw, uint32(raw)
	}
	if m.wide == nil {
		return raw, 0
	}
	return raw, m.order.Uint32(m.wide[4*i:])
}

// name returns the name of a symbol.
func (m *image) name(i int) string {
	if i == 0 {
		return ""
	}
	name, _ := m.names.at(m.order.Uint32(m.entryOf(i))) // readSymbols checked it
	return name
}

// symbol reads a symbol.
func (m *image) symbol(i int) (s symbol) {
	b := m.entryOf(i)
	if m.is64 {
		s.info, s.other, s.raw = b[4], b[5], m.order.Uint16(b[6:])
		s.value, s.size = m.order.Uint64(b[8:]), m.order.Uint64(b[16:])
	} else {
		s.value, s.size = uint64(m.order.Uint32(b[4:])), uint64(m.order.Uint32(b[8:]))
		s.info, s.other, s.raw = b[12], b[13], m.order.Uint16(b[14:])
	}
	if i > 0 { // nothing in the entry of the undefined symbol means anything (gABI)
		s.name = m.name(i)
		_, s.sec = m.place(i)
	}
	return s
}

// readShndx returns the content of the SHT_SYMTAB_SHNDX of the symbol table, which has n symbols,
// or nil if there is none.
func (m *image) readShndx(n int) ([]byte, error) {
	for i := range m.sections {
		s := &m.sections[i]
		if s.typ != shtSymtabShndx || int(s.link) != m.symtab {
			continue
		}
		wide, err := m.content(i)
		if err == nil && len(wide)/4 < n {
			err = fmt.Errorf("offset %#x: %s has %d bytes for %d symbols",
				s.off, s.name, len(wide), n)
		}
		m.shndx = i
		return wide, err
	}
	return nil, nil
}

func (m *image) symsize() int {
	if m.is64 {
		return 24
	}
	return 16
}

// relocEntry returns the size of a relocation and the offset of the word with its symbol index.
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
		// Little-endian mips64 has the fields of r_info in big-endian order.
		return size, 8
	}
	return size, 12
}

// relocSymbol reads the symbol index from the word at relocEntry's offset.
func (m *image) relocSymbol(b []byte) uint32 {
	v := m.order.Uint32(b)
	if !m.is64 {
		v >>= 8
	}
	return v
}

const signatureTrailer = "~Module signature appended~\n"

func signed(data []byte) bool { return bytes.HasSuffix(data, []byte(signatureTrailer)) }
