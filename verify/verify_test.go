package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// each is the simplest parallel loop a caller may bring.
func each(n int, f func(int)) error {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
	return nil
}

func fn(name, section string, value uint64, bind elf.SymBind) symbolSpec {
	return symbolSpec{name: name, section: section, value: value, size: 0x10, typ: elf.STT_FUNC, bind: bind}
}

func (s symbolSpec) at(file, unit string, line int) symbolSpec {
	s.file, s.unit, s.line = file, unit, line
	return s
}

func (s symbolSpec) never(reason string) symbolSpec {
	s.reason = reason
	return s
}

// member is an object of the test build, with its symbols in table order.
type member struct {
	name    string
	typ     elf.Type
	symbols []symbolSpec
}

func members() []member {
	const l, g = elf.STB_LOCAL, elf.STB_GLOBAL
	sect := symbolSpec{section: ".text", typ: elf.STT_SECTION}
	file := symbolSpec{name: "card.c", section: "*ABS*", typ: elf.STT_FILE}
	key := symbolSpec{name: "__key.1", section: ".bss", value: 8, typ: elf.STT_OBJECT}
	undef := symbolSpec{name: "_printk", bind: g}
	weak := fn("arch_hook", ".text", 0x60, elf.STB_WEAK)
	weak.other = 2
	wide := fn("probe", ".init.text", 0x10, l).at("drivers/w.c", "drivers/w.c", 7)
	wide.wide = true
	return []member{
		{"vmlinux", elf.ET_EXEC, []symbolSpec{
			file,
			fn("name_show", ".text", 0x40, l).at("drivers/pnp/card.c", "drivers/pnp/card.c", 186),
			fn("name_show", ".text", 0x20, l).at("kernel/irq/irqdesc.c", "kernel/irq/irqdesc.c", 232),
			key.never("never"),
			fn("_text", ".text", 0, g), fn("schedule", ".text", 0x80, g), weak.never("never"),
			{name: "version", section: "*ABS*", value: 5, bind: g},
		}},
		{"drivers/a.ko", elf.ET_REL, []symbolSpec{
			sect, file,
			fn("name_show", ".text", 0x10, l).at("drivers/a.c", "drivers/a.c", 12),
			fn("name_show.llvm.7744", ".init.text", 0x10, l).at("include/linux/a.h", "drivers/a.c", 9),
			wide,
			key.never("never"), key.never("never"),
			fn("a_open", ".text", 0x30, g), weak.at("drivers/a.c", "drivers/a.c", 44), undef,
		}},
		{"drivers/b.ko.gz", elf.ET_REL, []symbolSpec{
			sect,
			fn("probe", ".text", 0x30, l).at("drivers/b.c", "drivers/b.c", 1),
			undef,
		}},
		{"drivers/c.ko", elf.ET_REL, []symbolSpec{sect, fn("only_here", ".text", 0, l), undef}},
	}
}

// emission is a test build in a folder: inputs in in/, outputs in out/.
type emission struct {
	Target
	layoutOf
}

func (m member) plain() string { return strings.TrimSuffix(m.name, ".gz") }

