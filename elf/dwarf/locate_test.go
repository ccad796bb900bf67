package dwarf_test

import (
	"bytes"
	"context"
	stdelf "debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf/dwarf"
)

// different lists the fixtures whose listing cannot equal decl.txt.
var different = map[string]struct {
	why     string
	shift   uint64   // from a function's symbol to its code
	without []string // functions without a symbol at their code
	with    []string // lines of symbols without code of their own
}{
	"callops-gcc-arm64": {
		why:   "two patchable instructions are between symbol and low_pc",
		shift: 8,
	},
	"basic-clang-powerpc64": {
		why:     "ELFv1: symbols of functions are at their descriptors in .opd",
		without: []string{"name_show", "type_show", "init_module", "driver_exit"},
	},
	"icf-clang-x86_64": {
		why: "second_show was folded into first_show: it has no address of its own, " +
			"but its declaration is in icf.c",
		with: []string{"second_show /build/src/icf.c 8 /build/src/icf.c .text 201140 8"},
	},
	"fold-gcc-x86_64": {
		why: "gcc made copies of the kept functions, which have no address in the entries",
		with: []string{
			"copied_show /build/src/fold_a.c 35 /build/src/fold_a.c .text 130 35",
			"copied_store /build/src/fold_a.c 17 /build/src/fold_a.c .text 170 17",
			"second_alone /build/src/fold_b.c 32 /build/src/fold_b.c .text 1f0 33",
			"second_right /build/src/fold_b.c 7 /build/src/fold_b.c .text 1c0 8",
			"second_store /build/src/fold_a.c 8 /build/src/fold_a.c .text 0 9",
		},
	},
	"fold-gcc-i386": {
		why: "gcc made copies of the kept functions, which have no address in the entries",
		with: []string{
			"copied_show /build/src/fold_a.c 35 /build/src/fold_a.c .text.copied_show 0 35",
			"copied_store /build/src/fold_a.c 17 /build/src/fold_a.c .text.copied_store 0 17",
			"second_alone /build/src/fold_b.c 32 /build/src/fold_b.c .text.alone_store 0 33",
			"second_right /build/src/fold_b.c 7 /build/src/fold_b.c .text.right_store 0 8",
			"second_store /build/src/fold_a.c 8 /build/src/fold_a.c .text.kept_store 0 9",
		},
	},
	"fold-gcc-mips64": {
		why: "gcc made copies of the kept functions, which have no address in the entries",
		with: []string{
			"copied_show /build/src/fold_a.c 35 /build/src/fold_a.c .text 2b8 35",
			"copied_store /build/src/fold_a.c 17 /build/src/fold_a.c .text 388 17",
			"second_alone /build/src/fold_b.c 32 /build/src/fold_b.c .text 4b8 33",
			"second_right /build/src/fold_b.c 7 /build/src/fold_b.c .text 460 8",
			"second_store /build/src/fold_a.c 8 /build/src/fold_a.c .text 0 9",
		},
	},
	"foldlto-gcc-x86_64": {
		why: "gcc folded across both files; nothing says what second_right is of",
		with: []string{
			"copied_store /build/src/fold_a.c 17 /build/src/fold_a.c .text 50 17",
			"kept_show /build/src/fold_a.c 26 /build/src/fold_a.c .text e0 26",
			"right_show /build/src/fold_b.c 14 /build/src/fold_b.c .text 1f0 14",
			"right_store /build/src/fold_b.c 7 /build/src/fold_b.c .text 1c0 7",
			"second_alone /build/src/fold_b.c 32 /build/src/fold_b.c .text 260 33",
			"second_store /build/src/fold_a.c 8 /build/src/fold_a.c .text 0 9",
		},
	},
	"fold-clang-x86_64": {
		why:     "ld.lld folded across both files; second_right can be of either",
		without: []string{"right_table"}, // decl.py does not see that .debug_addr has no address
		with: []string{
			"copied_show /build/src/fold_a.c 35 /build/src/fold_a.c .text 201260 35",
			"copied_store /build/src/fold_a.c 17 /build/src/fold_a.c .text 2011d0 17",
			"right_show /build/src/fold_b.c 14 /build/src/fold_b.c .text 2012a0 14",
			"right_store /build/src/fold_b.c 7 /build/src/fold_b.c .text 201220 7",
			"right_table /build/src/fold_b.c 40 /build/src/fold_b.c .rodata 200160 40",
			"same_show /build/src/fold_b.c 21 /build/src/fold_b.c .text 2012e0 21",
			"second_alone /build/src/fold_b.c 32 /build/src/fold_b.c .text 201320 33",
			"second_store /build/src/fold_a.c 8 /build/src/fold_a.c .text 2011d0 9",
		},
	},
	"fold-gcc-arm64": {
		why: "ld.lld folded across both files; second_right can be of either",
		with: []string{
			"copied_show /build/src/fold_a.c 35 /build/src/fold_a.c .text 2014a0 35",
			"copied_store /build/src/fold_a.c 17 /build/src/fold_a.c .text 201330 17",
			"right_show /build/src/fold_b.c 14 /build/src/fold_b.c .text 201450 14",
			"right_store /build/src/fold_b.c 7 /build/src/fold_b.c .text 2013b0 7",
			"right_table /build/src/fold_b.c 40 /build/src/fold_b.c .rodata 2001a0 40",
			"same_show /build/src/fold_b.c 21 /build/src/fold_b.c .text 201400 21",
			"second_alone /build/src/fold_b.c 32 /build/src/fold_b.c .text 201520 33",
			"second_store /build/src/fold_a.c 8 /build/src/fold_a.c .text 201330 9",
		},
	},
	"twins-clang-x86_64": {
		why:  "twin_show of twin_b.c was folded into that of twin_a.c",
		with: []string{"twin_show /build/src/twin_b.c 7 /build/src/twin_b.c .text 201160 7"},
	},
	"twins-gcc-arm64": {
		why: "twin_show and table of twin_b.c were folded into those of twin_a.c",
		with: []string{
			"table /build/src/twin_b.c 5 /build/src/twin_b.c .rodata 200160 5",
			"twin_show /build/src/twin_b.c 7 /build/src/twin_b.c .text 2011e0 7",
		},
	},
}

