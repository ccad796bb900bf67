package stages

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf/dwarf"
	"kas/pipeline"
)

// TestSettle: how a declaration becomes a location.
func TestSettle(t *testing.T) {
	source := findRoots([]string{"/src"}, nil, newEvidence())
	for _, c := range []struct {
		what string
		line string
		from dwarf.Location
		want pipeline.Location
	}{
		{"not found", "opening", dwarf.Location{File: "a.c", Line: 3}, pipeline.Location{}},
		{"no file", "opening", dwarf.Location{Method: dwarf.Subprogram, Line: 3}, pipeline.Location{}},
		{"the file is a folder", "opening",
			dwarf.Location{Method: dwarf.Subprogram, File: "/", Unit: "/src/b.c", Line: 3},
			pipeline.Location{}},
		{"no unit", "opening",
			dwarf.Location{Method: dwarf.Subprogram, File: "/src/a.c", Line: 3},
			pipeline.Location{File: "a.c", Unit: "a.c", Line: 3, Method: "subprogram"}},
		{"opening", "opening",
			dwarf.Location{
				Method: dwarf.Subprogram, File: "/src/a.c", Unit: "/src/b.c", Line: 3, Opening: 5,
			},
			pipeline.Location{File: "a.c", Unit: "b.c", Line: 5, Method: "subprogram"}},
		{"no opening", "opening",
			dwarf.Location{Method: dwarf.Fragment, File: "/src/a.c", Unit: "/src/a.c", Line: 3},
			pipeline.Location{File: "a.c", Unit: "a.c", Line: 3, Method: "fragment"}},
		{"declaration", "declaration",
			dwarf.Location{
				Method: dwarf.Variable, File: "/src/a.c", Unit: "/src/a.c", Line: 3, Opening: 5,
			},
			pipeline.Location{File: "a.c", Unit: "a.c", Line: 3, Method: "variable"}},
		{"#line names the unit", "opening",
			dwarf.Location{
				Method: dwarf.LineRow, File: "fs/a.c:compat_a.c", Unit: "fs/compat_a.c", Line: 3,
			},
			pipeline.Location{File: "fs/a.c", Unit: "fs/compat_a.c", Line: 3, Method: "line"}},
		{"#line names another unit", "opening",
			dwarf.Location{Method: dwarf.ByName, File: "fs/a.c:b.c", Unit: "fs/c.c", Line: 3},
			pipeline.Location{File: "fs/a.c:b.c", Unit: "fs/c.c", Line: 3, Method: "name"}},
		{"file only", "opening",
			dwarf.Location{Method: dwarf.ByFile, File: "a.S", Unit: "a.S", CompDir: "/src"},
			pipeline.Location{File: "a.S", Unit: "a.S", Method: "file"}},
	} {
		var d pipeline.Duplicate
		settle(&d, c.from, source, c.line)
		if diff := cmp.Diff(c.want, d.Location); diff != "" {
			t.Errorf("%s:\n%s", c.what, diff)
		}
	}
}

// TestResolve: the declarations of a module of the demo are those of its source,
// drivers/hwmon/lm75.c.
func TestResolve(t *testing.T) {
	for _, line := range []string{"declaration", "opening"} {
		b := files(t, lm75)
		b.Alias.Names.All, b.Alias.Line = true, line
		errs := b.run(t, Read, Dedupe, Normalize, Resolve, see(func(b *pipeline.Build) {
			declared := map[string]int64{"name_show": 8, "temp_show": 17, "probe": 25}
			found := 0
			for _, d := range b.Objects[0].Duplicates {
				s := b.Objects[0].Symbols[d.Symbol]
				want, ok := declared[s.Name]
				if !ok {
					continue
				}
				found++
				l := d.Location
				if l.File != "drivers/hwmon/lm75.c" || l.Unit != l.File ||
					l.Method != "subprogram" {
					t.Errorf("%s: %+v", s.Name, l)
				}
				if line == "declaration" && l.Line != want || l.Line < want || l.Line > want+3 {
					t.Errorf("%s: %s in line %d, declared in line %d", s.Name, line, l.Line, want)
				}
			}
			if found != len(declared) {
				t.Errorf("%d of %d functions", found, len(declared))
			}
		}))
		if len(errs) > 0 {
			t.Error(errs)
		}
	}
}

