// Package registry reads, writes and compares symbols.kas, the symbol file that a run exports for
// later builds, out-of-tree modules and lookups. It is plain text: header lines that begin with
// "#", then one line of tab-separated columns for each symbol, all in the order of
// `LC_ALL=C sort`, so that sort, join, look and awk work on it.
//
// A registry is never written again. What is learned later goes into an overlay, a second file in
// the same format: the symbols of modules built later, and newer versions of the registry's lines.
package registry

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// FileName is the name of a build's registry. It may be shipped compressed, as FileName.zst.
const FileName = "symbols.kas"

// Format is the version of the file format. Files of format 1 have neither the modules nor what is
// missing in their headers.
const Format = 2

// Columns are the columns of a line, in order.
var Columns = []string{
	"name", "object", "section", "address", "size", "type", "count", "position", "base", "alias",
	"file", "line", "unit", "source",
}

// Vmlinux is the object of symbols that belong to no module.
const Vmlinux = "vmlinux"

// Header identifies the build that the symbols come from. Empty values are not written.
type Header struct {
	Arch      string
	Toolchain string
	LTO       string
	Release   string
	BuildID   string // of vmlinux, in hexadecimal
	Policy    string // the settings that decide which symbols get an alias and how it is spelled
	OverlayOf string // in an overlay: the Digest of its registry
	Symbols   int    // number of lines after the header

	Modules    []Module // sorted by object; empty in format 1
	Incomplete Incomplete
}

// Module is a module's file, as the build had it.
type Module struct {
	Object  string
	Name    string // the kernel's name of the module
	BuildID string // in hexadecimal, "" if it has none
}

// Incomplete says which objects of the build are missing, because the run could not read them. Any
// symbol of the registry may share its name with a symbol of theirs.
type Incomplete struct {
	Objects int    // number of missing objects
	Names   string // of the first ones, for messages
}

// maxMissing is how many missing objects the header names.
const maxMissing = 10

// Missing returns what a header says about missing objects.
func Missing(objects []string) Incomplete {
	var names []string
	for _, o := range objects[:min(len(objects), maxMissing)] {
		// Quoted, a name cannot end the header line.
		if quoted := strconv.Quote(o); quoted != `"`+o+`"` || strings.Contains(o, ", ") {
			o = quoted
		}
		names = append(names, o)
	}
	if more := len(objects) - maxMissing; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return Incomplete{len(objects), strings.Join(names, ", ")}
}

// String returns a sentence about the missing objects, "" if there are none.
func (i *Incomplete) String() string {
	switch i.Objects {
	case 0:
		return ""
	case 1:
		return "incomplete: 1 object could not be read (" + i.Names + ")"
	}
	return fmt.Sprintf("incomplete: %d objects could not be read (%s)", i.Objects, i.Names)
}

// findModule returns what the header says about an object, nil if nothing.
func (h *Header) findModule(object string) *Module {
	i, ok := slices.BinarySearchFunc(h.Modules, object,
		func(m Module, object string) int { return strings.Compare(m.Object, object) })
	if !ok {
		return nil
	}
	return &h.Modules[i]
}

// Differs compares the headers of two kernels and describes the first field that differs; "" if
// they may be the same kernel. A field that is empty in either header is not compared.
func (h *Header) Differs(o *Header) string {
	for _, f := range []struct{ name, a, b string }{
		{"arch", h.Arch, o.Arch}, {"kernel release", h.Release, o.Release},
		{"build ID", h.BuildID, o.BuildID}, {"toolchain", h.Toolchain, o.Toolchain},
		{"LTO", h.LTO, o.LTO}, {"policy", h.Policy, o.Policy},
	} {
		if f.a != f.b && f.a != "" && f.b != "" {
			return fmt.Sprintf("%s %s, not %s", f.name, f.a, f.b)
		}
	}
	return ""
}

// Separator returns the text between name and location in the aliases of this build.
func (h *Header) Separator() string {
	for _, word := range strings.Fields(h.Policy) {
		if sep, ok := strings.CutPrefix(word, "separator="); ok && sep != "" {
			return sep
		}
	}
	return "@"
}

// Record is a symbol that kallsyms would show.
type Record struct {
	Name     string
	Object   string
	Section  string
	Address  uint64 // virtual address in vmlinux, offset in the section in a module
	Size     uint64
	Type     byte // letter that nm prints
	Count    int  // symbols of the build with this name
	Position int  // among those of its object, from 1: livepatch's sympos

	// Base is the name without its identity suffix. It is set for duplicates and for names with a
	// suffix. The fields below it are set only for symbols with an alias.
	Base, Alias, File string
	Line              int64
	Unit, Method      string // Method is how the location was found: the column "source"

	// Offset is that of the address that Lookup was asked for, from Address.
	Offset uint64

	// Renamed is the kernel's name of the module if the file has another. It is in the header.
	Renamed string
}

// late ends the Method of a record whose alias is in no symbol table: the symbol's name was unique
// when it was linked.
const late = ", late"

// Late reports whether the alias is missing from the symbol table of the running kernel.
func (r *Record) Late() bool { return strings.HasSuffix(r.Method, late) }

// MakeLate marks the alias as missing from the symbol table.
func (r *Record) MakeLate() {
	if !r.Late() {
		r.Method += late
	}
}

// These words end the Method of a record, before late, whose type letter is wrong about code.
const (
	code    = "code"
	notCode = "not code"
)

// codeLetters are nm's letters of code.
const codeLetters = "tTwW"

// Code reports whether the symbol is code. nm's letter says it for most symbols. It is wrong for
// data in a section that is flagged as instructions, and nm shows no section for weak symbols: then
// the end of Method says it.
func (r *Record) Code() bool {
	method := strings.TrimSuffix(r.Method, late)
	switch {
	case strings.HasSuffix(method, notCode):
		return false
	case strings.HasSuffix(method, code):
		return true
	}
	return strings.IndexByte(codeLetters, r.Type) >= 0
}

// SetCode records whether the symbol is code. The other fields must be set.
func (r *Record) SetCode(is bool) {
	if r.Code() == is {
		return
	}
	word := notCode
	if is {
		word = code
	}
	if r.Method != "" {
		word = r.Method + ", " + word
	}
	r.Method = word
}

// Location returns where the source declares the symbol: FILE:LINE, and " in UNIT" if the unit is
// another file; "" if the location is unknown.
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

// BaseName returns the name without its identity suffix.
func (r *Record) BaseName() string {
	if r.Base != "" {
		return r.Base
	}
	return r.Name
}

// Module returns the kernel's name of the record's module, "" for vmlinux.
func (r *Record) Module() string { return cmp.Or(r.Renamed, ModuleName(r.Object)) }

// ModuleName returns the name of a module by its file, "" for vmlinux.
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
