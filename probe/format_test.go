package probe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/registry"
)

// echo is what Perf prints where perf probe cannot name the function.
func echo(definition, event string) string {
	return "echo '" + definition + "' >>/sys/kernel/tracing/kprobe_events && " +
		"perf record -e " + event + " -aR sleep 10"
}

// bpftrace returns the attach point and the versions that take it, or the error.
func bpftrace(t *Target, n Naming) string {
	point, versions, err := t.Bpftrace(n)
	switch {
	case err != nil:
		return "! " + err.Error()
	case versions != "":
		return point + ", " + versions
	}
	return point
}

func TestFormats(t *testing.T) {
	records := lab()
	reg := book(t, header, records)
	with := live(t, listing(records, true, true, nil))
	without := live(t, listing(records, true, false, nil))
	naming, back := Naming{Group: "kas"}, Naming{Group: "kas", Return: true}
	const byName = "! bpftrace finds functions only by name, and others have this one"
	for _, c := range []struct {
		pattern string
		k       *Kernel
		n       Naming
		want    [7]string // kprobe, perf, bpftrace, livepatch object and function, gdb, drgn
	}{
		{"name_show@b_c_4", nil, naming, [7]string{
			"p:kas/name_show_b_c_4 _text+0x2000",
			echo("p:kas/name_show_b_c_4 _text+0x2000", "kas:name_show_b_c_4"),
			byName,
			"NULL", `{ .old_name = "name_show", .old_sympos = 2 }`,
			"break *((char *)&_text + 0x2000)",
			`prog.symbol(prog.symbol("_text").address + 0x2000)`,
		}},
		{"name_show@b_c_4", with, back, [7]string{
			"r:kas/name_show_b_c_4__return name_show@b_c_4",
			"perf probe 'kas:name_show_b_c_4=0xffffffffa6802000%return'",
			byName,
			"NULL", `{ .old_name = "name_show", .old_sympos = 2 }`,
			"break *((char *)&_text + 0x2000)",
			`prog.symbol(prog.symbol("_text").address + 0x2000)`,
		}},
		// perf appends __return itself, so it cannot give a return event another name.
		{"name_show@b_c_4", with, Naming{Group: "g", Event: "mine", Return: true}, [7]string{
			"r:g/mine name_show@b_c_4",
			echo("r:g/mine name_show@b_c_4", "g:mine"),
			byName,
			"NULL", `{ .old_name = "name_show", .old_sympos = 2 }`,
			"break *((char *)&_text + 0x2000)",
			`prog.symbol(prog.symbol("_text").address + 0x2000)`,
		}},
		{"name_show@drv_c_5", without, Naming{Group: "g", Event: "mine"}, [7]string{
			"p:g/mine lab_drv:name_show",
			echo("p:g/mine lab_drv:name_show", "g:mine"),
			"kprobe:lab_drv:name_show, 0.20 to 0.23, 0.26 or later",
			`"lab_drv"`, `{ .old_name = "name_show", .old_sympos = 0 }`,
			"break *0xffffffffc0000020", "prog.symbol(0xffffffffc0000020)",
		}},
		{"twin@two_c_1", with, naming, [7]string{
			"p:kas/twin_two_c_1 lab_drv:twin@two_c_1",
			echo("p:kas/twin_two_c_1 lab_drv:twin@two_c_1", "kas:twin_two_c_1"),
			byName,
			`"lab_drv"`, `{ .old_name = "twin", .old_sympos = 2 }`,
			"break *0xffffffffc0000080", "prog.symbol(0xffffffffc0000080)",
		}},
		{"between", with, back, [7]string{
			"r:kas/between__return lab_drv:between",
			echo("r:kas/between__return lab_drv:between", "kas:between__return"),
			"kretprobe:between",
			`"lab_drv"`, `{ .old_name = "between", .old_sympos = 0 }`,
			"break *0xffffffffc0000060", "prog.symbol(0xffffffffc0000060)",
		}},
		{"between", nil, naming, [7]string{ // it has no alias, so its file is unknown
			"p:kas/between lab_drv:between",
			echo("p:kas/between lab_drv:between", "kas:between"),
			"kprobe:between",
			`"lab_drv"`, `{ .old_name = "between", .old_sympos = 0 }`,
			"! gdb cannot name it: --live gives its address in the running kernel",
			"! drgn cannot name it: --live gives its address in the running kernel",
		}},
		{"twin@two_c_1", nil, naming, [7]string{
			"p:kas/twin_two_c_1 lab_drv:between+0x20",
			echo("p:kas/twin_two_c_1 lab_drv:between+0x20", "kas:twin_two_c_1"),
			byName,
			`"lab_drv"`, `{ .old_name = "twin", .old_sympos = 2 }`,
			"break *&'lab/two.c'::twin", `prog.function("twin", "lab/two.c")`,
		}},
		{"header@lab_h_2__b_c", nil, back, [7]string{ // two functions of one file
			"r:kas/header_lab_h_2__b_c__return _text+0x5200",
			echo("r:kas/header_lab_h_2__b_c__return _text+0x5200",
				"kas:header_lab_h_2__b_c__return"),
			byName,
			"NULL", `{ .old_name = "header", .old_sympos = 2 }`,
			"break *((char *)&_text + 0x5200)",
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
			target.Kprobe(c.n), target.Perf(c.n), bpftrace(target, c.n),
			target.LivepatchObject(), target.LivepatchFunction(),
			or(target.GDB()), or(target.Drgn()),
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.pattern, d)
		}
	}
}

