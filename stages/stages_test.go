package stages

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name           string
		code           bool
		toolchain, lto string
		base           string
		act            action
	}{
		{"name_show", true, "gcc", "none", "name_show", keep},
		{"name_show.49514", true, "llvm", "full", "name_show", cut},
		{"name_show.49514", true, "llvm", "thin", "name_show.49514", keep},
		{"name_show.49514", true, "gcc", "none", "name_show.49514", keep},
		{"name_show.llvm.1234567890", true, "llvm", "thin", "name_show", cut},
		{"state.llvm.1234567890", false, "llvm", "thin", "state", cut},
		{"name_show.lto_priv.0", true, "gcc", "full", "name_show", cut},
		{"state.lto_priv", false, "gcc", "full", "state", cut},
		{"probe.isra.0", true, "gcc", "none", "probe.isra.0", keep},
		{"probe.isra.0.constprop.0", true, "gcc", "none", "probe.isra.0.constprop.0", keep},
		{"probe.isra.0.cold", true, "gcc", "none", "probe.isra.0.cold", keep},
		{"probe.lto_priv.3.cold", true, "gcc", "full", "probe.cold", cut},
		{"probe.constprop.0.lto_priv.1", true, "gcc", "full", "probe.constprop.0", cut},
		{"probe.cold.7", true, "gcc", "none", "probe.cold.7", keep},
		{"probe.17.cold", true, "llvm", "full", "probe.cold", cut},
		{"probe.localalias", true, "gcc", "none", "probe.localalias", skip},
		{"probe.localalias.4", true, "gcc", "none", "probe.localalias.4", skip},
		{"probe.cfi_jt", true, "llvm", "full", "probe.cfi_jt", skip},
		{"probe.__uniq.331", true, "llvm", "none", "probe.__uniq.331", keep},
		{"probe.__uniq.331.llvm.55", true, "llvm", "thin", "probe.__uniq.331", cut},
		{"probe.specialized.2", true, "llvm", "full", "probe.specialized.2", keep},
		{"buf.3", false, "gcc", "none", "buf", cut},
		{"show.buf.3", false, "llvm", "none", "show.buf", cut},
		{"buf.3", true, "gcc", "none", "buf.3", keep},
		{"probe.llvm", true, "llvm", "thin", "probe.llvm", keep},
		{"probe.llvm.x", true, "llvm", "thin", "probe.llvm.x", keep},
		{".LC0", false, "gcc", "none", ".LC0", keep},
		{"a.", true, "llvm", "full", "a.", keep},
		{"a..1", true, "llvm", "full", "a.", cut},
	} {
		base, _, act := classify(c.name, c.code, c.toolchain, c.lto)
		if base != c.base || act != c.act {
			t.Errorf("classify(%q, code=%v, %s, %s) = %q, %d; want %q, %d", c.name, c.code, c.toolchain, c.lto, base, act, c.base, c.act)
		}
	}
}

// A base name has no identity suffix left: normalizing it again changes nothing.
func FuzzClassify(f *testing.F) {
	for _, name := range []string{"name_show.1.2", "a.llvm.3.lto_priv.4.cold", "x.", "..", ".1", "a..llvm.1", "f.llvm.llvm.1.1"} {
		f.Add(name, true, true)
	}
	f.Fuzz(func(t *testing.T, name string, code, full bool) {
		toolchain, lto := "gcc", "none"
		if full {
			toolchain, lto = "llvm", "full"
		}
		base, _, _ := classify(name, code, toolchain, lto)
		again, _, _ := classify(base, code, toolchain, lto)
		if again != base {
			t.Errorf("%q -> %q -> %q", name, base, again)
		}
		if name != "" && base == "" {
			t.Errorf("%q has no base name", name)
		}
	})
}

// object makes an object in memory; each symbol is "name section address".
func object(name string, symbols ...string) pipeline.Object {
	o := pipeline.Object{
		Name: name, Vmlinux: name == "vmlinux",
		Sections: []pipeline.Section{{}, {Name: ".text", Code: true}, {Name: ".data"}, {Name: ".init.text", Code: true, Discarded: name != "vmlinux"}},
	}
	for _, s := range symbols {
		var sym pipeline.Symbol
		if _, err := fmt.Sscanf(s, "%s %d %x", &sym.Name, &sym.Section, &sym.Value); err != nil {
			panic(err)
		}
		sym.ID, sym.Size, sym.Letter = 1, 1, 't'
		o.Symbols = append(o.Symbols, sym)
	}
	return o
}

