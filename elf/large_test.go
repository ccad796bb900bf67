package elf_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"kas/elf"
)

// assembleLarge makes an object whose symbol table is larger than what OpenTables keeps in memory.
// Three of four symbols are labels in debugging information, as in modules of riscv64.
func assembleLarge(t *testing.T) string {
	t.Helper()
	var source strings.Builder
	source.WriteString("\t.file \"x.c\"\n\t.globl last\n")
	for i := range 12_000 {
		fmt.Fprintf(&source, "\t.text\nf%d:\n\t.byte 0\n\t.section .debug_x, \"\", @progbits\n"+
			"a%[1]d:\nb%[1]d:\nc%[1]d:\n\t.byte 0\n", i)
	}
	source.WriteString("\t.text\nlast:\n")
	dir := t.TempDir()
	assembly, object := filepath.Join(dir, "large.s"), filepath.Join(dir, "large.o")
	if err := os.WriteFile(assembly, []byte(source.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	must(t, "as", "-o", object, assembly)
	return object
}

func openTables(t *testing.T, path string) *elf.File {
	t.Helper()
	f, err := elf.OpenTables(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestLargeTable reads a symbol table that is only partly in memory, in order and from its end, and
// compares it with readelf and nm.
func TestLargeTable(t *testing.T) {
	path := assembleLarge(t)
	f := openTables(t, path)
	inOrder := listing(t, f)
	if want := must(t, "readelf", "-sW", path); want != inOrder {
		t.Errorf("symbols (-readelf +kas):\n%s", diff.Diff(want, inOrder))
	}
	lines := strings.Split(inOrder, "\n")
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	loaded := []string{"x.c"} // nm does not list the file
	for line := range strings.Lines(must(t, "nm", "-p", path)) {
		if c := strings.Fields(line); strings.EqualFold(c[1], "t") {
			loaded = append(loaded, c[2])
		}
	}
	var got []string
	for id := elf.SymID(1); ; id++ {
		if id, err = syms.NextLoaded(id); err != nil {
			t.Fatal(err)
		}
		if int(id) == syms.Len() {
			break
		}
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		if s.SourceFile() || !s.Marker() {
			got = append(got, string(s.Name))
		}
	}
	if d := diff.Diff(loaded, got); d != "" || len(got) != 12_002 {
		t.Errorf("%d loaded symbols (-nm +kas):\n%s", len(got), d)
	}
	for id := elf.SymID(syms.Len() - 1); id > 0; id -= min(id, 7_000) {
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		line := lines[id+3]
		if name := " " + string(s.Name); len(name) > 1 && !strings.HasSuffix(line, name) {
			t.Errorf("symbol %d is%s, in order %s", id, name, line)
		}
	}
	if _, err := syms.At(elf.SymID(syms.Len())); err == nil {
		t.Error("no error for a symbol behind the end")
	}
}

// TestRewriteLargeTable adds aliases at both ends and in the middle of a symbol table that is only
// partly in memory. nm must list them after their originals, and nothing else may change.
func TestRewriteLargeTable(t *testing.T) {
	path := assembleLarge(t)
	f := openTables(t, path)
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]int{"f0": 1, "f1": 1, "f5000": 3, "f11999": 1, "last": 2}
	var aliases []elf.Alias
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		for i := range of[string(s.Name)] {
			name := fmt.Sprintf("%s@alias%d", s.Name, i)
			aliases = append(aliases, elf.Alias{Original: id, Name: name})
		}
	}
	slices.Reverse(aliases[:2]) // of f0 and f1; those of one original keep their order
	// Some 50,000 lines of nm, with the aliases inserted.
	var want strings.Builder
	for line := range strings.Lines(must(t, "nm", "-p", path)) {
		want.WriteString(line)
		c := strings.Fields(line)
		for i := range of[c[2]] {
			fmt.Fprintf(&want, "%s %s %s@alias%d\n", c[0], c[1], c[2], i)
		}
	}
	out := rewrite(t, f, aliases)
	if !bytes.Equal(out, rewrite(t, open(t, path), aliases)) {
		t.Error("a mapped object is rewritten to other bytes")
	}
	copied := filepath.Join(t.TempDir(), "copy.o")
	if err := os.WriteFile(copied, out, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := must(t, "nm", "-p", copied); got != want.String() {
		t.Errorf("symbols (-wanted +copy):\n%s", diff.Diff(want.String(), got))
	}
}

// TestForget looks at the memory of a mapped object. The system counts it in /proc/self/smaps.
func TestForget(t *testing.T) {
	path := assembleLarge(t)
	f := open(t, path)
	want := listing(t, f)
	before := residentPages(t, path)
	f.Forget()
	if after := residentPages(t, path); before == 0 || after != 0 {
		t.Errorf("%d kB are in memory, %d after Forget", before, after)
	}
	if listing(t, f) != want {
		t.Error("other symbols after Forget")
	}
}

// residentPages returns how many kB of a file's mappings are in this process's memory.
func residentPages(t *testing.T, path string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	mapping := regexp.MustCompile(`(?s)` + regexp.QuoteMeta(path) + `\n.*?\nRss: +(\d+) kB`)
	total := 0
	for _, m := range mapping.FindAllSubmatch(maps, -1) {
		kb, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		total += kb
	}
	return total
}
