package stages

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/configs"
	"kas/pipeline"
)

func TestDuplicatesAcrossObjects(t *testing.T) {
	b := build(
		object("vmlinux", "name_show 1 10", "alone 1 20", "name_show 1 30", "once 1 40"),
		object("a.ko", "name_show 1 0", "init 3 0", "state 2 0"),
		object("b.ko", "init 3 0", "state 2 4", "other 1 0"),
	)
	if d := cmp.Diff(map[string]int{"name_show": 3, "init": 2, "state": 2}, b.groups(t)); d != "" {
		t.Error(d)
	}
	reasons := map[string]string{}
	b.duplicates(t, func(b *pipeline.Build) {
		for i := range b.Objects {
			o := &b.Objects[i]
			for _, d := range o.Duplicates {
				reasons[o.Name+" "+o.Symbols[d.Symbol].Name] = d.Reason
			}
		}
	})
	want := map[string]string{
		"vmlinux name_show": "", "a.ko name_show": "",
		"a.ko init": "in a section that is gone after load", "b.ko init": "in a section that is gone after load",
		"a.ko state": "not text", "b.ko state": "not text",
	}
	if d := cmp.Diff(want, reasons); d != "" {
		t.Error(d)
	}
}

func TestNormalizeMerges(t *testing.T) {
	b := build(
		object(
			"vmlinux",
			"name_show 1 10",
			"name_show.17 1 20",
			"name_show.23 1 30",
			"solo.5 1 40",
			"cold.cold 1 50",
		),
		object("a.ko", "state.3 2 0", "state 2 8"),
	)
	b.toolchain, b.lto = "llvm", "full"
	if d := cmp.Diff(map[string]int{"name_show": 3, "state": 2}, b.groups(t)); d != "" {
		t.Error(d)
	}
}

func TestSuffixFree(t *testing.T) {
	b := build(
		object("vmlinux", "f.llvm.1 1 10", "g.llvm.1 1 20", "g 1 30", "h 1 40"),
		object("a.ko", "__key.llvm.3 2 0"),
	)
	b.toolchain, b.lto, b.Alias.SuffixFree = "llvm", "thin", true
	want := map[string]string{
		"vmlinux f.llvm.1 10": "f", "vmlinux g.llvm.1 20": "g@x_c_32", "vmlinux g 30": "g@x_c_48",
		"a.ko __key.llvm.3 0": "-: not text",
	}
	if d := cmp.Diff(want, b.aliases(t, atLine)); d != "" {
		t.Error(d)
	}
}

// TestSuffixFreeAgain: a second run finds the names that the first one restored.
func TestSuffixFreeAgain(t *testing.T) {
	b := build(object("a.ko", "f.llvm.1 1 10", "f 1 10"), object("b.ko", "g.llvm.1 1 20", "g 1 30"))
	b.toolchain, b.lto, b.Alias.SuffixFree = "llvm", "thin", true
	want := map[string]string{
		"a.ko f.llvm.1 10": "-: has its alias already",
		"b.ko g.llvm.1 20": "g@x_c_32", "b.ko g 30": "g@x_c_48",
	}
	if d := cmp.Diff(want, b.aliases(t, atLine)); d != "" {
		t.Error(d)
	}
}

func TestNamesAll(t *testing.T) {
	b := build(object("vmlinux", "one 1 10", "two 1 20", "two 1 30", "three 1 40"))
	b.Alias.Names = configs.Names{Globs: []string{"on*"}}
	if d := cmp.Diff(map[string]int{"one": 1, "two": 2}, b.groups(t)); d != "" {
		t.Error(d)
	}
}

