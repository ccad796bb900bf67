package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kas/need"
)

// TestRegistryInParts makes the registry of a module with so many functions that it is read in
// parts, and damages its last line. Look-ups that do not need that line go on, all others fail.
func TestRegistryInParts(t *testing.T) {
	need.Tools(t, "as", "sort")
	dir := t.TempDir()
	const functions = 5000
	text := "name_show:\n"
	for i := range functions {
		text += fmt.Sprintf("f%05d: nop\n", i)
	}
	as := exec.Command("as", "-o", filepath.Join(dir, "m.ko"), "-")
	as.Stdin = strings.NewReader(text)
	if out, err := as.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config := filepath.Join(dir, "k.yaml")
	yaml := "version: 1\nout: out\nbuilds: [{name: k, arch: x86_64, modules: m.ko}]\n"
	if err := os.WriteFile(config, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	kas(t, "run", config)
	kas(t, "verify", out)
	path := filepath.Join(out, "k", "symbols.kas")
	sorted := exec.Command("sort", "-c", path)
	sorted.Env = append(os.Environ(), "LC_ALL=C")
	if message, err := sorted.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, message)
	}
	data := readFile(t, path)
	if n := bytes.Count(data, []byte("\n#parts\t1024 ")); n != 1 {
		t.Fatalf("%d lines #parts", n)
	}
	last := fmt.Sprintf("f%05d", functions-1)
	for _, name := range []string{"f00000", last, "m.ko"} {
		if found := kas(t, "lookup", "-r", path, name); !strings.Contains(found, name) {
			t.Errorf("%s: %s", name, found)
		}
	}
	at := bytes.LastIndex(data, []byte("\n"+last+"\t")) + len("\n"+last+"\tm.ko\t.text\t")
	data[at] ^= 1 // another address
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	kas(t, "lookup", "-r", path, "f00000")
	for _, c := range []struct{ args, message string }{
		{"lookup " + last + " -r " + path, path + ": CRC-32 is "},
		{"lookup m.ko -r " + path, path + ": CRC-32 is "},
		{"lookup f00000 " + last + " -r " + path, path + ": CRC-32 is "},
		{"probe " + last + " -r " + path, path + ": CRC-32 is "},
		{"diff " + path + " " + path, path + ": CRC-32 is "},
		{"verify " + out, "the parts line has "},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(c.args), &stdout, &stderr)
		if code != 1 || !strings.Contains(stdout.String()+stderr.String(), c.message) ||
			!strings.HasPrefix(c.args, "verify") && stdout.Len() > 0 {
			t.Errorf("kas %s: exit %d\n%s%s", c.args, code, &stdout, &stderr)
		}
	}
}
