package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kas/pipeline"
	"kas/registry"
)

// kernel is a build whose output a test writes without a run.
type kernel struct {
	buildStats
	records []registry.Record // one of each name, sorted
}

// writeOut writes the output folder of a run with these builds.
func writeOut(t testing.TB, dir string, kernels ...kernel) {
	t.Helper()
	write := func(path string, data []byte) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var stats struct {
		Version int          `json:"version"`
		Builds  []buildStats `json:"builds"`
	}
	stats.Version = 1
	for _, k := range kernels {
		stats.Builds = append(stats.Builds, k.buildStats)
		head := registry.NewHead(registry.Header{
			Arch: k.Arch, Policy: "separator=@", Symbols: len(k.records),
		})
		var lines []byte
		for i := range k.records {
			lines = registry.AppendName(lines, k.records[i:i+1])
		}
		head.Add(lines)
		write(filepath.Join(dir, k.Name, registry.FileName), append(head.Bytes(), lines...))
		for _, table := range []string{"aliases.tsv", "unaliased.tsv"} {
			write(filepath.Join(dir, k.Name, table), nil)
		}
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, stats); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, StatsFile), b.Bytes())
}

// function returns a record with an alias in a file of its own.
func function(name string, line int64) registry.Record {
	file := "drivers/net/ethernet/" + name + ".c"
	return registry.Record{
		Name: name, Object: "vmlinux", Section: ".text", Type: 't', Count: 1, Position: 1,
		Base:  name,
		Alias: fmt.Sprintf("%s@%s_%d", name, registry.Fold(file), line),
		File:  file, Unit: file, Line: line, Method: "subprogram",
	}
}

