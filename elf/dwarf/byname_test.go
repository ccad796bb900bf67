package dwarf_test

import (
	"context"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/need"
)

func place(file string, line int) string { return file + ":" + strconv.Itoa(line) }

// definitions returns "FILE:LINE" of each function that a source of the fixtures defines, by
// "FILE NAME".
func definitions(t *testing.T, files ...string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile("../testdata/src/" + file)
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Split(string(data), "\n")
		for i, line := range all {
			before, _, ok := strings.Cut(line, "(")
			if ok && i+1 < len(all) && all[i+1] == "{" {
				name := before[strings.LastIndex(before, " ")+1:]
				lines[file+" "+name] = place(file, i+1)
			}
		}
	}
	return lines
}

// TestSecondNames: a second name of a function is located at the function, and says so. In sources
// that the linker folded it is not located if several functions are at its address.
func TestSecondNames(t *testing.T) {
	lines := definitions(t, "fold_a.c", "fold_b.c")
	for _, fixture := range []string{
		"fold-gcc-x86_64.o", "fold-gcc-i386.o", "fold-gcc-mips64.o", "foldlto-gcc-x86_64.o",
		"fold-clang-x86_64.elf", "fold-gcc-arm64.elf",
	} {
		folds := strings.HasSuffix(fixture, ".elf") || strings.HasPrefix(fixture, "foldlto")
		f, d := open(t, "../testdata/"+fixture)
		targets, _, err := symbolTargets(f)
		if err != nil {
			t.Fatal(err)
		}
		found, err := d.Locate(context.Background(), targets)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for i, l := range found {
			name, _, _ := strings.Cut(targets[i].Name, ".")
			owner, second := map[string]string{
				"second_store": "kept_store", "second_alone": "alone_store",
				"second_right": "right_store",
			}[name]
			got := ""
			if l.Method != dwarf.None {
				got = place(path.Base(l.File), int(l.Line))
			}
			switch {
			case name == "second_right" && folds:
				owner = ""
			case !second && !strings.HasSuffix(name, "_store"):
				continue
			}
			seen++
			want := lines["fold_a.c "+name] + lines["fold_b.c "+name]
			if second {
				want = lines["fold_a.c "+owner] + lines["fold_b.c "+owner]
			}
			if got != want || l.Owner != owner {
				t.Errorf("%s: %s is at %q of %q, want %q of %q", fixture, name, got, l.Owner,
					want, owner)
			}
		}
		if seen != 8 {
			t.Errorf("%s: %d functions", fixture, seen)
		}
	}
}

// TestNotFolded: a definition without an address is not that of a symbol of its name elsewhere. A
// weak function that was dropped or is not in use has one, and a function that is inlined.
func TestNotFolded(t *testing.T) {
	tools := need.Tools(t, "gcc", "ld.lld-19")
	for _, debug := range []string{"-gno-split-dwarf", "-gsplit-dwarf"} {
		t.Run(debug, func(t *testing.T) { notFolded(t, debug, tools[0], tools[1]) })
	}
}

func notFolded(t *testing.T, debug, gcc, lld string) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("weak.c", `
__attribute__((weak)) int hook(int x) { return x + 1; }
__attribute__((weak)) int assembled(int x) { return x + 2; }
extern inline __attribute__((gnu_inline, always_inline)) int fast(int x) { return x * 3; }
static int quick(int x) { return x * 9; }
void out(int);
static int second(int x) { return x * 11; }
int use(int x) { return fast(x) + quick(x) + second(x); }
`)
	write("strong.c", `
__attribute__((noipa)) int strong(int x) { return x * 5; }
int hook(int x) __attribute__((alias("strong")));
static int second(int x) __attribute__((alias("strong")));
int use(int), assembled(int), fast(int), quick(int);
void out(int x) { }
int _start(void) { return hook(use(assembled(fast(quick(second(1)))))); }
`)
	write("code.S", `
	.globl assembled, fast, quick
	.type assembled, %function
assembled:
	nop
	.size assembled, . - assembled
	.irp name, fast, quick
	.type \name, %function
\name:	nop
	.size \name, . - \name
	.endr
`)
	build := func(tool string, args ...string) {
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, msg)
		}
	}
	for _, c := range strings.Fields("weak.c strong.c") {
		build(gcc, "-O2", "-g", debug, "-fno-pic", "-ffreestanding", "-ffunction-sections", "-c", c)
	}
	build(gcc, "-c", "code.S")
	build(lld, "--gc-sections", "--icf=all", "-o", "linked", "weak.o", "strong.o", "code.o")
	f, d := open(t, filepath.Join(dir, "linked"))
	if f.Type == elf.Relocatable {
		t.Fatal("not linked")
	}
	d.Splits = &dwarf.Splits{Paths: func(name, _ string) []string {
		return []string{filepath.Join(dir, name)}
	}}
	targets, _, err := symbolTargets(f)
	if err != nil {
		t.Fatal(err)
	}
	found, err := d.Locate(context.Background(), targets)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i, l := range found {
		got[targets[i].Name] = strings.TrimSpace(place(l.File, int(l.Line)) + " " + l.Owner)
	}
	for name, want := range map[string]string{
		"strong": "strong.c:2", "hook": "strong.c:2 strong", "second": "strong.c:2 strong",
		"use": "weak.c:8", "assembled": ":0", "fast": ":0", "quick": ":0",
	} {
		if got[name] != want {
			t.Errorf("%s is at %q, want %q", name, got[name], want)
		}
	}
}
