package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/demo"
)

// mutations is how often TestMutations and TestVerifyAgrees change something. `make verify-test`
// raises it.
var mutations = flag.Int("mutations", 200, "changes of TestMutations and TestVerifyAgrees")

// mutantConfig has all that a run can write: errors, unreadable and left-out modules, links, copies
// of compressed modules, and aliases of each kind.
const mutantConfig = `version: 1
builds:
  - {name: gcc, vmlinux: matrix/x86_64-gcc/vmlinux, modules: matrix/x86_64-gcc/modules}
  - {name: s390x, vmlinux: matrix/s390x-gcc/vmlinux, modules: matrix/s390x-gcc/modules}
  - name: lto
    vmlinux: matrix/x86_64-clang-lto/vmlinux
    modules: matrix/x86_64-clang-lto/modules
    emit: {unaliased: link}
    alias:
      names: ["*_show*", driver_init]
      suffix_free: true
      max_length: 40
      never: {add: ["^temp"]}
`

// TestMutations changes one byte of a file that a run wrote, or adds or removes bytes or files, and
// wants kas verify to notice it. The files are those of the demo's kernels, and of modules of
// Debian's kernel if it is there and there are many mutations.
func TestMutations(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, demo.FS); err != nil {
		t.Fatal(err)
	}
	lto := filepath.Join(dir, "matrix/x86_64-clang-lto/modules")
	hwmon := filepath.Join(lto, "kernel/drivers/hwmon")
	copyTestFile(t, filepath.Join(hwmon, "lm75.ko"), filepath.Join(lto, "updates/lm75.ko"))
	if err := os.Truncate(filepath.Join(hwmon, "coretemp.ko"), 900); err != nil {
		t.Fatal(err)
	}
	mutate(t, dir, mutantConfig, 1, *mutations)
	if *mutations < 1000 {
		return
	}
	kernels, _ := filepath.Glob(filepath.Join(
		cmp.Or(os.Getenv("KAS_CACHE"), "../../.cache"),
		"corpus/cloud-amd64/usr/lib/debug/lib/modules/*/kernel"))
	if len(kernels) != 1 {
		t.Log("without modules of Debian's kernel: make corpus-cloud-amd64")
		return
	}
	mutate(t, t.TempDir(), fmt.Sprintf("version: 1\nbuilds: [{name: debian, modules: [%s, %s]}]\n",
		filepath.Join(kernels[0], "net/netfilter"), filepath.Join(kernels[0], "fs")), 0,
		*mutations/4)
}

// mutate runs a configuration in dir, which must end with an exit code, and then changes its output
// n times.
func mutate(t *testing.T, dir, config string, code, n int) {
	t.Helper()
	path := filepath.Join(dir, "mutants.yaml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if got := run([]string{"run", path}, &stdout, &stderr); got != code {
		t.Fatalf("kas run: exit %d, want %d\n%s%s", got, code, &stdout, &stderr)
	}
	m := mutator{out: filepath.Join(dir, "out"), random: rand.New(rand.NewPCG(7, 13))}
	m.list(t)
	if clean, text := m.verify(); !clean {
		t.Fatalf("kas verify finds a problem in what was not changed:\n%s", text)
	}
	tries, missed := map[string]int{}, 0
	for range n {
		kind, what, restore := m.change(t)
		tries[kind]++
		if clean, _ := m.verify(); clean {
			missed++
			t.Errorf("not noticed: %s", what)
		}
		restore()
	}
	if clean, text := m.verify(); !clean {
		t.Fatalf("the test did not restore what it changed:\n%s", text)
	}
	t.Logf("%d changes, %d missed: %v", n, missed, tries)
}

// mutator changes the files of an output folder.
type mutator struct {
	out    string
	random *rand.Rand
	kinds  []string            // of files
	files  map[string][]string // by kind
}

