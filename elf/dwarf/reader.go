package dwarf

import (
	"bytes"
	"encoding/binary"
)

// reader decodes the little languages of DWARF from a section. The first read past its end sets bad and takes the data away,
// after which every read returns zero: callers check once.
type reader struct {
	data []byte
	at   uint64
	big  bool
	bad  bool
}

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

// uint reads n bytes, at most 8, in the section's byte order.
func (r *reader) uint(n int) uint64 {
	if !r.need(uint64(n)) {
		return 0
	}
	b := r.data[r.at:]
	r.at += uint64(n)
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

// uleb reads an unsigned LEB128 number (DWARF 5, section 7.6). Bits beyond 64 are dropped.
func (r *reader) uleb() uint64 {
	// Most are of one byte; this much is inlined.
	if at := r.at; at < uint64(len(r.data)) && r.data[at] < 0x80 {
		r.at++
		return uint64(r.data[at])
	}
	return r.longULEB()
}

func (r *reader) longULEB() uint64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		b := r.u8()
		if shift < 64 {
			v |= uint64(b&0x7f) << shift
		}
		if b < 0x80 {
			return v
		}
	}
}

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

// initialLength reads a unit's length (DWARF 5, section 7.4) and returns where the unit ends and how wide its offsets are.
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