// TestSourceName checks which functions debuggers find by name and file.
func TestSourceName(t *testing.T) {
	const ko = "m.ko"
	reg := book(t, header, []registry.Record{
		function("one", ko, ".text", 0x00, "one@a_c_1", "a.c", 1),
		function("clone.isra.0", ko, ".text", 0x10, "clone.isra.0@a_c_2", "a.c", 2),
		function("header", ko, ".text", 0x20, "header@h_h_a_c_1", "h.h", 1),
		function("header", ko, ".text", 0x30, "header@h_h_b_c_1", "h.h", 1),
		function("twice", ko, ".text", 0x40, "twice@a_c_3", "a.c", 3),
		function("twice", ko, ".text", 0x50, "twice@b_c_3", "b.c", 3),
		function("unknown", ko, ".text", 0x60, "unknown@a_c_4", "a.c", 4),
		function("unknown", ko, ".text", 0x70, "", "", 0), // may be in a.c, too
		function("nowhere", ko, ".text", 0x80, "", "", 0),
	})
	for pattern, want := range map[string]string{
		"one": "one", "clone.isra.0": "", "header@h_h_a_c_1": "", "twice@b_c_3": "twice",
		"unknown@a_c_4": "", "nowhere": "",
	} {
		target, err := find(reg, pattern, nil)
		if err != nil {
			t.Error(err)
		} else if got := target.sourceName(); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

func TestEventName(t *testing.T) {
	long := strings.Repeat("very_long_name_", 8)
	vmlinux := func(name string) registry.Record {
		return registry.Record{Name: name, Object: "vmlinux"}
	}
	module := registry.Record{Name: "foo", Object: "a/led-x.ko"}
	aliased := registry.Record{Name: "foo", Alias: "foo@a/b.c:3", Object: "vmlinux"}
	back := Naming{Return: true}
	seen := map[string]string{}
	for _, c := range []struct {
		r            registry.Record
		hasNamesakes bool
		n            Naming
		want         string // "" means any valid name
	}{
		{vmlinux("foo"), false, Naming{}, "foo"},
		{vmlinux("foo.isra.0"), false, Naming{}, "foo_isra_0"},
		{vmlinux("foo"), true, Naming{}, "foo_vmlinux_1"},
		{module, true, Naming{}, "foo_led_x_1"},
		{aliased, true, Naming{}, "foo_a_b_c_3"},
		{vmlinux("foo"), false, back, "foo__return"},
		{vmlinux("foo"), false, Naming{Event: "bar", Return: true}, "bar"},
		{vmlinux("0foo"), false, Naming{}, "_0foo"},
		{vmlinux(long), false, Naming{}, ""},
		{vmlinux(long + "x"), false, Naming{}, ""},
		{vmlinux(long), false, back, ""},
		{vmlinux(long + "x"), false, back, ""},
	} {
		target := &Target{Record: c.r, Module: c.r.Module(), hasNamesakes: c.hasNamesakes}
		got := target.EventName(c.n)
		if c.want != "" && got != c.want || !ValidName(got) {
			t.Errorf("%q, want %q", got, c.want)
		}
		if c.n == back && !strings.HasSuffix(got, "__return") {
			t.Errorf("%q does not end with __return", got)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s and %s have the event name %s", other, c.r.Name, got)
		}
		seen[got] = c.r.Name
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "a": true, "_A9": true, "9a": false, "a-b": false, "a b": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}
