//go:build kernel

package main

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// declared is what the standard library's readers find in an object: the declarations at each
// address where a subprogram's range begins or a variable is. It shares no code with kas.
type declared struct {
	sections  *layout
	owners    map[uint64][]declaration
	variables map[uint64][]declaration
	rows      map[uint64][]string // "file line unit" of the line tables of assembly
	folded    map[string][]string // by name: functions and file-scope variables without an address
	bodies    []body              // ranges of functions, sorted
	covered   []body              // ranges of units, sorted
	patchable bool                // a symbol may be 8 bytes before its function's low_pc
}

// patchable are the machines on which GCC may put the no-operations that the function tracer
// replaces (-fpatchable-function-entry) between the symbol of a function and its low_pc.
var patchable = []elf.Machine{elf.EM_AARCH64, elf.EM_RISCV, elf.EM_LOONGARCH}

// declaration is what a subprogram or a variable declares.
type declaration struct {
	name, linkage string
	text          string // "file line unit", as an alias should have them
	fragment      bool   // the subprogram is entered elsewhere
}

// body is a range of addresses that a function or a unit has.
type body struct {
	low, high uint64
	name      string
}

// layout gives each section of a relocatable object addresses of its own, and has the symbols.
type layout struct {
	file    *elf.File
	bases   []uint64
	symbols []elf.Symbol
	names   map[uint64][]string // the symbols at an address
	sources map[string][]string // the STT_FILE before a local symbol, by "name address"
}

func newLayout(f *elf.File) (*layout, error) {
	l := &layout{
		file: f, bases: make([]uint64, len(f.Sections)),
		names: map[uint64][]string{}, sources: map[string][]string{},
	}
	next := uint64(1 << 16)
	for i, s := range f.Sections {
		if f.Type == elf.ET_REL && s.Flags&elf.SHF_ALLOC != 0 {
			l.bases[i] = next
			next += (s.Size + 1<<13) &^ (1<<12 - 1)
		}
	}
	var err error
	if l.symbols, err = f.Symbols(); err != nil {
		return nil, err
	}
	source := ""
	for _, s := range l.symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FILE {
			source = s.Name
			continue
		}
		if int(s.Section) >= len(f.Sections) || s.Section == elf.SHN_UNDEF {
			continue
		}
		at := l.bases[s.Section] + s.Value
		l.names[at] = append(l.names[at], s.Name)
		if elf.ST_BIND(s.Info) == elf.STB_LOCAL {
			key := fmt.Sprintf("%s %x", s.Name, at)
			l.sources[key] = append(l.sources[key], source)
		}
	}
	return l, nil
}

// addresses returns where a row's symbol may be: a module may have several sections of one name.
func (l *layout) addresses(r aliasRow) []uint64 {
	offset, err := strconv.ParseUint(r.address, 16, 64)
	if err != nil {
		return nil
	}
	var all []uint64
	for i, s := range l.file.Sections {
		if s.Name == r.section && slices.Contains(l.names[l.bases[i]+offset], r.symbol) {
			all = append(all, l.bases[i]+offset)
		}
	}
	return all
}

// declarations reads all subprograms and variables of an object with debug/dwarf.
func declarations(name string) (*declared, error) {
	f, err := elf.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sections, err := newLayout(f)
	if err != nil {
		return nil, err
	}
	d := &declared{
		sections: sections, owners: map[uint64][]declaration{},
		variables: map[uint64][]declaration{}, rows: map[uint64][]string{},
		folded: map[string][]string{}, patchable: slices.Contains(patchable, f.Machine),
	}
	data, err := standardDWARF(f, sections)
	if err != nil {
		return nil, err
	}
	r := data.Reader()
	for {
		cu, err := r.Next()
		if err != nil {
			return nil, err
		}
		if cu == nil {
			break
		}
		if cu.Tag != dwarf.TagCompileUnit {
			r.SkipChildren() // a partial or a type unit
			continue
		}
		if err := d.unit(data, r, cu); err != nil {
			return nil, fmt.Errorf("%v: %w", cu.Val(dwarf.AttrName), err)
		}
	}
	for _, all := range [][]body{d.bodies, d.covered} {
		slices.SortFunc(all, func(a, b body) int { return cmp.Compare(a.low, b.low) })
	}
	return d, nil
}

// DW_LANG_Rust and DW_LANG_Mips_Assembler.
const langRust, langAssembler = 0x1c, 0x8001

