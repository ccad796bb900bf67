package elf

import (
	"bytes"
	stdelf "debug/elf"
)

// pairedRelocations reports whether the machine has pairs of relocations for the difference of two
// symbols, because its linker moves code (RISC-V ELF psABI, chapter 8.4; LoongArch ELF psABI). Its
// debug sections are relocated as a whole.
func pairedRelocations(machine uint16) bool {
	return machine == uint16(stdelf.EM_RISCV) || machine == uint16(stdelf.EM_LOONGARCH)
}

// applyAll replaces Data by a relocated copy.
func (c *Contents) applyAll() error {
	data := bytes.Clone(c.Data)
	for i := 0; i < c.rel.len(); i++ {
		r := c.rel.at(i)
		a, ok := pairedRelocation(c.f.Machine, r.kind)
		if !ok {
			continue // R_*_NONE, R_*_RELAX, and PC-relative ones in frame sections
		}
		width := uint64(max(a.size, 1))
		if r.offset > uint64(len(data)) || uint64(len(data))-r.offset < width {
			return formatErrorf(c.rel.fileOffset(i),
				"relocation %d at %#x is outside its section", i, r.offset)
		}
		base, ok := c.symbolAddress(r.sym)
		value := base + uint64(r.addend)
		if !ok {
			value = NoAddress
		}
		field := data[r.offset:]
		switch a.size {
		case sizeULEB128:
			if !applyULEB128(field, a.op, value) {
				return formatErrorf(c.rel.fileOffset(i),
					"relocation %d of a ULEB128 without an end", i)
			}
		case size6Bits:
			field[0] = field[0]&0xc0 | byte(a.apply(uint64(field[0]&0x3f), value))&0x3f
		default:
			c.f.putUint(field, a.size, a.apply(c.f.uint(field, a.size), value))
		}
	}
	c.Data = data
	return nil
}

// arithmetic is a relocation that adds to, subtracts from or sets a field.
type arithmetic struct {
	op   byte // '+', '-', '='
	size int  // in bytes, or one of the sizes below
}

const (
	sizeULEB128 = 0  // a ULEB128, which keeps its length
	size6Bits   = -1 // the low six bits of a byte
)

// pairedRelocation returns what a relocation of this type does; false if it changes no field that
// debugging information has.
func pairedRelocation(machine uint16, kind uint32) (arithmetic, bool) {
	if machine == uint16(stdelf.EM_RISCV) {
		return riscvRelocation(kind)
	}
	return loongarchRelocation(kind)
}

func riscvRelocation(kind uint32) (arithmetic, bool) {
	switch kind {
	case 1, 56: // R_RISCV_32, R_RISCV_SET32
		return arithmetic{'=', 4}, true
	case 2: // R_RISCV_64
		return arithmetic{'=', 8}, true
	case 33, 34, 35, 36: // R_RISCV_ADD8 to R_RISCV_ADD64
		return arithmetic{'+', 1 << (kind - 33)}, true
	case 37, 38, 39, 40: // R_RISCV_SUB8 to R_RISCV_SUB64
		return arithmetic{'-', 1 << (kind - 37)}, true
	case 52: // R_RISCV_SUB6
		return arithmetic{'-', size6Bits}, true
	case 53: // R_RISCV_SET6
		return arithmetic{'=', size6Bits}, true
	case 54, 55: // R_RISCV_SET8, R_RISCV_SET16
		return arithmetic{'=', 1 << (kind - 54)}, true
	case 60: // R_RISCV_SET_ULEB128
		return arithmetic{'=', sizeULEB128}, true
	case 61: // R_RISCV_SUB_ULEB128
		return arithmetic{'-', sizeULEB128}, true
	}
	return arithmetic{}, false
}

func loongarchRelocation(kind uint32) (arithmetic, bool) {
	switch kind {
	case 1: // R_LARCH_32
		return arithmetic{'=', 4}, true
	case 2: // R_LARCH_64
		return arithmetic{'=', 8}, true
	case 47, 48: // R_LARCH_ADD8, R_LARCH_ADD16
		return arithmetic{'+', 1 << (kind - 47)}, true
	case 50, 51: // R_LARCH_ADD32, R_LARCH_ADD64
		return arithmetic{'+', 4 << (kind - 50)}, true
	case 52, 53: // R_LARCH_SUB8, R_LARCH_SUB16
		return arithmetic{'-', 1 << (kind - 52)}, true
	case 55, 56: // R_LARCH_SUB32, R_LARCH_SUB64
		return arithmetic{'-', 4 << (kind - 55)}, true
	case 105: // R_LARCH_ADD6
		return arithmetic{'+', size6Bits}, true
	case 106: // R_LARCH_SUB6
		return arithmetic{'-', size6Bits}, true
	case 107: // R_LARCH_ADD_ULEB128
		return arithmetic{'+', sizeULEB128}, true
	case 108: // R_LARCH_SUB_ULEB128
		return arithmetic{'-', sizeULEB128}, true
	}
	return arithmetic{}, false
}

func (a arithmetic) apply(old, value uint64) uint64 {
	switch a.op {
	case '+':
		return old + value
	case '-':
		return old - value
	}
	return value
}

// applyULEB128 changes a ULEB128 in place. Like linkers, it keeps the length. It returns false if
// the number has no end.
func applyULEB128(b []byte, op byte, value uint64) bool {
	var old uint64
	n := 0
	for {
		if n == len(b) || n == 10 {
			return false
		}
		old |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1] < 0x80 {
			break
		}
	}
	v := arithmetic{op: op}.apply(old, value)
	for i := range n {
		b[i] = byte(v & 0x7f)
		v >>= 7
		if i < n-1 {
			b[i] |= 0x80
		}
	}
	return true
}
