package verify

import (
	"encoding/binary"
	"fmt"
)

// compactEntry is a relocation of an SHT_CREL section.
type compactEntry struct {
	offset       uint64
	symbol, kind uint32
	addend       int64
}

// compactEntries decodes an SHT_CREL section (llvm/Object/ELF.h describes the encoding). header is
// its first number: the count times 8, a bit for addends, and the shift of offsets. size is the
// number of bytes that were read.
func compactEntries(b []byte) (all []compactEntry, header uint64, size int, err error) {
	header, at := binary.Uvarint(b)
	if at <= 0 || header>>3 > uint64(len(b)-at) {
		return nil, 0, 0, fmt.Errorf("damaged header")
	}
	flags := 2
	if header&4 != 0 {
		flags = 3
	}
	var e compactEntry
	for n := header >> 3; n > 0; n-- {
		// The flags are the lowest bits of a ULEB128 that may be wider than 64 bits: the first byte
		// is read by itself.
		if at >= len(b) {
			return nil, 0, 0, fmt.Errorf("entry %d is missing", len(all))
		}
		first := b[at]
		at++
		delta := uint64(first&0x7f) >> flags
		if first&0x80 != 0 {
			more, n := binary.Uvarint(b[at:])
			if n <= 0 {
				return nil, 0, 0, fmt.Errorf("entry %d is damaged", len(all))
			}
			delta |= more << (7 - flags)
			at += n
		}
		e.offset += delta << (header & 3)
		for bit := 0; bit < flags; bit++ {
			if first>>bit&1 == 0 {
				continue
			}
			d, n := signedLEB(b[at:])
			if n == 0 {
				return nil, 0, 0, fmt.Errorf("entry %d is damaged", len(all))
			}
			at += n
			switch bit {
			case 0:
				e.symbol += uint32(d)
			case 1:
				e.kind += uint32(d)
			case 2:
				e.addend += d
			}
		}
		all = append(all, e)
	}
	return all, header, at, nil
}

// signedLEB decodes an SLEB128 and returns its length, 0 if it has no end.
func signedLEB(b []byte) (v int64, n int) {
	for shift := 0; n < len(b) && shift < 64; shift += 7 {
		v |= int64(b[n]&0x7f) << shift
		n++
		if b[n-1]&0x80 == 0 {
			if b[n-1]&0x40 != 0 && shift+7 < 64 {
				v |= -1 << (shift + 7)
			}
			return v, n
		}
	}
	return 0, 0
}

// compact compares two SHT_CREL: only the symbol indices may change.
func (c *comparison) compact(i int, a, b []byte) {
	name := c.o.sections[i].name
	if len(a) == 0 && len(b) == 0 {
		return
	}
	was, header, _, err := compactEntries(a)
	if err != nil {
		c.add("original: section %d %s: %v", i, name, err)
		return
	}
	is, same, size, err := compactEntries(b)
	if err != nil {
		c.add("section %d %s: %v", i, name, err)
		return
	}
	if header != same || size != len(b) {
		c.add("section %d %s: %d relocations in %d of %d bytes, its original has %d",
			i, name, len(is), size, len(b), len(was))
		return
	}
	c.sum.Relocations += int64(len(was))
	for k, w := range was {
		want := w
		want.symbol = c.index(w.symbol)
		if is[k].symbol != want.symbol {
			c.add("section %d %s: relocation at %#x has symbol %d %q, %d %q expected", i, name,
				w.offset, is[k].symbol, c.e.symbolName(is[k].symbol), want.symbol,
				c.o.symbolName(w.symbol))
			return
		}
		if is[k] != want {
			c.add("section %d %s: relocation at %#x differs from its original in more than "+
				"the symbol index", i, name, w.offset)
			return
		}
	}
}