// TestLocate locates every symbol of every fixture and compares the listing with decl.txt, which is
// made with llvm-dwarfdump.
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
				t.Errorf("%s (-llvm-dwarfdump +kas):\n%s", different[name].why, d)
			}
		})
	}
}

// locations returns the located symbols of a fixture as lines of decl.txt, sorted.
func locations(t testing.TB, fixture string, shift uint64) []string {
	t.Helper()
	return locationsIn(t, fixture, shift, nil)
}

// locationsIn is locations for an object with split units.
func locationsIn(t testing.TB, fixture string, shift uint64, splits *dwarf.Splits) []string {
	t.Helper()
	f, d := open(t, fixture)
	if d == nil {
		return nil
	}
	d.Splits = splits
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
		if l.Method == dwarf.None {
			continue
		}
		// The source does not have the suffixes of clones, fragments and link-time optimization.
		name := targets[i].Name
		if !strings.HasPrefix(name, "_ZN") { // in such a name of Rust two dots are a double colon
			name, _, _ = strings.Cut(name, ".")
		}
		absolute := func(p string) string {
			if path.IsAbs(p) {
				return path.Clean(p)
			}
			return path.Join(l.CompDir, p)
		}
		at := fmt.Sprintf(
			"%s %x",
			f.Sections[symbols[i].Section].Name,
			f.CodeAddress(&symbols[i])+shift,
		)
		fragment := strings.Contains(targets[i].Name, ".cold") ||
			strings.Contains(targets[i].Name, ".__part.")
		if fragment != (l.Method == dwarf.Fragment) {
			t.Errorf("%s is located as %d", targets[i].Name, l.Method)
		}
		line, opening := l.Line, max(l.Opening, l.Line)
		switch l.Method {
		case dwarf.Variable:
			at = "- -"
		case dwarf.LineRow:
			line = 0 // it is the line of a row, not of a declaration
		}
		lines = append(
			lines,
			fmt.Sprintf(
				"%s %s %d %s %s %d",
				name,
				absolute(l.File),
				line,
				absolute(l.Unit),
				at,
				opening,
			),
		)
	}
	slices.Sort(lines)
	return lines
}

