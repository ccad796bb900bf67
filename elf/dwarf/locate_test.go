package dwarf_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf"
	"kas/elf/dwarf"
)

// different says where the listing of a fixture cannot equal its decl.txt, and why.
var different = map[string]struct {
	why     string
	shift   uint64   // how far before its code a function's symbol stands
	without []string // functions that have no symbol at their code
	with    []string // lines of symbols that have no code of their own
}{
	"callops-gcc-arm64": {
		why:   "two patchable instructions stand between symbol and low_pc",
		shift: 8,
	},
	"basic-clang-powerpc64": {
		why:     "ELFv1: symbols of functions stand at their descriptors in .opd",
		without: []string{"name_show", "type_show", "init_module", "driver_exit"},
	},
	"icf-clang-x86_64": {
		why:  "second_show was folded into first_show: the code at its address is declared there",
		with: []string{"second_show /build/src/icf.c 3 /build/src/icf.c .text 201140 5"},
	},
}

// TestLocate locates every symbol of every fixture and compares the listing with decl.txt, which llvm-dwarfdump told.
func TestLocate(t *testing.T) {
	for _, fixture := range fixtures(t) {
		name := strings.TrimSuffix(filepath.Base(fixture), filepath.Ext(fixture))
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile("../testdata/" + name + ".decl.txt")
			if err != nil {
				t.Fatal(err)
			}
			lines := slices.Clone(different[name].with)
			for line := range strings.Lines(string(want)) {
				if !slices.Contains(different[name].without, strings.Fields(line)[0]) {
					lines = append(lines, strings.TrimSuffix(line, "\n"))
				}
			}
			slices.Sort(lines)
			if d := cmp.Diff(lines, locations(t, fixture, different[name].shift)); d != "" {
				t.Errorf("(-llvm-dwarfdump +kas):\n%s", d)
			}
		})
	}
}

// locations prints what is located of a fixture as decl.txt does, sorted.
func locations(t testing.TB, fixture string, shift uint64) []string {
	t.Helper()
	f, err := elf.Open(fixture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := dwarf.New(f)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return nil
	}
	targets, symbols, err := symbolTargets(f)
	if err != nil {
		t.Fatal(err)
	}
	found, err := d.Locate(context.Background(), targets)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, l := range found {
		if l.Source == dwarf.None {
			continue
		}
		// The suffixes of clones, fragments and link-time optimization are the symbol's, not the source's.
		name, _, _ := strings.Cut(targets[i].Name, ".")
		absolute := func(p string) string { return path.Clean(joined(l.CompDir, p)) }
		place := fmt.Sprintf("%s %x", f.Sections[symbols[i].Section].Name, f.CodeAddress(&symbols[i])+shift)
		line, opening := l.Line, max(l.Opening, l.Line)
		switch l.Source {
		case dwarf.Variable:
			place = "- -"
		case dwarf.LineRow:
			line = 0 // the line is the row's
		}
		lines = append(lines, fmt.Sprintf("%s %s %d %s %s %d", name, absolute(l.File), line, absolute(l.Unit), place, opening))
	}
	slices.Sort(lines)
	return lines
}

func joined(dir, p string) string {
	if path.IsAbs(p) {
		return p
	}
	return dir + "/" + p
}

var _ = errors.New
var _ = strconv.Itoa
