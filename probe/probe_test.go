package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/demo"
	"kas/registry"
)

const (
	text    = 0xffffffff81000000
	slide   = 0x25800000
	buildID = "0123456789abcdef"
	release = "6.12.0-test"
)

var header = registry.Header{Arch: "x86_64", Release: release, BuildID: buildID, Policy: "separator=@"}

func function(name, object, section string, address uint64, alias, file string, line int64) registry.Record {
	r := registry.Record{Name: name, Object: object, Section: section, Address: address, Size: 16, Type: 't', Alias: alias, File: file, Line: line, Unit: file}
	if alias != "" {
		r.Base, r.Method = name, "subprogram"
	}
	return r
}

// book is a registry of the records, counted and numbered as stages do.
func book(t *testing.T, h registry.Header, records []registry.Record) *registry.Registry {
	t.Helper()
	names := map[string][]registry.Record{}
	position := map[[2]string]int{}
	for _, r := range records {
		position[[2]string{r.Name, r.Object}]++
		r.Position = position[[2]string{r.Name, r.Object}]
		names[r.Name] = append(names[r.Name], r)
	}
	var order []string
	for name := range names {
		order = append(order, name)
	}
	slices.Sort(order)
	var lines []byte
	for _, name := range order {
		for i := range names[name] {
			names[name][i].Count = len(names[name])
		}
		lines = registry.AppendName(lines, names[name])
	}
	h.Symbols = len(records)
	head := registry.NewHead(h)
	head.Add(lines)
	path := filepath.Join(t.TempDir(), "symbols.kas")
	if err := os.WriteFile(path, append(head.Bytes(), lines...), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := registry.OpenAll([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.CloseAll(all) })
	return all[0]
}

// lab is a kernel with what makes names hard: namesakes in vmlinux, in modules, within one module and across sections.
func lab() []registry.Record {
	const drv, solo, lto = "drivers/lab/lab-drv.ko", "drivers/lab/solo.ko", "drivers/lab/lto.ko"
	return []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		{Name: "_stext", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		{Name: "_etext", Object: "vmlinux", Section: ".text", Address: text + 0x7f0000, Type: 'T'},
		{Name: "percpu_thing", Object: "vmlinux", Section: ".data..percpu", Address: 0x100, Type: 'd'},
		function("alone", "vmlinux", ".text", text+0x40, "", "", 0),
		function("name_show", "vmlinux", ".text", text+0x1000, "name_show@a_c_3", "lab/a.c", 3),
		function("name_show", "vmlinux", ".text", text+0x2000, "name_show@b_c_4", "lab/b.c", 4),
		function("name_show", drv, ".text", 0x20, "name_show@drv_c_5", "lab/drv.c", 5),
		{Name: "mixed", Object: "vmlinux", Section: ".data", Address: text + 0x900000, Type: 'd', Size: 8},
		function("mixed", "vmlinux", ".text", text+0x3000, "mixed@a_c_9", "lab/a.c", 9),
		function("boot", "vmlinux", ".init.text", text+0x800000, "", "", 0),
		function("late_one", "vmlinux", ".text", text+0x4000, "late_one@a_c_7", "lab/a.c", 7),
		function("late_one", solo, ".text", 0, "late_one@solo_c_7", "lab/solo.c", 7),
		function("clone.isra.0", "vmlinux", ".text", text+0x5000, "", "", 0),
		function("inlined", "vmlinux", ".text", text+0x5100, "inlined@lab_h_2__a_c", "lab/lab.h", 2),
		function("inlined", "vmlinux", ".text", text+0x5200, "inlined@lab_h_2__b_c", "lab/lab.h", 2),
		function("early", drv, ".text", 0x0, "", "", 0),
		function("twin", drv, ".text", 0x40, "twin@one_c_1", "lab/one.c", 1),
		function("between", drv, ".text", 0x60, "", "", 0),
		function("twin", drv, ".text", 0x80, "twin@two_c_1", "lab/two.c", 1),
		function("setup", drv, ".init.text", 0, "", "", 0),
		function("setup", drv, ".text", 0xa0, "", "", 0),
		function("leave", drv, ".exit.text", 0, "", "", 0),
		function("part", lto, ".text.part", 0, "part@one_c_2", "lab/one.c", 2),
		function("part", lto, ".text.part", 0, "part@two_c_2", "lab/two.c", 2),
		function("sole", lto, ".text.sole", 0, "", "", 0),
	}
}

// bases are where the test's kernel put the sections of its modules.
var bases = map[string]uint64{
	"lab_drv.text": 0xffffffffc0000000, "lab_drv.exit.text": 0xffffffffc0001000, "solo.text": 0xffffffffc0002000,
	"lto.text.part": 0xffffffffc0004000, "lto.text.sole": 0xffffffffc0005000,
}

// listing is what the kernel of the records shows; edit changes the lines.
func listing(records []registry.Record, modules, aliases bool, edit func(lines []string) []string) string {
	var own, theirs []string
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b registry.Record) int {
		if a.Object == "vmlinux" && b.Object == "vmlinux" && a.Address != b.Address {
			return map[bool]int{true: -1, false: 1}[a.Address < b.Address]
		}
		return 0
	})
	parts := uint64(0)
	for _, r := range sorted {
		names := []string{r.Name}
		if aliases && r.Alias != "" && !r.Late() {
			names = append(names, r.Alias)
		}
		shift := uint64(0)
		if r.Section == ".text.part" {
			shift = parts
		}
		for _, name := range names {
			switch module := r.Module(); {
			case module == "":
				address := r.Address + slide
				if r.Section == ".data..percpu" {
					address = r.Address
				}
				own = append(own, fmt.Sprintf("%016x %c %s", address, r.Type, name))
			case modules && !strings.HasPrefix(r.Section, ".init"):
				theirs = append(theirs, fmt.Sprintf("%016x %c %s\t[%s]", bases[module+r.Section]+r.Address+shift, r.Type, name, module))
			}
		}
		if r.Section == ".text.part" {
			parts += 0x40 // two sections of one name
		}
	}
	lines := append(append(own, theirs...),
		"ffffffffc0ff0000 t name_show\t[bpf]", "ffffffffc0ff1000 t ftrace_trampoline\t[__builtin__ftrace]", "ffffffffc0ff2000 t alone\t[__builtin__kprobes]")
	if edit != nil {
		lines = edit(lines)
	}
	return strings.Join(lines, "\n") + "\n"
}

