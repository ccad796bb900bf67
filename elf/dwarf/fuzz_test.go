package dwarf_test

import (
	"context"
	stdelf "debug/elf"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kas/elf"
	"kas/elf/dwarf"
)

// fuzzSize is the largest input: small objects show what damage can do.
const fuzzSize = 32 << 10

// maxStep is how much more than what is allowed an object may cause for each of its bytes, because
// what one section holds is read before the work is checked.
const maxStep = 200

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

// FuzzSplit damages an object and its file of split units.
func FuzzSplit(f *testing.F) {
	for _, dir := range splitFixtures(f) {
		object, err := os.ReadFile(dir + "/mod.o")
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range []string{"cold.dwo", "header_a.dwo", "mod.dwp"} {
			split, err := os.ReadFile(dir + "/" + name)
			if err == nil && len(object) < fuzzSize {
				f.Add(object, split)
			}
		}
	}
	f.Fuzz(func(t *testing.T, object, split []byte) {
		if len(object) > fuzzSize || len(split) > fuzzSize || len(split) == 0 {
			t.Skip("input too large or empty")
		}
		surviveSplit(t, object, split)
	})
}

// survive locates every symbol of a damaged object. An error or a wrong location is fine. The work
// and the memory must be in proportion to the size of the object.
func survive(t *testing.T, data []byte) {
	t.Helper()
	surviveSplit(t, data, nil)
}

// surviveSplit is survive for an object whose units have all their entries in one file. If split is
// nil, the file is not read.
func surviveSplit(t *testing.T, data, split []byte) {
	t.Helper()
	var splits *dwarf.Splits
	if split != nil {
		path := filepath.Join(t.TempDir(), "split")
		if err := os.WriteFile(path, split, 0o644); err != nil {
			t.Fatal(err)
		}
		splits = &dwarf.Splits{Paths: func(string, string) []string { return []string{path} }}
	}
	f, err := elf.New(data)
	if err != nil {
		return
	}
	const ratio = 1200 // more than any compressed section can expand by
	size := uint64(len(data)) + uint64(len(split))
	for i := range f.Sections {
		s := &f.Sections[i]
		if s.Flags&uint64(stdelf.SHF_COMPRESSED) != 0 || strings.HasPrefix(s.Name, ".zdebug") {
			size += ratio * s.Size
		}
	}
	var work, limit uint64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if d, err := dwarf.New(f); err == nil && d != nil {
		d.Splits = splits
		for i := range d.Units() {
			d.Units()[i].Producer()
		}
		targets, _, err := symbolTargets(f)
		if err == nil {
			d.Locate(context.Background(), targets)
		}
		work, limit = d.Work(), d.Limit()
	}
	runtime.ReadMemStats(&after)
	if work > limit+maxStep*size {
		t.Errorf("work of %d of %d for an input of %d bytes", work, limit, len(data))
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20+2000*size {
		t.Errorf("%d bytes allocated for an input of %d", n, len(data))
	}
}
