package verify

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// compare proves that e, the emitted object, is o with an alias after each
// symbol that has one, and nothing else. aliasOf gives the alias of o's symbol
// i, or "".
func compare(p *problems, o, e *image, aliasOf func(i int) string, sum *Summary) {
	if !sameHeader(o, e) {
		p.add("ELF header differs in more than the place of the section headers")
	}
	if len(o.sections) != len(e.sections) {
		p.add("%d sections, its original has %d", len(e.sections), len(o.sections))
		return
	}
	if signed(e.data) {
		p.add("ends in %q: the signature of the original does not cover it", signatureTrailer[:len(signatureTrailer)-1])
	}
	if o.symtab == 0 {
		p.add("the original has no symbol table, so nothing can be aliased")
		return
	}
	c := &comparison{problems: p, o: o, e: e, sum: sum}
	c.headers()
	whole := c.symbols(aliasOf)
	for i := range o.sections {
		c.section(i, whole)
	}
	c.layout()
	sum.Sections += int64(len(o.sections))
}

type comparison struct {
	*problems
	o, e  *image
	sum   *Summary
	moved []uint32 // the index in e of each symbol of o
	first int      // symbols before this index keep it
}

// sameHeader leaves out e_shoff, the only field that may change.
func sameHeader(o, e *image) bool {
	if o.is64 != e.is64 {
		return false
	}
	if o.is64 {
		return bytes.Equal(o.data[:40], e.data[:40]) && bytes.Equal(o.data[48:64], e.data[48:64])
	}
	return bytes.Equal(o.data[:32], e.data[:32]) && bytes.Equal(o.data[36:52], e.data[36:52])
}

func (c *comparison) headers() {
	for i := range c.o.sections {
		o, e := &c.o.sections[i], &c.e.sections[i]
		if o.name != e.name {
			c.add("section %d is named %q, its original %q", i, e.name, o.name)
			continue
		}
		field := func(name string, a, b uint64) {
			if a != b {
				c.add("section %d %s: %s is %#x, its original's %#x", i, o.name, name, b, a)
			}
		}
		field("sh_name", uint64(o.nameOff), uint64(e.nameOff))
		field("sh_type", uint64(o.typ), uint64(e.typ))
		field("sh_flags", o.flags, e.flags)
		field("sh_addr", o.addr, e.addr)
		field("sh_link", uint64(o.link), uint64(e.link))
		field("sh_addralign", o.align, e.align)
		field("sh_entsize", o.entsize, e.entsize)
		if i != c.o.symtab && !c.ofSymbols(i, shtGroup) {
			field("sh_info", uint64(o.info), uint64(e.info))
		}
		if !c.grows(i) {
			field("sh_size", o.size, e.size)
		}
	}
}

// ofSymbols tells whether section i has this type and speaks of the symbol table.
func (c *comparison) ofSymbols(i int, typ uint32) bool {
	s := &c.o.sections[i]
	return s.typ == typ && int(s.link) == c.o.symtab
}

// grows tells whether a section may be longer than its original.
func (c *comparison) grows(i int) bool {
	return i == c.o.symtab || i == c.o.shndx && i != 0 || i == int(c.o.sections[c.o.symtab].link) || c.ofSymbols(i, shtAddrsig)
}

// symbols walks both symbol tables side by side and fills c.moved. It returns
// false when the tables part so far that no index can be mapped.
func (c *comparison) symbols(aliasOf func(int) string) bool {
	o, e := c.o, c.e
	if e.symtab != o.symtab || e.shndx != o.shndx {
		c.add("the symbol table is section %d, in the original %d", e.symtab, o.symtab)
		return false
	}
	c.moved = make([]uint32, len(o.symbols), len(o.symbols)+1)
	c.first = len(o.symbols)
	j := 0
	for i := range o.symbols {
		s := &o.symbols[i]
		if j < len(e.symbols) && e.symbols[j] != *s {
			next := j+1 < len(e.symbols) && e.symbols[j+1] == *s
			switch {
			case next:
				c.add("symbol %d %q: an added symbol that has no row in aliases.tsv for this place", j, e.symbols[j].name)
				j++
			case e.symbols[j].name != s.name:
				c.add("symbol %d is %q where its original has %q", j, e.symbols[j].name, s.name)
				return false
			default:
				c.differ(j, &e.symbols[j], s, "the original")
			}
		}
		if j >= len(e.symbols) {
			c.add("the symbol table ends before symbol %d %q of its original", i, s.name)
			return false
		}
		c.moved[i] = uint32(j)
		if i != j {
			c.first = min(c.first, i)
		}
		j++
		if a := aliasOf(i); a != "" {
			want := *s
			want.name = a
			switch {
			case j >= len(e.symbols) || e.symbols[j].name != a:
				c.add("alias %q does not stand after its original, symbol %d %q", a, i, s.name)
			default:
				if e.symbols[j] != want {
					c.differ(j, &e.symbols[j], &want, "the symbol it stands for")
				}
				j++
			}
		}
	}
	if j != len(e.symbols) {
		c.add("symbol %d %q: an added symbol that has no row in aliases.tsv for this place", j, e.symbols[j].name)
	}
	c.sum.Symbols += int64(len(o.symbols))
	c.moved = append(c.moved, uint32(j)) // sh_info may be the number of symbols
	c.locals()
	return true
}

