package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"kas/pipeline"
	"kas/registry"
)

// farmOfThree is a build without problems, one with hostile names and a damaged registry, and a
// folder whose run was killed.
func farmOfThree(t *testing.T) *Outputs {
	dir := t.TempDir()
	f := function("show", 7)
	module := function("store", 9)
	module.Object = "net/a.ko"
	whole := kernel{buildStats{
		Name: "x86_64-gcc", Arch: "x86_64", Toolchain: "gcc", LTO: "none", Release: "6.12.0",
		Stats: pipeline.Stats{
			Objects: 14, Modules: 13, BytesIn: 185584, Symbols: 268, Names: 108, Repeated: 32,
			Groups: 33, Duplicates: 194, Aliases: 74, InVmlinux: 38, InModules: 36, Renamed: 7,
			Emitted: 12, BytesOut: 109592,
			Unaliased: map[string]int{"not text": 17, `a "b" \`: 2},
		},
	}, []registry.Record{f, module}}
	hostile := kernel{buildStats{
		Name: "<b>,\"x\"\n\\", Arch: "arm64", Release: "\xff\x01",
		Stats:             pipeline.Stats{Objects: 2, Unreadable: 1, Failed: 1, Symbols: 5},
		Errors:            []string{"b: scan: <a>.ko: empty\x1b file"},
		UnreadableObjects: []string{"<a>.ko", "c.ko"},
	}, nil}
	out, killed := filepath.Join(dir, "out"), filepath.Join(dir, "killed")
	writeOut(t, out, whole, hostile)
	err := errors.Join(os.Mkdir(killed, 0o755),
		os.Truncate(filepath.Join(out, hostile.Name, registry.FileName), 3))
	if err != nil {
		t.Fatal(err)
	}
	o := read(t, out, killed)
	o.AddRun(sample())
	return o
}

// TestCounts compares what programs read with golden files, and lets parsers of the formats read
// them.
func TestCounts(t *testing.T) {
	o := farmOfThree(t)
	for name, write := range map[string]func(io.Writer) error{
		"junit.golden": o.JUnit, "prometheus.golden": o.Prometheus, "csv.golden": o.CSV,
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
		switch name {
		case "junit.golden":
			if err := xml.Unmarshal(b.Bytes(), new(junitSuites)); err != nil {
				t.Error(err)
			}
		case "csv.golden":
			if rows, err := csv.NewReader(&b).ReadAll(); err != nil || len(rows) != 4 {
				t.Error(len(rows), err)
			}
		}
		for room := 0; room < b.Len(); room += 97 {
			if f := full(room); write(&f) == nil {
				t.Errorf("%s: no error with room for %d of %d bytes", name, room, b.Len())
			}
		}
	}
}
