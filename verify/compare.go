package verify

import (
	"bytes"
	"strings"
)

// compare checks that e, the emitted object, is o with an alias after each symbol that has one, and
// differs in nothing else. aliasOf returns the alias of o's symbol i, or "".
func compare(p *problems, o, e *image, aliasOf func(i int) string, sum *Summary) {
	if !sameHeader(o, e) {
		p.add("ELF header differs in more than e_shoff")
	}
	if len(o.sections) != len(e.sections) {
		p.add("%d sections, its original has %d", len(e.sections), len(o.sections))
		return
	}
	if signed(e.data) {
		p.add("ends in %q: the signature of the original does not cover it",
			strings.TrimSuffix(signatureTrailer, "\n"))
	}
	if o.symtab == 0 {
		p.add("the original has no symbol table, so nothing can have an alias")
		return
	}
	c := &comparison{problems: p, o: o, e: e, sum: sum}
	c.headers()
	found := len(p.list) + p.more
	whole := c.symbols(aliasOf)
	if whole && found == len(p.list)+p.more {
		c.entries(aliasOf)
	}
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
	added []byte   // the names of the aliases, as they follow the strings of o
	moved []uint32 // the index in e of each symbol of o, and the number of symbols in e
	first int      // o's symbols before this index have the same index in e
}

// sameHeader compares the ELF headers without e_shoff, the only field that may change.
func sameHeader(o, e *image) bool {
	if o.is64 != e.is64 {
		return false
	}
	if o.is64 {
		return bytes.Equal(o.data[:40], e.data[:40]) && bytes.Equal(o.data[48:64], e.data[48:64])
	}
	return bytes.Equal(o.data[:32], e.data[:32]) && bytes.Equal(o.data[36:52], e.data[36:52])
}

// headers compares the section headers, except for what may change: offsets, which layout compares,
// some sizes and sh_info.
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
		if o.typ == shtNobits || o.typ == shtNull {
			field("sh_offset", o.off, e.off) // there are no bytes that could have moved
		}
	}
}

// ofSymbols reports whether section i has this type and is linked to the symbol table.
func (c *comparison) ofSymbols(i int, typ uint32) bool {
	s := &c.o.sections[i]
	return s.typ == typ && int(s.link) == c.o.symtab
}

// grows reports whether aliases may make section i longer.
func (c *comparison) grows(i int) bool {
	return i == c.o.symtab || i == c.o.shndx && i != 0 ||
		i == int(c.o.sections[c.o.symtab].link) || c.ofSymbols(i, shtAddrsig) ||
		c.ofSymbols(i, shtCrel)
}

// symbols walks both symbol tables side by side and fills c.moved. It returns false if the tables
// differ so much that symbol indices cannot be mapped.
func (c *comparison) symbols(aliasOf func(int) string) bool {
	o, e := c.o, c.e
	if e.symtab != o.symtab {
		c.add("the symbol table is section %d, in the original %d", e.symtab, o.symtab)
		return false
	}
	if e.shndx != o.shndx {
		c.add("the extended section indices of the symbol table are section %d, in the original %d",
			e.shndx, o.shndx)
		return false
	}
	c.moved = make([]uint32, o.count, o.count+1)
	c.first = o.count
	sameNames := strings.HasPrefix(string(e.names), string(o.names))
	j := 0
	for i := range o.each() {
		e.passed(j)
		if j < e.count && !(sameNames && c.sameEntry(i, j)) && e.symbol(j) != o.symbol(i) {
			s, name := o.symbol(i), e.name(j)
			switch {
			case j+1 < e.count && e.symbol(j+1) == s:
				c.unknownAlias(j)
				j++
			case name != s.name:
				c.add("symbol %d is %q, that of the original %q", j, name, s.name)
				return false
			default:
				c.differ(j, &s, "the original")
			}
		}
		if j >= e.count {
			c.add("the symbol table ends before symbol %d %q of the original", i, o.name(i))
			return false
		}
		c.moved[i] = uint32(j)
		if i != j {
			c.first = min(c.first, i)
		}
		j++
		alias := aliasOf(i)
		switch {
		case alias == "":
		case j >= e.count || e.name(j) != alias:
			c.add("alias %q does not follow its original, symbol %d %q", alias, i, o.name(i))
		default:
			want := o.symbol(i)
			want.name = alias
			c.differ(j, &want, "its original")
			j++
		}
	}
	if j != e.count {
		c.unknownAlias(j)
	}
	c.sum.Symbols += int64(o.count)
	c.moved = append(c.moved, uint32(j))
	c.locals()
	return true
}

