package stages

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"kas/pipeline"
	"kas/registry"
)

// Stats counts what was done and writes the build's tables: aliases.tsv, unaliased.tsv, modules.symbfreq and the
// registry symbols.kas.
func Stats(ctx context.Context, b *pipeline.Build) error {
	count(b)
	counts := nameCounts(b)
	for _, t := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"aliases.tsv", func(w io.Writer) error { return writeAliases(w, b) }},
		{"unaliased.tsv", func(w io.Writer) error { return writeUnaliased(w, b) }},
		{"modules.symbfreq", func(w io.Writer) error { return writeFrequencies(w, counts) }},
		{"symbols.kas", func(w io.Writer) error { return writeRegistry(w, b, counts) }},
	} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := pipeline.WriteFile(b.Path(t.name), t.write); err != nil {
			return err
		}
	}
	return nil
}

func count(b *pipeline.Build) {
	s := &b.Stats
	s.Objects = len(b.Objects)
	s.Groups = len(b.Groups)
	s.Unaliased = map[string]int{}
	for i := range b.Objects {
		o := &b.Objects[i]
		if !o.Vmlinux {
			s.Modules++
		}
		if !o.Readable() {
			s.Unreadable++
		}
		if o.Failed() {
			s.Failed++
		}
		if o.Emitted > 0 {
			s.Emitted++
			s.BytesOut += o.Emitted
		}
		s.BytesIn += o.Size
		s.Symbols += len(o.Symbols)
		s.Duplicates += len(o.Duplicates)
		for j := range o.Duplicates {
			d := &o.Duplicates[j]
			if d.Alias == "" {
				s.Unaliased[cmp.Or(d.Reason, "not resolved")]++
				continue
			}
			s.Aliases++
			if o.Vmlinux {
				s.InVmlinux++
			} else {
				s.InModules++
			}
			if d.Plain {
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
				s, l := &o.Symbols[d.Symbol], &d.Location
				fmt.Fprintf(buf, "%s\t%s\t%s\t%s\t%x\t%c\t%s\t%d\t%s\t%s\n",
					d.Alias, s.Name, o.Name, o.Sections[s.Section].Name, s.Value, s.Letter, l.File, l.Line, l.Unit, l.Source)
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
				s := &o.Symbols[d.Symbol]
				fmt.Fprintf(buf, "%s\t%s\t%s\t%x\t%c\t%s\n",
					s.Name, o.Name, o.Sections[s.Section].Name, s.Value, s.Letter, cmp.Or(d.Reason, "not resolved"))
			}
		}
	}
	return buf.Flush()
}

// nameCounts is how many symbols carry each exact name.
func nameCounts(b *pipeline.Build) map[string]int {
	counts := make(map[string]int, b.Stats.Names)
	for i := range b.Objects {
		for j := range b.Objects[i].Symbols {
			counts[b.Objects[i].Symbols[j].Name]++
		}
	}
	return counts
}

func writeFrequencies(w io.Writer, counts map[string]int) error {
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	buf := bufio.NewWriterSize(w, 256<<10)
	for _, name := range names {
		buf.WriteString(name)
		fmt.Fprintf(buf, ":%d\n", counts[name])
	}
	return buf.Flush()
}

func writeRegistry(w io.Writer, b *pipeline.Build, counts map[string]int) error {
	records := make([]registry.Record, 0, b.Stats.Symbols)
	for i := range b.Objects {
		o := &b.Objects[i]
		positions := positions(o, counts)
		next := 0
		for j := range o.Symbols {
			s := &o.Symbols[j]
			r := registry.Record{
				Name: s.Name, Object: o.Name, Section: o.Sections[s.Section].Name, Address: s.Value, Size: s.Size,
				Type: s.Letter, Count: counts[s.Name], Position: 1,
			}
			if p, ok := positions[int32(j)]; ok {
				r.Position = p
			}
			if next < len(o.Duplicates) && int(o.Duplicates[next].Symbol) == j {
				d := &o.Duplicates[next]
				next++
				r.Base, r.Alias = b.Groups[d.Group].Base, d.Alias
				r.File, r.Line, r.Unit, r.Source = d.Location.File, d.Location.Line, d.Location.Unit, d.Location.Source
			}
			records = append(records, r)
		}
	}
	a := b.Config.Alias
	h := registry.Header{
		Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO, Release: b.Release,
		Policy: strings.Join([]string{"separator=" + a.Separator, "line=" + a.Line, "symbols=" + a.Symbols}, " "),
	}
	return registry.Write(w, h, records)
}

// positions numbers the symbols of an object that share an exact name as livepatch does: in vmlinux by address, in a
// module by their order in the symbol table. Symbols whose name is theirs alone in the build are left out.
func positions(o *pipeline.Object, counts map[string]int) map[int32]int {
	shared := map[string][]int32{}
	for i := range o.Symbols {
		if name := o.Symbols[i].Name; counts[name] > 1 {
			shared[name] = append(shared[name], int32(i))
		}
	}
	positions := make(map[int32]int, len(shared))
	for _, ids := range shared {
		if o.Vmlinux {
			slices.SortStableFunc(ids, func(x, y int32) int { return cmp.Compare(o.Symbols[x].Value, o.Symbols[y].Value) })
		}
		for n, id := range ids {
			positions[id] = n + 1
		}
	}
	return positions
}
