package dwarf

import (
	"context"
	"path"
	"slices"
	"sort"
	"strings"
)

// Target is a symbol to be located.
type Target struct {
	Name    string
	Address uint64 // elf.File.Address of its section and value
	Size    uint64
	Data    bool   // a variable, not code
	File    string // the STT_FILE symbol that it stands under, "" if there is none
}

// Method is how a location was found.
type Method uint8

const (
	None       Method = iota // not located
	Subprogram               // the subprogram that begins in the symbol
	Fragment                 // the subprogram that has a part, not its beginning, in the symbol
	Variable                 // the variable that stands at the symbol
	LineRow                  // the line table alone: assembly
	ByName                   // the entry of that name, which has no address: it was folded into an equal one
	ByFile                   // the unit of that file: data of assembly
)

// Location is where the source declares a symbol. Paths are as the compiler wrote them: absolute, or relative to CompDir.
type Location struct {
	Method  Method
	File    string
	Line    int64 // of the declaration, 0 if unknown
	Opening int64 // line of the function's first row if it lies in File at or after the declaration, else 0
	Unit    string
	CompDir string // of the unit that holds the declaration
}

// Locate finds the location of each target; what it does not find has Method None. Damage in a unit that is needed is an
// *elf.FormatError.
//
// A function is owned by the subprogram that has a range beginning in [Address, Address+Size): fragments by the ranges
// of their function, and functions whose symbol stands before their low_pc, as on arm64 with call-ops, are found that
// way, and code inlined at the address is not taken for it. Where several begin there, the one at the symbol's own
// address wins, then the one of its name. One that begins later must bear the name. The end of ctx is looked at before
// each unit.
func (d *Data) Locate(ctx context.Context, targets []Target) ([]Location, error) {
	l := &locator{d: d, targets: targets, found: make([]candidate, len(targets))}
	for i, t := range targets {
		if t.Data {
			l.data = append(l.data, i)
		} else {
			l.code = append(l.code, i)
			l.longest = max(l.longest, t.Size)
		}
	}
	byAddress := func(ids []int) {
		slices.SortStableFunc(ids, func(a, b int) int {
			switch {
			case targets[a].Address < targets[b].Address:
				return -1
			case targets[a].Address > targets[b].Address:
				return 1
			}
			return a - b
		})
	}
	byAddress(l.code)
	byAddress(l.data)

	locations := make([]Location, len(targets))
	for i := range d.units {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		u := &d.units[i]
		code := l.covers(u)
		if !code && len(l.data) == 0 || !u.hasChildren && !code {
			continue
		}
		if err := u.walk(len(l.data) > 0, true, l.entry); err != nil {
			return nil, err
		}
		l.finish(u, locations)
		u.unload()
	}
	if err := d.locateByFile(ctx, l, locations); err != nil {
		return nil, err
	}
	return locations, nil
}

type locator struct {
	d       *Data
	targets []Target
	code    []int // indices of targets by address
	data    []int
	longest uint64
	found   []candidate
	changed []int // targets whose candidate is of the unit at hand
}

// candidate is the best owner of a target so far.
type candidate struct {
	entry    entry
	distance uint64
	named    bool
	method   Method
	start    uint64 // entry point of the function
	ok       bool
}

// covers says whether the unit has a range with the beginning of, or inside, a code target.
func (l *locator) covers(u *Unit) bool {
	for _, s := range u.spans {
		if l.overlap(s) {
			return true
		}
	}
	return false
}

