package verify

import (
	"cmp"
	"slices"
)

// layout checks that the emitted sections are aligned in the file and do not overlap. It ignores
// what is wrong in the original already.
func (c *comparison) layout() {
	for i := range c.e.sections {
		s, o := &c.e.sections[i], &c.o.sections[i]
		if s.typ == shtNull || s.align < 2 || o.align < 2 {
			continue
		}
		if s.off%s.align != 0 && o.off%o.align == 0 {
			c.add("section %d %s: offset %#x is not a multiple of its alignment %d",
				i, s.name, s.off, s.align)
		}
	}
	if i, j := c.e.overlap(); i >= 0 {
		if k, _ := c.o.overlap(); k < 0 {
			c.add("%s and %s overlap in the file", c.e.partName(i), c.e.partName(j))
		}
	}
	if a := c.e.shoff; c.e.is64 && a%8 != 0 && c.o.shoff%8 == 0 || a%4 != 0 && c.o.shoff%4 == 0 {
		c.add("the section header table at %#x is not aligned", a)
	}
}

// overlap returns two parts of the file that share a byte, or -1, -1. Part 0 is the ELF header,
// part len(sections) the section header table, and the others are sections.
func (m *image) overlap() (int, int) {
	type part struct {
		from, to uint64
		index    int
	}
	n := len(m.sections)
	list := make([]part, 0, n+1)
	head := uint64(52)
	if m.is64 {
		head = 64
	}
	list = append(list, part{0, head, 0},
		part{m.shoff, m.shoff + uint64(n)*uint64(m.shentsize()), n})
	for i := range m.sections {
		if s := &m.sections[i]; s.typ != shtNull && s.typ != shtNobits && s.size > 0 {
			list = append(list, part{s.off, s.off + s.size, i})
		}
	}
	slices.SortFunc(list, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.index, b.index))
	})
	for k := 1; k < len(list); k++ {
		if list[k].from < list[k-1].to {
			return list[k-1].index, list[k].index
		}
	}
	return -1, -1
}

func (m *image) partName(i int) string {
	switch i {
	case 0:
		return "the ELF header"
	case len(m.sections):
		return "the section header table"
	}
	return "section " + m.sections[i].name
}
