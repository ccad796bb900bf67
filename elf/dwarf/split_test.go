package dwarf_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf"
	"kas/elf/dwarf"
)

// splitFixtures returns the folders of objects with split units. decl.txt is of the same sources
// without -gsplit-dwarf.
func splitFixtures(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("../testdata/split/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 11 {
		t.Fatalf("%d folders in testdata/split", len(dirs))
	}
	return dirs
}

// besideObject returns splits that are in the object's folder.
func besideObject(dir string) *dwarf.Splits {
	return &dwarf.Splits{Paths: func(name, compDir string) []string {
		return []string{filepath.Join(dir, "absent.dwo"), filepath.Join(dir, filepath.Base(name))}
	}}
}

func wantSplit(t testing.TB, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "decl.txt"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(want)
	return want
}

// TestSplit compares the locations with those of the same sources without -gsplit-dwarf, which are
// made with llvm-dwarfdump.
func TestSplit(t *testing.T) {
	for _, dir := range splitFixtures(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			splits := besideObject(dir)
			got := locationsIn(t, dir+"/mod.o", 0, splits)
			if d := cmp.Diff(wantSplit(t, dir), got); d != "" {
				t.Errorf(".dwo (-llvm-dwarfdump +kas):\n%s", d)
			}
			if len(splits.Missing) > 0 {
				t.Errorf("missing: %v", splits.Missing)
			}
			var read []string
			for _, in := range splits.Inputs {
				if in.Identity != elf.Identify(in.Path) {
					t.Errorf("%s has another identity", in.Path)
				}
				if in.Identity != (elf.Identity{}) {
					read = append(read, filepath.Base(in.Path))
				}
			}
			if slices.Sort(read); !slices.Equal(
				read,
				[]string{"basic.dwo", "cold.dwo", "header_a.dwo", "header_b.dwo"},
			) {
				t.Errorf("read %v, want each .dwo file once", read)
			}

			if strings.Contains(dir, "s390x") {
				return // llvm-dwp does not read it
			}
			splits = &dwarf.Splits{
				Package: filepath.Join(dir, "mod.dwp"),
				Paths:   func(string, string) []string { return nil },
			}
			got = locationsIn(t, dir+"/mod.o", 0, splits)
			if d := cmp.Diff(wantSplit(t, dir), got); d != "" {
				t.Errorf(".dwp (-llvm-dwarfdump +kas):\n%s", d)
			}
			if len(splits.Missing) > 0 || len(splits.Inputs) != 1 {
				t.Errorf("missing %v, inputs %v", splits.Missing, splits.Inputs)
			}
		})
	}
}

// TestSplitOnlyNeeded locates one symbol: only the file of its unit may be opened.
func TestSplitOnlyNeeded(t *testing.T) {
	for _, dir := range splitFixtures(t) {
		for symbol, want := range map[string]string{
			"update": "cold.dwo", "use_b": "header_b.dwo", "compare_b": "header_b.dwo",
			"counter": "basic.dwo",
		} {
			splits := &dwarf.Splits{Paths: besideObject(dir).Paths}
			f, err := elf.Open(dir + "/mod.o")
			if err != nil {
				t.Fatal(err)
			}
			targets, _, err := symbolTargets(f)
			if err != nil {
				t.Fatal(err)
			}
			targets = slices.DeleteFunc(
				targets,
				func(t dwarf.Target) bool { return t.Name != symbol },
			)
			d, err := dwarf.New(f)
			if err != nil {
				t.Fatal(err)
			}
			d.Splits = splits
			found, err := d.Locate(context.Background(), targets)
			f.Close()
			if err != nil || len(found) != 1 || found[0].Method == dwarf.None {
				t.Errorf("%s: %s: %v, %v", dir, symbol, found, err)
			}
			code := !targets[0].Data
			var read []string
			for _, in := range splits.Inputs {
				if in.Identity != (elf.Identity{}) {
					read = append(read, filepath.Base(in.Path))
				}
			}
			if !slices.Contains(read, want) || code && len(read) != 1 {
				t.Errorf("%s: %s: read %v, want %s", dir, symbol, read, want)
			}
		}
	}
}

// TestSplitRefused gives one unit a file that must not be used. The symbols of the unit are not
// located, those of the others are.
func TestSplitRefused(t *testing.T) {
	for _, dir := range splitFixtures(t) {
		good, err := os.ReadFile(dir + "/cold.dwo")
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(dir + "/basic.dwo")
		if err != nil {
			t.Fatal(err)
		}
		machine, err := os.ReadFile("../testdata/basic-gcc-i386.o")
		if err != nil {
			t.Fatal(err)
		}
		object, err := os.ReadFile(dir + "/mod.o")
		if err != nil {
			t.Fatal(err)
		}
		for why, content := range map[string][]byte{
			"of another compilation": other, "file does not exist": nil, "empty file": {},
			"section headers": good[:len(good)/2], "for another machine": machine,
			"no .debug_info.dwo": object, "damaged .debug_info.dwo": unknownVersion(t, dir+"/cold.dwo"),
		} {
			bad := filepath.Join(t.TempDir(), "cold.dwo")
			if content != nil {
				if err := os.WriteFile(bad, content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			splits := &dwarf.Splits{Paths: func(name, _ string) []string {
				if base := filepath.Base(name); base != "cold.dwo" {
					return []string{filepath.Join(dir, base)}
				}
				return []string{bad}
			}}
			want := slices.DeleteFunc(wantSplit(t, dir), func(line string) bool {
				return strings.Contains(line, "/cold.c")
			})
			if d := cmp.Diff(want, locationsIn(t, dir+"/mod.o", 0, splits)); d != "" {
				t.Errorf("%s: %s (-want +got):\n%s", dir, why, d)
			}
			if len(splits.Missing) != 1 || !strings.Contains(splits.Missing[0].Error(), why) ||
				!strings.Contains(splits.Missing[0].Error(), bad) {
				t.Errorf("%s: missing %v, want %s", dir, splits.Missing, why)
			}
		}
	}
}

// unknownVersion returns a .dwo file whose unit has version 9.
func unknownVersion(t *testing.T, path string) []byte {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := f.Sections[f.Section(".debug_info.dwo")].Offset + 4
	data[at], data[at+1] = 9, 9
	return data
}

// TestSplitDamaged damages bytes of files of split units, one at a time. Nothing may crash, and
// the work and the memory stay in proportion.
func TestSplitDamaged(t *testing.T) {
	for _, dir := range []string{"gcc-x86_64-4", "clang-x86_64-5"} {
		dir = "../testdata/split/" + dir
		object, err := os.ReadFile(dir + "/mod.o")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"cold.dwo", "mod.dwp"} {
			split, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(split); at += 5 {
				damaged := slices.Clone(split)
				damaged[at] ^= []byte{0xff, 0x7f, 0x80, 0x01}[at/5%4]
				surviveSplit(t, object, damaged)
				if t.Failed() {
					t.Fatalf("%s/%s: byte %d", dir, name, at)
				}
			}
		}
	}
}
