package dwarf

import (
	"bytes"
	"fmt"
	"sort"
)

// Unit is a compile unit (section 3.1.1).
type Unit struct {
	d            *Data
	offset, end  uint64 // in .debug_info
	die          uint64 // offset of the unit entry
	abbrevOffset uint64
	version      int
	addrSize     int
	offsetSize   int
	kind         uint8
	sizes        *formSizes

	// From the unit entry.
	name, compDir  []byte
	producer       value
	language       uint64
	stmtList       value
	lowPC          value
	spans          []span
	strOffsetsBase uint64
	addrBase       uint64
	rnglistsBase   uint64
	rangesBase     uint64 // of the ranges of the split unit, in GNU DWARF 4
	dwoName        value
	id             uint64 // of a skeleton or split unit
	firstChild     uint64
	hasChildren    bool
	partial        bool // its entries belong to the units that import it (section 3.1.1)

	// Read when needed.
	abbrevs         *abbrevs
	lines           *lineTable
	linesUnreadable bool
	noSplit         bool // a skeleton whose split unit cannot be used

	// Of a split unit.
	from            *Unit  // its skeleton
	strOffsetsStart uint64 // the unit's part of .debug_str_offsets.dwo in a .dwp file
	rnglistsStart   uint64 // the unit's part of .debug_rnglists.dwo in a .dwp file
}

// Name returns the primary source file as the compiler wrote it: the file that was compiled, in
// Rust the root file of the crate.
func (u *Unit) Name() string {
	if u.name == nil && u.skeleton() && !u.d.spent() {
		return u.primaryFile()
	}
	return string(u.name)
}

// CompDir returns the folder that relative paths of the unit start from.
func (u *Unit) CompDir() string { return string(u.compDir) }

// Producer returns DW_AT_producer: the compiler and its options.
func (u *Unit) Producer() string {
	if u.d.spent() {
		return ""
	}
	return string(u.str(u.producer))
}

// Assembly reports whether the unit was assembled, not compiled.
func (u *Unit) Assembly() bool {
	return u.language == langMipsAssembler || u.language == langAssembly
}

// readUnits reads the headers and the unit entries of all units.
func (d *Data) readUnits() error {
	for at := uint64(0); at < uint64(len(d.info.Data)); {
		d.spend(stepsPerUnit)
		d.check()
		u, err := d.readUnit(at)
		if err != nil {
			return err
		}
		d.units = append(d.units, u)
		at = u.end
	}
	var table abbrevs
	for i := range d.units {
		if err := d.units[i].readEntry(&table); err != nil {
			return err
		}
		d.check()
	}
	return nil
}

// Unit types (section 7.5.1). Headers before DWARF 5 have none.
const (
	unitCompile      = 0x01
	unitType         = 0x02
	unitSkeleton     = 0x04
	unitSplitCompile = 0x05
	unitSplitType    = 0x06
)

// readUnit reads the unit header at an offset of .debug_info (section 7.5.1).
func (d *Data) readUnit(at uint64) (Unit, error) {
	u := Unit{d: d, offset: at}
	r := d.reader(d.info, at)
	u.end, u.offsetSize = r.initialLength()
	u.version = int(r.uint(2))
	if r.bad || u.end <= at {
		return u, d.damaged(".debug_info", at, "unit header")
	}
	if u.version < 2 || u.version > 5 {
		return u, d.damaged(".debug_info", at, fmt.Sprintf("unit of DWARF version %d", u.version))
	}
	u.kind = unitCompile
	if u.version >= 5 {
		u.kind = r.u8()
		u.addrSize = int(r.u8())
	}
	var ok bool
	if u.abbrevOffset, ok = d.field(d.info, r.at, u.offsetSize); !ok {
		return u, d.damaged(".debug_info", at, "unit header")
	}
	r.skip(uint64(u.offsetSize))
	if u.version < 5 {
		u.addrSize = int(r.u8())
	}
	switch u.kind {
	case unitSkeleton, unitSplitCompile:
		u.id = r.uint(8)
	case unitType, unitSplitType:
		r.skip(8 + uint64(u.offsetSize)) // type signature and type offset
	}
	if r.bad || u.addrSize != 4 && u.addrSize != 8 || r.at > u.end {
		return u, d.damaged(".debug_info", at, "unit header")
	}
	u.die = r.at
	u.sizes = d.sizesOf(u.version, u.addrSize, u.offsetSize)
	return u, nil
}