// sysroot is a folder with /proc and /sys of a kernel.
func sysroot(t *testing.T, kallsyms string) string {
	t.Helper()
	id, err := hex.DecodeString(buildID)
	if err != nil {
		t.Fatal(err)
	}
	var notes []byte
	for _, word := range []int{4, len(id), 3} {
		notes = binary.NativeEndian.AppendUint32(notes, uint32(word))
	}
	notes = append(append(notes, "GNU\x00"...), id...)
	root := t.TempDir()
	for path, text := range map[string]string{
		"proc/kallsyms": kallsyms, "proc/sys/kernel/osrelease": release + "\n", "sys/kernel/notes": string(notes),
		"sys/kernel/tracing/kprobe_events": "p:old/one two\n",
	} {
		write(t, filepath.Join(root, path), text)
	}
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func live(t *testing.T, kallsyms string) *Kernel {
	t.Helper()
	k, err := ReadLive(sysroot(t, kallsyms))
	if err != nil {
		t.Fatal(err)
	}
	k.Path = "kallsyms"
	return k
}

func saved(t *testing.T, text string) *Kernel {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saved")
	write(t, path, text)
	k, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k.Path = "saved"
	return k
}

// find is the way of the command: the pattern's function in the kernel.
func find(reg *registry.Registry, pattern string, k *Kernel) (*Target, error) {
	from, r, err := Choose([]*registry.Registry{reg}, pattern, "", k)
	if err != nil {
		return nil, err
	}
	return Find(from, r, k)
}

// answer is where it is and at what position, or the error.
func answer(reg *registry.Registry, pattern string, k *Kernel) string {
	t, err := find(reg, pattern, k)
	if err != nil {
		return "! " + err.Error()
	}
	checked := "unchecked"
	if t.Checked != "" {
		checked = fmt.Sprintf("%x", t.Address)
	}
	return fmt.Sprintf("%s %d %s", t.Where(), t.Position, checked)
}

func late(records []registry.Record) []registry.Record {
	for i := range records {
		if records[i].Name == "late_one" {
			records[i].MakeLate()
		}
	}
	return records
}

func TestFind(t *testing.T) {
	records := late(lab())
	reg := book(t, header, records)
	with, without := live(t, listing(records, true, true, nil)), live(t, listing(records, true, false, nil))
	file := saved(t, listing(records, false, false, nil))
	for _, c := range []struct {
		what, pattern string
		k             *Kernel
		want          string
	}{
		{"unique, no kernel", "alone", nil, "alone 0 unchecked"},
		{"duplicate, no kernel", "name_show@a_c_3", nil, "_text+0x1000 1 unchecked"},
		{"duplicate by place", "lab/b.c:4", nil, "_text+0x2000 2 unchecked"},
		{"an alias that is borne", "name_show@b_c_4", with, "name_show@b_c_4 2 ffffffffa6802000"},
		{"an alias that is not borne", "name_show@b_c_4", without, "_text+0x2000 2 ffffffffa6802000"},
		{"a late alias", "late_one@a_c_7", with, "_text+0x4000 0 ffffffffa6804000"},
		{"unique, slid", "alone", with, "alone 0 ffffffffa6800040"},
		{"a namesake that is data counts for a livepatch", "mixed@a_c_9", without, "_text+0x3000 1 ffffffffa6803000"},
		{"a clone", "clone.isra.0", with, "clone.isra.0 0 ffffffffa6805000"},
		{"a file without modules", "name_show@a_c_3", file, "_text+0x1000 1 ffffffffa6801000"},
		{"a module, no kernel", "name_show@drv_c_5", nil, "lab_drv:name_show 0 unchecked"},
		{"a module, an alias that is borne", "name_show@drv_c_5", with, "lab_drv:name_show@drv_c_5 0 ffffffffc0000020"},
		{"a module, an alias that is not borne", "name_show@drv_c_5", without, "lab_drv:name_show 0 ffffffffc0000020"},
		{"a module's late alias", "late_one@solo_c_7", with, "solo:late_one 0 ffffffffc0002000"},
		{"twins in a module", "twin@one_c_1", nil, "lab_drv:name_show+0x20 1 unchecked"},
		{"twins in a module, the second", "twin@two_c_1", without, "lab_drv:between+0x20 2 ffffffffc0000080"},
		{"a namesake of an init section is gone", "setup", without, "lab_drv:between+0x40 0 ffffffffc00000a0"},
		{"several", "inlined", without, "! inlined is 2 functions; say which:\n" +
			"  inlined@lab_h_2__a_c  vmlinux  lab/lab.h:2\n  inlined@lab_h_2__b_c  vmlinux  lab/lab.h:2"},
		{"an exit section", "leave", without, "lab_drv:leave 0 ffffffffc0001000"},
		{"a section of its own", "sole", without, "lto:sole 0 ffffffffc0005000"},
		{"a file without modules says nothing of one", "twin@two_c_1", file, "lab_drv:between+0x20 2 unchecked"},
		{"sections of one name, the alias is borne", "part@two_c_2", with, "! kallsyms has part of module lto at 0xffffffffc0004040, by the registry and the place of part it is at 0xffffffffc0004000: not the same build of it"},
		{"nothing to count from", "part@one_c_2", nil, "! no symbol to count from that is alone with its name before part in .text.part of drivers/lab/lto.ko: its address alone says it, and that is not known but in the running kernel (--live)"},
		{"data", "percpu_thing", with, "! percpu_thing of vmlinux is no code (type d): only functions are probed"},
		{"init code", "boot", with, "! boot lies in .init.text: its memory is given back when the kernel has booted"},
		{"init code, for a boot that is to come", "boot", nil, "boot 0 unchecked"},
		{"nothing", "nowhere", nil, "! no function nowhere in " + reg.Path},
	} {
		if d := cmp.Diff(c.want, answer(reg, c.pattern, c.k)); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
}

// In a kernel whose functions have sections of their own, twins are told by their places alone.
func TestFindSections(t *testing.T) {
	const ko = "lto.ko"
	records := []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		function("part", ko, ".text.part.1", 0, "part@one_c_2", "lab/one.c", 2),
		function("part", ko, ".text.part.2", 0, "part@two_c_2", "lab/two.c", 2),
	}
	reg := book(t, header, records)
	plain := fmt.Sprintf("%x T _text\nffffffffc0000100 t part\t[lto]\nffffffffc0000200 t part\t[lto]\n", uint64(text))
	if got, want := answer(reg, "part@two_c_2", live(t, plain)), "! part of module lto: nothing but the order of its symbols tells which of 2 it is"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	root := sysroot(t, plain)
	write(t, filepath.Join(root, "sys/module/lto/sections/.text.part.2"), "0xffffffffc0000200\n")
	k, err := ReadLive(root)
	if err != nil {
		t.Fatal(err)
	}
	target, err := find(reg, "part@two_c_2", k)
	if err != nil {
		t.Fatal(err)
	}
	if target.Where() != "0xffffffffc0000200" || !target.Live {
		t.Errorf("%s", target.Where())
	}
	write(t, filepath.Join(root, "sys/module/lto/sections/.text.part.2"), "0xffffffffc0000300\n")
	if _, err := find(reg, "part@two_c_2", k); err == nil || !strings.Contains(err.Error(), "not the same build") {
		t.Error(err)
	}
	aliased := plain + "ffffffffc0000200 t part@two_c_2\t[lto]\n"
	if got, want := answer(reg, "part@two_c_2", live(t, aliased)), "lto:part@two_c_2 2 ffffffffc0000200"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What contradicts the registry is refused, whatever it is.
func TestContradictions(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	replace := func(old, new string) func([]string) []string {
		return func(lines []string) []string {
			all := strings.Join(lines, "\n")
			if !strings.Contains(all, old) {
				t.Fatalf("no %q", old)
			}
			return strings.Split(strings.Replace(all, old, new, 1), "\n")
		}
	}
	for _, c := range []struct {
		what, pattern string
		edit          func([]string) []string
		want          string
	}{
		{"a symbol that moved", "name_show@b_c_4", replace("ffffffffa6802000 t name_show\n", "ffffffffa6802010 t name_show\n"),
			"kallsyms has name_show at 0xffffffffa6802010, by the registry it is at 0xffffffffa6802000: not the same kernel"},
		{"a namesake that moved", "name_show@b_c_4", replace("ffffffffa6801000 t name_show\n", "ffffffffa6801010 t name_show\n"),
			"kallsyms has name_show at 0xffffffffa6801010, by the registry it is at 0xffffffffa6801000: not the same kernel"},
		{"a namesake that is missing", "name_show@b_c_4", replace("ffffffffa6801000 t name_show\n", ""),
			"kallsyms has 1 functions name_show in vmlinux, the registry 2: not the same kernel"},
		{"one too many", "alone", replace("ffffffffa6800040 t alone\n", "ffffffffa6800040 t alone\nffffffffa6800090 t alone\n"),
			"kallsyms has 2 functions alone in vmlinux, the registry 1: not the same kernel"},
		{"an alias elsewhere", "name_show@b_c_4", replace("ffffffffa6802000 t name_show@", "ffffffffa6802010 t name_show@"),
			"kallsyms has name_show@b_c_4 at 0xffffffffa6802010, by the registry it is at 0xffffffffa6802000: not the same kernel"},
		{"more code", "alone", replace("ffffffffa6ff0000 T _etext", "ffffffffa6ff1000 T _etext"),
			"kallsyms has _etext at 0xffffffffa6ff1000, by the registry it is at 0xffffffffa6ff0000: not the same kernel"},
		{"no _stext", "alone", replace("ffffffffa6800000 T _stext\n", ""), ""},
		{"a module's symbol that moved", "twin@two_c_1", replace("ffffffffc0000080 t twin", "ffffffffc0000090 t twin"),
			"kallsyms has twin of module lab_drv at 0xffffffffc0000090, by the registry and the place of between it is at 0xffffffffc0000080: not the same build of it"},
		{"another symbol of the section", "twin@two_c_1", replace("ffffffffc0000000 t early", "ffffffffc0000008 t early"),
			"kallsyms has name_show of module lab_drv at 0xffffffffc0000020, by the registry and the place of early it is at 0xffffffffc0000028: not the same build of it"},
		{"a module with one more", "twin@two_c_1", replace("ffffffffc0000060 t between\t[lab_drv]", "ffffffffc0000060 t between\t[lab_drv]\nffffffffc0000068 t between\t[lab_drv]"),
			"kallsyms has 2 functions between in module lab_drv, the registry 1: not the same build of it"},
		{"a module without it", "leave", replace("ffffffffc0001000 t leave\t[lab_drv]\n", ""),
			"kallsyms has 0 functions leave in module lab_drv, the registry 1: not the same build of it"},
	} {
		got := strings.TrimPrefix(answer(reg, c.pattern, live(t, listing(records, true, true, c.edit))), "! ")
		if c.want == "" {
			c.want = "alone 0 ffffffffa6800040"
		}
		if d := cmp.Diff(c.want, got); d != "" && !sameButOrder(c.want, got) {
			t.Errorf("%s: %s", c.what, d)
		}
	}

	k := live(t, listing(records, true, false, replace("ffffffffa6800000 T _text\nffffffffa6800000 T _stext\n", "")))
	if got := answer(reg, "alone", k); got != "! kallsyms: neither _text nor _stext to compare addresses by" {
		t.Error(got)
	}
}

// sameButOrder lets the registry's order of symbols choose which of two that contradict each other is told.
func sameButOrder(a, b string) bool {
	word := regexp.MustCompile(`of module lab_drv at .* not the same build`)
	return word.MatchString(a) && word.MatchString(b)
}

func TestModuleNotLoaded(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	k := live(t, listing(records, false, true, func(lines []string) []string { return append(lines, "ffffffffc0009000 t other\t[other]") }))
	target, err := find(reg, "twin@two_c_1", k)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"module lab_drv is not loaded in kallsyms"}, target.Notes); d != "" || target.Checked != "" || target.Live {
		t.Errorf("%q %s", target.Checked, d)
	}
	if got := target.Where(); got != "lab_drv:between+0x20" {
		t.Error(got)
	}
}

