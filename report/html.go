package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"kas/pipeline"
	"kas/registry"
)

var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/page.js
	pageJS string
)

// pageTemplate escapes everything that comes from outside. Only the style and the script, which are
// constants of the program, go in as they are. It is parsed when a page is written: the hooks of a
// kernel's build start the program for each link.
func pageTemplate() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"comma": comma, "plural": plural, "join": strings.Join,
	}).Parse(pageHTML))
}

// page is what the template shows.
type page struct {
	CSS    template.CSS
	JS     template.JS
	Policy string // of the page's Content-Security-Policy

	Builds  []pageBuild
	Failed  int
	Reasons []pageReason
	Pairs   []*pagePair
	Stages  []string
	Times   []pageTimes
	History []pageSnapshot
	Trends  []pageTrend
	Matrix  pageMatrix
}

// number is a text that links to the file that holds it.
type number struct{ Text, Href string }

// pageBuild is a build in the tables that have a row for each.
type pageBuild struct {
	Label, Kernel, Toolchain string
	Href, Registry           string // of stats.json, and of the registry; "" if not there
	Problems                 []string
	Finished                 bool

	Objects, Symbols, Duplicates, Aliases, Unaliased, Copies number

	HaveAlias, HaveNone bar // shares of the duplicates
	Repeated            number

	CostVmlinux, CostModules number
	InVmlinux, InModules     number
	CostBar                  bar
}

// HTML writes the report as one page that needs no other file. Its links are relative to the folder
// dir, where the page will be.
func (o *Outputs) HTML(w io.Writer, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	l := linker{dir}
	p := page{
		CSS: template.CSS(pageCSS), JS: template.JS(pageJS),
		Policy: "default-src 'none'; style-src " + hashOf(pageCSS) + "; script-src " +
			hashOf(pageJS) + "; base-uri 'none'; form-action 'none'",
		Builds: o.pageBuilds(l), Reasons: o.pageReasons(l),
		Stages: o.stages, Times: o.pageTimes(),
	}
	p.History, p.Trends = o.pageHistory(l)
	o.compare(&p, l)
	for _, b := range o.builds {
		if b.failed() {
			p.Failed++
		}
	}
	return pageTemplate().Execute(w, &p)
}

// hashOf returns the source expression that allows an inline element with this content: Content
// Security Policy Level 3, section 2.3.1.
func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// linker makes links that are relative to the folder of the page.
type linker struct{ dir string }

// to returns the link to a file, "" if there is no such file.
func (l linker) to(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(l.dir, path)
	if err != nil {
		return ""
	}
	return (&url.URL{Path: filepath.ToSlash(rel)}).String()
}

func (o *Outputs) pageBuilds(l linker) []pageBuild {
	var all []pageBuild
	most, dearest := 0, int64(0)
	for _, b := range o.builds {
		most = max(most, b.Duplicates)
		dearest = max(dearest, b.cost.Kallsyms+b.cost.Modules)
	}
	for _, b := range o.builds {
		p := pageBuild{
			Label: b.label, Kernel: words(b.Release, b.Arch),
			Toolchain: words(b.Toolchain, b.ltoWord()),
			Problems:  b.problems, Finished: b.finished, Href: l.to(b.out),
			HaveAlias: newBar(b.Aliases, most), HaveNone: newBar(b.Duplicates-b.Aliases, most),
			CostBar: newBar(b.cost.Kallsyms+b.cost.Modules, dearest),
		}
		if b.file != nil {
			p.Registry = l.to(b.file.Path)
		}
		stats := l.to(filepath.Join(b.out, StatsFile))
		aliases, unaliased := l.to(b.path("aliases.tsv")), l.to(b.path("unaliased.tsv"))
		if b.finished {
			p.Href = stats
			p.Objects, p.Symbols = number{comma(b.Objects), stats}, number{comma(b.Symbols), stats}
			p.Duplicates = number{comma(b.Duplicates), stats}
			p.Repeated = number{comma(b.Repeated), stats}
			p.Aliases = number{comma(b.Aliases), aliases}
			p.Unaliased = number{comma(b.Duplicates - b.Aliases), unaliased}
			p.Copies = number{humanize.IBytes(uint64(max(b.BytesOut, 0))), l.to(b.path("modules"))}
			p.InVmlinux = number{comma(b.InVmlinux), stats}
			p.InModules = number{comma(b.InModules), stats}
			p.CostVmlinux = number{humanize.Bytes(uint64(b.cost.Kallsyms)), aliases}
			p.CostModules = number{humanize.Bytes(uint64(b.cost.Modules)), aliases}
		}
		all = append(all, p)
	}
	return all
}

