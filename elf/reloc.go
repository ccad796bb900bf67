package elf

import (
	"bytes"
	stdelf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
)

// relocTable is one SHT_REL or SHT_RELA section (gABI figure 4-20).
type relocTable struct {
	f       *File
	data    []byte
	entsize int
	rela    bool
	mips64  bool // mips64 packs a symbol, a second symbol and three types into r_info (MIPS ELF64 specification, 2.9)
	section int
}

type reloc struct {
	offset uint64
	sym    SymID
	kind   uint32
	addend int64
}

// relocTable reads relocation section i.
func (f *File) relocTable(i int) (relocTable, error) {
	t, err := f.relocHeader(i)
	if err == nil {
		t.data, err = f.Data(i)
	}
	return t, err
}

// relocHeader tells how the entries of relocation section i are laid out, without reading one.
func (f *File) relocHeader(i int) (relocTable, error) {
	s := &f.Sections[i]
	t := relocTable{f: f, rela: s.Type == uint32(stdelf.SHT_RELA), section: i}
	t.mips64 = f.Is64 && f.Machine == uint16(stdelf.EM_MIPS)
	t.entsize = 8
	if t.rela {
		t.entsize = 12
	}
	if f.Is64 {
		t.entsize *= 2
	}
	if s.Size > 0 && (s.Entsize != uint64(t.entsize) || s.Size%s.Entsize != 0) {
		return t, formatErrorf(f.sectionHeaderOffset(i), "relocation section %d of %d bytes with entries of %d, want %d", i, s.Size, s.Entsize, t.entsize)
	}
	return t, nil
}

func (t *relocTable) len() int { return len(t.data) / t.entsize }

func (t *relocTable) offset(i int) uint64 {
	b := t.data[i*t.entsize:]
	if t.f.Is64 {
		return t.f.u64(b)
	}
	return uint64(t.f.u32(b))
}

// infoSym is where in an entry the symbol's index stands as a whole 32-bit word, -1 if it shares one with the type.
func (t *relocTable) infoSym() int {
	switch {
	case !t.f.Is64:
		return -1
	case t.mips64 || t.f.Big:
		return 8
	}
	return 12
}

func (t *relocTable) at(i int) reloc {
	f := t.f
	b := t.data[i*t.entsize:][:t.entsize]
	if !f.Is64 {
		info := f.u32(b[4:])
		r := reloc{offset: uint64(f.u32(b)), sym: SymID(info >> 8), kind: info & 0xff}
		if t.rela {
			r.addend = int64(int32(f.u32(b[8:])))
		}
		return r
	}
	r := reloc{offset: f.u64(b), sym: SymID(f.u32(b[t.infoSym():]))}
	switch {
	case t.mips64:
		r.kind = uint32(b[15])
	case f.Big:
		r.kind = f.u32(b[12:])
	default:
		r.kind = f.u32(b[8:])
	}
	if t.rela {
		r.addend = int64(f.u64(b[16:]))
	}
	return r
}

// NoAddress is the value of a field that refers to nothing in this object: an undefined symbol, or a relocation that
// debug information does not use.
const NoAddress = ^uint64(0)

// sectionShift spreads the sections of a relocatable object, which all start at 0, over an address space of their own,
// so that an address names its section: functions of different sections never collide.
const sectionShift = 40

// Address is the address that debug information read through Contents gives to value in a section: a virtual address
// in a linked object, a made-up one that is unique to section and value in a relocatable one.
func (f *File) Address(section uint32, value uint64) uint64 {
	if f.Type == Relocatable {
		return uint64(section)<<sectionShift + value
	}
	return value
}

// Contents is a debug section's content: decompressed, its relocations applied where fields are read.
type Contents struct {
	Data []byte
	f    *File
	syms *Symtab
	rel  relocTable
	has  bool  // rel is to be applied
	sure bool  // perm tells the order of rel; before, it is taken to be sorted
	last int   // where the last look-up ended: fields are mostly read in order
	perm []int // order of rel by offset, nil if it is sorted as it stands
}

