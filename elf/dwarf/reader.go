package dwarf

import (
	"bytes"
	"encoding/binary"

	"kas/elf"
)

// reader decodes fields of a section. The first read past the end of the data sets bad; from then
// on every read returns zero, so that callers need to check bad only once.
type reader struct {
	data []byte
	at   uint64
	big  bool
	bad  bool

	paired *elf.Contents // of data, if numbers in it may have relocations
}

// need reports whether n more bytes follow. If not, it fails.
func (r *reader) need(n uint64) bool {
	if r.at > uint64(len(r.data)) || uint64(len(r.data))-r.at < n {
		r.fail()
		return false
	}
	return !r.bad
}

func (r *reader) fail() { r.bad, r.data = true, nil }

func (r *reader) skip(n uint64) {
	if r.need(n) {
		r.at += n
	}
}

func (r *reader) u8() byte {
	if r.at >= uint64(len(r.data)) {
		r.fail()
		return 0
	}
	r.at++
	return r.data[r.at-1]
}

// uint reads n bytes, at most 8, in the byte order of the object.
func (r *reader) uint(n int) uint64 {
	if !r.need(uint64(n)) {
		return 0
	}
	b := r.data[r.at:]
	r.at += uint64(n)
	if r.paired != nil && n != 3 {
		return r.paired.Uint(r.at-uint64(n), n)
	}
	switch n {
	case 1:
		return uint64(b[0])
	case 2:
		if r.big {
			return uint64(binary.BigEndian.Uint16(b))
		}
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		if r.big {
			return uint64(binary.BigEndian.Uint32(b))
		}
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		if r.big {
			return binary.BigEndian.Uint64(b)
		}
		return binary.LittleEndian.Uint64(b)
	}
	var v uint64 // 3 bytes: DW_FORM_strx3, DW_FORM_addrx3
	for i := range n {
		if r.big {
			v = v<<8 | uint64(b[i])
		} else {
			v |= uint64(b[i]) << (8 * i)
		}
	}
	return v
}

// uleb reads an unsigned LEB128 number (section 7.6). Bits beyond 64 are dropped.
func (r *reader) uleb() uint64 {
	// Most numbers have one byte.
	if at := r.at; at < uint64(len(r.data)) && r.data[at] < 0x80 && r.paired == nil {
		r.at++
		return uint64(r.data[at])
	}
	return r.longULEB()
}

func (r *reader) longULEB() uint64 {
	start := r.at
	var v uint64
	for shift := 0; ; shift += 7 {
		b := r.u8()
		if shift < 64 {
			v |= uint64(b&0x7f) << shift
		}
		if b < 0x80 {
			break
		}
	}
	if r.paired != nil && !r.bad {
		v = r.paired.ULEB128(start, v, int(r.at-start))
	}
	return v
}

// sleb reads a signed LEB128 number (section 7.6). Bits beyond 64 are dropped.
func (r *reader) sleb() int64 {
	var v int64
	for shift := 0; ; {
		b := r.u8()
		if shift < 64 {
			v |= int64(b&0x7f) << shift
		}
		shift += 7
		if b < 0x80 {
			if b&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// cstring reads a NUL-terminated string, without the NUL.
func (r *reader) cstring() []byte {
	if !r.need(1) {
		return nil
	}
	n := bytes.IndexByte(r.data[r.at:], 0)
	if n < 0 {
		r.fail()
		return nil
	}
	s := r.data[r.at : r.at+uint64(n)]
	r.at += uint64(n) + 1
	return s
}

// initialLength reads the length of a unit (section 7.4). It returns the end of the unit and the
// size of its offsets.
func (r *reader) initialLength() (end uint64, offsetSize int) {
	n := r.uint(4)
	offsetSize = 4
	if n == 0xffffffff {
		n = r.uint(8)
		offsetSize = 8
	} else if n >= 0xfffffff0 {
		r.fail()
	}
	if r.bad || n > uint64(len(r.data))-r.at {
		r.fail()
		return r.at, offsetSize
	}
	return r.at + n, offsetSize
}
