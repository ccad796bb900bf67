package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// count is a number of each build, as a column of the CSV table and as a metric of Prometheus.
type count struct {
	column string // as in stats.json, if it is there
	metric string // without the prefix kas_
	help   string
	of     func(*output) int64
}

var counts = []count{
	{"objects", "objects", "Objects of the build.",
		func(b *output) int64 { return int64(b.Objects) }},
	{"modules", "modules", "Modules of the build.",
		func(b *output) int64 { return int64(b.Modules) }},
	{"unreadable", "unreadable_objects", "Objects that the run could not read.",
		func(b *output) int64 { return int64(b.Unreadable) }},
	{"failed", "failed_objects", "Objects with an error.",
		func(b *output) int64 { return int64(b.Failed) }},
	{"bytes_in", "input_bytes", "Size of the objects.",
		func(b *output) int64 { return b.BytesIn }},
	{"symbols", "symbols", "Symbols that kallsyms would show.",
		func(b *output) int64 { return int64(b.Symbols) }},
	{"names", "names", "Different names of symbols.",
		func(b *output) int64 { return int64(b.Names) }},
	{"repeated_names", "repeated_names", "Names that several symbols have.",
		func(b *output) int64 { return int64(b.Repeated) }},
	{"groups", "duplicate_names", "Base names that several symbols have.",
		func(b *output) int64 { return int64(b.Groups) }},
	{"duplicates", "duplicates", "Symbols that share their base name.",
		func(b *output) int64 { return int64(b.Duplicates) }},
	{"aliases", "aliases", "Symbols with an alias.",
		func(b *output) int64 { return int64(b.Aliases) }},
	{"aliases_vmlinux", "vmlinux_aliases", "Symbols of vmlinux with an alias.",
		func(b *output) int64 { return int64(b.InVmlinux) }},
	{"aliases_modules", "module_aliases", "Symbols of modules with an alias.",
		func(b *output) int64 { return int64(b.InModules) }},
	{"suffixes_cut", "suffixes_cut", "Symbols that the toolchain renamed.",
		func(b *output) int64 { return int64(b.Renamed) }},
	{"modules_emitted", "emitted_modules", "Copies of modules.",
		func(b *output) int64 { return int64(b.Emitted) }},
	{"bytes_emitted", "emitted_bytes", "Size of the copies.",
		func(b *output) int64 { return b.BytesOut }},
	{"bytes_kallsyms", "kallsyms_bytes", "Estimated memory of the aliases in kallsyms.",
		func(b *output) int64 { return b.cost.Kallsyms }},
	{"bytes_modules", "module_bytes", "Estimated memory of the aliases in modules, all loaded.",
		func(b *output) int64 { return b.cost.Modules }},
}

// reasons returns the reasons of all builds why duplicates have no alias, sorted.
func (o *Outputs) reasons() []string {
	all := map[string]bool{}
	for _, b := range o.builds {
		for reason := range b.Unaliased {
			all[reason] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// CSV writes a row of counts for each build, with a column for each reason (RFC 4180).
func (o *Outputs) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	row := []string{"build", "problems", "arch", "toolchain", "lto", "release"}
	for _, n := range counts {
		row = append(row, n.column)
	}
	reasons := o.reasons()
	for _, reason := range reasons {
		row = append(row, "unaliased: "+reason)
	}
	c.Write(row)
	for _, b := range o.builds {
		problems := strconv.Itoa(len(b.problems))
		row = append(row[:0], b.label, problems, b.Arch, b.Toolchain, b.LTO, b.Release)
		for _, n := range counts {
			row = append(row, strconv.FormatInt(n.of(b), 10))
		}
		for _, reason := range reasons {
			row = append(row, strconv.Itoa(b.Unaliased[reason]))
		}
		c.Write(row)
	}
	c.Flush()
	return c.Error()
}

// Prometheus writes the counts in the text format that Prometheus and the textfile collector of its
// node exporter read (version 0.0.4). Builds whose run did not end have only their problems.
func (o *Outputs) Prometheus(w io.Writer) error {
	p := metrics{w: w}
	p.begin("build_info", "A build of a kernel.")
	for _, b := range o.builds {
		p.value(1, "build", b.label, "arch", b.Arch, "toolchain", b.Toolchain, "lto", b.LTO,
			"release", b.Release)
	}
	p.begin("problems", "Problems of the build; 0 if all is well.")
	for _, b := range o.builds {
		p.value(float64(len(b.problems)), "build", b.label)
	}
	for _, n := range counts {
		p.begin(n.metric, n.help)
		for _, b := range o.builds {
			if b.finished {
				p.value(float64(n.of(b)), "build", b.label)
			}
		}
	}
	p.begin("unaliased", "Duplicates without an alias.")
	for _, b := range o.builds {
		for _, reason := range slices.Sorted(maps.Keys(b.Unaliased)) {
			p.value(float64(b.Unaliased[reason]), "build", b.label, "reason", reason)
		}
	}
	if len(o.stages) > 0 {
		p.begin("stage_seconds", "Time that the build spent in the stage.")
		for _, b := range o.builds {
			for _, stage := range o.stages {
				if s, ran := b.seconds[stage]; ran {
					p.value(s, "build", b.label, "stage", stage)
				}
			}
		}
	}
	return p.err
}

// metrics writes gauges until an error.
type metrics struct {
	w    io.Writer
	name string
	err  error
}

func (m *metrics) print(format string, args ...any) {
	if m.err == nil {
		_, m.err = fmt.Fprintf(m.w, format, args...)
	}
}

func (m *metrics) begin(name, help string) {
	m.name = "kas_" + name
	m.print("# HELP %s %s\n# TYPE %[1]s gauge\n", m.name, help)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// value writes a value. labels are pairs of a name and a value.
func (m *metrics) value(v float64, labels ...string) {
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		text := labelEscapes.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD"))
		pairs = append(pairs, labels[i]+`="`+text+`"`)
	}
	m.print("%s{%s} %s\n", m.name, strings.Join(pairs, ","),
		strconv.FormatFloat(v, 'f', -1, 64))
}
