package verify

import (
	"debug/elf"
	"fmt"
	"hash/crc32"
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
		{"no record", removed("kas.files"), "kas.files is missing"},
		{"not finished", removed("build.json"), "build.json is missing"},
		{"other program", replaced("build.json", `"kas"`, `"Kas"`), "build.json: the digest is"},
		{"other build file", replaced("build.json", `"version": 1`, `"version": 2`), "version 2"},
		{"blank in build.json", replaced("build.json", `"program": `, `"program":  `),
			"it is not written as kas writes it"},
		{"other configuration", func(t *testing.T, e *emission) { e.Effective = "name: other\n" },
			"another configuration"},
		{"other counts", func(t *testing.T, e *emission) {
			e.Stats = stats(e, t)
			e.record(t)
			e.Stats.Aliases++
		}, "other counts"},
		{"input of another size", func(t *testing.T, e *emission) {
			e.Modules[0].Path = e.Modules[1].Path
		}, "the inputs are"},
		{"record line missing", edited("kas.files", drop("unaliased.tsv")), "kas.files does not list"},
		{"record line twice", edited("kas.files", double("unaliased.tsv")), "kas.files does not list"},
		{"record head", replaced("kas.files", "It replaces", "it replaces"), "kas.files does not list"},
		{"header", replaced("aliases.tsv", "symbol", "symbols"), "aliases.tsv:1: the header is"},
		{"columns", replaced("aliases.tsv", "\tsubprogram", ""),
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
		{"row missing", edited("aliases.tsv", drop(alias)), "is one of 4 symbols with this base name"},
		{"row of a pair missing", edited("aliases.tsv", drop("probe@drivers_b_c_1")),
			"is one of 2 symbols with this base name"},
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
			replaced("aliases.tsv", "\tdrivers/a.c\tsubprogram", "\tx/../drivers/a.c\tsubprogram"),
			"is not a clean relative path"},
		{"line no number", replaced("aliases.tsv", "\t12\t", "\t-12\t"),
			`line "-12" is not a number`},
		{"bad byte in alias", replaced("aliases.tsv", alias, "name_show@drivers/a_c_12"),
			"not made of name_show, drivers_a_c_12"},
		{"no separator", replaced("aliases.tsv", alias, "name_show_drivers_a_c_12"),
			"not made of name_show, "},
		{"other name", replaced("aliases.tsv", alias, "name_shown@drivers_a_c_12"),
			"not made of name_show, "},
		{"other file", replaced("aliases.tsv", alias, "name_show@drivers_b_c_12"),
			"not made of name_show, drivers_a_c_12"},
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
		{"no reason", replaced("unaliased.tsv", "\tvariable of a macro", "\t"), "has no reason"},

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
		{"registry header", replaced("symbols.kas", "#arch\tx86_64", "#arch\tx86_65"), "the digest is"},
		{"registry parts",
			replaced("symbols.kas", "#symbols\t", "#parts\t1024 00000000:00000001\n#symbols\t"),
			"the parts line has 2 words, 0 expected"},
		{"registry module", replaced("symbols.kas", "ko\tc\t", "ko\td\t"),
			`the header has no line "#module\tdrivers/c.ko\tc\t"`},
		{"registry module without an object", func(t *testing.T, e *emission) {
			e.addHeader(t, "#module\tdrivers/x.ko\tx\t")
		}, `the header has the line "#module\tdrivers/x.ko\tx\t", which is false`},
		{"registry is not incomplete", func(t *testing.T, e *emission) {
			e.addHeader(t, "#incomplete\t1: x.ko")
		}, `the header has the line "#incomplete\t1: x.ko", which is false`},
		{"registry count", replaced("symbols.kas", "#symbols\t", "#symbols\t1"),
			"symbols, the header has"},
		{"registry unsorted", edited("symbols.kas", swap("only_here")), "does not come after"},
		{"registry line missing", edited("symbols.kas", drop("only_here")),
			`no line for "only_here" at .text+0x0`},
		{"registry line twice", edited("symbols.kas", double("only_here")), "one line too many"},
		{"registry size", replaced("symbols.kas", "\t.text\t0\t16\t", "\t.text\t0\t17\t"),
			`wrong size "17", "16" expected`},
		{"registry type", replaced("symbols.kas", "80\t16\tT", "80\t16\tt"), `wrong type "t", "T" expected`},
		{"registry alias", replaced("symbols.kas", "\t"+alias+"\t", "\t\t"), `wrong alias ""`},
		{"registry cut off", cutOff("symbols.kas"), "symbols.kas: the last line has no newline"},
		{"registry file", replaced("symbols.kas", "\tdrivers/w.c\t7\t", "\tdrivers/x.c\t7\t"),
			`wrong file "drivers/x.c"`},
		{"registry line", replaced("symbols.kas", "\tdrivers/w.c\t7\t", "\tdrivers/w.c\t8\t"),
			`wrong line "8", "7" expected`},
		{"registry unit", replaced("symbols.kas", "\t7\tdrivers/w.c", "\t7\tdrivers/x.c"),
			`wrong unit "drivers/x.c"`},
		{"registry count of a name", replaced("symbols.kas", "T\t1\t1\t", "T\t2\t1\t"),
			`wrong count "2", "1" expected`},
		{"registry position", replaced("symbols.kas", "T\t1\t1\t", "T\t1\t2\t"),
			`wrong position "2", "1" expected`},
		{"registry base", replaced("symbols.kas", "\tname_show\tname_show@", "\t\tname_show@"),
			`wrong base "", "name_show" expected`},
		{"registry source", replaced("symbols.kas", "\tsubprogram", "\tline"),
			`wrong source "line", "subprogram" expected`},
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
		}, "has no aliases, but there is d.ko.kas"},
		{"unaliased module", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "modules/drivers/c.ko.kas"), []byte("x"))
		}, "has no aliases, but there is c.ko.kas"},
		{"temporary file", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "modules/drivers/.a.ko.kas.tmp"), nil)
		}, "modules/drivers/.a.ko.kas.tmp: a temporary file of a run that did not end"},
		{"other temporary file", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "symbols.tmp"), nil)
		}, "symbols.tmp: the run did not write this file"},
		{"compressed registry", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "symbols.kas.zst"), []byte("#arch"))
		}, "symbols.kas.zst: it is not symbols.kas, compressed"},
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
	e.Modules[2] = Module{"drivers/c.ko.gz", in + ".gz"}
	write(t, in+".gz", gzipped(data))
	write(t, filepath.Join(e.Dir, "modules/drivers/c.ko.kas"), data)
	e.Config.Link = true
	e.forge(t, func(text string) string {
		return strings.ReplaceAll(text, "drivers/c.ko\t", "drivers/c.ko.gz\t")
	})
	e.record(t)
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
		checkRows(p, []row{r}, map[string]int{})
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

