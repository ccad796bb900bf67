package dwarf

import (
	"fmt"

	"kas/elf"
)

// What Locate may do follows from the size of the file: units, entries and line tables can share
// what they refer to, and counts can be multiplied, so a few megabytes could ask for years. Real
// kernels need at most 13 steps for each byte of the file, if every symbol is a target.
const (
	// stepsPerByte is how many steps each byte of the file may cause.
	stepsPerByte = 32
	// freeSteps is how many steps every object may cause.
	freeSteps = 4 << 20
)

// Steps that stand for memory: what they pay for is much larger than the bytes that ask for it. A
// step pays for at least half a byte.
const (
	stepsPerUnit   = 1024
	stepsPerAbbrev = 160
	stepsPerSpec   = 32
	stepsPerFile   = 128 // of a line table
	stepsPerSpan   = 32
	stepsPerEntry  = 16
	stepsPerOffer  = 32 // of an entry to a target
	stepsPerClaim  = 4  // of an entry without an address on a target
	stepsPerOpen   = 16 << 10
)

// tooMuchWork is what check panics with. New, Locate and Declares return it.
type tooMuchWork struct{ err error }

// allow sets how many steps are allowed, by the size of the object. A file of split units adds to
// what its object is allowed.
func (d *Data) allow() { d.limit = freeSteps + stepsPerByte*d.f.FileSize() }

// payer returns the Data that counts the work: that of the object.
func (d *Data) payer() *Data {
	switch {
	case d.owner != nil:
		return d.owner
	case d.sharer != nil:
		return d.sharer
	}
	return d
}

// spend counts work.
func (d *Data) spend(steps uint64) { d.payer().work += steps }

// spent reports whether all the work that is allowed was done.
func (d *Data) spent() bool {
	p := d.payer()
	return p.work > p.limit
}

// check ends the work if it was more than is allowed. Loops over what an object repeats call it,
// since what is between two calls costs no more than a whole section.
func (d *Data) check() {
	if !d.spent() {
		return
	}
	p := d.payer()
	at := uint64(0)
	if i := p.f.DebugSection(".debug_info"); i > 0 {
		at = p.f.Sections[i].Offset
	}
	panic(tooMuchWork{&elf.FormatError{Offset: at, Msg: fmt.Sprintf(
		"debugging information that takes more than %d steps in a file of %d bytes",
		p.limit, p.f.FileSize())}})
}

// catch sets the error if check ended the work. It is deferred.
func catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case tooMuchWork:
		*err = r.err
	default:
		panic(r)
	}
}
