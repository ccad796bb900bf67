package kbuild

import (
	"os"
	"strings"
	"testing"

	"kas/elf"
)

// object makes X.o.kas and returns its identity. linked reports whether it is a link to X.o.
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
	if err := Object(Hook{Getenv: getenv, Kas: func() string { return "test" }}, name); err != nil {
		t.Fatal(err)
	}
	made := elf.Identify(name + ".kas")
	info, err := os.Lstat(name + ".kas")
	if err != nil {
		t.Fatal(err)
	}
	return made, info.Mode()&os.ModeSymlink != 0
}

// Object always makes X.o.kas. It leaves a right one alone, and makes a new one if the aliases of
// the module change. That includes those of global symbols, which are not in X.o.kas: X.ko must be
// linked again for them.
func TestObject(t *testing.T) {
	k := newKernel(t, gnu)
	t.Chdir(k.dir)
	// then only b has common_probe, a global function
	if err := os.Rename("drivers/a.o", "kept.o"); err != nil {
		t.Fatal(err)
	}
	k.order("drivers/b.o", "drivers/c.o")
	if _, linked := object(t, "drivers/c.o"); !linked {
		t.Error("c shares no name, but has a copy")
	}
	before, linked := object(t, "drivers/b.o")
	if linked {
		t.Error("b and vmlinux have name_show, but b has no copy")
	}
	if again, _ := object(t, "drivers/b.o"); again != before {
		t.Error("no input changed, but the copy did")
	}

	if err := os.Rename("kept.o", "drivers/a.o"); err != nil {
		t.Fatal(err)
	}
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	after, _ := object(t, "drivers/b.o")
	if after == before {
		t.Error("common_probe is ambiguous now, but the copy is the same: X.ko is not linked again")
	}
	if _, linked := object(t, "drivers/c.o"); !linked {
		t.Error("c did not change, but has a copy")
	}

	if _, linked := object(t, "drivers/b.o", "KAS=0"); !linked {
		t.Error("with KAS=0 there is a copy")
	}
	if _, linked := object(t, "drivers/b.o"); linked {
		t.Error("without KAS=0 there is no copy")
	}
	err := Object(Hook{Getenv: func(string) string { return "" },
		Kas: func() string { return "test" }}, "drivers/nosuch.o")
	if err == nil || !strings.Contains(err.Error(), "is not in modules.order") {
		t.Errorf("an object that is not listed: %v", err)
	}
}
