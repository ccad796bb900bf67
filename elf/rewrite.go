package elf

import (
	"bytes"
	stdelf "debug/elf"
	"fmt"
	"io"
	"slices"
)

// Alias is a symbol to add: one more name for Original.
type Alias struct {
	Original SymID
	Name     string
}

// Rewrite plans a copy of a relocatable object with aliases added to its symbol table. Each alias stands right after
// its original, aliases of one original in the order given, with the original's section, value, size, type, bind and
// visibility. Every other symbol keeps its place in the order; what names a symbol by index (relocations, groups,
// address-significance tables) follows. All other sections keep their content and order. Bytes after the last section,
// such as a module signature, are left out: a rewritten module must be signed again.
//
// The plan aliases the File's bytes. Without aliases the plan is the object itself, byte for byte.
func (f *File) Rewrite(aliases []Alias) (*Plan, error) {
	if f.Type != Relocatable {
		return nil, formatErrorf(16, "not a relocatable object (e_type %d)", f.Type)
	}
	if len(aliases) == 0 {
		return &Plan{parts: []part{{offset: 0, size: f.size}}, f: f}, nil
	}
	r := &rewriter{f: f, aliases: slices.Clone(aliases), bytes: map[int][]byte{}, infos: map[int]uint32{}, edits: map[int]*edit{}}
	slices.SortStableFunc(r.aliases, func(a, b Alias) int { return int(a.Original) - int(b.Original) })
	var err error
	if r.syms, err = f.Symtab(); err != nil {
		return nil, err
	}
	if err := r.buildTables(); err != nil {
		return nil, err
	}
	r.number()
	if err := r.renumber(); err != nil {
		return nil, err
	}
	return r.layout()
}

// Plan is an object as a list of parts: ranges of the original and new bytes.
type Plan struct {
	f     *File
	parts []part
}

// part is new bytes, or size bytes of the original at offset, edited on the way if edit is set.
type part struct {
	bytes  []byte
	offset uint64
	size   uint64
	edit   *edit
}

// edit changes units of bytes, whole ones each time; at is where they stand in the original.
type edit struct {
	unit   int
	change func(b []byte, at uint64) error
}

// Copier is a writer that takes ranges of the original file without memory between them, or less of it.
type Copier interface {
	io.Writer
	// CopyRange copies size bytes at offset of the file fd.
	CopyRange(fd int, offset, size int64) error
	// CopyEdited copies likewise, and has change edit whole units of unit bytes before they are written; at is where they
	// stand in the file.
	CopyEdited(fd int, offset, size int64, unit int, change func(b []byte, at uint64) error) error
}

// WriteTo writes the planned object. A relocation that names no symbol is a *FormatError only now, when it is reached.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	c, _ := w.(Copier)
	if s := p.f.source; s == nil || s.expanded {
		c = nil
	}
	var n int64
	for i := range p.parts {
		part := &p.parts[i]
		var err error
		switch {
		case part.bytes != nil:
			_, err = w.Write(part.bytes)
		case c != nil && part.edit != nil:
			err = c.CopyEdited(p.f.source.fd, int64(part.offset), int64(part.size), part.edit.unit, part.edit.change)
		case c != nil:
			err = c.CopyRange(p.f.source.fd, int64(part.offset), int64(part.size))
		default:
			err = p.copy(w, part)
		}
		if err != nil {
			return n, err
		}
		n += int64(part.size)
	}
	return n, nil
}

// copy writes a part of the original that is in memory.
func (p *Plan) copy(w io.Writer, part *part) error {
	b, err := p.f.bytes(part.offset, part.size)
	if err != nil {
		return err
	}
	if part.edit == nil {
		_, err = w.Write(b)
		return err
	}
	buf := make([]byte, min(len(b), 4096*part.edit.unit))
	for at := part.offset; len(b) > 0; {
		n := copy(buf, b)
		if err := part.edit.change(buf[:n], at); err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		b, at = b[n:], at+uint64(n)
	}
	return nil
}

// Size is the length of the planned object in bytes.
func (p *Plan) Size() int64 {
	var n uint64
	for _, s := range p.parts {
		n += s.size
	}
	return int64(n)
}

type rewriter struct {
	f       *File
	syms    *Symtab
	aliases []Alias
	now     []uint32       // of each symbol its new index
	bytes   map[int][]byte // sections with new content
	infos   map[int]uint32 // sections with a new sh_info
	edits   map[int]*edit  // sections that are changed on their way
}

// number finds each symbol's new index: aliases of the symbols before it stand before it.
func (r *rewriter) number() {
	r.now = make([]uint32, r.syms.Len())
	aliases := r.aliases
	for i := range r.now {
		for len(aliases) > 0 && int(aliases[0].Original) < i {
			aliases = aliases[1:]
		}
		r.now[i] = uint32(i + len(r.aliases) - len(aliases))
	}
}