// memory is a build whose objects are in memory.
type memory struct {
	configs.Build
	objects                 []pipeline.Object
	toolchain, lto, release string
	scope                   pipeline.Scope
}

func build(objects ...pipeline.Object) *memory {
	return &memory{
		Build:   configs.Build{Name: "b", Alias: configs.Alias{Separator: "@", Line: "opening", Symbols: "text"}},
		objects: objects, toolchain: "gcc", lto: "none",
	}
}

// step is a part of a run.
type step func(context.Context, *pipeline.Build) error

// run runs the steps on the build and returns the errors.
func (m *memory) run(t *testing.T, steps ...step) []string {
	t.Helper()
	task := pipeline.Task{Config: m.Build, Dir: t.TempDir(), Scope: m.scope}
	steps = append([]step{func(_ context.Context, b *pipeline.Build) error {
		b.Objects, b.Toolchain, b.LTO, b.Release = slices.Clone(m.objects), m.toolchain, m.lto, m.release
		for i := range b.Objects {
			b.Objects[i].Symbols = slices.Clone(b.Objects[i].Symbols)
		}
		return nil
	}}, steps...)
	for i, f := range steps {
		task.Stages = append(task.Stages, pipeline.Stage{Name: fmt.Sprint("step ", i), Run: f})
	}
	r, err := pipeline.Run(t.Context(), []pipeline.Task{task}, pipeline.Options{Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	var errs []string
	for _, e := range r.Errors {
		errs = append(errs, e.Err.Error())
	}
	return errs
}

// duplicates runs the stages that find the duplicates, and then f.
func (m *memory) duplicates(t *testing.T, f func(*pipeline.Build)) {
	t.Helper()
	see := func(_ context.Context, b *pipeline.Build) error { f(b); return nil }
	if errs := m.run(t, Dedupe, Normalize, choose, see); len(errs) > 0 {
		t.Fatal(errs)
	}
}

// groups returns the number of symbols of each base name.
func (m *memory) groups(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	m.duplicates(t, func(b *pipeline.Build) {
		for _, g := range b.Groups {
			found[g.Base] = len(g.Members)
		}
	})
	return found
}

// aliases gives every duplicate that gets an alias a location. It returns the aliases, or the
// reasons after "-: ", by "object symbol address".
func (m *memory) aliases(t *testing.T, at func(object string, s *pipeline.Symbol) pipeline.Location) map[string]string {
	t.Helper()
	found := map[string]string{}
	locate := func(_ context.Context, b *pipeline.Build) error {
		for i := range b.Objects {
			for _, d := range chosen(&b.Objects[i]) {
				d.Location = at(b.Objects[i].Name, &b.Objects[i].Symbols[d.Symbol])
			}
		}
		return nil
	}
	collect := func(_ context.Context, b *pipeline.Build) error {
		for i := range b.Objects {
			o := &b.Objects[i]
			for _, d := range o.Duplicates {
				s := o.Symbols[d.Symbol]
				text := d.Alias
				if text == "" {
					text = "-: " + d.Reason
				}
				found[fmt.Sprintf("%s %s %x", o.Name, s.Name, s.Value)] = text
			}
		}
		return prove(b)
	}
	if errs := m.run(t, Dedupe, Normalize, choose, locate, nameAll, collect); len(errs) > 0 {
		t.Fatal(errs)
	}
	return found
}

// atLine is a location of x.c on the line of the symbol's address.
func atLine(_ string, s *pipeline.Symbol) pipeline.Location {
	return pipeline.Location{File: "x.c", Unit: "x.c", Line: int64(s.Value)}
}

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
		object("vmlinux", "name_show 1 10", "name_show.17 1 20", "name_show.23 1 30", "solo.5 1 40", "cold.cold 1 50"),
		object("a.ko", "state.3 2 0", "state 2 8"),
	)
	b.toolchain, b.lto = "llvm", "full"
	if d := cmp.Diff(map[string]int{"name_show": 3, "state": 2}, b.groups(t)); d != "" {
		t.Error(d)
	}
}

func TestSuffixFree(t *testing.T) {
	b := build(object("vmlinux", "f.llvm.1 1 10", "g.llvm.1 1 20", "g 1 30", "h 1 40"), object("a.ko", "__key.llvm.3 2 0"))
	b.toolchain, b.lto, b.Alias.SuffixFree = "llvm", "thin", true
	want := map[string]string{
		"vmlinux f.llvm.1 10": "f", "vmlinux g.llvm.1 20": "g@x_c_32", "vmlinux g 30": "g@x_c_48",
		"a.ko __key.llvm.3 0": "-: not text",
	}
	if d := cmp.Diff(want, b.aliases(t, atLine)); d != "" {
		t.Error(d)
	}
}

