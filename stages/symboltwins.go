package stages

import (
	"math"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// twins are the symbols of an object's debug file that are the object's duplicates. The tables of
// the two files differ: strip drops symbols, first of all those of source files, and the indices of
// sections.
type twins struct {
	Files []string // names of the STT_FILE symbols; the first is "", for none

	// File has for each duplicate an index into Files, absent if the debug file does not have the
	// symbol.
	File []int32
}

// absent marks a symbol without a twin.
const absent = math.MinInt32

// findTwins finds the twins of an object's duplicates in its debug file f: the same section, value,
// size and name. It returns nil if the object has its own debugging information. A debug file
// without a symbol table has the symbols that the object has.
func findTwins(o *pipeline.Object, f *elf.File, list []*pipeline.Duplicate) (*twins, error) {
	if o.Debug.Path == "" {
		return nil, nil
	}
	t := &twins{Files: []string{""}, File: make([]int32, len(list))}
	if f.Section(".symtab") == 0 {
		return t, nil
	}
	wanted := make(map[uint64][]int, len(list)) // by value
	for i, d := range list {
		t.File[i] = absent
		value := o.Symbols[d.Symbol].Value
		wanted[value] = append(wanted[value], i)
	}
	syms, err := f.Symtab()
	if err != nil {
		return nil, err
	}
	sections := sectionTwins(o, f)
	sources := fileScope{names: []string{""}}
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			return nil, err
		}
		if sources.enter(&s, id, syms.Locals); s.SourceFile() {
			continue
		}
		for _, i := range wanted[f.CodeAddress(&s)] {
			x := &o.Symbols[list[i].Symbol]
			if t.File[i] == absent && sections[x.Section] == s.Section && s.Size == x.Size &&
				s.Section != elf.Undef && string(s.Name) == x.Name {
				t.File[i] = sources.of(&s)
			}
		}
	}
	for i, file := range t.File {
		if file != absent {
			t.File[i] = sources.settle(file, f.Type)
		}
	}
	t.Files = sources.names
	return t, nil
}

// sectionTwins returns for each section of an object the section of its debug file f, 0 if there is
// none: of the loaded sections with the same name, the one with the same ordinal.
func sectionTwins(o *pipeline.Object, f *elf.File) []uint32 {
	byName := map[string][]uint32{}
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Alloc() {
			byName[s.Name] = append(byName[s.Name], uint32(i))
		}
	}
	all := make([]uint32, len(o.Sections))
	for i := range o.Sections {
		s := &o.Sections[i]
		if same := byName[s.Name]; s.Alloc && len(same) > 0 {
			all[i], byName[s.Name] = same[0], same[1:]
		}
	}
	return all
}

// targets returns the duplicates to locate in f, the file with the debugging information, and for
// each of them its index in list. Those that the debug file does not have are left out.
func (t *twins) targets(
	o *pipeline.Object, f *elf.File, list []*pipeline.Duplicate,
) (targets []dwarf.Target, of []int) {
	targets, of = make([]dwarf.Target, 0, len(list)), make([]int, 0, len(list))
	var sections []uint32
	if t != nil {
		sections = sectionTwins(o, f)
	}
	for i, d := range list {
		s := &o.Symbols[d.Symbol]
		index, file := s.Section, o.Files[s.File]
		if t != nil {
			if index = sections[index]; index == 0 || t.File[i] == absent {
				continue
			}
			if len(t.Files) > 1 {
				file = t.Files[t.File[i]]
			}
		}
		targets = append(targets, dwarf.Target{
			Name: s.Name, Address: f.Address(index, s.Value),
			// The size of a damaged symbol must not reach into the next section.
			Size: min(s.Size, f.Sections[index].Size),
			Data: !s.Code, Global: !s.Local, File: file,
		})
		of = append(of, i)
	}
	return targets, of
}

// apply gives the object the file symbols of its debug file, and the duplicates that the debug file
// does not have the reason for it. list has all duplicates that were located.
func (t *twins) apply(o *pipeline.Object, list []*pipeline.Duplicate) {
	if t == nil {
		return
	}
	known := len(t.Files) > 1 // a debug file without file symbols says nothing about them
	if known {
		o.Files = t.Files
		for i := range o.Symbols {
			o.Symbols[i].File = 0 // only those of duplicates are asked for
		}
	}
	for i, d := range list {
		switch file := t.File[i]; {
		case file == absent:
			d.Reason = "not among the symbols of the debug file"
		case known:
			o.Symbols[d.Symbol].File = file
		}
	}
}

// fit reports whether twins from a note can be those of n duplicates of the object.
func (t *twins) fit(o *pipeline.Object, n int) bool {
	if t == nil {
		return o.Debug.Path == ""
	}
	for _, file := range t.File {
		if file < 0 && file != absent || int(file) >= len(t.Files) {
			return false
		}
	}
	return len(t.File) == n && len(t.Files) > 0
}
