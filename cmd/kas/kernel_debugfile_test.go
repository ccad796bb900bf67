//go:build kernel

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/need"
)

// TestKernelDebugFiles strips vmlinux and each sixteenth module of Debian's cloud kernel as Fedora
// does, with the debug files in a tree of build IDs, and as Debian does, with the whole kernel
// below a root. The tables are those of the objects that are not stripped.
func TestKernelDebugFiles(t *testing.T) {
	need.Tools(t, "eu-strip", "strip", "readelf")
	debug := corpus(t, "cloud-amd64")
	modules := filepath.Dir(only(t, filepath.Join(debug, "lib/modules/*/kernel")))
	dir := t.TempDir()
	objects := map[string]string{"vmlinux": only(t, filepath.Join(debug, "boot/vmlinux-*"))}
	for i, name := range modulesIn(t, modules) {
		if i%16 == 0 {
			objects[name] = filepath.Join(modules, name)
		}
	}
	for name, path := range objects {
		for _, in := range []string{"full", "fedora", "debian"} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, in, name)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(path, filepath.Join(dir, "full", name)); err != nil {
			t.Fatal(err)
		}
		_, note, _ := strings.Cut(string(tool(t, "readelf", "-n", path)), "Build ID: ")
		id := strings.Fields(note)[0]
		file := filepath.Join(dir, "root/.build-id", id[:2], id[2:]+".debug")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		tool(t, "eu-strip", "--reloc-debug-sections", "-f", file,
			"-o", filepath.Join(dir, "fedora", name), path)
		tool(t, "strip", "--strip-debug", "-o", filepath.Join(dir, "debian", name), path)
	}
	config := "version: 1\nout: out\nalias: {symbols: all}\nbuilds:\n" +
		"  - {name: full, vmlinux: full/vmlinux, modules: full}\n" +
		"  - {name: fedora, vmlinux: fedora/vmlinux, modules: fedora, debug: root}\n" +
		"  - {name: debian, vmlinux: debian/vmlinux, modules: debian, debug: " + debug + "}\n"
	if err := os.WriteFile(filepath.Join(dir, "kas.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "kas.yaml"}, {"verify", "out"}} {
		if out, err := kasCommand(t, dir, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	for _, table := range []string{"aliases.tsv", "unaliased.tsv", "vmlinux.syms"} {
		want, err := os.ReadFile(filepath.Join(dir, "out/full", table))
		if err != nil || strings.Count(string(want), "\n") < 1000 {
			t.Fatalf("%s: %v, %d bytes", table, err, len(want))
		}
		for _, build := range []string{"fedora", "debian"} {
			got, err := os.ReadFile(filepath.Join(dir, "out", build, table))
			if err != nil || string(got) != string(want) {
				t.Errorf("%s: %s differs from that of the objects that are not stripped (%v)",
					build, table, err)
			}
		}
		t.Logf("%s: %d equal lines", table, strings.Count(string(want), "\n"))
	}
}

// modulesIn returns the paths of the modules below a folder, sorted.
func modulesIn(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".ko") {
			name, _ := filepath.Rel(dir, path)
			all = append(all, name)
		}
		return err
	})
	if err != nil || len(all) < 1000 {
		t.Fatalf("%d modules, %v", len(all), err)
	}
	slices.Sort(all)
	return all
}
