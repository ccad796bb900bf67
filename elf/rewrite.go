package elf

import (
	"bytes"
	"fmt"
	"slices"
)

// Alias is a symbol to add: another name of Original.
type Alias struct {
	Original SymID
	Name     string
}

// Rewrite plans a copy of a relocatable object with aliases added to its symbol table. An alias
// comes right after its original and has the original's section, value, size, type, binding and
// visibility; aliases of one original keep the order given. The order of the other symbols does not
// change. Whatever names a symbol by index (relocations, groups, address-significance tables)
// follows. All other sections keep their content and order. Bytes after the last section, such as a
// module signature, are dropped: a rewritten module must be signed again.
//
// The plan aliases the bytes of the File. Without aliases it is the object itself, byte for byte.
// Damage is a *FormatError; an alias of no symbol is another error.
func (f *File) Rewrite(aliases []Alias) (*Plan, error) {
	if f.Type != Relocatable {
		return nil, formatErrorf(16, "not a relocatable object (e_type %d)", f.Type)
	}
	if len(aliases) == 0 {
		return &Plan{parts: []part{{offset: 0, size: f.size}}, f: f}, nil
	}
	r := &rewriter{
		f: f, aliases: slices.Clone(aliases),
		parts: map[int][]part{}, infos: map[int]uint32{}, edits: map[int]*edit{},
	}
	slices.SortStableFunc(r.aliases, func(a, b Alias) int {
		return int(a.Original) - int(b.Original)
	})
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

type rewriter struct {
	f       *File
	syms    *Symtab
	aliases []Alias        // sorted by Original
	now     []uint32       // the new index of each symbol
	parts   map[int][]part // new content by section
	infos   map[int]uint32 // new sh_info by section
	edits   map[int]*edit  // how a section changes while it is copied
}

// buildTables makes the new .symtab, its string table and its extended section indices. The entries
// of the original are copied when the plan is written: a table may have millions.
func (r *rewriter) buildTables() error {
	f, t := r.f, r.syms
	if n := len(t.strs); n > 0 && t.strs[n-1] != 0 {
		return formatErrorf(f.Sections[t.Strings].Offset, "string table does not end in a NUL byte")
	}
	name := max(len(t.strs), 1)
	var added []byte // to the string table
	if len(t.strs) == 0 {
		added = []byte{0}
	}
	table := tableCopy{offset: f.Sections[t.Section].Offset, entsize: f.symbolSize()}
	xindex := tableCopy{offset: f.Sections[t.Shndx].Offset, entsize: 4}
	locals := t.Locals
	for _, a := range r.aliases {
		if a.Original == 0 || int(a.Original) >= t.Len() {
			return fmt.Errorf("alias %s: no symbol %d", a.Name, a.Original)
		}
		original, err := t.raw(a.Original)
		if err != nil {
			return err
		}
		// The alias is the entry of its original with another name.
		alias := bytes.Clone(original)
		f.put32(alias, uint32(name))
		name += len(a.Name) + 1
		added = append(append(added, a.Name...), 0)
		table.insert(int(a.Original)+1, alias)
		if t.xindex != nil {
			xindex.insert(int(a.Original)+1, t.xindex[a.Original*4:][:4])
		}
		if a.Original < t.Locals {
			locals++
		}
	}
	r.parts[t.Section] = table.end(t.Len())
	r.infos[t.Section] = uint32(locals)
	if t.xindex != nil {
		r.parts[t.Shndx] = xindex.end(t.Len())
	}
	strs := tableCopy{offset: f.Sections[t.Strings].Offset, entsize: 1}
	strs.insert(len(t.strs), added)
	r.parts[t.Strings] = strs.end(len(t.strs))
	return nil
}

// tableCopy is a copy of a table with entries inserted.
type tableCopy struct {
	offset  uint64 // of the original
	entsize int
	copied  int // entries of the original in parts
	parts   []part
}

// insert adds bytes before an entry of the original, after those inserted there before.
func (c *tableCopy) insert(before int, b []byte) {
	c.copyUntil(before)
	c.parts = append(c.parts, part{bytes: b, size: uint64(len(b))})
}

func (c *tableCopy) copyUntil(entry int) {
	if entry > c.copied {
		at, size := uint64(c.copied*c.entsize), uint64((entry-c.copied)*c.entsize)
		c.parts = append(c.parts, part{offset: c.offset + at, size: size})
		c.copied = entry
	}
}

// end copies the rest of the original, which has n entries, and returns all parts.
func (c *tableCopy) end(n int) []part {
	c.copyUntil(n)
	return c.parts
}

// number sets the new index of each symbol: the old one plus the aliases of earlier symbols.
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

// moved returns the new index of a symbol.
func (r *rewriter) moved(id SymID) SymID {
	if int(id) < len(r.now) {
		return SymID(r.now[id])
	}
	return id + SymID(len(r.aliases))
}

// first is the lowest index that changes.
func (r *rewriter) first() uint32 { return uint32(r.aliases[0].Original) + 1 }
