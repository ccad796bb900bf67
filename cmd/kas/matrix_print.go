package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"kas/registry"
	"kas/report"
)

func (t *matrixTable) print(w io.Writer, f matrixFlags) error {
	switch {
	case f.format == "json":
		return t.printJSON(w, f.totals)
	case f.format != "table":
		return t.printLines(w, f.format == "csv")
	case f.long:
		return t.printLong(w)
	}
	if err := t.printTotals(w); err != nil || f.totals {
		return err
	}
	return t.printTable(w)
}

// matrixTotals are the counts of a build, or of all builds of a toolchain.
type matrixTotals struct {
	Functions int `json:"functions"`
	Repeated  int `json:"repeated"` // functions whose exact name several symbols have
	Renamed   int `json:"renamed"`  // functions with an identity suffix
	Folded    int `json:"folded"`   // functions with an alias
	Aliases   int `json:"aliases"`
}

type (
	matrixBuildJSON struct {
		Build     string `json:"build"`
		Path      string `json:"path"`
		Release   string `json:"release,omitempty"`
		Arch      string `json:"arch,omitempty"`
		Toolchain string `json:"toolchain,omitempty"`
		LTO       string `json:"lto,omitempty"`
		matrixTotals
	}
	matrixToolchainJSON struct {
		Toolchain string `json:"toolchain"`
		LTO       string `json:"lto"`
		Builds    int    `json:"builds"`
		matrixTotals
	}
	matrixRowJSON struct {
		Name    string           `json:"name"`
		File    string           `json:"file,omitempty"`
		Unit    string           `json:"unit,omitempty"`
		Differs bool             `json:"differs"`
		Builds  []matrixCellJSON `json:"builds"`
	}
	matrixCellJSON struct {
		Build    string       `json:"build"`
		Presence string       `json:"presence"`
		Symbols  []symbolJSON `json:"symbols"`
	}
	matrixJSON struct {
		Builds     []matrixBuildJSON     `json:"builds"`
		Toolchains []matrixToolchainJSON `json:"toolchains"`
		Functions  []matrixRowJSON       `json:"functions"`
	}
)

func (t *matrixTable) builds() (all []matrixBuildJSON) {
	for i, r := range t.registries {
		s := t.surveys[i]
		b := matrixBuildJSON{
			Build: t.labels[i], Path: r.Path, Release: r.Release, Arch: r.Arch,
			Toolchain: r.Toolchain, LTO: r.LTO, matrixTotals: matrixTotals{
				Functions: s.Functions, Repeated: s.Repeated, Renamed: s.Renamed,
				Aliases: len(s.Aliased),
			},
		}
		for j := range s.Aliased {
			if s.Aliased[j].Folded() {
				b.Folded++
			}
		}
		all = append(all, b)
	}
	return all
}

// toolchains adds up the builds of each toolchain and LTO mode.
func toolchains(builds []matrixBuildJSON) (all []matrixToolchainJSON) {
	for _, b := range builds {
		lto := cmp.Or(b.LTO, "none")
		at := slices.IndexFunc(all, func(t matrixToolchainJSON) bool {
			return t.Toolchain == b.Toolchain && t.LTO == lto
		})
		if at < 0 {
			at = len(all)
			all = append(all, matrixToolchainJSON{Toolchain: b.Toolchain, LTO: lto})
		}
		sum := &all[at]
		sum.Builds++
		sum.Functions += b.Functions
		sum.Repeated += b.Repeated
		sum.Renamed += b.Renamed
		sum.Folded += b.Folded
		sum.Aliases += b.Aliases
	}
	slices.SortFunc(all, func(a, b matrixToolchainJSON) int {
		return cmp.Or(strings.Compare(a.Toolchain, b.Toolchain), strings.Compare(a.LTO, b.LTO))
	})
	return all
}

// column names a build in the table: A to Z, then AA, AB and so on.
func column(i int) string {
	letter := string(rune('A' + i%26))
	if i < 26 {
		return letter
	}
	return column(i/26-1) + letter
}

