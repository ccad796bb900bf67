package elf

import (
	"bytes"
	stdelf "debug/elf"
	"slices"
)

// layout places the sections in their old file order. What is before the first section that grows
// keeps its offset. What follows moves by the growth, aligned as its header asks.
func (r *rewriter) layout() (*Plan, error) {
	f := r.f
	chunks, err := r.chunks()
	if err != nil {
		return nil, err
	}
	header, headers := bytes.Clone(f.header), bytes.Clone(f.headers)
	p := &Plan{f: f, parts: []part{{bytes: header, size: uint64(len(header))}}}
	// in is how far the original is laid out, out is the size of the copy so far.
	in, out := uint64(len(header)), uint64(len(header))
	for _, c := range chunks {
		if c.offset < in && c.size > 0 {
			return nil, formatErrorf(c.offset, "%s overlaps what is before it", r.chunkName(c))
		}
		at := max(c.offset, in) // the offset of an empty section may be anywhere
		// As long as nothing has grown, the gap before a section is copied as it is.
		if gap := at - in; out == in {
			p.original(in, gap)
			out += gap
		} else if pad := -out & (c.align - 1); pad > 0 {
			p.parts = append(p.parts, part{bytes: make([]byte, pad), size: pad})
			out += pad
		}
		size := c.size
		switch content, changed := r.parts[c.section]; {
		case c.section == sectionHeaders:
			f.putWord(header[f.shoffField():], out)
			p.parts = append(p.parts, part{bytes: headers, size: size})
		case changed:
			size = 0
			for _, part := range content {
				size += part.size
			}
			p.parts = append(p.parts, content...)
		case r.edits[c.section] != nil:
			edit := r.edits[c.section]
			p.parts = append(p.parts, part{offset: c.offset, size: size, edit: edit})
		default:
			p.original(c.offset, size)
		}
		r.setHeader(headers, c.section, out, size)
		in, out = at+c.size, out+size
	}
	if !f.Is64 && out > 1<<32-1 {
		return nil, formatErrorf(0, "object of %d bytes does not fit ELF32", out)
	}
	for section, info := range r.infos {
		f.put32(headers[section*f.sectionSize()+f.infoField():], info)
	}
	return p, nil
}

// chunk is a range of the original file: a section or the section header table.
type chunk struct {
	section int
	offset  uint64
	size    uint64
	align   uint64
}

// sectionHeaders is the section of the chunk that is the section header table.
const sectionHeaders = -1

// chunks returns all chunks in file order, empty ones before others at the same offset.
func (r *rewriter) chunks() ([]chunk, error) {
	f := r.f
	table := chunk{
		section: sectionHeaders, offset: f.shoff,
		size: uint64(len(f.Sections) * f.sectionSize()), align: 8,
	}
	if !f.Is64 {
		table.align = 4
	}
	chunks := []chunk{table}
	for i := 1; i < len(f.Sections); i++ {
		s := &f.Sections[i]
		if s.NoBits() || s.Type == uint32(stdelf.SHT_NULL) {
			continue
		}
		if a := s.Addralign; a&(a-1) != 0 {
			return nil, formatErrorf(f.sectionHeaderOffset(i),
				"section %s has alignment %#x, not a power of two", s.Name, a)
		}
		// Not more than the section's offset has: a damaged alignment must not ask for padding that
		// is larger than the file.
		align := max(min(s.Addralign, s.Offset&-s.Offset), 1)
		chunks = append(chunks, chunk{section: i, offset: s.Offset, size: s.Size, align: align})
	}
	slices.SortStableFunc(chunks, func(a, b chunk) int {
		switch {
		case a.offset < b.offset, a.offset == b.offset && a.size == 0 && b.size != 0:
			return -1
		case a.offset > b.offset, a.size != 0 && b.size == 0:
			return 1
		}
		return 0
	})
	return chunks, nil
}

// setHeader writes the offset and size of a section into its header (gABI figure 4-8).
func (r *rewriter) setHeader(headers []byte, section int, offset, size uint64) {
	if section == sectionHeaders {
		return
	}
	h := headers[section*r.f.sectionSize():]
	if r.f.Is64 {
		r.f.put64(h[24:], offset)
		r.f.put64(h[32:], size)
	} else {
		r.f.put32(h[16:], uint32(offset))
		r.f.put32(h[20:], uint32(size))
	}
}

func (r *rewriter) chunkName(c chunk) string {
	if c.section == sectionHeaders {
		return "section header table"
	}
	return "section " + r.f.Sections[c.section].Name
}

// shoffField is the offset of e_shoff in the ELF header.
func (f *File) shoffField() int {
	if f.Is64 {
		return 40
	}
	return 32
}

// infoField is the offset of sh_info in a section header.
func (f *File) infoField() int {
	if f.Is64 {
		return 44
	}
	return 28
}
