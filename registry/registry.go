// Package registry is the exported symbol file of a build, symbols.kas: what later builds, out-of-tree modules and
// look-ups read. It is plain text, header lines that begin with "#" and then one tab-separated line for each symbol, the
// whole in the order of `LC_ALL=C sort`, so that sort, join, look and awk work on it.
package registry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Format is the version of the file's format.
const Format = 1

// Columns are the fields of a line, in order.
var Columns = []string{
	"name", "object", "section", "address", "size", "type", "count", "position", "base", "alias", "file", "line", "unit", "source",
}

// Header says which build the symbols are of. Empty values are left out.
type Header struct {
	Arch      string
	Toolchain string
	LTO       string
	Release   string
	Policy    string // what decided which symbols got an alias and how it is spelled
}

// Record is a symbol that kallsyms would show.
type Record struct {
	Name     string
	Object   string
	Section  string
	Address  uint64 // virtual in vmlinux, the offset in its section in a module
	Size     uint64
	Type     byte // nm's letter
	Count    int  // symbols of the build that carry this name
	Position int  // among those of its object, from 1: livepatch's sympos
	// The rest is empty but for duplicates.
	Base, Alias, File string
	Line              int64
	Unit, Source      string
}

// AppendHeader appends the lines that a file begins with.
func AppendHeader(b []byte, h Header) []byte {
	header := []string{
		fmt.Sprintf("#format\tkas symbols %d\n", Format),
		"#columns\t" + strings.Join(Columns, " ") + "\n",
	}
	for _, f := range [][2]string{{"arch", h.Arch}, {"toolchain", h.Toolchain}, {"lto", h.LTO}, {"release", h.Release}, {"policy", h.Policy}} {
		if f[1] != "" {
			header = append(header, "#"+f[0]+"\t"+f[1]+"\n")
		}
	}
	slices.Sort(header)
	for _, line := range header {
		b = append(b, line...)
	}
	return b
}

// AppendName appends the lines of the symbols of one name. A file is its header and those of all names, in the order of
// the names' bytes.
func AppendName(b []byte, records []Record) []byte {
	start := len(b)
	for i := range records {
		b = records[i].appendLine(b)
	}
	if len(records) > 1 {
		text := string(b[start:])
		b = b[:start]
		for _, line := range slices.Sorted(strings.Lines(text)) {
			b = append(b, line...)
		}
	}
	return b
}

func (r *Record) appendLine(b []byte) []byte {
	b = append(b, r.Name...)
	b = append(append(b, '\t'), r.Object...)
	b = append(append(b, '\t'), r.Section...)
	b = strconv.AppendUint(append(b, '\t'), r.Address, 16)
	b = strconv.AppendUint(append(b, '\t'), r.Size, 10)
	b = append(b, '\t', r.Type)
	b = strconv.AppendInt(append(b, '\t'), int64(r.Count), 10)
	b = strconv.AppendInt(append(b, '\t'), int64(r.Position), 10)
	b = append(append(b, '\t'), r.Base...)
	b = append(append(b, '\t'), r.Alias...)
	b = append(append(b, '\t'), r.File...)
	b = append(b, '\t')
	if r.Line > 0 {
		b = strconv.AppendInt(b, r.Line, 10)
	}
	b = append(append(b, '\t'), r.Unit...)
	b = append(append(b, '\t'), r.Source...)
	return append(b, '\n')
}
