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
	byFile := map[string][]int{}
	for i, t := range l.targets {
		if t.File != "" && l.open(i, &out[i]) {
			file := path.Base(t.File) // gcc of mips writes a path
			byFile[file] = append(byFile[file], i)
		}
	}
	if len(byFile) == 0 {
		return nil
	}
	claims := map[int][]Location{}
	units := map[string]int{}
	unread := map[string]bool{} // a unit of this file cannot be read, so it may have another claim
	for i := range l.d.units {
		u := &l.d.units[i]
		if u.skeleton() {
			if !listsAny(u, byFile) {
				continue
			}
			if u = u.whole(); u.skeleton() {
				unread[path.Base(u.Name())] = true
				continue
			}
		}
		file := path.Base(u.Name())
		targets, ok := byFile[file]
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		units[file]++
		if u.Assembly() {
			loc := Location{Method: ByFile, File: u.Name(), Unit: u.Name(), CompDir: u.CompDir()}
			for _, i := range targets {
				if l.targets[i].Data && out[i].Method == None {
					claims[i] = append(claims[i], loc)
				}
			}
			l.d.work += uint64(len(targets))
			continue
		}
		err := l.claims(u, targets, func(i int, c candidate) {
			if loc := c.location(); !slices.Contains(claims[i], loc) {
				claims[i] = append(claims[i], loc)
			}
		})
		if err != nil && u.from != nil {
			u.from.lacksSplit(u.d.named(err))
		} else if err != nil {
			return err
		}
		u.unload()
	}
	for i, c := range claims {
		file := path.Base(l.targets[i].File)
		switch {
		case len(c) == 1 && !unread[file] && (c[0].Method != ByFile || units[file] == 1):
			out[i] = c[0]
		case l.twin(i, &out[i]):
			out[i] = Location{}
		}
	}
	return nil
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
		path.Base(c.entry.unit.Name()) != file && path.Base(loc.Unit) != file
}