func TestOtherKernel(t *testing.T) {
	records := lab()
	k := live(t, listing(records, true, true, nil))
	for _, c := range []struct {
		change func(h *registry.Header)
		want   string
	}{
		{func(h *registry.Header) { h.BuildID = "ff" }, "build ID ff, not " + buildID},
		{func(h *registry.Header) { h.Release = "6.1.0" }, "kernel release 6.1.0, not " + release},
		{func(h *registry.Header) { h.Release, h.BuildID = "", "" }, ""},
	} {
		h := header
		c.change(&h)
		reg := book(t, h, records)
		got := answer(reg, "alone", k)
		if c.want == "" {
			if got != "alone 0 ffffffffa6800040" {
				t.Error(got)
			}
		} else if want := fmt.Sprintf("! %s is of another kernel than kallsyms: %s", reg.Path, c.want); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		// Of several registries the running kernel's is taken.
		own := book(t, header, records)
		from, _, err := Choose([]*registry.Registry{reg, own}, "name_show@a_c_3", "", k)
		if c.want != "" && (err != nil || from != own) {
			t.Error(err)
		}
		if _, _, err = Choose([]*registry.Registry{reg, own}, "name_show@a_c_3", "", nil); err == nil || !strings.Contains(err.Error(), "is in several registries") {
			t.Error(err)
		}
		if _, err := Find(reg, records[4], k); (err != nil) != (c.want != "") {
			t.Error(err)
		}
	}
}