func (d *declared) unit(data *dwarf.Data, r *dwarf.Reader, cu *dwarf.Entry) error {
	unit, _ := cu.Val(dwarf.AttrName).(string)
	dir, _ := cu.Val(dwarf.AttrCompDir).(string)
	language, _ := cu.Val(dwarf.AttrLanguage).(int64)
	if ranges, err := data.Ranges(cu); err == nil {
		for _, g := range ranges {
			d.covered = append(d.covered, body{g[0], g[1], relative(unit, dir)})
		}
	}
	lines, err := data.LineReader(cu)
	if err != nil {
		return err
	}
	if lines == nil {
		r.SkipChildren()
		return nil
	}
	type function struct {
		declaration
		entry  uint64
		starts []uint64
		file   string
		line   int64
	}
	var functions []function
	files := lines.Files()
	for depth := 1; cu.Children && depth > 0; {
		e, err := r.Next()
		if err != nil {
			return err
		}
		if e.Tag == 0 {
			depth--
			continue
		}
		if e.Children {
			depth++
		}
		switch e.Tag {
		case dwarf.TagStructType, dwarf.TagUnionType, dwarf.TagEnumerationType,
			dwarf.TagSubroutineType, dwarf.TagArrayType:
			if e.Children && language != langRust {
				r.SkipChildren()
				depth--
			}
		case dwarf.TagVariable:
			d.variable(data, files, e, unit, dir, depth == 1+children(e))
		case dwarf.TagSubprogram:
			ranges, err := data.Ranges(e)
			if err != nil {
				return err
			}
			o := follow(data, e)
			known := o.file >= 0 && int(o.file) < len(files) && files[o.file] != nil
			if !known {
				continue
			}
			if len(ranges) == 0 {
				if e.Val(dwarf.AttrName) != nil && e.Val(dwarf.AttrDeclaration) == nil {
					text := owner(files[o.file].Name, o.line, unit, dir)
					d.folded[o.name] = append(d.folded[o.name], text)
				}
				continue
			}
			fn := function{
				declaration: declaration{name: o.name, linkage: o.linkage},
				file:        files[o.file].Name, line: o.line,
			}
			for _, g := range ranges {
				fn.starts = append(fn.starts, g[0])
				d.bodies = append(d.bodies, body{g[0], g[1], o.name})
			}
			fn.entry = d.entry(e, o, fn.starts)
			functions = append(functions, fn)
		}
	}
	type row struct {
		file string
		line int64
	}
	wanted, first := map[uint64]bool{}, map[uint64]row{}
	for _, fn := range functions {
		wanted[fn.entry] = true
	}
	isStmt := map[uint64]bool{}
	var entry dwarf.LineEntry
	for {
		if err := lines.Next(&entry); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if entry.EndSequence || entry.File == nil {
			continue
		}
		if language == langAssembler {
			text := owner(entry.File.Name, int64(entry.Line), unit, dir)
			d.rows[entry.Address] = append(d.rows[entry.Address], text)
		}
		if !wanted[entry.Address] {
			continue
		}
		if _, ok := first[entry.Address]; !ok || entry.IsStmt && !isStmt[entry.Address] {
			first[entry.Address] = row{entry.File.Name, int64(entry.Line)}
			isStmt[entry.Address] = entry.IsStmt
		}
	}
	for _, fn := range functions {
		line := fn.line
		if r := first[fn.entry]; r.file == fn.file && r.line >= fn.line {
			line = r.line
		}
		p := fn.declaration
		p.text = owner(fn.file, line, unit, dir)
		for _, start := range fn.starts {
			p.fragment = start != fn.entry
			d.owners[start] = append(d.owners[start], p)
		}
	}
	return nil
}

// cold matches the suffixes of a function's other parts.
var cold = regexp.MustCompile(`\.(cold|__part|warm|eh)(\.|$)`)

// entry returns at which of its ranges a function is entered: at the one with a symbol of its name,
// else at DW_AT_entry_pc, else at the first one.
func (d *declared) entry(e *dwarf.Entry, o declarationOf, starts []uint64) uint64 {
	for _, start := range starts {
		at := []uint64{start}
		if d.patchable {
			at = append(at, start-8)
		}
		for _, a := range at {
			for _, s := range d.sections.names[a] {
				if base, _, _ := strings.Cut(s, "."); !cold.MatchString(s) &&
					(s == o.linkage || base == o.name) {
					return start
				}
			}
		}
	}
	const entryPC = dwarf.Attr(0x52)
	if pc, ok := e.Val(entryPC).(uint64); ok {
		return pc
	}
	if low, ok := e.Val(dwarf.AttrLowpc).(uint64); ok {
		return low
	}
	return starts[0]
}