// readEntry reads the attributes of the unit entry. table provides memory for its abbreviation.
func (u *Unit) readEntry(table *abbrevs) error {
	d := u.d
	r := d.entries(u.die)
	code := r.uleb()
	if code == 0 { // an empty unit
		return nil
	}
	if !u.readAbbrevs(table, code) || len(table.others) == 0 {
		return d.damaged(".debug_info", u.die, "abbreviation of a unit")
	}
	a := &table.others[0]
	var e entry
	u.decode(&r, a, &e)
	if r.bad || r.at > u.end {
		return d.damaged(".debug_info", u.die, "unit entry")
	}
	d.spend(r.at - u.die)
	u.firstChild, u.hasChildren = r.at, a.children
	u.partial = a.tag == tagPartialUnit
	// The bases come first: other attributes may be read through them (section 3.1.1).
	u.readBases(&e)
	u.dwoName = e.vals[slotDwoName]
	if u.version < 5 {
		u.id, _ = u.number(e.vals[slotDwoID])
	}
	u.name = u.str(e.vals[slotName])
	u.compDir = u.str(e.vals[slotCompDir])
	d.spend(4 * uint64(len(u.name)+len(u.compDir))) // callers copy them
	u.producer = e.vals[slotProducer]
	u.language, _ = u.number(e.vals[slotLanguage])
	if u.language == langRust {
		u.name = crateRoot(u.name)
	}
	u.stmtList = e.vals[slotStmtList]
	u.lowPC = e.vals[slotLowPC]
	u.spans = u.entrySpans(&e)
	if u.Assembly() {
		u.name = u.assembled()
	}
	return nil
}

// crateRoot returns the root source file of a crate from the name of a unit of rustc. rustc adds
// "/@/" and the name of the codegen unit, which has a hash that differs between compilers.
func crateRoot(name []byte) []byte {
	if i := bytes.LastIndex(name, []byte("/@/")); i > 0 {
		return name[:i]
	}
	return name
}

// readBases sets the bases of the unit's tables. Without the attribute, the base is the size of the
// table's header (sections 7.26 to 7.28). A split unit has no such attributes; its tables begin at
// its part of the section (section 7.3.2.2). GNU's tables before DWARF 5 have no header.
func (u *Unit) readBases(e *entry) {
	header := 2 * uint64(u.offsetSize)
	if u.d.owner != nil {
		if u.version < 5 {
			header = 0
		}
		u.strOffsetsBase = u.strOffsetsStart + header
		u.rnglistsBase = u.rnglistsStart + header + 4
		return
	}
	u.strOffsetsBase = u.tableBase(e.vals[slotStrOffsetsBase], header)
	u.rnglistsBase = u.tableBase(e.vals[slotRnglistsBase], 0)
	u.rangesBase = u.tableBase(e.vals[slotRangesBase], 0)
	if u.version < 5 {
		header = 0
	}
	u.addrBase = u.tableBase(e.vals[slotAddrBase], header)
}

// assembled returns the primary source file of a unit of assembly. Assemblers write the first file
// with code as DW_AT_name, which may be an included one. In DWARF 5 file 0 is the primary file
// (section 6.2.4); clang follows that. GNU as repeats the first file with code there; if that is a
// header, the primary file is the only file of assembly in the table.
func (u *Unit) assembled() []byte {
	t := u.lineTable()
	u.lines = nil
	if t == nil {
		return u.name
	}
	name := u.name
	if t.version >= 5 && len(t.files) > 0 && len(t.files[0].name) > 0 {
		name = []byte(t.path(0))
	}
	if assemblyFile(name) {
		return name
	}
	only := ""
	for i := range t.files {
		file := t.path(i)
		u.d.spend(uint64(len(file)))
		u.d.check()
		switch {
		case !assemblyFile([]byte(file)) || file == only:
		case only != "":
			return name
		default:
			only = file
		}
	}
	if only == "" {
		return name
	}
	return []byte(only)
}

// assemblyFile reports whether a file's name is that of assembly, not of a header.
func assemblyFile(name []byte) bool {
	return bytes.HasSuffix(name, []byte(".S")) || bytes.HasSuffix(name, []byte(".s"))
}

// tableBase returns the value of a base attribute, or absent if the unit does not have it.
func (u *Unit) tableBase(v value, absent uint64) uint64 {
	if n, ok := u.number(v); ok {
		return n
	}
	return absent
}

// unitAt returns the unit that contains an offset of .debug_info, nil if there is none.
func (d *Data) unitAt(offset uint64) *Unit {
	i := sort.Search(len(d.units), func(i int) bool { return d.units[i].end > offset })
	if i < len(d.units) && d.units[i].offset <= offset {
		return &d.units[i]
	}
	return nil
}

// load reads the abbreviations of the unit, unless they are in memory.
func (u *Unit) load() error {
	if u.abbrevs != nil {
		return nil
	}
	table := &abbrevs{}
	if n := len(u.d.spare); n > 0 {
		table, u.d.spare = u.d.spare[n-1], u.d.spare[:n-1]
	}
	if !u.readAbbrevs(table, 0) {
		return u.d.damaged(".debug_abbrev", u.abbrevOffset, "abbreviation table")
	}
	u.abbrevs = table
	return nil
}

// unload releases the abbreviations and the line table.
func (u *Unit) unload() {
	if u.abbrevs != nil {
		u.d.spare = append(u.d.spare, u.abbrevs)
	}
	u.abbrevs, u.lines = nil, nil
}