func (l *locator) overlap(s span) bool {
	i := sort.Search(len(l.code), func(i int) bool { return l.targets[l.code[i]].Address >= s.end })
	for i--; i >= 0; i-- {
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

func (l *locator) entry(e *entry) {
	if e.tag == tagVariable {
		l.variable(e)
	} else {
		l.subprogram(e)
	}
}

// walk visits the subprograms of a unit, and its variables, too, if they are wanted; if placed is set, only those that
// have an address. visit may keep a copy of the entry, not the pointer.
func (u *Unit) walk(variables, placed bool, visit func(*entry)) error {
	if err := u.load(); err != nil {
		return err
	}
	if !u.hasChildren {
		return nil
	}
	r := u.d.reader(u.d.info, u.firstChild)
	r.data = r.data[:u.end]
	var e entry
	for depth := 1; depth > 0 && r.at < u.end; {
		at := r.at
		code := r.uleb()
		if code == 0 {
			if r.bad {
				break
			}
			depth--
			continue
		}
		a := u.abbrevs.get(code)
		if a == nil {
			return u.d.damaged(".debug_info", at, "abbreviation code")
		}
		if !a.children && a.fixed >= 0 && (a.kind == other || !a.placed && placed || a.kind == variable && !variables) {
			r.at += uint64(a.fixed)
			continue
		}
		enter := false
		switch a.kind {
		case subprogram:
			if placed && !a.placed {
				enter = variables // what an inlined function keeps between its calls is declared in its abstract instance
				break
			}
			u.decode(&r, a, &e)
			e.outer = depth == 1
			visit(&e)
			if !a.children {
				continue
			}
			if !variables && !r.bad {
				if next, ok := u.ref(e.vals[slotSibling]); ok && next > r.at {
					r.at = next
					continue
				}
			}
			depth++
			continue
		case variable:
			if variables && (a.placed || !placed) {
				u.decode(&r, a, &e)
				e.outer = depth == 1
				visit(&e)
				if a.children {
					depth++
				}
				continue
			}
		case scope:
			enter = true
		case block:
			enter = variables
		case recordType:
			enter = u.language == 0x04 || u.language >= 0x1a && u.language != 0x1d && u.language != 0x2c && u.language < 0x8000
		}
		if a.children && !enter && a.sibling >= 0 {
			form := r
			form.skip(uint64(a.sibling))
			if next := u.offset + form.uint(int(a.siblingSize)); !form.bad && next > r.at && next <= u.end {
				r.at = next
				continue
			}
		}
		if a.fixed >= 0 {
			r.skip(uint64(a.fixed))
		} else {
			for i := range a.specs {
				u.skipForm(&r, a.specs[i].form)
			}
		}
		if a.children {
			depth++
		}
	}
	if r.bad || r.at > u.end {
		return u.d.damaged(".debug_info", u.offset, "unit")
	}
	return nil
}

func (l *locator) subprogram(e *entry) {
	if len(l.code) == 0 {
		return
	}
	u := e.unit
	spans := u.entrySpans(e)
	if len(spans) == 0 {
		return
	}
	entryPC, ok := u.address(e.vals[slotLowPC])
	if !ok {
		entryPC = spans[0].start
	}
	for _, s := range spans {
		method := Fragment
		if s.start == entryPC {
			method = Subprogram
		}
		i := sort.Search(len(l.code), func(i int) bool { return l.targets[l.code[i]].Address > s.start })
		for i--; i >= 0; i-- {
			t := &l.targets[l.code[i]]
			if s.start-t.Address < max(t.Size, 1) {
				l.offer(l.code[i], candidate{entry: *e, distance: s.start - t.Address, method: method, start: entryPC})
			} else if s.start-t.Address >= max(l.longest, 1) {
				break
			}
		}
	}
}

func (l *locator) variable(e *entry) {
	address, ok := e.unit.staticAddress(e.vals[slotLocation])
	if !ok {
		return
	}
	i := sort.Search(len(l.data), func(i int) bool { return l.targets[l.data[i]].Address >= address })
	for ; i < len(l.data) && l.targets[l.data[i]].Address == address; i++ {
		l.offer(l.data[i], candidate{entry: *e, method: Variable})
	}
}

// offer takes a candidate if it is better than what the target has.
func (l *locator) offer(target int, c candidate) {
	c.ok = true
	t := &l.targets[target]
	c.named = c.entry.bears(t.Name)
	old := &l.found[target]
	switch {
	case !c.named && c.distance > 0:
		return
	case !c.named && t.Size == 0 && !c.entry.unit.Assembly():
		return // a label, of the linker script for example: it owns nothing of what begins there
	case !old.ok:
	case c.distance != old.distance:
		if c.distance > old.distance {
			return
		}
	case c.named != old.named:
		if old.named {
			return
		}
	default:
		return // the first in the order of .debug_info
	}
	// What an earlier candidate of this unit had replaced is in the list already.
	if !old.ok || old.entry.unit != c.entry.unit {
		l.changed = append(l.changed, target)
	}
	*old = c
}

// unfold looks for the true owners of targets whose address another name owns: the compiler found two functions or
// constants of the unit equal and made them one. The other entry is there, without an address.
func (l *locator) unfold(u *Unit) {
	var targets []int
	for _, i := range l.changed {
		if c := &l.found[i]; !c.named && c.method != Fragment {
			targets = append(targets, i)
		}
	}
	folded := map[int][]candidate{}
	// The unit was walked to find these candidates: it is not damaged.
	_ = l.claims(u, targets, func(i int, c candidate) { folded[i] = append(folded[i], c) })
	for i, claims := range folded {
		if len(claims) == 1 {
			claims[0].start = l.found[i].start
			l.found[i] = claims[0]
		}
	}
}

// claims calls found for each of the targets and each folded entry of the unit that bears its name.
func (l *locator) claims(u *Unit, targets []int, found func(target int, c candidate)) error {
	if len(targets) == 0 {
		return nil
	}
	variables := slices.ContainsFunc(targets, func(i int) bool { return l.targets[i].Data })
	return u.walk(variables, false, func(e *entry) {
		if !e.folded() {
			return
		}
		for _, i := range targets {
			if l.targets[i].Data == (e.tag == tagVariable) && e.bears(l.targets[i].Name) {
				found(i, candidate{entry: *e, method: ByName, named: true, ok: true})
			}
		}
	})
}

// folded says whether the entry defines a function or variable whose code or data stands nowhere: the compiler, or a
// linker that left zero in place of the address, made it one with another.
func (e *entry) folded() bool {
	if e.vals[slotDeclaration].form != 0 {
		return false
	}
	u := e.unit
	if e.tag == tagVariable {
		// Inside a function a variable without a place is one that the compiler did not need.
		address, ok := u.staticAddress(e.vals[slotLocation])
		return e.outer && (e.vals[slotLocation].form == 0 || ok && address == 0)
	}
	if e.vals[slotRanges].form == 0 && e.vals[slotLowPC].form == 0 {
		return true
	}
	spans := u.entrySpans(e)
	for _, s := range spans {
		if s.start > 1 { // linkers leave 0, or 1 where 0 ends a list
			return false
		}
	}
	return len(spans) > 0
}

// bears says whether the symbol's name is the entry's, but for suffixes the compiler added. A variable inside a function
// may carry the function's name before its own (Clang: "function.variable").
func (e *entry) bears(symbol string) bool {
	for o := range e.origins() {
		for _, slot := range [...]int{slotLinkageName, slotName} {
			name := o.unit.str(o.vals[slot])
			if len(name) == 0 {
				continue
			}
			if rest, ok := strings.CutPrefix(symbol, string(name)); ok && (rest == "" || rest[0] == '.') {
				return true
			}
			if _, rest, ok := strings.Cut(symbol, "."+string(name)); ok && e.tag == tagVariable && (rest == "" || rest[0] == '.') {
				return true
			}
		}
	}
	return false
}

// maxOrigins bounds a chain of references, which damage can close to a ring.
const maxOrigins = 8

// origins yields the entry and then those that it completes: its abstract instance (section 3.3.8) or its declaration
// (section 2.13.2), in this unit or another.
func (e *entry) origins() func(yield func(*entry) bool) {
	return func(yield func(*entry) bool) {
		at := *e
		for range maxOrigins {
			if !yield(&at) {
				return
			}
			v := at.vals[slotAbstractOrigin]
			if v.form == 0 {
				v = at.vals[slotSpecification]
			}
			offset, ok := at.unit.ref(v)
			if !ok {
				return
			}
			u := at.unit.d.unitAt(offset)
			if u == nil {
				return
			}
			if at, ok = u.entryAt(offset); !ok {
				return
			}
		}
	}
}

// staticAddress returns the address of a variable whose location is one fixed place (section 2.6.1.1.2).
func (u *Unit) staticAddress(v value) (uint64, bool) {
	const (
		opAddr         = 0x03
		opPlusUconst   = 0x23
		opAddrx        = 0xa1
		opGNUAddrIndex = 0xfb
	)
	r := u.d.reader(u.d.info, v.at)
	var n uint64
	switch v.form {
	case formExprloc, formBlock:
		n = r.uleb()
	case formBlock1:
		n = uint64(r.u8())
	default:
		return 0, false
	}
	end := r.at + n
	if !r.need(n) {
		return 0, false
	}
	var address uint64
	ok := false
	switch r.u8() {
	case opAddr:
		address, ok = u.address(value{form: formAddr, at: r.at})
		r.skip(uint64(u.addrSize))
	case opAddrx, opGNUAddrIndex:
		address, ok = u.indexedAddress(r.uleb())
	}
	if ok && r.at < end && r.u8() == opPlusUconst {
		address += r.uleb()
	}
	return address, ok && !r.bad && r.at == end
}

// artificial is the name of the units that GCC's link-time optimization compiles its partitions in.
const artificial = "<artificial>"

// finish turns the candidates of one unit into locations, and looks up in its line table what the entries leave open:
// opening rows, and the code of assembly.
func (l *locator) finish(u *Unit, out []Location) {
	var openings []int
	l.unfold(u)
	for _, i := range l.changed {
		out[i] = l.found[i].location()
		if s := out[i].Method; s == Subprogram || s == Fragment {
			openings = append(openings, i)
		}
	}
	l.changed = l.changed[:0]
	var rows []int // code of this unit that no subprogram with a declaration owns
	for _, i := range l.code {
		c := &l.found[i]
		if c.ok && (c.entry.unit != u || out[i].File != "") {
			continue
		}
		if (u.Assembly() || c.ok) && slices.ContainsFunc(u.spans, func(s span) bool {
			return l.targets[i].Address >= s.start && l.targets[i].Address < s.end
		}) {
			rows = append(rows, i)
		}
	}
	if len(openings)+len(rows) == 0 {
		return
	}
	slices.SortStableFunc(openings, func(a, b int) int {
		switch {
		case l.found[a].start < l.found[b].start:
			return -1
		case l.found[a].start > l.found[b].start:
			return 1
		}
		return 0
	})
	const (
		byAny  = 1 // by a row that is no statement
		byStmt = 2
	)
	opened := make([]uint8, len(openings))
	located := make([]bool, len(rows))
	open := len(openings) + len(rows) // those for which a row may still tell more
	u.rows(func(last, r row) (next uint64, more bool) {
		next = noRow
		first := sort.Search(len(openings), func(i int) bool { return l.found[openings[i]].start >= r.address })
		for i, id := range openings[first:] {
			i += first
			if start := l.found[id].start; start > r.address {
				next = min(next, start)
				break
			}
			// The first row may be the last one of the function before (gcc on s390x), but a function starts with a
			// statement: the first row that is one goes before the first that is not.
			if r.end || opened[i] == byStmt {
				continue
			}
			if !r.stmt {
				next = r.address // the next row may be one, at this address
				if opened[i] == byAny {
					continue
				}
				opened[i] = byAny
			} else {
				opened[i] = byStmt
				open--
			}
			loc := &out[id]
			loc.Opening = 0
			if r.line >= loc.Line && sameFile(u.CompDir(), u.file(r.file), loc.CompDir, loc.File) {
				loc.Opening = r.line
			}
		}
		// rows is in the order of addresses: those at this row, and those that it ends.
		first = sort.Search(len(rows), func(i int) bool {
			return l.targets[rows[i]].Address >= r.address || last.valid && l.targets[rows[i]].Address > last.address
		})
		for i, id := range rows[first:] {
			address := l.targets[id].Address
			if address > r.address {
				next = min(next, address)
				break
			}
			exact := !r.end && r.address == address
			inside := last.valid && last.address < address && address < r.address
			if located[first+i] || !exact && !inside {
				continue
			}
			at := r
			if inside {
				at = last
			}
			located[first+i] = true
			open--
			out[id] = Location{Method: LineRow, File: u.file(at.file), Line: at.line, Unit: u.Name(), CompDir: u.CompDir()}
		}
		return next, open > 0
	})
}

// sameFile says whether two paths lead to one file from the folders they are relative to. Units that link-time
// optimization made up write "../src/a.c" where the unit of the source has "a.c".
func sameFile(dirA, a, dirB, b string) bool {
	if dirA == dirB && a == b {
		return true
	}
	return path.Base(a) == path.Base(b) && absolute(dirA, a) == absolute(dirB, b)
}

func absolute(dir, file string) string {
	if path.IsAbs(file) {
		return path.Clean(file)
	}
	return path.Join(dir, file)
}

// location reads the declaration: of the entry itself, and where it is silent, of what it completes (a definition leaves
// out the file or the line that its declaration shares).
func (c *candidate) location() Location {
	u := c.entry.unit
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
		if u.Name() == artificial {
			loc.Unit = o.unit.Name()
		}
	}
	return loc
}
