package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/need"
)

const btfData = "../../elf/btf/testdata/"

// btfKernel is a kernel of the sources of elf/btf's fixtures with their BTF, and its registry.
type btfKernel struct {
	t   *testing.T
	dir string
}

func newBTFKernel(t *testing.T) *btfKernel {
	need.Tools(t, "gcc", "objcopy")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	k := &btfKernel{t, t.TempDir()}
	for name, list := range map[string][]string{
		"vmlinux":   {"-static", btfData + "src/first.c", btfData + "src/second.c"},
		"module.ko": {"-r", btfData + "src/module.c"},
	} {
		args := []string{"-O2", "-g", "-fno-inline", "-ffreestanding", "-nostdlib",
			"-Wl,--build-id", "-Wl,-e,0", "-Wl,--no-warnings", "-o", k.path(name)}
		if out, err := exec.Command("gcc", append(args, list...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	k.objcopy("vmlinux", "--add-section", ".BTF="+btfData+"x86_64-base.btf")
	k.objcopy("module.ko", "--add-section", ".BTF="+btfData+"x86_64-module.btf")
	k.write("kas.yaml",
		[]byte("version: 1\nbuilds: [{name: k, vmlinux: vmlinux, modules: module.ko}]\n"))
	runKas(t, "run", k.path("kas.yaml"))
	return k
}

func (k *btfKernel) path(name string) string { return filepath.Join(k.dir, name) }

func (k *btfKernel) write(name string, data []byte) {
	k.t.Helper()
	if err := os.MkdirAll(filepath.Dir(k.path(name)), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(k.path(name), data, 0o644); err != nil {
		k.t.Fatal(err)
	}
}

// wantIDs compares the BTF IDs of all functions, 0 for one without.
func (k *btfKernel) wantIDs(what string, vmlinux, own uint32) {
	k.t.Helper()
	want := map[string]uint32{
		"vmlinux choose": 13, "vmlinux sum": 17, "vmlinux half": 26, "vmlinux twin": 0,
		"vmlinux twin.isra.0": 0,
		// sum of the module has its type, and so its record, in the base.
		"module.ko own": own, "module.ko sum": 0,
	}
	for name, id := range want {
		if strings.HasPrefix(name, "vmlinux") {
			want[name] = min(id, vmlinux)
		}
	}
	if d := cmp.Diff(want, k.ids()); d != "" {
		k.t.Errorf("%s: %s", what, d)
	}
}

// TestLookupBTF: the IDs are those that bpftool prints (x86_64-base.txt, x86_64-module.txt). Two
// files have a function twin, one of them as twin.isra.0, and the base has a record of one.
func TestLookupBTF(t *testing.T) {
	const all, none = 99, 0
	k := newBTFKernel(t)
	k.wantIDs("whole", all, 30)
	text := runKas(t, "lookup", "half", "-l", "-r", k.path("out"))
	if !strings.Contains(text, "\nBTF id                  26\n") {
		t.Error(text)
	}
	text = runKas(t, "lookup", "half", "--json", "-r", k.path("out"))
	if strings.Contains(text, "btf_id") {
		t.Error(text)
	}

	saved := readFile(t, k.path("module.ko"))
	k.objcopy("module.ko", "--add-section", ".BTF.base="+btfData+"x86_64-base.btf")
	k.wantIDs("a module of a build out of the tree", all, none)
	k.write("module.ko", saved)
	k.wantIDs("the module again", all, 30)
	k.objcopy("module.ko", "--remove-section", ".note.gnu.build-id")
	k.wantIDs("another module", all, none)

	// The running kernel shows its own.
	k.write("sys/kernel/btf/vmlinux", readFile(t, btfData+"x86_64-base.btf"))
	k.write("sys/kernel/btf/module", readFile(t, btfData+"x86_64-module.btf"))
	k.write("proc/sys/kernel/osrelease", []byte("6.1\n"))
	k.write("module.ko", saved)
	k.write("sys/module/module/notes/.note.gnu.build-id", nil)
	k.objcopy("module.ko", "--dump-section",
		".note.gnu.build-id="+k.path("sys/module/module/notes/.note.gnu.build-id"))
	k.objcopy("vmlinux", "--dump-section", ".note.gnu.build-id="+k.path("sys/kernel/notes"))
	k.objcopy("vmlinux", "--remove-section", ".BTF")
	k.wantIDs("running", all, 30)
	k.write("sys/module/module/notes/.note.gnu.build-id", nil)
	k.wantIDs("running with another module", all, none)
	k.write("sys/kernel/notes", nil)
	k.wantIDs("running another kernel", none, none)
}

// objcopy changes a file, or writes a section of it.
func (k *btfKernel) objcopy(name string, args ...string) {
	k.t.Helper()
	out, err := exec.Command("objcopy", append(args, k.path(name))...).CombinedOutput()
	if err != nil {
		k.t.Fatalf("objcopy %s: %v\n%s", args, err, out)
	}
}

// ids returns the BTF IDs of all functions, 0 for one without.
func (k *btfKernel) ids() map[string]uint32 {
	k.t.Helper()
	text := runKas(k.t, "lookup", "*", "-l", "--json", "-r", k.path("out"), "--sysroot", k.dir)
	var all []struct {
		Object, Name, Type string
		ID                 uint32 `json:"btf_id"`
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		k.t.Fatal(err)
	}
	ids := map[string]uint32{}
	for _, s := range all {
		if strings.EqualFold(s.Type, "t") {
			ids[s.Object+" "+s.Name] = s.ID
		}
	}
	return ids
}