// TestLocateAlone locates each symbol alone. The location must not depend on what is skipped.
func TestLocateAlone(t *testing.T) {
	for _, fixture := range fixtures(t) {
		f, d := open(t, fixture)
		if d == nil {
			continue
		}
		targets, _, err := symbolTargets(f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := d.Locate(context.Background(), targets)
		if err != nil {
			t.Fatal(err)
		}
		for i := range targets {
			got, err := d.Locate(context.Background(), targets[i:i+1])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want[i:i+1], got); diff != "" {
				t.Errorf("%s: %s (-among all +alone):\n%s", fixture, targets[i].Name, diff)
			}
		}
	}
}

func TestLocateCanceled(t *testing.T) {
	_, d := open(t, "../testdata/basic-gcc-x86_64.o")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Locate(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestOwner locates symbols that no compiler makes, around name_show (line 22, at 0 in .text) and
// type_show (line 30, at 0x20).
func TestOwner(t *testing.T) {
	f, d := open(t, "../testdata/basic-gcc-x86_64.o")
	text := uint32(f.Section(".text"))
	for _, test := range []struct {
		name          string
		address, size uint64
		line          int64
	}{
		{"name_show", 0, 29, 22},
		{"name_show", 0, 0, 22},
		{"alias", 0, 29, 22},
		{"type_show", 0, 0x43, 22},                  // the function at its address owns it
		{"type_show", 0x18, 0x10, 30},               // a later function must have its name,
		{"type_show.constprop.0.isra.0", 8, 40, 30}, // apart from suffixes
		{"type_show", 0x18, 8, 0},
		{"type_show", 0x18, 9, 30},
		{"type_show", 0x18, 0, 0},
		{"other", 0x18, 0x10, 0},
		{"type_sho", 0x18, 0x10, 0},
		{"type_show2", 0x18, 0x10, 0},
		{"name_show", 1, 28, 0}, // no function begins in it
		{"name_show", 0x1000, 29, 0},
		{"type_show", 8, ^uint64(0), 30},
	} {
		got, err := d.Locate(
			context.Background(),
			[]dwarf.Target{
				{Name: test.name, Address: f.Address(text, test.address), Size: test.size},
			},
		)
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Line != test.line || (got[0].Method == dwarf.Subprogram) != (test.line > 0) {
			t.Errorf(
				"%s of %d bytes at %#x: %+v, want line %d",
				test.name,
				test.size,
				test.address,
				got[0],
				test.line,
			)
		}
	}
}

// TestUnsortedRelocations reverses the relocations of debug sections. The gABI does not ask for an
// order.
func TestUnsortedRelocations(t *testing.T) {
	for _, name := range []string{
		"basic-gcc-x86_64", "basic-gcc-i386", "dwarf4-gcc-s390x", "ko-gcc-mips64",
		"basic-clang-x86_64",
	} {
		data, err := os.ReadFile("../testdata/" + name + ".o")
		if err != nil {
			t.Fatal(err)
		}
		want := locations(t, "../testdata/"+name+".o", 0)
		f, err := stdelf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		turned := 0
		for _, s := range f.Sections {
			if _, of, ok := strings.Cut(s.Name, ".debug_"); !ok || of == "" ||
				s.Type != stdelf.SHT_RELA && s.Type != stdelf.SHT_REL {
				continue
			}
			table := data[s.Offset:][:s.Size]
			entries := slices.Collect(slices.Chunk(bytes.Clone(table), int(s.Entsize)))
			slices.Reverse(entries)
			copy(table, slices.Concat(entries...))
			turned++
		}
		if turned < 3 {
			t.Fatalf("%s: %d relocation sections", name, turned)
		}
		path := filepath.Join(t.TempDir(), name+".o")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, locations(t, path, 0)); d != "" {
			t.Errorf("%s (-sorted +turned around):\n%s", name, d)
		}
	}
}
