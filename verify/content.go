package verify

import (
	"bytes"
	"encoding/binary"
)

// section compares the content of section i. If the symbol indices could not be mapped, whole is
// false, and section leaves out what depends on them: there is a problem already.
func (c *comparison) section(i int, whole bool) {
	o, e := &c.o.sections[i], &c.e.sections[i]
	a, err := c.o.content(i)
	if err != nil {
		c.add("original: %v", err)
		return
	}
	b, err := c.e.content(i)
	if err != nil {
		c.add("%v", err)
		return
	}
	c.sum.Bytes += int64(len(b))
	defer func() {
		c.o.forget(a)
		c.e.forget(b)
	}()
	ofSymbols := int(o.link) == c.o.symtab
	switch {
	case i == c.o.symtab:
		return // compared symbol by symbol
	case i == int(c.o.sections[c.o.symtab].link):
		c.names(i, a, b, whole)
	case i == c.o.shndx && i != 0:
		c.wideIndices(i, a, b, whole)
	case ofSymbols && (o.typ == shtRel || o.typ == shtRela):
		if whole {
			c.relocations(i, a, b)
		}
	case ofSymbols && o.typ == shtAddrsig:
		if whole {
			c.addrsig(i, a, b)
		}
	case ofSymbols && o.typ == shtOldProfile:
		if whole {
			c.profile(i, a, b)
		}
	case ofSymbols && o.typ == shtCrel:
		if whole {
			c.compact(i, a, b)
		}
	default:
		if ofSymbols && o.typ == shtGroup && whole {
			if want := c.index(o.info); e.info != want {
				c.add("section %d %s: the group's signature is symbol %d, %d expected",
					i, o.name, e.info, want)
			}
		}
		if !c.equal(a, b) {
			c.add("section %d %s: content differs from its original's at %#x",
				i, o.name, firstDifference(a, b))
		}
	}
}

// equal compares the content of a section of the original and of e. It gives back the pages that it
// passed.
func (c *comparison) equal(a, b []byte) bool {
	const piece = 4 << 20
	for len(a) > piece && len(b) > piece {
		if !bytes.Equal(a[:piece], b[:piece]) {
			return false
		}
		c.o.forget(a[:piece])
		c.e.forget(b[:piece])
		a, b = a[piece:], b[piece:]
	}
	return bytes.Equal(a, b)
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := 0; i < n; i++ {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// wideIndices compares two SHT_SYMTAB_SHNDX. An alias has the extended section index of its
// original.
func (c *comparison) wideIndices(i int, a, b []byte, whole bool) {
	if !whole {
		return
	}
	if len(b) != 4*c.e.count {
		c.add("section %d %s: %d bytes for %d symbols",
			i, c.o.sections[i].name, len(b), c.e.count)
		return
	}
	get := c.o.order.Uint32
	for k := range c.o.count {
		want := get(a[4*k:])
		for j := c.moved[k]; j < c.moved[k+1]; j++ { // the symbol and its alias
			if is := get(b[4*j:]); is != want {
				c.add("section %d %s: entry %d is %d, %d expected",
					i, c.o.sections[i].name, j, is, want)
				return
			}
		}
	}
}

// relocations compares two SHT_REL or SHT_RELA: only the symbol indices may change.
func (c *comparison) relocations(i int, a, b []byte) {
	o := &c.o.sections[i]
	size, at := c.o.relocEntry(o.typ)
	if len(a) != len(b) || len(a)%size != 0 {
		c.add("section %d %s: %d bytes of relocations, its original has %d",
			i, o.name, len(b), len(a))
		return
	}
	c.sum.Relocations += int64(len(a) / size)
	typ := uint32(0xff) // the bits of the word at `at` that are the type
	if c.o.is64 {
		typ = 0
	}
	passedA, passedB := a, b
	for ; len(a) > 0; a, b = a[size:], b[size:] {
		if n := len(passedA) - len(a); n == forgetEvery*size {
			c.o.forget(passedA[:n])
			c.e.forget(passedB[:n])
			passedA, passedB = a, b
		}
		was, is := c.o.relocSymbol(a[at:at+4]), c.o.relocSymbol(b[at:at+4])
		if is != c.index(was) {
			c.add("section %d %s: relocation at %#x has symbol %d %q, %d %q expected", i, o.name,
				c.offset(a), is, c.e.symbolName(is), c.index(was), c.o.symbolName(was))
			return
		}
		x, y := c.o.order.Uint32(a[at:])&typ, c.o.order.Uint32(b[at:])&typ
		if x != y || !bytes.Equal(a[:at], b[:at]) || !bytes.Equal(a[at+4:size], b[at+4:size]) {
			c.add("section %d %s: relocation at %#x differs from its original in more than "+
				"the symbol index", i, o.name, c.offset(a))
			return
		}
	}
}

// offset returns r_offset.
func (c *comparison) offset(entry []byte) uint64 {
	if c.o.is64 {
		return c.o.order.Uint64(entry)
	}
	return uint64(c.o.order.Uint32(entry))
}

func (m *image) symbolName(i uint32) string {
	if uint64(i) >= uint64(m.count) {
		return "?"
	}
	return m.name(int(i))
}

// addrsig compares two tables of ULEB128 symbol indices. In the emitted one, each has its shortest
// form.
func (c *comparison) addrsig(i int, a, b []byte) {
	name := c.o.sections[i].name
	var form []byte
	for k := 0; len(a) > 0 || len(b) > 0; k++ {
		was, n := binary.Uvarint(a)
		is, m := binary.Uvarint(b)
		if n <= 0 || m <= 0 {
			c.add("section %d %s: entry %d is missing or damaged", i, name, k)
			return
		}
		want := uint64(c.index(uint32(was)))
		form = binary.AppendUvarint(form[:0], want)
		if was>>32 != 0 || len(form) != m || is != want {
			c.add("section %d %s: entry %d is symbol %d in %d bytes, %d in %d expected",
				i, name, k, is, m, want, len(form))
			return
		}
		a, b = a[n:], b[m:]
	}
}

// profile compares two old call graph profiles, whose entries are the symbol indices of caller and
// callee, and a weight.
func (c *comparison) profile(i int, a, b []byte) {
	name, get := c.o.sections[i].name, c.o.order.Uint32
	if len(a) != len(b) || len(a)%16 != 0 {
		c.add("section %d %s: %d bytes, its original has %d", i, name, len(b), len(a))
		return
	}
	for k := 0; k < len(a); k += 16 {
		if get(b[k:]) != c.index(get(a[k:])) || get(b[k+4:]) != c.index(get(a[k+4:])) ||
			!bytes.Equal(a[k+8:k+16], b[k+8:k+16]) {
			c.add("section %d %s: edge %d differs", i, name, k/16)
			return
		}
	}
}