// A second run finds the names that the first gave back.
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

func TestNeverFilter(t *testing.T) {
	filter, err := neverFilter(configs.Never{Patterns: []string{"^secret_"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"__compound_literal.3", "__key.12", "foo.__key", "__wkey.1", "__mkey.2", "TRACE_SYSTEM_X", "__already_done.5", "__msg.7", "__func__.9",
		"CSWTCH.33", "_rs.4", "___tp_str.1", "__flags.2", "___done.3", "__print_once.6", "___once_key.8", "__pfx_name_show", "__cfi_name_show",
		".LC5", ".L12.3", "__UNIQUE_ID_license123", "symbols.4", "_note_7", "$x", "$d.1", "__pi_$x", "descriptor.2", "foo.descriptor",
		"__quirk.1", "__initcall__kmod_x", "__kstrtab_foo", "__ksymtab_foo", "foo_veneer", "init_module", "cleanup_module", "__this_module", "secret_name",
	} {
		if filter(name) == "" {
			t.Errorf("%s may have an alias", name)
		}
	}
	for _, name := range []string{"name_show", "descriptor", "symbols", "key", "probe.cold", "flags", "init_module_x", "x_init_module", "__pi_memcpy"} {
		if reason := filter(name); reason != "" {
			t.Errorf("%s: %s", name, reason)
		}
	}
	if filter, _ := neverFilter(configs.Never{Replace: true}); filter("__key.1") != "" {
		t.Error("replaced filters still filter")
	}
}

func TestRoots(t *testing.T) {
	for _, c := range []struct {
		name                    string
		units                   [][2]string // name, folder of compilation
		configured              []string
		file, compDir, relative string
	}{
		{"in tree", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "drivers/pnp/card.c", "/home/u/linux", "drivers/pnp/card.c"},
		{"in tree, dot", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "./include/linux/fs.h", "/home/u/linux", "include/linux/fs.h"},
		{"in tree, absolute", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "/home/u/linux/arch/x86/entry/entry.S", "/home/u/linux", "arch/x86/entry/entry.S"},
		{"O=, absolute", [][2]string{{"/home/u/linux/init/main.c", "/home/u/build"}}, nil, "/home/u/linux/drivers/pnp/card.c", "/home/u/build", "drivers/pnp/card.c"},
		{"O=, dots", [][2]string{{"../linux/init/main.c", "/home/u/build"}}, nil, "../linux/drivers/pnp/card.c", "/home/u/build", "drivers/pnp/card.c"},
		{"O=, generated", [][2]string{{"../linux/init/main.c", "/home/u/build"}}, nil, "./include/generated/x.h", "/home/u/build", "include/generated/x.h"},
		{"O= below the source", [][2]string{{"../init/main.c", "/home/u/linux/build"}}, nil, "/home/u/linux/build/include/generated/x.h", "/home/u/linux/build", "include/generated/x.h"},
		{"prefix map", [][2]string{{"init/main.c", "debian/build/b"}}, nil, "drivers/pnp/card.c", "debian/build/b", "drivers/pnp/card.c"},
		{"prefix map, generated", [][2]string{{"init/main.c", "debian/build/b"}}, nil, "debian/build/b/init/generated.c", "debian/build/b", "init/generated.c"},
		{"prefix map, assembly", [][2]string{{"init/main.c", "debian/build/b"}, {"/build/r/linux-6.1/arch/x86/kernel/head_64.S", "/build/r/linux-6.1/debian/build/b"}}, nil,
			"/build/r/linux-6.1/arch/x86/lib/memcpy_64.S", "/build/r/linux-6.1/debian/build/b", "arch/x86/lib/memcpy_64.S"},
		{"modules alone", [][2]string{{"/s/linux/drivers/a/a.c", "/s/build"}, {"/s/linux/fs/b.c", "/s/build"}}, nil, "/s/linux/drivers/a/a.c", "/s/build", "drivers/a/a.c"},
		{"one module alone", [][2]string{{"/s/linux/drivers/a/a.c", "/s/build"}}, nil, "/s/linux/drivers/a/a.c", "/s/build", "drivers/a/a.c"},
		{"configured", [][2]string{{"/home/u/linux/init/main.c", "/home/u/linux"}}, []string{"/home/u"}, "/home/u/x/y.c", "/b", "x/y.c"},
		{"outside", [][2]string{{"/home/u/linux/init/main.c", "/home/u/linux"}}, nil, "/usr/lib/gcc/include/stddef.h", "/home/u/linux", "stddef.h"},
		{"outside, dots", [][2]string{{"init/main.c", "debian/build/b"}}, nil, "../../../../x.c", "debian/build/b", "x.c"},
	} {
		e := newEvidence()
		for _, u := range c.units {
			e.add(u[0], u[1])
		}
		if got := findRoots(c.configured, nil, e).relative(c.file, c.compDir); got != c.relative {
			t.Errorf("%s: %s in %s is %s, want %s", c.name, c.file, c.compDir, got, c.relative)
		}
	}
}

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
			return pipeline.Location{File: fmt.Sprintf("y%x.c", s.Value), Unit: fmt.Sprintf("y%x.c", s.Value), Line: 1}
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
	want := map[string]string{"vmlinux f 10": "f@x_c_16", "vmlinux f 20": "f@x_c_32", "vmlinux f 30": "f@z_c"}
	if d := cmp.Diff(want, b.aliases(t, at)); d != "" {
		t.Error(d)
	}
}

func TestShortened(t *testing.T) {
	b := build(object("vmlinux", "f 1 10", "f 1 20", strings.Repeat("n", 20)+" 1 30", strings.Repeat("n", 20)+" 1 40"))
	b.Alias.MaxLength = 20
	at := func(_ string, s *pipeline.Symbol) pipeline.Location {
		f := fmt.Sprintf("drivers/%x/a/long/path/same.c", s.Value)
		return pipeline.Location{File: f, Unit: f, Line: 12}
	}
	got := b.aliases(t, at)
	want := map[string]string{
		// Both lose the front that told them apart; the number costs two more bytes of the path.
		"vmlinux f 10": "f@g_path_same_c_12_1", "vmlinux f 20": "f@g_path_same_c_12_2",
		"vmlinux " + strings.Repeat("n", 20) + " 30": "-: name as long as the kernel's limit",
		"vmlinux " + strings.Repeat("n", 20) + " 40": "-: name as long as the kernel's limit",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Naming what was named before adds nothing: the alias stands there already.
func TestSecondRun(t *testing.T) {
	b := build(object("vmlinux", "f 1 10", "f@x_c_16 1 10", "f 1 20", "f@x_c_32 1 20"))
	want := map[string]string{"vmlinux f 10": "-: has its alias already", "vmlinux f 20": "-: has its alias already"}
	if d := cmp.Diff(want, b.aliases(t, atLine)); d != "" {
		t.Error(d)
	}
}

// Random builds: no alias repeats, none is a symbol's name, and the order of the symbols does not
// matter.
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
				locations[fmt.Sprintf("%d.ko %x", o, s*16+16)] = pipeline.Location{File: f, Unit: files[r.IntN(len(files))], Line: int64(r.IntN(3))}
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

// A pattern of names that get no alias never matches a name that holds none of its words: names
// made of the pattern's own pieces show it.
func FuzzNeverWords(f *testing.F) {
	for _, n := range never {
		f.Add(strings.Trim(n.pattern, "^$"))
		for _, piece := range strings.FieldsFunc(n.pattern, func(r rune) bool { return strings.ContainsRune("^$()|?", r) }) {
			f.Add(strings.NewReplacer(`\d+`, "12", `\.`, ".", `\$`, "$", ".*", "x", "_+", "__", "[adtx]", "x", "[wm]", "").Replace(piece))
		}
	}
	for _, name := range []string{
		"init_module", "__versions", "____versions", "_modinfo", "__mod_pci__ids_device_table", "__pfx_f", "__kvm_nvhe_.L3", "$x", "__pi_$d.4",
		".compoundliteral.3", "_note_12", "CSWTCH.9", "__stop___bug_table", "__crc_f", "TRACE_SYSTEM_X", "event_class_x", "__SCT__tp_func_x",
		"f.__key.3", "__wkey", "__mkey.1", "___done.2", "probe.__func__", "symbols.7", "_rs.1", "f_veneer", "f_from_thumb", "__AArch64ADRPThunk_f", "plt_call.f",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, n := range never {
			if regexp.MustCompile(n.pattern).MatchString(name) && !containsOne(name, n.words) {
				t.Errorf("%q matches %s and holds none of %q", name, n.pattern, n.words)
			}
		}
	})
}
