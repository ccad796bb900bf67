package dwarf

import (
	"context"
	"path"
	"slices"
)

// locateByFile locates targets that have no address in the debugging information, by their file
// symbol. It knows two kinds. A function or constant that was folded into an equal one has an entry
// without an address; it is located if exactly one declaration in the units of its file has its
// name. If the equal one has the same name in another file and several declarations have it in the
// units of the target's file, the location at the address is false and is removed. Data of assembly
// has no entry, but its unit gives the file; it is located, without a line, if exactly one unit has
// that file.
func (l *locator) locateByFile(ctx context.Context, out []Location) error {
	s := fileSearch{
		l: l, out: out, targets: map[string][]int{}, claims: map[int][]Location{},
		units: map[string]int{}, unread: map[string]bool{},
	}
	for i, t := range l.targets {
		if t.File != "" && l.open(i, &out[i]) {
			file := path.Base(t.File) // gcc of mips writes a path
			s.targets[file] = append(s.targets[file], i)
		}
	}
	if len(s.targets) == 0 {
		return nil
	}
	for i := range l.d.units {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.d.check()
		if err := s.unit(&l.d.units[i]); err != nil {
			return err
		}
	}
	s.decide()
	return nil
}

// fileSearch looks for declarations by the names of source files, without folders.
type fileSearch struct {
	l       *locator
	out     []Location
	targets map[string][]int   // by file
	claims  map[int][]Location // by target: the locations that it may have
	units   map[string]int     // by file: how many units it has
	unread  map[string]bool    // by file: one of its units cannot be read and may have a claim
}

// unit adds the claims of a unit.
func (s *fileSearch) unit(u *Unit) error {
	if u.skeleton() {
		if !listsAny(u, s.targets) {
			return nil
		}
		if u = u.whole(); u.skeleton() {
			s.unread[path.Base(u.Name())] = true
			return nil
		}
	}
	file := path.Base(u.Name())
	targets, ok := s.targets[file]
	if !ok {
		return nil
	}
	s.units[file]++
	if u.Assembly() {
		loc := Location{Method: ByFile, File: u.Name(), Unit: u.Name(), CompDir: u.CompDir()}
		for _, i := range targets {
			if s.l.targets[i].Data && s.out[i].Method == None {
				s.claims[i] = append(s.claims[i], loc)
			}
		}
		s.l.d.spend(uint64(len(targets)) * stepsPerOffer)
		return nil
	}
	err := s.l.claims(u, true, targets, func(i int, c candidate) {
		s.l.d.spend(uint64(len(s.claims[i])))
		if loc := c.location(); !slices.Contains(s.claims[i], loc) {
			s.claims[i] = append(s.claims[i], loc)
		}
	})
	if err != nil && u.from != nil {
		u.from.lacksSplit(u.d.named(err))
	} else if err != nil {
		return err
	}
	u.unload()
	return nil
}

// decide locates the targets with exactly one claim.
func (s *fileSearch) decide() {
	for i, c := range s.claims {
		file := path.Base(s.l.targets[i].File)
		switch {
		case len(c) == 1 && !s.unread[file] && (c[0].Method != ByFile || s.units[file] == 1):
			s.out[i] = c[0]
		case s.l.twin(i, &s.out[i]):
			s.out[i] = Location{}
		}
	}
}

// open reports whether a target's location so far may be replaced: there is none, or the entry at
// its address has another name or is in another file.
func (l *locator) open(target int, loc *Location) bool {
	return loc.Method == None || loc.File == "" ||
		!l.found[target].named && loc.Method != LineRow || l.twin(target, loc)
}

// twin reports whether the entry at a target's address is in a unit of another file than the file
// symbol names. A linker that folds equal functions leaves the entry of one; the others have its
// address.
func (l *locator) twin(target int, loc *Location) bool {
	c, file := &l.found[target], path.Base(l.targets[target].File)
	return c.ok && loc.Method != None && loc.Method != LineRow && file != "." &&
		path.Base(c.entry.home().Name()) != file && path.Base(loc.Unit) != file
}
