package dwarf_test

import (
	"bytes"
	"context"
	stdelf "debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/need"
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
		why:  "second_show was folded into first_show: it has no address of its own, but its declaration is in icf.c",
		with: []string{"second_show /build/src/icf.c 8 /build/src/icf.c .text 201140 8"},
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
				t.Errorf("%s (-llvm-dwarfdump +kas):\n%s", different[name].why, d)
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
		if l.Method == dwarf.None {
			continue
		}
		// The suffixes of clones, fragments and link-time optimization are the symbol's, not the source's.
		name, _, _ := strings.Cut(targets[i].Name, ".")
		absolute := func(p string) string {
			if path.IsAbs(p) {
				return path.Clean(p)
			}
			return path.Join(l.CompDir, p)
		}
		place := fmt.Sprintf("%s %x", f.Sections[symbols[i].Section].Name, f.CodeAddress(&symbols[i])+shift)
		if fragment := strings.Contains(targets[i].Name, ".cold"); fragment != (l.Method == dwarf.Fragment) {
			t.Errorf("%s is located as %d", targets[i].Name, l.Method)
		}
		line, opening := l.Line, max(l.Opening, l.Line)
		switch l.Method {
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

// TestLocateAlone locates each symbol on its own: what is skipped on the way to one must not change what is found.
func TestLocateAlone(t *testing.T) {
	for _, fixture := range fixtures(t) {
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
	f, err := elf.Open("../testdata/basic-gcc-x86_64.o")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := dwarf.New(f)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Locate(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestOwner makes targets that no compiler would, between name_show (declared in line 22, at 0 in .text) and type_show
// (line 30, at 0x20).
func TestOwner(t *testing.T) {
	f, err := elf.Open("../testdata/basic-gcc-x86_64.o")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := dwarf.New(f)
	if err != nil {
		t.Fatal(err)
	}
	text := uint32(f.Section(".text"))
	for _, test := range []struct {
		name          string
		address, size uint64
		line          int64
	}{
		{"name_show", 0, 29, 22},
		{"name_show", 0, 0, 22},
		{"alias", 0, 29, 22},
		{"type_show", 0, 0x43, 22},                  // what begins at its own address owns it
		{"type_show", 0x18, 0x10, 30},               // what begins later must bear its name,
		{"type_show.constprop.0.isra.0", 8, 40, 30}, // but for suffixes
		{"type_show", 0x18, 8, 0},
		{"type_show", 0x18, 9, 30},
		{"type_show", 0x18, 0, 0},
		{"other", 0x18, 0x10, 0},
		{"type_sho", 0x18, 0x10, 0},
		{"type_show2", 0x18, 0x10, 0},
		{"name_show", 1, 28, 0}, // the middle of a function is not its beginning
		{"name_show", 0x1000, 29, 0},
		{"type_show", 8, ^uint64(0), 30},
	} {
		got, err := d.Locate(context.Background(), []dwarf.Target{{Name: test.name, Address: f.Address(text, test.address), Size: test.size}})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Line != test.line || (got[0].Method == dwarf.Subprogram) != (test.line > 0) {
			t.Errorf("%s of %d bytes at %#x: %+v, want line %d", test.name, test.size, test.address, got[0], test.line)
		}
	}
}

// TestUnsortedRelocations turns the relocations of the debug sections around: the gABI asks for no order.
func TestUnsortedRelocations(t *testing.T) {
	for _, name := range []string{"basic-gcc-x86_64", "basic-gcc-i386", "dwarf4-gcc-s390x", "ko-gcc-mips64", "basic-clang-x86_64"} {
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
			if _, of, ok := strings.Cut(s.Name, ".debug_"); !ok || of == "" || s.Type != stdelf.SHT_RELA && s.Type != stdelf.SHT_REL {
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

// rowsAndUnits is DWARF 4 by hand. Unit one.c declares first, second, third and other; unit two.c declares same at the
// address of other, as after the folding of identical code, and functions without code of their own. Of several units
// named three.c none can be told by its name. Unit four.S was assembled.
const rowsAndUnits = `
	.file 1 "one.c"
	.text
first:			# two rows that are no statements
	.loc 1 12 0 is_stmt 0
	.loc 1 11 0 is_stmt 0
	nop
second:			# the last row of first, then two statements
	.loc 1 13 0 is_stmt 0
	.loc 1 22 0 is_stmt 1
	.loc 1 24 0 is_stmt 1
	nop
third:			# a statement above the declaration, then one below
	.loc 1 25 0 is_stmt 1
	.loc 1 33 0 is_stmt 1
	nop
same:
	.loc 1 42 0 is_stmt 1
	nop
end:
	.section .debug_abbrev, "", @progbits
	.uleb128 1, 0x11	# a unit: name, language, ranges, line table
	.byte 1
	.uleb128 0x03, 0x08, 0x13, 0x0b, 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0
	.uleb128 2, 0x2e	# a function: name, file, line, range
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x11, 0x01, 0x12, 0x07, 0, 0
	.uleb128 3, 0x2e	# a function without code
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0, 0
	.uleb128 4, 0x2e	# a declaration
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x3c, 0x19, 0, 0
	.uleb128 0
	.macro unit name, from, language=12
	.4byte 2f - 1f
1:	.2byte 4
	.4byte 0
	.byte 8
	.uleb128 1
	.asciz "\name"
	.byte \language
	.8byte \from, end - \from
	.4byte .debug_line
	.endm
	.macro function name, line, from, size
	.uleb128 2
	.asciz "\name"
	.byte 1, \line
	.8byte \from, \size
	.endm
	.macro folded name, line, abbreviation=3
	.uleb128 \abbreviation
	.asciz "\name"
	.byte 1, \line
	.endm
	.section .debug_info, "", @progbits
	unit one.c, first
	function first, 10, first, 1
	function second, 20, second, 1
	function third, 30, third, 1
	function other, 40, same, 1
	.byte 0
2:
	unit two.c, same
	function same, 41, same, 1
	folded lone, 51
	folded twice, 52
	folded twice, 53
	folded declared, 54, 4
	folded declared, 55
	folded elsewhere, 56, 4
	.byte 0
2:
	unit a/three.c, end
	folded ambiguous, 61
	.byte 0
2:
	unit b/three.c, end
	folded ambiguous, 62
	.byte 0
2:
	unit dir/four.S, end, 0x31
	.byte 0
2:
	.section .debug_line, "", @progbits
`

// TestRowsAndUnits holds the choice between rows of one address, and between functions of one address.
func TestRowsAndUnits(t *testing.T) {
	dir := t.TempDir()
	object := filepath.Join(dir, "rows.o")
	cmd := exec.Command(need.Tool(t, "as"), "--64", "-o", object, "-")
	cmd.Stdin = strings.NewReader(rowsAndUnits)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := elf.Open(object)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := dwarf.New(f)
	if err != nil {
		t.Fatal(err)
	}
	text := uint32(f.Section(".text"))
	var targets []dwarf.Target
	for i, name := range []string{"first", "second", "third", "same"} {
		targets = append(targets, dwarf.Target{Name: name, Address: f.Address(text, uint64(i)), Size: 1})
	}
	nowhere := f.Address(text, 0x1000)
	targets = append(targets,
		dwarf.Target{Name: "lone.cold", Address: nowhere, Size: 1, File: "two.c"},
		dwarf.Target{Name: "lone", Address: nowhere, Size: 1},
		dwarf.Target{Name: "lone", Address: nowhere, Size: 1, File: "one.c"},
		dwarf.Target{Name: "lone", Address: nowhere, Size: 1, File: "two.c", Data: true},
		dwarf.Target{Name: "twice", Address: nowhere, Size: 1, File: "two.c"},
		dwarf.Target{Name: "declared", Address: nowhere, Size: 1, File: "two.c"},
		dwarf.Target{Name: "elsewhere", Address: nowhere, Size: 1, File: "two.c"},
		dwarf.Target{Name: "ambiguous", Address: nowhere, Size: 1, File: "three.c"},
		dwarf.Target{Name: "table", Address: nowhere, Size: 1, File: "four.S", Data: true},
		dwarf.Target{Name: "same", Address: f.Address(text, 3), Size: 1, File: "one.c"},
	)
	got, err := d.Locate(context.Background(), targets)
	if err != nil {
		t.Fatal(err)
	}
	want := []dwarf.Location{
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 12, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 20, Opening: 22, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 30, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 41, Opening: 42, Unit: "two.c"},
		{Method: dwarf.ByName, File: "one.c", Line: 51, Unit: "two.c"},
		{}, // under no file
		{}, // under another file
		{}, // data of C
		{}, // two functions of one name
		{Method: dwarf.ByName, File: "one.c", Line: 55, Unit: "two.c"},
		{}, // declared only
		{}, // two units of one name
		{Method: dwarf.ByFile, File: "dir/four.S", Unit: "dir/four.S"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 41, Opening: 42, Unit: "two.c"}, // the address comes first
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
