package dwarf_test

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"kas/elf"
	"kas/elf/dwarf"
)

// fuzzSize bounds the inputs of fuzzing: what damage can do to an object shows in small ones.
const fuzzSize = 32 << 10

func FuzzLocate(f *testing.F) {
	for _, path := range fixtures(f) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 9<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzSize {
			t.Skip("longer than fuzzed")
		}
		survive(t, data)
	})
}

// survive locates every symbol of a damaged object: an error or wrong locations are fine, but nothing worse.
func survive(t *testing.T, data []byte) {
	t.Helper()
	f, err := elf.New(data)
	if err != nil {
		return
	}
	size := uint64(len(data))
	for i := range f.Sections {
		if s := &f.Sections[i]; s.Flags&0x800 != 0 || strings.HasPrefix(s.Name, ".zdebug") {
			size += 1200 * s.Size
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if d, err := dwarf.New(f); err == nil && d != nil {
		for i := range d.Units() {
			d.Units()[i].Producer()
		}
		targets, _, err := symbolTargets(f)
		if err == nil {
			d.Locate(context.Background(), targets)
		}
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > time.Second {
		t.Errorf("took %v", took)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20+2000*size {
		t.Errorf("%d bytes allocated for an input of %d", n, len(data))
	}
}