func TestReadLive(t *testing.T) {
	hidden := regexp.MustCompile(`(?m)^[0-9a-f]{16}`).ReplaceAllString(listing(lab(), true, true, nil), "0000000000000000")
	for text, want := range map[string]string{
		hidden:            " shows no addresses: be root, or set kernel.kptr_restrict to 0 (sysctl)",
		"":                ": neither a list of symbols (kallsyms, System.map) nor a vmlinux",
		"nothing of it\n": ": neither a list of symbols (kallsyms, System.map) nor a vmlinux",
	} {
		root := sysroot(t, text)
		if _, err := ReadLive(root); err == nil || err.Error() != filepath.Join(root, "proc/kallsyms")+want {
			t.Error(err)
		}
	}
	if _, err := ReadLive(t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), "no list of the running kernel's symbols: open ") {
		t.Error(err)
	}
	k := live(t, listing(lab(), true, true, nil))
	if k.Release != release || k.BuildID != buildID || !k.HasModules() {
		t.Errorf("%+v", k.BuildID)
	}
	var got []string
	for _, s := range k.Named("name_show") {
		got = append(got, fmt.Sprintf("%x %c [%s]", s.Address, s.Type, s.Module))
	}
	if d := cmp.Diff([]string{"ffffffffa6801000 t []", "ffffffffa6802000 t []", "ffffffffc0000020 t [lab_drv]"}, got); d != "" {
		t.Error(d)
	}
}

