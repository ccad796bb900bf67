package elf_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kas/elf"
	"kas/need"
)

// fixtures returns the objects of testdata, sorted.
func fixtures(t testing.TB) []string {
	t.Helper()
	objects, err := filepath.Glob("testdata/*.o")
	if err != nil {
		t.Fatal(err)
	}
	linked, err := filepath.Glob("testdata/*.elf")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) < 50 || len(linked) < 2 {
		t.Fatalf("%d objects and %d linked ones in testdata", len(objects), len(linked))
	}
	return append(objects, linked...)
}

// fixtureName returns CASE-TOOLCHAIN-ARCH of a fixture's path.
func fixtureName(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// arch returns the last part of a fixture's name.
func arch(path string) string {
	name := fixtureName(path)
	return name[strings.LastIndexByte(name, '-')+1:]
}

func open(t testing.TB, path string) *elf.File {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// run runs a tool in the C locale and returns what it printed. A missing tool skips the test or, in
// CI, fails it.
func run(t testing.TB, tool string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(need.Tool(t, tool), args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// must runs a tool and fails the test if the tool fails.
func must(t testing.TB, tool string, args ...string) string {
	t.Helper()
	out, errs, err := run(t, tool, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, errs)
	}
	return out
}
