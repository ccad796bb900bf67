package elf

import (
	"bytes"
	"encoding/binary"
)

// Sizes of the structures of ELF32 and ELF64 (gABI figures 4-3, 4-8 and 4-16).
const (
	headerSize32, headerSize64   = 52, 64
	sectionSize32, sectionSize64 = 40, 64
	symbolSize32, symbolSize64   = 16, 24
)

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

// uint reads a field of 1, 2, 4 or 8 bytes.
func (f *File) uint(b []byte, size int) uint64 {
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(f.u16(b))
	case 4:
		return uint64(f.u32(b))
	}
	return f.u64(b)
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

// putWord writes an address or offset, which has four bytes in ELF32 and eight in ELF64.
func (f *File) putWord(b []byte, v uint64) {
	if f.Is64 {
		f.put64(b, v)
	} else {
		f.put32(b, uint32(v))
	}
}

// cstring returns the NUL-terminated string at an offset, without the NUL; false if the offset is
// outside b or the string has no end.
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
