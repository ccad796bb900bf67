//go:build kernel

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kas/registry"
)

// mapped is a line of System.map without the type.
type mapped struct {
	name    string
	address uint64
}

// TestKernelSystemMap compares the symbols of vmlinux in the registry with System.map, the list
// that scripts/kallsyms reads, for each kernel of the cache. System.map has two more kinds of
// names: absolute symbols, and in kernels before 6.4 those that scripts/kallsyms drops.
func TestKernelSystemMap(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(cacheDir(), "corpus", "*", "usr", "lib", "debug"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, debug := range folders {
		vmlinux, _ := filepath.Glob(filepath.Join(debug, "boot", "vmlinux-*"))
		maps, _ := filepath.Glob(filepath.Join(debug, "boot", "System.map-*"))
		more, _ := filepath.Glob(filepath.Join(debug, "lib", "modules", "*", "System.map"))
		if maps = append(maps, more...); len(vmlinux) != 1 || len(maps) == 0 {
			continue
		}
		compared++
		t.Run(
			filepath.Base(vmlinux[0]),
			func(t *testing.T) { compareSystemMap(t, vmlinux[0], maps[0]) },
		)
	}
	if compared == 0 {
		t.Fatal("no kernel with a System.map: make corpus-cloud-amd64")
	}
}

func compareSystemMap(t *testing.T, vmlinux, systemMap string) {
	dir := t.TempDir()
	config := filepath.Join(dir, "kas.yaml")
	text := fmt.Sprintf("version: 1\nout: .\nstages: [scan, dedupe, normalize, resolve, stats]\n"+
		"builds: [{name: k, vmlinux: %s}]\n", vmlinux)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	kas(t, "run", config)
	left := map[mapped]int{} // lines of System.map minus those of the registry
	total := 0
	for line := range strings.Lines(string(readFile(t, systemMap))) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		address, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil || len(f) != 3 {
			t.Fatalf("%s: %q", systemMap, line)
		}
		if f[1] == "A" || f[1] == "a" {
			continue
		}
		total++
		left[mapped{f[2], address}]++
	}
	r := openOne(t, filepath.Join(dir, "k", registry.FileName))
	for s := range r.Of("vmlinux") {
		key := mapped{s.Name, s.Address}
		if left[key]--; left[key] < 0 {
			t.Errorf("%s at %x is not in System.map", s.Name, s.Address)
		}
	}
	old := strings.Contains(vmlinux, "vmlinux-6.1.")
	dropped := 0
	for key, n := range left {
		if n <= 0 {
			continue
		}
		dropped += n
		kallsyms := strings.HasPrefix(key.name, "kallsyms_") ||
			strings.HasPrefix(key.name, "__efistub_") ||
			strings.HasPrefix(key.name, "__kvm_nvhe_$") ||
			strings.HasPrefix(key.name, "__kvm_nvhe_.L")
		if !old || !kallsyms {
			t.Errorf("%s at %x is not in the registry", key.name, key.address)
		}
	}
	if total < 10000 {
		t.Errorf("only %d symbols in %s", total, systemMap)
	}
	t.Logf("%d symbols, %d dropped by scripts/kallsyms", total-dropped, dropped)
}
