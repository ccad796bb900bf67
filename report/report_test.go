package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kas/configs"
	"kas/pipeline"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; go test ./report -update rewrites it):\n%s", name, diff)
	}
}

func timings(ms ...int) []pipeline.Timing {
	var all []pipeline.Timing
	for i, name := range []string{"scan", "dedupe", "normalize", "resolve", "emit", "stats"} {
		if i < len(ms) && ms[i] >= 0 {
			wall := time.Duration(ms[i]) * time.Millisecond
			all = append(all, pipeline.Timing{Stage: name, Wall: wall})
		}
	}
	return all
}

// sample is the result of a large build, one with fewer stages, one without emit, and one that
// failed early.
func sample() *pipeline.Result {
	large := &pipeline.Build{
		Config: configs.Build{Name: "x86_64-gcc"}, Arch: "x86_64", Toolchain: "gcc", LTO: "none",
		Release: "6.1.0-56-cloud-amd64",
		Stats: pipeline.Stats{
			Objects: 1234, Modules: 1233, Unreadable: 1, Failed: 2, BytesIn: 1 << 30,
			Symbols: 1234567, Names: 900000, Repeated: 12345, Groups: 12340, Duplicates: 54321,
			Aliases: 43210, InVmlinux: 10000, InModules: 33210, ByUnit: 2000, ByOrdinal: 300,
			Shortened: 4, Renamed: 5, Emitted: 800, BytesOut: 987654321,
			Unaliased: map[string]int{
				"not text": 10000, "label of the assembler": 11, "no debugging information": 1100,
			},
		},
		Timings: timings(1234, 56, 78, 9999, 3210, 400),
	}
	short := &pipeline.Build{
		Config: configs.Build{Name: "arm64"}, Arch: "arm64", Timings: timings(20, 3),
	}
	unwritten := &pipeline.Build{
		Config: configs.Build{Name: "s390x-clang"}, Arch: "s390x", Toolchain: "llvm",
		Stats: pipeline.Stats{
			Objects: 1, Symbols: 10, Duplicates: 3, Aliases: 1, InVmlinux: 1,
			Unaliased: map[string]int{"not text": 1, "label of the assembler": 1},
		},
		Timings: timings(1, 2, 3, 4, -1, 5),
	}
	failed := &pipeline.Build{Config: configs.Build{Name: "failed"}, Timings: timings(7)}
	return &pipeline.Result{
		Builds: []*pipeline.Build{large, short, unwritten, failed},
		Errors: []*pipeline.Error{
			{Build: "x86_64-gcc", Stage: "scan", Object: "fs/fat/fat.ko",
				Err: errors.New("empty file (offset 0x0)")},
			{Build: "x86_64-gcc", Stage: "emit", Object: "lib/a.ko",
				Err: errors.New(`no "space" left <here>`)},
			{Build: "failed", Stage: "scan", Err: errors.New("folder is gone")},
		},
	}
}

func TestGolden(t *testing.T) {
	const took = 15*time.Second + 67*time.Millisecond
	for name, write := range map[string]func(io.Writer, *pipeline.Result) error{
		"text.golden": func(w io.Writer, r *pipeline.Result) error { return Text(w, r, took) },
		"json.golden": func(w io.Writer, r *pipeline.Result) error { return JSON(w, r, took) },
		"stats.golden": func(w io.Writer, r *pipeline.Result) error {
			return Stats(w, r, []byte("version: 1\n"), nil, nil)
		},
	} {
		var b bytes.Buffer
		if err := write(&b, sample()); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestTextFitsATerminal(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b, sample(), time.Hour); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("blanks at the end: %q", line)
		}
	}
}

