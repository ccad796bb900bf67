package kbuild

import (
	"fmt"
	"strings"
	"testing"
)

// A module that make does not link again, but that lacks an alias now, is reported once in each
// make until it is linked.
func TestStale(t *testing.T) {
	k := newKernel(t, gnu)
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	link := func(name string) string {
		t.Helper()
		args := module("drivers/" + name)
		r := k.kasLD(args, "LD=kas-ld")
		k.ok(r)
		k.write("drivers/."+name+".ko.cmd",
			fmt.Sprintf("savedcmd_drivers/%s.ko := kas-ld %s\n", name, strings.Join(args, " ")))
		return r.stderr
	}
	list := func(image string) string {
		t.Helper()
		r := k.runEnv([]string{"LD=kas-ld"}, "kas", "nm", "-n", image)
		k.ok(r)
		return r.stderr
	}
	want := func(what, have string, names ...string) {
		t.Helper()
		text := ""
		if names != nil {
			text = "kas: make does not link " + strings.Join(names, " ") +
				" again, which lack new aliases: remove them and run make again\n"
		}
		if have != text {
			t.Errorf("%s: stderr %q, want %q", what, have, text)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		want("the first link", link(name))
	}
	k.ok(k.kasLD(imageArgs("vmlinux")))
	want("nothing changed", list("vmlinux"))

	// b has c's function, too, and no longer one of a: a keeps an alias that it does not need.
	k.partial("drivers/b", "drivers/b_util", "drivers/c")
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	want("a second lonely, vmlinux", list("vmlinux"), "drivers/c.ko")
	want("a second lonely, b", link("b")) // in the same make
	want("nothing to link, vmlinux", list("vmlinux"), "drivers/c.ko")
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	want("the next make", link("b"), "drivers/c.ko")
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	want("linked again", link("c"))
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	want("after that", link("b"))
	want("after that, vmlinux", list("vmlinux"))

	// What make links again by itself is not reported: a newer object, and another command.
	k.partial("drivers/b", moduleParts["b"]...)
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	want("b as before", link("b"))
	k.partial("drivers/b", "drivers/b_util", "drivers/c")
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	k.write("drivers/c.mod.c", "")
	want("c will be linked", list("vmlinux"))
	want("c will be linked, b", link("b"))
	want("c", link("c"))
	k.partial("drivers/b", moduleParts["b"]...)
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	want("b as before", link("b"))
	want("c as before", link("c"))
	k.partial("drivers/b", "drivers/b_util", "drivers/c")
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	k.write("drivers/.c.ko.cmd", "savedcmd_drivers/c.ko := ld -r -o drivers/c.ko\n")
	want("linked by another command", link("b"))
}