// emit writes the inputs and the outputs that should be.
func emit(t testing.TB, l layoutOf, beside bool) *emission {
	dir := t.TempDir()
	e := &emission{Target{Build: "test", Dir: filepath.Join(dir, "out"), Separator: "@", Beside: beside}, l}
	var aliases, unaliased, freq, registry []string
	counts := map[string]int{}
	all := members()
	slices.SortStableFunc(all[1:], func(a, b member) int { return strings.Compare(a.name, b.name) })
	shown := func(s *symbolSpec) bool {
		return s.name != "" && s.section != "" && s.section != "*ABS*" && s.typ != elf.STT_FILE && s.typ != elf.STT_SECTION
	}
	for _, m := range all {
		for _, s := range m.symbols {
			if shown(&s) {
				counts[s.name]++
			}
		}
	}
	for n, c := range counts {
		freq = append(freq, fmt.Sprintf("%s:%d", n, c))
	}
	slices.SortFunc(freq, func(a, b string) int { return strings.Compare(a[:strings.Index(a, ":")], b[:strings.Index(b, ":")]) })
	for _, m := range all {
		data := l.object(m.typ, m.symbols)
		image, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		named := map[int]string{}
		for i, s := range m.symbols {
			if !shown(&s) {
				continue
			}
			// The letters of these few sections, without the code under test.
			c := map[string]string{".text": "t", ".init.text": "t", ".data": "d", ".bss": "b"}[s.section]
			if s.bind == elf.STB_GLOBAL {
				c = strings.ToUpper(c)
			} else if s.bind == elf.STB_WEAK {
				c = "W"
			}
			if m.typ == elf.ET_EXEC {
				s.value += 0x10000
			}
			alias, where := "", "\t\t"
			if s.file != "" {
				alias = s.alias(strings.TrimSuffix(s.name, ".llvm.7744"))
				where = fmt.Sprintf("%s\t%d\t%s", s.file, s.line, s.unit)
				named[i+1] = alias
				aliases = append(aliases, fmt.Sprintf("%s\t%s\t%s\t%s\t%x\t%s\t%s\tdwarf", alias, s.name, m.name, s.section, s.value, c, where))
			} else if s.reason != "" {
				unaliased = append(unaliased, fmt.Sprintf("%s\t%s\t%s\t%x\t%s\t%s", s.name, m.name, s.section, s.value, c, s.reason))
			}
			for _, n := range []string{s.name, alias} {
				if n != "" {
					registry = append(registry, fmt.Sprintf("%s\t%s\t%s\t%x\t%d\t%s\t%d\t0\t%s\t%s\t%s\t", n, m.name, s.section, s.value, s.size, c, counts[s.name], s.name, alias, where))
				}
			}
		}
		in := filepath.Join(dir, "in", m.name)
		out := filepath.Join(e.Dir, "modules", m.plain()+".kas")
		if beside {
			out = filepath.Join(dir, "in", m.plain()+".kas")
		}
		switch {
		case m.name == "vmlinux":
			e.Vmlinux = in
			var list []byte
			for _, i := range nmOrder(image) {
				s := &image.symbols[i]
				list = nmLine(list, image, s, s.name)
				if a := named[int(i)]; a != "" {
					list = nmLine(list, image, s, a)
				}
			}
			write(t, filepath.Join(e.Dir, "vmlinux.syms"), list)
		case len(named) > 0:
			write(t, out, rewrite(t, data, named))
		}
		if m.name != "vmlinux" {
			e.Modules = append(e.Modules, Module{m.name, in})
			data = append(data, "signature"+signatureTrailer...)
		}
		if strings.HasSuffix(m.name, ".gz") {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(data)
			_ = z.Close()
			data = b.Bytes()
		}
		write(t, in, data)
	}
	slices.Sort(registry)
	e.lines(t, "aliases.tsv", append([]string{aliasHeader}, aliases...))
	e.lines(t, "unaliased.tsv", append([]string{unaliasedHeader}, unaliased...))
	e.lines(t, "modules.symbfreq", freq)
	e.lines(t, "symbols.kas", append(registryHead(registry), registry...))
	return e
}

func write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (e *emission) lines(t testing.TB, name string, lines []string) {
	t.Helper()
	write(t, filepath.Join(e.Dir, name), []byte(strings.Join(lines, "\n")+"\n"))
}

// edit changes the lines of a list.
func (e *emission) edit(t testing.TB, name string, f func([]string) []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(e.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	e.lines(t, name, f(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")))
}

// replace changes the first old of a list into new.
func (e *emission) replace(t testing.TB, name, old, new string) {
	t.Helper()
	e.edit(t, name, func(lines []string) []string {
		for i, line := range lines {
			if strings.Contains(line, old) {
				lines[i] = strings.Replace(line, old, new, 1)
				return lines
			}
		}
		t.Fatalf("%s has no %q", name, old)
		return nil
	})
}

// module changes the bytes of the emitted drivers/a.ko.
func (e *emission) module(t testing.TB, f func([]byte, *image) []byte) {
	t.Helper()
	name := filepath.Join(e.Dir, "modules/drivers/a.ko.kas")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parse(slices.Clone(data))
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, f(data, m))
}

func (m *image) find(name string) int {
	return slices.IndexFunc(m.sections, func(s section) bool { return s.name == name })
}

// entry is where symbol i of the given name stands in the file.
func (m *image) entry(name string) int {
	i := slices.IndexFunc(m.symbols, func(s symbol) bool { return s.name == name })
	return int(m.sections[m.symtab].off) + i*m.symsize()
}

func verify(t testing.TB, target Target) (Summary, string) {
	t.Helper()
	sum, list, err := Build(context.Background(), target, each)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range list {
		b.WriteString(p.String() + "\n")
	}
	return sum, b.String()
}

func TestCorrectEmission(t *testing.T) {
	for _, l := range layouts {
		for _, beside := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,beside=%t", l.name, beside), func(t *testing.T) {
				e := emit(t, l, beside)
				sum, problems := verify(t, e.Target)
				if problems != "" {
					t.Errorf("problems:\n%s", problems)
				}
				if sum.Objects != 4 || sum.Aliases != 7 || sum.Unaliased != 4 || sum.Rewritten != 2 || sum.Visible != 15 || sum.Relocations != 12 {
					t.Errorf("summary %+v", sum)
				}
			})
		}
	}
}

