package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestMatrixDocs runs the commands of docs/matrix.md on the demo and compares their output with the
// page's. With -update it writes the page.
func TestMatrixDocs(t *testing.T) {
	const page, prompt = "../../docs/matrix.md", "    $ "
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := kasCommand(t, dir, "demo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got bytes.Buffer
	commands, output := 0, false
	for line := range strings.Lines(string(want)) {
		command, ok := strings.CutPrefix(line, prompt)
		if output = output && !ok && (line == "\n" || strings.HasPrefix(line, "    ")); output {
			continue // of the command before
		}
		got.WriteString(line)
		if output = ok; !ok {
			continue
		}
		commands++
		c := exec.Command("sh", "-c", command)
		c.Dir = dir
		out, err := c.Output()
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
		for line := range strings.Lines(string(out) + "\n") {
			if line != "\n" {
				got.WriteString("    ")
			}
			got.WriteString(line)
		}
	}
	if commands != 10 {
		t.Errorf("%d commands, want 10", commands)
	}
	if bytes.Equal(got.Bytes(), want) {
		return
	}
	if *update {
		if err := os.WriteFile(page, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the commands of %s print now:\n%s", page, &got)
}

// TestJSONKeys wants docs/json.md to have the keys that the commands print, and no others.
func TestJSONKeys(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]bool{}
	tag := regexp.MustCompile("`json:\"([a-z0-9_]+)")
	for _, name := range append(files, "../../report/costs.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range tag.FindAllStringSubmatch(string(readFile(t, name)), -1) {
			printed[m[1]] = true
		}
	}
	if len(printed) < 80 {
		t.Errorf("%d keys", len(printed))
	}
	_, keys, _ := strings.Cut(string(readFile(t, "../../docs/json.md")), "\n## ")
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(keys, -1) {
		documented[m[1]] = true
	}
	for key := range printed {
		if !documented[key] {
			t.Errorf("docs/json.md does not have %s", key)
		}
	}
	for key := range documented {
		if !printed[key] && key != "vmlinux" && key != "null" {
			t.Errorf("docs/json.md has %s, which no command prints", key)
		}
	}
}

// TestJSONFlag wants --json of each command but those that print JSON anyway, only group others, or
// are steps of a kernel's build, where a file is the result.
func TestJSONFlag(t *testing.T) {
	without := []string{
		"kas", "kas schema", "kas help", "kas kbuild", "kas inc", "kas ld", "kas nm",
		"kas kbuild object", "kas kbuild finish",
	}
	n := 0
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if has := cmd.Flags().Lookup("json") != nil; has == slices.Contains(without, path) {
			t.Errorf("%s: --json is there: %t", path, has)
		}
		n++
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
	if n < 20 {
		t.Errorf("%d commands", n)
	}
}