// A vmlinux says the same as its System.map.
func TestReadVmlinux(t *testing.T) {
	files, err := fs.Glob(demo.FS, "matrix/*/vmlinux")
	if err != nil || len(files) == 0 {
		t.Fatal("no vmlinux in the demo", err)
	}
	for _, name := range files {
		data, err := demo.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "vmlinux")
		write(t, path, string(data))
		k, err := ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if k.HasModules() || k.Live || len(k.Named("name_show")) == 0 {
			t.Errorf("%s: %d name_show", name, len(k.Named("name_show")))
		}
		write(t, path, string(data[:100]))
		if _, err := ReadFile(path); err == nil {
			t.Errorf("%s: a piece of it was taken", name)
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file")
	}
}

func TestFormats(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	with, without := live(t, listing(records, true, true, nil)), live(t, listing(records, true, false, nil))
	naming, back := Naming{Group: "kas"}, Naming{Group: "kas", Return: true}
	for _, c := range []struct {
		pattern string
		k       *Kernel
		n       Naming
		want    [7]string // kprobe, perf, bpftrace, object and function of a livepatch, gdb, drgn
	}{
		{"name_show@b_c_4", nil, naming, [7]string{
			"p:kas/name_show_b_c_4 _text+0x2000", "echo 'p:kas/name_show_b_c_4 _text+0x2000' >>/sys/kernel/tracing/kprobe_events && perf record -e kas:name_show_b_c_4 -aR sleep 10",
			"! bpftrace tells functions by their names alone: use the kprobe event",
			"NULL", `{ .old_name = "name_show", .old_sympos = 2 }`, "break *((char *)&_text + 0x2000)",
			`prog.symbol(prog.symbol("_text").address + 0x2000)`,
		}},
		{"name_show@b_c_4", with, back, [7]string{
			"r:kas/name_show_b_c_4__return name_show@b_c_4", "perf probe 'kas:name_show_b_c_4=0xffffffffa6802000%return'",
			"! bpftrace tells functions by their names alone: use the kprobe event", "NULL", `{ .old_name = "name_show", .old_sympos = 2 }`, "break *((char *)&_text + 0x2000)",
			`prog.symbol(prog.symbol("_text").address + 0x2000)`,
		}},
		{"name_show@drv_c_5", without, Naming{Group: "g", Event: "mine"}, [7]string{
			"p:g/mine lab_drv:name_show", "echo 'p:g/mine lab_drv:name_show' >>/sys/kernel/tracing/kprobe_events && perf record -e g:mine -aR sleep 10", "! bpftrace tells functions by their names alone: use the kprobe event",
			`"lab_drv"`, `{ .old_name = "name_show", .old_sympos = 0 }`, "break *0xffffffffc0000020", "prog.symbol(0xffffffffc0000020)",
		}},
		{"twin@two_c_1", with, naming, [7]string{
			"p:kas/twin_two_c_1 lab_drv:twin@two_c_1",
			"echo 'p:kas/twin_two_c_1 lab_drv:twin@two_c_1' >>/sys/kernel/tracing/kprobe_events && perf record -e kas:twin_two_c_1 -aR sleep 10",
			"! bpftrace tells functions by their names alone: use the kprobe event", `"lab_drv"`, `{ .old_name = "twin", .old_sympos = 2 }`,
			"break *0xffffffffc0000080", "prog.symbol(0xffffffffc0000080)",
		}},
		{"between", with, back, [7]string{
			"r:kas/between__return lab_drv:between",
			"echo 'r:kas/between__return lab_drv:between' >>/sys/kernel/tracing/kprobe_events && perf record -e kas:between__return -aR sleep 10",
			"kretprobe:between", `"lab_drv"`, `{ .old_name = "between", .old_sympos = 0 }`,
			"break *0xffffffffc0000060", "prog.symbol(0xffffffffc0000060)",
		}},
		{"twin@two_c_1", nil, naming, [7]string{
			"p:kas/twin_two_c_1 lab_drv:between+0x20",
			"echo 'p:kas/twin_two_c_1 lab_drv:between+0x20' >>/sys/kernel/tracing/kprobe_events && perf record -e kas:twin_two_c_1 -aR sleep 10",
			"! bpftrace tells functions by their names alone: use the kprobe event", `"lab_drv"`, `{ .old_name = "twin", .old_sympos = 2 }`, "break *&'lab/two.c'::twin", `prog.function("twin", "lab/two.c")`,
		}},
		{"inlined@lab_h_2__b_c", nil, back, [7]string{ // two of one file
			"r:kas/inlined_lab_h_2__b_c__return _text+0x5200",
			"echo 'r:kas/inlined_lab_h_2__b_c__return _text+0x5200' >>/sys/kernel/tracing/kprobe_events && perf record -e kas:inlined_lab_h_2__b_c__return -aR sleep 10",
			"! bpftrace tells functions by their names alone: use the kprobe event", "NULL", `{ .old_name = "inlined", .old_sympos = 2 }`, "break *((char *)&_text + 0x5200)",
			`prog.symbol(prog.symbol("_text").address + 0x5200)`,
		}},
	} {
		target, err := find(reg, c.pattern, c.k)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		or := func(s string, err error) string {
			if err != nil {
				return "! " + err.Error()
			}
			return s
		}
		got := [7]string{
			target.Kprobe(c.n), target.Perf(c.n), or(target.Bpftrace(c.n)), target.LivepatchObject(), target.LivepatchFunction(), or(target.GDB()), or(target.Drgn()),
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.pattern, d)
		}
	}
}

