package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
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