// TestRestoredName: foo is the restored name of foo.llvm.1 only if they have the same extent.
func TestRestoredName(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(o *pipeline.Object)
		want   map[string]string
	}{
		{"nothing", func(*pipeline.Object) {}, map[string]string{"f.llvm.1": "-: has its alias already"}},
		{"size", func(o *pipeline.Object) { o.Symbols[1].Size++ },
			map[string]string{"f.llvm.1": "f@x_c_1", "f": "f@x_c_2"}},
		{"value", func(o *pipeline.Object) { o.Symbols[1].Value++ },
			map[string]string{"f.llvm.1": "f@x_c_1", "f": "f@x_c_2"}},
		{"section", func(o *pipeline.Object) { o.Symbols[1].Section = 4 },
			map[string]string{"f.llvm.1": "f@x_c_1", "f": "f@x_c_2"}},
	} {
		o := object("a.ko", "f.llvm.1 1 10", "f 1 10")
		o.Sections = append(o.Sections, pipeline.Section{Name: ".text.hot"})
		c.change(&o)
		b := build(o)
		b.toolchain, b.lto, b.Alias.SuffixFree = "llvm", "thin", true
		got := map[string]string{}
		at := func(_ string, s *pipeline.Symbol) pipeline.Location {
			line := int64(1)
			if s.Name == "f" {
				line = 2
			}
			return pipeline.Location{File: "x.c", Unit: "x.c", Line: line}
		}
		for symbol, alias := range b.aliases(t, at) {
			got[strings.Fields(symbol)[1]] = alias
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s differs:\n%s", c.what, d)
		}
	}
	// The same extent in another object is another symbol.
	b := build(object("a.ko", "f.llvm.1 1 10"), object("b.ko", "f 1 10"))
	b.toolchain, b.lto, b.Alias.SuffixFree = "llvm", "thin", true
	if d := cmp.Diff(map[string]int{"f": 2}, b.groups(t)); d != "" {
		t.Error(d)
	}
}