func read(t testing.TB, outs ...string) *Outputs {
	t.Helper()
	o, err := Read(outs)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func pageOf(t testing.TB, o *Outputs, dir string) string {
	t.Helper()
	var b bytes.Buffer
	if err := o.HTML(&b, dir); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// farm is twenty kernels of a farm, each with functions at lines of its own.
func farm(t testing.TB, dir string, functions int) {
	var kernels []kernel
	for i := range 20 {
		k := kernel{buildStats: buildStats{
			Name: fmt.Sprintf("build-%02d", i), Arch: "x86_64", Toolchain: "gcc", LTO: "none",
			Stats: pipeline.Stats{
				Symbols: functions, Duplicates: functions, Aliases: functions,
				Unaliased: map[string]int{"not text": i + 1, "label of the assembler": 1000 + i},
			},
		}}
		for f := range functions {
			k.records = append(k.records, function(fmt.Sprintf("show_%05d", f), int64(1000+f%2*i)))
		}
		kernels = append(kernels, k)
	}
	writeOut(t, dir, kernels...)
}

var (
	hrefs  = regexp.MustCompile(`href="([^"]*)"`)
	inline = regexp.MustCompile(`(?s)<(style|script)>(.*?)</`)
)

// TestPageOfAFarm wants a page of 20 kernels below 1 MB. It says what it leaves out, and its links
// find files.
func TestPageOfAFarm(t *testing.T) {
	dir := t.TempDir()
	farm(t, filepath.Join(dir, "out"), 6000)
	pages := filepath.Join(dir, "pages")
	if err := os.Mkdir(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, read(t, filepath.Join(dir, "out")), pages)
	if len(page) >= 1_000_000 {
		t.Errorf("%d bytes", len(page))
	}
	left := regexp.MustCompile(`<strong>([\d,]+) rows had no room`).FindStringSubmatch(page)
	rows := strings.Count(page, "<th scope=row>show_")
	if left == nil || rows < 2000 || fmt.Sprint(6000-rows) != strings.ReplaceAll(left[1], ",", "") {
		t.Errorf("%d rows of 6000, left out: %v", rows, left)
	}
	// Functions with odd numbers are at other lines in each build.
	if !strings.Contains(page, ">show_00001 <") || strings.Contains(page, ">show_05998 <") {
		t.Error("rows that do not differ are kept, and others not")
	}
	links := hrefs.FindAllStringSubmatch(page, -1)
	if len(links) < 200 {
		t.Errorf("%d links", len(links))
	}
	for _, m := range links {
		target, err := url.PathUnescape(html.UnescapeString(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		if id, inside := strings.CutPrefix(target, "#"); inside {
			if !strings.Contains(page, " id="+id+">") {
				t.Errorf("no %s in the page", target)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join(pages, target)); err != nil {
			t.Error(err)
		}
	}
}

// TestFit leaves out the rows of the lowest rank first.
func TestFit(t *testing.T) {
	var rows []pageRow
	size := 0
	ranks := []int{rankDiffers, rankSame, rankSingle, rankSame, rankSingle, rankDiffers}
	for i, rank := range ranks {
		r := pageRow{
			Name: string(rune('a' + i)), Location: strings.Repeat("x", mostMatrix/4), rank: rank,
			Cells: []pageCell{{Text: "1"}},
		}
		size += r.size()
		rows = append(rows, r)
	}
	var names string
	for _, r := range fit(rows, size) {
		names += r.Name
	}
	if names != "acf" { // four do not fit, because of their other bytes
		t.Errorf("%s are left", names)
	}
}

// TestPolicy wants the policy of the page to allow its style and its script by their hashes, and
// nothing else.
func TestPolicy(t *testing.T) {
	dir := t.TempDir()
	writeOut(t, dir, kernel{buildStats: buildStats{Name: "a"}})
	page := pageOf(t, read(t, dir), dir)
	want := "default-src 'none'"
	elements := inline.FindAllStringSubmatch(page, -1)
	if len(elements) != 2 {
		t.Fatalf("%d inline elements", len(elements))
	}
	for _, m := range elements {
		sum := sha256.Sum256([]byte(m[2]))
		want += fmt.Sprintf("; %s-src 'sha256-%s'", m[1], base64.StdEncoding.EncodeToString(sum[:]))
	}
	want += "; base-uri 'none'; form-action 'none'"
	meta := regexp.MustCompile(`<meta http-equiv=Content-Security-Policy content="(.*?)">`)
	if got := html.UnescapeString(meta.FindStringSubmatch(page)[1]); got != want {
		t.Errorf("policy %q, want %q", got, want)
	}
	if found := regexp.MustCompile(`(?i) style=| on\w+=|https?:`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
}

// TestPageEscapes puts markup into everything that comes from outside.
func TestPageEscapes(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><b x=`
	dir := t.TempDir()
	f := function("show", 7)
	f.Name, f.Base, f.File, f.Unit = evil, evil, evil, evil
	writeOut(t, filepath.Join(dir, "javascript:x"), kernel{buildStats{
		Name: `b<i>"b`, Arch: evil, Toolchain: evil, LTO: evil, Release: evil,
		Errors: []string{evil},
		Stats: pipeline.Stats{
			Symbols: 1, Duplicates: 2, Aliases: 1, Unaliased: map[string]int{evil: 1},
		},
	}, []registry.Record{f}})
	o := read(t, filepath.Join(dir, "javascript:x"))
	history := filepath.Join(dir, "h<b>")
	writeOut(t, history, kernel{buildStats: buildStats{Name: `b<i>"b`}})
	if err := o.ReadHistory(history); err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, o, dir)
	for _, raw := range []string{"<script>a", "<b x", "b<i>", "h<b>", `href="javascript:`} {
		if strings.Contains(page, raw) {
			t.Errorf("the page has %q", raw)
		}
	}
	if n := strings.Count(page, html.EscapeString("alert(1)")); n < 7 {
		t.Errorf("only %d of the texts are there", n)
	}
	if !strings.Contains(page, `href="./javascript:x/b%3Ci%3E%22b/aliases.tsv"`) {
		t.Errorf("links: %s", hrefs.FindAllString(page, -1))
	}
}

// TestPageProblems wants builds with problems first, and a folder without a finished run to be one.
func TestPageProblems(t *testing.T) {
	dir := t.TempDir()
	whole := kernel{buildStats: buildStats{Name: "whole", Stats: pipeline.Stats{Symbols: 1}}}
	failing := kernel{buildStats: buildStats{
		Name: "failing", Stats: pipeline.Stats{Symbols: 1},
		Errors:            []string{"failing: scan: a.ko: empty file"},
		UnreadableObjects: []string{"a.ko", "b.ko"},
	}}
	cut := kernel{buildStats: buildStats{Name: "cut", Stats: pipeline.Stats{Symbols: 1}}}
	gone := kernel{buildStats: buildStats{Name: "gone", Stats: pipeline.Stats{Symbols: 1}}}
	counted := kernel{buildStats: buildStats{Name: "no-stages"}}
	out := filepath.Join(dir, "out")
	writeOut(t, out, whole, failing, cut, gone, counted)
	if err := os.Truncate(filepath.Join(out, "cut", registry.FileName), 100); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone", "no-stages"} {
		if err := os.Remove(filepath.Join(out, name, registry.FileName)); err != nil {
			t.Fatal(err)
		}
	}
	killed := filepath.Join(dir, "killed")
	if err := os.Mkdir(killed, 0o755); err != nil {
		t.Fatal(err)
	}
	o := read(t, out, killed)
	var got []string
	for _, b := range o.builds {
		got = append(got, fmt.Sprintf("%s %q", b.label, b.problems))
	}
	want := []string{
		`failing ["failing: scan: a.ko: empty file" "b.ko: unreadable"]`,
		`cut ["symbols.kas: not a registry of kas (symbols.kas)"]`,
		`gone ["there is no symbols.kas"]`,
		`killed ["the folder has no finished run: there is no stats.json"]`,
		`whole []`, `no-stages []`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := len(o.Damaged()); n != 3 {
		t.Errorf("%d folders are damaged: %q", n, o.Damaged())
	}
	page := pageOf(t, o, dir)
	if !strings.Contains(page, "4 with problems") ||
		!strings.Contains(page, "<li>b.ko: unreadable") {
		t.Error("the page does not name the problems")
	}
}

// TestLabels wants builds of one name in two folders to have the folders in their labels.
func TestLabels(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	x, y := kernel{buildStats: buildStats{Name: "x"}}, kernel{buildStats: buildStats{Name: "y"}}
	writeOut(t, a, x)
	writeOut(t, b, x, y)
	var got []string
	for _, build := range read(t, a, b).builds {
		got = append(got, build.label)
	}
	if want := "a/x b/x y"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestBeside checks which build each is compared with.
func TestBeside(t *testing.T) {
	dir := t.TempDir()
	var kernels []kernel
	for _, b := range [][3]string{
		{"x86_64", "llvm", "full"}, {"x86_64", "gcc", "none"}, {"x86_64", "gcc", "full"},
		{"x86_64", "llvm", "none"}, {"arm64", "gcc", "none"},
	} {
		kernels = append(kernels, kernel{buildStats: buildStats{
			Name: strings.Join(b[:], "-"), Arch: b[0], Toolchain: b[1], LTO: b[2],
		}})
	}
	writeOut(t, dir, kernels...)
	var got []string
	var page page
	read(t, dir).compare(&page, linker{dir})
	for _, p := range page.Pairs {
		got = append(got, p.Label+"/"+p.Beside)
	}
	want := "x86_64-llvm-full/x86_64-llvm-none x86_64-gcc-none/ x86_64-gcc-full/x86_64-gcc-none " +
		"x86_64-llvm-none/x86_64-gcc-none"
	if strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestHistory checks the trend of a build that earlier runs had, one of them not.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	counts := func(name string, duplicates, aliases int) kernel {
		return kernel{buildStats: buildStats{
			Name: name, Stats: pipeline.Stats{Duplicates: duplicates, Aliases: aliases},
		}}
	}
	writeOut(t, filepath.Join(dir, "out"), counts("a", 30, 10), counts("c", 7, 3))
	history := filepath.Join(dir, "history")
	if err := os.Mkdir(history, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, k := range []kernel{counts("a", 1010, 10), counts("b", 5, 5), counts("a", 20, 10)} {
		run := filepath.Join(dir, fmt.Sprint("run", i))
		writeOut(t, run, k)
		to := filepath.Join(history, fmt.Sprintf("2026-11-0%d.json", i+1))
		if err := os.Rename(filepath.Join(run, StatsFile), to); err != nil {
			t.Fatal(err)
		}
	}
	o := read(t, filepath.Join(dir, "out"))
	if err := o.ReadHistory(history); err != nil {
		t.Fatal(err)
	}
	runs, trends := o.pageHistory(linker{dir})
	got := fmt.Sprint(runs, trends)
	want := "[{{2026-11-01.json history/2026-11-01.json} [1,010 / 10 –]} " +
		"{{2026-11-02.json history/2026-11-02.json} [– –]} " +
		"{{2026-11-03.json history/2026-11-03.json} [20 / 10 –]}] " +
		"[{a {0,1 66.67,19 100,18.82 {1,010 history/2026-11-01.json} {30 out/stats.json} -980} " +
		"{0,10 66.67,10 100,10 {10 history/2026-11-01.json} {10 out/stats.json} no change}} " +
		"{c {100,10 {7 out/stats.json} {7 out/stats.json} new} " +
		"{100,10 {3 out/stats.json} {3 out/stats.json} new}}]"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	page := pageOf(t, o, dir)
	if !strings.Contains(page, `aria-label="duplicates from 1,010 to 30"`) {
		t.Error("the chart has no text")
	}
	for name, content := range map[string]string{"x.json": "{", "y.json": `{"version": 2}`} {
		bad := t.TempDir()
		if err := os.WriteFile(filepath.Join(bad, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := o.ReadHistory(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTimes wants the times of the run that writes the page, and of no other.
func TestTimes(t *testing.T) {
	dir := t.TempDir()
	writeOut(t, dir, kernel{buildStats: buildStats{Name: "x86_64-gcc"}},
		kernel{buildStats: buildStats{Name: "other"}})
	o := read(t, dir)
	if page := pageOf(t, o, dir); strings.Contains(page, "Times of this run") {
		t.Error("times without a run")
	}
	o.AddRun(sample())
	want := "[{x86_64-gcc [1.23 0.06 0.08 10.00 3.21 0.40] 14.98 {100}}]"
	if got := fmt.Sprint(o.pageTimes()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if page := pageOf(t, o, dir); !strings.Contains(page, "Times of this run") {
		t.Error("no times in the page")
	}
}

// TestRunThatDidNotEnd wants a report of each build, although the folder has no counts.
func TestRunThatDidNotEnd(t *testing.T) {
	dir := t.TempDir()
	o := read(t, dir)
	o.AddRun(sample())
	var got []string
	for _, b := range o.builds {
		got = append(got, fmt.Sprintf("%s %q", b.label, b.problems))
	}
	const other = `["another build of the run did not end: ` +
		`the folder has no finished run: there is no stats.json"]`
	want := []string{
		`x86_64-gcc ["x86_64-gcc: scan: fs/fat/fat.ko: empty file (offset 0x0)" ` +
			`"x86_64-gcc: emit: lib/a.ko: no \"space\" left <here>"]`,
		"arm64 " + other, "s390x-clang " + other, `failed ["failed: scan: folder is gone"]`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if page := pageOf(t, o, dir); !strings.Contains(page, "4 with problems") {
		t.Error("the page does not say that all failed")
	}
}

// BenchmarkPage is the time of a report about twenty builds.
func BenchmarkPage(b *testing.B) {
	dir := b.TempDir()
	farm(b, dir, 2500)
	for b.Loop() {
		o, err := Read([]string{dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := o.HTML(new(bytes.Buffer), dir); err != nil {
			b.Fatal(err)
		}
	}
}