func (c *comparison) differ(j int, got, want *symbol, whose string) {
	field := func(name string, a, b uint64) {
		if a != b {
			c.add("symbol %d %q: %s is %#x, that of %s %#x", j, got.name, name, b, whose, a)
		}
	}
	field("st_value", want.value, got.value)
	field("st_size", want.size, got.size)
	field("st_info", uint64(want.info), uint64(got.info))
	field("st_other", uint64(want.other), uint64(got.other))
	field("st_shndx", uint64(want.raw), uint64(got.raw))
	field("the extended section index", uint64(want.sec), uint64(got.sec))
}

// locals checks that sh_info still parts the local symbols from the others.
func (c *comparison) locals() {
	was, is := c.o.sections[c.o.symtab].info, c.e.sections[c.e.symtab].info
	if want := c.index(was); is != want {
		c.add("%s: sh_info is %d, %d expected", c.e.sections[c.e.symtab].name, is, want)
	}
	ordered := func(m *image, info uint32) int {
		for i := range m.symbols {
			if (m.symbols[i].bind() == stbLocal) != (i < int(info)) {
				return i
			}
		}
		return -1
	}
	if i := ordered(c.e, is); i >= 0 && ordered(c.o, was) < 0 {
		c.add("symbol %d %q stands on the wrong side of the last local symbol", i, c.e.symbols[i].name)
	}
}

// index maps a symbol index of the original; one that names nothing stays.
func (c *comparison) index(old uint32) uint32 {
	if uint64(old) < uint64(len(c.moved)) {
		return c.moved[old]
	}
	return old
}

// section compares the content of section i. Without whole the symbol indices
// could not be mapped, and what depends on them is left out: the fault is reported.
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
	ofSymbols := int(o.link) == c.o.symtab
	switch {
	case i == c.o.symtab:
		return // compared symbol by symbol
	case i == int(c.o.sections[c.o.symtab].link):
		if !bytes.HasPrefix(b, a) {
			c.add("section %d %s: does not begin with the bytes of its original", i, o.name)
		}
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
	case ofSymbols && o.typ == shtCrel && c.first < len(c.o.symbols):
		c.add("section %d %s: compact relocations name symbols that moved, and cannot be compared", i, o.name)
	default:
		if ofSymbols && o.typ == shtGroup && whole {
			if want := c.index(o.info); e.info != want {
				c.add("section %d %s: the group's signature is symbol %d, %d expected", i, o.name, e.info, want)
			}
		}
		if !bytes.Equal(a, b) {
			c.add("section %d %s: content differs from its original's at %#x", i, o.name, firstDifference(a, b))
		}
	}
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

// wideIndices: an alias has the extended section index of its original.
func (c *comparison) wideIndices(i int, a, b []byte, whole bool) {
	if !whole {
		return
	}
	get := c.o.order.Uint32
	for k := range c.o.symbols {
		want := get(a[4*k:])
		for j := c.moved[k]; j < c.moved[k+1]; j++ { // the symbol, and the alias after it
			if is := get(b[4*j:]); is != want {
				c.add("section %d %s: entry %d is %d, %d expected", i, c.o.sections[i].name, j, is, want)
				return
			}
		}
	}
}

