package elf

import (
	"cmp"
	stdelf "debug/elf"
	"slices"
)

// NoAddress is the value of a field that refers to nothing in this object: its symbol is undefined,
// or its relocation has a type that debugging information does not use.
const NoAddress = ^uint64(0)

// Contents is the content of a debug section, decompressed. Relocations are applied when a field is
// read.
type Contents struct {
	Data []byte
	f    *File
	syms *Symtab
	rel  relocTable
	has  bool  // rel applies to Data
	sure bool  // perm is known; until then rel counts as sorted
	last int   // result of the last search: fields are mostly read in order
	perm []int // order of rel by offset, nil if rel is sorted

	paired bool // rel has pairs of relocations
}

// Contents returns the content of the debug section with this name, which must begin with
// ".debug_". Data is nil if the object has no such section. A compressed section (SHF_COMPRESSED or
// the older ".zdebug_") is decompressed into memory. Damage is a *FormatError.
func (f *File) Contents(name string) (*Contents, error) {
	i := f.DebugSection(name)
	if i == 0 {
		return &Contents{f: f}, nil
	}
	data, err := f.Data(i)
	if err != nil {
		return nil, err
	}
	s := &f.Sections[i]
	switch {
	case s.Flags&uint64(stdelf.SHF_COMPRESSED) != 0:
		data, err = f.expandSection(data)
	case s.Name != name:
		data, err = f.expandGNU(data)
	}
	if err != nil {
		return nil, formatErrorf(s.Offset, "compressed section %s: %v", s.Name, err)
	}
	c := &Contents{Data: data, f: f}
	// A linked object may keep relocations that the linker has applied (--emit-relocs).
	if f.Type != Relocatable {
		return c, nil
	}
	for j := range f.Sections {
		r := &f.Sections[j]
		switch r.Type {
		case uint32(stdelf.SHT_RELA), uint32(stdelf.SHT_REL), shtCREL:
		default:
			continue
		}
		if r.Info == uint32(i) && r.Size > 0 {
			if err := c.relocate(j); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// DebugSection returns the index of the section that Contents reads, 0 if there is none. That is
// the first section with this name outside any group (each type unit has a .debug_info in a group),
// else the first with this name, else the first with the ".zdebug_" name.
func (f *File) DebugSection(name string) int {
	first := 0
	for i := 1; i < len(f.Sections); i++ {
		if s := &f.Sections[i]; s.Name == name {
			if s.Flags&uint64(stdelf.SHF_GROUP) == 0 {
				return i
			}
			if first == 0 {
				first = i
			}
		}
	}
	if first == 0 {
		return f.Section(".z" + name[1:])
	}
	return first
}

// relocate sets the relocation section that applies to c.
func (c *Contents) relocate(section int) error {
	if c.has {
		return formatErrorf(c.f.sectionHeaderOffset(section),
			"second relocation section for one debug section")
	}
	var err error
	if c.syms, err = c.f.Symtab(); err != nil {
		return err
	}
	if c.rel, err = c.f.relocTable(section); err != nil {
		return err
	}
	// Several debug sections may claim the same bytes.
	size := uint64(len(c.rel.data) + len(c.Data))
	if err := c.f.spend(size, c.f.Sections[section].Offset, "relocations"); err != nil {
		return err
	}
	c.has, c.paired = true, pairedRelocations(c.f.Machine)
	return nil
}

// Uint returns the field of size 1, 2, 4 or 8 bytes at offset, relocated; NoAddress if it refers to
// nothing in this object. The field must be inside Data.
func (c *Contents) Uint(offset uint64, size int) uint64 {
	inPlace := c.f.uint(c.Data[offset:], size)
	switch {
	case !c.has:
		return inPlace
	case c.paired:
		return c.difference(offset, inPlace, 8*size)
	}
	i := c.find(offset)
	if i < 0 {
		return inPlace
	}
	r := c.rel.at(c.entry(i))
	if relocSize(c.f.Machine, r.kind) == 0 {
		return NoAddress
	}
	addend := uint64(r.addend)
	if !c.rel.rela {
		addend = inPlace
	}
	base, ok := c.symbolAddress(r.sym)
	if !ok {
		return NoAddress
	}
	return base + addend
}

// find returns which relocation by offset is the first at this offset, -1 if there is none.
func (c *Contents) find(offset uint64) int {
	if c.paired && !c.sure {
		c.order() // a relocation that is found may be only one of a pair
	}
	i := c.search(offset)
	if i < 0 && !c.sure {
		if c.order(); c.perm != nil {
			i = c.search(offset)
		}
	}
	return i
}

// search is find for a sorted table.
func (c *Contents) search(offset uint64) int {
	n := c.rel.len()
	at := func(i int) uint64 { return c.rel.offset(c.entry(i)) }
	lo, hi := 0, n
	// Gallop from the last result, then search the remaining range.
	if i := c.last; i < n && at(i) <= offset {
		lo = i
		for step := 1; ; step *= 2 {
			if i+step >= n || at(i+step) >= offset {
				hi = min(n, i+step)
				break
			}
			lo = i + step
		}
	}
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); at(mid) < offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	c.last = lo
	if lo < n && at(lo) == offset {
		return lo
	}
	return -1
}

// entry returns the index in rel of the relocation with the i-th lowest offset.
func (c *Contents) entry(i int) int {
	if c.perm != nil {
		return c.perm[i]
	}
	return i
}

// forgetAfter is the number of entries of a table after which those that were read are forgotten.
const forgetAfter = 1 << 20

// order sets perm. Linkers and assemblers sort relocations by offset, but the gABI does not ask for
// it. The table may be larger than everything else that is read of an object, so it is checked only
// after a search failed, which is a right answer only in a sorted table.
func (c *Contents) order() {
	c.sure, c.last = true, 0
	sorted := true
	for i, last := 0, uint64(0); i < c.rel.len(); i++ {
		at := c.rel.offset(i)
		if at < last {
			sorted = false
			break
		}
		if last = at; i%forgetAfter == forgetAfter-1 {
			c.f.Forget()
		}
	}
	if !sorted {
		c.perm = make([]int, c.rel.len())
		for i := range c.perm {
			c.perm[i] = i
		}
		slices.SortFunc(c.perm, func(a, b int) int {
			return cmp.Or(cmp.Compare(c.rel.offset(a), c.rel.offset(b)), a-b)
		})
	}
}

// sectionShift gives each section of a relocatable object a range of addresses. All these sections
// start at 0; with the section number in the upper bits, functions of different sections never
// collide.
const sectionShift = 40

// Address returns the address that debugging information read through Contents has for a value in
// a section. In a linked object that is the value, a virtual address. In a relocatable object it is
// an address that kas makes up, unique to section and value.
func (f *File) Address(section uint32, value uint64) uint64 {
	if f.Type == Relocatable {
		return uint64(section)<<sectionShift + value
	}
	return value
}

// symbolAddress returns the value of a symbol in a relocation: an offset if the symbol is in a
// debug section, else an Address. It returns false for a symbol that this object does not define.
func (c *Contents) symbolAddress(id SymID) (uint64, bool) {
	if id == 0 {
		return 0, true
	}
	if int(id) >= c.syms.Len() {
		return 0, false
	}
	s, _, err := c.syms.entry(id)
	if err != nil || !s.Defined() {
		return s.Value, err == nil && s.Section == Abs
	}
	if !c.f.Sections[s.Section].Alloc() {
		return s.Value, true
	}
	return c.f.Address(s.Section, s.Value), true
}