func (t *matrixTable) printTotals(w io.Writer) error {
	builds := t.builds()
	rows := [][]string{{
		"", "build", "toolchain", "functions", "repeated", "renamed", "folded", "aliases",
	}}
	add := func(letter, name, toolchain string, n *matrixTotals) {
		row := []string{letter, name, toolchain}
		for _, n := range []int{n.Functions, n.Repeated, n.Renamed, n.Folded, n.Aliases} {
			row = append(row, strconv.Itoa(n))
		}
		rows = append(rows, row)
	}
	for i := range builds {
		b := &builds[i]
		add(column(i), b.Build, toolchainText(b.Toolchain, b.LTO), &b.matrixTotals)
	}
	for _, s := range toolchains(builds) {
		if s.Builds > 1 {
			add("", fmt.Sprintf("all %d", s.Builds), toolchainText(s.Toolchain, s.LTO),
				&s.matrixTotals)
		}
	}
	return writeAligned(w, rows, 3)
}

func toolchainText(toolchain, lto string) string {
	if lto == "" || lto == "none" {
		return cmp.Or(toolchain, "-")
	}
	return cmp.Or(toolchain, "-") + " " + lto
}

// widths returns the number of characters of each column.
func widths(rows [][]string) []int {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	return width
}

// writeAligned writes rows in columns. The first left columns are text, the others numbers.
func writeAligned(w io.Writer, rows [][]string, left int) error {
	width := widths(rows)
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			if i < left {
				fmt.Fprintf(&line, "%-*s", width[i], cell)
			} else {
				fmt.Fprintf(&line, "%*s", width[i], cell)
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// writeNarrow writes rows for a terminal that is narrower than their columns: name and location,
// and below them the cells in columns or, if these are too wide as well, each after its column's
// letter.
func writeNarrow(w io.Writer, rows [][]string, columns int) error {
	const indent = "     "
	wide := len(indent) - 2
	for _, n := range widths(rows)[2:] {
		wide += n + 2
	}
	var below []string
	if wide <= columns {
		var cells [][]string
		for _, row := range rows {
			cells = append(cells, append([]string{"   "}, row[2:]...))
		}
		var aligned strings.Builder
		if err := writeAligned(&aligned, cells, len(cells[0])); err != nil {
			return err
		}
		below = strings.SplitAfter(aligned.String(), "\n")
	} else {
		below = []string{""}
		for _, row := range rows[1:] {
			below = append(below, lettered(row[2:], indent, columns))
		}
	}
	for i, row := range rows {
		between := "  "
		if len(row[0])+len(row[1])+len(between) > columns {
			between = "\n  "
		}
		if _, err := fmt.Fprint(w, row[0], between, row[1], "\n", below[i]); err != nil {
			return err
		}
	}
	return nil
}

// lettered returns cells after the letters of their columns, in lines that fit unless a cell does
// not.
func lettered(cells []string, indent string, columns int) string {
	var text strings.Builder
	used := 0
	for i, cell := range cells {
		cell = column(i) + " " + cell
		between := "  "
		switch {
		case i == 0:
			between = indent
		case used+len(between)+len(cell) > columns:
			between, used = "\n"+indent, -1
		}
		text.WriteString(between + cell)
		used += len(between) + len(cell)
	}
	return text.String() + "\n"
}

func (t *matrixTable) printTable(w io.Writer) error {
	head := []string{"function", "location"}
	for i := range t.registries {
		head = append(head, column(i))
	}
	rows, differ := [][]string{head}, 0
	for i := range t.rows {
		r := &t.rows[i]
		if r.Differs() {
			differ++
		}
		row := []string{r.Base, cmp.Or(r.Location(), "-")}
		for j := range r.Cells {
			row = append(row, cellText(&r.Cells[j], r.Base, t.registries[j].Separator()))
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(w)
	if len(t.rows) > 0 {
		wide := -2
		for _, n := range widths(rows) {
			wide += n + 2
		}
		err := error(nil)
		if t.columns > 0 && wide > t.columns {
			err = writeNarrow(w, rows, t.columns)
		} else {
			err = writeAligned(w, rows, len(head))
		}
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "functions: %d, of which builds differ in %d\n", len(t.rows), differ)
	return err
}

// cellText returns what a build adds to a function's name.
func cellText(c *registry.Cell, base, separator string) string {
	var all []string
	for i := range c.Records {
		r := &c.Records[i]
		text := "unique"
		if r.Alias != "" {
			text = cmp.Or(r.Tail(separator), "alias")
		}
		if r.Name != base {
			text = strings.TrimPrefix(r.Name, base) + " " + text
		}
		if r.Folded() {
			text += " folded"
		}
		all = append(all, text)
	}
	switch {
	case len(all) > 0:
		return strings.Join(all, ", ")
	case c.Presence == registry.Unnamed:
		return "no alias"
	}
	return "-"
}

// presence names the state of a cell in the formats for programs.
func presence(c *registry.Cell) string {
	switch {
	case c.Presence == registry.Unique:
		return "unique"
	case len(c.Records) > 0:
		return "alias"
	case c.Presence == registry.Unnamed:
		return "unaliased"
	}
	return "absent"
}

// printLong prints a block for each function, with a line for each symbol of each build.
func (t *matrixTable) printLong(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i := range t.rows {
		r := &t.rows[i]
		fmt.Fprintf(tw, "%s, %s\n", r.Base, cmp.Or(r.Location(), "location unknown"))
		for j := range r.Cells {
			c := &r.Cells[j]
			if len(c.Records) == 0 {
				fmt.Fprintf(tw, "  %s\t%s\n", t.labels[j], cellText(c, r.Base, ""))
			}
			for k := range c.Records {
				s := &c.Records[k]
				where := address(s)
				if s.Object != registry.Vmlinux {
					where = s.Module() + " " + where
				}
				line := fmt.Sprintf("  %s\t%s\t%s\t%s", t.labels[j], cmp.Or(s.Alias, s.Name), where,
					matrixRemarks(s))
				fmt.Fprintln(tw, strings.TrimRight(line, "\t"))
			}
		}
	}
	return tw.Flush()
}

func matrixRemarks(r *registry.Record) string {
	var all []string
	if text := remarks(r); text != "" {
		all = append(all, text)
	}
	if r.Alias == "" && r.Count == 1 {
		all = append(all, "unique")
	}
	if r.Folded() {
		all = append(all, "folded")
	}
	return strings.Join(all, ", ")
}

// matrixColumns are those of the formats tsv and csv.
var matrixColumns = []string{
	"function", "file", "unit", "differs", "build", "presence", "name", "alias", "line", "object",
	"section", "address", "size", "source",
}

// printLines prints a line for each function and build, and several if a build has several symbols
// of one location.
func (t *matrixTable) printLines(w io.Writer, comma bool) error {
	write := func(columns []string) error {
		_, err := fmt.Fprintln(w, strings.Join(columns, "\t"))
		return err
	}
	if comma {
		c := csv.NewWriter(w)
		defer c.Flush()
		write = c.Write
	}
	if err := write(matrixColumns); err != nil {
		return err
	}
	for i := range t.rows {
		r := &t.rows[i]
		first := []string{r.Base, r.File, r.Unit, strconv.FormatBool(r.Differs())}
		for j := range r.Cells {
			c := &r.Cells[j]
			records := c.Records
			if len(records) == 0 {
				records = []registry.Record{{}}
			}
			for k := range records {
				s := &records[k]
				_, line := locationColumns(s)
				address, size := "", ""
				if s.Name != "" {
					address, size = fmt.Sprintf("%x", s.Address), fmt.Sprint(s.Size)
				}
				if err := write(slices.Concat(first, []string{
					t.labels[j], presence(c), s.Name, s.Alias, line, s.Object, s.Section, address,
					size, s.Method,
				})); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (t *matrixTable) printJSON(w io.Writer, totals bool) error {
	builds := t.builds()
	all := matrixJSON{
		Builds: builds, Toolchains: toolchains(builds), Functions: []matrixRowJSON{},
	}
	for i := range t.rows {
		if totals {
			break
		}
		r := &t.rows[i]
		row := matrixRowJSON{Name: r.Base, File: r.File, Unit: r.Unit, Differs: r.Differs()}
		for j := range r.Cells {
			c := &r.Cells[j]
			cell := matrixCellJSON{t.labels[j], presence(c), symbolsJSON(c.Records)}
			row.Builds = append(row.Builds, cell)
		}
		all.Functions = append(all.Functions, row)
	}
	return report.WriteJSON(w, all)
}