// TestResolveAgain: what an object declares is noted, so it need not be opened again.
func TestResolveAgain(t *testing.T) {
	b := files(t, lm75)
	b.Alias.Names.All = true
	var first, second []pipeline.Duplicate
	take := func(to *[]pipeline.Duplicate) step {
		return see(func(b *pipeline.Build) { *to = slices.Clone(b.Objects[0].Duplicates) })
	}
	b.run(t, Read, Dedupe, Normalize, Resolve, take(&first))
	// Now the path cannot be opened, but the identity of the object is known.
	gone := see(func(b *pipeline.Build) { b.Objects[0].Path = "nosuch" })
	errs := b.run(t, Read, Dedupe, Normalize, gone, Resolve, take(&second))
	if len(errs) > 0 || len(first) == 0 {
		t.Errorf("errors %q, %d duplicates", errs, len(first))
	}
	if d := cmp.Diff(first, second); d != "" {
		t.Error(d)
	}
	// Other symbols: the object is read.
	b.Alias.Names.All, b.Alias.Names.Globs = false, []string{"name_show"}
	if errs := b.run(t, Read, Dedupe, Normalize, gone, Resolve); len(errs) != 1 {
		t.Errorf("errors %q, want that the object is not there", errs)
	}
}

// TestUnlocated: why a duplicate has no location.
func TestUnlocated(t *testing.T) {
	b := files(t, lm75, crc32)
	noDebug := object("nodebug.ko", "f 1 10", "name_show 1 20")
	noDebug.NoDebug, noDebug.Files = true, []string{"", "f.c"}
	noDebug.Symbols[0].File = 1
	b.objects = append(b.objects, noDebug)
	b.Alias.Names.All = true
	b.cache = ""
	// The debugging information of lm75 does not declare this one, and crc32 cannot be opened.
	change := see(func(b *pipeline.Build) {
		o := &b.Objects[0]
		for i := range o.Symbols {
			if o.Symbols[i].Name == "name_show" {
				o.Symbols[i].Name, o.Symbols[i].Value, o.Symbols[i].File = "unknown", 1<<20, 0
			}
		}
		b.Objects[1].Path = "nosuch"
	})
	got := map[string]string{}
	collect := see(func(b *pipeline.Build) {
		for i := range b.Objects {
			o := &b.Objects[i]
			for _, d := range o.Duplicates {
				if s := &o.Symbols[d.Symbol]; slices.Contains(
					[]string{"unknown", "f", "name_show", "crc32_update"},
					s.Name,
				) {
					got[o.Name+" "+s.Name] = d.Alias + "|" + d.Reason
				}
			}
		}
	})
	scan := see(func(b *pipeline.Build) {
		for i := range b.Objects[:2] {
			if err := scanObject(&pipeline.Build{}, &b.Objects[i]); err != nil {
				t.Error(err)
			}
		}
	})
	errs := b.run(t, scan, change, Dedupe, Normalize, Resolve, collect)
	if len(errs) != 1 {
		t.Errorf("errors %q", errs)
	}
	want := map[string]string{
		lm75 + " unknown": "|not in the debugging information",
		"nodebug.ko f":    "f@f_c|", "nodebug.ko name_show": "|no debugging information",
	}
	want[crc32+" crc32_update"] = "|object could not be read"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestFindRoots: source roots come from the configuration, else from what the units show.
func TestFindRoots(t *testing.T) {
	e, o := newEvidence(), newEvidence()
	e.add("/s/linux/drivers/a/a.c", "/s/build")
	o.add("init/main.c", "/s/linux")
	e.merge(o)
	for _, c := range []struct{ configured, more, want []string }{
		{nil, nil, []string{"/s/build", "/s/linux"}},
		{[]string{"/src/"}, nil, []string{"/s/build", "/s/linux", "/src"}},
		{nil, []string{"/home/u/module"}, []string{"/home/u/module", "/s/build", "/s/linux"}},
		{[]string{"/", "."}, nil, []string{"/s/build", "/s/linux"}},
	} {
		var got []string
		for _, dir := range findRoots(c.configured, c.more, e).dirs {
			got = append(got, strings.TrimSuffix(dir, "/"))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q and %q: %q, want %q", c.configured, c.more, got, c.want)
		}
	}
	if got := findRoots(nil, nil, newEvidence()).dirs; got != nil {
		t.Errorf("roots of nothing: %q", got)
	}
}
