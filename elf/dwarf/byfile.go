package dwarf

import (
	"context"
	"path"
)

// locateByFile finds what has no address in the debugging information, by the file symbol that the symbol stands under.
// Two kinds are known: functions and constants that were folded into an equal one, which have an entry without an
// address, if exactly one entry in the units of that file bears the name; and data of assembly, whose unit tells the
// file, not the line, if exactly one unit was made of a file of that name.
func (d *Data) locateByFile(ctx context.Context, l *locator, out []Location) error {
	byFile := map[string][]int{}
	for i, t := range l.targets {
		if t.File != "" && (out[i].Method == None || out[i].File == "" || !l.found[i].named && out[i].Method != LineRow) {
			byFile[t.File] = append(byFile[t.File], i)
		}
	}
	if len(byFile) == 0 {
		return nil
	}
	claims := map[int][]Location{}
	units := map[string]int{}
	for i := range d.units {
		u := &d.units[i]
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
			for _, i := range targets {
				if l.targets[i].Data && out[i].Method == None {
					claims[i] = append(claims[i], Location{Method: ByFile, File: u.Name(), Unit: u.Name(), CompDir: u.CompDir()})
				}
			}
			continue
		}
		if err := l.claims(u, targets, func(i int, c candidate) { claims[i] = append(claims[i], c.location()) }); err != nil {
			return err
		}
		u.unload()
	}
	for i, c := range claims {
		if len(c) == 1 && (c[0].Method != ByFile || units[l.targets[i].File] == 1) {
			out[i] = c[0]
		}
	}
	return nil
}