// ltoWord returns the LTO mode in words, "" without LTO.
func (b *output) ltoWord() string {
	if b.LTO == "" || b.LTO == "none" {
		return ""
	}
	return b.LTO + " LTO"
}

// words joins the words that are not empty.
func words(all ...string) string {
	return strings.Join(strings.Fields(strings.Join(all, " ")), " ")
}

// pageReason is a reason why duplicates have no alias, with the number for each build.
type pageReason struct {
	Reason string
	Total  string
	Bar    bar
	Counts []number
}

func (o *Outputs) pageReasons(l linker) []pageReason {
	total := map[string]int{}
	for _, b := range o.builds {
		for reason, n := range b.Unaliased {
			total[reason] += n
		}
	}
	var all []pageReason
	reasons := byFrequency(total)
	for _, reason := range reasons {
		r := pageReason{
			Reason: reason, Total: comma(total[reason]),
			Bar: newBar(total[reason], total[reasons[0]]),
		}
		for _, b := range o.builds {
			n := number{}
			if b.Unaliased[reason] > 0 {
				n = number{comma(b.Unaliased[reason]), l.to(b.path("unaliased.tsv"))}
			}
			r.Counts = append(r.Counts, n)
		}
		all = append(all, r)
	}
	return all
}

// pagePair is a build beside the one that it is compared with.
type pagePair struct {
	Label, Toolchain, Beside string // Beside is "" for a build that others are compared with

	Functions, Repeated, Renamed, Folded number
	Gone, New, Settled                   number
}

// compare adds what the page has of builds beside each other.
func (o *Outputs) compare(p *page, l linker) {
	pairs := make([]*pagePair, len(o.builds))
	pipeline.Parallel(0, 1+len(pairs), func(i int) {
		if i == 0 {
			p.Matrix = o.pageMatrix(l) // takes longest
			return
		}
		pairs[i-1] = o.pagePair(l, o.builds[i-1])
	})
	p.Pairs = slices.DeleteFunc(pairs, func(p *pagePair) bool { return p == nil })
}

// pagePair puts a build beside another of its kernel and arch, nil if there is none.
func (o *Outputs) pagePair(l linker, b *output) *pagePair {
	if b.survey == nil {
		return nil
	}
	other := o.beside(b)
	if other == nil && !o.isBeside(b) {
		return nil
	}
	in := func(n int) number { return number{comma(n), l.to(b.file.Path)} }
	p := &pagePair{
		Label: b.label, Toolchain: words(b.Toolchain, b.ltoWord()),
		Functions: in(b.survey.Functions), Repeated: in(b.survey.Repeated),
		Renamed: in(b.survey.Renamed), Folded: in(b.folded()),
	}
	if other != nil {
		c := b.survey.Against(other.survey)
		p.Beside = other.label
		p.Gone = number{comma(c.Gone), l.to(other.file.Path)}
		p.New, p.Settled = in(c.New), in(c.Settled)
	}
	return p
}

// folded counts the functions with an alias that the compiler folded into others.
func (b *output) folded() (n int) {
	for i := range b.survey.Aliased {
		if b.survey.Aliased[i].Folded() {
			n++
		}
	}
	return n
}

// beside returns the build that b is compared with: of the same kernel and arch, without LTO, and
// for a build with LTO of the same toolchain, if there is one. A build that others are compared
// with is compared with none.
func (o *Outputs) beside(b *output) *output {
	var first *output
	for _, other := range o.builds {
		same := other.Arch == b.Arch && other.Release == b.Release
		if !same || other.survey == nil || other.ltoWord() != "" {
			continue
		}
		if b.ltoWord() != "" && other.Toolchain == b.Toolchain {
			return other
		}
		if first == nil {
			first = other
		}
	}
	if first == b {
		return nil
	}
	return first
}

// isBeside reports whether another build is compared with b.
func (o *Outputs) isBeside(b *output) bool {
	for _, other := range o.builds {
		if other != b && other.survey != nil && o.beside(other) == b {
			return true
		}
	}
	return false
}

// pageTimes is the time that a build took.
type pageTimes struct {
	Label   string
	Seconds []string // for each stage
	Total   string
	Bar     bar
}

