package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const text = "# a list\n\nmutant a\nfile x/y.go\ntest ./x TestA|TestB\n" +
		"-\tone\n-\n-two - three\n+\tfour\nmutant b\nfile z.go\ntest . .\n-x\n"
	got, err := parse("list", text)
	want := []mutant{
		{"a", "x/y.go", "./x", "TestA|TestB", "\tone\n\ntwo - three", "\tfour"},
		{"b", "z.go", ".", ".", "x", ""},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	const lacks = "list: mutant a lacks a file, a test or a change"
	for text, want := range map[string]string{
		"file a\n":                             `list:1: "file a" precedes the first mutant`,
		"mutant a\nfile a\ntest . .\n-x\n+x\n": lacks,
		"mutant a\ntest . .\n-x\n":             lacks,

		"mutant a\ntest .\n": "list:2: a test is a package and a regular expression",
		"mutant a\n x\n":     `list:2: " x" is no line of a mutant`,

		"mutant a\nfile a\ntest . .\n-x\nmutant a": "list:5: there are two mutants a",
	} {
		if _, err := parse("list", text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestRun tests one mutant of each verdict in a small module.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	const test = `package p

import "testing"

func TestF(t *testing.T) {
	if f(0) != 1 {
		t.Error()
	}
}
`
	files := map[string]string{
		"go.mod":       "module small\n\ngo 1.26\n",
		"p/p.go":       "package p\n\nfunc f(x int) int { return x + 1 }\n",
		"p/p_test.go":  test,
		"mutants.txt":  "",
		"survived.txt": "mutant b\nfile p/p.go\ntest ./p TestF\n-x + 1\n+x*x + 1\n",
		"killed.txt":   "mutant a\nfile p/p.go\ntest ./p TestF\n-x + 1\n+x\n",
		"broken.txt":   "mutant c\nfile p/p.go\ntest ./p TestF\n-x + 1\n+y\n",
		"no-test.txt":  "mutant d\nfile p/p.go\ntest ./p TestG\n-x + 1\n+x\n",
		"no-text.txt":  "mutant e\nfile p/p.go\ntest ./p TestF\n-x + 2\n+x\n",
		"twice.txt":    "mutant f\nfile p/p.go\ntest ./p TestF\n-int\n+int8\n",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for list, want := range map[string]string{
		"killed.txt":   `a +p/p.go +./p TestF +killed\n$`,
		"survived.txt": `b +p/p.go +./p TestF +SURVIVED\n$`,
		"broken.txt":   `c .* error: does not compile: exit status 1\n$`,
		"no-test.txt":  `d .* error: ./p has no test TestG\n$`,
		"no-text.txt":  `e .* error: the old text occurs 0 times in p/p.go, not once\n$`,
		"twice.txt":    `f .* error: the old text occurs 2 times in p/p.go, not once\n$`,
	} {
		var out strings.Builder
		err := run(t.Context(), []string{list}, &out)
		matched := regexp.MustCompile(want).MatchString(out.String())
		if (err == nil) != (list == "killed.txt") || !matched {
			t.Errorf("%s: %v\n%s", list, err, &out)
		}
	}
	for name := range maps.Keys(files) {
		if data, err := os.ReadFile(name); err != nil || string(data) != files[name] {
			t.Errorf("%s was changed: %q, %v", name, data, err)
		}
	}
}
