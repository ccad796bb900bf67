package stages

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/pipeline"
	"kas/registry"
)

func TestLocationText(t *testing.T) {
	for _, c := range []struct {
		location pipeline.Location
		want     string
	}{
		{pipeline.Location{File: "drivers/pnp/card.c", Unit: "drivers/pnp/card.c", Line: 186}, "drivers_pnp_card_c_186"},
		{pipeline.Location{File: "fs/binfmt_elf.c", Unit: "fs/compat_binfmt_elf.c", Line: 823}, "fs_binfmt_elf_c_compat_binfmt_elf_c_823"},
		{pipeline.Location{File: "include/linux/mm.h", Unit: "init/do_mounts.c", Line: 1225}, "include_linux_mm_h_init_do_mounts_c_1225"},
		{pipeline.Location{File: "a-b.c", Unit: "a-b.c"}, "a_b_c"},
	} {
		if got := registry.Fold(locationText(&c.location, true)); got != c.want {
			t.Errorf("%+v: %s, want %s", c.location, got, c.want)
		}
	}
}

func TestMaxLength(t *testing.T) {
	for release, want := range map[string]int{
		"6.1.0-56-cloud-amd64": 511, "6.0.12": 127, "5.10.0": 127, "7.2.0-rc1": 511, "": 511, "6.12.0+": 511, "odd": 511,
	} {
		if got := maxLength(&pipeline.Build{Release: release}); got != want {
			t.Errorf("%q: %d, want %d", release, got, want)
		}
	}
}

func TestOrdinals(t *testing.T) {
	b := build(
		object("vmlinux", "f 1 30", "f 1 10", "g 1 50", "g 1 60"),
		object("a.ko", "f 1 5", "f@x_c_1_1 1 6"),
	)
	at := func(_ string, s *pipeline.Symbol) pipeline.Location {
		if s.Name == "g" {
			return pipeline.Location{
				File: fmt.Sprintf("y%x.c", s.Value),
				Unit: fmt.Sprintf("y%x.c", s.Value),
				Line: 1,
			}
		}
		return pipeline.Location{File: "x.c", Unit: "x.c", Line: 1}
	}
	want := map[string]string{
		// f@x_c_1_1 is a symbol already: the ordinals go on after it, in address order.
		"vmlinux f 10": "f@x_c_1_2", "vmlinux f 30": "f@x_c_1_3", "a.ko f 5": "f@x_c_1_4",
		"vmlinux g 50": "g@y50_c_1", "vmlinux g 60": "g@y60_c_1",
	}
	if d := cmp.Diff(want, b.aliases(t, at)); d != "" {
		t.Error(d)
	}
}

func TestLineNone(t *testing.T) {
	b := build(object("vmlinux", "f 1 10", "f 1 20", "f 1 30"))
	b.Alias.Line = "none"
	at := func(_ string, s *pipeline.Symbol) pipeline.Location {
		if s.Value == 0x30 {
			return pipeline.Location{File: "z.c", Unit: "z.c", Line: 7}
		}
		return pipeline.Location{File: "x.c", Unit: "x.c", Line: int64(s.Value)}
	}
	want := map[string]string{
		"vmlinux f 10": "f@x_c_16",
		"vmlinux f 20": "f@x_c_32",
		"vmlinux f 30": "f@z_c",
	}
	if d := cmp.Diff(want, b.aliases(t, at)); d != "" {
		t.Error(d)
	}
}

