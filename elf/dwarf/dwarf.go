// Package dwarf finds where the source declares the symbol at an address. It reads DWARF versions 2
// to 5, with the relocations of the object applied. It opens only the units that hold one of the
// addresses and skips entries that cannot declare a symbol.
//
// Section numbers cite "DWARF Debugging Information Format", version 5.
package dwarf

import (
	"fmt"
	"maps"
	"slices"

	"kas/elf"
)

// Data is the debugging information of an object. It aliases the object's bytes. It is not safe for
// concurrent use.
type Data struct {
	f     *elf.File
	big   bool
	units []Unit
	sizes map[[3]int]*formSizes
	spare []*abbrevs // tables whose memory is free
	steps lineSteps  // of the line table that was read last

	// work counts the bytes of the debug sections that were read, the comparisons with targets and
	// the memory that was needed. It is added up per table or list, not per field. See budget.go.
	work      uint64
	limit     uint64 // of work
	forgotten uint64 // the work when the object was last forgotten

	// Splits says where the split units of skeleton units are; nil if they are not read. It must be
	// set before Locate.
	Splits *Splits
	path   string     // of a file of split units
	shared *Data      // what dwz moved to another file, nil if there is none
	sharer *Data      // of a supplementary file: the object that is read
	owner  *Data      // of the object whose split units are in this file, nil for an object
	split  *splitFile // the .dwo file that is open
	packed *splitFile // the .dwp file

	opened map[string]bool // paths of files of split units that add to limit

	info, abbrev, line, str, lineStr, strOffsets, addr, rnglists, ranges *elf.Contents
}

// New reads the unit headers and unit entries of .debug_info. It returns nil without an error if
// the object has no debugging information. Damage is an *elf.FormatError.
func New(f *elf.File) (*Data, error) { return NewSharing(f, nil) }

// NewSharing is New for an object that shares entries and strings with others. They are in a
// supplementary file (section 7.3.6), which NewShared read; nil if it is not here. Attributes that
// refer to it are then missing. The file must stay open as long as the Data is used, and belongs to
// one Data.
func NewSharing(f *elf.File, shared *Data) (data *Data, err error) {
	defer catch(&err)
	d := &Data{f: f, big: f.Big, shared: shared}
	d.allow()
	if shared != nil {
		shared.sharer = d
		d.limit += shared.limit
	}
	if err := d.readSections(); err != nil {
		return nil, err
	}
	if len(d.info.Data) == 0 {
		return nil, nil
	}
	if err := d.readUnits(); err != nil {
		return nil, err
	}
	return d, nil
}

// NewShared reads the units of a supplementary file. Damage is an *elf.FormatError.
func NewShared(f *elf.File) (data *Data, err error) {
	defer catch(&err)
	d := &Data{f: f, big: f.Big}
	d.allow()
	if err := d.readSections(); err != nil {
		return nil, err
	}
	return d, d.readUnits()
}

func (d *Data) readSections() error {
	return d.sections(map[string]**elf.Contents{
		".debug_info": &d.info, ".debug_abbrev": &d.abbrev, ".debug_line": &d.line,
		".debug_str": &d.str, ".debug_line_str": &d.lineStr,
		".debug_str_offsets": &d.strOffsets, ".debug_addr": &d.addr,
		".debug_rnglists": &d.rnglists, ".debug_ranges": &d.ranges,
	})
}

// sections opens debug sections, in the order of their names.
func (d *Data) sections(wanted map[string]**elf.Contents) error {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		c, err := d.f.Contents(name)
		if err != nil {
			return err
		}
		*wanted[name] = c
	}
	return nil
}

// forgetAfter is the work after which what was read is forgotten. On machines whose assemblers keep
// labels, the relocations and symbols of that work are several times as large.
const forgetAfter = 16 << 20

// forget limits how much of a mapped object is in memory.
func (d *Data) forget() {
	if d.work-d.forgotten >= forgetAfter {
		d.f.Forget()
		d.forgotten = d.work
	}
}

// Units returns the units in the order of .debug_info.
func (d *Data) Units() []Unit { return d.units }

// damaged returns an error about the bytes at an offset of a debug section.
func (d *Data) damaged(section string, at uint64, what string) error {
	if d.owner != nil && d.f.DebugSection(section+".dwo") > 0 {
		section += ".dwo"
	}
	offset := at
	if i := d.f.DebugSection(section); i > 0 {
		offset += d.f.Sections[i].Offset
	}
	msg := fmt.Sprintf("damaged %s: %s at %#x", section, what, at)
	return &elf.FormatError{Offset: offset, Msg: msg}
}

// reader reads fields of a section. Only those of machines with paired relocations are relocated;
// field does that for all machines.
func (d *Data) reader(c *elf.Contents, at uint64) reader {
	return reader{data: c.Data, at: at, big: d.big, paired: c.Paired()}
}

// entries reads abbreviation codes and the sizes of values in .debug_info, which are constants.
func (d *Data) entries(at uint64) reader {
	return reader{data: d.info.Data, at: at, big: d.big}
}

// field reads a field that may have a relocation; false if it is outside the section.
func (d *Data) field(c *elf.Contents, at uint64, size int) (uint64, bool) {
	if at > uint64(len(c.Data)) || uint64(len(c.Data))-at < uint64(size) {
		return 0, false
	}
	return c.Uint(at, size), true
}