func TestUnaliasedLink(t *testing.T) {
	e := emit(t, layouts[0], false)
	if err := os.Symlink(filepath.Join(filepath.Dir(e.Dir), "in/drivers/c.ko"), filepath.Join(e.Dir, "modules/drivers/c.ko.kas")); err != nil {
		t.Fatal(err)
	}
	if _, problems := verify(t, e.Target); problems != "" {
		t.Error(problems)
	}
}

func TestUnreadableInputIsCounted(t *testing.T) {
	e := emit(t, layouts[0], false)
	bad := filepath.Join(filepath.Dir(e.Dir), "in/drivers/d.ko")
	write(t, bad, []byte("\x7fELF\x02\x01 and no more"))
	e.Modules = append(e.Modules, Module{"drivers/d.ko", bad}, Module{"drivers/e.ko", bad + ".missing"})
	for _, m := range []struct {
		l   layoutOf
		typ elf.Type
	}{{layouts[0], elf.ET_EXEC}, {layouts[1], elf.ET_REL}} {
		other := filepath.Join(filepath.Dir(e.Dir), "in", m.l.name+".ko")
		write(t, other, m.l.object(m.typ, members()[1].symbols))
		e.Modules = append(e.Modules, Module{m.l.name + ".ko", other})
	}
	if _, problems := verify(t, e.Target); strings.Count(problems, "cannot be read, but is readable according to stats.json") != 3 {
		t.Errorf("problems:\n%s", problems)
	}
	for _, m := range e.Modules[len(e.Modules)-4:] {
		e.Unreadable = append(e.Unreadable, m.Name)
	}
	sum, problems := verify(t, e.Target)
	if problems != "" || sum.Unreadable != 4 {
		t.Errorf("unreadable %d, problems:\n%s", sum.Unreadable, problems)
	}
	e.Unreadable = append(e.Unreadable, e.Modules[0].Name)
	if _, problems := verify(t, e.Target); !strings.Contains(problems, "but is unreadable according to stats.json") {
		t.Errorf("problems:\n%s", problems)
	}
}

func TestMissingFolder(t *testing.T) {
	if _, _, err := Build(context.Background(), Target{Dir: filepath.Join(t.TempDir(), "no")}, each); err == nil {
		t.Error("no error")
	}
}

