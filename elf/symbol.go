package elf

import (
	"bytes"
	stdelf "debug/elf"
	"strings"
)

// SymID is a symbol's index in .symtab; 0 is the undefined symbol that stands first.
type SymID uint32

// Symbol is an entry of .symtab (gABI figure 4-16). Name aliases the string table.
type Symbol struct {
	Name    []byte
	Value   uint64
	Size    uint64
	Section uint32 // a section index, Undef, or one of the reserved values below
	Info    byte
	Other   byte
}

// Section values that name no section. They stand above every index so that an object with more than 65,280 sections
// cannot be mistaken: its section 65521 is not SHN_ABS.
const (
	Undef    uint32 = 0
	reserved uint32 = 0xffff0000
	Abs             = reserved | uint32(stdelf.SHN_ABS)
	Common          = reserved | uint32(stdelf.SHN_COMMON)
)

const stbGNUUnique = 10 // GNU extension to st_info

// Bind is the upper half of st_info.
func (s *Symbol) Bind() byte { return s.Info >> 4 }

// Type is the lower half of st_info.
func (s *Symbol) Type() byte { return s.Info & 15 }

// Defined says whether the symbol lies in a section of its object.
func (s *Symbol) Defined() bool { return s.Section != Undef && s.Section < reserved }

// CodeAddress is the address of the instructions that a symbol of code stands for: the value, but for Thumb functions of
// arm, which bear their mode in the lowest bit ("ELF for the Arm Architecture", section "Symbol Values").
func (f *File) CodeAddress(s *Symbol) uint64 {
	if f.Machine == uint16(stdelf.EM_ARM) && (s.Type() == byte(stdelf.STT_FUNC) || s.Type() == byte(stdelf.STT_GNU_IFUNC)) {
		return s.Value &^ 1
	}
	return s.Value
}

// Marker says whether the entry stands for a section or a source file, not for code or data.
func (s *Symbol) Marker() bool {
	return s.Type() == byte(stdelf.STT_SECTION) || s.Type() == byte(stdelf.STT_FILE)
}

// SourceFile says whether the entry names the source file of the local symbols that follow it.
func (s *Symbol) SourceFile() bool { return s.Type() == byte(stdelf.STT_FILE) }

// Bytes returns what a defined symbol stands for: up to Size bytes from its CodeAddress, fewer if its section ends or has no
// bytes in the file.
func (f *File) Bytes(s *Symbol) []byte {
	if !s.Defined() {
		return nil
	}
	section := &f.Sections[s.Section]
	at := f.CodeAddress(s)
	if f.Type != Relocatable {
		at -= section.Addr
	}
	if section.NoBits() || section.Type == uint32(stdelf.SHT_NULL) || at >= section.Size {
		return nil
	}
	data, err := f.bytes(section.Offset+at, min(section.Size-at, s.Size))
	if err != nil {
		return nil
	}
	return data
}

// Symtab is the symbol table of an object.
type Symtab struct {
	f       *File
	data    []byte
	strs    []byte
	xindex  []byte // SHT_SYMTAB_SHNDX, nil if there is none
	Section int    // index of .symtab
	Strings int    // index of its string table
	Shndx   int    // index of SHT_SYMTAB_SHNDX, 0 if there is none
	Locals  SymID  // sh_info: index of the first symbol that is not local
}

// Symtab returns the symbol table. An object without one is a *FormatError.
func (f *File) Symtab() (*Symtab, error) {
	if f.symtab == 0 {
		return nil, formatErrorf(f.shoff, "no symbol table among %d sections", len(f.Sections))
	}
	s := &f.Sections[f.symtab]
	at := f.sectionHeaderOffset(int(f.symtab))
	if s.Entsize != uint64(f.symbolSize()) || s.Size%s.Entsize != 0 {
		return nil, formatErrorf(at, ".symtab of %d bytes with entries of %d, want %d", s.Size, s.Entsize, f.symbolSize())
	}
	if int(s.Link) >= len(f.Sections) || f.Sections[s.Link].Type != uint32(stdelf.SHT_STRTAB) {
		return nil, formatErrorf(at, ".symtab names section %d as its string table", s.Link)
	}
	t := &Symtab{f: f, Section: int(f.symtab), Strings: int(s.Link), Locals: SymID(s.Info)}
	if uint64(s.Info) > s.Size/s.Entsize {
		return nil, formatErrorf(at, ".symtab has %d entries and %d local ones", s.Size/s.Entsize, s.Info)
	}
	var err error
	if t.data, err = f.Data(t.Section); err != nil {
		return nil, err
	}
	if t.strs, err = f.Data(t.Strings); err != nil {
		return nil, err
	}
	for i := range f.Sections {
		x := &f.Sections[i]
		if x.Type != uint32(stdelf.SHT_SYMTAB_SHNDX) || x.Link != f.symtab {
			continue
		}
		if t.xindex, err = f.Data(i); err != nil {
			return nil, err
		}
		if len(t.xindex)/4 < t.Len() {
			return nil, formatErrorf(f.sectionHeaderOffset(i), "extended section indices for %d of %d symbols", len(t.xindex)/4, t.Len())
		}
		if t.Shndx != 0 {
			return nil, formatErrorf(f.sectionHeaderOffset(i), "sections %d and %d both extend the symbol table", t.Shndx, i)
		}
		t.Shndx = i
	}
	return t, nil
}

