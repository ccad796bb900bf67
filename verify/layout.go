package verify

import (
	"bytes"
	"cmp"
	"slices"
)

// layout checks where everything is in the emitted file, so that it has no byte without a meaning.
// The sections and the section header table are in the order of the original. What is before the
// first one that grew is where it was, and so are the bytes between. What follows moved: each part
// is at the next offset with the alignment that it asks for and had in the original, the bytes
// between are zero, and the last part ends the file.
func (c *comparison) layout() {
	in, out := c.o.headerSize(), c.o.headerSize() // how far both files are explained
	for _, i := range c.o.parts() {
		from, size, align := c.o.part(i)
		at := max(from, in) // the offset of an empty section may be anywhere
		var gap []byte      // the bytes before the part, as they should be
		if out == in {
			gap = c.o.data[min(in, c.o.end()):min(at, c.o.end())]
		} else {
			gap = make([]byte, -out&(align-1))
		}
		want := out + uint64(len(gap))
		is, length, _ := c.e.part(i)
		if is != want {
			c.add("%s: is at %#x, %#x expected", c.o.partName(i), is, want)
			return
		}
		if have := c.e.data[min(out, c.e.end()):min(want, c.e.end())]; !bytes.Equal(have, gap) {
			c.add("%s: the bytes before it differ at %#x", c.o.partName(i),
				out+uint64(firstDifference(have, gap)))
		}
		in, out = at+size, want+length
	}
	if out != c.e.end() {
		c.add("the file has %d bytes, the last part ends at %#x", c.e.end(), out)
	}
}

func (m *image) end() uint64 { return uint64(len(m.data)) }

func (m *image) headerSize() uint64 {
	if m.is64 {
		return 64
	}
	return 52
}

// parts returns the sections with bytes in the file, and len(sections) for the section header
// table, in the order of the file. At one offset, empty ones come first.
func (m *image) parts() []int {
	list := []int{len(m.sections)}
	for i := range m.sections {
		if s := &m.sections[i]; s.typ != shtNull && s.typ != shtNobits {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int {
		x, n, _ := m.part(a)
		y, k, _ := m.part(b)
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(min(n, 1), min(k, 1)))
	})
	return list
}

// part returns the offset, the size and the alignment of a part. A section is not aligned more than
// its offset is.
func (m *image) part(i int) (from, size, align uint64) {
	if i == len(m.sections) {
		align = 4
		if m.is64 {
			align = 8
		}
		return m.shoff, uint64(i) * uint64(m.shentsize()), align
	}
	s := &m.sections[i]
	return s.off, s.size, max(1, min(s.align, s.off&-s.off))
}

func (m *image) partName(i int) string {
	if i == len(m.sections) {
		return "the section header table"
	}
	return "section " + m.sections[i].name
}