func (o *Outputs) pageTimes() []pageTimes {
	total := map[*output]float64{}
	longest := 0.0
	for _, b := range o.builds {
		for _, s := range b.seconds {
			total[b] += s
		}
		longest = max(longest, total[b])
	}
	var all []pageTimes
	for _, b := range o.builds {
		if b.seconds == nil {
			continue
		}
		t := pageTimes{
			Label: b.label, Total: fmt.Sprintf("%.2f", total[b]), Bar: newBar(total[b], longest),
		}
		for _, stage := range o.stages {
			text := "–"
			if s, ran := b.seconds[stage]; ran {
				text = fmt.Sprintf("%.2f", s)
			}
			t.Seconds = append(t.Seconds, text)
		}
		all = append(all, t)
	}
	return all
}

// pageMatrix is the table of functions and builds.
type pageMatrix struct {
	Builds  []pageBuild // the columns
	Rows    []pageRow
	Differ  int // rows of which builds differ
	All     int // rows, with those that are left out
	LeftOut int
}

// pageRow is a function. Cells are short, because a page has tens of thousands of them.
type pageRow struct {
	Name, Location string
	Differs        bool
	rank           int // rows of the lowest rank are left out first
	Cells          []pageCell
}

type pageCell struct {
	Text string
	Odd  bool // another text than most builds have
}

// mostMatrix bounds the bytes of the matrix in the page.
const mostMatrix = 800_000

func (o *Outputs) pageMatrix(l linker) pageMatrix {
	var m pageMatrix
	var surveys []*registry.Survey
	var separators []string
	for i, b := range o.pageBuilds(l) {
		if s := o.builds[i].survey; s != nil {
			m.Builds = append(m.Builds, b)
			surveys = append(surveys, s)
			separators = append(separators, o.builds[i].file.Separator())
		}
	}
	rows := registry.Matrix(surveys)
	m.All = len(rows)
	size := 0
	for i := range rows {
		r := newRow(&rows[i], separators)
		if r.Differs {
			m.Differ++
		}
		size += r.size()
		m.Rows = append(m.Rows, r)
	}
	m.Rows = fit(m.Rows, size)
	m.LeftOut = m.All - len(m.Rows)
	return m
}

// fit leaves out rows until the matrix is small enough, those of the lowest rank first, and of one
// rank the last ones.
func fit(rows []pageRow, size int) []pageRow {
	for rank := range ranks {
		kept := len(rows)
		for i := len(rows) - 1; i >= 0 && size > mostMatrix; i-- {
			if rows[i].rank == rank {
				size -= rows[i].size()
				rows[i].Cells = nil
				kept = i
			}
		}
		out := rows[:kept]
		for _, r := range rows[kept:] {
			if r.Cells != nil {
				out = append(out, r)
			}
		}
		rows = out
	}
	return rows
}

// Ranks of rows.
const (
	rankSame   = iota // no builds differ
	rankSingle        // only one build has an alias
	rankDiffers
	ranks
)

func newRow(r *registry.Row, separators []string) pageRow {
	row := pageRow{Name: r.Base, Location: r.Location(), Differs: r.Differs()}
	count, have := map[string]int{}, 0
	for i := range r.Cells {
		if len(r.Cells[i].Records) > 0 {
			have++
		}
		text := cellText(&r.Cells[i], r.Base, separators[i])
		count[text]++
		row.Cells = append(row.Cells, pageCell{Text: text})
	}
	switch {
	case !row.Differs:
		row.rank = rankSame
	case have == 1:
		row.rank = rankSingle
	default:
		row.rank = rankDiffers
	}
	if row.Differs {
		usual := byFrequency(count)[0]
		for i := range row.Cells {
			row.Cells[i].Odd = row.Cells[i].Text != usual
		}
	}
	return row
}

// cellText returns what the build adds to the function's name: the suffix of the symbol, and the
// end of the alias. The legend of the page explains the signs.
func cellText(c *registry.Cell, base, separator string) string {
	var all []string
	for i := range c.Records {
		r := &c.Records[i]
		text := r.Tail(separator)
		if text == "" {
			text = "✓"
		}
		if r.Name != base {
			text = strings.TrimPrefix(r.Name, base) + " " + text
		}
		all = append(all, text)
	}
	switch {
	case len(all) > 0:
		return strings.Join(all, ", ")
	case c.Presence == registry.Unique:
		return "="
	case c.Presence == registry.Unnamed:
		return "?"
	}
	return "–"
}

// size returns how many bytes of the page the row takes, if nothing in it must be escaped.
func (r *pageRow) size() int {
	n := len("<tr class=d><th scope=row> <small></small>\n") + len(r.Name) + len(r.Location)
	for _, c := range r.Cells {
		n += len("<td>") + len(c.Text)
		if c.Odd {
			n += len(" class=x")
		}
	}
	return n
}
