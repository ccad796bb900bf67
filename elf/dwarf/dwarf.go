// Package dwarf answers one question: where does the source declare the symbol at this address? It reads DWARF
// versions 2 to 5 through the relocations of its object, opens only the units that hold an address in question, and
// skips whatever cannot declare a symbol.
//
// Section numbers cite "DWARF Debugging Information Format", version 5.
package dwarf

import (
	"fmt"
	"sort"

	"kas/elf"
)

// Data is the debugging information of one object. It aliases the object's bytes.
type Data struct {
	f     *elf.File
	big   bool
	units []Unit
	sizes map[[3]int]*formSizes
	spare []*abbrevs // tables whose memory is free
	steps lineSteps  // of the line table read last

	info, abbrev, line, str, lineStr, strOffsets, addr, rnglists, ranges *elf.Contents
}

// Unit is a compile unit (section 3.1.1).
type Unit struct {
	d            *Data
	offset, end  uint64 // in .debug_info
	die          uint64 // its unit entry
	abbrevOffset uint64
	version      int
	addrSize     int
	offsetSize   int
	kind         uint8
	sizes        *formSizes

	name, compDir   []byte
	producer        value
	language        uint64
	stmtList        value
	lowPC           value
	spans           []span
	strOffsetsBase  uint64
	addrBase        uint64
	rnglistsBase    uint64
	abbrevs         *abbrevs
	lines           *lineTable
	firstChild      uint64
	hasChildren     bool
	linesUnreadable bool
}

// span is a range of addresses, end not included.
type span struct{ start, end uint64 }

// Unit types of DWARF 5 headers (section 7.5.1); earlier versions have none.
const (
	unitCompile      = 0x01
	unitType         = 0x02
	unitPartial      = 0x03
	unitSkeleton     = 0x04
	unitSplitCompile = 0x05
	unitSplitType    = 0x06
)

// New reads the headers and unit entries of .debug_info. It returns nil without an error if the object has none.
// Damage is an *elf.FormatError.
func New(f *elf.File) (*Data, error) {
	d := &Data{f: f, big: f.Big}
	for _, s := range []struct {
		name string
		to   **elf.Contents
	}{
		{".debug_info", &d.info}, {".debug_abbrev", &d.abbrev}, {".debug_line", &d.line}, {".debug_str", &d.str},
		{".debug_line_str", &d.lineStr}, {".debug_str_offsets", &d.strOffsets}, {".debug_addr", &d.addr},
		{".debug_rnglists", &d.rnglists}, {".debug_ranges", &d.ranges},
	} {
		c, err := f.Contents(s.name)
		if err != nil {
			return nil, err
		}
		*s.to = c
	}
	if len(d.info.Data) == 0 {
		return nil, nil
	}
	if err := d.readUnits(); err != nil {
		return nil, err
	}
	return d, nil
}

// damaged reports bytes of a debug section that mean nothing.
func (d *Data) damaged(section string, at uint64, what string) error {
	offset := at
	if i := d.f.DebugSection(section); i > 0 {
		offset += d.f.Sections[i].Offset
	}
	return &elf.FormatError{Offset: offset, Msg: fmt.Sprintf("damaged %s: %s at %#x", section, what, at)}
}

func (d *Data) reader(c *elf.Contents, at uint64) reader {
	return reader{data: c.Data, at: at, big: d.big}
}

// field reads a field that may have a relocation.
func (d *Data) field(c *elf.Contents, at uint64, size int) (uint64, bool) {
	if at > uint64(len(c.Data)) || uint64(len(c.Data))-at < uint64(size) {
		return 0, false
	}
	return c.Uint(at, size), true
}

func (d *Data) readUnits() error {
	for at := uint64(0); at < uint64(len(d.info.Data)); {
		u := Unit{d: d, offset: at}
		r := d.reader(d.info, at)
		u.end, u.offsetSize = r.initialLength()
		u.version = int(r.uint(2))
		if r.bad || u.end <= at {
			return d.damaged(".debug_info", at, "unit header")
		}
		if u.version < 2 || u.version > 5 {
			return d.damaged(".debug_info", at, fmt.Sprintf("unit of DWARF version %d", u.version))
		}
		u.kind = unitCompile
		if u.version >= 5 {
			u.kind = r.u8()
			u.addrSize = int(r.u8())
		}
		var ok bool
		if u.abbrevOffset, ok = d.field(d.info, r.at, u.offsetSize); !ok {
			return d.damaged(".debug_info", at, "unit header")
		}
		r.skip(uint64(u.offsetSize))
		if u.version < 5 {
			u.addrSize = int(r.u8())
		}
		switch u.kind {
		case unitSkeleton, unitSplitCompile:
			r.skip(8)
		case unitType, unitSplitType:
			r.skip(8 + uint64(u.offsetSize))
		}
		if r.bad || u.addrSize != 4 && u.addrSize != 8 || r.at > u.end {
			return d.damaged(".debug_info", at, "unit header")
		}
		u.die = r.at
		u.sizes = d.sizesOf(u.version, u.addrSize, u.offsetSize)
		d.units = append(d.units, u)
		at = u.end
	}
	var table abbrevs
	for i := range d.units {
		if err := d.units[i].readEntry(&table); err != nil {
			return err
		}
	}
	return nil
}