// sameEntry reports whether symbols i of o and j of e have the same bytes.
func (c *comparison) sameEntry(i, j int) bool {
	_, was := c.o.place(i)
	_, is := c.e.place(j)
	return was == is && bytes.Equal(c.o.entryOf(i), c.e.entryOf(j))
}

func (c *comparison) unknownAlias(j int) {
	c.add("symbol %d %q is added here without a row in aliases.tsv", j, c.e.name(j))
}

// differ reports the fields in which symbol j of e is not as it should be.
func (c *comparison) differ(j int, want *symbol, whose string) {
	got := c.e.symbol(j)
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

// locals checks that sh_info is still the number of local symbols.
func (c *comparison) locals() {
	was, is := c.o.sections[c.o.symtab].info, c.e.sections[c.e.symtab].info
	if want := c.index(was); is != want {
		c.add("%s: sh_info is %d, %d expected", c.e.sections[c.e.symtab].name, is, want)
	}
	misplaced := func(m *image, info uint32) int {
		at := 12 // of st_info
		if m.is64 {
			at = 4
		}
		for i := range m.each() {
			s := symbol{info: m.entryOf(i)[at]}
			if (s.bind() == stbLocal) != (i < int(info)) {
				return i
			}
		}
		return -1
	}
	if i := misplaced(c.e, is); i >= 0 && misplaced(c.o, was) < 0 {
		c.add("symbol %d %q is on the wrong side of the last local symbol", i, c.e.name(i))
	}
}

// entries compares the two symbol tables byte by byte, so that the fields that symbols does not
// read are compared too: all of entry 0, and the offset of each name. The names of the aliases
// follow the strings of the original in the order of the symbols.
func (c *comparison) entries(aliasOf func(int) string) {
	a, err := c.o.content(c.o.symtab)
	b, err2 := c.e.content(c.e.symtab)
	strings, err3 := c.o.content(int(c.o.sections[c.o.symtab].link))
	if err != nil || err2 != nil || err3 != nil {
		return // parse read them all
	}
	if len(strings) == 0 {
		c.added = []byte{0} // a table of names begins with the empty one
	}
	size := c.o.symsize()
	entry := make([]byte, size)
	for i := range c.o.each() {
		copy(entry, a[i*size:])
		j := int(c.moved[i])
		if !bytes.Equal(entry, b[j*size:(j+1)*size]) {
			c.add("symbol %d %q: its entry is not that of the original", j, c.e.name(j))
			return
		}
		alias := aliasOf(i)
		if alias == "" {
			continue
		}
		c.o.order.PutUint32(entry, uint32(len(strings)+len(c.added)))
		c.added = append(append(c.added, alias...), 0)
		if !bytes.Equal(entry, b[(j+1)*size:(j+2)*size]) {
			c.add("symbol %d %q: its name is not the next one in the string table", j+1, alias)
			return
		}
	}
}

// names compares two tables of names: that of the original, and the same with those of the aliases.
func (c *comparison) names(i int, a, b []byte, whole bool) {
	name := c.o.sections[i].name
	switch {
	case !bytes.HasPrefix(b, a):
		c.add("section %d %s: does not begin with the bytes of its original", i, name)
	case whole && !bytes.Equal(b[len(a):], c.added):
		c.add("section %d %s: not only the names of the aliases follow the original at %#x",
			i, name, len(a)+firstDifference(b[len(a):], c.added))
	}
}

// index maps a symbol index of the original to that in e. An index out of range stays.
func (c *comparison) index(old uint32) uint32 {
	if uint64(old) < uint64(len(c.moved)) {
		return c.moved[old]
	}
	return old
}