func (c *comparison) relocations(i int, a, b []byte) {
	o := &c.o.sections[i]
	size, at := c.o.relocEntry(o.typ)
	if len(a) != len(b) || len(a)%size != 0 {
		c.add("section %d %s: %d bytes of relocations, its original has %d", i, o.name, len(b), len(a))
		return
	}
	c.sum.Relocations += int64(len(a) / size)
	keep := 0xff // the bits of the word at `at` that are no symbol
	if c.o.is64 {
		keep = 0
	}
	for ; len(a) > 0; a, b = a[size:], b[size:] {
		was, is := c.o.relocSymbol(a[at:at+4]), c.o.relocSymbol(b[at:at+4])
		if is != c.index(was) {
			c.add("section %d %s: relocation at %#x names symbol %d %q, %d %q expected", i, o.name,
				c.offset(a), is, c.e.symbolName(is), c.index(was), c.o.symbolName(was))
			return
		}
		x, y := c.o.order.Uint32(a[at:])&uint32(keep), c.o.order.Uint32(b[at:])&uint32(keep)
		if x != y || !bytes.Equal(a[:at], b[:at]) || !bytes.Equal(a[at+4:size], b[at+4:size]) {
			c.add("section %d %s: relocation at %#x differs from its original in more than the symbol index", i, o.name, c.offset(a))
			return
		}
	}
}

func (c *comparison) offset(entry []byte) uint64 {
	if c.o.is64 {
		return c.o.order.Uint64(entry)
	}
	return uint64(c.o.order.Uint32(entry))
}

func (m *image) symbolName(i uint32) string {
	if uint64(i) >= uint64(len(m.symbols)) {
		return "?"
	}
	return m.symbols[i].name
}

// addrsig compares two tables of ULEB128 symbol indices.
func (c *comparison) addrsig(i int, a, b []byte) {
	name := c.o.sections[i].name
	for k := 0; len(a) > 0 || len(b) > 0; k++ {
		was, n := binary.Uvarint(a)
		is, m := binary.Uvarint(b)
		if n <= 0 || m <= 0 {
			c.add("section %d %s: entry %d is missing or damaged", i, name, k)
			return
		}
		if want := uint64(c.index(uint32(was))); was>>32 != 0 || is != want {
			c.add("section %d %s: entry %d names symbol %d, %d expected", i, name, k, is, want)
			return
		}
		a, b = a[n:], b[m:]
	}
}

// profile compares the old call graph profile: from, to, weight.
func (c *comparison) profile(i int, a, b []byte) {
	name, get := c.o.sections[i].name, c.o.order.Uint32
	if len(a) != len(b) || len(a)%16 != 0 {
		c.add("section %d %s: %d bytes, its original has %d", i, name, len(b), len(a))
		return
	}
	for k := 0; k < len(a); k += 16 {
		if get(b[k:]) != c.index(get(a[k:])) || get(b[k+4:]) != c.index(get(a[k+4:])) || !bytes.Equal(a[k+8:k+16], b[k+8:k+16]) {
			c.add("section %d %s: edge %d differs", i, name, k/16)
			return
		}
	}
}

// layout checks that the emitted sections lie in the file, aligned and apart.
func (c *comparison) layout() {
	for i := range c.e.sections {
		s, o := &c.e.sections[i], &c.o.sections[i]
		if s.typ == shtNull || s.align < 2 || o.align < 2 {
			continue
		}
		// An original that is out of line itself proves nothing.
		if s.off%s.align != 0 && o.off%o.align == 0 {
			c.add("section %d %s: offset %#x is no multiple of its alignment %d", i, s.name, s.off, s.align)
		}
	}
	if i, j := c.e.overlap(); i >= 0 {
		if k, _ := c.o.overlap(); k < 0 {
			c.add("%s and %s overlap in the file", c.e.part(i), c.e.part(j))
		}
	}
	if a := c.e.shoff; c.e.is64 && a%8 != 0 && c.o.shoff%8 == 0 || a%4 != 0 && c.o.shoff%4 == 0 {
		c.add("the section header table at %#x is not aligned", a)
	}
}

// overlap returns two parts of the file that share a byte, or -1, -1. Part 0 is
// the ELF header, part len(sections) the section header table.
func (m *image) overlap() (int, int) {
	type extent struct {
		from, to uint64
		part     int
	}
	n := len(m.sections)
	list := make([]extent, 0, n+1)
	head := uint64(52)
	if m.is64 {
		head = 64
	}
	list = append(list, extent{0, head, 0}, extent{m.shoff, m.shoff + uint64(n)*uint64(m.shentsize()), n})
	for i := range m.sections {
		if s := &m.sections[i]; s.typ != shtNull && s.typ != shtNobits && s.size > 0 {
			list = append(list, extent{s.off, s.off + s.size, i})
		}
	}
	slices.SortFunc(list, func(a, b extent) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.part, b.part)) })
	for k := 1; k < len(list); k++ {
		if list[k].from < list[k-1].to {
			return list[k-1].part, list[k].part
		}
	}
	return -1, -1
}

func (m *image) part(i int) string {
	switch i {
	case 0:
		return "the ELF header"
	case len(m.sections):
		return "the section header table"
	}
	return "section " + m.sections[i].name
}
