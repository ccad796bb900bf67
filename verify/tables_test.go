package verify

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBrokenTables(t *testing.T) {
	broken(t, []spoiled{
		{"no aliases.tsv", removed("aliases.tsv"), "test: aliases.tsv is missing"},
		{"no unaliased.tsv", removed("unaliased.tsv"), "unaliased.tsv is missing"},
		{"no vmlinux.syms", removed("vmlinux.syms"), "vmlinux.syms is missing"},
		{"no symbfreq", removed("modules.symbfreq"), "modules.symbfreq is missing"},
		{"no registry", removed("symbols.kas"), "symbols.kas is missing"},
		{"header", replaced("aliases.tsv", "symbol", "symbols"), "aliases.tsv:1: the header is"},
		{"columns", replaced("aliases.tsv", "\tdwarf", ""),
			"aliases.tsv:2: 9 columns, 10 expected"},
		{"truncated", func(t *testing.T, e *emission) {
			b, _ := os.ReadFile(filepath.Join(e.Dir, "unaliased.tsv"))
			write(t, filepath.Join(e.Dir, "unaliased.tsv"), b[:len(b)-1])
		}, "unaliased.tsv: the last line has no newline"},
		{"duplicate alias",
			replaced("aliases.tsv", "probe@drivers_w_c_7\tprobe", alias+"\tprobe"),
			"is also that of line 4"},
		{"row twice", edited("aliases.tsv", double(alias)),
			`no symbol "name_show" at .text+0x10, or one row too many`},
		{"row missing", edited("aliases.tsv", drop(alias)), "is one of 3 symbols of this name"},
		{"row of a pair missing", edited("aliases.tsv", drop("probe@drivers_b_c_1")),
			"is one of 2 symbols of this name"},
		{"unaliased row missing", edited("unaliased.tsv", drop("__key.1\tdrivers")),
			"in neither aliases.tsv nor unaliased.tsv"},
		{"in both", func(t *testing.T, e *emission) {
			e.edit(t, "unaliased.tsv", func(l []string) []string {
				return slices.Insert(l, 2, "name_show\tdrivers/a.ko\t.text\t10\tt\tnever")
			})
		}, "is in aliases.tsv and in unaliased.tsv"},
		{"objects out of order", func(t *testing.T, e *emission) {
			e.edit(t, "aliases.tsv", func(l []string) []string {
				return slices.Concat(l[:1], l[3:], l[1:3])
			})
		}, "should come before that of the line above"},
		{"symbols out of order", edited("aliases.tsv", swap(alias)),
			"is not in symbol table order"},
		{"unknown object", replaced("aliases.tsv", "drivers/a.ko", "drivers/x.ko"),
			`no object "drivers/x.ko"`},
		{"wrong address", replaced("aliases.tsv", ".text\t10\t", ".text\t14\t"),
			`no symbol "name_show" at .text+0x14`},
		{"upper-case address", replaced("aliases.tsv", ".text\t10\t", ".text\tA\t"),
			"not lower-case hexadecimal"},
		{"wrong section", replaced("aliases.tsv", "drivers/a.ko\t.text", "drivers/a.ko\t.data"),
			"no symbol"},
		{"wrong name", replaced("aliases.tsv", alias+"\tname_show\t", alias+"\tname_shown\t"),
			`no symbol "name_shown" at .text+0x10`},
		{"wrong letter", replaced("aliases.tsv", "10\tt\tdrivers", "10\tT\tdrivers"),
			`has type "T", that of nm is 't'`},
		{"absolute file", replaced("aliases.tsv", "\tdrivers/a.c\t", "\t/drivers/a.c\t"),
			"is not a clean relative path"},
		{"dots in file", replaced("aliases.tsv", "\tdrivers/a.c\t", "\t../drivers/a.c\t"),
			"is not a clean relative path"},
		{"unclean unit",
			replaced("aliases.tsv", "\tdrivers/a.c\tdwarf", "\tx/../drivers/a.c\tdwarf"),
			"is not a clean relative path"},
		{"line no number", replaced("aliases.tsv", "\t12\t", "\t-12\t"),
			`line "-12" is not a number`},
		{"bad byte in alias", replaced("aliases.tsv", alias, "name_show@drivers/a_c_12"),
			"not all letters, digits and _"},
		{"no separator", replaced("aliases.tsv", alias, "name_show_drivers_a_c_12"),
			"no separator"},
		{"other name", replaced("aliases.tsv", alias, "name_shown@drivers_a_c_12"),
			"name part is not the symbol's"},
		{"other file", replaced("aliases.tsv", alias, "name_show@drivers_b_c_12"),
			"is not drivers/a.c"},
		{"alias is a symbol", func(t *testing.T, e *emission) {
			c := e.Modules[2].Path
			write(t, c, e.object(elf.ET_REL, []symbolSpec{fn(alias, ".text", 0, elf.STB_LOCAL)}))
		}, `has the name of an alias: "name_show@drivers_a_c_12"`},
		{"alias of an alias",
			replaced("aliases.tsv", "probe@drivers_w_c_7\tprobe", "probe@drivers_w_c_7\t"+alias),
			"has an alias itself"},
		{"file is the root", replaced("aliases.tsv", "\tdrivers/a.c\t", "\t.\t"),
			"is not a clean relative path"},
		{"line with a zero", replaced("aliases.tsv", "\t12\t", "\t012\t"),
			`line "012" is not a number`},
		{"row of an absolute symbol", func(t *testing.T, e *emission) {
			e.edit(t, "unaliased.tsv", func(l []string) []string {
				return slices.Insert(l, 3, "version\tvmlinux\t*ABS*\t5\tA\tnever")
			})
		}, `"version" is a symbol that kallsyms does not show`},
		{"no reason", replaced("unaliased.tsv", "\tnever", "\t"), "has no reason"},

		{"syms line missing", edited("vmlinux.syms", drop("schedule")),
			`symbol line "0000000000010080 T schedule" expected`},
		{"syms alias missing", edited("vmlinux.syms", drop("name_show@")), "alias line"},
		{"syms alias before", edited("vmlinux.syms", swap("name_show")),
			`vmlinux.syms:4: symbol line "0000000000010020 t name_show" expected`},
		{"syms extra line", edited("vmlinux.syms", double("schedule")), "after the last symbol"},
		{"syms letter", replaced("vmlinux.syms", "t name_show@", "T name_show@"), "alias line"},

		{"symbfreq order", edited("modules.symbfreq", swap("name_show:")), "does not come after"},
		{"symbfreq count", replaced("modules.symbfreq", "name_show:3", "name_show:2"),
			`3 symbols are named "name_show", not 2`},
		{"symbfreq missing", edited("modules.symbfreq", drop("schedule")), "8 of 9 names"},
		{"symbfreq extra", replaced("modules.symbfreq", "schedule:1", "scheduled:1"),
			"no object has a symbol"},
		{"symbfreq twice", edited("modules.symbfreq", double("schedule:")),
			`"schedule" does not come after "schedule"`},
		{"symbfreq without a name", edited("modules.symbfreq", func(l []string) []string {
			return append([]string{":1"}, l...)
		}), `modules.symbfreq:1: ":1" is not NAME:COUNT`},
		{"symbfreq cut off", cutOff("modules.symbfreq"),
			"modules.symbfreq: the last line has no newline"},
		{"symbfreq form", replaced("modules.symbfreq", "schedule:1", "schedule"),
			"is not NAME:COUNT"},
	})
}

