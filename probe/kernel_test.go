//go:build kernel

package probe

import (
	"bytes"
	"debug/dwarf"
	stdelf "debug/elf"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kas/need"
	"kas/registry"
)

func bootFolder(t *testing.T, flavour string) string {
	t.Helper()
	cache := os.Getenv("KAS_CACHE")
	if cache == "" {
		root, err := filepath.Abs("..")
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(root, ".cache")
	}
	dir := filepath.Join(cache, "corpus", flavour, "usr", "lib", "debug", "boot")
	if _, err := os.Stat(dir); err != nil {
		need.Missing(t, "the kernel that make corpus-"+flavour+" brings")
	}
	return dir
}

func only(t *testing.T, glob string) string {
	t.Helper()
	found, err := filepath.Glob(glob)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %d files, %v", glob, len(found), err)
	}
	return found[0]
}

// TestKernelProbe checks every alias of Debian's kernel against nm and System.map, and some against
// perf and gdb.
func TestKernelProbe(t *testing.T) {
	const flavour = "cloud-amd64"
	boot := bootFolder(t, flavour)
	vmlinux := only(t, filepath.Join(boot, "vmlinux-*"))
	systemMap := only(t, filepath.Join(boot, "System.map-*"))
	out := t.TempDir()
	run := exec.Command("go", "run", "kas/cmd/kas", "run",
		filepath.Join("..", "configs", "debian.yaml"), "--build", flavour, "--out", out)
	if text, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all, err := registry.OpenAll([]string{filepath.Join(out, flavour, "symbols.kas")})
	if err != nil {
		t.Fatal(err)
	}
	defer registry.CloseAll(all)
	reg := all[0]
	var aliases []registry.Record
	for r := range reg.Prefixed("") {
		if r.Object == registry.Vmlinux && r.Alias != "" {
			aliases = append(aliases, r)
		}
	}
	if len(aliases) < 500 {
		t.Fatalf("%d aliases in vmlinux", len(aliases))
	}
	nm, err := exec.Command("nm", vmlinux).Output()
	if err != nil {
		t.Fatal(err)
	}
	// The addresses of each name, sorted: the order of livepatch's positions.
	at := map[string][]uint64{}
	for line := range strings.Lines(string(nm)) {
		if f := strings.Fields(line); len(f) == 3 {
			address, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			at[f[2]] = append(at[f[2]], address)
		}
	}
	for name := range maps.Keys(at) {
		slices.Sort(at[name])
	}

	for what, path := range map[string]string{
		"no kernel": "", "System.map": systemMap, "vmlinux": vmlinux,
	} {
		t.Run(what, func(t *testing.T) {
			var k *Kernel
			if path != "" {
				if k, err = ReadFile(path); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range aliases {
				target, err := find(reg, r.Alias, k)
				if err != nil {
					t.Error(err)
					continue
				}
				var n uint64
				if offset, ok := strings.CutPrefix(target.Where(), "_text+0x"); ok {
					if n, err = strconv.ParseUint(offset, 16, 64); err != nil {
						t.Fatal(err)
					}
				} else if target.Where() != r.Name || len(at[r.Name]) != 1 {
					t.Errorf("%s is %s", r.Alias, target.Where())
					continue
				} else {
					n = at[r.Name][0] - at["_text"][0]
				}
				i := slices.Index(at[r.Name], at["_text"][0]+n)
				if i < 0 {
					t.Errorf("%s: no %s at %s", r.Alias, r.Name, target.Where())
				}
				if len(at[r.Name]) > 1 && target.Position != i+1 {
					t.Errorf("%s: position %d, by nm's addresses %d", r.Alias, target.Position, i+1)
				}
				if target.Checked != path {
					t.Errorf("%s: checked in %q", r.Alias, target.Checked)
				}
			}
		})
	}

	t.Run("another kernel", func(t *testing.T) {
		k, err := ReadFile(only(t, filepath.Join(bootFolder(t, flavour+"-old"), "System.map-*")))
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for _, r := range aliases {
			if _, err := find(reg, r.Alias, k); err != nil {
				refused++
			}
		}
		if refused < len(aliases) {
			t.Errorf("refused %d of %d", refused, len(aliases))
		}
	})

	var sample []registry.Record
	for _, r := range aliases {
		target, err := find(reg, r.Alias, nil)
		if err == nil && target.sourceName() != "" && r.File == r.Unit && !initSection(&r) {
			sample = append(sample, r)
		}
	}
	step := len(sample) / 20
	for i := range 20 {
		sample[i] = sample[i*step]
	}
	sample = sample[:20]
	t.Run("perf", func(t *testing.T) { perfAgrees(t, reg, sample, vmlinux) })
	t.Run("gdb", func(t *testing.T) { gdbAgrees(t, reg, sample, vmlinux) })
}

// perfAgrees asks perf for the same functions as FUNC@SRC. With -v perf prints which entry of the
// debugging information it takes, and the entry has the address.
func perfAgrees(t *testing.T, reg *registry.Registry, sample []registry.Record, vmlinux string) {
	need.Tools(t, "perf")
	file, err := stdelf.Open(vmlinux)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := file.DWARF()
	if err != nil {
		t.Fatal(err)
	}
	perf := func(definition string) (stdout, stderr string) {
		var out, log bytes.Buffer
		cmd := exec.Command("perf", "probe", "-v", "-k", vmlinux, "-D", definition)
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v\n%s", definition, err, &log)
		}
		return strings.TrimSpace(out.String()), log.String()
	}
	matched := regexp.MustCompile(`Matched function: \S+ \[([0-9a-f]+)\]`)
	agreed := 0
	for _, r := range sample {
		target, err := find(reg, r.Alias, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, log := perf(r.Name + "@" + r.File)
		found := matched.FindAllStringSubmatch(log, -1)
		if len(found) != 1 {
			continue // perf matches every file whose path has the same ending
		}
		offset, err := strconv.ParseUint(found[0][1], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		reader := data.Reader()
		reader.Seek(dwarf.Offset(offset))
		die, err := reader.Next()
		if err != nil {
			t.Fatal(err)
		}
		low, ok := die.Val(dwarf.AttrLowpc).(uint64)
		if !ok {
			continue // inlined somewhere, too: another entry has the code
		}
		agreed++
		if low != target.Address || target.anchor != "_text" || low-target.text != text {
			t.Errorf("%s is %s, by perf at %#x", r.Alias, target.Where(), low)
		}
	}
	if agreed < 10 {
		t.Errorf("only %d addresses of perf could be compared", agreed)
	}

	// perf must accept the line for a running kernel and keep its address.
	for _, n := range []Naming{{Group: "kas"}, {Group: "kas", Return: true}} {
		target, err := find(reg, sample[0].Alias, nil)
		if err != nil {
			t.Fatal(err)
		}
		target.Live = true
		quoted := strings.Split(target.Perf(n), "'")
		if len(quoted) != 3 || quoted[0] != "perf probe " {
			t.Fatal(target.Perf(n))
		}
		kind := map[bool]string{false: "p", true: "r"}[n.Return]
		want := fmt.Sprintf("%s:kas/%s %#x", kind, target.EventName(n), target.Address)
		if got, _ := perf(quoted[1]); got != want {
			t.Errorf("%s: %s, want %s", quoted[1], got, want)
		}
	}
}

// gdbAgrees compares the address that gdb finds for the printed command with the one that it finds
// for FILE::FUNCTION.
func gdbAgrees(t *testing.T, reg *registry.Registry, sample []registry.Record, vmlinux string) {
	need.Tools(t, "gdb")
	args := []string{"-nx", "-batch"}
	var want []string
	for _, r := range sample {
		target, err := find(reg, r.Alias, nil)
		if err != nil {
			t.Fatal(err)
		}
		line, err := target.GDB()
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "-ex", line, "-ex", fmt.Sprintf("print &'%s'::%s", r.File, r.Name))
		want = append(want, fmt.Sprintf("%#x", r.Address))
	}
	out, err := exec.Command("gdb", append(args, vmlinux)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address := regexp.MustCompile(`(?m)^(?:Breakpoint \d+ at |\$\d+ = .*\) )(0x[0-9a-f]+)`)
	var got []string
	for _, m := range address.FindAllStringSubmatch(string(out), -1) {
		got = append(got, m[1])
	}
	if len(got) != 2*len(want) {
		t.Fatalf("%d answers of %d\n%s", len(got), 2*len(want), out)
	}
	for i, w := range want {
		if got[2*i] != w || got[2*i+1] != w {
			t.Errorf("%s: breakpoint at %s, gdb's function at %s", w, got[2*i], got[2*i+1])
		}
	}
}
