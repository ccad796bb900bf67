package configs

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"syscall"
)

// SetOut chooses another output folder than the file does.
func (p *Plan) SetOut(dir string) { p.Out, p.outAt = dir, position{} }

// CheckOut refuses an output folder that holds an input or is in a folder of inputs. A run replaces
// and removes files of the output folder, and the next one would take them for inputs. Folders are
// compared as the file system knows them, whatever their names.
func (p *Plan) CheckOut() error {
	holding := folders{}
	searched := folders{}
	for i := range p.Builds {
		b := &p.Builds[i]
		if b.Vmlinux != "" {
			holding.add(filepath.Dir(b.Vmlinux))
		}
		for _, m := range b.found {
			holding.add(filepath.Dir(m.Path))
		}
		for _, entry := range b.Modules {
			fixed, rest := splitGlob(entry)
			if id, ok := folderID(fixed); ok && rest == "" {
				searched[id] = fixed
				holding.add(fixed)
			}
		}
	}
	outs := []string{p.Out}
	for _, b := range p.Builds {
		outs = append(outs, filepath.Join(p.Out, b.Name), filepath.Join(p.Out, b.Name, "modules"))
	}
	for _, out := range outs {
		if id, ok := folderID(out); ok && holding[id] != "" {
			return p.refuseOut("%s holds %s", out, holding[id])
		}
	}
	above := folders{}
	above.add(p.Out)
	for id, dir := range searched {
		if above[id] != "" {
			return p.refuseOut("%s is in %s, a folder of modules", p.Out, dir)
		}
	}
	return nil
}

func (p *Plan) refuseOut(format string, args ...any) error {
	msg := fmt.Sprintf("out: "+format+": choose another folder", args...)
	if p.outAt.line == 0 {
		return Errors{{Msg: msg}}
	}
	return Errors{{File: p.File, Line: p.outAt.line, Column: p.outAt.column, Msg: msg}}
}

// Places returns the folders that the builds' files are in or below, each with its device and
// inode, or zeros if there is none.
func (p *Plan) Places() map[string][2]uint64 {
	places := map[string][2]uint64{}
	add := func(dir string) {
		id, ok := folderID(dir)
		if !ok { // of a file
			dir = filepath.Dir(dir)
			id, _ = folderID(dir)
		}
		places[dir] = id
	}
	for i := range p.Builds {
		b := &p.Builds[i]
		if b.Vmlinux != "" {
			add(b.Vmlinux)
		}
		for _, entry := range b.Modules {
			fixed, _ := splitGlob(entry)
			add(fixed)
		}
		for _, dir := range b.Debug {
			add(dir)
		}
	}
	return places
}

// Moved returns one of the places that is not what it was, "" if all are.
func Moved(places map[string][2]uint64) string {
	for _, dir := range slices.Sorted(maps.Keys(places)) {
		if id, _ := folderID(dir); id != places[dir] {
			return dir
		}
	}
	return ""
}

// folders holds folders by device and inode, each with the path for which it was added.
type folders map[[2]uint64]string

func folderID(path string) (id [2]uint64, ok bool) {
	var st syscall.Stat_t
	if syscall.Stat(path, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return id, false
	}
	return [2]uint64{uint64(st.Dev), st.Ino}, true
}

// add adds a folder and all above it. One that is not there counts as the nearest one that is.
func (f folders) add(dir string) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return
	}
	if id, ok := folderID(at); ok && f[id] != "" {
		return // and so were those above it
	}
	for {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			at = real
			break
		}
		if at == filepath.Dir(at) {
			return
		}
		at = filepath.Dir(at)
	}
	for {
		if id, ok := folderID(at); ok {
			if f[id] != "" {
				return
			}
			f[id] = dir
		}
		if at == filepath.Dir(at) {
			return
		}
		at = filepath.Dir(at)
	}
}
