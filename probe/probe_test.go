package probe

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/registry"
)

func TestFind(t *testing.T) {
	records := late(lab())
	reg := book(t, header, records)
	with := live(t, listing(records, true, true, nil))
	without := live(t, listing(records, true, false, nil))
	file := saved(t, listing(records, false, false, nil))
	for _, c := range []struct {
		what, pattern string
		k             *Kernel
		want          string
	}{
		{"unique, no kernel", "alone", nil, "alone 0 unchecked"},
		{"duplicate, no kernel", "name_show@a_c_3", nil, "_text+0x1000 1 unchecked"},
		{"duplicate, by its location", "lab/b.c:4", nil, "_text+0x2000 2 unchecked"},
		{"the kernel has the alias", "name_show@b_c_4", with,
			"name_show@b_c_4 2 ffffffffa6802000"},
		{"the kernel does not have the alias", "name_show@b_c_4", without,
			"_text+0x2000 2 ffffffffa6802000"},
		{"a late alias", "late_one@a_c_7", with, "_text+0x4000 0 ffffffffa6804000"},
		{"unique, moved by KASLR", "alone", with, "alone 0 ffffffffa6800040"},
		{"livepatch counts data with the same name", "mixed@a_c_9", without,
			"_text+0x3000 1 ffffffffa6803000"},
		{"a clone", "clone.isra.0", with, "clone.isra.0 0 ffffffffa6805000"},
		{"vmlinux, a file without modules", "name_show@a_c_3", file,
			"_text+0x1000 1 ffffffffa6801000"},
		{"module, no kernel", "name_show@drv_c_5", nil, "lab_drv:name_show 0 unchecked"},
		{"module, the kernel has the alias", "name_show@drv_c_5", with,
			"lab_drv:name_show@drv_c_5 0 ffffffffc0000020"},
		{"module, the kernel does not have the alias", "name_show@drv_c_5", without,
			"lab_drv:name_show 0 ffffffffc0000020"},
		{"module, a late alias", "late_one@solo_c_7", with,
			"solo:late_one 0 ffffffffc0002000"},
		{"module, the first of two", "twin@one_c_1", nil, "lab_drv:name_show+0x20 1 unchecked"},
		{"module, the second of two", "twin@two_c_1", without,
			"lab_drv:between+0x20 2 ffffffffc0000080"},
		{"module, its init section is freed", "setup", without,
			"lab_drv:between+0x40 0 ffffffffc00000a0"},
		{"several", "header", without, "! header matches 2 functions; choose one:\n" +
			"  header@lab_h_2__a_c  vmlinux  lab/lab.h:2\n" +
			"  header@lab_h_2__b_c  vmlinux  lab/lab.h:2"},
		{"exit section", "leave", without, "lab_drv:leave 0 ffffffffc0001000"},
		{"a section of its own", "sole", without, "lto:sole 0 ffffffffc0005000"},
		{"module, a file without modules", "twin@two_c_1", file,
			"lab_drv:between+0x20 2 unchecked"},
		{"two sections of one name", "part@two_c_2", with,
			"! kallsyms has part of module lto at 0xffffffffc0004040, " +
				"the registry, counted from part, at 0xffffffffc0004000: " +
				"not the same build of the module"},
		{"nothing to count from", "part@one_c_2", nil,
			"! neither part in .text.part of drivers/lab/lto.ko nor a symbol before it has a " +
				"unique name: only its address identifies it, and that is unknown (try --live)"},
		{"data", "percpu_thing", with,
			"! percpu_thing of vmlinux is not code (type d): only functions are probed"},
		{"init section", "boot", with,
			"! boot is in .init.text, which the kernel frees after boot"},
		{"exit section of vmlinux", "bye", with,
			"! bye is in .exit.text, which the kernel frees after boot"},
		{"init section, of a kernel that is not running", "boot", nil, "boot 0 unchecked"},
		{"init section of a module", "driver_init", nil, "! driver_init is in .init.text of " +
			"drivers/lab/lab-drv.ko, which the kernel frees after loading the module"},
		{"the start of a function", "_text+0x1000", nil, "_text+0x1000 1 unchecked"},
		{"within a function", "name_show@b_c_4+0x4", nil,
			"! name_show@b_c_4+0x4 is name_show+0x4, but only the start of a function is " +
				"probed: use name_show@b_c_4"},
		{"no match", "nowhere", nil, "! no function nowhere in " + reg.Path},
	} {
		if d := cmp.Diff(c.want, answer(reg, c.pattern, c.k)); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
}

// TestFindNotes checks what is reported about a kernel that could not confirm everything.
func TestFindNotes(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	vmlinuxOnly := func(lines []string) []string {
		return slices.DeleteFunc(lines, func(line string) bool {
			return strings.Contains(line, "[")
		})
	}
	file := saved(t, listing(records, false, false, vmlinuxOnly))
	for pattern, want := range map[string]string{
		"alone":        "",
		"twin@two_c_1": "saved lists no modules",
		"boot":         "boot is in .init.text, which the kernel frees after boot",
	} {
		target, err := find(reg, pattern, file)
		if err != nil || strings.Join(target.Notes, "\n") != want {
			t.Errorf("%s: %v %v, want %s", pattern, target, err, want)
		} else if target.Live {
			t.Errorf("%s: the addresses of a file are not those of the running kernel", pattern)
		}
	}
	k := live(t, listing(records, false, false, vmlinuxOnly))
	const want = "module lab_drv is not loaded in kallsyms"
	target, err := find(reg, "twin@two_c_1", k)
	if err != nil || strings.Join(target.Notes, "\n") != want {
		t.Errorf("%v %v, want %s", target, err, want)
	}
}

// TestFindBeforeText has a function of vmlinux that begins before _text, so no offset names it.
func TestFindBeforeText(t *testing.T) {
	reg := book(t, header, []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		function("entry", "vmlinux", ".head.text", text-0x100, "entry@a_c_1", "a.c", 1),
		function("entry", "vmlinux", ".text", text+0x100, "entry@b_c_1", "b.c", 1),
	})
	const want = "! neither entry in .head.text of vmlinux nor a symbol before it has a unique " +
		"name: only its address identifies it, and that is unknown (try --live)"
	if got := answer(reg, "entry@a_c_1", nil); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestFindUnreadableAlias has an alias that kprobe_events would read as an offset.
func TestFindUnreadableAlias(t *testing.T) {
	h := header
	h.Policy = "separator=+"
	records := []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		function("foo", "vmlinux", ".text", text+0x10, "foo+a_c_3", "a.c", 3),
		function("foo", "vmlinux", ".text", text+0x20, "foo+b_c_3", "b.c", 3),
	}
	const want = "_text+0x20 2 ffffffffa6800020"
	if got := answer(book(t, h, records), "foo+b_c_3",
		live(t, listing(records, true, true, nil))); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNameable(t *testing.T) {
	for name, want := range map[string]bool{
		"foo": true, "foo.isra.0": true, "foo@a_c_3": true, "_9": true, "": false, "9foo": false,
		"0x10": false, "a+b": false, "a-b": false, "a:b": false, "a#b": false, "a%b": false,
		"a b": false, "a\tb": false,
	} {
		if got := nameable(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}

// TestLateAliasInKernel checks that a symbol with the name of a late alias changes nothing.
func TestLateAliasInKernel(t *testing.T) {
	records := late(lab())
	reg := book(t, header, records)
	const want = "_text+0x4000 0 ffffffffa6804000"
	for _, address := range []string{"ffffffffa6804000", "ffffffffa6804444"} {
		k := live(t, listing(records, true, true, func(lines []string) []string {
			return append(lines, address+" t late_one@a_c_7")
		}))
		if got := answer(reg, "late_one@a_c_7", k); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// TestUnsortedList checks that the order of the kernel's list changes nothing in vmlinux.
func TestUnsortedList(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	sorted := live(t, listing(records, true, true, nil))
	reversed := live(t, listing(records, true, true, func(lines []string) []string {
		slices.Reverse(lines)
		return lines
	}))
	for _, pattern := range []string{"alone", "name_show@a_c_3", "name_show@b_c_4", "mixed@a_c_9"} {
		want := answer(reg, pattern, sorted)
		if got := answer(reg, pattern, reversed); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
	}
}

// TestFindFullLTO checks that a name is not unique if LTO made another symbol of it with a suffix.
func TestFindFullLTO(t *testing.T) {
	const drv = "drivers/lab/lab-drv.ko"
	records := append(lab(),
		function("alone.7", "vmlinux", ".text", text+0x6000, "", "", 0),
		function("between.7", drv, ".text", 0x100, "", "", 0))
	for _, c := range []struct{ lto, pattern, want string }{
		{"", "alone", "alone 0 unchecked"},
		{"none", "alone", "alone 0 unchecked"},
		{"full", "alone", "_text+0x40 0 unchecked"},
		{"none", "between", "lab_drv:between 0 unchecked"},
		{"full", "between", "lab_drv:name_show+0x40 0 unchecked"},
	} {
		h := header
		h.LTO = c.lto
		if got := answer(book(t, h, records), c.pattern, nil); got != c.want {
			t.Errorf("LTO %q, %s: %s, want %s", c.lto, c.pattern, got, c.want)
		}
	}
}

// TestFindSections has two functions of one name at offset 0 of their own sections: only the
// addresses of the sections or the alias distinguish them.
func TestFindSections(t *testing.T) {
	const ko = "lto.ko"
	records := []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		function("part", ko, ".text.part.1", 0, "part@one_c_2", "lab/one.c", 2),
		function("part", ko, ".text.part.2", 0, "part@two_c_2", "lab/two.c", 2),
	}
	reg := book(t, header, records)
	kallsyms := fmt.Sprintf("%x T _text\n", uint64(text)) +
		"ffffffffc0000100 t part\t[lto]\nffffffffc0000200 t part\t[lto]\n"
	const undecided = "! part of module lto is one of 2 that only the order of its symbols " +
		"distinguishes"
	if got := answer(reg, "part@two_c_2", live(t, kallsyms)); got != undecided {
		t.Errorf("%s, want %s", got, undecided)
	}
	root := sysroot(t, kallsyms)
	section := filepath.Join(root, "sys/module/lto/sections/.text.part.2")
	write(t, section, "0xffffffffc0000200\n")
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
	// The kernel hides an address by writing 0.
	write(t, section, "0x0000000000000000\n")
	if got := answer(reg, "part@two_c_2", k); !strings.Contains(got, "only the order") {
		t.Error(got)
	}
	write(t, section, "0xffffffffc0000300\n")
	_, err = find(reg, "part@two_c_2", k)
	const moved = "section .text.part.2 of module lto is at 0xffffffffc0000300, by its symbols " +
		"and the registry at 0xffffffffc0000200: not the same build of the module"
	if err == nil || err.Error() != moved {
		t.Errorf("%v, want %s", err, moved)
	}
	aliased := kallsyms + "ffffffffc0000200 t part@two_c_2\t[lto]\n"
	const want = "lto:part@two_c_2 2 ffffffffc0000200"
	if got := answer(reg, "part@two_c_2", live(t, aliased)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestPositionOfSections has two functions of one name at one offset of two sections.
func TestPositionOfSections(t *testing.T) {
	const ko = "lto.ko"
	reg := book(t, header, []registry.Record{
		function("part", ko, ".text.part.1", 0, "part@one_c_2", "lab/one.c", 2),
		function("part", ko, ".text.part.2", 0, "part@two_c_2", "lab/two.c", 2),
		function("first", ko, ".text.part.2", 0, "", "", 0),
	})
	const want = "lto:first 2 unchecked"
	if got := answer(reg, "part@two_c_2", nil); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestContradictions edits the kernel's list of symbols. Each edit is an error or changes nothing.
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
	for _, c := range []struct{ what, pattern, old, new, want string }{
		{"the symbol moved", "name_show@b_c_4",
			"ffffffffa6802000 t name_show\n", "ffffffffa6802010 t name_show\n",
			"! kallsyms has name_show at 0xffffffffa6802010, the registry at 0xffffffffa6802000: " +
				"not the same kernel"},
		{"another symbol of the name moved", "name_show@b_c_4",
			"ffffffffa6801000 t name_show\n", "ffffffffa6801010 t name_show\n",
			"! kallsyms has name_show at 0xffffffffa6801010, the registry at 0xffffffffa6801000: " +
				"not the same kernel"},
		{"another symbol of the name is missing", "name_show@b_c_4",
			"ffffffffa6801000 t name_show\n", "",
			"! kallsyms has 1 functions name_show in vmlinux, the registry has 2: " +
				"not the same kernel"},
		{"one symbol too many", "alone",
			"ffffffffa6800040 t alone\n", "ffffffffa6800040 t alone\nffffffffa6800090 t alone\n",
			"! kallsyms has 2 functions alone in vmlinux, the registry has 1: not the same kernel"},
		{"data of the name is missing", "mixed@a_c_9", "ffffffffa7100000 d mixed\n", "",
			"mixed@a_c_9 0 ffffffffa6803000"},
		{"the alias is elsewhere", "name_show@b_c_4",
			"ffffffffa6802000 t name_show@", "ffffffffa6802010 t name_show@",
			"! kallsyms has name_show@b_c_4 at 0xffffffffa6802010, " +
				"the registry at 0xffffffffa6802000: not the same kernel"},
		{"more code", "alone", "ffffffffa6ff0000 T _etext", "ffffffffa6ff1000 T _etext",
			"! kallsyms has _etext at 0xffffffffa6ff1000, the registry at 0xffffffffa6ff0000: " +
				"not the same kernel"},
		{"more init code", "alone",
			"ffffffffa70f0000 T _einittext", "ffffffffa70f0010 T _einittext",
			"! kallsyms has _einittext at 0xffffffffa70f0010, " +
				"the registry at 0xffffffffa70f0000: not the same kernel"},
		{"more code, of a module's symbol", "early",
			"ffffffffa6ff0000 T _etext", "ffffffffa6ff1000 T _etext",
			"! kallsyms has _etext at 0xffffffffa6ff1000, the registry at 0xffffffffa6ff0000: " +
				"not the same kernel"},
		{"no _stext", "alone", "ffffffffa6800000 T _stext\n", "", "alone 0 ffffffffa6800040"},
		{"no _text", "name_show@b_c_4", "ffffffffa6800000 T _text\n", "",
			"name_show@b_c_4 2 ffffffffa6802000"},
		{"neither _text nor _stext", "alone",
			"ffffffffa6800000 T _text\nffffffffa6800000 T _stext\n", "",
			"! kallsyms has neither _text nor _stext to compare addresses with"},
		{"two _text", "alone", "ffffffffa6800000 T _text\n",
			"ffffffffa6800000 T _text\nffffffffa6800000 T _text\n",
			"! kallsyms has 2 symbols _text, want one in vmlinux"},
		{"_text of a module", "alone", "ffffffffa6800000 T _text\n",
			"ffffffffa6800000 T _text\t[m]\n",
			"! kallsyms has 1 symbols _text, want one in vmlinux"},
		{"a module's symbol moved", "twin@two_c_1",
			"ffffffffc0000080 t twin", "ffffffffc0000090 t twin",
			"! kallsyms has twin of module lab_drv at 0xffffffffc0000090, the registry, counted " +
				"from between, at 0xffffffffc0000080: not the same build of the module"},
		{"another symbol of the section moved", "twin@two_c_1",
			"ffffffffc0000000 t early", "ffffffffc0000008 t early",
			"! kallsyms has early of module lab_drv at 0xffffffffc0000008, the registry, counted " +
				"from between, at 0xffffffffc0000000: not the same build of the module"},
		{"another symbol of the section is missing", "twin@two_c_1",
			"ffffffffc0000000 t early\t[lab_drv]\n", "",
			"lab_drv:twin@two_c_1 2 ffffffffc0000080"},
		{"a module with one symbol too many", "twin@two_c_1",
			"ffffffffc0000060 t between\t[lab_drv]",
			"ffffffffc0000060 t between\t[lab_drv]\nffffffffc0000068 t between\t[lab_drv]",
			"! kallsyms has 2 functions between in module lab_drv, the registry has 1: " +
				"not the same build of the module"},
		{"a module with data of the name", "between",
			"ffffffffc0000060 t between\t[lab_drv]",
			"ffffffffc0000060 t between\t[lab_drv]\nffffffffc0003000 d between\t[lab_drv]",
			"lab_drv:name_show+0x40 1 ffffffffc0000060"},
		{"a module without the symbol", "leave", "ffffffffc0001000 t leave\t[lab_drv]\n", "",
			"! kallsyms has 0 functions leave in module lab_drv, the registry has 1: " +
				"not the same build of the module"},
		{"the alias of a module's symbol is elsewhere", "twin@two_c_1",
			"ffffffffc0000080 t twin@two_c_1", "ffffffffc0000084 t twin@two_c_1",
			"! kallsyms has twin@two_c_1 at 0xffffffffc0000084, " +
				"the registry at 0xffffffffc0000080: not the same kernel"},
	} {
		k := live(t, listing(records, true, true, replace(c.old, c.new)))
		if d := cmp.Diff(c.want, answer(reg, c.pattern, k)); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
}

// TestNewNamesake checks a name that was unique in the build but is not in the running kernel.
func TestNewNamesake(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	later := func(lines []string) []string {
		return append(lines,
			"ffffffffc0009000 t alone\t[other]", "ffffffffc0009010 t early\t[other]")
	}
	k := live(t, listing(records, true, false, later))
	for pattern, want := range map[string]string{
		"alone": "_text+0x40 0 ffffffffa6800040",
		"early": "lab_drv:early 0 ffffffffc0000000",
	} {
		if got := answer(reg, pattern, k); got != want {
			t.Errorf("%s: %s, want %s", pattern, got, want)
		}
		target, err := find(reg, pattern, k)
		if err != nil {
			t.Fatal(err)
		}
		line, _, err := target.Bpftrace(Naming{})
		if err == nil && !strings.HasPrefix(line, "kprobe:lab_drv:") {
			t.Errorf("%s: bpftrace would probe another function, too: %s", pattern, line)
		}
	}
}

// TestExitSectionDropped has a module function twice. A kernel that cannot unload modules drops the
// one in the exit section.
func TestExitSectionDropped(t *testing.T) {
	reg := book(t, header, []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		function("stop", "m.ko", ".text", 0x10, "", "", 0),
		function("stop", "m.ko", ".exit.text", 0, "", "", 0),
	})
	kallsyms := fmt.Sprintf("%x T _text\nffffffffc0000010 t stop\t[m]\n", uint64(text))
	const want = "0xffffffffc0000010 0 ffffffffc0000010"
	target, err := Find(reg, reg.Named("stop")[1], live(t, kallsyms))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %d %x", target.Where(), target.Position, target.Address)
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestModuleNotLoaded(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	other := func(lines []string) []string {
		return append(lines,
			"ffffffffc0009000 t other\t[other]", "ffffffffc0009010 t between\t[other]")
	}
	k := live(t, listing(records, false, true, other))
	target, err := find(reg, "twin@two_c_1", k)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"module lab_drv is not loaded in kallsyms"}
	if d := cmp.Diff(want, target.Notes); d != "" || target.Checked != "" || target.Live {
		t.Errorf("%q %s", target.Checked, d)
	}
	if got := target.Where(); got != "lab_drv:between+0x20" {
		t.Error(got)
	}
	// Another module has a function of that name.
	if target, err = find(reg, "between", k); err != nil || target.Where() != "lab_drv:between" {
		t.Error(target, err)
	} else if line, _, _ := target.Bpftrace(Naming{}); line != "kprobe:lab_drv:between" {
		t.Errorf("bpftrace would probe the other function: %s", line)
	}
}

func TestOtherKernel(t *testing.T) {
	records := lab()
	k := live(t, listing(records, true, true, nil))
	own := book(t, header, records)
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
		want := "alone 0 ffffffffa6800040"
		if c.want != "" {
			want = "! " + reg.Path + " is from a different kernel than kallsyms: " + c.want
		}
		if got := answer(reg, "alone", k); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if _, err := Find(reg, reg.Named("alone")[0], k); (err != nil) != (c.want != "") {
			t.Error(err)
		}
		// Choose takes the registry of the running kernel. Without a kernel it cannot decide.
		both := []*registry.Registry{reg, own}
		from, _, err := Choose(both, "name_show@a_c_3", "", k)
		if c.want != "" && (err != nil || from != own) {
			t.Error(err)
		}
		const several = "name_show@a_c_3 is in several registries"
		if c.want == "" && (err == nil || err.Error() != several+
			", and kallsyms does not say which kernel it is: choose one with --registry") {
			t.Error(err)
		}
		_, _, err = Choose(both, "name_show@a_c_3", "", nil)
		if err == nil || err.Error() != several+
			": choose one with --registry, or the kernel with --live or --check" {
			t.Error(err)
		}
	}
}

// TestChoose checks which of several matches is chosen.
func TestChoose(t *testing.T) {
	const ko = "drivers/lab/lab-drv.ko"
	records := append(lab(),
		function("both", ko, ".init.text", 0x40, "both@one_c_1", "lab/one.c", 1),
		function("both", ko, ".text", 0x200, "both@one_c_9", "lab/one.c", 9),
		function("copied", "vmlinux", ".text", text+0x7000, "copied@a_c_20", "lab/a.c", 20),
		function("copied", "vmlinux", ".text", text+0x7100, "copied@lab_h_20", "lab/lab.h", 20))
	records[len(records)-1].Unit = "lab/a.c"
	reg := book(t, header, records)
	for _, c := range []struct{ pattern, object, want string }{
		{"name_show", "lab_drv", "name_show@drv_c_5"},
		{"name_show", "lab-drv.ko", "name_show@drv_c_5"},
		{"name_show", "lab/lab-drv.ko", "name_show@drv_c_5"},
		{"name_show", "drv.ko", "no function name_show in " + reg.Path},
		{"both", "", "both@one_c_9"},        // the other one is freed after loading
		{"lab/a.c:20", "", "copied@a_c_20"}, // not the header's line 20
	} {
		from, r, err := Choose([]*registry.Registry{reg}, c.pattern, c.object, nil)
		got := r.Alias
		if err != nil {
			got = err.Error()
		}
		if got != c.want || err == nil && from != reg {
			t.Errorf("%s %s: %s, want %s", c.pattern, c.object, got, c.want)
		}
	}
}

func TestBlacklist(t *testing.T) {
	records := lab()
	root := sysroot(t, listing(records, true, false, nil))
	write(t, filepath.Join(root, "sys/kernel/debug/kprobes/blacklist"),
		"0xffffffffa6800000-0xffffffffa6800040\tbefore\n"+
			"0xffffffffa6800040-0xffffffffa6805000\talone\n")
	k, err := ReadLive(root)
	if err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"alone":        "alone cannot be probed: it is in the kernel's kprobe blacklist",
		"clone.isra.0": "", // at the end of the range, which is exclusive
	} {
		target, err := find(book(t, header, records), pattern, k)
		if err != nil || strings.Join(target.Notes, "\n") != want {
			t.Errorf("%s: %v %q", pattern, err, target.Notes)
		}
	}
}

// TestUntraced: bpftrace attaches only to what the function tracer lists.
func TestUntraced(t *testing.T) {
	records := lab()
	root := sysroot(t, listing(records, true, false, nil))
	list := filepath.Join(root, "sys/kernel/tracing/available_filter_functions")
	reg := book(t, header, records)
	const untraced = "! bpftrace attaches only to available_filter_functions of the kernel, " +
		"which does not list it"
	for _, c := range []struct{ list, alone, between, module string }{
		{"", "kprobe:alone", "kprobe:between",
			"kprobe:lab_drv:name_show, 0.20 to 0.23, 0.26 or later"},
		{"alone\nbetween [lab_drv]\nname_show [lab_drv]\n", "kprobe:alone", "kprobe:between",
			"kprobe:lab_drv:name_show, 0.20 to 0.23, 0.26 or later"},
		{"alone [lab_drv]\nbetween\nname_show\n", untraced, untraced, untraced},
		{"not_alone\nalone_not\n", untraced, untraced, untraced},
	} {
		write(t, list, c.list)
		k, err := ReadLive(root)
		if err != nil {
			t.Fatal(err)
		}
		for pattern, want := range map[string]string{
			"alone": c.alone, "between": c.between, "name_show@drv_c_5": c.module,
		} {
			target, err := find(reg, pattern, k)
			if err != nil {
				t.Fatal(err)
			}
			if got := bpftrace(target, Naming{}); got != want {
				t.Errorf("%q: %s: %s, want %s", c.list, pattern, got, want)
			}
			refused := slices.ContainsFunc(target.Notes, func(note string) bool {
				return strings.HasPrefix(note, "the kernel may refuse a probe of ")
			})
			if refused != (want == untraced) {
				t.Errorf("%q: %s: notes %q", c.list, pattern, target.Notes)
			}
		}
	}
}

// resolve finds the address of a probe in the list of symbols as the kernel does. It returns an
// error where the kernel would, and where several symbols match.
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
		generated := of == "bpf" || strings.HasPrefix(of, "__builtin")
		if f[2] == symbol && !generated && (module == "" || module == of) {
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

// TestEveryAlias probes every alias of random kernels and resolves what Find returns.
func TestEveryAlias(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 1))
		records := randomKernel(random)
		reg := book(t, header, records)
		for _, aliases := range []bool{false, true} {
			loaded := load(random, records)
			text := kallsymsOf(loaded, aliases)
			k := live(t, text)
			probed := 0
			for _, p := range loaded {
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
					t.Errorf("seed %d: %s is %s: %x, %v; want %x",
						seed, p.Alias, target.Where(), got, err, p.at)
				}
				if !ValidName(target.EventName(Naming{})) {
					t.Errorf("event %q", target.EventName(Naming{}))
				}
				probed++
			}
			if probed < 100 {
				t.Errorf("seed %d: only %d aliases were probed", seed, probed)
			}
		}
	}
}

// randomKernel returns functions that all have an alias. They share few names.
func randomKernel(random *rand.Rand) []registry.Record {
	records := []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
	}
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
				records = append(records,
					function(name, object, section, address, alias, file, int64(i+1)))
				address += uint64(16 * (1 + random.IntN(4)))
			}
		}
	}
	return records
}

// loaded is a symbol of a running kernel.
type loaded struct {
	registry.Record
	at uint64 // its address
}

// load chooses addresses for vmlinux and for the sections of modules.
func load(random *rand.Rand, records []registry.Record) []loaded {
	offset := uint64(random.IntN(1000)) << 21
	begin := map[string]uint64{}
	var all []loaded
	for _, r := range records[1:] {
		key := r.Object + r.Section
		if _, ok := begin[key]; !ok {
			begin[key] = 0xffffffffc0000000 + uint64(len(begin))<<16 + uint64(random.IntN(256))<<4
		}
		at := begin[key] + r.Address
		if r.Object == "vmlinux" {
			at = r.Address + offset
		}
		all = append(all, loaded{r, at})
	}
	return all
}

func kallsymsOf(all []loaded, aliases bool) string {
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
