package stages

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/pipeline"
	"kas/registry"
)

// TestTables: the tables and the counts of a small build.
func TestTables(t *testing.T) {
	b := build(
		object(
			"vmlinux",
			"f 1 ffff20",
			"f 1 ffff10",
			"buf.3 2 ffff30",
			"once.cold 1 ffff40",
			"buf 2 ffff50",
		),
		object("a.ko", "f 1 8", "g.isra.0 1 10", "g.isra.0 1 18", "init 3 0", "init 3 8"),
		object("broken.ko"),
	)
	b.objects[2].Sections = nil // scan could not read it
	b.objects[0].Size, b.objects[1].Size = 1000, 100
	b.dir = t.TempDir()
	b.scope.Carry = func(o *pipeline.Object, d *pipeline.Duplicate) bool {
		return o.Symbols[d.Symbol].Value != 0x18
	}
	at := func(object string, s *pipeline.Symbol) pipeline.Location {
		l := pipeline.Location{
			File:   "x.c",
			Unit:   "x.c",
			Line:   int64(s.Value & 0xff),
			Method: "subprogram",
		}
		if s.Name == "g.isra.0" {
			l.File, l.Line = "h.h", 1 // both have the same location in a header
		}
		return l
	}
	emitted := see(
		func(b *pipeline.Build) { b.Objects[0].Emitted, b.Objects[1].Emitted = 5000, 70 },
	)
	fail := func(ctx context.Context, b *pipeline.Build) error {
		b.Fail(ctx, &b.Objects[2], fmt.Errorf("broken"))
		return nil
	}
	var stats pipeline.Stats
	errs := b.run(t, fail, Dedupe, Normalize, choose, locateAt(at), nameAll, emitted, Stats,
		see(func(b *pipeline.Build) { stats = b.Stats }))
	if d := cmp.Diff([]string{"broken.ko: broken"}, errs); d != "" {
		t.Error(d)
	}
	want := pipeline.Stats{
		Objects: 3, Modules: 2, Unreadable: 1, Failed: 1, BytesIn: 1100, Symbols: 10, Names: 6,
		Repeated: 3, Groups: 4, Duplicates: 9, Aliases: 5, InVmlinux: 2, InModules: 3, ByUnit: 2,
		ByOrdinal: 2, Renamed: 1, Unaliased: map[string]int{
			"not text": 2, "in a section that is gone after load": 2,
		},
		Emitted: 1, BytesOut: 70,
	}
	if d := cmp.Diff(want, stats); d != "" {
		t.Error(d)
	}
	clone := "subprogram, clone with changed parameters"
	for name, want := range map[string][]string{
		"aliases.tsv": {
			"alias symbol object section address type file line unit source",
			"f@x_c_32 f vmlinux .text ffff20 t x.c 32 x.c subprogram",
			"f@x_c_16 f vmlinux .text ffff10 t x.c 16 x.c subprogram",
			"f@x_c_8 f a.ko .text 8 t x.c 8 x.c subprogram",
			"g.isra.0@h_h_x_c_1_1 g.isra.0 a.ko .text 10 t h.h 1 x.c " + clone,
			"g.isra.0@h_h_x_c_1_2 g.isra.0 a.ko .text 18 t h.h 1 x.c " + clone,
		},
		"unaliased.tsv": {
			"symbol object section address type reason",
			"buf.3 vmlinux .data ffff30 d not text",
			"buf vmlinux .data ffff50 d not text",
			"init a.ko .init.text 0 t in a section that is gone after load",
			"init a.ko .init.text 8 t in a section that is gone after load",
		},
		"modules.symbfreq": {"buf:1", "buf.3:1", "f:3", "g.isra.0:2", "init:2", "once.cold:1"},
		"symbols.kas": {
			// name object section address size type count position base alias file line unit source
			"buf vmlinux .data ffff50 1 d 1 1 buf     ",
			"buf.3 vmlinux .data ffff30 1 d 1 1 buf     ",
			"f vmlinux .text ffff20 1 t 3 2 f f@x_c_32 x.c 32 x.c subprogram",
			"f vmlinux .text ffff10 1 t 3 1 f f@x_c_16 x.c 16 x.c subprogram",
			"f a.ko .text 8 1 t 3 1 f f@x_c_8 x.c 8 x.c subprogram",
			"g.isra.0 a.ko .text 10 1 t 2 1 g.isra.0 g.isra.0@h_h_x_c_1_1 h.h 1 x.c " + clone,
			"init a.ko .init.text 0 1 t 2 1 init     ",
			"init a.ko .init.text 8 1 t 2 2 init     ",
			"once.cold vmlinux .text ffff40 1 t 1 1      ",
		},
	} {
		data, err := os.ReadFile(filepath.Join(b.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(data)) {
			line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", " ")
			if name == "symbols.kas" &&
				(strings.HasPrefix(line, "#") || strings.Contains(line, "@h_h_x_c_1_2")) {
				continue
			}
			got = append(got, line)
		}
		if name == "symbols.kas" {
			// The registry orders the symbols of a name by object and address.
			slices.Sort(got)
			slices.Sort(want)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

// TestRecords: what the registry says of aliases that are late, exist already or are missing.
func TestRecords(t *testing.T) {
	b := build(
		object(
			"a.ko",
			"f 1 10",
			"f 1 20",
			"f 1 30",
			"f@x_c_48 1 30",
			"solo.llvm.7 1 40",
			"v 2 0",
			"v 2 8",
		),
	)
	b.toolchain, b.lto = "llvm", "thin"
	b.scope.Carry = func(o *pipeline.Object, d *pipeline.Duplicate) bool {
		return o.Symbols[d.Symbol].Value != 0x20
	}
	errs := b.run(
		t,
		Dedupe,
		Normalize,
		choose,
		locateAt(atLine),
		nameAll,
		see(func(b *pipeline.Build) {
			got := map[string]string{}
			for _, r := range Records(b) {
				got[fmt.Sprintf("%s %x", r.Name, r.Address)] = fmt.Sprintf(
					"%d/%d %s %s %v",
					r.Position,
					r.Count,
					r.Base,
					r.Alias,
					r.Late(),
				)
			}
			want := map[string]string{
				"f 10":           "1/3 f f@x_c_16 false",
				"f 20":           "2/3 f f@x_c_32 true",
				"f 30":           "3/3 f f@x_c_48 false",
				"f@x_c_48 30":    "1/1   false",
				"solo.llvm.7 40": "1/1 solo  false",
				"v 0":            "1/2 v  false",
				"v 8":            "2/2 v  false",
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		}),
	)
	if len(errs) > 0 {
		t.Error(errs)
	}
}

// TestPositions: livepatch counts by address in vmlinux and by table order in a module, from 1 in
// each.
func TestPositions(t *testing.T) {
	b := &pipeline.Build{Objects: []pipeline.Object{
		object("vmlinux", "f 1 30", "f 1 10", "g 1 5", "f 1 20", "f 1 10"),
		object("a.ko", "f 1 30", "f 1 10", "f 1 20"),
		object("b.ko", "f 1 0"),
	}}
	for _, c := range []struct {
		members []pipeline.Ref
		want    []int
	}{
		{[]pipeline.Ref{{Object: 0, Symbol: 0}}, []int{1}},
		{[]pipeline.Ref{{Object: 0, Symbol: 0}, {Object: 0, Symbol: 1}, {Object: 0, Symbol: 3}, {Object: 0, Symbol: 4}}, []int{4, 1, 3, 2}},
		{[]pipeline.Ref{{Object: 1, Symbol: 0}, {Object: 1, Symbol: 1}, {Object: 1, Symbol: 2}}, []int{1, 2, 3}},
		{[]pipeline.Ref{
			{Object: 0, Symbol: 0}, {Object: 0, Symbol: 1}, {Object: 1, Symbol: 0}, {Object: 1, Symbol: 1}, {Object: 2, Symbol: 0},
		}, []int{2, 1, 1, 2, 1}},
	} {
		if got := positions(b, c.members); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.members, got, c.want)
		}
	}
}

func TestRegistryHeader(t *testing.T) {
	b := &pipeline.Build{
		Arch:      "arm64",
		Toolchain: "llvm",
		LTO:       "thin",
		Release:   "6.12",
		BuildID:   "ab",
	}
	b.Config.Alias = build().Alias
	b.Names.Refs = make([]pipeline.Ref, 7)
	want := registry.Header{
		Arch: "arm64", Toolchain: "llvm", LTO: "thin", Release: "6.12", BuildID: "ab", Symbols: 7,
		Policy: "separator=@ line=opening symbols=text names=duplicates",
	}
	if d := cmp.Diff(want, RegistryHeader(b)); d != "" {
		t.Error(d)
	}
}

// TestNotResolved: without the resolve stage, every duplicate without a reason is listed.
func TestNotResolved(t *testing.T) {
	b := build(object("a.ko", "f 1 0", "f 1 8"))
	b.dir = t.TempDir()
	if errs := b.run(t, Dedupe, Normalize, Stats, see(func(b *pipeline.Build) {
		if b.Stats.Unaliased["not resolved"] != 2 {
			t.Errorf("counts %v", b.Stats.Unaliased)
		}
	})); len(errs) > 0 {
		t.Fatal(errs)
	}
	data, err := os.ReadFile(filepath.Join(b.dir, "unaliased.tsv"))
	if err != nil || strings.Count(string(data), "\tnot resolved\n") != 2 {
		t.Errorf("%v:\n%s", err, data)
	}
}