// readEntry reads the attributes of the unit's own entry; table is memory for its abbreviation.
func (u *Unit) readEntry(table *abbrevs) error {
	d := u.d
	r := d.reader(d.info, u.die)
	code := r.uleb()
	if code == 0 { // a unit of nothing
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
	u.firstChild, u.hasChildren = r.at, a.children
	// The bases first: the other attributes may be read through them (section 3.1.1).
	u.strOffsetsBase = u.tableBase(e.vals[slotStrOffsetsBase], 2*uint64(u.offsetSize))
	u.addrBase = u.tableBase(e.vals[slotAddrBase], 8)
	u.rnglistsBase = u.tableBase(e.vals[slotRnglistsBase], 0)
	u.name = u.str(e.vals[slotName])
	u.compDir = u.str(e.vals[slotCompDir])
	u.producer = e.vals[slotProducer]
	u.language, _ = u.number(e.vals[slotLanguage])
	u.stmtList = e.vals[slotStmtList]
	u.lowPC = e.vals[slotLowPC]
	u.spans = u.entrySpans(&e)
	return nil
}

func (u *Unit) tableBase(v value, absent uint64) uint64 {
	if n, ok := u.number(v); ok {
		return n
	}
	return absent
}

// Name is the primary source file as the compiler wrote it, CompDir the folder it is relative to.
func (u *Unit) Name() string    { return string(u.name) }
func (u *Unit) CompDir() string { return string(u.compDir) }

// Producer is DW_AT_producer: the compiler and its options.
func (u *Unit) Producer() string { return string(u.str(u.producer)) }

// Assembly says whether the unit was assembled, not compiled.
func (u *Unit) Assembly() bool { return u.language == langMipsAssembler || u.language == langAssembly }

// Units returns the units in the order of .debug_info.
func (d *Data) Units() []Unit { return d.units }

// unitAt returns the unit that holds an offset of .debug_info.
func (d *Data) unitAt(offset uint64) *Unit {
	i := sort.Search(len(d.units), func(i int) bool { return d.units[i].end > offset })
	if i < len(d.units) && d.units[i].offset <= offset {
		return &d.units[i]
	}
	return nil
}

// load reads the unit's abbreviations, once.
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

// unload gives back what load and the line table took.
func (u *Unit) unload() {
	if u.abbrevs != nil {
		u.d.spare = append(u.d.spare, u.abbrevs)
	}
	u.abbrevs, u.lines = nil, nil
}

// value is an attribute's value, decoded when it is asked for. The zero value is an absent attribute.
type value struct {
	form uint16
	at   uint64 // where it stands in .debug_info; of DW_FORM_implicit_const the value itself
}

// Slots of the attributes that decide a location.
const (
	slotNone = iota
	slotName
	slotLinkageName
	slotDeclFile
	slotDeclLine
	slotLowPC
	slotHighPC
	slotRanges
	slotEntryPC
	slotAbstractOrigin
	slotSpecification
	slotLocation
	slotDeclaration
	slotSibling
	slotCompDir
	slotProducer
	slotLanguage
	slotStmtList
	slotStrOffsetsBase
	slotAddrBase
	slotRnglistsBase
	slots
)

func slot(attr uint16) int {
	switch attr {
	case atName:
		return slotName
	case atLinkageName, atMIPSLinkageName:
		return slotLinkageName
	case atDeclFile:
		return slotDeclFile
	case atDeclLine:
		return slotDeclLine
	case atLowPC:
		return slotLowPC
	case atHighPC:
		return slotHighPC
	case atRanges:
		return slotRanges
	case atEntryPC:
		return slotEntryPC
	case atAbstractOrigin:
		return slotAbstractOrigin
	case atSpecification:
		return slotSpecification
	case atLocation:
		return slotLocation
	case atDeclaration:
		return slotDeclaration
	case atSibling:
		return slotSibling
	case atCompDir:
		return slotCompDir
	case atProducer:
		return slotProducer
	case atLanguage:
		return slotLanguage
	case atStmtList:
		return slotStmtList
	case atStrOffsetsBase:
		return slotStrOffsetsBase
	case atAddrBase:
		return slotAddrBase
	case atRnglistsBase:
		return slotRnglistsBase
	}
	return slotNone
}

// entry is a debugging information entry: where it stands and the attributes that matter.
type entry struct {
	unit   *Unit
	offset uint64
	tag    uint16
	outer  bool // a child of the unit: not a variable inside a function
	vals   [slots]value
}

// decode reads the attribute values of an entry; r stands after its abbreviation code.
func (u *Unit) decode(r *reader, a *abbrev, e *entry) {
	*e = entry{unit: u, offset: r.at, tag: a.tag}
	for i := range a.specs {
		s := &a.specs[i]
		form := s.form
		for form == formIndirect && !r.bad {
			form = uint16(r.uleb())
		}
		v := value{form: form, at: r.at}
		if form == formImplicitConst {
			v.at = uint64(s.implicit)
		}
		e.vals[s.slot] = v
		if size := u.fixedSize(form); size >= 0 {
			r.skip(uint64(size))
		} else {
			u.skipForm(r, form)
		}
	}
}

// entryAt decodes the entry at an offset of .debug_info in this unit.
func (u *Unit) entryAt(offset uint64) (entry, bool) {
	if u.load() != nil {
		return entry{}, false
	}
	r := u.d.reader(u.d.info, offset)
	a := u.abbrevs.get(r.uleb())
	if a == nil || r.bad {
		return entry{}, false
	}
	var e entry
	u.decode(&r, a, &e)
	return e, !r.bad && r.at <= u.end
}

// number decodes a constant or an offset into another section (section 7.5.5).
func (u *Unit) number(v value) (uint64, bool) {
	switch v.form {
	case formImplicitConst:
		return v.at, true
	case formSdata:
		r := u.d.reader(u.d.info, v.at)
		return uint64(r.sleb()), !r.bad
	case formUdata, formRnglistx, formLoclistx:
		r := u.d.reader(u.d.info, v.at)
		return r.uleb(), !r.bad
	case formData1, formData2, formData4, formData8:
		// Before DWARF 4 the wider ones were offsets into other sections, too (DWARF 4, section 1.4).
		if u.version >= 4 || v.form == formData1 || v.form == formData2 {
			r := u.d.reader(u.d.info, v.at)
			return r.uint(u.fixedSize(v.form)), !r.bad
		}
		fallthrough
	case formSecOffset:
		n, ok := u.d.field(u.d.info, v.at, u.fixedSize(v.form))
		return n, ok && n != elf.NoAddress
	}
	return 0, false
}

// address decodes an address, directly or through .debug_addr. False if there is none or its code was discarded.
func (u *Unit) address(v value) (uint64, bool) {
	switch v.form {
	case formAddr:
		n, ok := u.d.field(u.d.info, v.at, u.addrSize)
		return n, ok && n != elf.NoAddress
	case formAddrx:
		r := u.d.reader(u.d.info, v.at)
		i := r.uleb()
		if r.bad {
			return 0, false
		}
		return u.indexedAddress(i)
	case formAddrx1, formAddrx2, formAddrx3, formAddrx4:
		r := u.d.reader(u.d.info, v.at)
		i := r.uint(u.fixedSize(v.form))
		if r.bad {
			return 0, false
		}
		return u.indexedAddress(i)
	}
	return 0, false
}

func (u *Unit) indexedAddress(i uint64) (uint64, bool) {
	if i > uint64(len(u.d.addr.Data)) {
		return 0, false
	}
	n, ok := u.d.field(u.d.addr, u.addrBase+i*uint64(u.addrSize), u.addrSize)
	return n, ok && n != elf.NoAddress
}

// str decodes a string, nil if there is none or it cannot be reached.
func (u *Unit) str(v value) []byte {
	d := u.d
	switch v.form {
	case formString:
		r := d.reader(d.info, v.at)
		return r.cstring()
	case formStrp:
		return d.stringAt(d.info, v.at, u.offsetSize, d.str)
	case formLineStrp:
		return d.stringAt(d.info, v.at, u.offsetSize, d.lineStr)
	case formStrx, formStrx1, formStrx2, formStrx3, formStrx4:
		r := d.reader(d.info, v.at)
		var i uint64
		if v.form == formStrx {
			i = r.uleb()
		} else {
			i = r.uint(u.fixedSize(v.form))
		}
		if r.bad || i > uint64(len(d.strOffsets.Data)) {
			return nil
		}
		return d.stringAt(d.strOffsets, u.strOffsetsBase+i*uint64(u.offsetSize), u.offsetSize, d.str)
	}
	return nil
}

// stringAt reads the offset that stands in a section and the string of strs that it leads to.
func (d *Data) stringAt(c *elf.Contents, at uint64, size int, strs *elf.Contents) []byte {
	offset, ok := d.field(c, at, size)
	if !ok {
		return nil
	}
	r := d.reader(strs, offset)
	return r.cstring()
}

// ref returns the offset in .debug_info that a reference leads to.
func (u *Unit) ref(v value) (uint64, bool) {
	switch v.form {
	case formRef1, formRef2, formRef4, formRef8:
		r := u.d.reader(u.d.info, v.at)
		n := r.uint(u.fixedSize(v.form))
		return u.offset + n, !r.bad && n < u.end-u.offset
	case formRefUdata:
		r := u.d.reader(u.d.info, v.at)
		n := r.uleb()
		return u.offset + n, !r.bad && n < u.end-u.offset
	case formRefAddr:
		return u.d.field(u.d.info, v.at, u.fixedSize(v.form))
	}
	return 0, false
}

// entrySpans returns the addresses that an entry covers (section 2.17).
func (u *Unit) entrySpans(e *entry) []span {
	if v := e.vals[slotRanges]; v.form != 0 {
		return u.rangeList(v)
	}
	low, ok := u.address(e.vals[slotLowPC])
	if !ok {
		return nil
	}
	high := e.vals[slotHighPC]
	if end, ok := u.address(high); ok {
		return []span{{low, end}}
	}
	if n, ok := u.number(high); ok {
		return []span{{low, low + n}}
	}
	return nil
}

// base is the address that range lists begin with (section 2.17.3): low_pc, 0 if it has none. It is read only when a list
// needs it: that of a unit of several sections is a 0 without a relocation.
func (u *Unit) base() uint64 {
	if base, ok := u.address(u.lowPC); ok {
		return base
	}
	return 0
}

// Kinds of range list entries (section 7.25).
const (
	rleEndOfList    = 0
	rleBaseAddressx = 1
	rleStartxEndx   = 2
	rleStartxLength = 3
	rleOffsetPair   = 4
	rleBaseAddress  = 5
	rleStartEnd     = 6
	rleStartLength  = 7
)

// rangeList reads the list that DW_AT_ranges names; what is damaged ends it.
func (u *Unit) rangeList(v value) []span {
	offset, ok := u.number(v)
	if !ok {
		return nil
	}
	if u.version < 5 {
		return u.oldRangeList(offset)
	}
	d := u.d
	if v.form == formRnglistx {
		if offset > uint64(len(d.rnglists.Data)) {
			return nil
		}
		n, ok := d.field(d.rnglists, u.rnglistsBase+offset*uint64(u.offsetSize), u.offsetSize)
		if !ok {
			return nil
		}
		offset = u.rnglistsBase + n
	}
	var spans []span
	base, known := uint64(0), false // until a base is set it is the unit's low_pc
	r := d.reader(d.rnglists, offset)
	address := func() (uint64, bool) {
		a, ok := d.field(d.rnglists, r.at, u.addrSize)
		r.skip(uint64(u.addrSize))
		return a, ok && a != elf.NoAddress
	}
	for !r.bad {
		var start, end uint64
		ok := true
		switch r.u8() {
		case rleEndOfList:
			return spans
		case rleBaseAddressx:
			if base, known = u.indexedAddress(r.uleb()); !known {
				return spans
			}
			continue
		case rleBaseAddress:
			if base, known = address(); !known {
				return spans
			}
			continue
		case rleStartxEndx:
			var okEnd bool
			start, ok = u.indexedAddress(r.uleb())
			end, okEnd = u.indexedAddress(r.uleb())
			ok = ok && okEnd
		case rleStartxLength:
			start, ok = u.indexedAddress(r.uleb())
			end = start + r.uleb()
		case rleOffsetPair:
			if !known {
				base, known = u.base(), true
			}
			start = base + r.uleb()
			end = base + r.uleb()
		case rleStartEnd:
			var okEnd bool
			start, ok = address()
			end, okEnd = address()
			ok = ok && okEnd
		case rleStartLength:
			start, ok = address()
			end = start + r.uleb()
		default:
			return spans
		}
		if ok && !r.bad && start < end {
			spans = append(spans, span{start, end})
		}
	}
	return spans
}

// oldRangeList reads a list of .debug_ranges (DWARF 4, section 2.17.3).
func (u *Unit) oldRangeList(at uint64) []span {
	var spans []span
	base, known := uint64(0), false
	selector := uint64(1)<<(8*u.addrSize-1)<<1 - 1 // all ones in the width of an address
	for {
		start, ok1 := u.d.field(u.d.ranges, at, u.addrSize)
		end, ok2 := u.d.field(u.d.ranges, at+uint64(u.addrSize), u.addrSize)
		if !ok1 || !ok2 || start == 0 && end == 0 {
			return spans
		}
		at += 2 * uint64(u.addrSize)
		switch {
		case start == selector:
			base, known = end, true
		case start < end:
			if !known {
				base, known = u.base(), true
			}
			spans = append(spans, span{base + start, base + end})
		}
	}
}