// TestDuplicateLists: each object lists its members of the groups in table order, and its symbols
// refer to the list.
func TestDuplicateLists(t *testing.T) {
	b := build(
		object(
			"vmlinux",
			"z 1 10",
			"f.localalias 1 20",
			"a 1 30",
			"f.localalias 1 40",
			"once 1 50",
		),
		object("a.ko", "once.x 1 0"),
		object("b.ko", "a 1 0", "z 1 8"),
	)
	b.duplicates(t, func(b *pipeline.Build) {
		var got []string
		for i := range b.Objects {
			o := &b.Objects[i]
			for j, d := range o.Duplicates {
				s := o.Symbols[d.Symbol]
				got = append(
					got,
					fmt.Sprintf(
						"%s %s of %s: %q %q",
						o.Name,
						s.Name,
						b.Groups[d.Group].Base,
						d.Suffix,
						d.Reason,
					),
				)
				if int(s.Duplicate) != j+1 {
					t.Errorf("%s refers to duplicate %d, not %d", s.Name, s.Duplicate-1, j)
				}
			}
			for _, s := range o.Symbols {
				if strings.HasPrefix(s.Name, "once") && s.Duplicate != 0 {
					t.Errorf("%s refers to duplicate %d", s.Name, s.Duplicate-1)
				}
			}
		}
		second := "second name of one address"
		want := []string{
			`vmlinux z of z: "" ""`,
			fmt.Sprintf("vmlinux f.localalias of f.localalias: %q %q", second, second),
			`vmlinux a of a: "" ""`,
			fmt.Sprintf("vmlinux f.localalias of f.localalias: %q %q", second, second),
			`b.ko a of a: "" ""`, `b.ko z of z: "" ""`,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// TestDedupe: the result is that of a sort by name, object and table.
func TestDedupe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 5, 3000} {
		var objects []pipeline.Object
		var want []string
		for i := range 4 {
			o := pipeline.Object{Name: fmt.Sprint(i, ".ko")}
			for range r.IntN(size + 1) {
				// Names that agree in up to 24 bytes, and end within and at the end of a key.
				name := strings.Repeat("prefix__", r.IntN(4)) + strings.Repeat("ab", r.IntN(6)) +
					fmt.Sprint(r.IntN(9))
				want = append(want, fmt.Sprintf("%s\x00%d %05d", name, i, len(o.Symbols)))
				o.Symbols = append(o.Symbols, pipeline.Symbol{Name: name})
			}
			objects = append(objects, o)
		}
		slices.Sort(want)
		build(objects...).run(t, Dedupe, see(func(b *pipeline.Build) {
			var got []string
			for i := range b.Names.Len() {
				if i > 0 && b.Name(i) <= b.Name(i-1) {
					t.Errorf("%q after %q", b.Name(i), b.Name(i-1))
				}
				for _, ref := range b.Names.At(i) {
					_, s := b.Ref(ref)
					got = append(got, fmt.Sprintf("%s\x00%d %05d", s.Name, ref.Object, ref.Symbol))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d of %d symbols, or in another order", len(got), len(want))
			}
		}))
	}
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		names configs.Names
		name  string
		want  bool
	}{
		{configs.Names{}, "f", false},
		{configs.Names{All: true}, "f", true},
		{configs.Names{Globs: []string{"g*", "f?"}}, "f", false},
		{configs.Names{Globs: []string{"g*", "f?"}}, "f1", true},
		{configs.Names{Globs: []string{`\*`}}, "f", false},
	} {
		if got := Wanted(c.names)(c.name); got != c.want {
			t.Errorf("%+v: %s is %v", c.names, c.name, got)
		}
	}
}

// TestAliasItself: a name with the separator is an alias only after its original.
func TestAliasItself(t *testing.T) {
	const alias = "an alias itself"
	for _, c := range []struct {
		symbols []string
		name    string
		want    string
	}{
		{[]string{"f 1 8", "f@x_c_1 1 8"}, "f@x_c_1", alias},
		{[]string{"f.llvm.1 1 8", "f@x_c_1 1 8"}, "f@x_c_1", alias},
		{[]string{"f@V1 1 8", "f@V1@x_c_1 1 8"}, "f@V1@x_c_1", alias},
		{[]string{"f@x_c_1 1 8", "f 1 8"}, "f@x_c_1", ""}, // in the wrong order
		{[]string{"f 1 8", "f@x_c_1 1 9"}, "f@x_c_1", ""},
		{[]string{"f 1 8", "f@x_c_1 3 8"}, "f@x_c_1", "in a section that is gone after load"},
		{[]string{"f 1 8", "f@V1.2 1 8"}, "f@V1.2", ""}, // a symbol version
		{[]string{"g 1 8", "f@V1 1 8"}, "f@V1", ""},
		{[]string{"f 1 8", "f@ 1 8"}, "f@", ""},
		{[]string{"@x 1 8"}, "@x", ""},
	} {
		b := build(object("a.ko", c.symbols...), object("b.ko", c.symbols...))
		b.toolchain, b.lto = "llvm", "thin"
		b.duplicates(t, func(b *pipeline.Build) {
			o := &b.Objects[0]
			for _, d := range o.Duplicates {
				if o.Symbols[d.Symbol].Name == c.name && d.Reason != c.want {
					t.Errorf("%q: %s: %q, want %q", c.symbols, c.name, d.Reason, c.want)
				}
			}
		})
	}
}

// TestSharedName: symbols of one name count, although the suffix of one is cut.
func TestSharedName(t *testing.T) {
	b := build(object("vmlinux", "f.1 1 8"), object("a.ko", "f.1 2 8"))
	if d := cmp.Diff(map[string]int{"f": 1, "f.1": 1}, b.groups(t)); d != "" {
		t.Error(d)
	}
}

// TestChoose: the first reason that applies keeps a duplicate from an alias.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		symbols string // text, data or all
		symbol  string // occurs twice
		want    string
	}{
		{"text", "f 1 0", ""},
		{"data", "f 1 0", "not data"},
		{"all", "f 1 0", ""},
		{"text", "v 2 0", "not text"},
		{"data", "v 2 0", ""},
		{"all", "v 2 0", ""},
		{"text", "f 3 0", "in a section that is gone after load"},
		{"text", "f@x 3 0", "in a section that is gone after load"},
		{"text", "f@x 1 0", ""},
		{"text", "__pfx_f@x 3 0", "padding before a function"},
		{"text", "__key.1 2 0", "variable of a macro"},
	} {
		b := build(object("a.ko", c.symbol, c.symbol))
		b.Alias.Symbols = c.symbols
		b.duplicates(t, func(b *pipeline.Build) {
			for _, d := range b.Objects[0].Duplicates {
				if d.Reason != c.want {
					t.Errorf("%s of %s: %q, want %q", c.symbol, c.symbols, d.Reason, c.want)
				}
			}
			if n := len(b.Objects[0].Duplicates); n != 2 {
				t.Errorf("%s: %d duplicates", c.symbol, n)
			}
		})
	}
	b := build(object("a.ko", "f 1 0", "f 1 8"))
	b.Alias.Never.Patterns = []string{"("}
	errs := b.run(t, Dedupe, Normalize, choose)
	if len(errs) != 1 || !strings.Contains(errs[0], "missing closing )") {
		t.Errorf("errors %q", errs)
	}
}
