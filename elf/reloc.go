package elf

import (
	stdelf "debug/elf"
)

// relocTable is an SHT_REL or SHT_RELA section (gABI figure 4-20), or an SHT_CREL section in that
// form.
type relocTable struct {
	f       *File
	data    []byte
	entsize int
	rela    bool
	// mips64: r_info is a symbol, a second symbol and three types (MIPS ELF64 specification, 2.9).
	mips64 bool
}

type reloc struct {
	offset uint64
	sym    SymID
	kind   uint32
	addend int64
}

// relocTable reads relocation section i.
func (f *File) relocTable(i int) (relocTable, error) {
	if f.Sections[i].Type == shtCREL {
		return f.expandCREL(i)
	}
	t, err := f.relocHeader(i)
	if err == nil {
		t.data, err = f.Data(i)
	}
	return t, err
}

// relocHeader returns the layout of relocation section i, without its entries.
func (f *File) relocHeader(i int) (relocTable, error) {
	s := &f.Sections[i]
	t := relocTable{f: f, rela: s.Type == uint32(stdelf.SHT_RELA)}
	t.mips64 = f.Is64 && f.Machine == uint16(stdelf.EM_MIPS)
	t.entsize = f.relocEntrySize(t.rela)
	if s.Size > 0 && (s.Entsize != uint64(t.entsize) || s.Size%s.Entsize != 0) {
		return t, formatErrorf(f.sectionHeaderOffset(i),
			"relocation section %d of %d bytes with entries of %d, want %d",
			i, s.Size, s.Entsize, t.entsize)
	}
	return t, nil
}

// relocEntrySize returns the size of an entry of SHT_RELA, else of SHT_REL.
func (f *File) relocEntrySize(rela bool) int {
	size := 8
	if rela {
		size = 12
	}
	if f.Is64 {
		size *= 2
	}
	return size
}

func (t *relocTable) len() int { return len(t.data) / t.entsize }

// offset returns r_offset of entry i.
func (t *relocTable) offset(i int) uint64 {
	b := t.data[i*t.entsize:]
	if t.f.Is64 {
		return t.f.u64(b)
	}
	return uint64(t.f.u32(b))
}

// symbolOffset is the offset in an entry of the symbol index, a 32-bit word in ELF64; -1 in ELF32,
// where index and type share a word.
func (t *relocTable) symbolOffset() int {
	switch {
	case !t.f.Is64:
		return -1
	case t.mips64 || t.f.Big:
		return 8
	}
	return 12
}

// at decodes entry i.
func (t *relocTable) at(i int) reloc {
	f := t.f
	b := t.data[i*t.entsize:][:t.entsize]
	if !f.Is64 {
		info := f.u32(b[4:])
		r := reloc{offset: uint64(f.u32(b)), sym: SymID(info >> 8), kind: info & 0xff}
		if t.rela {
			r.addend = int64(int32(f.u32(b[8:])))
		}
		return r
	}
	r := reloc{offset: f.u64(b), sym: SymID(f.u32(b[t.symbolOffset():]))}
	switch {
	case t.mips64:
		r.kind = uint32(b[15])
	case f.Big:
		r.kind = f.u32(b[12:])
	default:
		r.kind = f.u32(b[8:])
	}
	if t.rela {
		r.addend = int64(f.u64(b[16:]))
	}
	return r
}

// relocSize returns the size of the field that an absolute relocation of this type fills, 0 for
// other types.
func relocSize(machine uint16, kind uint32) int {
	switch stdelf.Machine(machine) {
	case stdelf.EM_X86_64:
		switch stdelf.R_X86_64(kind) {
		case stdelf.R_X86_64_64:
			return 8
		case stdelf.R_X86_64_32, stdelf.R_X86_64_32S:
			return 4
		}
	case stdelf.EM_386:
		if stdelf.R_386(kind) == stdelf.R_386_32 {
			return 4
		}
	case stdelf.EM_AARCH64:
		switch stdelf.R_AARCH64(kind) {
		case stdelf.R_AARCH64_ABS64:
			return 8
		case stdelf.R_AARCH64_ABS32:
			return 4
		}
	case stdelf.EM_ARM:
		if stdelf.R_ARM(kind) == stdelf.R_ARM_ABS32 {
			return 4
		}
	case stdelf.EM_S390:
		switch stdelf.R_390(kind) {
		case stdelf.R_390_64:
			return 8
		case stdelf.R_390_32:
			return 4
		}
	case stdelf.EM_PPC64:
		switch stdelf.R_PPC64(kind) {
		case stdelf.R_PPC64_ADDR64:
			return 8
		case stdelf.R_PPC64_ADDR32:
			return 4
		}
	case stdelf.EM_MIPS:
		switch stdelf.R_MIPS(kind) {
		case stdelf.R_MIPS_64:
			return 8
		case stdelf.R_MIPS_32:
			return 4
		}
	}
	return 0
}