func owner(file string, line int64, unit, dir string) string {
	return relative(file, dir) + " " + strconv.FormatInt(line, 10) + " " + relative(unit, dir)
}

// variable records the declaration of a variable that has a fixed address.
func (d *declared) variable(
	data *dwarf.Data, files []*dwarf.LineFile, e *dwarf.Entry, unit, dir string, outer bool,
) {
	const opAddr = 0x03
	location, fixed := e.Val(dwarf.AttrLocation).([]byte)
	fixed = fixed && len(location) >= 5 && location[0] == opAddr
	if !fixed && (!outer || e.Val(dwarf.AttrLocation) != nil ||
		e.Val(dwarf.AttrDeclaration) != nil) {
		return
	}
	o := follow(data, e)
	if o.file < 0 || int(o.file) >= len(files) || files[o.file] == nil {
		return
	}
	text := owner(files[o.file].Name, o.line, unit, dir)
	order := d.sections.file.ByteOrder
	switch {
	case len(location) == 9:
		at := order.Uint64(location[1:])
		d.variables[at] = append(d.variables[at], declaration{o.name, o.linkage, text, false})
	case len(location) == 5:
		at := uint64(order.Uint32(location[1:]))
		d.variables[at] = append(d.variables[at], declaration{o.name, o.linkage, text, false})
	case !fixed:
		d.folded[o.name] = append(d.folded[o.name], text)
	}
}

// children returns the depth that an entry adds for its children.
func children(e *dwarf.Entry) int {
	if e.Children {
		return 1
	}
	return 0
}

// root matches what precedes the source tree in paths: Debian's build folder, and those of the Rust
// library.
var root = regexp.MustCompile(`^.*/(linux-[0-9][^/]*|rustlib/src/rust)/|^/rustc/[0-9a-f]+/`)

// relative returns a path below the source root, as Debian's prefix map leaves it. A unit of Rust
// is named "x.rs/@/HASH-cgu.N"; x.rs is the file.
func relative(file, dir string) string {
	file, _, _ = strings.Cut(file, "/@/")
	file = strings.TrimPrefix(path.Clean(file), path.Clean(dir)+"/")
	return root.ReplaceAllString(file, "")
}

// declarationOf is what an entry and those that it refers to say about its declaration.
type declarationOf struct {
	file, line    int64
	name, linkage string
}

// follow follows abstract origins and specifications to the declaration.
func follow(data *dwarf.Data, e *dwarf.Entry) declarationOf {
	o := declarationOf{file: -1}
	r := data.Reader()
	for range 8 {
		if f, ok := e.Val(dwarf.AttrDeclFile).(int64); ok && o.file < 0 {
			o.file = f
		}
		if l, ok := e.Val(dwarf.AttrDeclLine).(int64); ok && o.line == 0 {
			o.line = l
		}
		if n, ok := e.Val(dwarf.AttrName).(string); ok && o.name == "" {
			o.name = n
		}
		if n, ok := e.Val(dwarf.AttrLinkageName).(string); ok && o.linkage == "" {
			o.linkage = n
		}
		next, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			next, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset)
		}
		if !ok {
			break
		}
		r.Seek(next)
		var err error
		if e, err = r.Next(); err != nil || e == nil {
			break
		}
	}
	return o
}

// judge compares a row with the declarations. It returns "" if they agree. Otherwise known reports
// whether the row is false, and why says what is wrong, or why it could not be judged.
func (d *declared) judge(r aliasRow) (why string, known bool) {
	var want []string
	got := r.file + " " + r.line + " " + r.unit
	at := d.sections.addresses(r)
	if len(at) == 0 {
		return "no symbol of this name is there", true
	}
	switch r.source {
	case "subprogram", "fragment":
		want = d.functions(r, at, r.source == "fragment")
	case "variable":
		for _, a := range at {
			want = append(want, texts(d.variables[a], r.symbol, false, false)...)
		}
	case "name":
		name, _, _ := strings.Cut(r.symbol, ".")
		want = d.folded[name]
	case "line":
		for _, a := range at {
			want = append(want, d.rows[a]...)
		}
		if want == nil {
			return "no row of a line table of assembly is at its address", false
		}
	case "file", "file symbol":
		return d.judgeFile(r, at)
	default:
		return "found by " + r.source, false
	}
	if slices.Contains(want, got) {
		return "", true
	}
	slices.Sort(want)
	return fmt.Sprintf("%s by %s; declared %q", got, r.source, slices.Compact(want)), true
}