// DebugSection returns the index of the section that Contents reads, 0 if there is none: the first of that name that is
// in no group (type units have a .debug_info each, in groups), else the first, else the ".zdebug_" one.
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

// Contents returns the content of the debug section of that name, nil Data if there is none. name begins with
// ".debug_". SHF_COMPRESSED and the older ".zdebug_" form are decompressed into memory.
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
		data, err = f.expand(data)
	case s.Name != name && bytes.HasPrefix(data, []byte("ZLIB")) && len(data) >= 12:
		data, err = expandDebug(data[12:], binary.BigEndian.Uint64(data[4:]), zlibReader)
	}
	if err != nil {
		return nil, formatErrorf(s.Offset, "compressed %s: %v", s.Name, err)
	}
	c := &Contents{Data: data, f: f}
	// A linked kernel keeps its relocations with --emit-relocs: they are applied already.
	if f.Type != Relocatable {
		return c, nil
	}
	for j := range f.Sections {
		r := &f.Sections[j]
		if (r.Type == uint32(stdelf.SHT_RELA) || r.Type == uint32(stdelf.SHT_REL)) && r.Info == uint32(i) && r.Size > 0 {
			if err := c.relocate(j); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// expand decompresses a section that begins with a compression header (gABI "Section Compression").
func (f *File) expand(data []byte) ([]byte, error) {
	header := 12
	if f.Is64 {
		header = 24
	}
	if len(data) < header {
		return nil, errors.New("no compression header")
	}
	size := uint64(f.u32(data[4:]))
	if f.Is64 {
		size = f.u64(data[8:])
	}
	switch kind := stdelf.CompressionType(f.u32(data)); kind {
	case stdelf.COMPRESS_ZLIB:
		return expandDebug(data[header:], size, zlibReader)
	case stdelf.COMPRESS_ZSTD:
		return expandDebug(data[header:], size, zstdReader)
	default:
		return nil, fmt.Errorf("unknown compression %d", kind)
	}
}

// maxRatio bounds what a debug section may expand to: zlib cannot pack more than 1,032 bytes into one.
const maxRatio = 1100

// expandDebug decompresses a debug section that says how long it becomes.
func expandDebug(b []byte, size uint64, open func(b []byte, size uint64) (io.ReadCloser, error)) ([]byte, error) {
	if size > maxRatio*uint64(len(b)) {
		return nil, fmt.Errorf("%d bytes cannot expand to %d", len(b), size)
	}
	r, err := open(b, size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make([]byte, size)
	_, err = io.ReadFull(r, out)
	return out, err
}

func (c *Contents) relocate(section int) error {
	if c.has {
		return formatErrorf(c.f.sectionHeaderOffset(section), "second relocation section for one debug section")
	}
	var err error
	if c.syms, err = c.f.Symtab(); err != nil {
		return err
	}
	if c.rel, err = c.f.relocTable(section); err != nil {
		return err
	}
	if pairedRelocations(c.f.Machine) {
		return c.applyAll()
	}
	c.has = true
	return nil
}

// order finds out whether the relocations are sorted by offset, and if not, in which order they are. All linkers and
// assemblers sort them, and the table may be larger than all else that is read of an object: it is asked for only when a
// search did not find one, which a sorted table would be right about.
func (c *Contents) order() {
	c.sure = true
	sorted := true
	for i, last := 0, uint64(0); i < c.rel.len(); i++ {
		at := c.rel.offset(i)
		if at < last {
			sorted = false
			break
		}
		last = at
	}
	if !sorted {
		c.perm = make([]int, c.rel.len())
		for i := range c.perm {
			c.perm[i] = i
		}
		sort.SliceStable(c.perm, func(a, b int) bool { return c.rel.offset(c.perm[a]) < c.rel.offset(c.perm[b]) })
	}
}

func (c *Contents) entry(i int) int {
	if c.perm != nil {
		return c.perm[i]
	}
	return i
}

// find returns the index of the relocation for offset, -1 if there is none.
func (c *Contents) find(offset uint64) int {
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
	// Gallop from the last hit, then search the range that is left.
	if i := c.last; i < n && at(i) <= offset {
		lo = i
		for step := 1; ; step *= 2 {
			if i+step >= n || at(i+step) > offset {
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
		return c.entry(lo)
	}
	return -1
}

// Uint returns the field of size 1, 2, 4 or 8 bytes at offset, relocated; NoAddress if its relocation leads nowhere.
// The field must lie in Data.
func (c *Contents) Uint(offset uint64, size int) uint64 {
	inPlace := c.f.uint(c.Data[offset:], size)
	if !c.has {
		return inPlace
	}
	i := c.find(offset)
	if i < 0 {
		return inPlace
	}
	r := c.rel.at(i)
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

// symbolAddress is the value of a symbol as a relocation sees it: in a debug section an offset, elsewhere an Address.
func (c *Contents) symbolAddress(id SymID) (uint64, bool) {
	if id == 0 {
		return 0, true
	}
	if int(id) >= c.syms.Len() {
		return 0, false
	}
	s, err := c.syms.At(id)
	if err != nil || !s.Defined() {
		return s.Value, err == nil && s.Section == Abs
	}
	if !c.f.Sections[s.Section].Alloc() {
		return s.Value, true
	}
	return c.f.Address(s.Section, s.Value), true
}

// relocSize is the width of the field that an absolute relocation of this type fills, 0 for other types.
func relocSize(machine uint16, kind uint32) int {
	switch stdelf.Machine(machine) {
	case stdelf.EM_X86_64:
		switch stdelf.R_X86_64(kind) {
		case stdelf.R_X86_64_64:
			return 8
		case stdelf.R_X86_64_32, stdelf.R_X86_64_32S:
			return 4
		}
	case stdelf.EM_386:
		if stdelf.R_386(kind) == stdelf.R_386_32 {
			return 4
		}
	case stdelf.EM_AARCH64:
		switch stdelf.R_AARCH64(kind) {
		case stdelf.R_AARCH64_ABS64:
			return 8
		case stdelf.R_AARCH64_ABS32:
			return 4
		}
	case stdelf.EM_ARM:
		if stdelf.R_ARM(kind) == stdelf.R_ARM_ABS32 {
			return 4
		}
	case stdelf.EM_S390:
		switch stdelf.R_390(kind) {
		case stdelf.R_390_64:
			return 8
		case stdelf.R_390_32:
			return 4
		}
	case stdelf.EM_PPC64:
		switch stdelf.R_PPC64(kind) {
		case stdelf.R_PPC64_ADDR64:
			return 8
		case stdelf.R_PPC64_ADDR32:
			return 4
		}
	case stdelf.EM_MIPS:
		switch stdelf.R_MIPS(kind) {
		case stdelf.R_MIPS_64:
			return 8
		case stdelf.R_MIPS_32:
			return 4
		}
	}
	return 0
}

// pairedRelocations says whether the machine describes differences by pairs of relocations at one field, because its
// linker moves code: then the whole section is relocated at once (RISC-V ELF psABI, chapter 8.4; LoongArch ELF psABI).
func pairedRelocations(machine uint16) bool {
	return machine == uint16(stdelf.EM_RISCV) || machine == uint16(stdelf.EM_LOONGARCH)
}

// An arithmetic relocation adds to, subtracts from or sets a field of size bytes; size 0 is a ULEB128 of fixed length,
// size -1 the low six bits of a byte.
type arithmetic struct {
	op   byte // '+', '-', '='
	size int
}

func pairedRelocation(machine uint16, kind uint32) (arithmetic, bool) {
	if machine == uint16(stdelf.EM_RISCV) {
		switch kind {
		case 1, 56: // R_RISCV_32, R_RISCV_SET32
			return arithmetic{'=', 4}, true
		case 2:
			return arithmetic{'=', 8}, true
		case 33, 34, 35, 36: // ADD8 .. ADD64
			return arithmetic{'+', 1 << (kind - 33)}, true
		case 37, 38, 39, 40: // SUB8 .. SUB64
			return arithmetic{'-', 1 << (kind - 37)}, true
		case 52:
			return arithmetic{'-', -1}, true
		case 53:
			return arithmetic{'=', -1}, true
		case 54, 55: // SET8, SET16
			return arithmetic{'=', 1 << (kind - 54)}, true
		case 60:
			return arithmetic{'=', 0}, true
		case 61:
			return arithmetic{'-', 0}, true
		}
		return arithmetic{}, false
	}
	switch kind { // LoongArch
	case 1:
		return arithmetic{'=', 4}, true
	case 2:
		return arithmetic{'=', 8}, true
	case 47, 48:
		return arithmetic{'+', 1 << (kind - 47)}, true
	case 50, 51:
		return arithmetic{'+', 4 << (kind - 50)}, true
	case 52, 53:
		return arithmetic{'-', 1 << (kind - 52)}, true
	case 55, 56:
		return arithmetic{'-', 4 << (kind - 55)}, true
	case 105:
		return arithmetic{'+', -1}, true
	case 106:
		return arithmetic{'-', -1}, true
	case 107:
		return arithmetic{'+', 0}, true
	case 108:
		return arithmetic{'-', 0}, true
	}
	return arithmetic{}, false
}

// applyAll replaces Data by a relocated copy.
func (c *Contents) applyAll() error {
	data := bytes.Clone(c.Data)
	for i := 0; i < c.rel.len(); i++ {
		r := c.rel.at(i)
		a, ok := pairedRelocation(c.f.Machine, r.kind)
		if !ok {
			continue // R_*_NONE, R_*_RELAX, and PC-relative ones of the frame sections
		}
		width := uint64(max(a.size, 1))
		if r.offset > uint64(len(data)) || uint64(len(data))-r.offset < width {
			return formatErrorf(c.f.Sections[c.rel.section].Offset+uint64(i*c.rel.entsize), "relocation %d at %#x, after the end of its section", i, r.offset)
		}
		base, ok := c.symbolAddress(r.sym)
		value := base + uint64(r.addend)
		if !ok {
			value = NoAddress
		}
		field := data[r.offset:]
		switch a.size {
		case 0:
			if !applyULEB128(field, a.op, value) {
				return formatErrorf(c.f.Sections[c.rel.section].Offset+uint64(i*c.rel.entsize), "relocation %d of an endless ULEB128", i)
			}
		case -1:
			field[0] = field[0]&0xc0 | byte(a.apply(uint64(field[0]&0x3f), value))&0x3f
		default:
			c.f.putUint(field, a.size, a.apply(c.f.uint(field, a.size), value))
		}
	}
	c.Data = data
	return nil
}

func (a arithmetic) apply(old, value uint64) uint64 {
	switch a.op {
	case '+':
		return old + value
	case '-':
		return old - value
	}
	return value
}

// applyULEB128 changes a ULEB128 in place and keeps its length, as linkers do.
func applyULEB128(b []byte, op byte, value uint64) bool {
	var old uint64
	n := 0
	for {
		if n == len(b) || n == 10 {
			return false
		}
		old |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1] < 0x80 {
			break
		}
	}
	v := arithmetic{op: op}.apply(old, value)
	for i := range n {
		b[i] = byte(v & 0x7f)
		v >>= 7
		if i < n-1 {
			b[i] |= 0x80
		}
	}
	return true
}

func (f *File) uint(b []byte, size int) uint64 {
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(f.u16(b))
	case 4:
		return uint64(f.u32(b))
	}
	return f.u64(b)
}

func (f *File) putUint(b []byte, size int, v uint64) {
	switch size {
	case 1:
		b[0] = byte(v)
	case 2:
		if f.Big {
			binary.BigEndian.PutUint16(b, uint16(v))
		} else {
			binary.LittleEndian.PutUint16(b, uint16(v))
		}
	case 4:
		f.put32(b, uint32(v))
	default:
		f.put64(b, v)
	}
}
