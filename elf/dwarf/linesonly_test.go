package dwarf_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf/dwarf"
	"kas/need"
)

// In this source, first begins with code of the header, nested with code of two calls, later calls
// after its own code, and hdrfn is a function of the header.
const linesOnlyHeader = `extern int ext(int);
static inline __attribute__((always_inline)) int inl(int x)
{
	return ext(x * 7);
}
static __attribute__((noinline)) int hdrfn(int x)
{
	asm volatile("");
	return x * 9;
}
`

const linesOnlySource = `#include "hdr.h"
static inline __attribute__((always_inline)) int own(int x)
{
	return inl(x + 2);
}
static int var = 3;
static __attribute__((noinline)) int first(int x)
{
	return inl(x);
}
static __attribute__((noinline)) int nested(int x)
{

	return own(x);
}
static __attribute__((noinline)) int later(int x)
{
	asm volatile("nop");
	return inl(x) + own(x);
}
int *pointer(void) { return &var; }
int entry(int x)
{
	return first(x) + hdrfn(x) + nested(x) + later(x) + var++;
}
`

// TestLineTablesOnly locates the functions of units that have little but a line table. The
// expected location is the outermost call that llvm-symbolizer shows at the function's address; of
// a function that does not begin with inlined code, the first statement that llvm-dwarfdump shows.
func TestLineTablesOnly(t *testing.T) {
	tools := need.Tools(t, "clang-19", "llvm-symbolizer-19", "llvm-dwarfdump-19")
	dir := t.TempDir()
	source, object := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.o")
	for name, text := range map[string]string{"a.c": linesOnlySource, "hdr.h": linesOnlyHeader} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, flags := range []string{
		"--target=x86_64-linux-gnu -O2 -gmlt",
		"--target=x86_64-linux-gnu -O2 -gdwarf-4 -g1",
		"--target=x86_64-linux-gnu -O0 -gline-tables-only",
		"--target=x86_64-linux-gnu -O2 -gmlt -ffunction-sections",
		"--target=aarch64-linux-gnu -O2 -gmlt",
	} {
		args := append(strings.Fields(flags), "-fno-pic", "-c", source, "-o", object)
		if msg, err := exec.Command(tools[0], args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", flags, err, msg)
		}
		f, d := open(t, object)
		targets, symbols, err := symbolTargets(f)
		if err != nil {
			t.Fatal(err)
		}
		found, err := d.Locate(context.Background(), targets)
		if err != nil {
			t.Fatal(err)
		}
		type location struct {
			File, Unit string
			Line       int
		}
		got, want := map[string]location{}, map[string]location{}
		if strings.Contains(flags, "sections") {
			// llvm-symbolizer's addresses are ambiguous in several sections.
			for name, line := range map[string]int{"first": 9, "nested": 14, "later": 17} {
				want[name] = location{source, source, line}
			}
		}
		for i, l := range found {
			name := targets[i].Name
			if targets[i].Data {
				if l.Method != dwarf.None {
					t.Errorf("%s: %s is located: %+v", flags, name, l)
				}
				continue
			}
			if strings.Contains(flags, "sections") {
				if _, ok := want[name]; !ok {
					continue
				}
			} else {
				file, line := expectedLine(t, tools[1:], object, f.CodeAddress(&symbols[i]))
				want[name] = location{file, source, line}
			}
			got[name] = location{
				absolutePath(l.CompDir, l.File),
				absolutePath(l.CompDir, l.Unit),
				int(l.Line),
			}
			if l.Method != dwarf.LineRow {
				t.Errorf("%s: %s has method %d", flags, name, l.Method)
			}
		}
		f.Close()
		if diff := cmp.Diff(want, got); diff != "" || len(got) < 3 {
			t.Errorf("%s (-llvm +kas):\n%s", flags, diff)
		}
	}
}

func absolutePath(dir, file string) string {
	if filepath.IsAbs(file) {
		return filepath.Clean(file)
	}
	return filepath.Join(dir, file)
}

// expectedLine returns what llvm-symbolizer and llvm-dwarfdump say of a function's address in
// .text.
func expectedLine(t *testing.T, tools []string, object string, address uint64) (string, int) {
	t.Helper()
	at := "0x" + strconv.FormatUint(address, 16)
	text, err := exec.Command(tools[0], "--obj="+object, "--inlines", "--output-style=JSON", at).
		Output()
	if err != nil {
		t.Fatal(err)
	}
	var answer []struct {
		Symbol []struct {
			FileName string
			Line     int
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer) != 1 ||
		len(answer[0].Symbol) == 0 {
		t.Fatalf("llvm-symbolizer %s: %v: %s", at, err, text)
	}
	frames := answer[0].Symbol
	outer := frames[len(frames)-1]
	if len(frames) > 1 {
		return filepath.Clean(outer.FileName), outer.Line
	}
	rows, err := exec.Command(tools[1], "--debug-line", object).Output()
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^0x0*` + at[2:] + ` +([1-9]\d*) .* is_stmt`)
	if address == 0 {
		row = regexp.MustCompile(`(?m)^0x0{16} +([1-9]\d*) .* is_stmt`)
	}
	m := row.FindSubmatch(rows)
	if m == nil {
		t.Fatalf("llvm-dwarfdump shows no row at %s: %s", at, rows)
	}
	line, _ := strconv.Atoi(string(m[1]))
	return filepath.Clean(outer.FileName), line
}