func TestCancelled(t *testing.T) {
	e := emit(t, layouts[0], false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Build(ctx, e.Target, each); err != context.Canceled {
		t.Errorf("error %v", err)
	}
}

// Every way of breaking a correct emission must be told.
func TestBroken(t *testing.T) {
	line := func(text string, f func(lines []string, i int) []string) func(lines []string) []string {
		return func(lines []string) []string {
			return f(lines, slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, text) }))
		}
	}
	drop := func(text string) func([]string) []string {
		return line(text, func(l []string, i int) []string { return slices.Delete(l, i, i+1) })
	}
	double := func(text string) func([]string) []string {
		return line(text, func(l []string, i int) []string { return slices.Insert(l, i, l[i]) })
	}
	swap := func(text string) func([]string) []string {
		return line(text, func(l []string, i int) []string {
			l[i], l[i+1] = l[i+1], l[i]
			return l
		})
	}
	type T = testing.T
	// poke changes the module from a place on.
	poke := func(at func(*image) int, f func(b []byte)) func(*T, *emission) {
		return func(t *T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				f(data[at(m):])
				return data
			})
		}
	}
	symbolAt := func(name string) func(*image) int { return func(m *image) int { return m.entry(name) } }
	inSection := func(name string, off int) func(*image) int {
		return func(m *image) int { return int(m.sections[m.find(name)].off) + off }
	}
	header := func(name string, off int) func(*image) int {
		return func(m *image) int { return int(m.shoff) + 64*m.find(name) + off }
	}
	flip := func(b []byte) { b[0] ^= 1 }
	const alias = "name_show@drivers_a_c_12"
	for _, c := range []struct {
		name  string
		spoil func(t *T, e *emission)
		want  string
	}{
		// the lists
		{"no aliases.tsv", func(t *T, e *emission) { os.Remove(filepath.Join(e.Dir, "aliases.tsv")) }, "test: aliases.tsv is missing"},
		{"no unaliased.tsv", func(t *T, e *emission) { os.Remove(filepath.Join(e.Dir, "unaliased.tsv")) }, "unaliased.tsv is missing"},
		{"no vmlinux.syms", func(t *T, e *emission) { os.Remove(filepath.Join(e.Dir, "vmlinux.syms")) }, "vmlinux.syms is missing"},
		{"no symbfreq", func(t *T, e *emission) { os.Remove(filepath.Join(e.Dir, "modules.symbfreq")) }, "modules.symbfreq is missing"},
		{"no registry", func(t *T, e *emission) { os.Remove(filepath.Join(e.Dir, "symbols.kas")) }, "symbols.kas is missing"},
		{"header", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "symbol", "symbols") }, "aliases.tsv:1: the header is"},
		{"columns", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "\tdwarf", "") }, "aliases.tsv:2: 9 columns, 10 expected"},
		{"truncated", func(t *T, e *emission) {
			b, _ := os.ReadFile(filepath.Join(e.Dir, "unaliased.tsv"))
			write(t, filepath.Join(e.Dir, "unaliased.tsv"), b[:len(b)-1])
		}, "unaliased.tsv: the last line has no newline"},
		{"duplicate alias", func(t *T, e *emission) {
			e.replace(t, "aliases.tsv", "probe@drivers_w_c_7\tprobe", "name_show@drivers_a_c_12\tprobe")
		}, "is also that of line 4"},
		{"row twice", func(t *T, e *emission) { e.edit(t, "aliases.tsv", double(alias)) }, `no symbol "name_show" at .text+0x10, or one row too many`},
		{"row missing", func(t *T, e *emission) { e.edit(t, "aliases.tsv", drop(alias)) }, "is one of 3 symbols of this name"},
		{"unaliased row missing", func(t *T, e *emission) { e.edit(t, "unaliased.tsv", drop("__key.1\tdrivers")) }, "in neither aliases.tsv nor unaliased.tsv"},
		{"in both", func(t *T, e *emission) {
			e.edit(t, "unaliased.tsv", func(l []string) []string {
				return slices.Insert(l, 2, "name_show\tdrivers/a.ko\t.text\t10\tt\tnever")
			})
		}, "is in aliases.tsv and in unaliased.tsv"},
		{"objects out of order", func(t *T, e *emission) {
			e.edit(t, "aliases.tsv", func(l []string) []string { return append(l[:1], append(l[3:], l[1:3]...)...) })
		}, "should come before that of the line above"},
		{"symbols out of order", func(t *T, e *emission) { e.edit(t, "aliases.tsv", swap(alias)) }, "is not in symbol table order"},
		{"unknown object", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "drivers/a.ko", "drivers/x.ko") }, `no object "drivers/x.ko"`},
		{"wrong address", func(t *T, e *emission) { e.replace(t, "aliases.tsv", ".text\t10\t", ".text\t14\t") }, `no symbol "name_show" at .text+0x14`},
		{"upper-case address", func(t *T, e *emission) { e.replace(t, "aliases.tsv", ".text\t10\t", ".text\tA\t") }, "not lower-case hexadecimal"},
		{"wrong section", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "drivers/a.ko\t.text", "drivers/a.ko\t.data") }, "no symbol"},
		{"wrong letter", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "10\tt\tdrivers", "10\tT\tdrivers") }, `has type "T", that of nm is 't'`},
		{"absolute file", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "\tdrivers/a.c\t", "\t/drivers/a.c\t") }, "is not a clean relative path"},
		{"dots in file", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "\tdrivers/a.c\t", "\t../drivers/a.c\t") }, "is not a clean relative path"},
		{"unclean unit", func(t *T, e *emission) {
			e.replace(t, "aliases.tsv", "\tdrivers/a.c\tdwarf", "\tx/../drivers/a.c\tdwarf")
		}, "is not a clean relative path"},
		{"line no number", func(t *T, e *emission) { e.replace(t, "aliases.tsv", "\t12\t", "\t-12\t") }, `line "-12" is not a number`},
		{"bad byte in alias", func(t *T, e *emission) { e.replace(t, "aliases.tsv", alias, "name_show@drivers/a_c_12") }, "not all letters, digits and _"},
		{"no separator", func(t *T, e *emission) { e.replace(t, "aliases.tsv", alias, "name_show_drivers_a_c_12") }, "no separator"},
		{"other name", func(t *T, e *emission) { e.replace(t, "aliases.tsv", alias, "name_shown@drivers_a_c_12") }, "name part is not the symbol's"},
		{"other file", func(t *T, e *emission) { e.replace(t, "aliases.tsv", alias, "name_show@drivers_b_c_12") }, "is not drivers/a.c"},
		{"alias is a symbol", func(t *T, e *emission) {
			c := e.Modules[2].Path
			write(t, c, e.object(elf.ET_REL, []symbolSpec{fn(alias, ".text", 0, elf.STB_LOCAL)}))
		}, `has the name of an alias: "name_show@drivers_a_c_12"`},
		{"alias of an alias", func(t *T, e *emission) {
			e.replace(t, "aliases.tsv", "probe@drivers_w_c_7\tprobe", "probe@drivers_w_c_7\t"+alias)
		}, "has an alias itself"},
		{"no reason", func(t *T, e *emission) { e.replace(t, "unaliased.tsv", "\tnever", "\t") }, "has no reason"},

		{"syms line missing", func(t *T, e *emission) { e.edit(t, "vmlinux.syms", drop("schedule")) }, `symbol line "0000000000010080 T schedule" expected`},
		{"syms alias missing", func(t *T, e *emission) { e.edit(t, "vmlinux.syms", drop("name_show@")) }, "alias line"},
		{"syms alias before", func(t *T, e *emission) { e.edit(t, "vmlinux.syms", swap("name_show")) }, `vmlinux.syms:4: symbol line "0000000000010020 t name_show" expected`},
		{"syms extra line", func(t *T, e *emission) { e.edit(t, "vmlinux.syms", double("schedule")) }, "after the last symbol"},
		{"syms letter", func(t *T, e *emission) { e.replace(t, "vmlinux.syms", "t name_show@", "T name_show@") }, "alias line"},

		{"symbfreq order", func(t *T, e *emission) { e.edit(t, "modules.symbfreq", swap("name_show:")) }, "does not come after"},
		{"symbfreq count", func(t *T, e *emission) { e.replace(t, "modules.symbfreq", "name_show:3", "name_show:2") }, `3 symbols are named "name_show", not 2`},
		{"symbfreq missing", func(t *T, e *emission) { e.edit(t, "modules.symbfreq", drop("schedule")) }, "8 of 9 names"},
		{"symbfreq extra", func(t *T, e *emission) { e.replace(t, "modules.symbfreq", "schedule:1", "scheduled:1") }, "no object has a symbol"},
		{"symbfreq form", func(t *T, e *emission) { e.replace(t, "modules.symbfreq", "schedule:1", "schedule") }, "is not NAME:COUNT"},

		{"registry digest", func(t *T, e *emission) { e.replace(t, "symbols.kas", "#digest\tcrc32=", "#digest\tcrc32=0") }, "the digest is"},
		{"registry header", func(t *T, e *emission) { e.replace(t, "symbols.kas", "#release\t6", "#release\t5") }, "the digest is"},
		{"registry count", func(t *T, e *emission) { e.replace(t, "symbols.kas", "#symbols\t", "#symbols\t1") }, "symbols, the header has"},
		{"registry unsorted", func(t *T, e *emission) { e.edit(t, "symbols.kas", swap("only_here")) }, "does not come after"},
		{"registry line missing", func(t *T, e *emission) { e.edit(t, "symbols.kas", drop("only_here")) }, `no line for "only_here" at .text+0x0`},
		{"registry line twice", func(t *T, e *emission) { e.edit(t, "symbols.kas", double("only_here")) }, "one line too many"},
		{"registry size", func(t *T, e *emission) { e.replace(t, "symbols.kas", "\t.text\t0\t16\t", "\t.text\t0\t17\t") }, "wrong size 17"},
		{"registry type", func(t *T, e *emission) { e.replace(t, "symbols.kas", "80\t16\tT", "80\t16\tt") }, "wrong type t"},
		{"registry alias", func(t *T, e *emission) { e.replace(t, "symbols.kas", "\t"+alias+"\t", "\t\t") }, `wrong alias ""`},
		{"registry alias elsewhere", func(t *T, e *emission) {
			e.replace(t, "symbols.kas", alias+"\tdrivers/a.ko\t.text\t10", alias+"\tdrivers/a.ko\t.text\t11")
		}, "is not where aliases.tsv has it"},
		{"registry columns", func(t *T, e *emission) { e.replace(t, "symbols.kas", "schedule\tvmlinux", "schedule vmlinux") }, "13 columns, 14 expected"},

		// files
		{"module missing", func(t *T, e *emission) { os.Remove(filepath.Join(e.Dir, "modules/drivers/a.ko.kas")) }, "drivers/a.ko: has aliases, but a.ko.kas is missing"},
		{"extra module", func(t *T, e *emission) { write(t, filepath.Join(e.Dir, "modules/drivers/x.ko.kas"), nil) }, "modules/drivers/x.ko.kas belongs to no module"},
		{"unaliased module", func(t *T, e *emission) { write(t, filepath.Join(e.Dir, "modules/drivers/c.ko.kas"), []byte("x")) }, "is not the module itself"},
		{"temporary file", func(t *T, e *emission) { write(t, filepath.Join(e.Dir, "modules/.kas-123"), nil) }, "modules/.kas-123: a temporary file was left behind"},
		{"other temporary file", func(t *T, e *emission) { write(t, filepath.Join(e.Dir, "symbols.tmp"), nil) }, "a temporary file was left behind"},
		{"syms without vmlinux", func(t *T, e *emission) { e.Vmlinux = "" }, "the build has no readable vmlinux"},

		// the rewritten module
		{"not ELF", func(t *T, e *emission) { write(t, filepath.Join(e.Dir, "modules/drivers/a.ko.kas"), []byte("MZ")) }, "a.ko.kas: offset 0x0"},
		{"the original", func(t *T, e *emission) {
			b, _ := os.ReadFile(e.Modules[0].Path)
			write(t, filepath.Join(e.Dir, "modules/drivers/a.ko.kas"), b)
		}, "does not follow its original"},
		{"signature", func(t *T, e *emission) {
			e.module(t, func(b []byte, _ *image) []byte { return append(b, signatureTrailer...) })
		}, "~Module signature appended~"},
		{"ELF header", poke(func(*image) int { return 48 }, flip), "ELF header differs"},
		{"section byte", poke(inSection(".text", 5), flip), "section 2 .text: content differs from its original's at 0x5"},
		{"string table", poke(inSection(".strtab", 3), flip), "symbol 2 "},
		{"section name", poke(inSection(".shstrtab", 3), flip), "is named"},
		{"section flags", poke(header(".data", 8), flip), "sh_flags is"},
		{"section size", poke(header(".bss", 32), flip), "sh_size is"},
		{"section moved into another", poke(header(".comment", 24), func(b []byte) { copy(b, []byte{0x50, 0}) }), "overlap in the file"},
		{"section alignment", poke(header(".data", 24), flip), "not a multiple of its alignment"},
		{"outside the file", poke(header(".text", 26), flip), "runs past the end of the file"},
		{"alias size", poke(symbolAt(alias), func(b []byte) { b[16]++ }), "st_size is 0x11, that of its original 0x10"},
		{"alias value", poke(symbolAt(alias), func(b []byte) { b[8]++ }), "st_value is 0x11"},
		{"alias bind", poke(symbolAt(alias), func(b []byte) { b[4] |= 0x10 }), "st_info is 0x12"},
		{"alias type", poke(symbolAt(alias), func(b []byte) { b[4] = 0 }), "st_info is 0x0"},
		{"alias section", poke(symbolAt(alias), func(b []byte) { b[6]++ }), "st_shndx is 0x3"},
		{"alias visibility", poke(symbolAt("arch_hook@drivers_a_c_44"), func(b []byte) { b[5] = 0 }), "st_other is 0x0"},
		{"original size", poke(symbolAt("a_open"), func(b []byte) { b[16]++ }), `"a_open": st_size is 0x11, that of the original`},
		{"symbols swapped", poke(symbolAt("name_show"), func(b []byte) {
			x := slices.Clone(b[:24])
			copy(b, b[24:48])
			copy(b[24:], x)
		}), "is added here without a row in aliases.tsv"},
		{"sh_info", poke(header(".symtab", 44), func(b []byte) { b[0]++ }), "sh_info is 12, 11 expected"},
		{"group signature", poke(header(".group", 44), flip), "the group's signature is symbol"},
		{"wide index", poke(inSection(".symtab_shndx", 7*4), func(b []byte) { b[0] ^= 5 }), "section 10 .symtab_shndx: entry 7 is"},
		{"alias's wide index", poke(inSection(".symtab_shndx", 8*4), func(b []byte) { b[0] ^= 1 }), "the extended section index is 0x2"},
		{"relocation symbol", poke(inSection(".rela.text", 24*6+12), flip), "has symbol"},
		{"relocation type", poke(inSection(".rela.text", 24*6+8), flip), "differs from its original in more than the symbol index"},
		{"relocation offset", poke(inSection(".rela.text", 24*6), flip), "differs from its original in more than the symbol index"},
		{"relocation addend", poke(inSection(".rela.text", 24*6+16), flip), "differs from its original in more than the symbol index"},
		{"relocations not moved", func(t *T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				o, _ := os.ReadFile(e.Modules[0].Path)
				i, _ := parse(o)
				b, _ := i.content(i.find(".rela.text"))
				copy(data[m.sections[m.find(".rela.text")].off:], b)
				return data
			})
		}, "has symbol"},
		{"address significance", poke(inSection(".llvm_addrsig", 4), flip), "section 7 .llvm_addrsig: entry"},
		{"alias at the end of the locals", func(t *T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				// Turn the alias and all locals behind it by one place.
				from, to := m.entry(alias), int(m.sections[m.symtab].off)+24*int(m.sections[m.symtab].info)
				x := slices.Clone(data[from : from+24])
				copy(data[from:], data[from+24:to])
				copy(data[to-24:], x)
				return data
			})
		}, "does not follow its original"},
		{"alias dropped", func(t *T, e *emission) {
			in, _ := os.ReadFile(e.Modules[0].Path)
			in = in[:bytes.Index(in, []byte("signature"+signatureTrailer))]
			write(t, filepath.Join(e.Dir, "modules/drivers/a.ko.kas"), rewrite(t, in, map[int]string{3: alias}))
		}, "does not follow its original"},
		{"alias too many", func(t *T, e *emission) {
			e.edit(t, "aliases.tsv", drop(alias))
			e.edit(t, "unaliased.tsv", func(l []string) []string {
				return slices.Insert(l, 2, "name_show\tdrivers/a.ko\t.text\t10\tt\tnever")
			})
		}, "is added here without a row in aliases.tsv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := emit(t, layouts[0], false)
			c.spoil(t, e)
			if _, problems := verify(t, e.Target); !strings.Contains(problems, c.want) {
				t.Errorf("want %q in:\n%s", c.want, problems)
			}
		})
	}
}

