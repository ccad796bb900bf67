// Package elf reads and rewrites ELF objects over their mapped bytes: section headers, symbol tables and relocations
// of every class, byte order and machine that Linux kernels are built for.
//
// Section and table numbers cite the System V ABI (gABI), chapters "Object Files".
package elf

import (
	stdelf "debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// FormatError says what is wrong with the bytes at Offset of an object.
type FormatError struct {
	Offset uint64
	Msg    string
}

func (e *FormatError) Error() string { return fmt.Sprintf("%s (offset %#x)", e.Msg, e.Offset) }

func formatErrorf(offset uint64, format string, args ...any) error {
	return &FormatError{Offset: offset, Msg: fmt.Sprintf(format, args...)}
}

// Type is e_type of the ELF header.
type Type uint16

const (
	Relocatable Type = Type(stdelf.ET_REL)
	Executable  Type = Type(stdelf.ET_EXEC)
	Dynamic     Type = Type(stdelf.ET_DYN)
)

// File is an ELF object. Its byte slices are read-only and die with Close. It is for one goroutine, unless it was opened
// by Open or New: then its methods may be called by several.
type File struct {
	Is64     bool
	Big      bool // most significant byte first
	Type     Type
	Machine  uint16
	Sections []Section

	data     []byte // the whole object; nil if it is read in pieces
	size     uint64
	header   []byte // the ELF header
	headers  []byte // the section headers
	shoff    uint64
	shstrndx uint32
	symtab   uint32   // index of the SHT_SYMTAB section, 0 if there is none
	source   *source  // the opened file, nil if data was handed to New
	pieces   [][]byte // of each section what was read; only if data is nil
}

// Section is a section header (gABI figure 4-8) with its name looked up.
type Section struct {
	Name      string
	Type      uint32
	Flags     uint64
	Addr      uint64
	Offset    uint64
	Size      uint64
	Link      uint32
	Info      uint32
	Addralign uint64
	Entsize   uint64
}

// Alloc says whether the section occupies memory in the running kernel.
func (s *Section) Alloc() bool { return s.Flags&uint64(stdelf.SHF_ALLOC) != 0 }

// Exec says whether the section holds instructions.
func (s *Section) Exec() bool { return s.Flags&uint64(stdelf.SHF_EXECINSTR) != 0 }

// NoBits says whether the section has no bytes in the file.
func (s *Section) NoBits() bool { return s.Type == uint32(stdelf.SHT_NOBITS) }

const (
	headerSize32, headerSize64   = 52, 64
	sectionSize32, sectionSize64 = 40, 64
	symbolSize32, symbolSize64   = 16, 24
)

// New reads the headers of the object in data, which must stay unchanged while the File is used.
// The error is a *FormatError.
func New(data []byte) (*File, error) {
	f := &File{data: data, size: uint64(len(data))}
	if err := f.readHeaders(); err != nil {
		return nil, err
	}
	return f, nil
}

// bytes returns a range of the object, which must lie in it.
func (f *File) bytes(offset, size uint64) ([]byte, error) {
	if f.data != nil {
		return f.data[offset : offset+size : offset+size], nil
	}
	return f.source.read(offset, size)
}

func (f *File) readHeaders() error {
	if f.size == 0 {
		return formatErrorf(0, "empty file")
	}
	ident, err := f.bytes(0, min(f.size, headerSize64))
	if err != nil {
		return err
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

func (f *File) readSections() error {
	var num, strndx uint64
	var entsize uint16
	if f.Is64 {
		f.shoff = f.u64(f.header[40:])
		entsize, num, strndx = f.u16(f.header[58:]), uint64(f.u16(f.header[60:])), uint64(f.u16(f.header[62:]))
	} else {
		f.shoff = uint64(f.u32(f.header[32:]))
		entsize, num, strndx = f.u16(f.header[46:]), uint64(f.u16(f.header[48:])), uint64(f.u16(f.header[50:]))
	}
	size, end := uint64(f.sectionSize()), f.size
	if f.shoff == 0 {
		return formatErrorf(0, "no section headers")
	}
	if uint64(entsize) != size {
		return formatErrorf(f.shoff, "section header size %d, want %d", entsize, size)
	}
	if f.shoff > end || end-f.shoff < size {
		return formatErrorf(end, "file ends before its section headers at %#x", f.shoff)
	}
	// More than SHN_LORESERVE sections: the first header holds the counts (gABI "ELF Header", e_shnum).
	if num == 0 || strndx == uint64(stdelf.SHN_XINDEX) {
		b, err := f.bytes(f.shoff, size)
		if err != nil {
			return err
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
		return formatErrorf(end, "file ends before the last of its %d section headers", num)
	}
	if strndx >= num {
		return formatErrorf(0, "section name table is section %d of %d", strndx, num)
	}
	var err error
	if f.headers, err = f.bytes(f.shoff, num*size); err != nil {
		return err
	}
	f.shstrndx = uint32(strndx)
	f.Sections = make([]Section, num)
	for i := range f.Sections {
		at := f.shoff + uint64(i)*size
		s := f.section(f.headers[uint64(i)*size:])
		if i == 0 && s.Type != uint32(stdelf.SHT_NULL) {
			return formatErrorf(at, "section 0 is of type %#x", s.Type)
		}
		if s.Type != uint32(stdelf.SHT_NULL) && !s.NoBits() && (s.Offset > end || end-s.Offset < s.Size) {
			return formatErrorf(at, "section %d has %d bytes at %#x, after the end of the file at %#x", i, s.Size, s.Offset, end)
		}
		f.Sections[i] = s
	}
	if t := f.Sections[strndx].Type; strndx != 0 && t != uint32(stdelf.SHT_STRTAB) {
		return formatErrorf(f.shoff+strndx*size, "section name table is section %d of type %#x", strndx, t)
	}
	if f.data == nil {
		f.pieces = make([][]byte, num)
	}
	strs, err := f.Data(int(strndx))
	if err != nil {
		return err
	}
	all := string(strs) // one string holds the names of all sections
	for i := range f.Sections {
		start := uint64(f.u32(f.headers[uint64(i)*size:]))
		name, ok := cstring(strs, start)
		if !ok {
			return formatErrorf(f.shoff+uint64(i)*size, "name of section %d is outside the name table", i)
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

// section decodes one section header but for its name.
func (f *File) section(b []byte) Section {
	if f.Is64 {
		return Section{
			Type: f.u32(b[4:]), Flags: f.u64(b[8:]), Addr: f.u64(b[16:]), Offset: f.u64(b[24:]), Size: f.u64(b[32:]),
			Link: f.u32(b[40:]), Info: f.u32(b[44:]), Addralign: f.u64(b[48:]), Entsize: f.u64(b[56:]),
		}
	}
	return Section{
		Type: f.u32(b[4:]), Flags: uint64(f.u32(b[8:])), Addr: uint64(f.u32(b[12:])), Offset: uint64(f.u32(b[16:])), Size: uint64(f.u32(b[20:])),
		Link: f.u32(b[24:]), Info: f.u32(b[28:]), Addralign: uint64(f.u32(b[32:])), Entsize: uint64(f.u32(b[36:])),
	}
}

// Data returns the bytes of section i as they stand in the file: empty for SHT_NOBITS, still compressed if they are.
func (f *File) Data(i int) ([]byte, error) {
	if i < 0 || i >= len(f.Sections) {
		return nil, formatErrorf(f.shoff, "no section %d", i)
	}
	s := &f.Sections[i]
	if s.NoBits() || s.Type == uint32(stdelf.SHT_NULL) {
		return nil, nil
	}
	if f.data != nil {
		return f.data[s.Offset : s.Offset+s.Size : s.Offset+s.Size], nil
	}
	if f.pieces[i] == nil && s.Size > 0 {
		var err error
		if f.pieces[i], err = f.source.read(s.Offset, s.Size); err != nil {
			return nil, err
		}
	}
	return f.pieces[i], nil
}

// Section returns the index of the first section of that name, 0 if there is none.
func (f *File) Section(name string) int {
	for i := 1; i < len(f.Sections); i++ {
		if f.Sections[i].Name == name {
			return i
		}
	}
	return 0
}

// HeadersOffset is where the section headers stand, for messages about what is not among them.
func (f *File) HeadersOffset() uint64 { return f.shoff }

// Size is the object's size in bytes, decompressed.
func (f *File) Size() int64 { return int64(f.size) }

// Arch names the machine as kas configurations do; an unknown one is "machine N".
func (f *File) Arch() string {
	switch stdelf.Machine(f.Machine) {
	case stdelf.EM_X86_64:
		return "x86_64"
	case stdelf.EM_386:
		return "i386"
	case stdelf.EM_AARCH64:
		return "arm64"
	case stdelf.EM_ARM:
		return "arm"
	case stdelf.EM_S390:
		return "s390x"
	case stdelf.EM_PPC64:
		if f.Big {
			return "powerpc64"
		}
		return "powerpc64le"
	case stdelf.EM_MIPS:
		if f.Is64 {
			return "mips64"
		}
		return "mips"
	case stdelf.EM_RISCV:
		return "riscv64"
	case stdelf.EM_LOONGARCH:
		return "loongarch64"
	}
	return fmt.Sprintf("machine %d", f.Machine)
}

// Modinfo returns the value of a key in the .modinfo section ("vermagic"), "" if there is none.
func (f *File) Modinfo(key string) string {
	data, err := f.Data(f.Section(".modinfo"))
	if err != nil {
		return ""
	}
	for at := uint64(0); at < uint64(len(data)); {
		entry, ok := cstring(data, at)
		if !ok {
			return ""
		}
		if len(entry) > len(key) && entry[len(key)] == '=' && string(entry[:len(key)]) == key {
			return string(entry[len(key)+1:])
		}
		at += uint64(len(entry)) + 1
	}
	return ""
}

// BuildID returns the GNU build ID of the object in hexadecimal, "" if it has none.
func (f *File) BuildID() string {
	for i := range f.Sections {
		if f.Sections[i].Type != uint32(stdelf.SHT_NOTE) {
			continue
		}
		notes, err := f.Data(i)
		if err != nil {
			continue
		}
		if id := noteBuildID(notes, f.u32); id != "" {
			return id
		}
	}
	return ""
}

// RunningBuildID is BuildID for the notes of the kernel that runs here, /sys/kernel/notes.
func RunningBuildID(notes []byte) string { return noteBuildID(notes, binary.NativeEndian.Uint32) }

// noteBuildID looks for NT_GNU_BUILD_ID among notes: three words (the sizes of name and description, a type), then both,
// each padded to four bytes (gABI "Note Section").
func noteBuildID(notes []byte, u32 func([]byte) uint32) string {
	const header, buildID = 12, 3
	padded := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(notes) >= header {
		nameSize, descSize, kind := u32(notes), u32(notes[4:]), u32(notes[8:])
		desc := header + padded(nameSize)
		if desc+uint64(descSize) > uint64(len(notes)) {
			return ""
		}
		if kind == buildID && string(notes[header:header+uint64(nameSize)]) == "GNU\x00" {
			return hex.EncodeToString(notes[desc : desc+uint64(descSize)])
		}
		notes = notes[min(desc+padded(descSize), uint64(len(notes))):]
	}
	return ""
}

// Comments returns the strings of the .comment section: one for each compiler and linker that left its name.
func (f *File) Comments() []string {
	data, err := f.Data(f.Section(".comment"))
	if err != nil {
		return nil
	}
	var all []string
	for at := uint64(0); at < uint64(len(data)); {
		s, ok := cstring(data, at)
		if !ok {
			break
		}
		if len(s) > 0 {
			all = append(all, string(s))
		}
		at += uint64(len(s)) + 1
	}
	return all
}

func (f *File) headerSize() int {
	if f.Is64 {
		return headerSize64
	}
	return headerSize32
}

func (f *File) sectionSize() int {
	if f.Is64 {
		return sectionSize64
	}
	return sectionSize32
}

func (f *File) symbolSize() int {
	if f.Is64 {
		return symbolSize64
	}
	return symbolSize32
}

func (f *File) u16(b []byte) uint16 {
	if f.Big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (f *File) u32(b []byte) uint32 {
	if f.Big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (f *File) u64(b []byte) uint64 {
	if f.Big {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}

func (f *File) put32(b []byte, v uint32) {
	if f.Big {
		binary.BigEndian.PutUint32(b, v)
	} else {
		binary.LittleEndian.PutUint32(b, v)
	}
}

func (f *File) put64(b []byte, v uint64) {
	if f.Big {
		binary.BigEndian.PutUint64(b, v)
	} else {
		binary.LittleEndian.PutUint64(b, v)
	}
}

// putWord writes a value that is four bytes wide in ELF32 and eight in ELF64.
func (f *File) putWord(b []byte, v uint64) {
	if f.Is64 {
		f.put64(b, v)
	} else {
		f.put32(b, uint32(v))
	}
}
