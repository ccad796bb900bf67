package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/demo"
	"kas/need"
)

var update = flag.Bool("update", false, "write the golden files")

// runDemoIn runs all stages on the demo's kernels, in a new folder that it returns.
func runDemoIn(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, demo.FS); err != nil {
		t.Fatal(err)
	}
	runKas(t, "run", filepath.Join(dir, demo.ConfigFile))
	return dir
}

// runKas runs a command that must succeed, and returns what it prints.
func runKas(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("kas %s: exit %d\n%s", strings.Join(args, " "), code, &stderr)
	}
	return stdout.String()
}

// TestReportOfDemo compares the page about the demo with the golden one.
func TestReportOfDemo(t *testing.T) {
	const golden = "testdata/report.html"
	dir := runDemoIn(t)
	page := filepath.Join(dir, "report.html")
	runKas(t, "report", filepath.Join(dir, "out"), "-o", page)
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test ./cmd/kas -run %s -update rewrites it):\n%s", golden,
			t.Name(), diff)
	}
}

// TestReportDatabase runs the queries of docs/report.md on the demo's database with SQLite's own
// program, and compares its tables with what awk finds in the registries and tables.
func TestReportDatabase(t *testing.T) {
	need.Tools(t, "sqlite3", "awk", "bash")
	dir := runDemoIn(t)
	out, db := filepath.Join(dir, "out"), filepath.Join(dir, "kas.db")
	runKas(t, "report", out, "--sqlite", db)
	query := func(sql string) string {
		t.Helper()
		c := exec.Command("sqlite3", "-batch", "-bail", "-separator", "\t", db, sql)
		text, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", sql, err, text)
		}
		return string(text)
	}
	if got := query("PRAGMA integrity_check; PRAGMA foreign_key_check;"); got != "ok\n" {
		t.Errorf("%.2000s", got)
	}
	const sorted = " | LC_ALL=C sort"
	for sql, script := range map[string]string{
		`SELECT s.name, o.name, section, printf('%x', address), size, type, s.count, position,
			coalesce(alias, ''), coalesce(file, ''), coalesce(line, ''), coalesce(unit, '')
			FROM symbols s JOIN objects o ON o.id = s.object LEFT JOIN aliases a ON a.symbol = s.id
			LEFT JOIN places p ON p.id = a.place`: `awk -F'\t' -v OFS='\t' '!/^#/ {
			print $1, $2, $3, $4, $5, $6, $7, $8, $10, $11, $12, $13 }' */symbols.kas`,
		`SELECT b.name, reason, sum(r.symbols) FROM reasons r JOIN builds b ON b.id = r.build
			GROUP BY b.id, reason`: `for b in */; do awk -F'\t' -v b="${b%/}" -v OFS='\t' '
			FNR > 1 { n[$6]++ } END { for (r in n) print b, r, n[r] }' "$b/unaliased.tsv"; done`,
		`SELECT b.name, symbol, alias, source FROM (SELECT a.build, s.name AS symbol, alias, source
			FROM aliases a JOIN symbols s ON s.id = a.symbol) x JOIN builds b ON b.id = x.build`: `
			for b in */; do awk -F'\t' -v b="${b%/}" -v OFS='\t' '
			FNR > 1 { print b, $2, $1, $10 }' "$b/aliases.tsv"; done`,
	} {
		c := exec.Command("bash", "-c", "set -o pipefail; { "+script+"\n}"+sorted)
		c.Dir = out
		want, err := c.Output()
		if err != nil {
			t.Fatal(script, err)
		}
		c = exec.Command("bash", "-c", "LC_ALL=C sort")
		c.Stdin = strings.NewReader(query(sql))
		got, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-tools +database):\n%.3000s", sql, diff)
		}
	}
	docs, err := os.ReadFile("../../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(docs), -1)
	if len(queries) < 7 {
		t.Errorf("%d queries in docs/report.md", len(queries))
	}
	for _, m := range queries {
		if got := query(m[1]); got == "" {
			t.Errorf("%s finds nothing", m[1])
		}
	}
}

// functionNames is an awk program that prints, of each function in a registry, its name up to the
// first dot. Padding before functions is none.
const functionNames = `!/^#/ && $6 ~ /[tTwW]/ && $14 !~ /not code/ && $1 !~ /^__(pfx|cfi)_/ {
	sub(/\..*/, "", $1); print $1 }`

// TestReportCounts compares the comparison of toolchains with what awk, sort and comm find in the
// registries.
func TestReportCounts(t *testing.T) {
	need.Tools(t, "awk", "sort", "comm", "uniq", "bash")
	dir := runDemoIn(t)
	page := runKas(t, "report", filepath.Join(dir, "out"), "-o", "-")
	_, table, _ := strings.Cut(page, "<h2 id=pairs>")
	table, _, _ = strings.Cut(table, "</table>")
	rows := map[string][]string{}
	tags := regexp.MustCompile(`<[^>]*>`)
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "<tr><th scope=row>") {
			cells := strings.Split(strings.TrimSpace(line), "<td")
			for i := range cells {
				cells[i] = tags.ReplaceAllString("<td"+cells[i], "")
			}
			rows[strings.TrimPrefix(cells[0], "<td")] = cells[2:]
		}
	}
	for build, beside := range map[string]string{
		"x86_64-clang": "x86_64-gcc", "x86_64-clang-lto": "x86_64-clang",
	} {
		script := `set -e
names() { awk -F'\t' '` + functionNames + `' "$1"; }
code='!/^#/ && $6 ~ /[tTwW]/ && $14 !~ /not code/ && $1 !~ /^__(pfx|cfi)_/'
names "$1" | wc -l
awk -F'\t' "$code"' && $7 > 1' "$1" | wc -l
awk -F'\t' "$code"' && $9 != "" && $9 != $1' "$1" | wc -l
awk -F'\t' '!/^#/ && $10 != "" && $14 ~ /^name(,|$)/' "$1" | wc -l
comm -23 <(names "$2" | LC_ALL=C sort -u) <(names "$1" | LC_ALL=C sort -u) | wc -l
comm -13 <(names "$2" | LC_ALL=C sort -u) <(names "$1" | LC_ALL=C sort -u) | wc -l
several() { awk -F'\t' "$code"' { b = $9 == "" ? $1 : $9; if (b !~ /\./) print b }' "$1" |
	LC_ALL=C sort | uniq -d; }
LC_ALL=C comm -23 <(several "$2") <(several "$1") | wc -l`
		c := exec.Command("bash", "-c", script, "counts",
			filepath.Join(dir, "out", build, "symbols.kas"),
			filepath.Join(dir, "out", beside, "symbols.kas"))
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(string(out))
		got := rows[build]
		if len(got) != 8 || got[4] != beside {
			t.Fatalf("%s: %q", build, got)
		}
		got = append(got[:4:4], got[5:]...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-tools +page):\n%s", build, diff)
		}
	}
}
