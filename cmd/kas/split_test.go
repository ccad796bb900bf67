package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kas/need"
)

// TestSplitDwarf runs on modules with .dwo files, which are inputs: they are not written, and a
// change of one is a change of its module.
func TestSplitDwarf(t *testing.T) {
	for _, name := range []string{"gcc-x86_64-4", "clang-x86_64-5"} {
		t.Run(name, func(t *testing.T) { testSplitDwarf(t, "../../elf/testdata/split/"+name) })
	}
}

func testSplitDwarf(t *testing.T, fixture string) {
	dir := t.TempDir()
	modules := filepath.Join(dir, "m")
	if err := os.CopyFS(modules, os.DirFS(fixture)); err != nil {
		t.Fatal(err)
	}
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(modules, from), filepath.Join(modules, to)); err != nil {
			t.Fatal(err)
		}
	}
	rename("mod.o", "mod.ko")
	rename("mod.dwp", "mod.ko.dwp")
	config := "version: 1\nout: out\nbuilds:\n  - {name: k, modules: m, alias: {symbols: all}}\n"
	if err := os.WriteFile(filepath.Join(dir, "kas.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func() (code int, stdout, stderr, aliases string) {
		t.Helper()
		(&again{t: t}).settle()
		before := contents(t, modules)
		c := kasCommand(t, dir, "run", "kas.yaml")
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if c.Run(); c.ProcessState == nil {
			t.Fatal("kas did not run")
		}
		text, err := os.ReadFile(filepath.Join(dir, "out/k/aliases.tsv"))
		if err != nil {
			t.Fatalf("%v\n%s", err, &errs)
		}
		if contents(t, modules) != before {
			t.Error("an input changed")
		}
		return c.ProcessState.ExitCode(), out.String(), errs.String(), string(text)
	}
	skipped := func(out string) bool { return !strings.Contains(out, "dedupe") }

	code, out, errs, want := run()
	if code != 0 || strings.Contains(want, "file symbol") || strings.Count(want, "\n") < 3 ||
		skipped(out) {
		t.Fatalf("code %d\n%s%s%s", code, want, out, errs)
	}
	for _, row := range []string{
		"\tcompare\tmod.ko\t", "\tinclude/copy.h\t", "\theader_a.c\tsubprogram\n",
	} {
		if !strings.Contains(want, row) {
			t.Errorf("no %q in\n%s", row, want)
		}
	}
	if _, out, errs, _ := run(); !skipped(out) {
		t.Errorf("the second run was not skipped:\n%s%s", out, errs)
	}

	// Without the .dwp file the .dwo files are read, and the aliases are the same.
	rename("mod.ko.dwp", "dwp")
	code, out, errs, got := run()
	if code != 0 || got != want || skipped(out) {
		t.Errorf("without the .dwp file: code %d\n%s%s%s", code, got, out, errs)
	}

	// Without the .dwo file of a unit its symbols have the name of the file, and it is said once.
	rename("header_a.dwo", "a")
	rename("header_b.dwo", "b")
	code, out, errs, got = run()
	if code != 1 || strings.Count(once(errs), "split debugging information") != 1 || skipped(out) {
		t.Errorf("without a .dwo file: code %d\n%s%s", code, out, errs)
	}
	for _, words := range []string{
		"file does not exist: ", "m/header_a.dwo",
		"(and of 1 more units in 1 objects of the build)",
	} {
		if !strings.Contains(errs, words) {
			t.Errorf("no %q in %s", words, errs)
		}
	}
	if !strings.Contains(got, "\theader_a.c\tfile symbol\n") {
		t.Errorf("without a .dwo file:\n%s", got)
	}

	// The wrong .dwo file is not used.
	rename("b", "header_a.dwo")
	if code, _, errs, _ := run(); code != 1 ||
		!strings.Contains(errs, "the file is of another compilation") {
		t.Errorf("with a wrong .dwo file: code %d\n%s", code, errs)
	}

	// A file that appears is a change.
	rename("dwp", "mod.ko.dwp")
	if code, _, errs, got := run(); code != 0 || got != want {
		t.Errorf("with the .dwp file: code %d\n%s%s", code, got, errs)
	}
	if c := kasCommand(t, dir, "verify", "out"); c.Run() != nil {
		t.Error("kas verify found a problem")
	}
}

// contents returns the paths and contents of a folder as one string.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.WriteString(path + "\n" + string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestSharedDebug: debugging information that dwz moved to another file is reported once.
func TestSharedDebug(t *testing.T) {
	need.Tools(t, "objcopy")
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.WriteFile(link, []byte("../dwz/k.debug\x00ID"), 0o644); err != nil {
		t.Fatal(err)
	}
	config := "version: 1\nout: out\nbuilds: [{name: k, modules: m}]\n"
	if err := os.WriteFile(filepath.Join(dir, "kas.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "m"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.ko", "b.ko"} {
		out, err := exec.Command("objcopy", "--add-section", ".gnu_debugaltlink="+link,
			"../../elf/testdata/basic-gcc-x86_64.o", filepath.Join(dir, "m", name)).
			CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	out, err := kasCommand(t, dir, "run", "kas.yaml").CombinedOutput()
	want := `k: resolve: a.ko: debugging information that dwz moved to "../dwz/k.debug" is not ` +
		"read: no such file (the same for 1 more objects of the build)\n"
	if err == nil || strings.Count(once(string(out)), "dwz") != 2 ||
		!strings.Contains(string(out), want) {
		t.Errorf("%v\n%s", err, out)
	}
}
