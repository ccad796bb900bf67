package dwarf_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/need"
)

// TestCompactRelocations locates the same symbols in objects with compact relocations (SHT_CREL)
// and without.
func TestCompactRelocations(t *testing.T) {
	cc := need.Tool(t, "clang-19")
	for _, triple := range []string{"x86_64-linux-gnu", "i686-linux-gnu", "aarch64-linux-gnu"} {
		var all [2][]string
		for i, option := range []string{"-Wa,--no-warn", "-Wa,--crel,--allow-experimental-crel"} {
			object := filepath.Join(t.TempDir(), "a.o")
			c := exec.Command(
				cc,
				"--target="+triple,
				"-O2",
				"-g",
				"-ffreestanding",
				"-fno-pic",
				"-c",
				"basic.c",
				option,
				"-o",
				object,
			)
			c.Dir = "../testdata/src"
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			all[i] = locations(t, object, 0)
		}
		if d := cmp.Diff(all[0], all[1]); d != "" || len(all[0]) < 5 {
			t.Errorf(
				"%s: %d locations (-SHT_RELA or SHT_REL +SHT_CREL):\n%s",
				triple,
				len(all[0]),
				d,
			)
		}
	}
}
