package dwarf

import (
	"cmp"
	"context"
	"path"
	"slices"
	"sort"

	"kas/elf"
)

// Target is a symbol to locate.
type Target struct {
	Name    string
	Address uint64 // elf.File.Address of its section and value
	Size    uint64
	Data    bool   // a variable, not code
	Global  bool   // not a local symbol
	File    string // the name of the STT_FILE symbol before it, "" if there is none
}

// Location is where the source declares a symbol. Paths are as the compiler wrote them: absolute,
// or relative to CompDir.
type Location struct {
	Method  Method
	File    string
	Line    int64 // of the declaration, 0 if unknown
	Opening int64 // of the function's first row, if in File and not before Line; else 0
	Unit    string
	CompDir string // of the unit that has the declaration

	// Owner is the name of the function, if the symbol is only a second name of it, as with
	// __attribute__((alias)): debuggers know the function by this name.
	Owner string
}

// Method is how a location was found.
type Method uint8

const (
	None       Method = iota // not found
	Subprogram               // by the subprogram that begins in the symbol
	Fragment                 // by the subprogram that has another of its ranges begin in the symbol
	Variable                 // by the variable at the symbol's address
	LineRow                  // by the line table only: code of assembly, or nothing else is there
	ByName                   // by the entry with its name, which has no address: it was folded
	ByFile                   // by the unit of its source file: data of assembly
)

// Locate returns the location of each target; one that is not found has Method None. Damage in a
// unit that is needed is an *elf.FormatError. Locate checks ctx before each unit.
//
// The owner of a function symbol is the subprogram with a range that begins inside the symbol, in
// [Address, Address+Size). That finds fragments by the ranges of their function, and functions
// whose symbol is before their low_pc (-fpatchable-function-entry of GCC for arm64, riscv64 and
// loong64); it never finds code that was inlined at the address. If several ranges begin there, the
// one at the symbol's address wins, then the one with the symbol's name, then the one in a unit of
// its file. A range that begins after the symbol's address must have its name.
func (d *Data) Locate(
	ctx context.Context, targets []Target,
) (locations []Location, err error) {
	defer d.closeSplits()
	defer catch(&err)
	l := newLocator(d, targets)
	locations = make([]Location, len(targets))
	for i := range d.units {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d.check()
		u := &d.units[i]
		if !l.covers(u) && !l.mayHoldData(u) {
			continue
		}
		whole := u.whole()
		l.declares = false
		if err := whole.walk(len(l.data) > 0, true, l.entry); whole != u && err != nil {
			l.discard(whole)
			u.lacksSplit(whole.d.named(err))
			whole = u
		} else if err != nil {
			return nil, err
		}
		l.finish(whole, locations)
		whole.unload()
		u.unload()
		d.forget()
	}
	if err := l.locateByFile(ctx, locations); err != nil {
		return nil, err
	}
	return locations, l.locateByName(ctx, locations)
}

type locator struct {
	d       *Data
	targets []Target
	code    []int // indices of code targets, by address
	data    []int // indices of data targets, by address
	longest uint64
	found   []candidate
	pools   []uint64        // where the skeletons' parts of .debug_addr begin, sorted
	pooled  map[uint64]bool // whether the part that begins there has the address of a data target

	symtab  *elf.Symtab // nil until symbols are read
	symbols []codeSymbol

	// Of the current unit.
	changed  []int // targets whose candidate is from it
	declares bool  // one of its functions has a declaration
}

// candidate is the best owner of a target so far.
type candidate struct {
	entry    entry
	distance uint64 // from the target's address
	named    bool   // the entry has the target's name
	method   Method
	start    uint64 // where the range begins; after enter, where the function is entered
	ok       bool
}

func newLocator(d *Data, targets []Target) *locator {
	l := &locator{d: d, targets: targets, found: make([]candidate, len(targets))}
	for i, t := range targets {
		if t.Data {
			l.data = append(l.data, i)
		} else {
			l.code = append(l.code, i)
			l.longest = max(l.longest, t.Size)
		}
	}
	byAddress := func(a, b int) int { return cmp.Compare(targets[a].Address, targets[b].Address) }
	slices.SortStableFunc(l.code, byAddress)
	slices.SortStableFunc(l.data, byAddress)
	return l
}

// covers reports whether the unit has a range that overlaps a code target.
func (l *locator) covers(u *Unit) bool {
	return slices.ContainsFunc(u.spans, l.overlaps)
}

// mayHoldData reports whether the unit may declare a data target.
func (l *locator) mayHoldData(u *Unit) bool {
	switch {
	case len(l.data) == 0:
		return false
	case u.skeleton():
		return l.mayDeclare(u)
	}
	return u.hasChildren
}

