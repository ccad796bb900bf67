package elf

import (
	stdelf "debug/elf"
)

// Section types that hold symbol indices and are not in the gABI (llvm/BinaryFormat/ELF.h).
const (
	shtLLVMCallGraphProfileOld = 0x6fff4c02
	shtLLVMAddrsig             = 0x6fff4c03
)

// renumber updates every section that names symbols of .symtab by index.
func (r *rewriter) renumber() error {
	for i := range r.f.Sections {
		s := &r.f.Sections[i]
		if s.Link != uint32(r.syms.Section) {
			continue
		}
		var err error
		switch s.Type {
		case uint32(stdelf.SHT_REL), uint32(stdelf.SHT_RELA):
			err = r.relocations(i)
		case uint32(stdelf.SHT_GROUP):
			r.infos[i] = uint32(r.moved(SymID(s.Info))) // the signature symbol
		case shtLLVMAddrsig:
			err = r.addrsig(i)
		case shtCREL:
			err = r.compactRelocations(i)
		case shtLLVMCallGraphProfileOld:
			err = formatErrorf(r.f.sectionHeaderOffset(i),
				"section %s of type %#x cannot be renumbered", s.Name, s.Type)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replace sets the new content of a section.
func (r *rewriter) replace(section int, content []byte) {
	r.parts[section] = []part{{bytes: content, size: uint64(len(content))}}
}

// relocations renumbers a relocation section while it is copied, so that it is read only once.
func (r *rewriter) relocations(section int) error {
	t, err := r.f.relocHeader(section)
	if err != nil || r.f.Sections[section].Size == 0 {
		return err
	}
	change := func(b []byte, at uint64) error { return r.renumber64(b, at, &t) }
	if !r.f.Is64 {
		change = func(b []byte, at uint64) error { return r.renumber32(b, at, &t) }
	}
	r.edits[section] = &edit{unit: t.entsize, change: change}
	return nil
}

// renumber64 renumbers ELF64 relocations, in which the symbol index is a word. Most relocations are
// those of debugging information. They name section symbols, which come first and do not move.
func (r *rewriter) renumber64(b []byte, at uint64, t *relocTable) error {
	first, now, f := r.first(), r.now, r.f
	for i := t.symbolOffset(); i+4 <= len(b); i += t.entsize {
		sym := f.u32(b[i:])
		if sym < first {
			continue
		}
		if int(sym) >= len(now) {
			return noSymbol(at+uint64(i-t.symbolOffset()), sym, len(now))
		}
		f.put32(b[i:], now[sym])
	}
	return nil
}

// renumber32 renumbers ELF32 relocations, in which the symbol index is the upper 24 bits of a word.
func (r *rewriter) renumber32(b []byte, at uint64, t *relocTable) error {
	first, now, f := r.first(), r.now, r.f
	for i := 0; i+t.entsize <= len(b); i += t.entsize {
		info := f.u32(b[i+4:])
		sym := info >> 8
		if sym < first {
			continue
		}
		if int(sym) >= len(now) {
			return noSymbol(at+uint64(i), sym, len(now))
		}
		if now[sym] >= 1<<24 {
			return formatErrorf(at+uint64(i),
				"symbol index %d does not fit in a 32-bit relocation", now[sym])
		}
		f.put32(b[i+4:], now[sym]<<8|info&0xff)
	}
	return nil
}

func noSymbol(at uint64, sym uint32, count int) error {
	return formatErrorf(at, "relocation against symbol %d of %d", sym, count)
}

// addrsig renumbers an SHT_LLVM_ADDRSIG section, a list of symbol indices in ULEB128.
func (r *rewriter) addrsig(section int) error {
	data, err := r.f.Data(section)
	if err != nil {
		return err
	}
	out := make([]byte, 0, len(data)+8)
	for at := 0; at < len(data); {
		v, n := uleb128(data[at:])
		if n == 0 || v >= 1<<32 {
			return formatErrorf(r.f.Sections[section].Offset+uint64(at),
				"damaged symbol index in %s", r.f.Sections[section].Name)
		}
		out = appendULEB128(out, uint64(r.moved(SymID(v))))
		at += n
	}
	r.replace(section, out)
	return nil
}

// uleb128 decodes a number and returns its length, 0 if it has no end.
func uleb128(b []byte) (v uint64, n int) {
	for n < len(b) && n < 10 {
		v |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1] < 0x80 {
			return v, n
		}
	}
	return 0, 0
}

func appendULEB128(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