func TestEventName(t *testing.T) {
	long := strings.Repeat("very_long_name_", 8)
	seen := map[string]string{}
	for _, c := range []struct {
		r       registry.Record
		another bool
		n       Naming
		want    string
	}{
		{registry.Record{Name: "foo", Object: "vmlinux"}, false, Naming{}, "foo"},
		{registry.Record{Name: "foo.isra.0", Object: "vmlinux"}, false, Naming{}, "foo_isra_0"},
		{registry.Record{Name: "foo", Object: "vmlinux"}, true, Naming{}, "foo_vmlinux_1"},
		{registry.Record{Name: "foo", Object: "a/led-x.ko"}, true, Naming{}, "foo_led_x_1"},
		{registry.Record{Name: "foo", Alias: "foo@a/b.c:3", Object: "vmlinux"}, true, Naming{}, "foo_a_b_c_3"},
		{registry.Record{Name: "foo", Object: "vmlinux"}, false, Naming{Return: true}, "foo__return"},
		{registry.Record{Name: "foo", Object: "vmlinux"}, false, Naming{Event: "bar", Return: true}, "bar"},
		{registry.Record{Name: "0foo", Object: "vmlinux"}, false, Naming{}, "_0foo"},
		{registry.Record{Name: long, Object: "vmlinux"}, false, Naming{}, ""},
		{registry.Record{Name: long + "x", Object: "vmlinux"}, false, Naming{}, ""},
		{registry.Record{Name: long, Object: "vmlinux"}, false, Naming{Return: true}, ""},
		{registry.Record{Name: long + "x", Object: "vmlinux"}, false, Naming{Return: true}, ""},
	} {
		target := &Target{Record: c.r, Module: c.r.Module(), another: c.another}
		got := target.EventName(c.n)
		if c.want != "" && got != c.want || !ValidName(got) || c.n.Return && c.n.Event == "" && !strings.HasSuffix(got, "__return") {
			t.Errorf("%q, want %q", got, c.want)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s of both %s and %s", got, other, c.r.Name)
		}
		seen[got] = c.r.Name
	}
}

