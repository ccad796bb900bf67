//go:build kernel

package main

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// declared is what the standard library's reader finds in an object: the declarations at each
// address where a subprogram's range begins or a variable is.
type declared struct {
	bases     map[string][]uint64 // address of each section of that name; base if relocatable
	owners    map[uint64][]declaration
	variables map[uint64][]declaration
	folded    map[string][]string // by name: functions and file-scope variables without an address
	order     binary.ByteOrder
	callOps   bool // arm64: a symbol may be 8 bytes before its function's low_pc
}

// declaration is a name and "file line unit" of its declaration, as an alias should have them.
type declaration struct{ name, text string }

// base gives each section of a relocatable object an address of its own.
func base(section int) uint64 { return uint64(section) << 36 }

// declarations reads all subprograms of an object with debug/dwarf. It shares no code with kas: it
// applies relocations to whole sections and reads every unit.
func declarations(name string) (*declared, error) {
	f, err := elf.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	relocatable := f.Type == elf.ET_REL
	d := &declared{
		bases: map[string][]uint64{}, owners: map[uint64][]declaration{},
		folded: map[string][]string{}, variables: map[uint64][]declaration{},
		order: f.ByteOrder, callOps: f.Machine == elf.EM_AARCH64,
	}
	for i, s := range f.Sections {
		if relocatable {
			d.bases[s.Name] = append(d.bases[s.Name], base(i))
		} else {
			d.bases[s.Name] = []uint64{0}
		}
	}
	data, err := standardDWARF(f, relocatable)
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
			return d, nil
		}
		if cu.Tag != dwarf.TagCompileUnit {
			return nil, fmt.Errorf("unit of tag %v", cu.Tag)
		}
		if err := d.unit(data, r, cu); err != nil {
			return nil, err
		}
	}
}

func (d *declared) unit(data *dwarf.Data, r *dwarf.Reader, cu *dwarf.Entry) error {
	unit, _ := cu.Val(dwarf.AttrName).(string)
	dir, _ := cu.Val(dwarf.AttrCompDir).(string)
	lines, err := data.LineReader(cu)
	if err != nil {
		return err
	}
	type function struct {
		name   string
		entry  uint64
		starts []uint64
		file   string
		line   int64
	}
	var functions []function
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
		if e.Tag == dwarf.TagVariable {
			d.variable(data, lines.Files(), e, unit, dir, depth == 1+children(e))
		}
		if e.Tag == dwarf.TagSubprogram {
			ranges, err := data.Ranges(e)
			if err != nil {
				return err
			}
			file, line, name := origin(data, e)
			files := lines.Files()
			known := file >= 0 && int(file) < len(files) && files[file] != nil
			if known && len(ranges) == 0 && e.Val(dwarf.AttrName) != nil &&
				e.Val(dwarf.AttrDeclaration) == nil {
				d.folded[name] = append(d.folded[name], owner(files[file].Name, line, unit, dir))
			}
			if known && len(ranges) > 0 {
				fn := function{name: name, entry: ranges[0][0]}
				if low, ok := e.Val(dwarf.AttrLowpc).(uint64); ok {
					fn.entry = low
				}
				for _, g := range ranges {
					fn.starts = append(fn.starts, g[0])
				}
				fn.file, fn.line = files[file].Name, line
				functions = append(functions, fn)
			}
		}
	}
	if len(functions) == 0 {
		return nil
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
		if entry.EndSequence || entry.File == nil || !wanted[entry.Address] {
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
		for _, start := range fn.starts {
			d.owners[start] = append(d.owners[start],
				declaration{fn.name, owner(fn.file, line, unit, dir)})
		}
	}
	return nil
}

func owner(file string, line int64, unit, dir string) string {
	return relative(file, dir) + " " + strconv.FormatInt(line, 10) + " " + relative(unit, dir)
}

// variable records the declaration of a variable that has a fixed address.
func (d *declared) variable(
	data *dwarf.Data, files []*dwarf.LineFile, e *dwarf.Entry, unit, dir string, outer bool,
) {
	const opAddr = 0x03
	file, line, name := origin(data, e)
	if file < 0 || int(file) >= len(files) || files[file] == nil {
		return
	}
	text := owner(files[file].Name, line, unit, dir)
	location, ok := e.Val(dwarf.AttrLocation).([]byte)
	switch {
	case len(location) == 9 && location[0] == opAddr:
		address := d.order.Uint64(location[1:])
		d.variables[address] = append(d.variables[address], declaration{name, text})
	case !ok && outer && e.Val(dwarf.AttrLocation) == nil && e.Val(dwarf.AttrDeclaration) == nil:
		d.folded[name] = append(d.folded[name], text)
	}
}

