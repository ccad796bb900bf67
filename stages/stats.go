package stages

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kas/pipeline"
	"kas/registry"
)

// tableFiles are the files that Stats writes.
var tableFiles = []string{aliasTable, unaliasedTable, frequencyTable, registry.FileName}

const (
	aliasTable     = "aliases.tsv"
	unaliasedTable = "unaliased.tsv"
	frequencyTable = "modules.symbfreq"
)

// Stats counts the results and writes the build's tables.
func Stats(ctx context.Context, b *pipeline.Build) error {
	count(b)
	if err := claimTables(b); err != nil {
		return err
	}
	err := b.WriteTable(aliasTable, func(w io.Writer) error { return writeAliases(w, b) })
	if err != nil {
		return err
	}
	err = b.WriteTable(unaliasedTable, func(w io.Writer) error { return writeUnaliased(w, b) })
	if err != nil {
		return err
	}
	frequencies := func(buf []byte, from, to int) []byte {
		for i := from; i < to; i++ {
			buf = append(append(buf, b.Name(i)...), ':')
			buf = append(strconv.AppendInt(buf, int64(len(b.Names.At(i))), 10), '\n')
		}
		return buf
	}
	if err := b.WriteLines(ctx, frequencyTable, nil, b.Names.Len(), frequencies); err != nil {
		return err
	}
	return writeRegistry(ctx, b, registry.FileName)
}

// Registry returns a stage in the place of Stats that writes only the registry. place returns its
// path, which may depend on the build's release and build ID.
func Registry(place func(*pipeline.Build) (string, error)) pipeline.Stage {
	write := func(ctx context.Context, b *pipeline.Build) error {
		count(b)
		path, err := place(b)
		if err != nil {
			return err
		}
		b.Dir = filepath.Dir(path)
		return writeRegistry(ctx, b, filepath.Base(path))
	}
	return pipeline.Stage{Name: "registry", Run: write}
}

func writeRegistry(ctx context.Context, b *pipeline.Build, name string) error {
	records := func(buf []byte, from, to int) []byte {
		var records []registry.Record
		for i := from; i < to; i++ {
			records = appendRecords(records[:0], b, b.Names.At(i))
			buf = registry.AppendName(buf, records)
		}
		return buf
	}
	head := registry.NewHead(RegistryHeader(b))
	return b.WriteLines(ctx, name, head, b.Names.Len(), records)
}

// tablePaths returns the paths of the tables, and of the file that marks the build finished.
func tablePaths(b *pipeline.Build) (paths []string) {
	for _, name := range append([]string{pipeline.BuildFile}, tableFiles...) {
		paths = append(paths, b.Path(name))
	}
	return paths
}

// claimTables makes sure that the build may write its tables.
func claimTables(b *pipeline.Build) error {
	foreign, err := b.Claim(tablePaths(b))
	for _, there := range foreign {
		err = cmp.Or(err, pipeline.Foreign(there))
	}
	return err
}

// RegistryHeader returns the header of the build's registry.
func RegistryHeader(b *pipeline.Build) registry.Header {
	return registry.Header{
		Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO, Release: b.Release, BuildID: b.BuildID,
		Policy: Policy(&b.Config.Alias), Symbols: len(b.Names.Refs), Modules: Modules(b),
		Incomplete: registry.Missing(b.Missing()),
	}
}

// Modules returns the modules of the build whose symbols are in its registry.
func Modules(b *pipeline.Build) []registry.Module {
	var all []registry.Module
	for i := range b.Objects {
		if o := &b.Objects[i]; !o.Vmlinux && o.Readable() {
			all = append(all, registry.Module{Object: o.Name, Name: o.Module, BuildID: o.BuildID})
		}
	}
	return all
}

func count(b *pipeline.Build) {
	s := &b.Stats
	s.Objects = len(b.Objects) - len(s.LeftOut)
	s.Names = b.Names.Len()
	for i := range s.Names {
		if len(b.Names.At(i)) > 1 {
			s.Repeated++
		}
	}
	s.Groups = len(b.Groups)
	s.Unaliased = map[string]int{}
	for i := range b.Objects {
		o := &b.Objects[i]
		if o.LeftOut {
			continue
		}
		if !o.Vmlinux {
			s.Modules++
		}
		if o.Readable() {
			s.BytesIn += o.Size
		} else {
			s.Unreadable++
		}
		if o.NoDebug && o.Readable() {
			s.NoDebug++
		}
		if o.Failed() {
			s.Failed++
		}
		if o.Emitted > 0 && !o.Vmlinux {
			s.Emitted++
			s.BytesOut += o.Emitted
			if o.Signed && hasCopy(b, o) {
				s.Signed++
			}
		}
		s.Symbols += len(o.Symbols)
		s.Duplicates += len(o.Duplicates)
		for j := range o.Duplicates {
			d := &o.Duplicates[j]
			if d.Alias == "" {
				s.Unaliased[cmp.Or(d.Reason, notResolved)]++
				continue
			}
			s.Aliases++
			if o.Vmlinux {
				s.InVmlinux++
			} else {
				s.InModules++
			}
			if d.SuffixFree {
				s.SuffixFree++
			}
			if d.Location.Unit != d.Location.File {
				s.ByUnit++
			}
			if d.Ordinal {
				s.ByOrdinal++
			}
			if d.Shortened {
				s.Shortened++
			}
		}
	}
}

