// Package registry is the exported symbol file of a build, symbols.kas: what later builds, out-of-tree modules and
// look-ups read. It is plain text, header lines that begin with "#" and then one tab-separated line for each symbol, the
// whole in the order of `LC_ALL=C sort`, so that sort, join, look and awk work on it.
//
// An overlay is a file of the same form beside a registry, which is never written again: the symbols of modules that were
// built later, and symbols of the registry of which there is more to say since then.
package registry

import (
	"fmt"
	"hash/crc32"
	"path"
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

// Vmlinux is the object of symbols that are no module's.
const Vmlinux = "vmlinux"

// Header says which build the symbols are of. Empty values are left out.
type Header struct {
	Arch      string
	Toolchain string
	LTO       string
	Release   string
	BuildID   string // of vmlinux, in hexadecimal
	Policy    string // what decided which symbols got an alias and how it is spelled
	OverlayOf string // of an overlay: the Digest of its registry
	Symbols   int
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
	// Base is the name without its identity suffix, of duplicates and of names that have one. The rest is empty but for
	// symbols that have an alias.
	Base, Alias, File string
	Line              int64
	Unit, Method      string
}

// late marks an alias that no symbol table bears: its symbol was alone with its name when it was linked.
const late = ", late"

// Late says whether the alias is known but not borne: the running kernel's symbols do not have it.
func (r *Record) Late() bool { return strings.HasSuffix(r.Method, late) }

// MakeLate marks the alias as one that the object does not bear.
func (r *Record) MakeLate() {
	if !r.Late() {
		r.Method += late
	}
}

// Code says whether the symbol stands in a section of instructions, by nm's letter; a weak one may.
func (r *Record) Code() bool { return strings.IndexByte("tTwW", r.Type) >= 0 }

// Location returns where the source declares the symbol: FILE:LINE, and " in UNIT" if the unit is another file; "" if that
// is unknown.
func (r *Record) Location() string {
	location := r.File
	if location != "" && r.Line > 0 {
		location += ":" + strconv.FormatInt(r.Line, 10)
	}
	if r.Unit != r.File {
		location += " in " + r.Unit
	}
	return location
}

// BaseName is the name without its identity suffix.
func (r *Record) BaseName() string {
	if r.Base != "" {
		return r.Base
	}
	return r.Name
}

// Module is the name that the kernel gives the record's module, "" for vmlinux.
func (r *Record) Module() string { return ModuleName(r.Object) }

// ModuleName is the name that the kernel gives a module's file.
func ModuleName(object string) string {
	if object == Vmlinux {
		return ""
	}
	name := path.Base(object)
	for _, end := range []string{".kas", ".xz", ".zst", ".gz"} {
		name = strings.TrimSuffix(name, end)
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".ko"), ".o")
	return strings.ReplaceAll(name, "-", "_")
}

// Head is the header lines of a file that is being written. They hold its digest, and so they are known when the lines
// are; but their length is from the beginning.
type Head struct {
	before, after []byte // the lines around that of the digest
	crc           uint32 // of all but that line, so far
	size          int64  // of the lines
}

// NewHead begins a file.
func NewHead(h Header) *Head {
	lines := []string{
		fmt.Sprintf("#format\tkas symbols %d\n", Format),
		"#columns\t" + strings.Join(Columns, " ") + "\n",
		fmt.Sprintf("#symbols\t%d\n", h.Symbols),
	}
	for _, f := range [][2]string{
		{"arch", h.Arch}, {"toolchain", h.Toolchain}, {"lto", h.LTO}, {"release", h.Release}, {"build-id", h.BuildID}, {"policy", h.Policy},
		{"overlay-of", h.OverlayOf},
	} {
		if f[1] != "" {
			lines = append(lines, "#"+f[0]+"\t"+f[1]+"\n")
		}
	}
	slices.Sort(lines)
	at, _ := slices.BinarySearch(lines, digestKey)
	head := &Head{before: []byte(strings.Join(lines[:at], "")), after: []byte(strings.Join(lines[at:], ""))}
	head.crc = crc32.Update(crc32.ChecksumIEEE(head.before), crc32.IEEETable, head.after)
	return head
}

// Add takes the next lines of the file.
func (h *Head) Add(lines []byte) {
	h.crc = crc32.Update(h.crc, crc32.IEEETable, lines)
	h.size += int64(len(lines))
}

// Bytes returns the header lines of a file that ends with what was added last.
func (h *Head) Bytes() []byte {
	size := h.size + int64(len(h.before)+len(h.after)) + digestLength
	return slices.Concat(h.before, digestLine(h.crc, size), h.after)
}

const digestKey = "#digest\t"

// digestLine is the line of the digest: the CRC-32 (IEEE 802.3) of the file without that line, and the file's size.
func digestLine(crc uint32, size int64) []byte {
	return fmt.Appendf(nil, "%scrc32=%08x bytes=%012d\n", digestKey, crc, size)
}

var digestLength = int64(len(digestLine(0, 0)))

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
	b = append(append(b, '\t'), r.Method...)
	return append(b, '\n')
}
