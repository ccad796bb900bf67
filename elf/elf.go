// Package elf reads and rewrites ELF objects. It reads section headers, symbol tables, relocations
// and debug sections from the object's mapped bytes, for each class, byte order and machine that
// Linux kernels are built for. Rewrite adds symbols to a relocatable object.
//
// Section, table and figure numbers cite the System V ABI (gABI), chapter "Object Files".
package elf

import (
	stdelf "debug/elf"
	"errors"
	"fmt"
	"strings"
)

// FormatError reports what is wrong with the bytes at Offset of an object.
type FormatError struct {
	Offset uint64
	Msg    string
	cause  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("%s (offset %#x)", e.Msg, e.Offset) }

func (e *FormatError) Unwrap() error { return e.cause }

// ErrShrank is in the error of an object whose file became shorter while it was read.
var ErrShrank = errors.New("the file shrank while it was read")

// Shrank returns the error of an object whose file has no bytes any more from an offset on.
func Shrank(offset uint64) *FormatError {
	return &FormatError{Offset: offset, Msg: ErrShrank.Error(), cause: ErrShrank}
}

func formatErrorf(offset uint64, format string, args ...any) error {
	return &FormatError{Offset: offset, Msg: fmt.Sprintf(format, args...)}
}

// Type is e_type of the ELF header (gABI figure 4-3).
type Type uint16

const (
	Relocatable Type = Type(stdelf.ET_REL)
	Executable  Type = Type(stdelf.ET_EXEC)
	Dynamic     Type = Type(stdelf.ET_DYN)
)

// File is an ELF object. The byte slices it returns are read-only and valid until Close. A File
// from Open or New is safe for concurrent use; one from OpenTables is not.
type File struct {
	Is64     bool
	Big      bool // most significant byte first
	Type     Type
	Machine  uint16
	Sections []Section

	data     []byte // the whole object, nil if it is read in pieces
	size     uint64
	budget   budget
	header   []byte // the ELF header
	headers  []byte // the section header table
	shoff    uint64
	shstrndx uint32
	symtab   uint32   // index of the SHT_SYMTAB section, 0 if there is none
	source   *source  // the opened file, nil for New
	pieces   [][]byte // per section what was read, only if data is nil
}

// Section is a section header (gABI figure 4-8) with its name.
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

// Alloc reports whether the section occupies memory in the running kernel.
func (s *Section) Alloc() bool { return s.Flags&uint64(stdelf.SHF_ALLOC) != 0 }

// Exec reports whether the section holds instructions.
func (s *Section) Exec() bool { return s.Flags&uint64(stdelf.SHF_EXECINSTR) != 0 }

// Writable reports whether the running kernel may write to the section.
func (s *Section) Writable() bool { return s.Flags&uint64(stdelf.SHF_WRITE) != 0 }

// NoBits reports whether the section has no bytes in the file.
func (s *Section) NoBits() bool { return s.Type == uint32(stdelf.SHT_NOBITS) }

// New reads the headers of the object in data, which must not change while the File is used.
// The error is a *FormatError.
func New(data []byte) (*File, error) {
	f := &File{data: data, size: uint64(len(data))}
	f.budget.size = f.size
	if err := f.readHeaders(); err != nil {
		return nil, err
	}
	return f, nil
}

// Data returns the bytes of section i as they are in the file: still compressed, and none for
// SHT_NOBITS. The error is a *FormatError if there is no section i or the file shrank.
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
		if f.pieces[i], err = f.bytes(s.Offset, s.Size); err != nil {
			return nil, err
		}
	}
	return f.pieces[i], nil
}

// Section returns the index of the first section with this name, 0 if there is none.
func (f *File) Section(name string) int {
	for i := 1; i < len(f.Sections); i++ {
		if f.Sections[i].Name == name {
			return i
		}
	}
	return 0
}

// HeadersOffset is the file offset of the section header table. An error about a missing section
// gives it as its offset.
func (f *File) HeadersOffset() uint64 { return f.shoff }

// Size is the size of the object in bytes, after decompression.
func (f *File) Size() int64 { return int64(f.size) }

// Arch returns the name that kas configurations use for the machine, "machine N" for an unknown
// one.
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

// Unsupported names the machine if this package does not know its relocations or addresses, "" if
// it does. Linux has no 32-bit kernels for some machines, and big-endian powerpc64 kernels of ABI
// version 1 name functions by their descriptors in .opd.
func (f *File) Unsupported() string {
	known := f.Is64
	name := ""
	switch m := stdelf.Machine(f.Machine); m {
	case stdelf.EM_386, stdelf.EM_ARM:
		known = !f.Is64
	case stdelf.EM_MIPS:
		known = true
	case stdelf.EM_X86_64, stdelf.EM_AARCH64, stdelf.EM_S390, stdelf.EM_RISCV, stdelf.EM_LOONGARCH:
	case stdelf.EM_PPC64:
		const abi = 3 // the mask of the ABI version in e_flags
		if name = "powerpc64"; f.Big && f.u32(f.header[48:])&abi != 2 {
			return fmt.Sprintf("machine %d (powerpc64, big-endian, ABI version 1)", f.Machine)
		}
	case stdelf.EM_PPC:
		known, name = false, "powerpc"
	default:
		known = false
	}
	if known {
		return ""
	}
	bits := 32
	if f.Is64 {
		bits = 64
	}
	if name == "" {
		name = "unknown"
		if text, ok := strings.CutPrefix(stdelf.Machine(f.Machine).String(), "EM_"); ok {
			name = strings.ToLower(text)
		}
	}
	return fmt.Sprintf("machine %d (%s, %d-bit)", f.Machine, name, bits)
}

// bytes returns a range of the object. The range must be inside it.
func (f *File) bytes(offset, size uint64) ([]byte, error) {
	if f.data != nil {
		return f.data[offset : offset+size : offset+size], nil
	}
	if err := f.spend(size, offset, "tables"); err != nil {
		return nil, err
	}
	if size > maxRead {
		return nil, formatErrorf(offset, "table of %d bytes, more than %d", size, maxRead)
	}
	return f.source.read(offset, size)
}
