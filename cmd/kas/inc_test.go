package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kas/need"
)

// TestInc follows the advice of kas inc, compiles both files, and finds the directive's file in the
// line table. The aliases are those of the same sources without the directive.
func TestInc(t *testing.T) {
	for _, cc := range []string{"gcc", "clang-19"} {
		t.Run(cc, func(t *testing.T) {
			need.Tools(t, cc, "ld", "readelf")
			testInc(t, cc)
		})
	}
}

func testInc(t *testing.T, cc string) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("fs", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fs/binfmt_elf.c", "fs/compat_binfmt_elf.c"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	for _, args := range [][]string{
		{"inc", "fs/gone.c", "fs/compat_binfmt_elf.c"}, {"inc", "fs", "fs/binfmt_elf.c"},
		{"inc", "fs/binfmt_elf.c", "fs/binfmt_elf.c"},
		{"inc", "fs/binfmt_elf.c", "fs/compat_binfmt_elf.c", "--header", "fs/binfmt_elf.c"},
	} {
		if code := run(args, &stdout, &bytes.Buffer{}); code == 0 {
			t.Errorf("%v: exit 0", args)
		}
	}
	if code := run([]string{"inc", "fs/binfmt_elf.c", "fs/compat_binfmt_elf.c", "--lines", "50"},
		&stdout, &stderr); code != 0 {
		t.Fatalf("exit %d: %s", code, &stderr)
	}
	// Two blocks, each after a line that says where it goes.
	blocks := strings.Split(stdout.String(), ":\n\n")
	if len(blocks) != 3 {
		t.Fatalf("printed %q", &stdout)
	}
	includer, _, _ := strings.Cut(blocks[1], "\n\n")
	included := strings.TrimSpace(blocks[2])

	code := `
int use(int);

static __attribute__((noinline)) int load_elf_binary(int a)
{
	return use(a) + 1;
}

#ifndef BINFMT_LOAD
#define BINFMT_LOAD native_load
#endif
int BINFMT_LOAD(int a)
{
	return load_elf_binary(a);
}
`
	include := "\n#define BINFMT_LOAD compat_load\n#include \"binfmt_elf.c\"\n"
	aliases := func(includedHead, includerHead string) string {
		t.Helper()
		for name, text := range map[string]string{
			"fs/binfmt_elf.c":        includedHead + code,
			"fs/compat_binfmt_elf.c": includerHead + include,
			"kas.yaml":               "version: 1\nbuilds:\n  - {name: b, modules: both.ko}\n",
		} {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, unit := range []string{"binfmt_elf", "compat_binfmt_elf"} {
			mustRun(t, cc, "-g", "-O2", "-c", "fs/"+unit+".c", "-o", unit+".o")
		}
		mustRun(t, "ld", "-r", "-o", "both.ko", "binfmt_elf.o", "compat_binfmt_elf.o")
		if code := run([]string{"run"}, &bytes.Buffer{}, &stderr); code != 0 {
			t.Fatalf("exit %d: %s", code, &stderr)
		}
		rows, err := os.ReadFile("out/b/aliases.tsv")
		if err != nil {
			t.Fatal(err)
		}
		return string(rows)
	}
	with := aliases(included, includer)
	lines := mustRun(t, "readelf", "--debug-dump=decodedline", "compat_binfmt_elf.o")
	if !strings.Contains(lines, "binfmt_elf.c:compat_binfmt_elf.c") {
		t.Errorf("the line table does not have the directive's file:\n%s", lines)
	}
	without := aliases(strings.Repeat("\n", strings.Count(included, "\n")), "")
	if with != without || strings.Count(with, "load_elf_binary@fs_binfmt_elf_c") != 2 ||
		!strings.Contains(with, "load_elf_binary@fs_binfmt_elf_c_compat_binfmt_elf_c_") {
		t.Errorf("with the directive:\n%s\nwithout:\n%s", with, without)
	}
	if _, err := os.Stat(filepath.Join("fs", "binfmt_elf_inc.h")); err != nil {
		t.Error(err)
	}
}

func mustRun(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