// TestTextSkipped checks that a build that an earlier run finished shows the counts of that run.
func TestTextSkipped(t *testing.T) {
	r := sample()
	r.Builds = r.Builds[:1]
	r.Builds[0].Timings, r.Builds[0].Skipped = nil, true
	var b bytes.Buffer
	if err := Text(&b, r, 0); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "1,234,567") {
		t.Errorf("no counts:\n%s", &b)
	}
	b.Reset()
	if err := JSON(&b, r, 0); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"unchanged": true`) {
		t.Errorf("not unchanged:\n%s", &b)
	}
}

// TestTextOrder checks the order of stages that only some builds ran, and of reasons that are
// equally frequent.
func TestTextOrder(t *testing.T) {
	r := sample()
	r.Builds[0], r.Builds[2] = r.Builds[2], r.Builds[0] // the build without emit comes first
	for i, b := range r.Builds {
		b.Stats.Unaliased = nil
		if i == 1 {
			b.Stats.Unaliased = map[string]int{"d": 1, "b": 1, "a": 1, "e": 2, "c": 1}
		}
	}
	var b bytes.Buffer
	if err := Text(&b, r, 0); err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"2 e 1 a 1 b 1 c 1 d", "seconds scan dedupe normalize resolve emit stats",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestProof(t *testing.T) {
	var b bytes.Buffer
	for _, p := range []Proved{
		{Build: "a", Aliases: 1234, Objects: 12, Symbols: 1234567, Relocations: 7654321,
			Bytes: 1 << 30},
		{Build: "b", Problems: 1, Objects: 3, Unreadable: 2},
		{Build: "c", Problems: 1234},
	} {
		if err := Proof(&b, p); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "proof.golden", b.Bytes())
}

func TestCosts(t *testing.T) {
	costs := []Cost{
		{"large", "duplicates", "text", true, 1234, 5678, 34567, 1234567},
		{"large", "all", "all", false, 123456, 654321, 45678901, 123456789},
		{"small", "duplicates", "text", true, 0, 1, 0, 99},
	}
	for name, write := range map[string]func(io.Writer, []Cost) error{
		"costs.golden": Costs, "costs.json.golden": CostsJSON,
	} {
		var b bytes.Buffer
		if err := write(&b, costs); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// TestStatsUnused: stats.json lists the unreadable objects and those left out. A build that was
// skipped had none.
func TestStatsUnused(t *testing.T) {
	r := sample()
	r.Builds[0].Objects = []pipeline.Object{{Name: "fs/fat/fat.ko"}, {Name: "a.ko", LeftOut: true}}
	left := []pipeline.LeftOut{{Object: "a.ko", Module: "a", Counts: "updates/a.ko"}}
	r.Builds[0].Stats.LeftOut = left
	r.Builds[2].Objects, r.Builds[2].Skipped = r.Builds[0].Objects, true
	var b bytes.Buffer
	if err := Stats(&b, r, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Builds []struct {
			Unreadable []string           `json:"unreadable_objects"`
			LeftOut    []pipeline.LeftOut `json:"modules_left_out"`
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for i, x := range got.Builds {
		unreadable, out := []string(nil), []pipeline.LeftOut(nil)
		if i == 0 {
			unreadable, out = []string{"fs/fat/fat.ko"}, left
		}
		if diff := cmp.Diff(unreadable, x.Unreadable) + cmp.Diff(out, x.LeftOut); diff != "" {
			t.Errorf("build %d: %s", i, diff)
		}
	}
}

// full is a writer with room for that many bytes.
type full int

func (f *full) Write(p []byte) (int, error) {
	if *f -= full(len(p)); *f < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// TestWriteErrors lets the writer fail at every seventh byte of what is written.
func TestWriteErrors(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"Text":  func(w io.Writer) error { return Text(w, sample(), 0) },
		"JSON":  func(w io.Writer) error { return JSON(w, sample(), 0) },
		"Stats": func(w io.Writer) error { return Stats(w, sample(), nil, nil, nil) },
		"Proof": func(w io.Writer) error { return Proof(w, Proved{}) },
		"Costs": func(w io.Writer) error { return Costs(w, make([]Cost, 9)) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for room := 0; room < b.Len(); room += 7 {
			if f := full(room); write(&f) == nil {
				t.Errorf("%s: no error with room for %d of %d bytes", name, room, b.Len())
			}
		}
		if f := full(b.Len()); write(&f) != nil {
			t.Errorf("%s: an error although there is room", name)
		}
	}
}