// list lists the files. All copies are of one kind.
func (m *mutator) list(t *testing.T) {
	m.files = map[string][]string{}
	err := filepath.WalkDir(m.out, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		kind := e.Name()
		switch {
		case e.Type()&fs.ModeSymlink != 0:
			kind = "link"
		case strings.HasSuffix(kind, ".ko.kas"):
			kind = "*.ko.kas"
		}
		m.files[kind] = append(m.files[kind], path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind := range m.files {
		m.kinds = append(m.kinds, kind)
	}
	slices.Sort(m.kinds)
	if len(m.files["*.ko.kas"]) == 0 || len(m.kinds) < 6 {
		t.Fatal("files are missing: ", m.kinds)
	}
}

func (m *mutator) verify() (clean bool, text string) {
	var stdout, stderr bytes.Buffer
	code := run([]string{"verify", "--allow-incomplete", m.out}, &stdout, &stderr)
	return code == 0, stdout.String() + stderr.String()
}

// change changes something. It returns the kind of the file, a description, and a function that
// undoes the change.
func (m *mutator) change(t *testing.T) (kind, what string, restore func()) {
	kind = m.kinds[m.random.IntN(len(m.kinds))]
	path := m.files[kind][m.random.IntN(len(m.files[kind]))]
	name, _ := filepath.Rel(m.out, path)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if kind == "link" {
		target, err := os.Readlink(path)
		must(err)
		must(os.Remove(path))
		if what = name + " removed"; m.random.IntN(2) == 0 {
			what = name + " is another link"
			must(os.Symlink(m.files["stats.json"][0], path))
		}
		return kind, what, func() { os.Remove(path); must(os.Symlink(target, path)) }
	}
	whole, err := os.ReadFile(path)
	must(err)
	restore = func() { must(os.WriteFile(path, whole, 0o644)) }
	changed, at := bytes.Clone(whole), m.random.IntN(len(whole))
	switch m.random.IntN(16) {
	case 0:
		changed = append(changed, byte(m.random.IntN(256)))
		what = name + ": a byte appended"
	case 1:
		changed = changed[:len(changed)-1]
		what = name + ": the last byte removed"
	case 2:
		changed = append(changed, whole[at:]...)
		what = fmt.Sprintf("%s: its bytes from %d on appended", name, at)
	case 3:
		must(os.Remove(path))
		return kind, name + " removed", restore
	case 4:
		build := filepath.Dir(m.files["aliases.tsv"][0])
		extra := filepath.Join(build, "extra", filepath.Base(path))
		copyTestFile(t, path, extra)
		return kind, name + " copied to extra", func() { must(os.RemoveAll(filepath.Dir(extra))) }
	default:
		values := []byte{
			changed[at] ^ 1, changed[at] ^ 0x80, 0, 255, ' ', '0', '\n', byte(m.random.IntN(256)),
		}
		for changed[at] == whole[at] {
			changed[at] = values[m.random.IntN(len(values))]
		}
		from, to := max(0, at-20), min(len(whole), at+20)
		what = fmt.Sprintf("%s: byte %d of %d is %#x, not %#x, in %q", name, at, len(whole),
			changed[at], whole[at], whole[from:to])
	}
	must(os.WriteFile(path, changed, 0o644))
	return kind, what, restore
}

// TestVerifyAgrees changes a byte of an input before a run. kas verify proves whatever the run
// wrote, also of an object that the run could not use, or only in part.
func TestVerifyAgrees(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, demo.FS); err != nil {
		t.Fatal(err)
	}
	kernels, err := filepath.Glob(filepath.Join(dir, "matrix/*"))
	if err != nil || len(kernels) != 5 {
		t.Fatal(kernels, err)
	}
	random := rand.New(rand.NewPCG(3, 9))
	codes := map[int]int{}
	for range *mutations / 2 {
		kernel := kernels[random.IntN(len(kernels))]
		config := filepath.Join(dir, filepath.Base(kernel)+".yaml")
		yaml := fmt.Sprintf("version: 1\nbuilds: [{name: k, vmlinux: %s/vmlinux, "+
			"modules: %[1]s/modules}]\n", kernel)
		if err := os.WriteFile(config, []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
		modules, err := filepath.Glob(filepath.Join(kernel, "modules/kernel/*/*/*.ko*"))
		if err != nil || len(modules) < 5 {
			t.Fatal(modules, err)
		}
		path := modules[random.IntN(len(modules))]
		if random.IntN(8) == 0 {
			path = filepath.Join(kernel, "vmlinux")
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		spoiled, at := bytes.Clone(whole), random.IntN(len(whole))
		switch random.IntN(3) {
		case 0:
			at = random.IntN(64) // the ELF header
		case 1:
			at = len(whole) - 1 - random.IntN(len(whole)/2) // tables and section headers
		}
		spoiled[at] ^= 1 << random.IntN(8)
		if err := os.WriteFile(path, spoiled, 0o644); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		out := filepath.Join(dir, "out")
		codes[run([]string{"run", config}, &stdout, &stderr)]++
		if run([]string{"verify", "--allow-incomplete", out}, &stdout, &stderr) != 0 {
			t.Errorf("%s: byte %#x is %#x, not %#x:\n%s%s", path, at, spoiled[at], whole[at],
				&stdout, &stderr)
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("exit codes of kas run: %v", codes)
	if codes[0] == 0 || codes[exitFailed] == 0 {
		t.Errorf("only one exit code: %v", codes)
	}
}

func copyTestFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
