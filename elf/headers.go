package elf

import (
	stdelf "debug/elf"
	"strings"
)

// readHeaders reads the ELF header (gABI figure 4-3) and the section headers.
func (f *File) readHeaders() error {
	if f.size == 0 {
		return formatErrorf(0, "empty file")
	}
	ident, err := f.bytes(0, min(f.size, headerSize64))
	if err != nil {
		return err
	}
	for _, magic := range []string{"BC\xc0\xde", "\xde\xc0\x17\x0b"} {
		// The second is the wrapper (LLVM Bitcode File Format, "Bitcode Wrapper Format").
		if strings.HasPrefix(string(ident), magic) {
			return formatErrorf(0,
				"intermediate code of link-time optimization (LLVM bitcode), not an ELF file")
		}
	}
	if len(ident) < 16 || string(ident[:4]) != stdelf.ELFMAG {
		return formatErrorf(0, "not an ELF file")
	}
	switch stdelf.Class(ident[stdelf.EI_CLASS]) {
	case stdelf.ELFCLASS32:
	case stdelf.ELFCLASS64:
		f.Is64 = true
	default:
		return formatErrorf(4, "unknown ELF class %d", ident[4])
	}
	switch stdelf.Data(ident[stdelf.EI_DATA]) {
	case stdelf.ELFDATA2LSB:
	case stdelf.ELFDATA2MSB:
		f.Big = true
	default:
		return formatErrorf(5, "unknown byte order %d", ident[5])
	}
	if len(ident) < f.headerSize() {
		return formatErrorf(f.size, "file ends inside the ELF header")
	}
	f.header = ident[:f.headerSize()]
	f.Type = Type(f.u16(f.header[16:]))
	f.Machine = f.u16(f.header[18:])
	return f.readSections()
}

// readSections reads the section header table and the names of the sections.
func (f *File) readSections() error {
	num, strndx, err := f.sectionCounts()
	if err != nil {
		return err
	}
	size := uint64(f.sectionSize())
	if f.headers, err = f.bytes(f.shoff, num*size); err != nil {
		return err
	}
	f.shstrndx = uint32(strndx)
	f.Sections = make([]Section, num)
	for i := range f.Sections {
		s := f.section(f.headers[uint64(i)*size:])
		if i == 0 && s.Type != uint32(stdelf.SHT_NULL) {
			return formatErrorf(f.sectionHeaderOffset(i), "section 0 has type %#x", s.Type)
		}
		if s.Type != uint32(stdelf.SHT_NULL) && !s.NoBits() &&
			(s.Offset > f.size || f.size-s.Offset < s.Size) {
			return formatErrorf(f.sectionHeaderOffset(i),
				"section %d of %d bytes at %#x extends past the end of the file at %#x",
				i, s.Size, s.Offset, f.size)
		}
		f.Sections[i] = s
	}
	if f.data == nil {
		f.pieces = make([][]byte, num)
	}
	return f.nameSections()
}

// sectionCounts returns the number of section headers and the index of the section name table. All
// headers are inside the file, and strndx is below num.
func (f *File) sectionCounts() (num, strndx uint64, err error) {
	var entsize uint16
	h := f.header
	if f.Is64 {
		f.shoff = f.u64(h[40:])
		entsize, num, strndx = f.u16(h[58:]), uint64(f.u16(h[60:])), uint64(f.u16(h[62:]))
	} else {
		f.shoff = uint64(f.u32(h[32:]))
		entsize, num, strndx = f.u16(h[46:]), uint64(f.u16(h[48:])), uint64(f.u16(h[50:]))
	}
	size, end := uint64(f.sectionSize()), f.size
	if f.shoff == 0 {
		return 0, 0, formatErrorf(0, "no section headers")
	}
	if uint64(entsize) != size {
		return 0, 0, formatErrorf(f.shoff, "section header size %d, want %d", entsize, size)
	}
	if f.shoff > end || end-f.shoff < size {
		return 0, 0, formatErrorf(end, "file ends before its section headers at %#x", f.shoff)
	}
	// With SHN_LORESERVE or more sections, the first header holds the counts (gABI "ELF Header",
	// e_shnum and e_shstrndx).
	if num == 0 || strndx == uint64(stdelf.SHN_XINDEX) {
		b, err := f.bytes(f.shoff, size)
		if err != nil {
			return 0, 0, err
		}
		first := f.section(b)
		if num == 0 {
			num = first.Size
		}
		if strndx == uint64(stdelf.SHN_XINDEX) {
			strndx = uint64(first.Link)
		}
	}
	if num > (end-f.shoff)/size {
		return 0, 0, formatErrorf(end, "file ends before the last of %d section headers", num)
	}
	if strndx >= num {
		return 0, 0, formatErrorf(0, "section name table is section %d of %d", strndx, num)
	}
	return num, strndx, nil
}

// section decodes a section header, without the name.
func (f *File) section(b []byte) Section {
	if f.Is64 {
		return Section{
			Type: f.u32(b[4:]), Flags: f.u64(b[8:]), Addr: f.u64(b[16:]),
			Offset: f.u64(b[24:]), Size: f.u64(b[32:]),
			Link: f.u32(b[40:]), Info: f.u32(b[44:]),
			Addralign: f.u64(b[48:]), Entsize: f.u64(b[56:]),
		}
	}
	return Section{
		Type: f.u32(b[4:]), Flags: uint64(f.u32(b[8:])), Addr: uint64(f.u32(b[12:])),
		Offset: uint64(f.u32(b[16:])), Size: uint64(f.u32(b[20:])),
		Link: f.u32(b[24:]), Info: f.u32(b[28:]),
		Addralign: uint64(f.u32(b[32:])), Entsize: uint64(f.u32(b[36:])),
	}
}

// nameSections sets the name of each section and finds the symbol table.
func (f *File) nameSections() error {
	strndx := int(f.shstrndx)
	if t := f.Sections[strndx].Type; strndx != 0 && t != uint32(stdelf.SHT_STRTAB) {
		return formatErrorf(f.sectionHeaderOffset(strndx),
			"section name table is section %d of type %#x", strndx, t)
	}
	strs, err := f.Data(strndx)
	if err != nil {
		return err
	}
	all := string(strs) // the names share one string
	for i := range f.Sections {
		start := uint64(f.u32(f.headers[i*f.sectionSize():]))
		name, ok := cstring(strs, start)
		if !ok {
			return formatErrorf(f.sectionHeaderOffset(i),
				"name of section %d is outside the section name table", i)
		}
		// Names may share their bytes.
		err := f.spend(uint64(len(name)), f.sectionHeaderOffset(i), "names of sections")
		if err != nil {
			return err
		}
		if len(name) > 0 {
			f.Sections[i].Name = all[start : start+uint64(len(name))]
		}
		if f.Sections[i].Type == uint32(stdelf.SHT_SYMTAB) && f.symtab == 0 {
			f.symtab = uint32(i)
		}
	}
	return nil
}

// sectionHeaderOffset is the file offset of the header of section i.
func (f *File) sectionHeaderOffset(i int) uint64 {
	return f.shoff + uint64(i)*uint64(f.sectionSize())
}
