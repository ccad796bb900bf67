package kbuild

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kas/registry"
)

// The registry of a tree that the hooks built has what nm prints of vmlinux and of the modules.
// With what a package of headers takes along, an out-of-tree module gets its aliases by it.
func TestRegistry(t *testing.T) {
	k := newKernel(t, gnu)
	modules := []string{"drivers/a", "drivers/b", "drivers/c", "drivers/m1"}
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o", "drivers/m1.o")
	h := Hook{Getenv: os.Getenv, Kas: func() string { return "test" }}
	refused := func(missing string) {
		t.Helper()
		_, _, err := Registry(h, k.dir)
		want := k.path(missing) + " is not there: run make first"
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	refused("vmlinux")
	k.ok(k.run(k.ld, imageArgs("vmlinux")...))
	for _, name := range modules {
		refused(name + ".ko")
		k.linkModule(name)
	}
	path, symbols, err := Registry(h, k.dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := k.path("include/generated/symbols.kas"); path != want {
		t.Errorf("made %s, want %s", path, want)
	}
	r := openRegistry(t, path)
	if symbols != r.Symbols {
		t.Errorf("%d symbols, the registry has %d", symbols, r.Symbols)
	}
	for _, object := range append(modules, "vmlinux") {
		file := object
		if object != "vmlinux" {
			file += ".ko"
		}
		k.checkRecords(r, file)
	}

	headers := filepath.Join(t.TempDir(), "headers")
	for _, name := range []string{"include", "scripts"} {
		if err := os.CopyFS(filepath.Join(headers, name), os.DirFS(k.path(name))); err != nil {
			t.Fatal(err)
		}
	}
	external := k.external("many", "drivers/m0", "lib/more")
	k.ok(k.linkExternal(headers, external))
	have, want := k.aliasNames(external+".ko"), k.names(externalAliases...)
	if !slices.Equal(have, want) {
		t.Errorf("aliases %q, want %q", have, want)
	}
}

// checkRecords compares a registry with what nm prints of the functions of an object. An alias that
// nm prints is the alias of a function at its address.
func (k *kernel) checkRecords(r *registry.Registry, object string) {
	k.Helper()
	var have, want []string
	for record := range r.Prefixed("") {
		if record.Object == object && strings.Contains("tTwW", string(record.Type)) {
			have = append(have, fmt.Sprintf("%x %s", record.Address, record.Name))
		}
	}
	for line := range strings.Lines(k.ok(k.run("nm", object))) {
		c := strings.Fields(line)
		if len(c) != 3 || !strings.Contains("tTwW", c[1]) {
			continue
		}
		address, err := strconv.ParseUint(c[0], 16, 64)
		if err != nil {
			k.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%x %s", address, c[2]))
		original := func(r registry.Record) bool {
			return r.Object == object && r.Address == address
		}
		if isAlias(c[2]) && !slices.ContainsFunc(r.Aliased(c[2]), original) {
			k.Errorf("%s: the registry does not have alias %s at %x", object, c[2], address)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) || len(have) == 0 {
		k.Errorf("%s: the registry has\n%q, nm prints\n%q", object, have, want)
	}
}