// moved returns a symbol's new index.
func (r *rewriter) moved(id SymID) SymID {
	if int(id) < len(r.now) {
		return SymID(r.now[id])
	}
	return id + SymID(len(r.aliases))
}

// first is the lowest index that moves.
func (r *rewriter) first() uint32 { return uint32(r.aliases[0].Original) + 1 }

// buildTables makes .symtab, its string table and its extended section indices anew.
func (r *rewriter) buildTables() error {
	f, t := r.f, r.syms
	entsize := f.symbolSize()
	total := t.Len() + len(r.aliases)
	names := bytes.Clone(t.strs)
	if len(names) == 0 {
		names = []byte{0}
	}
	if names[len(names)-1] != 0 {
		return formatErrorf(f.Sections[t.Strings].Offset, "string table does not end in a NUL byte")
	}
	table := make([]byte, 0, total*entsize)
	var xindex []byte
	if t.xindex != nil {
		xindex = make([]byte, 0, total*4)
	}
	locals, from := t.Locals, 0
	// Everything up to and including upto is copied; the alias is its last entry again, under another name.
	copyThrough := func(upto int) {
		table = append(table, t.data[from*entsize:upto*entsize]...)
		if xindex != nil {
			xindex = append(xindex, t.xindex[from*4:upto*4]...)
		}
		from = upto
	}
	for _, a := range r.aliases {
		if a.Original == 0 || int(a.Original) >= t.Len() {
			return fmt.Errorf("alias %s: no symbol %d", a.Name, a.Original)
		}
		copyThrough(max(from, int(a.Original)+1))
		at := len(table)
		table = append(table, t.data[int(a.Original)*entsize:][:entsize]...)
		f.put32(table[at:], uint32(len(names)))
		names = append(append(names, a.Name...), 0)
		if xindex != nil {
			xindex = append(xindex, t.xindex[a.Original*4:][:4]...)
		}
		if a.Original < t.Locals {
			locals++
		}
	}
	copyThrough(t.Len())
	r.bytes[t.Section], r.bytes[t.Strings] = table, names
	r.infos[t.Section] = uint32(locals)
	if xindex != nil {
		r.bytes[t.Shndx] = xindex
	}
	return nil
}

// Section types of LLVM that hold symbol indices (llvm/BinaryFormat/ELF.h).
const (
	shtLLVMCallGraphProfileOld = 0x6fff4c02
	shtLLVMAddrsig             = 0x6fff4c03
	shtCREL                    = 0x40000014
)

// renumber carries the new indices to every section that names symbols of .symtab.
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
			r.infos[i] = uint32(r.moved(SymID(s.Info)))
		case shtLLVMAddrsig:
			err = r.addrsig(i)
		case shtLLVMCallGraphProfileOld, shtCREL:
			err = formatErrorf(r.f.sectionHeaderOffset(i), "section %s of type %#x cannot be renumbered", s.Name, s.Type)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// relocations renumbers one relocation section while it is copied: it is read once, wherever its symbols stand.
func (r *rewriter) relocations(section int) error {
	t, err := r.f.relocHeader(section)
	if err != nil || r.f.Sections[section].Size == 0 {
		return err
	}
	change := func(b []byte, at uint64) error { return r.renumberWords(b, at, &t) }
	if t.infoSym() < 0 {
		change = func(b []byte, at uint64) error { return r.renumberInfos(b, at, &t) }
	}
	r.edits[section] = &edit{unit: t.entsize, change: change}
	return nil
}

// renumberWords renumbers entries of ELF64, in which the symbol's index is a word of its own. Most entries, those of
// debug information, name section symbols, which stand first and do not move.
func (r *rewriter) renumberWords(b []byte, at uint64, t *relocTable) error {
	first, now, f := r.first(), r.now, r.f
	for i := t.infoSym(); i+4 <= len(b); i += t.entsize {
		sym := f.u32(b[i:])
		if sym < first {
			continue
		}
		if int(sym) >= len(now) {
			return damagedSymbol(at+uint64(i-t.infoSym()), sym, len(now))
		}
		f.put32(b[i:], now[sym])
	}
	return nil
}

// renumberInfos renumbers entries of ELF32, in which the symbol's index is the upper three bytes of a word.
func (r *rewriter) renumberInfos(b []byte, at uint64, t *relocTable) error {
	first, now, f := r.first(), r.now, r.f
	for i := 0; i+t.entsize <= len(b); i += t.entsize {
		info := f.u32(b[i+4:])
		sym := info >> 8
		if sym < first {
			continue
		}
		if int(sym) >= len(now) {
			return damagedSymbol(at+uint64(i), sym, len(now))
		}
		if now[sym] >= 1<<24 {
			return formatErrorf(at+uint64(i), "symbol index %d does not fit a 32-bit relocation", now[sym])
		}
		f.put32(b[i+4:], now[sym]<<8|info&0xff)
	}
	return nil
}

