package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// RecordFile lists the files that kas wrote in a folder, itself excepted. Only what it lists may be
// replaced or removed.
const RecordFile = "kas.files"

const recordHead = "# The files of this folder that kas wrote. It replaces and removes no others.\n"

// Record is what RecordFile of a folder lists.
type Record struct {
	dir   string
	paths map[string]bool // relative to dir, or absolute
	text  string          // of the file, "" if there is none
}

// OpenRecord reads the record of a folder. A folder without one has an empty record. A damaged one
// is an error: what is in the folder could be anybody's.
func OpenRecord(dir string) (*Record, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &Record{dir: abs, paths: map[string]bool{}}
	path := filepath.Join(dir, RecordFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r.text = string(data)
	lines, ok := strings.CutPrefix(r.text, recordHead)
	for line := range strings.Lines(lines) {
		name, err := strconv.Unquote(strings.TrimSuffix(line, "\n"))
		ok = ok && err == nil && ownName(name)
		r.paths[name] = true
	}
	if !ok {
		return nil, fmt.Errorf("%s is damaged: remove %s, or choose another folder", path, dir)
	}
	return r, nil
}

// ownName reports whether kas writes files of this name. A record that somebody else made must not
// lead kas to other files.
func ownName(name string) bool {
	return strings.HasSuffix(name, ".kas") || filepath.IsLocal(name) && filepath.Base(name) == name
}

// Empty reports whether the folder has no record.
func (r *Record) Empty() bool { return r.text == "" }

func (r *Record) name(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if rel, err := filepath.Rel(r.dir, path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

func (r *Record) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// files returns the paths of the files that the record lists, and its own.
func (r *Record) files() []string {
	paths := []string{filepath.Join(r.dir, RecordFile)}
	for name := range r.paths {
		paths = append(paths, r.path(name))
	}
	return paths
}

// Has reports whether the record lists a file.
func (r *Record) Has(path string) bool { return r.paths[r.name(path)] }

// Claim adds files that are going to be written to the record, and saves it. It returns those that
// it does not list and that may not be written, each with the file that is in the way. They are
// not kas's. A copy of a module in another folder may be from a run with another record.
func (r *Record) Claim(paths []string) (foreign map[string]string, err error) {
	foreign = map[string]string{}
	for _, path := range paths {
		name := r.name(path)
		switch {
		case r.paths[name]:
		case exists(path) && (filepath.IsLocal(name) || !isCopy(path)):
			foreign[path] = path
		case exists(temporary(path)):
			foreign[path] = temporary(path)
		default:
			r.paths[name] = true
		}
	}
	return foreign, r.save()
}

// isCopy reports whether a file may be a copy of a module beside it: an object, or a link to the
// module.
func isCopy(path string) bool {
	if to, err := os.Readlink(path); err == nil {
		return to+".kas" == filepath.Base(path)
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	_, err = io.ReadFull(f, magic[:])
	return err == nil && string(magic[:]) == "\x7fELF"
}

// Adopt adds files that an older kas wrote, which kept no record.
func (r *Record) Adopt(paths []string) error {
	for _, path := range paths {
		r.paths[r.name(path)] = true
	}
	return r.save()
}

// AdoptFolder is Adopt for those of the paths that are there, and for all copies of modules below
// a folder. It does nothing if dir is not there.
func (r *Record) AdoptFolder(dir, copies string, paths []string) error {
	if !exists(dir) {
		return nil
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return !exists(p) })
	err := copiesBelow(copies, func(path string) {
		if strings.HasSuffix(path, ".kas") {
			paths = append(paths, path)
		} else if name, ok := strings.CutPrefix(filepath.Base(path), "."); ok {
			// A temporary file belongs to its final name.
			name, _ = strings.CutSuffix(name, ".tmp")
			paths = append(paths, filepath.Join(filepath.Dir(path), name))
		}
	})
	if err != nil {
		return err
	}
	return r.Adopt(paths)
}

// RemoveTemporary removes what a killed run left under the temporary names of the record's files.
func (r *Record) RemoveTemporary() error {
	for _, path := range r.files() {
		err := os.Remove(temporary(path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Keep makes the record list exactly these files, and saves it.
func (r *Record) Keep(paths []string) error {
	clear(r.paths)
	return r.Adopt(paths)
}

func (r *Record) save() error {
	text := r.String()
	if text == r.text {
		return nil
	}
	_, err := WriteFile(filepath.Join(r.dir, RecordFile), func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
	if err == nil {
		r.text = text
	}
	return err
}

// String returns the text of the record: a line for each file, sorted.
func (r *Record) String() string {
	text := []byte(recordHead)
	for _, name := range slices.Sorted(maps.Keys(r.paths)) {
		text = append(strconv.AppendQuote(text, name), '\n')
	}
	return string(text)
}

// Foreign is the error for a file that kas did not write where it wants to write one.
func Foreign(path string) error {
	return fmt.Errorf("%s is there, and kas did not write it: move it away", path)
}

// Claim makes sure that the build may write files, before it does: see Record.Claim. Without a
// record it may write all.
func (b *Build) Claim(paths []string) (foreign map[string]string, err error) {
	if !b.recorded {
		return nil, nil
	}
	if err := b.run.settled(); err != nil {
		return nil, err
	}
	if b.record, err = OpenRecord(b.Dir); err != nil {
		return nil, err
	}
	if err := b.unfinish(); err != nil {
		return nil, err
	}
	return b.record.Claim(paths)
}

// unfinish removes the file that marks the build finished, and puts that on disk.
func (b *Build) unfinish() error {
	if !b.record.Has(b.Path(BuildFile)) {
		return nil
	}
	err := os.Remove(b.Path(BuildFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return cmp.Or(err, SyncFolder(b.Dir))
}

// Keep makes the record list only those of the outputs that the run writes.
func (b *Build) Keep(outputs map[string]bool) error {
	if !b.recorded {
		return nil
	}
	var paths []string
	for path, written := range outputs {
		if written && b.record.Has(path) { // else something foreign is there
			paths = append(paths, path)
		}
	}
	return b.record.Keep(paths)
}
