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
		bytes: map[int][]byte{}, infos: map[int]uint32{}, edits: map[int]*edit{},
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
	bytes   map[int][]byte // new content by section
	infos   map[int]uint32 // new sh_info by section
	edits   map[int]*edit  // how a section changes while it is copied
}

// buildTables makes the new .symtab, its string table and its extended section indices.
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
	// copyUntil copies the entries from the last one copied up to, not including, upto.
	copyUntil := func(upto int) {
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
		copyUntil(max(from, int(a.Original)+1))
		// The alias is the entry of its original with another name.
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
	copyUntil(t.Len())
	r.bytes[t.Section], r.bytes[t.Strings] = table, names
	r.infos[t.Section] = uint32(locals)
	if xindex != nil {
		r.bytes[t.Shndx] = xindex
	}
	return nil
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
