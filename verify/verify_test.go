package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// each is the simplest parallel loop that a caller can pass to Build.
func each(n int, f func(int)) error {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
	return nil
}

func fn(name, section string, value uint64, bind elf.SymBind) symbolSpec {
	return symbolSpec{
		name: name, section: section, value: value, size: 0x10, typ: elf.STT_FUNC, bind: bind,
	}
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
	wide := fn("probe", ".exit.text", 0x10, l).at("drivers/w.c", "drivers/w.c", 7)
	wide.wide = true
	return []member{
		{"vmlinux", elf.ET_EXEC, []symbolSpec{
			file,
			fn("name_show", ".text", 0x40, l).at("drivers/pnp/card.c", "drivers/pnp/card.c", 186),
			fn("name_show", ".text", 0x20, l).
				at("kernel/irq/irqdesc.c", "kernel/irq/irqdesc.c", 232),
			key.never("variable of a macro"),
			fn("_text", ".text", 0, g), fn("schedule", ".text", 0x80, g),
			weak.never("not in the debugging information"),
			{name: "version", section: "*ABS*", value: 5, bind: g},
		}},
		{"drivers/a.ko", elf.ET_REL, []symbolSpec{
			sect, file,
			fn("name_show", ".text", 0x10, l).at("drivers/a.c", "drivers/a.c", 12),
			fn("name_show.llvm.7744", ".exit.text", 0x10, l).
				at("include/linux/a.h", "drivers/a.c", 9),
			wide,
			key.never("variable of a macro"), key.never("variable of a macro"),
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

// emission is a test build in a folder, with its inputs in in/ and its outputs in out/.
type emission struct {
	Target
	layoutOf
}

func (m member) plain() string { return strings.TrimSuffix(m.name, ".gz") }

// emit writes the inputs, and the outputs that kas should write.
func emit(t testing.TB, l layoutOf, beside bool) *emission {
	dir := t.TempDir()
	e := &emission{Target{
		Build: "test", Dir: filepath.Join(dir, "out"), Separator: "@", Line: "opening",
		Beside: beside, Config: Config{Symbols: "all"},
	}, l}
	var aliases, unaliased, freq, registry []string
	counts := map[string]int{}
	all := members()
	slices.SortStableFunc(all[1:], func(a, b member) int { return strings.Compare(a.name, b.name) })
	shown := func(s *symbolSpec) bool {
		return s.name != "" && s.section != "" && s.section != "*ABS*" &&
			s.typ != elf.STT_FILE && s.typ != elf.STT_SECTION
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
	slices.SortFunc(freq, func(a, b string) int {
		return strings.Compare(a[:strings.Index(a, ":")], b[:strings.Index(b, ":")])
	})
	for _, m := range all {
		data := l.object(m.typ, m.symbols)
		image, err := parse(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		named := map[int]string{}
		seen := map[string]int{}
		for i, s := range m.symbols {
			if !shown(&s) {
				continue
			}
			// The letters of these sections, without the code under test.
			c := map[string]string{
				".text": "t", ".exit.text": "t", ".data": "d", ".bss": "b",
			}[s.section]
			if s.bind == elf.STB_GLOBAL {
				c = strings.ToUpper(c)
			} else if s.bind == elf.STB_WEAK {
				c = "W"
			}
			if m.typ == elf.ET_EXEC {
				s.value += 0x10000
			}
			base := strings.TrimSuffix(strings.TrimSuffix(s.name, ".llvm.7744"), ".1")
			seen[s.name]++
			position, column := seen[s.name], base
			if s.name == "name_show" && m.name == "vmlinux" {
				position = 3 - position // their addresses are in the other order
			}
			alias, where, source := "", "\t\t", ""
			if s.file != "" {
				alias = s.alias(base)
				where = fmt.Sprintf("%s\t%d\t%s", s.file, s.line, s.unit)
				if source = "subprogram"; base != s.name {
					source += ", promoted by ThinLTO"
				}
				named[i+1] = alias
				aliases = append(aliases, fmt.Sprintf("%s\t%s\t%s\t%s\t%x\t%s\t%s\t%s",
					alias, s.name, m.name, s.section, s.value, c, where, source))
			} else if column = ""; s.reason != "" {
				column = base
				unaliased = append(unaliased, fmt.Sprintf("%s\t%s\t%s\t%x\t%s\t%s",
					s.name, m.name, s.section, s.value, c, s.reason))
			}
			registry = append(registry, fmt.Sprintf(
				"%s\t%s\t%s\t%x\t%d\t%s\t%d\t%d\t%s\t%s\t%s\t%s", s.name, m.name, s.section,
				s.value, s.size, c, counts[s.name], position, column, alias, where, source))
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
				s := image.symbol(int(i))
				list = nmLine(list, image, &s, s.name)
				if a := named[int(i)]; a != "" {
					list = nmLine(list, image, &s, a)
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
			data = gzipped(data)
		}
		write(t, in, data)
	}
	slices.Sort(registry)
	e.lines(t, "aliases.tsv", append([]string{aliasHeader}, aliases...))
	e.lines(t, "unaliased.tsv", append([]string{unaliasedHeader}, unaliased...))
	e.lines(t, "modules.symbfreq", freq)
	e.head(t, []string{
		"#arch\t" + strings.TrimSuffix(l.name, "el"),
		"#columns\tname object section address size type count position base alias file line " +
			"unit source",
		"#format\tkas symbols 2", "#lto\tthin",
		"#module\tdrivers/a.ko\ta\t", "#module\tdrivers/b.ko.gz\tb\t",
		"#module\tdrivers/c.ko\tc\t",
		"#policy\tseparator=@ line=opening symbols=all names=duplicates",
	}, registry)
	e.record(t)
	return e
}

// built writes build.json of the inputs as they are.
func (e *emission) built(t testing.TB) {
	t.Helper()
	modules := slices.Clone(e.Modules)
	slices.SortFunc(modules, func(a, b Module) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, m := range append([]Module{{"vmlinux", e.Vmlinux}}, modules...) {
		size := int64(-1)
		if info, err := os.Stat(m.Path); err == nil {
			size = info.Size()
		}
		fmt.Fprintf(h, "%q %d\n", m.Name, size)
	}
	e.Effective = "name: test\n"
	head := "{\n  \"version\": 1,\n"
	rest := fmt.Sprintf("  \"program\": \"kas\",\n  \"config\": %q,\n  \"inputs\": {\n"+
		"    \"files\": \"sha256=%x\"\n  },\n  \"stats\": ", e.Effective, h.Sum(nil))
	var counts BuildStats
	if e.Stats != nil {
		counts = *e.Stats
	}
	stats, err := json.MarshalIndent(counts, "  ", "  ")
	if err != nil {
		t.Fatal(err)
	}
	rest += string(stats) + "\n}\n"
	digest := fmt.Sprintf("  \"digest\": \"sha256=%x\",\n", sha256.Sum256([]byte(head+rest)))
	write(t, filepath.Join(e.Dir, "build.json"), []byte(head+digest+rest))
}

// record writes build.json and kas.files: what is in the output folder and, beside the inputs, the
// copies.
func (e *emission) record(t testing.TB) {
	t.Helper()
	e.built(t)
	os.Remove(filepath.Join(e.Dir, "kas.files"))
	var names []string
	for _, dir := range []string{e.Dir, filepath.Join(filepath.Dir(e.Dir), "in")} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (dir == e.Dir || strings.HasSuffix(path, ".kas")) {
				name, _ := filepath.Rel(e.Dir, path)
				names = append(names, `"`+name+`"`)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	const head = "# The files of this folder that kas wrote. It replaces and removes no others."
	e.lines(t, "kas.files", append([]string{head}, names...))
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
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

// edit changes the lines of a table.
func (e *emission) edit(t testing.TB, name string, f func([]string) []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(e.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	e.lines(t, name, f(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")))
}

// replace replaces the first old in a table by new.
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
	m, err := parse(slices.Clone(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, f(data, m))
}

// all returns the symbols.
func (m *image) all() (all []symbol) {
	for i := range m.each() {
		all = append(all, m.symbol(i))
	}
	return all
}

func (m *image) find(name string) int {
	return slices.IndexFunc(m.sections, func(s section) bool { return s.name == name })
}

// entry returns the file offset of the first symbol of the given name.
func (m *image) entry(name string) int {
	i := slices.IndexFunc(m.all(), func(s symbol) bool { return s.name == name })
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
				if sum.Objects != 4 || sum.Aliases != 7 || sum.Unaliased != 4 ||
					sum.Rewritten != 2 || sum.Visible != 15 || sum.Relocations != 12 {
					t.Errorf("summary %+v", sum)
				}
			})
		}
	}
}

func TestUnaliasedLink(t *testing.T) {
	e := emit(t, layouts[0], false)
	in := filepath.Join(filepath.Dir(e.Dir), "in/drivers/c.ko")
	link := filepath.Join(e.Dir, "modules/drivers/c.ko.kas")
	want := func(problem string) {
		t.Helper()
		e.record(t)
		if _, problems := verify(t, e.Target); problems != problem {
			t.Error(problems)
		}
	}
	e.Config.Link = true
	want("test: drivers/c.ko: c.ko.kas is missing\n")
	for target, problem := range map[string]string{
		in: "", in[:len(in)-4] + "a.ko": "not a link to the module",
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if problem != "" {
			problem = "test: drivers/c.ko: has no aliases, but c.ko.kas is " + problem + "\n"
		}
		want(problem)
		os.Remove(link)
	}
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	e.Config.Link = false
	want("test: drivers/c.ko: has no aliases, but there is c.ko.kas\n")
}

func TestUnreadableInputIsCounted(t *testing.T) {
	e := emit(t, layouts[0], false)
	bad := filepath.Join(filepath.Dir(e.Dir), "in/drivers/d.ko")
	write(t, bad, []byte("\x7fELF\x02\x01 and no more"))
	e.Modules = append(e.Modules, Module{"drivers/d.ko", bad},
		Module{"drivers/e.ko", bad + ".missing"})
	for _, m := range []struct {
		l   layoutOf
		typ elf.Type
	}{{layouts[0], elf.ET_EXEC}, {layouts[1], elf.ET_REL}} {
		other := filepath.Join(filepath.Dir(e.Dir), "in", m.l.name+".ko")
		write(t, other, m.l.object(m.typ, members()[1].symbols))
		e.Modules = append(e.Modules, Module{m.l.name + ".ko", other})
	}
	const unread = "cannot be read, but is readable according to stats.json"
	e.record(t)
	if _, problems := verify(t, e.Target); strings.Count(problems, unread) != 3 {
		t.Errorf("problems:\n%s", problems)
	}
	for _, m := range e.Modules[len(e.Modules)-4:] {
		e.Unreadable = append(e.Unreadable, m.Name)
	}
	_, problems := verify(t, e.Target)
	const incomplete = "#incomplete\t4: drivers/d.ko, drivers/e.ko, s390x.ko, x86_64.ko"
	for _, want := range []string{fmt.Sprintf("the header has no line %q", incomplete),
		"test: incomplete: drivers/d.ko, drivers/e.ko, x86_64.ko, s390x.ko could not be read"} {
		if !strings.Contains(problems, want) {
			t.Errorf("no %q in\n%s", want, problems)
		}
	}
	e.addHeader(t, incomplete)
	if _, problems = verify(t, e.Target); strings.Count(problems, "\n") != 1 {
		t.Errorf("problems:\n%s", problems)
	}
	e.AllowIncomplete = true
	sum, problems := verify(t, e.Target)
	if problems != "" || sum.Unreadable != 4 {
		t.Errorf("unreadable %d, problems:\n%s", sum.Unreadable, problems)
	}
	e.Unreadable = append(e.Unreadable, e.Modules[0].Name)
	const read = "but is unreadable according to stats.json"
	if _, problems := verify(t, e.Target); !strings.Contains(problems, read) {
		t.Errorf("problems:\n%s", problems)
	}
}

func TestMissingFolder(t *testing.T) {
	none := Target{Dir: filepath.Join(t.TempDir(), "no")}
	if _, _, err := Build(context.Background(), none, each); err == nil {
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

// spoiled is a correct emission that spoil breaks, and what a problem must say about it.
type spoiled struct {
	name  string
	spoil func(t *testing.T, e *emission)
	want  string
}

// broken checks that every way of breaking an emission is reported.
func broken(t *testing.T, cases []spoiled) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := emit(t, layouts[0], false)
			c.spoil(t, e)
			if _, problems := verify(t, e.Target); !strings.Contains(problems, c.want) {
				t.Errorf("want %q in:\n%s", c.want, problems)
			}
		})
	}
}

func removed(name string) func(*testing.T, *emission) {
	return func(t *testing.T, e *emission) {
		if err := os.Remove(filepath.Join(e.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func replaced(name, old, new string) func(*testing.T, *emission) {
	return func(t *testing.T, e *emission) { e.replace(t, name, old, new) }
}

func cutOff(name string) func(*testing.T, *emission) {
	return func(t *testing.T, e *emission) {
		data, err := os.ReadFile(filepath.Join(e.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(e.Dir, name), data[:len(data)-1])
	}
}

func edited(name string, f func(lines []string) []string) func(*testing.T, *emission) {
	return func(t *testing.T, e *emission) { e.edit(t, name, f) }
}

// line returns a function that changes the first line with text, at index i.
func line(text string, f func(lines []string, i int) []string) func([]string) []string {
	return func(lines []string) []string {
		return f(lines, slices.IndexFunc(lines, func(s string) bool {
			return strings.Contains(s, text)
		}))
	}
}

func drop(text string) func([]string) []string {
	return line(text, func(l []string, i int) []string { return slices.Delete(l, i, i+1) })
}

func double(text string) func([]string) []string {
	return line(text, func(l []string, i int) []string { return slices.Insert(l, i, l[i]) })
}

func swap(text string) func([]string) []string {
	return line(text, func(l []string, i int) []string {
		l[i], l[i+1] = l[i+1], l[i]
		return l
	})
}

const alias = "name_show@drivers_a_c_12"

func TestLeftoversBeside(t *testing.T) {
	e := emit(t, layouts[0], true)
	write(t, filepath.Join(filepath.Dir(e.Modules[0].Path), ".a.ko.kas.tmp"), nil)
	_, problems := verify(t, e.Target)
	if !strings.Contains(problems, "a temporary file of a run that did not end") {
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

// TestNameOf has names of the fixtures of elf/testdata and of docs/symbols.md.
func TestNameOf(t *testing.T) {
	gcc, full := toolchain{"gcc", "none"}, toolchain{"llvm", "full"}
	for _, c := range []struct {
		t                   toolchain
		name                string
		code                bool
		base, meaning, lead string
	}{
		{gcc, "f", true, "f", "", ""},
		{gcc, "f.123", true, "f.123", "", ""},
		{full, "f.123", true, "f", "renamed by full LTO", ""},
		{toolchain{"gcc", "full"}, "f.123", true, "f.123", "", ""},
		{gcc, "v.123", false, "v", "variable of a function", ""},
		{gcc, "f.llvm.99", true, "f", "promoted by ThinLTO", ""},
		{gcc, "f.llvm.x", true, "f.llvm.x", "", ""},
		{gcc, "f.lto_priv.0", true, "f", "made unique by GCC LTO", ""},
		{gcc, "f.isra.0", true, "f.isra.0", "clone with changed parameters", ""},
		{gcc, "f.isra.0.cold", true, "f.isra.0.cold", "clone with changed parameters", ""},
		{gcc, "f.lto_priv.1.isra.0", true, "f.isra.0", "made unique by GCC LTO", ""},
		{gcc, "f.llvm.12.cold", true, "f.cold", "promoted by ThinLTO", ""},
		{gcc, "f.localalias.3", true, "f.localalias.3", "second name of one address", "second"},
		{gcc, "f.cfi_jt", true, "f.cfi_jt", "jump table entry", "second"},
		{gcc, "f.var.12", false, "f.var", "variable of a function", ""},
		{gcc, "f.isra.llvm.1.0", true, "f.isra.0", "promoted by ThinLTO", ""},
		{gcc, ".1", true, ".1", "", ""},
		{gcc, "_RNvC4core3num.llvm.7", true, "_RNvC4core3num", "promoted by ThinLTO", ""},
		{gcc, "_ZN4a..b17h85e766521fe4e1c3E.llvm.7", true, "_ZN4a..b17h85e766521fe4e1c3E",
			"promoted by ThinLTO", ""},
	} {
		got := c.t.nameOf(c.name, c.code)
		if want := (naming{c.base, c.meaning, c.lead != ""}); got != want {
			t.Errorf("%v %s: %+v", c.t, c.name, got)
		}
	}
}

// TestByNature has a name for each kind of docs/symbols.md and stages/never.go, and neighbours that
// are none.
func TestByNature(t *testing.T) {
	for why, names := range map[string]string{
		"one per module by nature": "init_module __this_module ____versions __modinfo_x " +
			"__mod_pci__x_device_table",
		"padding before a function": "__pfx_f __cfi_f __kcfi_typeid_f",
		"label of the assembler":    ".Lx __kvm_nvhe_.Lx",
		"mapping symbol":            "$x __pi_$d.1 a$t",
		"named by the compiler or a macro": "__UNIQUE_ID_x __compound_literal.1 .compoundliteral " +
			"_note_12 CSWTCH.9 OUTLINED_FUNCTION_0 outlined_ir_func_a1",
		"table entry of a macro": "__initcall__kmod __start___x __stop___x __ksymtab_f " +
			"__kstrtabns_f __crc_f __export_symbol_f",
		"tracepoint machinery": "TRACE_SYSTEM_X __tracepoint_x __SCT__tp_func_x event_class_x",
		"variable of a macro": "__key __key.1 f.__key.2 __already_done ___done.7 __func__.1 " +
			"f.__func__ f._rs.3 symbols.4",
		"stub of the linker": "x_veneer f_from_thumb __AArch64ADRPThunk_f a.plt_branch.b " +
			"plt_call.f 1.long_branch.f",
		"": "f versions modinfo __mod_device_table $y $xx _note_ _note_1a CSWTCH. OUTLINED_FUNCTION_ " +
			"__start_x __ksymtab _rs symbols __func__ f.symbolsx veneer __key.1.2 __mod_x_device_tables",
	} {
		for name := range strings.FieldsSeq(names) {
			if got := byNature(name); got != why {
				t.Errorf("%s: %q, want %q", name, got, why)
			}
		}
	}
}

func TestSpelling(t *testing.T) {
	f110 := strings.Repeat("f", 110)
	for _, c := range []struct {
		alias, base, at, line string // at is FILE UNIT LINE
		want                  string
	}{
		{"f@a_c_1", "f", "a.c a.c 1", "opening", "plain"},
		{"f@a_c", "f", "a.c a.c 1", "opening", ""},
		{"f@a_c", "f", "a.c a.c 0", "opening", "plain"},
		{"f@a_c_1_2", "f", "a.c a.c 1", "opening", "ordinal"},
		{"f@a_c_1_02", "f", "a.c a.c 1", "opening", ""},
		{"f@x_a_h_b_c_1", "f", "x/a.h x/b.c 1", "opening", "plain"},
		{"f@x_a_h_x_b_c_1", "f", "x/a.h x/b.c 1", "opening", ""},
		{"f@x_a_h_y_b_c_1", "f", "x/a.h y/b.c 1", "opening", "plain"},
		{"f@x_a_h_1", "f", "x/a.h y/b.c 1", "opening", ""},
		{"f@_a_c_1", "f", "x/a.c x/a.c 1", "opening", ""},
		{"f", "f", "a.c a.c 1", "opening", "free"},
		{"f@a_c_2", "f", "a.c a.c 1", "opening", ""},
		{"f@b_c_1", "f", "a/b.c a/b.c 1", "opening", ""},
		{f110 + "@_1", f110, "a/b.c a/b.c 1", "opening", "short"},
		{f110 + "@c_1", f110, "a/b.c a/b.c 1", "opening", ""},
		{f110 + "@1_2", f110, "a/b.c a/b.c 1", "opening", ""},
		{"f@", "f", "a.c a.c 1", "opening", ""},
		{"f@a_c", "f", "a.c a.c 1", "none", "plain"},
		{"f@a_c_1", "f", "a.c a.c 1", "none", "plain"},
		{"f@a_c_2", "f", "a.c a.c 1", "none", ""},
		{"f@a_c_1_2", "f", "a.c a.c 1", "none", "ordinal"},
	} {
		at := strings.Fields(c.at)
		r := &row{alias: c.alias, symbol: "f.llvm.1", file: at[0], unit: at[1], line: at[2]}
		b := &build{Target: Target{Separator: "@", Line: c.line}, limit: 113}
		s, err := b.spellingOf(r, c.base)
		got := ""
		switch {
		case err != nil:
		case s.suffixFree:
			got = "free"
		case s.ordinal:
			got = "ordinal"
		case s.shortened:
			got = "short"
		default:
			got = "plain"
		}
		if got != c.want {
			t.Errorf("%s of %s, line %s: %q, want %q", c.alias, c.at, c.line, got, c.want)
		}
	}
}

// head writes a registry with these header lines, the digest and the number of lines. The digest is
// the CRC-32 of all lines except its own.
func (e *emission) head(t testing.TB, header, lines []string) {
	header = append(slices.Clone(header), fmt.Sprintf("#symbols\t%d", len(lines)))
	all := append(header, lines...)
	others := strings.Join(all, "\n") + "\n"
	digest := func(size int) string {
		return fmt.Sprintf("#digest\tcrc32=%08x bytes=%012d",
			crc32.ChecksumIEEE([]byte(others)), size)
	}
	e.lines(t, "symbols.kas", append([]string{digest(len(others) + len(digest(0)) + 1)}, all...))
}

// addHeader adds a line to the header of the registry, and makes the digest right.
func (e *emission) addHeader(t testing.TB, line string) {
	e.forge(t, func(text string) string { return line + "\n" + text })
}

// forge changes the registry and makes its digest and its number of lines right.
func (e *emission) forge(t testing.TB, f func(text string) string) {
	data, err := os.ReadFile(filepath.Join(e.Dir, "symbols.kas"))
	if err != nil {
		t.Fatal(err)
	}
	var header, lines []string
	for l := range strings.Lines(f(string(data))) {
		switch l = strings.TrimSuffix(l, "\n"); {
		case strings.HasPrefix(l, "#digest\t"), strings.HasPrefix(l, "#symbols\t"):
		case strings.HasPrefix(l, "#"):
			header = append(header, l)
		default:
			lines = append(lines, l)
		}
	}
	slices.Sort(header)
	e.head(t, header, lines)
}
