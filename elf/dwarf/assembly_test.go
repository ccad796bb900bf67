package dwarf_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf/dwarf"
	"kas/need"
)

// TestIncludedAssembly locates code of assembly that a header defines. The first code is the
// header's, so the assemblers name the unit after the header.
func TestIncludedAssembly(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "include/asm"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o777); err != nil {
		t.Fatal(err)
	}
	function := func(name string) string {
		return strings.ReplaceAll(
			".type NAME, %function\nNAME: nop\n.size NAME, . - NAME\n",
			"NAME",
			name,
		)
	}
	for file, text := range map[string]string{
		"include/asm/gen.h": function("header"),
		"lib/one.S":         "#include <asm/gen.h>\n.text\n" + function("own"),
		"lib/own_first.S":   ".text\n" + function("own") + "#include <asm/gen.h>\n",
		// The unit of GNU as is unknown if two files can be the primary one.
		"lib/more.S":  "#include <asm/gen.h>\n" + function("own") + "#include \"other.S\"\n",
		"lib/other.S": function("other"),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	clang, gcc := need.Tool(t, "clang-19"), need.Tool(t, "gcc")
	for _, test := range []struct {
		compiler []string
		file     string
		unit     string
		lines    [2]int64 // of header and own
	}{
		{[]string{clang, "-gdwarf-5"}, "lib/one.S", "lib/one.S", [2]int64{2, 4}},
		{[]string{clang, "-gdwarf-4"}, "lib/one.S", "lib/one.S", [2]int64{2, 4}},
		{[]string{clang, "-gdwarf-5", "--target=aarch64-linux-gnu"}, "lib/one.S", "lib/one.S", [2]int64{2, 4}},
		{[]string{clang, "-gdwarf-5"}, "lib/own_first.S", "lib/own_first.S", [2]int64{2, 3}},
		{[]string{clang, "-gdwarf-5"}, "lib/more.S", "lib/more.S", [2]int64{2, 3}},
		{[]string{gcc, "-gdwarf-5"}, "lib/one.S", "lib/one.S", [2]int64{2, 4}},
		{[]string{gcc, "-gdwarf-4"}, "lib/one.S", "lib/one.S", [2]int64{2, 4}},
		{[]string{gcc, "-gdwarf-5"}, "lib/own_first.S", "lib/own_first.S", [2]int64{2, 3}},
		{[]string{gcc, "-gdwarf-5"}, "lib/more.S", "include/asm/gen.h", [2]int64{2, 3}},
	} {
		object := filepath.Join(t.TempDir(), "a.o")
		args := append(test.compiler[1:], "-Iinclude", "-c", "-o", object, test.file)
		cmd := exec.Command(test.compiler[0], args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		f, d := open(t, object)
		all, _, err := symbolTargets(f)
		if err != nil {
			t.Fatal(err)
		}
		found, err := d.Locate(context.Background(), all)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]dwarf.Location{}
		for i, target := range all {
			got[target.Name] = found[i]
		}
		delete(got, "other")
		at := func(file string, line int64) dwarf.Location {
			return dwarf.Location{
				Method:  dwarf.LineRow,
				File:    file,
				Line:    line,
				Unit:    test.unit,
				CompDir: dir,
			}
		}
		want := map[string]dwarf.Location{
			"header": at("include/asm/gen.h", test.lines[0]), "own": at(test.file, test.lines[1]),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q %s (-want +got):\n%s", test.compiler, test.file, diff)
		}
	}
}