func writeAliases(w io.Writer, b *pipeline.Build) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintln(buf, "alias\tsymbol\tobject\tsection\taddress\ttype\tfile\tline\tunit\tsource")
	for i := range b.Objects {
		o := &b.Objects[i]
		for j := range o.Duplicates {
			if d := &o.Duplicates[j]; d.Alias != "" {
				fmt.Fprintf(buf, "%s\t", d.Alias)
				writeSymbol(buf, o, d)
				l := &d.Location
				fmt.Fprintf(buf, "\t%s\t%d\t%s\t%s\n", l.File, l.Line, l.Unit, method(d))
			}
		}
	}
	return buf.Flush()
}

func writeUnaliased(w io.Writer, b *pipeline.Build) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintln(buf, "symbol\tobject\tsection\taddress\ttype\treason")
	for i := range b.Objects {
		o := &b.Objects[i]
		for j := range o.Duplicates {
			if d := &o.Duplicates[j]; d.Alias == "" {
				writeSymbol(buf, o, d)
				fmt.Fprintf(buf, "\t%s\n", cmp.Or(d.Reason, notResolved))
			}
		}
	}
	return buf.Flush()
}

// notResolved is the reason of a duplicate in a run without the resolve stage.
const notResolved = "not resolved"

// writeSymbol writes the columns symbol to type.
func writeSymbol(w io.Writer, o *pipeline.Object, d *pipeline.Duplicate) {
	s := &o.Symbols[d.Symbol]
	section := o.Sections[s.Section].Name
	fmt.Fprintf(w, "%s\t%s\t%s\t%x\t%c", s.Name, o.Name, section, s.Value, s.Letter)
}

// method returns the source column of a duplicate: how its location was found and, if its name has
// a suffix, what that means.
func method(d *pipeline.Duplicate) string {
	if d.Suffix == "" || d.Location.Method == "" {
		return d.Location.Method
	}
	return d.Location.Method + ", " + d.Suffix
}

// Records returns the registry's records of a build, in the registry's order. An alias that the
// symbol's object does not get is a late alias.
func Records(b *pipeline.Build) []registry.Record {
	var all []registry.Record
	for i := range b.Names.Len() {
		all = appendRecords(all, b, b.Names.At(i))
	}
	return all
}

// appendRecords appends the registry's records of the symbols of one name.
func appendRecords(
	records []registry.Record, b *pipeline.Build, members []pipeline.Ref,
) []registry.Record {
	var position []int
	if len(members) > 1 {
		position = positions(b, members)
	}
	for i, ref := range members {
		r := recordOf(b, ref)
		r.Count, r.Position = len(members), 1
		if position != nil {
			r.Position = position[i]
		}
		records = append(records, r)
	}
	return records
}

func recordOf(b *pipeline.Build, ref pipeline.Ref) registry.Record {
	o, s := b.Ref(ref)
	r := registry.Record{
		Name: s.Name, Object: o.Name, Section: o.Sections[s.Section].Name, Address: s.Value,
		Size: s.Size, Type: s.Letter,
	}
	if o.Module != registry.ModuleName(o.Name) {
		r.Renamed = o.Module
	}
	late := false
	if s.Duplicate > 0 {
		d := &o.Duplicates[s.Duplicate-1]
		l := &d.Location
		r.Base, r.Alias = b.Groups[d.Group].Base, cmp.Or(d.Alias, d.Has)
		r.File, r.Line, r.Unit, r.Method = l.File, l.Line, l.Unit, method(d)
		late = d.Alias != "" && !b.Scope.Carries(o, d)
	} else if strings.IndexByte(s.Name, '.') >= 0 {
		// The only symbol with its base name. A module that is built later may have another one.
		if base, _, _ := classify(s.Name, s.Code, b.Toolchain, b.LTO); base != s.Name {
			r.Base = base
		}
	}
	r.SetCode(s.Code)
	if late {
		r.MakeLate()
	}
	return r
}

// positions returns the position of each symbol of one name as livepatch counts it (sympos): from 1
// in each object, in vmlinux by address, in a module by index in the symbol table. members are
// sorted.
func positions(b *pipeline.Build, members []pipeline.Ref) []int {
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	if o, _ := b.Ref(members[0]); o.Vmlinux {
		n := 1
		for n < len(members) && members[n].Object == members[0].Object {
			n++
		}
		value := func(i int) uint64 { return o.Symbols[members[i].Symbol].Value }
		slices.SortStableFunc(order[:n], func(x, y int) int {
			return cmp.Compare(value(x), value(y))
		})
	}
	positions := make([]int, len(members))
	n, last := 0, int32(-1)
	for _, i := range order {
		if members[i].Object != last {
			n, last = 0, members[i].Object
		}
		n++
		positions[i] = n
	}
	return positions
}