func TestShortened(t *testing.T) {
	b := build(
		object(
			"vmlinux",
			"f 1 10",
			"f 1 20",
			strings.Repeat("n", 20)+" 1 30",
			strings.Repeat("n", 20)+" 1 40",
		),
	)
	b.Alias.MaxLength = 20
	at := func(_ string, s *pipeline.Symbol) pipeline.Location {
		f := fmt.Sprintf("drivers/%x/a/long/path/same.c", s.Value)
		return pipeline.Location{File: f, Unit: f, Line: 12}
	}
	got := b.aliases(t, at)
	want := map[string]string{
		// Both lose the front that distinguished them; the number costs two more bytes of the path.
		"vmlinux f 10": "f@g_path_same_c_12_1", "vmlinux f 20": "f@g_path_same_c_12_2",
		"vmlinux " + strings.Repeat("n", 20) + " 30": "-: name as long as the kernel's limit",
		"vmlinux " + strings.Repeat("n", 20) + " 40": "-: name as long as the kernel's limit",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestSecondRun: a run over its own output adds nothing.
func TestSecondRun(t *testing.T) {
	b := build(object("vmlinux", "f 1 10", "f@x_c_16 1 10", "f 1 20", "f@x_c_32 1 20"))
	want := map[string]string{
		"vmlinux f 10": "-: has its alias already",
		"vmlinux f 20": "-: has its alias already",
	}
	if d := cmp.Diff(want, b.aliases(t, atLine)); d != "" {
		t.Error(d)
	}
}

// TestUniqueForRandomBuilds: no alias repeats or is the name of a symbol.
func TestUniqueForRandomBuilds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		names := []string{"f", "g", "f@a_c_1", "f@a_b_c_1_1", "h"}
		files := []string{"a.c", "a-b.c", "a_b.c", "a/b.c", "a.b.c"}
		locations := map[string]pipeline.Location{}
		var objects []pipeline.Object
		for o := range 4 {
			var symbols []string
			for s := range 8 {
				name := names[r.IntN(len(names))]
				symbols = append(symbols, fmt.Sprintf("%s 1 %x", name, s*16+16))
				f := files[r.IntN(len(files))]
				locations[fmt.Sprintf("%d.ko %x", o, s*16+16)] = pipeline.Location{
					File: f,
					Unit: files[r.IntN(len(files))],
					Line: int64(r.IntN(3)),
				}
			}
			objects = append(objects, object(fmt.Sprintf("%d.ko", o), symbols...))
		}
		b := build(objects...)
		if seed%2 == 1 {
			b.Alias.Line = "none"
		}
		at := func(object string, s *pipeline.Symbol) pipeline.Location {
			return locations[fmt.Sprintf("%s %x", object, s.Value)]
		}
		seen := map[string]string{}
		for _, o := range b.objects {
			for _, s := range o.Symbols {
				seen[s.Name] = "a symbol"
			}
		}
		for symbol, alias := range b.aliases(t, at) {
			if strings.HasPrefix(alias, "-") {
				continue
			}
			if other, ok := seen[alias]; ok {
				t.Fatalf("seed %d: %s of %s is also the name of %s", seed, alias, symbol, other)
			}
			seen[alias] = symbol
		}
	}
}

// TestProve: the proof finds every alias that breaks a promise, whoever made it.
func TestProve(t *testing.T) {
	for _, c := range []struct {
		what    string
		aliases [3]string // of f in vmlinux at 10 and 20, and in a.ko
		taken   string
		want    string
	}{
		{"all differ", [3]string{"f@a", "f@b", "f@c"}, "", ""},
		{"none", [3]string{}, "", ""},
		{"at the limit", [3]string{strings.Repeat("n", 127), "", ""}, "", ""},
		{"two are equal", [3]string{"f@a", "f@a", "f@c"}, "",
			"f@a, the alias of f of vmlinux at 0x20, is not unique: it is also that of f of vmlinux at 0x10"},
		{"two of different objects are equal", [3]string{"f@a", "f@b", "f@a"}, "",
			"f@a, the alias of f of a.ko at 0x0, is not unique: it is also that of f of vmlinux at 0x10"},
		{"a symbol's name", [3]string{"f@a", "g@x", ""}, "",
			"g@x, the alias of f of vmlinux at 0x20, is not unique: it is the name of g@x of a.ko at 0x8"},
		{"its own name", [3]string{"f", "", ""}, "",
			"f, the alias of f of vmlinux at 0x10, is not unique: it is the name of f of vmlinux at 0x10"},
		{"taken by the kernel", [3]string{"f@a", "", "f@c"}, "f@c",
			"f@c, the alias of f of a.ko at 0x0, is not unique: it is a symbol or an alias of the kernel"},
		{"too long", [3]string{"", "", strings.Repeat("n", 128)}, "",
			strings.Repeat("n", 128) + ", the alias of f of a.ko at 0x0, is too long: 128 bytes, " +
				"the limit is 127"},
	} {
		b := build(object("vmlinux", "f 1 10", "f 1 20"), object("a.ko", "f 1 0", "g@x 1 8"))
		b.release = "5.10"
		b.scope.Taken = func(name string) bool { return c.taken != "" && name == c.taken }
		give := see(func(b *pipeline.Build) {
			b.Objects[0].Duplicates[0].Alias = c.aliases[0]
			b.Objects[0].Duplicates[1].Alias = c.aliases[1]
			b.Objects[1].Duplicates[0].Alias = c.aliases[2]
		})
		prove := func(_ context.Context, b *pipeline.Build) error { return prove(b) }
		got := strings.Join(b.run(t, Dedupe, Normalize, give, prove), "\n")
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.what, got, c.want)
		}
	}
}

