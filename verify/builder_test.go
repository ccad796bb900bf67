package verify

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"maps"
	"slices"
	"testing"
)

// layoutOf is the layout of the objects of an architecture.
type layoutOf struct {
	name    string
	machine elf.Machine
	is64    bool
	order   binary.ByteOrder
	rela    bool
}

var layouts = []layoutOf{
	{"x86_64", elf.EM_X86_64, true, binary.LittleEndian, true},
	{"s390x", elf.EM_S390, true, binary.BigEndian, true},
	{"mips64el", elf.EM_MIPS, true, binary.LittleEndian, true},
	{"arm", elf.EM_ARM, false, binary.LittleEndian, false},
	{"mips", elf.EM_MIPS, false, binary.BigEndian, true},
}

// symbolSpec is a symbol of a test object, with its location.
type symbolSpec struct {
	name    string
	section string // "" undefined
	value   uint64
	size    uint64
	typ     elf.SymType
	bind    elf.SymBind
	other   byte
	wide    bool   // its section index is in SHT_SYMTAB_SHNDX
	file    string // "" if it has no alias
	unit    string
	line    int
	reason  string // why it has no alias
}

// alias returns the alias that the symbol should have, computed without kas's code.
func (s *symbolSpec) alias(name string) string {
	at := s.file
	if s.unit != s.file {
		at += ":" + s.unit
	}
	return name + "@" + fold(at) + "_" + itoa(s.line)
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

type writer struct {
	layoutOf
	bytes.Buffer
}

func (w *writer) put(vs ...any) {
	for _, v := range vs {
		switch v := v.(type) {
		case word:
			if w.is64 {
				v := uint64(v)
				_ = binary.Write(w, w.order, v)
			} else {
				_ = binary.Write(w, w.order, uint32(v))
			}
		default:
			if err := binary.Write(w, w.order, v); err != nil {
				panic(err)
			}
		}
	}
}

// word is written with 8 bytes in a 64-bit file and with 4 in a 32-bit one.
type word uint64

func (l layoutOf) symbol(name uint32, s symbolSpec, shndx uint16) []byte {
	w := &writer{layoutOf: l}
	info := elf.ST_INFO(s.bind, s.typ)
	if l.is64 {
		w.put(name, info, s.other, shndx, s.value, s.size)
	} else {
		w.put(name, uint32(s.value), uint32(s.size), info, s.other, shndx)
	}
	return w.Bytes()
}

// reloc encodes a relocation.
func (l layoutOf) reloc(off uint64, sym, typ uint32, addend int64) []byte {
	w := &writer{layoutOf: l}
	w.put(word(off))
	switch {
	case !l.is64:
		w.put(sym<<8 | typ&255)
	case l.machine == elf.EM_MIPS && l.order == binary.ByteOrder(binary.LittleEndian):
		w.put(sym, typ)
	default:
		w.put(uint64(sym)<<32 | uint64(typ))
	}
	if l.rela {
		w.put(word(addend))
	}
	return w.Bytes()
}

func (l layoutOf) u32(v uint32) []byte {
	b := make([]byte, 4)
	l.order.PutUint32(b, v)
	return b
}

type sectionSpec struct {
	elf.SectionHeader
	data []byte
}

// link lays out sections and section headers. sections[0] must be the null section.
func (l layoutOf) link(typ elf.Type, sections []sectionSpec) []byte {
	names := []byte{0}
	at := make([]uint32, len(sections))
	for i, s := range sections {
		if i > 0 {
			at[i] = uint32(len(names))
			names = append(append(names, s.Name...), 0)
		}
		if s.Name == ".shstrtab" {
			sections[i].data = names
		}
	}
	return l.assemble(typ, sections, at)
}

func (l layoutOf) assemble(typ elf.Type, sections []sectionSpec, nameOff []uint32) []byte {
	hsize, shsize := uint64(52), uint16(40)
	if l.is64 {
		hsize, shsize = 64, 64
	}
	body := make([]byte, hsize)
	strndx := uint16(0)
	for i := range sections {
		s := &sections[i]
		if i > 0 {
			for uint64(len(body))%max(s.Addralign, 1) != 0 {
				body = append(body, 0)
			}
			s.Offset = uint64(len(body))
			if s.Type != elf.SHT_NOBITS {
				s.Size = uint64(len(s.data))
				body = append(body, s.data...)
			}
		}
		if s.Name == ".shstrtab" {
			strndx = uint16(i)
		}
	}
	for len(body)%8 != 0 {
		body = append(body, 0)
	}
	w := &writer{layoutOf: l}
	class, order := byte(1), byte(1)
	if l.is64 {
		class = 2
	}
	if l.order == binary.ByteOrder(binary.BigEndian) {
		order = 2
	}
	w.put([]byte{0x7f, 'E', 'L', 'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	w.put(uint16(typ), uint16(l.machine), uint32(1), word(0), word(0), word(len(body)), uint32(0))
	w.put(uint16(hsize), uint16(0), uint16(0), shsize, uint16(len(sections)), strndx)
	copy(body, w.Bytes())
	return append(body, l.heads(sections, nameOff)...)
}

// object builds a file with .text, .exit.text, .data, .bss, a group, an address significance table,
// an old call graph profile, relocations and the given symbols, locals first.
func (l layoutOf) object(typ elf.Type, symbols []symbolSpec) []byte {
	reltype, relname, relsize := elf.SHT_RELA, ".rela", uint64(24)
	switch {
	case l.is64 && !l.rela:
		relsize = 16
	case !l.is64 && l.rela:
		relsize = 12
	case !l.is64:
		relsize = 8
	}
	if !l.rela {
		reltype, relname = elf.SHT_REL, ".rel"
	}
	align := uint64(4)
	if l.is64 {
		align = 8
	}
	base := uint64(0)
	if typ == elf.ET_EXEC {
		base = 0x10000
	}
	names := []string{
		"", ".group", ".text", ".exit.text", ".data", ".bss", relname + ".text", ".llvm_addrsig",
		".comment", ".symtab", ".symtab_shndx", ".strtab", ".profile", ".shstrtab",
	}
	idx := map[string]uint32{}
	for i, n := range names {
		idx[n] = uint32(i)
	}
	var strtab, symtab, wide, rels, sig, profile []byte
	strtab = []byte{0}
	symtab = make([]byte, len(l.symbol(0, symbolSpec{}, 0)))
	wide = make([]byte, 4)
	local := uint32(1)
	for i, s := range symbols {
		name := uint32(0)
		if s.name != "" {
			name = uint32(len(strtab))
			strtab = append(append(strtab, s.name...), 0)
		}
		shndx, ext := uint16(idx[s.section]), uint32(0)
		if s.wide {
			shndx, ext = 0xffff, idx[s.section]
		}
		if s.section == "*ABS*" {
			shndx = 0xfff1
		}
		if typ == elf.ET_EXEC && shndx != 0 && shndx < 0xff00 {
			s.value += base
		}
		symtab = append(symtab, l.symbol(name, s, shndx)...)
		wide = append(wide, l.u32(ext)...)
		if s.bind == elf.STB_LOCAL {
			local = uint32(i) + 2
		}
		if s.typ != elf.STT_FILE {
			rels = append(rels, l.reloc(uint64(i*4), uint32(i)+1, uint32(i)%7+1, int64(i)-4)...)
			sig = binary.AppendUvarint(sig, uint64(i)+1)
			profile = slices.Concat(profile, l.u32(uint32(i)+1), l.u32(local), l.u32(7), l.u32(8))
		}
	}
	text := bytes.Repeat([]byte{0x90, 0x13, 0xc3, 0x77}, 64)
	sections := make([]sectionSpec, len(names))
	set := func(
		name string, typ elf.SectionType, flags elf.SectionFlag, link, info uint32,
		align, entsize uint64, data []byte,
	) {
		h := elf.SectionHeader{
			Name: name, Type: typ, Flags: flags, Link: link, Info: info, Addralign: align,
			Entsize: entsize,
		}
		if flags&elf.SHF_ALLOC != 0 {
			h.Addr = base
		}
		sections[idx[name]] = sectionSpec{h, data}
	}
	set(".group", elf.SHT_GROUP, 0, idx[".symtab"], local, 4, 4,
		append(l.u32(1), l.u32(idx[".text"])...))
	set(".text", elf.SHT_PROGBITS, elf.SHF_ALLOC|elf.SHF_EXECINSTR, 0, 0, 16, 0, text)
	set(".exit.text", elf.SHT_PROGBITS, elf.SHF_ALLOC|elf.SHF_EXECINSTR, 0, 0, 16, 0, text[:64])
	set(".data", elf.SHT_PROGBITS, elf.SHF_ALLOC|elf.SHF_WRITE, 0, 0, 32, 0, text[:80])
	set(".bss", elf.SHT_NOBITS, elf.SHF_ALLOC|elf.SHF_WRITE, 0, 0, 32, 0, nil)
	set(relname+".text", reltype, elf.SHF_INFO_LINK, idx[".symtab"], idx[".text"], align, relsize,
		rels)
	set(".llvm_addrsig", shtAddrsig, 0, idx[".symtab"], 0, 1, 0, sig)
	set(".comment", elf.SHT_PROGBITS, 0, 0, 0, 1, 0, []byte("made by hand\x00"))
	set(".symtab", elf.SHT_SYMTAB, 0, idx[".strtab"], local, align,
		uint64(len(l.symbol(0, symbolSpec{}, 0))), symtab)
	set(".symtab_shndx", elf.SHT_SYMTAB_SHNDX, 0, idx[".symtab"], 0, 4, 4, wide)
	set(".strtab", elf.SHT_STRTAB, 0, 0, 0, 1, 0, strtab)
	set(".profile", shtOldProfile, 0, idx[".symtab"], 0, 8, 16, profile)
	set(".shstrtab", elf.SHT_STRTAB, 0, 0, 0, 1, 0, nil)
	return l.link(typ, sections)
}

// rewrite adds aliases to an object, by symbol index. It reads the object with debug/elf and
// supports only the sections of the test objects and of common compilers.
func rewrite(t testing.TB, data []byte, aliases map[int]string) []byte {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	l := layoutOf{machine: f.Machine, is64: f.Class == elf.ELFCLASS64, order: f.ByteOrder}
	var sections []sectionSpec
	var nameOff []uint32
	symtab := 0
	shoff, shsize := uint64(l.order.Uint32(data[32:])), uint64(40)
	if l.is64 {
		shoff, shsize = l.order.Uint64(data[40:]), 64
	}
	for i, s := range f.Sections {
		spec := sectionSpec{SectionHeader: s.SectionHeader}
		if s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL {
			spec.data = slices.Clone(data[s.Offset : s.Offset+s.FileSize])
		}
		spec.Size = s.FileSize
		sections = append(sections, spec)
		nameOff = append(nameOff, l.order.Uint32(data[shoff+uint64(i)*shsize:]))
		if s.Type == elf.SHT_SYMTAB {
			symtab = i
		}
	}
	size := int(sections[symtab].Entsize)
	old, strtab := sections[symtab].data, &sections[sections[symtab].Link].data
	var table []byte
	var moved []uint32
	name := map[int]uint32{}
	for _, i := range slices.Sorted(maps.Keys(aliases)) {
		name[i] = uint32(len(*strtab))
		*strtab = append(append(*strtab, aliases[i]...), 0)
	}
	for i := 0; i*size < len(old); i++ {
		entry := old[i*size : (i+1)*size]
		moved = append(moved, uint32(len(table)/size))
		table = append(table, entry...)
		if at, ok := name[i]; ok {
			extra := slices.Clone(entry)
			l.order.PutUint32(extra, at)
			table = append(table, extra...)
		}
	}
	moved = append(moved, uint32(len(table)/size))
	sections[symtab].data = table
	sections[symtab].Info = moved[sections[symtab].Info]
	for i := range sections {
		s := &sections[i]
		if int(s.Link) != symtab {
			continue
		}
		switch s.Type {
		case elf.SHT_GROUP:
			s.Info = moved[s.Info]
		case elf.SHT_SYMTAB_SHNDX:
			var w []byte
			for k := 0; k < len(moved)-1; k++ {
				for range moved[k+1] - moved[k] {
					w = append(w, s.data[4*k:4*k+4]...)
				}
			}
			s.data = w
		case shtAddrsig:
			var w []byte
			for in := s.data; len(in) > 0; {
				v, n := binary.Uvarint(in)
				w = binary.AppendUvarint(w, uint64(moved[v]))
				in = in[n:]
			}
			s.data = w
		case shtOldProfile:
			for k := 0; k < len(s.data); k += 4 {
				if k%16 < 8 { // caller and callee
					l.order.PutUint32(s.data[k:], moved[l.order.Uint32(s.data[k:])])
				}
			}
		case elf.SHT_REL, elf.SHT_RELA:
			for k := 0; k < len(s.data); k += int(s.Entsize) {
				e := s.data[k:]
				switch {
				case !l.is64:
					v := l.order.Uint32(e[4:])
					l.order.PutUint32(e[4:], moved[v>>8]<<8|v&255)
				case l.machine == elf.EM_MIPS && f.Data == elf.ELFDATA2LSB:
					l.order.PutUint32(e[8:], moved[l.order.Uint32(e[8:])])
				default:
					v := l.order.Uint64(e[8:])
					l.order.PutUint64(e[8:], uint64(moved[v>>32])<<32|v&0xffffffff)
				}
			}
		}
	}
	return l.inPlace(data, shoff, sections, nameOff)
}

// inPlace lays out changed sections as docs/outputs.md says: in the order of the file, where they
// were as long as none has another size, and then one after the other.
func (l layoutOf) inPlace(
	data []byte, shoff uint64, sections []sectionSpec, nameOff []uint32,
) []byte {
	head, at, align := 52, 32, uint64(4)
	if l.is64 {
		head, at, align = 64, 40, 8
	}
	var order []int
	for i, s := range sections {
		if s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL {
			order = append(order, i)
		}
	}
	const table = -1
	offset := func(i int) uint64 {
		if i == table {
			return shoff
		}
		return sections[i].Offset
	}
	order = append(order, table)
	slices.SortStableFunc(order, func(i, j int) int {
		if offset(i) == offset(j) && i != table && j != table {
			return min(int(sections[i].Size), 1) - min(int(sections[j].Size), 1)
		}
		return int(offset(i)) - int(offset(j))
	})
	out := slices.Clone(data[:head])
	grown := false
	for _, i := range order {
		step := align
		if i != table {
			step = max(sections[i].Addralign, 1)
		}
		if !grown {
			out = append(out, data[len(out):offset(i)]...)
		}
		for grown && uint64(len(out))%step != 0 {
			out = append(out, 0)
		}
		if i == table {
			if shoff = uint64(len(out)); l.is64 {
				l.order.PutUint64(out[at:], shoff)
			} else {
				l.order.PutUint32(out[at:], uint32(shoff))
			}
			out = append(out, make([]byte, len(l.heads(sections, nameOff)))...)
			continue
		}
		s := &sections[i]
		s.Offset = uint64(len(out))
		grown = grown || s.Size != uint64(len(s.data))
		s.Size = uint64(len(s.data))
		out = append(out, s.data...)
	}
	copy(out[shoff:], l.heads(sections, nameOff))
	return out
}

// heads encodes the section headers.
func (l layoutOf) heads(sections []sectionSpec, nameOff []uint32) []byte {
	w := &writer{layoutOf: l}
	for i, s := range sections {
		w.put(nameOff[i], uint32(s.Type), word(s.Flags), word(s.Addr), word(s.Offset),
			word(s.Size), s.Link, s.Info, word(s.Addralign), word(s.Entsize))
	}
	return w.Bytes()
}
