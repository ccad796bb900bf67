package dwarf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"kas/elf"
)

// Splits says where the split units of an object are (section 7.3.2). A skeleton unit in the object
// has the addresses and the line table; its split unit has the entries, in a .dwo file or in a .dwp
// file of many units. Both have the same ID.
type Splits struct {
	// Package is the path of the object's .dwp file, which is optional. It is searched first.
	Package string

	// Paths returns where the .dwo file of a unit may be, from its DW_AT_dwo_name and
	// DW_AT_comp_dir. Either may be "".
	Paths func(name, compDir string) []string

	// Set by Locate.
	Inputs  []Input // the files that were looked for, in this order; a path may be repeated
	Missing []error // one for each unit whose split unit was not found or is damaged
}

// Input is a file that was looked for.
type Input struct {
	Path     string
	Identity elf.Identity // the zero value if there is none
}

// splitFile is an open .dwo or .dwp file.
type splitFile struct {
	path string
	data *Data
	byID map[uint64]*Unit // of a .dwo file
	pack *packageIndex    // of a .dwp file
	err  error            // why the file cannot be used
}

// skeleton reports whether the entries of the unit are in another file (section 3.1.2). Before
// DWARF 5, GNU compilers mark such a unit with DW_AT_GNU_dwo_name.
func (u *Unit) skeleton() bool {
	return u.d.owner == nil && u.dwoName.form != 0 && (u.kind == unitSkeleton || u.version < 5)
}

// whole returns the unit that has the entries: u, or the split unit of a skeleton. If there is no
// split unit it returns u. The result is valid until the next call.
func (u *Unit) whole() *Unit {
	d := u.d
	if d.Splits == nil || u.noSplit || !u.skeleton() {
		return u
	}
	d.check()
	split, err := d.findSplit(u)
	if err != nil {
		u.lacksSplit(err)
		return u
	}
	return split
}

// lacksSplit notes that the split unit cannot be used.
func (u *Unit) lacksSplit(why error) {
	u.noSplit = true
	u.d.Splits.Missing = append(u.d.Splits.Missing, why)
}

