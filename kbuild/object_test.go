package kbuild

import (
	"os"
	"strings"
	"testing"

	"kas/elf"
)

// object makes X.o.kas and returns which file it is; linked says whether it is X.o itself.
func object(t *testing.T, name string, env ...string) (id elf.Identity, linked bool) {
	t.Helper()
	getenv := func(key string) string {
		for _, e := range env {
			if value, ok := strings.CutPrefix(e, key+"="); ok {
				return value
			}
		}
		return ""
	}
	if err := Object(Hook{Getenv: getenv, Kas: func() string { return "this one" }}, name); err != nil {
		t.Fatal(err)
	}
	made := elf.Identify(name + ".kas")
	info, err := os.Lstat(name + ".kas")
	if err != nil {
		t.Fatal(err)
	}
	return made, info.Mode()&os.ModeSymlink != 0
}

// X.o.kas as a target of its own: always there, left alone when it is right, another when its module is to get other
// aliases, also of global symbols, which are added to X.ko only after its link.
func TestObject(t *testing.T) {
	k := newKernel(t, gnu)
	t.Chdir(k.dir)
	if err := os.Rename("drivers/a.o", "kept.o"); err != nil { // b is alone with common_probe, a global function
		t.Fatal(err)
	}
	k.order("drivers/b.o", "drivers/c.o")
	if _, linked := object(t, "drivers/c.o"); !linked {
		t.Error("c shares no name and has a copy")
	}
	before, linked := object(t, "drivers/b.o")
	if linked {
		t.Error("b has a name_show as vmlinux does, and no copy")
	}
	if again, _ := object(t, "drivers/b.o"); again != before {
		t.Error("nothing changed, and the copy is another")
	}

	if err := os.Rename("kept.o", "drivers/a.o"); err != nil {
		t.Fatal(err)
	}
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	after, _ := object(t, "drivers/b.o")
	if after == before {
		t.Error("common_probe is ambiguous now, and the copy, by which X.ko is linked again, is the same")
	}
	if _, linked := object(t, "drivers/c.o"); !linked {
		t.Error("c is as it was, and has a copy")
	}

	if _, linked := object(t, "drivers/b.o", "KAS=0"); !linked {
		t.Error("with KAS=0 there is a copy")
	}
	if _, linked := object(t, "drivers/b.o"); linked {
		t.Error("without KAS=0 there is none")
	}
	if err := Object(Hook{Getenv: func(string) string { return "" }, Kas: func() string { return "this one" }}, "drivers/nosuch.o"); err == nil || !strings.Contains(err.Error(), "is not in modules.order") {
		t.Errorf("of an object that is not listed: %v", err)
	}
}
