package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kas/demo"
)

// extent identifies a symbol in both tables.
type extent struct{ symbol, object, section, address string }

// readTable returns the rows of a tab-separated file by the names of its header.
func readTable(t *testing.T, file string) []map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	header := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for i, line := range lines[1:] {
		cells := strings.Split(line, "\t")
		if len(cells) != len(header) {
			t.Fatalf("%s:%d: %d columns of %d", file, i+2, len(cells), len(header))
		}
		row := map[string]string{}
		for j, name := range header {
			row[name] = cells[j]
		}
		rows = append(rows, row)
	}
	return rows
}

func extentOf(row map[string]string) extent {
	return extent{row["symbol"], row["object"], row["section"], row["address"]}
}

var notAlphanumeric = regexp.MustCompile(`[^A-Za-z0-9]`)

// spelled returns the alias that a symbol with this truth should have, without an ordinal.
func spelled(truth map[string]string) string {
	at := truth["file"]
	if unit := truth["unit"]; unit != at {
		if path.Dir(unit) == path.Dir(at) {
			unit = path.Base(unit)
		}
		at += ":" + unit
	}
	return truth["base"] + "@" + notAlphanumeric.ReplaceAllString(at+":"+truth["opening"], "_")
}

// TestDemo compares the tables of the demo's kernels with demo/expected, which a script made from
// the output of llvm-dwarfdump.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, demo.FS); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	config := filepath.Join(dir, demo.ConfigFile)
	if code := run([]string{"run", config}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, &stdout, &stderr)
	}
	expected, err := filepath.Glob("../../demo/expected/*.tsv")
	if err != nil || len(expected) != 5 {
		t.Fatal(len(expected), "expected tables", err)
	}
	for _, file := range expected {
		build := strings.TrimSuffix(filepath.Base(file), ".tsv")
		t.Run(build, func(t *testing.T) {
			checkTruth(t, readTable(t, file), filepath.Join(dir, "out", build))
		})
	}
}

// openAsWhole gives the cold part of a function the opening of the function. The expected table has
// the row where the part begins, which is some line within the function.
func openAsWhole(truths []map[string]string) {
	key := func(row map[string]string, symbol string) string {
		columns := []string{symbol, row["object"], row["file"], row["line"], row["unit"]}
		return strings.Join(columns, "\t")
	}
	openings := map[string]string{}
	for _, truth := range truths {
		openings[key(truth, truth["symbol"])] = truth["opening"]
	}
	for _, truth := range truths {
		if whole, ok := strings.CutSuffix(truth["symbol"], ".cold"); ok {
			truth["opening"] = cmp.Or(openings[key(truth, whole)], truth["opening"])
		}
	}
}

func checkTruth(t *testing.T, truths []map[string]string, out string) {
	aliased, unaliased := map[extent]map[string]string{}, map[extent]string{}
	for _, row := range readTable(t, filepath.Join(out, "aliases.tsv")) {
		aliased[extentOf(row)] = row
	}
	for _, row := range readTable(t, filepath.Join(out, "unaliased.tsv")) {
		unaliased[extentOf(row)] = row["reason"]
	}
	openAsWhole(truths)
	known := map[extent]bool{}
	sameSpelling := map[string][]map[string]string{} // rows of aliases.tsv, in its order
	var order []string
	for _, truth := range truths {
		at := extentOf(truth)
		known[at] = true
		row, ok := aliased[at]
		switch {
		case !ok && unaliased[at] == "":
			t.Errorf("%v: neither in aliases.tsv nor in unaliased.tsv", at)
			continue
		case !ok && truth["file"] != "-" && unaliased[at] == "not in the debugging information":
			t.Errorf("%v: %s, but %s:%s declares it",
				at, unaliased[at], truth["file"], truth["line"])
			continue
		case !ok:
			continue
		case truth["file"] == "-":
			t.Errorf("%v: alias %s, but no declaration is expected", at, row["alias"])
			continue
		}
		// Where the line table has no opening, the expected opening is the line of the declaration.
		for column, want := range map[string]string{
			"file": truth["file"], "unit": truth["unit"], "line": truth["opening"],
		} {
			if row[column] != want {
				t.Errorf("%v: %s %s, want %s", at, column, row[column], want)
			}
		}
		alias := spelled(truth)
		if sameSpelling[alias] == nil {
			order = append(order, alias)
		}
		sameSpelling[alias] = append(sameSpelling[alias], row)
	}
	for _, alias := range order {
		for i, row := range byAddress(sameSpelling[alias]) {
			want := alias
			if len(sameSpelling[alias]) > 1 {
				want += "_" + strconv.Itoa(i+1)
			}
			if row["alias"] != want {
				t.Errorf("%v: alias %s, want %s", extentOf(row), row["alias"], want)
			}
		}
	}
	for at, row := range aliased {
		if !known[at] {
			t.Errorf("%v: alias %s, but no such duplicate is expected", at, row["alias"])
		}
	}
	if len(order) == 0 {
		t.Error("no alias was compared")
	}
}

// byAddress sorts the rows of each object by address. The objects are in order already.
func byAddress(rows []map[string]string) []map[string]string {
	key := func(row map[string]string) string {
		return fmt.Sprintf("%s %16s", row["section"], row["address"])
	}
	for i := range rows {
		for j := i; j > 0 && rows[j]["object"] == rows[j-1]["object"] &&
			key(rows[j]) < key(rows[j-1]); j-- {
			rows[j], rows[j-1] = rows[j-1], rows[j]
		}
	}
	return rows
}
