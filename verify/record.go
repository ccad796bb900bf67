package verify

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// recordFile lists the files of a folder that kas wrote: a line of comment, then a quoted path on
// each line, relative to the folder and sorted.
const (
	recordFile = "kas.files"
	recordHead = "# The files of this folder that kas wrote. It replaces and removes no others.\n"
)

// tableFiles are in the folder of every finished build, besides its record.
var tableFiles = []string{
	"aliases.tsv", "unaliased.tsv", "modules.symbfreq", "symbols.kas", builtFile,
}

func recordText(dir string, paths []string) string {
	var names []string
	for _, path := range paths {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		if abs, err := filepath.Abs(dir); err == nil {
			if rel, err := filepath.Rel(abs, path); err == nil {
				path = filepath.ToSlash(rel)
			}
		}
		names = append(names, path)
	}
	slices.Sort(names)
	text := recordHead
	for _, name := range names {
		text += strconv.Quote(name) + "\n"
	}
	return text
}

// checkRecord compares the record of the build's folder with what must be there.
func (b *build) checkRecord() {
	got, ok := b.read(recordFile)
	if !ok {
		return
	}
	var paths []string
	for _, name := range tableFiles {
		paths = append(paths, filepath.Join(b.Dir, name))
	}
	if b.hasVmlinux() {
		paths = append(paths, filepath.Join(b.Dir, "vmlinux.syms"))
	}
	for i := range b.objects {
		if o := &b.objects[i]; o.emitted != "" && (len(o.aliases) > 0 || thereIs(o.emitted)) {
			paths = append(paths, o.emitted)
		}
	}
	if got != recordText(b.Dir, paths) {
		b.add("%s does not list exactly what the run wrote", recordFile)
	}
}

func thereIs(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// CheckRecord checks the record of the files beside the folders of builds. It returns "" if that is
// right.
func CheckRecord(out string, files []string) string {
	var paths []string
	for _, name := range files {
		paths = append(paths, filepath.Join(out, name))
	}
	got, err := os.ReadFile(filepath.Join(out, recordFile))
	switch {
	case err != nil:
		return recordFile + " is missing"
	case string(got) != recordText(out, paths):
		return recordFile + " does not list exactly what the run wrote"
	}
	return ""
}
