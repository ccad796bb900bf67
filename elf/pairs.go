package elf

import (
	stdelf "debug/elf"
)

// pairedRelocations reports whether the machine has pairs of relocations for the difference of two
// symbols, because its linker moves code (RISC-V ELF psABI, chapter 8.4; LoongArch ELF psABI).
func pairedRelocations(machine uint16) bool {
	return machine == uint16(stdelf.EM_RISCV) || machine == uint16(stdelf.EM_LOONGARCH)
}

// Paired returns c if any number in it may be the difference of two symbols, by a pair of
// relocations, and nil if only addresses and offsets have relocations.
func (c *Contents) Paired() *Contents {
	if c.paired {
		return c
	}
	return nil
}

// ULEB128 returns the number of size bytes at offset, relocated. Its bytes hold inPlace.
func (c *Contents) ULEB128(offset, inPlace uint64, size int) uint64 {
	return c.difference(offset, inPlace, 7*size)
}

// maxPerField limits the relocations of a field, which may be read many times. Two are usual.
const maxPerField = 8

// difference applies the relocations at offset, in their order, to a field whose bytes hold
// inPlace in this number of bits. Like linkers, it keeps the size of the field.
func (c *Contents) difference(offset, inPlace uint64, bits int) uint64 {
	v := inPlace
	first := c.find(offset)
	for i := first; i >= 0 && i < c.rel.len(); i++ {
		r := c.rel.at(c.entry(i))
		if r.offset != offset {
			break
		}
		if i-first == maxPerField {
			return NoAddress
		}
		a, ok := pairedRelocation(c.f.Machine, r.kind)
		if !ok {
			continue // R_*_NONE, R_*_RELAX
		}
		base, ok := c.symbolAddress(r.sym)
		if !ok {
			return NoAddress
		}
		v = a.apply(v, base+uint64(r.addend))
	}
	if bits < 64 {
		v &= 1<<bits - 1
	}
	return v
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

// apply changes the part of a field that the relocation is for.
func (a arithmetic) apply(field, value uint64) uint64 {
	mask := ^uint64(0)
	switch {
	case a.size == size6Bits:
		mask = 0x3f
	case a.size > 0 && a.size < 8:
		mask = 1<<(8*a.size) - 1
	}
	switch a.op {
	case '+':
		value = field + value
	case '-':
		value = field - value
	}
	return field&^mask | value&mask
}