// functions returns the declarations of functions of a row's name with a range at its address; else
// all with a range there.
func (d *declared) functions(r aliasRow, at []uint64, fragment bool) []string {
	var want []string
	for _, a := range at {
		here := d.owners[a]
		if here == nil && d.patchable {
			here = d.owners[a+8]
		}
		want = append(want, texts(here, r.symbol, true, fragment)...)
	}
	return want
}

// texts returns the declarations of a symbol's name; without one, all. Of functions, they must be
// fragments or none.
func texts(all []declaration, symbol string, functions, fragment bool) []string {
	name, _, _ := strings.Cut(symbol, ".")
	var named, any []string
	for _, p := range all {
		if functions && p.fragment != fragment {
			continue
		}
		any = append(any, p.text)
		if p.linkage == symbol || p.name == name {
			named = append(named, p.text)
		}
	}
	if named != nil {
		return named
	}
	return any
}

// judgeFile compares a row's unit with the symbol's STT_FILE.
func (d *declared) judgeFile(r aliasRow, at []uint64) (why string, known bool) {
	var sources []string
	for _, a := range at {
		sources = append(sources, d.sections.sources[fmt.Sprintf("%s %x", r.symbol, a)]...)
	}
	if len(sources) == 0 {
		return "a global symbol: no STT_FILE names its unit", false
	}
	for _, s := range sources {
		if path.Base(s) == path.Base(r.unit) && r.line == "0" {
			return "", true
		}
	}
	return fmt.Sprintf("unit %s by %s, STT_FILE %q", r.unit, r.source, sources), true
}

// cause returns why a symbol has no declaration.
func (d *declared) cause(r aliasRow) string {
	at := d.sections.addresses(r)
	if len(at) == 0 {
		return "no such symbol"
	}
	in := func(all []body) string {
		for _, b := range all {
			if b.low <= at[0] && at[0] < b.high {
				return b.name
			}
		}
		return ""
	}
	unit := in(d.covered)
	switch {
	case len(d.owners[at[0]]) > 0:
		return "a function begins there"
	case len(d.variables[at[0]]) > 0:
		return "a variable is there"
	case in(d.bodies) != "":
		return "a label inside a function"
	case strings.HasSuffix(unit, ".S"):
		return "in the range of an assembler's unit"
	case unit != "":
		return "in the range of a unit, not of a function"
	case strings.Contains("tTwW", r.kind):
		return "in the range of no unit"
	}
	return "data that no unit describes"
}

// relocation is what a relocation does to a field of width bytes: it sets it to the symbol's value,
// or adds or subtracts that. With leb, the field is a ULEB128. With bits, only the low bits change.
type relocation struct {
	width int
	sign  int // 0 sets, 1 adds, -1 subtracts
	leb   bool
	bits  int
}

// relocations are those in debugging information, by machine. (The psABI of each.)
var relocations = map[elf.Machine]map[uint32]relocation{
	elf.EM_X86_64:  {1: {width: 8}, 10: {width: 4}},
	elf.EM_386:     {1: {width: 4}},
	elf.EM_AARCH64: {257: {width: 8}, 258: {width: 4}},
	elf.EM_S390:    {22: {width: 8}, 4: {width: 4}},
	elf.EM_MIPS:    {18: {width: 8}, 2: {width: 4}},
	elf.EM_RISCV: {
		1: {width: 4}, 2: {width: 8},
		33: {width: 1, sign: 1}, 34: {width: 2, sign: 1}, 35: {width: 4, sign: 1},
		36: {width: 8, sign: 1}, 37: {width: 1, sign: -1}, 38: {width: 2, sign: -1},
		39: {width: 4, sign: -1}, 40: {width: 8, sign: -1}, 52: {width: 1, sign: -1, bits: 6},
		53: {width: 1, bits: 6}, 54: {width: 1}, 55: {width: 2}, 56: {width: 4},
		60: {width: 1, leb: true}, 61: {width: 1, leb: true, sign: -1},
	},
	elf.EM_LOONGARCH: {
		1: {width: 4}, 2: {width: 8},
		47: {width: 1, sign: 1}, 48: {width: 2, sign: 1}, 50: {width: 4, sign: 1},
		51: {width: 8, sign: 1}, 52: {width: 1, sign: -1}, 53: {width: 2, sign: -1},
		55: {width: 4, sign: -1}, 56: {width: 8, sign: -1}, 105: {width: 1, sign: 1, bits: 6},
		106: {width: 1, sign: -1, bits: 6}, 107: {width: 1, leb: true, sign: 1},
		108: {width: 1, leb: true, sign: -1},
	},
}

