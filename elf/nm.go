package elf

import (
	"bytes"
	stdelf "debug/elf"
	"strings"
)

// NMListed reports whether nm prints the symbol. It omits sections, source files and mapping
// symbols. For mips, and for machines whose linker needs them kept, it also omits labels of the
// assembler.
func (f *File) NMListed(s *Symbol) bool {
	if s.Marker() || f.MappingSymbol(s.Name) {
		return false
	}
	switch {
	case f.KeepsLabels():
		return len(s.Name) > 0 && !localLabel(s.Name)
	case f.Machine == uint16(stdelf.EM_MIPS):
		return !localLabel(s.Name)
	}
	return true
}

// KeepsLabels reports whether the assembler leaves its labels in the symbol table, because the
// linker moves code.
func (f *File) KeepsLabels() bool { return pairedRelocations(f.Machine) }

// NMValue returns the address that nm prints for the symbol; for a common symbol that is its size.
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

const stbGNUUnique = 10 // GNU extension of st_info

// NMType returns the letter that nm prints for the symbol (binutils, nm(1)): lower case for a local
// symbol, upper case for a global one.
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

// AliasType returns the letter of an alias in a list for scripts/kallsyms: that of its original, or
// else 'W'. Of two names of an address, the kernel shows the one that scripts/kallsyms puts first,
// by the order of the list. But it puts the names of weak symbols behind all others, and before
// these the names that the linker script may define. An alias of such a name is not such a name
// itself, so it stays behind its original only if it is weak.
func AliasType(letter byte, original, alias string) byte {
	if linkerProvides(original) && !linkerProvides(alias) {
		return 'W'
	}
	return letter
}

// linkerProvides reports whether scripts/kallsyms takes a name for one that the linker script
// defines.
func linkerProvides(name string) bool {
	tail, ok := strings.CutPrefix(name, "__")
	if !ok || len(name) < 8 {
		return false
	}
	for _, word := range []string{"start_", "stop_", "end_"} {
		if strings.HasPrefix(tail, word) {
			return true
		}
	}
	return strings.HasSuffix(name, "_start") || strings.HasSuffix(name, "_end")
}

// nmType returns the letter of local symbols in a section. binutils decides by the section's name
// first, then by its flags (bfd/syms.c).
func (f *File) nmType(s *Section) byte {
	switch stdelf.SectionType(s.Type) {
	case stdelf.SHT_NULL, stdelf.SHT_SYMTAB_SHNDX:
		return 'a'
	case stdelf.SHT_SYMTAB, stdelf.SHT_STRTAB, stdelf.SHT_REL, stdelf.SHT_RELA:
		if !s.Alloc() {
			return 'a' // not a section for binutils
		}
	}
	if c := peSectionType(s.Name); c != 0 {
		return c
	}
	readonly := s.Flags&uint64(stdelf.SHF_WRITE) == 0
	small := f.Machine == uint16(stdelf.EM_PPC64) &&
		(strings.HasPrefix(s.Name, ".sdata") || strings.HasPrefix(s.Name, ".sbss"))
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

// peSectionType returns the letter of the four section names that have a meaning in PE objects, 0
// for any other name.
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

// debug reports whether the section's name is one of debugging information (binutils bfd/elf.c).
func (s *Section) debug() bool {
	if s.Alloc() {
		return false
	}
	for _, prefix := range [...]string{
		".debug", ".gnu.debuglto_.debug_", ".gnu.linkonce.wi.", ".zdebug", ".line", ".stab",
	} {
		if strings.HasPrefix(s.Name, prefix) {
			return true
		}
	}
	return s.Name == ".gdb_index"
}

// smallCommon reports whether the symbol is a common one that mips puts within reach of its global
// pointer.
func (f *File) smallCommon(s *Symbol) bool {
	const shnMIPSSmallCommon = 0xff03
	return f.Machine == uint16(stdelf.EM_MIPS) && s.Section == reserved|shnMIPSSmallCommon
}

// MappingSymbol reports whether name is a mapping symbol. The assemblers of arm, arm64 and riscv
// put one wherever code and data change: $x, $d, $a or $t, maybe with a suffix ("ELF for the Arm
// Architecture", section "Mapping symbols"). The older names $m, $f, $p and $b count too, as in
// binutils.
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
		return name[1] == 'x' || name[1] == 'd' // the name goes on with the ISA: $xrv64i
	}
	return false
}

// localLabel reports whether name is a label of the assembler (binutils bfd/elf.c,
// _bfd_elf_is_local_label_name): it begins with ".L", ".." or "_.L_", or is L, a number and a
// control character.
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