// children returns the depth that an entry adds for its children.
func children(e *dwarf.Entry) int {
	if e.Children {
		return 1
	}
	return 0
}

// relative returns a path below the source root, as Debian's prefix map leaves it. The library
// joins it with the compilation folder.
func relative(file, dir string) string {
	file = strings.TrimPrefix(path.Clean(file), path.Clean(dir)+"/")
	if i := strings.Index(file, "/linux-6."); i >= 0 {
		_, file, _ = strings.Cut(file[i+1:], "/")
	}
	return file
}

// origin follows abstract origins and specifications to the declaration.
func origin(data *dwarf.Data, e *dwarf.Entry) (file, line int64, name string) {
	file = -1
	r := data.Reader()
	for range 8 {
		if f, ok := e.Val(dwarf.AttrDeclFile).(int64); ok && file < 0 {
			file = f
		}
		if l, ok := e.Val(dwarf.AttrDeclLine).(int64); ok && line == 0 {
			line = l
		}
		if n, ok := e.Val(dwarf.AttrName).(string); ok && name == "" {
			name = n
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
	return file, line, name
}

// of returns the possible declarations of the row's symbol: those of its name at its address; else
// those of its name without an address, which the compiler leaves when it merges equal functions;
// else all at its address.
func (d *declared) of(r aliasRow) ([]string, bool) {
	address, err := strconv.ParseUint(r.address, 16, 64)
	if err != nil {
		return nil, false
	}
	name, _, _ := strings.Cut(r.symbol, ".")
	var named, any []string
	for _, b := range d.bases[r.section] {
		at := b + address
		here := append(d.owners[at], d.variables[at]...)
		if d.owners[at] == nil && d.callOps {
			here = append(here, d.owners[at+8]...)
		}
		for _, p := range here {
			any = append(any, p.text)
			if p.name == name {
				named = append(named, p.text)
			}
		}
	}
	switch {
	case named != nil:
		return named, true
	case d.folded[name] != nil:
		return d.folded[name], true
	}
	return any, any != nil
}

// relocation is a relocation type of a machine.
type relocation struct {
	machine elf.Machine
	kind    uint32
}

// absolute has the width in bytes of the relocations in debugging information.
var absolute = map[relocation]int{
	{elf.EM_X86_64, uint32(elf.R_X86_64_64)}:      8,
	{elf.EM_X86_64, uint32(elf.R_X86_64_32)}:      4,
	{elf.EM_AARCH64, uint32(elf.R_AARCH64_ABS64)}: 8,
	{elf.EM_AARCH64, uint32(elf.R_AARCH64_ABS32)}: 4,
	{elf.EM_S390, uint32(elf.R_390_64)}:           8,
	{elf.EM_S390, uint32(elf.R_390_32)}:           4,
}

// standardDWARF applies relocations to whole sections and passes them to debug/dwarf.
func standardDWARF(f *elf.File, relocatable bool) (*dwarf.Data, error) {
	content := map[string][]byte{}
	index := map[int]string{}
	for i, s := range f.Sections {
		if !strings.HasPrefix(s.Name, ".debug_") {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, err
		}
		content[s.Name], index[i] = data, s.Name
	}
	if relocatable {
		syms, err := f.Symbols()
		if err != nil {
			return nil, err
		}
		for _, s := range f.Sections {
			target, ok := index[int(s.Info)]
			if s.Type != elf.SHT_RELA || !ok {
				continue
			}
			data, err := s.Data()
			if err != nil {
				return nil, err
			}
			for ; len(data) >= 24; data = data[24:] {
				offset, info := f.ByteOrder.Uint64(data), f.ByteOrder.Uint64(data[8:])
				addend := f.ByteOrder.Uint64(data[16:])
				var value uint64
				if n := info >> 32; n > 0 {
					sym := syms[n-1]
					value = sym.Value
					if int(sym.Section) < len(f.Sections) &&
						f.Sections[sym.Section].Flags&elf.SHF_ALLOC != 0 {
						value += base(int(sym.Section))
					}
				}
				switch absolute[relocation{f.Machine, uint32(info)}] {
				case 8:
					f.ByteOrder.PutUint64(content[target][offset:], value+addend)
				case 4:
					f.ByteOrder.PutUint32(content[target][offset:], uint32(value+addend))
				}
			}
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