func TestBrokenRegistry(t *testing.T) {
	broken(t, []spoiled{
		{"registry digest", replaced("symbols.kas", "#digest\tcrc32=", "#digest\tcrc32=0"),
			"the digest is"},
		{"registry header", replaced("symbols.kas", "#release\t6", "#release\t5"), "the digest is"},
		{"registry module", replaced("symbols.kas", "ko\tc\t", "ko\td\t"),
			`the header has no line "#module\tdrivers/c.ko\tc\t"`},
		{"registry module without an object", func(t *testing.T, e *emission) {
			e.addHeader(t, "#module\tdrivers/x.ko\tx\t")
		}, `the header has the line "#module\tdrivers/x.ko\tx\t", which is false`},
		{"registry is not incomplete", func(t *testing.T, e *emission) {
			e.addHeader(t, "#incomplete\t1: x.ko")
		}, `0 objects are missing, the header has "1"`},
		{"registry count", replaced("symbols.kas", "#symbols\t", "#symbols\t1"),
			"symbols, the header has"},
		{"registry unsorted", edited("symbols.kas", swap("only_here")), "does not come after"},
		{"registry line missing", edited("symbols.kas", drop("only_here")),
			`no line for "only_here" at .text+0x0`},
		{"registry line twice", edited("symbols.kas", double("only_here")), "one line too many"},
		{"registry size", replaced("symbols.kas", "\t.text\t0\t16\t", "\t.text\t0\t17\t"),
			"wrong size 17"},
		{"registry type", replaced("symbols.kas", "80\t16\tT", "80\t16\tt"), "wrong type t"},
		{"registry alias", replaced("symbols.kas", "\t"+alias+"\t", "\t\t"), `wrong alias ""`},
		{"registry alias elsewhere",
			replaced("symbols.kas", alias+"\tdrivers/a.ko\t.text\t10",
				alias+"\tdrivers/a.ko\t.text\t11"),
			"is not where aliases.tsv has it"},
		{"registry cut off", cutOff("symbols.kas"), "symbols.kas: the last line has no newline"},
		{"registry alias in another object",
			replaced("symbols.kas", alias+"\tdrivers/a.ko", alias+"\tdrivers/c.ko"),
			"is not where aliases.tsv has it"},
		{"registry alias in another section",
			replaced("symbols.kas", alias+"\tdrivers/a.ko\t.text", alias+"\tdrivers/a.ko\t.data"),
			"is not where aliases.tsv has it"},
		{"registry alias with another type",
			replaced("symbols.kas", alias+"\tdrivers/a.ko\t.text\t10\t16\tt",
				alias+"\tdrivers/a.ko\t.text\t10\t16\tT"), "is not where aliases.tsv has it"},
		{"registry alias twice", edited("symbols.kas", double(alias+"\tdrivers/a.ko")),
			"has two lines"},
		{"registry without the alias", func(t *testing.T, e *emission) {
			e.edit(t, "symbols.kas", drop(alias))
			e.edit(t, "symbols.kas", drop(alias))
		}, `no line for the alias "name_show@drivers_a_c_12"`},
		{"registry file", replaced("symbols.kas", "\tdrivers/w.c\t7\t", "\tdrivers/x.c\t7\t"),
			"wrong location"},
		{"registry line", replaced("symbols.kas", "\tdrivers/w.c\t7\t", "\tdrivers/w.c\t8\t"),
			"wrong location"},
		{"registry unit", replaced("symbols.kas", "\t7\tdrivers/w.c", "\t7\tdrivers/x.c"),
			"wrong location"},
		{"registry object",
			replaced("symbols.kas", "only_here\tdrivers/c.ko", "only_here\tdrivers/x.ko"),
			`no object "drivers/x.ko"`},
		{"registry columns", replaced("symbols.kas", "schedule\tvmlinux", "schedule vmlinux"),
			"13 columns, 14 expected"},
	})
}