// Len is the number of entries, the undefined one at index 0 included.
func (t *Symtab) Len() int { return len(t.data) / t.f.symbolSize() }

// At returns the entry with index i. An index that is not below Len, a name outside the string table or a section that
// does not exist is a *FormatError.
func (t *Symtab) At(i SymID) (Symbol, error) {
	f := t.f
	var s Symbol
	if int(i) >= t.Len() {
		return s, formatErrorf(f.Sections[t.Section].Offset, "no symbol %d among %d", i, t.Len())
	}
	var name uint32
	var shndx uint16
	if f.Is64 {
		b := t.data[int(i)*symbolSize64:][:symbolSize64]
		name, s.Info, s.Other, shndx, s.Value, s.Size = f.u32(b), b[4], b[5], f.u16(b[6:]), f.u64(b[8:]), f.u64(b[16:])
	} else {
		b := t.data[int(i)*symbolSize32:][:symbolSize32]
		name, s.Value, s.Size, s.Info, s.Other, shndx = f.u32(b), uint64(f.u32(b[4:])), uint64(f.u32(b[8:])), b[12], b[13], f.u16(b[14:])
	}
	switch {
	case shndx == uint16(stdelf.SHN_XINDEX) && t.xindex != nil:
		s.Section = f.u32(t.xindex[4*i:])
	case shndx >= uint16(stdelf.SHN_LORESERVE):
		s.Section = reserved | uint32(shndx)
	default:
		s.Section = uint32(shndx)
	}
	if s.Section < reserved && int(s.Section) >= len(f.Sections) {
		return s, formatErrorf(t.offset(i), "symbol %d lies in section %d of %d", i, s.Section, len(f.Sections))
	}
	var ok bool
	if s.Name, ok = cstring(t.strs, uint64(name)); !ok {
		return s, formatErrorf(t.offset(i), "name of symbol %d is outside the string table", i)
	}
	return s, nil
}

// offset is where entry i stands in the file.
func (t *Symtab) offset(i SymID) uint64 {
	return t.f.Sections[t.Section].Offset + uint64(i)*uint64(t.f.symbolSize())
}

func (f *File) sectionHeaderOffset(i int) uint64 { return f.shoff + uint64(i)*uint64(f.sectionSize()) }

// cstring returns the NUL-terminated string at offset at, without the NUL.
func cstring(b []byte, at uint64) ([]byte, bool) {
	if at >= uint64(len(b)) {
		return nil, at == 0 // an empty table holds the empty name
	}
	n := bytes.IndexByte(b[at:], 0)
	if n < 0 {
		return nil, false
	}
	return b[at : at+uint64(n)], true
}

// MappingSymbol says whether name is one that arm, arm64 and riscv assemblers put at changes between code and data
// ($x, $d, $a, $t, each maybe with a suffix; "ELF for the Arm Architecture", section "Mapping symbols"), or one of
// their older relatives that binutils treats alike ($m, $f, $p, $b).
func (f *File) MappingSymbol(name []byte) bool {
	if len(name) < 2 || name[0] != '$' {
		return false
	}
	whole := len(name) == 2 || name[2] == '.'
	switch stdelf.Machine(f.Machine) {
	case stdelf.EM_ARM:
		return name[1] >= 'a' && name[1] <= 'z' && whole
	case stdelf.EM_AARCH64:
		return strings.IndexByte("xdmfp", name[1]) >= 0 && whole
	case stdelf.EM_RISCV:
		return name[1] == 'x' || name[1] == 'd'
	}
	return false
}

// NMListed says whether nm prints the symbol: neither sections, source files and mapping symbols, nor, on mips and on
// the machines whose linker needs them kept, the assembler's own labels.
func (f *File) NMListed(s *Symbol) bool {
	if s.Marker() || f.MappingSymbol(s.Name) {
		return false
	}
	switch stdelf.Machine(f.Machine) {
	case stdelf.EM_RISCV, stdelf.EM_LOONGARCH:
		return len(s.Name) > 0 && !localLabel(s.Name)
	case stdelf.EM_MIPS:
		return !localLabel(s.Name)
	}
	return true
}

