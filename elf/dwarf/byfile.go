package dwarf

import (
	"context"
	"path"
)

// locateByFile finds what has no address in the debugging information, by the file symbol that the symbol stands under,
// if exactly one unit of the object was made of a file of that name. Two kinds are known: functions that the compiler
// found equal to another and folded into a jump there, which have a declaration but no low_pc; and data of assembly,
// whose unit tells the file, not the line.
func (d *Data) locateByFile(ctx context.Context, targets []Target, out []Location) error {
	byFile := map[string][]int{}
	for i, t := range targets {
		if t.File != "" && (out[i].Source == None || out[i].File == "") {
			byFile[t.File] = append(byFile[t.File], i)
		}
	}
	if len(byFile) == 0 {
		return nil
	}
	units := map[string]int{} // index of the unit of each file, -1 if there are several
	for i := range d.units {
		file := path.Base(d.units[i].Name())
		if _, ok := byFile[file]; !ok {
			continue
		}
		if _, ok := units[file]; ok {
			units[file] = -1
		} else {
			units[file] = i
		}
	}
	for i := range d.units {
		u := &d.units[i]
		file := path.Base(u.Name())
		if at, ok := units[file]; !ok || at != i {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.locateFolded(targets, byFile[file], out); err != nil {
			return err
		}
	}
	return nil
}

// locateFolded locates the targets with these indices, which stand under the unit's file symbol.
func (u *Unit) locateFolded(targets []Target, indices []int, out []Location) error {
	if u.Assembly() {
		for _, i := range indices {
			if targets[i].Data {
				out[i] = Location{Source: File, File: u.Name(), Unit: u.Name(), CompDir: u.CompDir()}
			}
		}
		return nil
	}
	matches := make([]int, len(indices))
	err := u.walk(false, func(e *entry) {
		if e.vals[slotDeclaration].form != 0 || len(u.entrySpans(e)) > 0 {
			return
		}
		for n, i := range indices {
			if !targets[i].Data && e.bears(targets[i].Name) {
				matches[n]++
				c := candidate{entry: *e, source: Name}
				out[i] = c.location()
			}
		}
	})
	for n, i := range indices {
		if matches[n] > 1 {
			out[i] = Location{} // several claim it: none is believed
		}
	}
	u.unload()
	return err
}