func (l *locator) overlaps(s span) bool {
	n := sort.Search(len(l.code), func(i int) bool { return l.targets[l.code[i]].Address >= s.end })
	for i := n - 1; i >= 0; i-- {
		l.d.spend(1)
		t := &l.targets[l.code[i]]
		if t.Address+max(t.Size, 1) > s.start {
			return true
		}
		if t.Address+max(l.longest, 1) <= s.start {
			return false
		}
	}
	return false
}

// entry offers a subprogram or variable to the targets at its addresses.
func (l *locator) entry(e *entry) {
	if e.tag == tagVariable {
		l.variable(e)
	} else {
		l.subprogram(e)
	}
}

func (l *locator) subprogram(e *entry) {
	if len(l.code) == 0 {
		return
	}
	l.declares = l.declares || e.declares()
	u := e.unit
	spans := u.entrySpans(e)
	if len(spans) == 0 {
		return
	}
	for _, s := range spans {
		l.d.check()
		l.begins(e, s.start)
	}
	// The entry may be after code that is placed before it.
	pc, ok := e.entryPC(spans)
	if ok && !slices.ContainsFunc(spans, func(s span) bool { return s.start == pc }) {
		l.begins(e, pc)
	}
}

// begins offers a subprogram to the code targets that contain the address at which one of its
// ranges begins, or at which it is entered.
func (l *locator) begins(e *entry, at uint64) {
	n := sort.Search(len(l.code), func(i int) bool { return l.targets[l.code[i]].Address > at })
	i := n - 1
	for ; i >= 0; i-- {
		t := &l.targets[l.code[i]]
		distance := at - t.Address
		if distance < max(t.Size, 1) {
			c := candidate{entry: *e, distance: distance, method: Subprogram, start: at}
			l.offer(l.code[i], c)
			l.d.check()
		} else if distance >= max(l.longest, 1) {
			break
		}
	}
	l.d.spend(uint64(n - i))
}

func (l *locator) variable(e *entry) {
	address, ok := e.unit.staticAddress(e.vals[slotLocation])
	if !ok {
		return
	}
	i := sort.Search(len(l.data), func(i int) bool {
		return l.targets[l.data[i]].Address >= address
	})
	for ; i < len(l.data) && l.targets[l.data[i]].Address == address; i++ {
		l.offer(l.data[i], candidate{entry: *e, method: Variable})
		l.d.check()
	}
}

// offer replaces the candidate of a target if c is better.
func (l *locator) offer(target int, c candidate) {
	l.d.spend(stepsPerOffer)
	c.ok = true
	t := &l.targets[target]
	c.named = c.entry.hasName(t.Name)
	old := &l.found[target]
	switch {
	case !c.named && c.distance > 0:
		return
	case !c.named && t.Size == 0 && !c.entry.unit.Assembly():
		return // a label, as of a linker script: it owns nothing of what begins there
	case !old.ok:
	case c.distance != old.distance:
		if c.distance > old.distance {
			return
		}
	case c.named != old.named:
		if old.named {
			return
		}
	case !c.of(t.File) || old.of(t.File):
		return // the first in the order of .debug_info wins
	}
	// If the old candidate is from this unit, the target is in the list already.
	if !old.ok || old.entry.unit != c.entry.unit {
		l.changed = append(l.changed, target)
	}
	*old = c
}

// of reports whether the candidate is in a unit of a file.
func (c *candidate) of(file string) bool {
	u := c.entry.home()
	u.d.spend(uint64(len(u.name) + len(file)))
	return path.Base(u.Name()) == path.Base(file)
}

// artificial is the name of the units that GCC's link-time optimization makes of its partitions.
const artificial = "<artificial>"

// location reads the declaration of the candidate's entry. A definition may leave out a file or
// line that its declaration has; then the entries that it completes give them.
func (c *candidate) location() Location {
	u := c.entry.home()
	loc := Location{Method: c.method, Unit: u.Name(), CompDir: u.CompDir()}
	for o := range c.entry.origins() {
		if loc.File == "" {
			if n, ok := o.unit.number(o.vals[slotDeclFile]); ok {
				loc.File = o.unit.file(n)
				loc.CompDir = o.unit.CompDir()
			}
		}
		if loc.Line == 0 {
			if n, ok := o.unit.number(o.vals[slotDeclLine]); ok {
				loc.Line = int64(n)
			}
		}
		if u.Name() == artificial && !o.unit.partial {
			loc.Unit = o.unit.Name()
		}
		if loc.Owner == "" && !c.named && c.method == Subprogram {
			loc.Owner = string(o.unit.str(o.vals[slotName]))
		}
	}
	u.d.payLocation(&loc)
	return loc
}

// payLocation counts the memory of a location: its strings are copies.
func (d *Data) payLocation(loc *Location) {
	n := len(loc.File) + len(loc.Unit) + len(loc.CompDir) + len(loc.Owner)
	d.spend(stepsPerOffer + 4*uint64(n))
	d.check()
}
