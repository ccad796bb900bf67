package dwarf_test

import (
	"context"
	stdelf "debug/elf"
	"os"
	"runtime"
	"strings"
	"testing"

	"kas/elf"
	"kas/elf/dwarf"
)

// fuzzSize is the largest input: small objects show what damage can do.
const fuzzSize = 32 << 10

// maxWork is how much work an object may cause for each of its bytes. Undamaged ones cause less
// than one. Units and entries may share what they refer to, and every unit may be compared with
// every symbol.
const maxWork = 200

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
			t.Skip("input too large")
		}
		survive(t, data)
	})
}

// survive locates every symbol of a damaged object. An error or a wrong location is fine. The work
// and the memory must be in proportion to the size of the object.
func survive(t *testing.T, data []byte) {
	t.Helper()
	f, err := elf.New(data)
	if err != nil {
		return
	}
	const ratio = 1200 // more than any compressed section can expand by
	size := uint64(len(data))
	for i := range f.Sections {
		s := &f.Sections[i]
		if s.Flags&uint64(stdelf.SHF_COMPRESSED) != 0 || strings.HasPrefix(s.Name, ".zdebug") {
			size += ratio * s.Size
		}
	}
	var work uint64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if d, err := dwarf.New(f); err == nil && d != nil {
		for i := range d.Units() {
			d.Units()[i].Producer()
		}
		targets, _, err := symbolTargets(f)
		if err == nil {
			d.Locate(context.Background(), targets)
		}
		work = d.Work()
	}
	runtime.ReadMemStats(&after)
	if work > maxWork*size {
		t.Errorf("work of %d for an input of %d bytes", work, len(data))
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20+2000*size {
		t.Errorf("%d bytes allocated for an input of %d", n, len(data))
	}
}