func TestBrokenFiles(t *testing.T) {
	broken(t, []spoiled{
		{"module missing", removed("modules/drivers/a.ko.kas"),
			"drivers/a.ko: has aliases, but a.ko.kas is missing"},
		{"extra module", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "modules/drivers/x.ko.kas"), nil)
		}, "modules/drivers/x.ko.kas belongs to no module"},
		{"object twice", func(t *testing.T, e *emission) {
			e.Modules = append(e.Modules, e.Modules[0])
		}, `two objects are named "drivers/a.ko"`},
		{"output of an unreadable module", func(t *testing.T, e *emission) {
			bad := filepath.Join(filepath.Dir(e.Dir), "in/drivers/d.ko")
			write(t, bad, []byte("\x7fELF"))
			e.Modules = append(e.Modules, Module{"drivers/d.ko", bad})
			e.Unreadable = []string{"drivers/d.ko"}
			write(t, filepath.Join(e.Dir, "modules/drivers/d.ko.kas"), []byte("x"))
		}, "d.ko.kas is not the module itself"},
		{"unaliased module", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "modules/drivers/c.ko.kas"), []byte("x"))
		}, "is not the module itself"},
		{"temporary file", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "modules/.kas-123"), nil)
		}, "modules/.kas-123: a temporary file was left behind"},
		{"other temporary file", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "symbols.tmp"), nil)
		}, "a temporary file was left behind"},
		{"syms without vmlinux", func(t *testing.T, e *emission) {
			e.Vmlinux = ""
		}, "the build has no readable vmlinux"},
	})
}