// TestCheckParts checks lines about the parts of a registry of 2,500 lines.
func TestCheckParts(t *testing.T) {
	head, rest := "#arch\ta\n", strings.Repeat("a\tb\n", 2500)
	want := "#parts\t1024"
	for _, size := range []int{4 * 1024, 4 * 1024, 4 * 452} {
		want += fmt.Sprintf(" %08x:%08x", crc32.ChecksumIEEE([]byte(rest[:size])), size)
	}
	for line, message := range map[string]string{
		want + "\n":     "",
		want + " \n":    "5 words, 4 expected",
		want + "0\n":    `as word 4, "`,
		"":              "0 words, 4 expected",
		want[:8] + "\n": "1 words, 4 expected",
		strings.Replace(want, ":00001000", ":00001001", 1) + "\n": `:00001001" as word 2, "`,
		strings.Replace(want, "1024", "512", 1) + "\n":            `"#parts\t512" as word 1, "`,
		want + "\n" + want + "\n":                                 "8 words, 4 expected",
	} {
		var p problems
		checkParts(&p, head+line+rest)
		if message == "" && len(p.list) > 0 || message != "" && len(p.list) != 1 {
			t.Errorf("%q: %v", line, p.list)
		}
		for _, text := range p.list {
			if !strings.Contains(text, message) {
				t.Errorf("%q: %s", line, text)
			}
		}
	}
}