// localLabel knows a label of the assembler (binutils bfd/elf.c, _bfd_elf_is_local_label_name): .L, .., _.L_, and L with
// a number and a control character.
func localLabel(name []byte) bool {
	for _, prefix := range [...]string{".L", "..", "_.L_"} {
		if len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix {
			return true
		}
	}
	if len(name) == 0 || name[0] != 'L' {
		return false
	}
	rest := bytes.TrimLeft(name[1:], "0123456789")
	return len(rest) > 0 && len(rest) < len(name)-1 && (rest[0] == 1 || rest[0] == 2)
}

// NMValue is the address nm prints for the symbol: of a common one its size.
func (f *File) NMValue(s *Symbol) uint64 {
	switch {
	case s.Section == Undef:
		return 0
	case s.Section == Common, f.smallCommon(s):
		return s.Size
	case f.Type == Relocatable && s.Defined():
		return f.Sections[s.Section].Addr + f.CodeAddress(s)
	}
	return f.CodeAddress(s)
}

// smallCommon says whether the symbol is a common one that mips puts within reach of its global pointer.
func (f *File) smallCommon(s *Symbol) bool {
	const shnMIPSSmallCommon = 0xff03
	return f.Machine == uint16(stdelf.EM_MIPS) && s.Section == reserved|shnMIPSSmallCommon
}

// NMType is the letter nm prints for the symbol (binutils, nm(1)): lower case for local, upper case for global symbols.
func (f *File) NMType(s *Symbol) byte {
	weak := s.Bind() == byte(stdelf.STB_WEAK)
	object := s.Type() == byte(stdelf.STT_OBJECT) || s.Type() == byte(stdelf.STT_COMMON)
	switch {
	case s.Section == Common:
		return 'C'
	case f.smallCommon(s):
		return 'c'
	case s.Section == Undef && weak && object:
		return 'v'
	case s.Section == Undef && weak:
		return 'w'
	case s.Section == Undef:
		return 'U'
	case s.Type() == byte(stdelf.STT_GNU_IFUNC):
		return 'i'
	case weak && object:
		return 'V'
	case weak:
		return 'W'
	case s.Bind() == stbGNUUnique:
		return 'u'
	case s.Bind() != byte(stdelf.STB_LOCAL) && s.Bind() != byte(stdelf.STB_GLOBAL):
		return '?'
	}
	c := byte('a')
	if s.Defined() {
		c = f.nmType(&f.Sections[s.Section])
	}
	if s.Bind() == byte(stdelf.STB_GLOBAL) && c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// nmType is nm's letter for local symbols of a section (binutils bfd/syms.c decides by name, then by flags).
func (f *File) nmType(s *Section) byte {
	switch stdelf.SectionType(s.Type) {
	case stdelf.SHT_NULL, stdelf.SHT_SYMTAB_SHNDX:
		return 'a'
	case stdelf.SHT_SYMTAB, stdelf.SHT_STRTAB, stdelf.SHT_REL, stdelf.SHT_RELA:
		if !s.Alloc() {
			return 'a' // binutils makes no section of these
		}
	}
	if c := peSectionType(s.Name); c != 0 {
		return c
	}
	readonly := s.Flags&uint64(stdelf.SHF_WRITE) == 0
	small := f.Machine == uint16(stdelf.EM_PPC64) && (strings.HasPrefix(s.Name, ".sdata") || strings.HasPrefix(s.Name, ".sbss"))
	switch {
	case s.Exec():
		return 't'
	case s.Alloc() && !s.NoBits() && readonly:
		return 'r'
	case s.Alloc() && !s.NoBits() && small:
		return 'g'
	case s.Alloc() && !s.NoBits():
		return 'd'
	case s.NoBits() && small:
		return 's'
	case s.NoBits():
		return 'b'
	case s.debug():
		return 'N'
	case readonly:
		return 'n'
	}
	return '?'
}

// debug says whether the section's name marks it as debugging information (binutils bfd/elf.c).
func (s *Section) debug() bool {
	if s.Alloc() {
		return false
	}
	for _, prefix := range [...]string{".debug", ".gnu.debuglto_.debug_", ".gnu.linkonce.wi.", ".zdebug", ".line", ".stab"} {
		if strings.HasPrefix(s.Name, prefix) {
			return true
		}
	}
	return s.Name == ".gdb_index"
}

// peSectionType is the letter of the four section names that PE objects gave a meaning, 0 for any other.
func peSectionType(name string) byte {
	for _, t := range [...]struct {
		name   string
		letter byte
	}{{".drectve", 'i'}, {".edata", 'e'}, {".idata", 'i'}, {".pdata", 'p'}} {
		rest, ok := strings.CutPrefix(name, t.name)
		if ok && (rest == "" || strings.IndexByte(".$0123456789", rest[0]) >= 0) {
			return t.letter
		}
	}
	return 0
}