// TestUnaliasedCopy: the output of a compressed module without aliases may be the plain module.
func TestUnaliasedCopy(t *testing.T) {
	e := emit(t, layouts[0], false)
	in := e.Modules[2].Path
	data, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	write(t, in, gzipped(data))
	write(t, filepath.Join(e.Dir, "modules/drivers/c.ko.kas"), data)
	if _, problems := verify(t, e.Target); problems != "" {
		t.Error(problems)
	}
}

// TestLongest: a name of 511 bytes is the longest in the symbol table of Linux 6.1 and later
// (KSYM_NAME_LEN is 512 there, with the zero byte).
func TestLongest(t *testing.T) {
	for _, n := range []int{511, 512} {
		r := row{symbol: strings.Repeat("f", n-len("@a_c_1")), file: "a.c", unit: "a.c", line: "1"}
		r.alias = r.symbol + "@a_c_1"
		p := &problems{}
		checkRows(p, []row{r}, "@", "opening", map[string]int{})
		if len(p.list) != n-511 || n == 512 && !strings.Contains(p.list[0], "has 512 characters") {
			t.Errorf("%d: %q", n, p.list)
		}
	}
}

// TestClaims: of several symbols with one name and address, a line takes the one it describes.
func TestClaims(t *testing.T) {
	o := &object{sections: []string{"", ".text"}}
	for size := range uint64(3) {
		o.visible = append(o.visible, visibleSymbol{name: "f", addr: 8, sec: 1, size: size})
	}
	c, k := o.claims(), symbolKey{"f", ".text", 8}
	size := func(n uint64) func(int32) bool {
		return func(i int32) bool { return o.visible[i].size == n }
	}
	var got []int32
	for _, n := range []uint64{1, 2, 7, 7} {
		got = append(got, c.take(k, size(n)))
	}
	if !slices.Equal(got, []int32{1, 2, 0, -1}) {
		t.Error(got)
	}
}

// TestDescribeForeignAlias: a symbol that came with an alias has no row, but its line may have it.
func TestDescribeForeignAlias(t *testing.T) {
	b := &build{}
	o := &object{sections: []string{"", ".text", ".data"}, visible: []visibleSymbol{
		{name: "f.llvm.1", sec: 1, addr: 16}, {name: "f@a_c_1", sec: 1, addr: 16},
		{name: "f@far_c_1", sec: 1, addr: 32}, {name: "f@data_c_1", sec: 2, addr: 16},
		{name: "g@a_c_1", sec: 1, addr: 16},
	}}
	for alias, want := range map[string]string{
		"f@a_c_1": "f@a_c_1", "f@far_c_1": "", "f@data_c_1": "", "g@a_c_1": "", "f@b_c_1": "",
		"": "",
	} {
		if e := b.describe(o, 0, &entry{alias: alias}); e.alias != want {
			t.Errorf("%q: %q", alias, e.alias)
		}
	}
}

// TestAliasOfAlias: a symbol that is the alias of another must have no row in aliases.tsv.
func TestAliasOfAlias(t *testing.T) {
	const name = "f@a_c_1"
	for _, c := range []struct {
		other symbol
		want  bool
	}{
		{symbol{name: "f", value: 16, size: 4}, true},
		{symbol{name: "f.llvm.77", value: 16, size: 4}, true},
		{symbol{name: "g", value: 16, size: 4}, false},
		{symbol{name: "f", value: 32, size: 4}, false},
		{symbol{name: "f", value: 16, size: 8}, false},
		{symbol{name: "f", value: 16, size: 4, sec: 1}, false},
	} {
		c.other.raw, c.other.sec = 1, c.other.sec+1
		m := &image{
			sections: []section{{}, {flags: shfAlloc}, {flags: shfAlloc}},
			symbols:  []symbol{{}, c.other, {name: name, value: 16, size: 4, raw: 1, sec: 1}},
		}
		b := &build{Target: Target{Separator: "@"}, aliases: []row{{at: 5}}}
		o := &object{}
		b.gather(o, m, []int32{0, 0, 1}, []int32{0, 0, 0})
		got := slices.Contains(o.list, `aliases.tsv:5: "f@a_c_1" is an alias already`)
		if got != c.want {
			t.Errorf("%+v: %q", c.other, o.list)
		}
	}
}
