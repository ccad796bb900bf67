package bench_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// fixtures are modules of the demo's gcc kernel with debugging information, 6 to 13 kB each.
var fixtures = []string{
	"crypto/crc32", "drivers/hwmon/coretemp", "drivers/hwmon/lm75", "drivers/hwmon/nct6775",
	"drivers/input/evdev", "drivers/net/dummy", "fs/ext2/ext2",
}

// repeated are the names of functions that the fixtures share, or their beginnings: driver_exit and
// driver_init would get the same number.
var repeated = []string{
	"name_show", "temp_show", "crit_show", "type_show", "probe", "fixup", "update",
	"driver_init", "driver_e", "init_once",
}

// writeModules makes n modules below dir and returns their total size in bytes. Each is a fixture
// under its own name: a number replaces the last letters of some words in the symbols, the
// debugging information and the source paths, so that no offset changes. One module in eight keeps
// the functions' names and so has duplicates, as in Debian's kernel.
//
// A module of a real kernel is a hundred times as large; nearly all of it is debugging information
// that a run does not touch.
func writeModules(tb testing.TB, dir string, n int) (size int64) {
	tb.Helper()
	kernel := filepath.Join("..", "demo", "matrix", "x86_64-gcc", "modules", "kernel")
	for i := range n {
		fixture := fixtures[i%len(fixtures)]
		data, err := os.ReadFile(filepath.Join(kernel, fixture+".ko"))
		if err != nil {
			tb.Fatal(err)
		}
		words := []string{filepath.Base(fixture)}
		if i%8 != 0 {
			words = append(words, repeated...)
		}
		for _, w := range words {
			data = bytes.ReplaceAll(data, []byte(w), []byte(numbered(w, i)))
		}
		path := filepath.Join(dir, filepath.Dir(fixture), numbered(filepath.Base(fixture), i)+".ko")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			tb.Fatal(err)
		}
		size += int64(len(data))
	}
	return size
}

// numbered replaces the last four letters of a word with a number.
func numbered(word string, i int) string {
	return word[:len(word)-4] + fmt.Sprintf("%04s", strconv.FormatInt(int64(i), 36))
}