func TestLeftoversBeside(t *testing.T) {
	e := emit(t, layouts[0], true)
	write(t, filepath.Join(filepath.Dir(e.Modules[0].Path), ".kas-1"), nil)
	if _, problems := verify(t, e.Target); !strings.Contains(problems, "a temporary file was left behind") {
		t.Error(problems)
	}
}

func TestProblemsAreCapped(t *testing.T) {
	e := emit(t, layouts[0], false)
	e.edit(t, "modules.symbfreq", func(l []string) []string {
		for i := range 50 {
			l = append(l, fmt.Sprintf("zz%02d:1", i))
		}
		return l
	})
	_, list, err := Build(context.Background(), e.Target, each)
	if err != nil || len(list) != most+1 || list[most].Msg != "and 30 more" {
		t.Errorf("%d problems, %v: %v", len(list), err, list)
	}
}

func TestBaseOf(t *testing.T) {
	for _, c := range []struct {
		name, symbol string
		want         bool
	}{
		{"f", "f", true}, {"f", "f.123", true}, {"f", "f.llvm.99", true}, {"f", "f.lto_priv.0", true},
		{"f.isra.0", "f.isra.0", true}, {"f.isra.0", "f.lto_priv.1.isra.0", true}, {"f.cold", "f.llvm.12.cold", true},
		{"f.isra", "f.isra.0", false}, {"f", "f.isra.0", false}, {"f", "f.cold", false}, {"g", "f", false},
		{"", ".1", false}, {"f.var", "f.var.12", true}, {"f.constprop.0", "f.constprop.0.lto_priv.3", true},
	} {
		if got := baseOf(c.name, c.symbol); got != c.want {
			t.Errorf("baseOf(%q, %q) = %t", c.name, c.symbol, got)
		}
	}
}