func damagedSymbol(at uint64, sym uint32, count int) error {
	return formatErrorf(at, "relocation against symbol %d of %d", sym, count)
}

// addrsig renumbers the ULEB128 symbol indices of an SHT_LLVM_ADDRSIG section.
func (r *rewriter) addrsig(section int) error {
	data, err := r.f.Data(section)
	if err != nil {
		return err
	}
	out := make([]byte, 0, len(data)+8)
	for at := 0; at < len(data); {
		v, n := uleb128(data[at:])
		if n == 0 || v >= 1<<32 {
			return formatErrorf(r.f.Sections[section].Offset+uint64(at), "damaged symbol index in %s", r.f.Sections[section].Name)
		}
		out = appendULEB128(out, uint64(r.moved(SymID(v))))
		at += n
	}
	r.bytes[section] = out
	return nil
}

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

// layout puts the sections in file order again. What stands before the first section that grows keeps its place; what
// follows moves by the growth, aligned as its header asks.
func (r *rewriter) layout() (*Plan, error) {
	f := r.f
	type chunk struct {
		section int // -1 for the table of section headers
		offset  uint64
		size    uint64
		align   uint64
	}
	chunks := []chunk{{section: -1, offset: f.shoff, size: uint64(len(f.Sections) * f.sectionSize()), align: 8}}
	for i := 1; i < len(f.Sections); i++ {
		s := &f.Sections[i]
		if s.NoBits() || s.Type == uint32(stdelf.SHT_NULL) {
			continue
		}
		if a := s.Addralign; a&(a-1) != 0 {
			return nil, formatErrorf(f.sectionHeaderOffset(i), "section %s has alignment %#x", s.Name, a)
		}
		// No stricter than it stood: what a damaged header asks for costs no more padding than the file has bytes.
		chunks = append(chunks, chunk{section: i, offset: s.Offset, size: s.Size, align: max(min(s.Addralign, s.Offset&-s.Offset), 1)})
	}
	slices.SortStableFunc(chunks, func(a, b chunk) int {
		switch {
		case a.offset != b.offset && a.offset < b.offset, a.offset == b.offset && a.size == 0 && b.size != 0:
			return -1
		case a.offset != b.offset, a.size != 0 && b.size == 0:
			return 1
		}
		return 0
	})
	if !f.Is64 {
		chunks[slices.IndexFunc(chunks, func(c chunk) bool { return c.section < 0 })].align = 4
	}

	header, headers := bytes.Clone(f.header), bytes.Clone(f.headers)
	p := &Plan{f: f, parts: []part{{bytes: header, size: uint64(len(header))}}}
	in, out := uint64(len(header)), uint64(len(header)) // how far the original is laid out, and the copy
	for _, c := range chunks {
		if c.offset < in && c.size > 0 {
			return nil, formatErrorf(c.offset, "%s overlaps what stands before it", r.chunkName(c.section))
		}
		at := max(c.offset, in) // the offset of an empty section may be anywhere
		// The gap before a section is kept as it was unless something before it grew.
		if gap := at - in; out == in {
			p.original(in, gap)
			out += gap
		} else if pad := -out & (c.align - 1); pad > 0 {
			p.parts = append(p.parts, part{bytes: make([]byte, pad), size: pad})
			out += pad
		}
		size := c.size
		switch content, changed := r.bytes[c.section]; {
		case c.section < 0:
			f.putWord(header[f.shoffField():], out)
			p.parts = append(p.parts, part{bytes: headers, size: size})
		case changed:
			size = uint64(len(content))
			p.parts = append(p.parts, part{bytes: content, size: size})
		case r.edits[c.section] != nil:
			p.parts = append(p.parts, part{offset: c.offset, size: size, edit: r.edits[c.section]})
		default:
			p.original(c.offset, size)
		}
		r.place(headers, c.section, out, size)
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

// original appends a range of the original, joined to the part before it where it continues it.
func (p *Plan) original(offset, size uint64) {
	if size == 0 {
		return
	}
	if last := &p.parts[len(p.parts)-1]; last.bytes == nil && last.edit == nil && last.offset+last.size == offset {
		last.size += size
		return
	}
	p.parts = append(p.parts, part{offset: offset, size: size})
}

// place writes a section's offset and size into its header.
func (r *rewriter) place(headers []byte, section int, offset, size uint64) {
	if section < 0 {
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

func (r *rewriter) chunkName(section int) string {
	if section < 0 {
		return "table of section headers"
	}
	return "section " + r.f.Sections[section].Name
}

func (f *File) shoffField() int {
	if f.Is64 {
		return 40
	}
	return 32
}

func (f *File) infoField() int {
	if f.Is64 {
		return 44
	}
	return 28
}