// TestResolveProves: Resolve does not trust what made the aliases. Here a name is taken only after
// it was given.
func TestResolveProves(t *testing.T) {
	o := object("vmlinux", "f 1 10", "f 1 20")
	o.NoDebug, o.Files, o.Symbols[0].File, o.Symbols[1].File = true, []string{
		"",
		"a.c",
		"b.c",
	}, 1, 2
	b := build(o)
	asked := map[string]int{}
	b.scope.Taken = func(name string) bool { asked[name]++; return asked[name] > 1 }
	errs := b.run(t, Dedupe, Normalize, Resolve)
	want := "f@a_c, the alias of f of vmlinux at 0x10, is not unique: " +
		"it is a symbol or an alias of the kernel"
	if len(errs) != 1 || errs[0] != want {
		t.Errorf("errors %q, want %q", errs, want)
	}
}

// TestTaken: names that the kernel uses outside the build are not given again.
func TestTaken(t *testing.T) {
	b := build(
		object("a.ko", "f 1 10", "f 1 20", "g.llvm.1 1 30", "h.llvm.1 1 40", "i 1 50", "i 1 50"),
	)
	b.toolchain, b.lto, b.Alias.SuffixFree = "llvm", "thin", true
	b.scope.Taken = func(name string) bool {
		return slices.Contains([]string{"f@x_c_16", "f@x_c_16_1", "g", "i@x_c_80_2"}, name)
	}
	want := map[string]string{
		"a.ko f 10": "f@x_c_16_2", "a.ko f 20": "f@x_c_32",
		"a.ko g.llvm.1 30": "g@x_c_48", "a.ko h.llvm.1 40": "h",
		"a.ko i 50": "i@x_c_80_3",
	}
	if d := cmp.Diff(want, b.aliases(t, atLine)); d != "" {
		t.Error(d)
	}
}

// TestOwnAlias: a symbol with the name of an alias is that alias only at the same address.
func TestOwnAlias(t *testing.T) {
	text := func(alias string) map[string]string {
		return map[string]string{"a.ko f 10": alias, "a.ko f 20": "f@x_c_32"}
	}
	for _, c := range []struct {
		what    string
		objects []pipeline.Object
		want    map[string]string
	}{
		{"same address", []pipeline.Object{object("a.ko", "f 1 10", "f 1 20", "f@x_c_16 1 10")},
			text("-: has its alias already")},
		{"other value", []pipeline.Object{object("a.ko", "f 1 10", "f 1 20", "f@x_c_16 1 20")},
			text("f@x_c_16_1")},
		{"other section", []pipeline.Object{object("a.ko", "f 1 10", "f 1 20", "f@x_c_16 2 10")},
			text("f@x_c_16_1")},
		{"other object", []pipeline.Object{object("a.ko", "f 1 10", "f 1 20"), object("b.ko", "f@x_c_16 1 10")},
			text("f@x_c_16_1")},
		{"with an ordinal", []pipeline.Object{object("a.ko", "f 1 10", "f 1 20", "f@x_c_16 1 20", "f@x_c_16_1 1 10")},
			text("-: has its alias already")},
	} {
		if d := cmp.Diff(c.want, build(c.objects...).aliases(t, atLine)); d != "" {
			t.Errorf("%s:\n%s", c.what, d)
		}
	}
}