func TestCheckAlias(t *testing.T) {
	for _, c := range []struct {
		alias, sep string
		r          row
		ok         bool
	}{
		{"f@a_c_1", "@", row{symbol: "f", file: "a.c", unit: "a.c", line: "1"}, true},
		{"f@a_c", "@", row{symbol: "f", file: "a.c", unit: "a.c", line: "1"}, false},
		{"f@a_c", "@", row{symbol: "f", file: "a.c", unit: "a.c", line: "0"}, true},
		{"f@a_c_1_2", "@", row{symbol: "f", file: "a.c", unit: "a.c", line: "1"}, true},
		{"f@x_a_h_b_c_1", "@", row{symbol: "f", file: "x/a.h", unit: "x/b.c", line: "1"}, true},
		{"f@x_a_h_y_b_c_1", "@", row{symbol: "f", file: "x/a.h", unit: "y/b.c", line: "1"}, true},
		{"f@x_a_h_1", "@", row{symbol: "f", file: "x/a.h", unit: "y/b.c", line: "1"}, false},
		{"f@_a_c_1", "@", row{symbol: "f", file: "x/a.c", unit: "x/a.c", line: "1"}, false},
		{"__f__x__a_c_1", "__", row{symbol: "__f", file: "x/_a.c", unit: "x/_a.c", line: "1"}, true},
		{"f@a_c_2", "@", row{symbol: "f", file: "a.c", unit: "a.c", line: "1"}, false},
		{"f@b_c_1", "@", row{symbol: "f", file: "a/b.c", unit: "a/b.c", line: "1"}, false},
		{strings.Repeat("f", 110) + "@b_c_1", "@", row{symbol: strings.Repeat("f", 110), file: "a/b.c", unit: "a/b.c", line: "1"}, true},
	} {
		c.r.alias = c.alias
		if err := checkAlias(&c.r, c.sep, "opening", 113); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.alias, err)
		}
	}
	for _, alias := range []string{"f@a_c", "f@a_c_1", "f@a_c_2", "f@a_c_1_2"} {
		if err := checkAlias(&row{alias: alias, symbol: "f", file: "a.c", unit: "a.c", line: "1"}, "@", "none", 113); err != nil {
			t.Errorf("%s where the line may be left out: %v", alias, err)
		}
	}
}

// registryHead is the header of a registry with these lines: its digest is the CRC-32 of all but the digest's own line.
func registryHead(lines []string) []string {
	release, count := "#release\t6.1.0", fmt.Sprintf("#symbols\t%d", len(lines))
	others := strings.Join(append([]string{release, count}, lines...), "\n") + "\n"
	digest := func(size int) string {
		return fmt.Sprintf("#digest\tcrc32=%08x bytes=%012d", crc32.ChecksumIEEE([]byte(others)), size)
	}
	return []string{digest(len(others) + len(digest(0)) + 1), release, count}
}