func TestWrite(t *testing.T) {
	root := sysroot(t, listing(lab(), true, true, nil))
	events := filepath.Join(root, "sys/kernel/tracing/kprobe_events")
	path, err := Write(root, "p:kas/a b")
	if err != nil || path != events {
		t.Fatal(path, err)
	}
	if got, _ := os.ReadFile(events); string(got) != "p:old/one two\np:kas/a b\n" {
		t.Errorf("%q", got)
	}

	// A file that refuses, with the kernel's reasons beside it.
	if err := os.Remove(events); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", events); err != nil {
		t.Fatal(err)
	}
	const log = "[    1.000000] trace_kprobe: error: Older reason\n  Command: p:kas/a b\n             ^\n" +
		"[    2.000000] trace_kprobe: error: The symbol is not unique\n  Command: p:kas/a b\n             ^\n" +
		"[    3.000000] trace_kprobe: error: Another command's\n  Command: p:x/y z\n             ^\n"
	write(t, filepath.Join(filepath.Dir(events), "error_log"), log)
	if _, err = Write(root, "p:kas/a b"); err == nil || err.Error() != events+` refuses "p:kas/a b": The symbol is not unique (no space left on device)` {
		t.Error(err)
	}
	if _, err = Write(root, "p:kas/unheard b"); err == nil || err.Error() != events+` refuses "p:kas/unheard b": no space left on device` {
		t.Error(err)
	}
	if _, err = Write(t.TempDir(), "p:kas/a b"); err == nil || !strings.HasPrefix(err.Error(), "no kprobe_events: mount tracefs") {
		t.Error(err)
	}
}

func TestBlacklist(t *testing.T) {
	records := lab()
	root := sysroot(t, listing(records, true, false, nil))
	write(t, filepath.Join(root, "sys/kernel/debug/kprobes/blacklist"), "0xffffffffa6800040-0xffffffffa6800050\talone\n")
	k, err := ReadLive(root)
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]int{"alone": 1, "clone.isra.0": 0} {
		target, err := find(book(t, header, records), pattern, k)
		if err != nil || len(target.Notes) != want {
			t.Error(pattern, err, target)
		}
	}
}