// apply changes a field; value is the symbol's value plus the addend.
func (k relocation) apply(order binary.ByteOrder, field []byte, value uint64) {
	if k.leb {
		old := uint64(0)
		if k.sign != 0 {
			old, _ = binary.Uvarint(field)
		}
		if k.sign < 0 {
			value = -value
		}
		value += old
		for i := range field { // the length stays
			more := field[i] & 0x80
			field[i] = byte(value&0x7f) | more
			if value >>= 7; more == 0 {
				break
			}
		}
		return
	}
	var old uint64
	switch k.width {
	case 1:
		old = uint64(field[0])
	case 2:
		old = uint64(order.Uint16(field))
	case 4:
		old = uint64(order.Uint32(field))
	case 8:
		old = order.Uint64(field)
	}
	switch {
	case k.sign > 0:
		value = old + value
	case k.sign < 0:
		value = old - value
	}
	if k.bits > 0 {
		mask := uint64(1)<<k.bits - 1
		value = old&^mask | value&mask
	}
	switch k.width {
	case 1:
		field[0] = byte(value)
	case 2:
		order.PutUint16(field, uint16(value))
	case 4:
		order.PutUint32(field, uint32(value))
	case 8:
		order.PutUint64(field, value)
	}
}

// standardDWARF applies relocations to whole sections and passes them to debug/dwarf.
func standardDWARF(f *elf.File, l *layout) (*dwarf.Data, error) {
	content := map[string][]byte{}
	index := map[int]string{}
	for i, s := range f.Sections {
		switch s.Name {
		case ".debug_abbrev", ".debug_info", ".debug_line", ".debug_ranges", ".debug_str",
			".debug_addr", ".debug_line_str", ".debug_rnglists", ".debug_str_offsets":
			data, err := s.Data()
			if err != nil {
				return nil, err
			}
			content[s.Name], index[i] = data, s.Name
		}
	}
	for _, s := range f.Sections {
		target, ok := index[int(s.Info)]
		if !ok || f.Type != elf.ET_REL || s.Type != elf.SHT_RELA && s.Type != elf.SHT_REL {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, err
		}
		if err := relocate(f, l, content[target], data, s.Type == elf.SHT_RELA); err != nil {
			return nil, fmt.Errorf("%s: %w", target, err)
		}
	}
	d, err := dwarf.New(content[".debug_abbrev"], nil, nil, content[".debug_info"],
		content[".debug_line"], nil, content[".debug_ranges"], content[".debug_str"])
	if err != nil {
		return nil, err
	}
	for _, name := range []string{
		".debug_addr", ".debug_line_str", ".debug_rnglists", ".debug_str_offsets",
	} {
		if data, ok := content[name]; ok {
			if err := d.AddSection(name, data); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

func relocate(f *elf.File, l *layout, content, data []byte, rela bool) error {
	word := 8
	if f.Class == elf.ELFCLASS32 {
		word = 4
	}
	read := func(b []byte) uint64 {
		if word == 4 {
			return uint64(f.ByteOrder.Uint32(b))
		}
		return f.ByteOrder.Uint64(b)
	}
	size := 2 * word
	if rela {
		size = 3 * word
	}
	for ; len(data) >= size; data = data[size:] {
		offset, info := read(data), read(data[word:])
		symbol, kind := info>>32, uint32(info)
		switch {
		case word == 4:
			symbol, kind = info>>8, uint32(info&0xff)
		case f.Machine == elf.EM_MIPS && f.ByteOrder == binary.LittleEndian:
			symbol, kind = info&0xffffffff, uint32(info>>56)
		case f.Machine == elf.EM_MIPS:
			kind = uint32(info & 0xff)
		}
		if kind == 0 {
			continue
		}
		k, ok := relocations[f.Machine][kind]
		if !ok || offset+uint64(k.width) > uint64(len(content)) {
			return fmt.Errorf("relocation of type %d at %#x", kind, offset)
		}
		field := content[offset:]
		var value uint64
		if symbol > 0 {
			s := l.symbols[symbol-1]
			value = s.Value
			if int(s.Section) < len(l.bases) {
				value += l.bases[s.Section]
			}
		}
		switch {
		case rela:
			value += read(data[2*word:])
		case k.width == 4:
			value += uint64(f.ByteOrder.Uint32(field))
		default:
			return fmt.Errorf("relocation of type %d without an addend", kind)
		}
		k.apply(f.ByteOrder, field, value)
	}
	return nil
}