// findSplit opens the file that has the split unit of a skeleton.
func (d *Data) findSplit(skeleton *Unit) (*Unit, error) {
	var errs []error
	name := string(skeleton.str(skeleton.dwoName))
	if d.Splits.Package != "" {
		if d.packed == nil {
			d.packed = d.openSplit(d.Splits.Package)
		}
		split, err := d.packed.unit(skeleton)
		if split != nil {
			return split, nil
		}
		if err == nil {
			err = fmt.Errorf("%s: no unit with ID %#x", d.packed.path, skeleton.id)
		}
		errs = append(errs, err)
	}
	paths := d.Splits.Paths(name, skeleton.CompDir())
	for _, path := range paths {
		d.spend(4 * uint64(len(path))) // of the errors
	}
	for _, path := range paths {
		if d.split == nil || d.split.path != path {
			d.split.close(d)
			d.split = d.openSplit(path)
		}
		split, err := d.split.unit(skeleton)
		switch {
		case split != nil:
			return split, nil
		case err == nil:
			err = fmt.Errorf("%s: no unit with ID %#x: the file is of another compilation",
				path, skeleton.id)
		}
		errs = append(errs, err)
	}
	// A file that is there but cannot be used says more than files that are not.
	for _, err := range errs {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if len(paths) == 0 {
		return nil, errors.New("a unit does not name its .dwo file")
	}
	return nil, fmt.Errorf("%w: %s", fs.ErrNotExist, strings.Join(paths, ", "))
}

// openSplit opens a .dwo or .dwp file. Its error is for each unit that looks for the file.
func (d *Data) openSplit(path string) *splitFile {
	s := &splitFile{path: path}
	if s.err = s.open(d); s.err != nil {
		s.close(d)
		s.err = fmt.Errorf("%s: %w", path, s.err)
	}
	return s
}

// allowSplit adds a file of split units to what is allowed, once: units that name two files in turn
// open each of them again and again.
func (d *Data) allowSplit(path string, f *elf.File) {
	if !d.opened[path] {
		if d.opened == nil {
			d.opened = map[string]bool{}
		}
		d.opened[path] = true
		d.limit += freeSteps + stepsPerByte*f.FileSize()
	}
}

func (s *splitFile) open(d *Data) error {
	err := elf.CheckRegular(s.path)
	d.spend(stepsPerOpen)
	d.check()
	input := Input{s.path, elf.IdentifyTarget(s.path)}
	var f *elf.File
	if err == nil {
		if f, err = elf.Open(s.path); err == nil {
			input.Identity = f.Identity()
			d.allowSplit(s.path, f)
		}
	}
	d.Splits.Inputs = append(d.Splits.Inputs, input)
	if err != nil {
		return err
	}
	s.data = &Data{f: f, big: f.Big, path: s.path, owner: d, addr: d.addr, ranges: d.ranges}
	if f.Machine != d.f.Machine || f.Is64 != d.f.Is64 || f.Big != d.f.Big {
		return errors.New("for another machine")
	}
	err = s.data.sections(map[string]**elf.Contents{
		".debug_info.dwo": &s.data.info, ".debug_abbrev.dwo": &s.data.abbrev,
		".debug_str.dwo": &s.data.str, ".debug_str_offsets.dwo": &s.data.strOffsets,
		".debug_rnglists.dwo": &s.data.rnglists,
	})
	if err != nil {
		return err
	}
	s.data.line, s.data.lineStr = &elf.Contents{}, &elf.Contents{}
	if f.DebugSection(".debug_cu_index") != 0 {
		s.pack, err = s.data.readPackageIndex()
		return err
	}
	if len(s.data.info.Data) == 0 {
		return errors.New("no .debug_info.dwo section")
	}
	if err := s.data.readUnits(); err != nil {
		return err
	}
	s.byID = map[uint64]*Unit{}
	for i := range s.data.units {
		if u := &s.data.units[i]; u.kind == unitSplitCompile || u.version < 5 {
			s.byID[u.id] = u
		}
	}
	return nil
}

// unit returns the split unit of a skeleton, nil if the file does not have it.
func (s *splitFile) unit(skeleton *Unit) (*Unit, error) {
	if s.err != nil {
		return nil, s.err
	}
	split := s.byID[skeleton.id]
	if s.pack != nil {
		var err error
		if split, err = s.data.packedUnit(s.pack, skeleton.id); err != nil {
			return nil, fmt.Errorf("%s: %w", s.path, err)
		}
	}
	if split == nil {
		return nil, nil
	}
	if split.version != skeleton.version || split.addrSize != skeleton.addrSize {
		return nil, fmt.Errorf("%s: unit of DWARF version %d with addresses of %d bytes, "+
			"want version %d and %d bytes", s.path, split.version, split.addrSize,
			skeleton.version, skeleton.addrSize)
	}
	split.inherit(skeleton)
	return split, nil
}

// inherit sets what a split unit has from its skeleton (section 3.1.3): its addresses, its folder
// and its line table.
func (u *Unit) inherit(skeleton *Unit) {
	u.from = skeleton
	u.addrBase, u.spans = skeleton.addrBase, skeleton.spans
	// The name is used after the file is unmapped.
	u.name = bytes.Clone(u.name)
	if u.compDir = bytes.Clone(u.compDir); len(skeleton.compDir) > 0 {
		u.compDir = skeleton.compDir
	}
}

// named adds the path of a file of split units to an error.
func (d *Data) named(err error) error { return fmt.Errorf("%s: %w", d.path, err) }

// close unmaps the file. Decoding an entry of it afterwards gives nothing, but is harmless.
func (s *splitFile) close(d *Data) {
	if s == nil || s.data == nil {
		return
	}
	none := &elf.Contents{}
	s.data.info, s.data.abbrev, s.data.str, s.data.strOffsets, s.data.rnglists =
		none, none, none, none, none
	for i := range s.data.units {
		s.data.units[i].unload()
	}
	s.data.f.Close()
	s.data = nil
}

// closeSplits unmaps the files with split units.
func (d *Data) closeSplits() {
	d.split.close(d)
	d.packed.close(d)
	d.split, d.packed = nil, nil
}

// mayDeclare reports whether a skeleton may have a variable at the address of a data target. The
// address of each variable of a unit is in .debug_addr.
func (l *locator) mayDeclare(u *Unit) bool {
	d := l.d
	if d.Splits == nil {
		return false
	}
	if l.pooled == nil {
		l.pooled = map[uint64]bool{}
		for i := range d.units {
			if u := &d.units[i]; u.skeleton() {
				l.pools = append(l.pools, u.addrBase)
			}
		}
		slices.Sort(l.pools)
	}
	has, ok := l.pooled[u.addrBase]
	if !ok {
		end := uint64(len(d.addr.Data))
		n := sort.Search(len(l.pools), func(i int) bool { return l.pools[i] > u.addrBase })
		if n < len(l.pools) {
			end = min(end, l.pools[n])
		}
		has = l.pointsToData(u, end)
		l.pooled[u.addrBase] = has
	}
	return has
}

// pointsToData reports whether one of the unit's addresses in .debug_addr is that of a data target.
// The addresses end at offset end.
func (l *locator) pointsToData(u *Unit, end uint64) bool {
	// Variables that clang merges have the address of the first one, plus an offset.
	const merged = 4096
	d, size := l.d, uint64(u.addrSize)
	for at := u.addrBase; at < end && end-at >= size; at += size {
		d.spend(size)
		address, ok := d.field(d.addr, at, u.addrSize)
		if !ok || address == elf.NoAddress {
			continue
		}
		i := sort.Search(len(l.data), func(i int) bool {
			return l.targets[l.data[i]].Address >= address
		})
		if i < len(l.data) && l.targets[l.data[i]].Address-address < merged {
			return true
		}
	}
	return false
}

// discard removes the candidates from a unit that turned out to be damaged.
func (l *locator) discard(u *Unit) {
	for _, i := range l.changed {
		if l.found[i].entry.unit == u {
			l.found[i] = candidate{}
		}
	}
	l.changed = l.changed[:0]
}

// primaryFile returns the source file of a skeleton, which has no name, from its line table: file 0
// in DWARF 5; before, the file that is named as the .dwo file. It returns "" if there is none.
func (u *Unit) primaryFile() string {
	t := u.lineTable()
	if t == nil {
		return ""
	}
	defer func() { u.lines = nil }()
	if t.version >= 5 {
		return u.file(0)
	}
	want := stem(string(u.str(u.dwoName)))
	for i, f := range t.files {
		u.d.spend(uint64(len(f.name)) + 1)
		if stem(string(f.name)) == want {
			return u.file(uint64(i) + 1)
		}
	}
	return ""
}

func stem(file string) string { return strings.TrimSuffix(path.Base(file), path.Ext(file)) }

// listsAny reports whether the line table of a skeleton has a file with one of the base names.
func listsAny[T any](u *Unit, names map[string]T) bool {
	t := u.lineTable()
	if t == nil {
		return false
	}
	defer func() { u.lines = nil }()
	return slices.ContainsFunc(t.files, func(f fileEntry) bool {
		u.d.spend(uint64(len(f.name)) + 1)
		u.d.check()
		_, ok := names[path.Base(string(f.name))]
		return ok
	})
}

// packageIndex is the .debug_cu_index section of a .dwp file (section 7.3.5.3).
type packageIndex struct {
	c       *elf.Contents
	slots   uint64
	units   uint64
	columns []uint32 // section of each column
}

// Sections in a package index (section 7.3.5.3). Version 2, of GNU compilers, has other numbers for
// sections that kas does not read.
const (
	packInfo       = 1
	packAbbrev     = 3
	packStrOffsets = 6
	packRnglists   = 8
)

const packHeader = 16

func (d *Data) readPackageIndex() (*packageIndex, error) {
	c, err := d.f.Contents(".debug_cu_index")
	if err != nil {
		return nil, err
	}
	r := d.reader(c, 0)
	version := r.uint(4)
	if version != 2 { // version 5 has a half-word and padding
		r.at = 0
		version = r.uint(2)
		r.skip(2)
	}
	columns := r.uint(4)
	p := &packageIndex{c: c, units: r.uint(4), slots: r.uint(4)}
	size := uint64(len(c.Data))
	if r.bad || version != 2 && version != 5 {
		return nil, fmt.Errorf("unit index of version %d", version)
	}
	if p.slots > size || p.units > size || columns > 16 || p.slots&(p.slots-1) != 0 ||
		packHeader+12*p.slots+4*columns+8*columns*p.units > size {
		return nil, errors.New("damaged unit index")
	}
	r.skip(12 * p.slots)
	for range columns {
		p.columns = append(p.columns, uint32(r.uint(4)))
	}
	return p, nil
}

// row returns the row of a unit, 0 if the package does not have it (section 7.3.5.3).
func (p *packageIndex) row(d *Data, id uint64) uint64 {
	at := id & (p.slots - 1)
	step := id>>32&(p.slots-1) | 1
	for range p.slots {
		d.spend(1)
		row := d.reader(p.c, packHeader+8*p.slots+4*at)
		n := row.uint(4)
		if n == 0 || n > p.units {
			return 0
		}
		signature := d.reader(p.c, packHeader+8*at)
		if signature.uint(8) == id {
			return n
		}
		at = (at + step) & (p.slots - 1)
	}
	return 0
}

// packedUnit reads the unit with an ID from a .dwp file; nil if it is not there.
func (d *Data) packedUnit(p *packageIndex, id uint64) (*Unit, error) {
	n := p.row(d, id)
	if n == 0 {
		return nil, nil
	}
	columns := uint64(len(p.columns))
	r := d.reader(p.c, packHeader+12*p.slots+4*columns+4*columns*(n-1))
	offset := map[uint32]uint64{}
	for _, section := range p.columns {
		offset[section] = r.uint(4)
	}
	u, err := d.readUnit(offset[packInfo])
	if err != nil {
		return nil, err
	}
	u.abbrevOffset += offset[packAbbrev]
	u.strOffsetsStart = offset[packStrOffsets]
	if u.version >= 5 {
		u.rnglistsStart = offset[packRnglists]
	}
	d.units = []Unit{u}
	if err := d.units[0].readEntry(&abbrevs{}); err != nil {
		return nil, err
	}
	if d.units[0].id != id {
		return nil, d.damaged(".debug_cu_index", packHeader, "ID of a unit")
	}
	return &d.units[0], nil
}
