package kbuild

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
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

func hookForTest() Hook {
	return Hook{Getenv: func(string) string { return "" }, Kas: func() string { return "test" }}
}

// The copies are targets of make. A recipe that finds a copy lost or cut makes all copies again. It
// must leave those that other recipes of the same make have made.
func TestObjectRemovesNothing(t *testing.T) {
	k := newKernel(t, gnu)
	t.Chdir(k.dir)
	modules := []string{"drivers/a.o", "drivers/b.o", "drivers/c.o"}
	k.order(modules...)
	for _, m := range modules {
		object(t, m)
	}
	copies, links := modules[:2], modules[2:]
	want := map[string]elf.Identity{}
	for _, m := range links {
		want[m] = elf.IdentifyTarget(m)
	}

	type damage func(name string) error
	cut := func(name string) error { return os.Truncate(name, 0) }
	stale := func(name string) error {
		return errors.Join(os.Remove(name), os.WriteFile(name, nil, 0o644))
	}
	for _, test := range []struct {
		name        string
		copy, other damage
	}{
		{"all are lost", os.Remove, os.Remove},
		{"a copy is cut", cut, func(string) error { return nil }},
		{"a link is an old copy", os.Remove, stale},
	} {
		for _, first := range modules {
			for _, m := range copies {
				if err := test.copy(m + ".kas"); err != nil {
					t.Fatal(err)
				}
			}
			for _, m := range links {
				if err := test.other(m + ".kas"); err != nil {
					t.Fatal(err)
				}
			}
			object(t, first)
			var done sync.WaitGroup
			for _, m := range modules {
				done.Go(func() {
					if err := Object(hookForTest(), m); err != nil {
						t.Errorf("%s: %v", test.name, err)
					}
				})
			}
			done.Wait()
			for _, m := range copies {
				out, err := exec.Command("readelf", "-sW", m+".kas").CombinedOutput()
				if err != nil || !strings.Contains(string(out), "name_show@") {
					t.Errorf("%s, %s is first: %s has no alias: %v %s",
						test.name, first, m, err, out)
				}
			}
			for m, id := range want {
				if elf.IdentifyTarget(m+".kas") != id {
					t.Errorf("%s, %s is first: %s.kas is not %s", test.name, first, m, m)
				}
			}
		}
	}

	// A recipe that runs alone replaces an old copy of another module.
	if err := errors.Join(os.Remove(copies[0]+".kas"), stale(links[0]+".kas")); err != nil {
		t.Fatal(err)
	}
	object(t, copies[0])
	if elf.IdentifyTarget(links[0]+".kas") != want[links[0]] {
		t.Errorf("an old copy of a module without aliases is not replaced by a link to the module")
	}
}
