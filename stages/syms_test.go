package stages

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf"
	"kas/need"
)

// TestSymsOfLabels: the list of vmlinux has the labels of GNU as with a prefix, as arm64's kernels
// have them (__kvm_nvhe_.L1), with the bytes that nm prints.
func TestSymsOfLabels(t *testing.T) {
	tools := need.Tools(t, "as", "objcopy", "nm")
	dir := t.TempDir()
	source := []byte("a: nop\nf: nop\n")
	if err := os.WriteFile(filepath.Join(dir, "a.s"), source, 0o666); err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(dir, "b.o")
	sh(t, dir, tools[0]+" --64 a.s -o a.o; "+tools[1]+
		" --redefine-sym a=$(printf '__kvm_nvhe_.L1\\0021') a.o b.o")
	want, err := exec.Command(tools[2], "-n", object).Output()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(object)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := nmList(f)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	labels := 0
	for _, s := range list {
		got = append(append(appendNM(got, s.value, 16, s.letter), s.name...), '\n')
		if elf.Control(s.name) {
			labels++
		}
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" || labels != 1 {
		t.Errorf("%d labels (-nm +kas):\n%s", labels, diff)
	}
}