// resolve reads what kprobe_events is told as the kernel does, from the list alone; refused where it would be, or where
// several are meant.
func resolve(kallsyms, where string) (uint64, error) {
	if address, ok := strings.CutPrefix(where, "0x"); ok {
		return strconv.ParseUint(address, 16, 64)
	}
	module, symbol := "", where
	if i := strings.IndexByte(where, ':'); i >= 0 {
		module, symbol = where[:i], where[i+1:]
	}
	var offset uint64
	if i := strings.IndexByte(symbol, '+'); i >= 0 {
		var err error
		if offset, err = strconv.ParseUint(symbol[i+1:], 0, 64); err != nil {
			return 0, err
		}
		symbol = symbol[:i]
	}
	var found []uint64
	for line := range strings.Lines(kallsyms) {
		f := strings.Fields(line)
		of := ""
		if len(f) > 3 {
			of = strings.Trim(f[3], "[]")
		}
		if f[2] == symbol && of != "bpf" && !strings.HasPrefix(of, "__builtin") && (module == "" || module == of) {
			address, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil {
				return 0, err
			}
			found = append(found, address+offset)
		}
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%s: %d symbols", where, len(found))
	}
	return found[0], nil
}

// Whatever kernel it is, an alias that Lookup finds is probed at its symbol's address or not at all.
func TestEveryAlias(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		records := randomKernel(random)
		reg := book(t, header, records)
		for _, aliases := range []bool{false, true} {
			placed := place(random, records)
			text := kallsymsOf(placed, aliases)
			k := live(t, text)
			probed := 0
			for _, p := range placed {
				found, err := reg.Lookup(p.Alias)
				if err != nil || len(found) != 1 {
					t.Fatalf("seed %d: %s: %d found, %v", seed, p.Alias, len(found), err)
				}
				target, err := find(reg, p.Alias, k)
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
					continue
				}
				got, err := resolve(text, target.Where())
				if err != nil || got != p.at || target.Address != p.at {
					t.Errorf("seed %d: %s is %s: %x, %v; want %x", seed, p.Alias, target.Where(), got, err, p.at)
				}
				if !ValidName(target.EventName(Naming{})) {
					t.Errorf("event %q", target.EventName(Naming{}))
				}
				probed++
			}
			if probed == 0 {
				t.Errorf("seed %d: nothing was probed", seed)
			}
		}
	}
}

// randomKernel has few names, so that most are duplicates, and an alias for every function.
func randomKernel(random *rand.Rand) []registry.Record {
	records := []registry.Record{{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'}}
	for _, object := range []string{"vmlinux", "a.ko", "dir/b-c.ko"} {
		for _, section := range []string{".text", ".text.unlikely"} {
			address := uint64(text + 0x1000)
			switch {
			case object != "vmlinux":
				address = 0
			case section != ".text":
				address += 0x100000
			}
			for i := range 20 {
				name := fmt.Sprintf("f%d", random.IntN(25))
				file := fmt.Sprintf("%s%s_%d.c", registry.ModuleName(object), section[1:], i)
				alias := fmt.Sprintf("%s@%s_%d", name, identifier(file), i)
				records = append(records, function(name, object, section, address, alias, file, int64(i+1)))
				address += uint64(16 * (1 + random.IntN(4)))
			}
		}
	}
	return records
}

type placed struct {
	registry.Record
	at uint64
}

// place is where the sections of a booted kernel lie.
func place(random *rand.Rand, records []registry.Record) []placed {
	slid := uint64(random.IntN(1000)) << 21
	begin := map[string]uint64{}
	var all []placed
	for _, r := range records[1:] {
		key := r.Object + r.Section
		if _, ok := begin[key]; !ok {
			begin[key] = 0xffffffffc0000000 + uint64(len(begin))<<16 + uint64(random.IntN(256))<<4
		}
		at := begin[key] + r.Address
		if r.Object == "vmlinux" {
			at = r.Address + slid
		}
		all = append(all, placed{r, at})
	}
	return all
}

func kallsymsOf(all []placed, aliases bool) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%016x T _text\n", all[0].at-all[0].Address+uint64(text))
	for _, p := range all {
		for _, name := range []string{p.Name, p.Alias} {
			switch {
			case name == p.Alias && !aliases:
			case p.Object == "vmlinux":
				fmt.Fprintf(&b, "%016x t %s\n", p.at, name)
			default:
				fmt.Fprintf(&b, "%016x t %s\t[%s]\n", p.at, name, p.Module())
			}
		}
	}
	return b.String()
}

func BenchmarkReadLive(b *testing.B) {
	var text bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintf(&text, "%016x t some_function_of_a_kernel_%d\n", uint64(0xffffffff81000000)+16*uint64(i), i)
	}
	root := b.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/kallsyms"), text.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k, err := ReadLive(root)
		if err != nil || len(k.Named("some_function_of_a_kernel_199999")) != 1 {
			b.Fatal(err)
		}
	}
}
