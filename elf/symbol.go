package elf

import (
	stdelf "debug/elf"
	"slices"
	"strings"
)

// Symtab is the symbol table of an object.
type Symtab struct {
	f       *File
	n       int    // number of entries
	data    []byte // the entries from first on
	first   int
	names   uint64 // bytes of the names that At returned
	strs    []byte
	xindex  []byte // SHT_SYMTAB_SHNDX, nil if there is none
	Section int    // index of .symtab
	Strings int    // index of its string table
	Shndx   int    // index of SHT_SYMTAB_SHNDX, 0 if there is none
	Locals  SymID  // sh_info: index of the first symbol that is not local
}

// SymID is the index of a symbol in .symtab. Entry 0 is the undefined symbol.
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

// Section values that are not an index. The reserved values are above every index: in an object
// with more than 65,280 sections, section 65521 is not SHN_ABS.
const (
	Undef    uint32 = 0
	reserved uint32 = 0xffff0000
	Abs             = reserved | uint32(stdelf.SHN_ABS)
	Common          = reserved | uint32(stdelf.SHN_COMMON)
)

// Symtab returns the symbol table. The error is a *FormatError if the object has none or its
// headers contradict each other.
func (f *File) Symtab() (*Symtab, error) {
	if f.symtab == 0 {
		return nil, formatErrorf(f.shoff, "no symbol table among %d sections", len(f.Sections))
	}
	s := &f.Sections[f.symtab]
	at := f.sectionHeaderOffset(int(f.symtab))
	if s.Entsize != uint64(f.symbolSize()) || s.Size%s.Entsize != 0 {
		return nil, formatErrorf(at, ".symtab of %d bytes with entries of %d, want %d",
			s.Size, s.Entsize, f.symbolSize())
	}
	if int(s.Link) >= len(f.Sections) || f.Sections[s.Link].Type != uint32(stdelf.SHT_STRTAB) {
		return nil, formatErrorf(at, "string table of .symtab is section %d, which is none", s.Link)
	}
	if uint64(s.Info) > s.Size/s.Entsize {
		return nil, formatErrorf(at, ".symtab has %d local symbols among %d entries",
			s.Info, s.Size/s.Entsize)
	}
	t := &Symtab{f: f, Section: int(f.symtab), Strings: int(s.Link), Locals: SymID(s.Info)}
	t.n = int(s.Size / s.Entsize)
	var err error
	if f.data != nil || s.Size <= symbolWindow {
		if t.data, err = f.Data(t.Section); err != nil {
			return nil, err
		}
	} else if s.Size > maxRead {
		return nil, formatErrorf(at, ".symtab of %d bytes, more than %d", s.Size, maxRead)
	}
	if t.strs, err = f.Data(t.Strings); err != nil {
		return nil, err
	}
	if err := t.readXindex(); err != nil {
		return nil, err
	}
	return t, nil
}

// readXindex finds SHT_SYMTAB_SHNDX, which holds the section indices that do not fit st_shndx.
func (t *Symtab) readXindex() error {
	f := t.f
	for i := range f.Sections {
		x := &f.Sections[i]
		if x.Type != uint32(stdelf.SHT_SYMTAB_SHNDX) || x.Link != f.symtab {
			continue
		}
		var err error
		if t.xindex, err = f.Data(i); err != nil {
			return err
		}
		if len(t.xindex)/4 < t.Len() {
			return formatErrorf(f.sectionHeaderOffset(i),
				"extended section indices for %d of %d symbols", len(t.xindex)/4, t.Len())
		}
		if t.Shndx != 0 {
			return formatErrorf(f.sectionHeaderOffset(i),
				"sections %d and %d both extend the symbol table", t.Shndx, i)
		}
		t.Shndx = i
	}
	return nil
}

// Len returns the number of entries, including entry 0.
func (t *Symtab) Len() int { return t.n }

// symbolWindow is the size in bytes of the part of a larger table that is in memory, if the table
// is not mapped. Most callers read a table in order.
const symbolWindow = 768 << 10

// raw returns the bytes of entry i, which are valid until the next call.
func (t *Symtab) raw(i SymID) ([]byte, error) {
	size := t.f.symbolSize()
	if at := (int(i) - t.first) * size; at >= 0 && at < len(t.data) {
		return t.data[at:][:size], nil
	}
	s := &t.f.Sections[t.Section]
	if int(i) >= t.n {
		return nil, formatErrorf(s.Offset, "no symbol %d among %d", i, t.n)
	}
	if t.data == nil {
		t.data = t.f.source.blocks.take(symbolWindow)
	}
	start := uint64(int(i) * size)
	t.first, t.data = int(i), t.data[:min(symbolWindow, s.Size-start)]
	if err := ReadAt(t.f.source.fd, t.data, int64(s.Offset+start)); err != nil {
		t.data = t.data[:0]
		return nil, err
	}
	return t.data[:size], nil
}

// At returns entry i. The error is a *FormatError if there is no such entry, if its name or section
// is outside the tables, or if the names are much longer than the file, because they share their
// bytes.
func (t *Symtab) At(i SymID) (Symbol, error) {
	s, name, err := t.entry(i)
	if err != nil {
		return s, err
	}
	var ok bool
	if s.Name, ok = cstring(t.strs, uint64(name)); !ok {
		return s, formatErrorf(t.offset(i), "name of symbol %d is outside the string table", i)
	}
	t.names += uint64(len(s.Name))
	if size := t.f.budget.size; t.names > costPerByte*size+freeCost {
		return s, formatErrorf(t.offset(i),
			"names of the first %d symbols have %d bytes in a file of %d", i, t.names, size)
	}
	return s, nil
}

// Named returns the index of the name that entry i has, -1 if it has none of the names.
func (t *Symtab) Named(i SymID, names ...string) int {
	_, at, err := t.entry(i)
	if err != nil || uint64(at) >= uint64(len(t.strs)) {
		return -1
	}
	rest := t.strs[at:]
	return slices.IndexFunc(names, func(name string) bool {
		n := len(name)
		return n < len(rest) && rest[n] == 0 && string(rest[:n]) == name
	})
}

// entry returns entry i without its name, which is at an offset in the string table.
func (t *Symtab) entry(i SymID) (s Symbol, name uint32, err error) {
	f := t.f
	b, err := t.raw(i)
	if err != nil {
		return s, 0, err
	}
	name = f.u32(b)
	var shndx uint16
	if f.Is64 {
		s.Info, s.Other, shndx = b[4], b[5], f.u16(b[6:])
		s.Value, s.Size = f.u64(b[8:]), f.u64(b[16:])
	} else {
		s.Value, s.Size = uint64(f.u32(b[4:])), uint64(f.u32(b[8:]))
		s.Info, s.Other, shndx = b[12], b[13], f.u16(b[14:])
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
		return s, name, formatErrorf(t.offset(i), "symbol %d is in section %d of %d",
			i, s.Section, len(f.Sections))
	}
	return s, name, nil
}

// NextLoaded returns the first entry from i on that is for a source file or a section, or is in a
// section that occupies memory in the running kernel; Len if there is none. It is fast, because
// nearly all entries of a module may be labels in debugging information.
func (t *Symtab) NextLoaded(i SymID) (SymID, error) {
	f := t.f
	info, shndx := 4, 6
	if !f.Is64 {
		info, shndx = 12, 14
	}
	for ; int(i) < t.n; i++ {
		if i%forgetAfter == forgetAfter-1 {
			f.Forget()
		}
		b, err := t.raw(i)
		if err != nil {
			return i, err
		}
		section := f.u16(b[shndx:])
		switch {
		case section == uint16(stdelf.SHN_XINDEX): // At knows the section
			return i, nil
		case b[info]&15 == byte(stdelf.STT_FILE), b[info]&15 == byte(stdelf.STT_SECTION):
			return i, nil
		case section >= uint16(stdelf.SHN_LORESERVE):
		case int(section) >= len(f.Sections) || f.Sections[section].Alloc():
			return i, nil
		}
	}
	return i, nil
}

// offset is the file offset of entry i.
func (t *Symtab) offset(i SymID) uint64 {
	return t.f.Sections[t.Section].Offset + uint64(i)*uint64(t.f.symbolSize())
}

// Bind returns the upper half of st_info, the binding.
func (s *Symbol) Bind() byte { return s.Info >> 4 }

// Type returns the lower half of st_info.
func (s *Symbol) Type() byte { return s.Info & 15 }

// Defined reports whether the symbol is in a section of its object.
func (s *Symbol) Defined() bool { return s.Section != Undef && s.Section < reserved }

// Marker reports whether the entry is for a section or a source file, not for code or data.
func (s *Symbol) Marker() bool {
	return s.Type() == byte(stdelf.STT_SECTION) || s.Type() == byte(stdelf.STT_FILE)
}

// SourceFile reports whether the entry names the source file of the local symbols after it.
func (s *Symbol) SourceFile() bool { return s.Type() == byte(stdelf.STT_FILE) }

// Function reports whether the symbol's type is that of a function.
func (s *Symbol) Function() bool {
	return s.Type() == byte(stdelf.STT_FUNC) || s.Type() == byte(stdelf.STT_GNU_IFUNC)
}

// Untyped reports whether the symbol has no type, as labels in assembly do.
func (s *Symbol) Untyped() bool { return s.Type() == byte(stdelf.STT_NOTYPE) }

// SlimLTO reports whether GCC wrote only the intermediate code of link-time optimization into the
// object (-flto without -ffat-lto-objects). Such an object has the common symbol __gnu_lto_slim.
func (f *File) SlimLTO(t *Symtab) bool {
	lto := false
	for i := range f.Sections {
		lto = lto || strings.HasPrefix(f.Sections[i].Name, ".gnu.lto_")
	}
	if !lto {
		return false
	}
	for i := range t.Len() {
		if t.Named(SymID(i), "__gnu_lto_slim") == 0 {
			return true
		}
	}
	return false
}

// CodeAddress returns the address of the symbol's instructions. That is the value, except for Thumb
// functions of arm: their lowest bit is the mode ("ELF for the Arm Architecture", section "Symbol
// Values").
func (f *File) CodeAddress(s *Symbol) uint64 {
	if f.Machine == uint16(stdelf.EM_ARM) && s.Function() {
		return s.Value &^ 1
	}
	return s.Value
}

// Bytes returns the bytes of a symbol: Size bytes from its CodeAddress, at most to the end of its
// section. It returns nil if the symbol is not defined or its section has no bytes in the file.
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
