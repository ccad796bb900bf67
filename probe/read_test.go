package probe

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/demo"
	"kas/need"
)

// notAList ends the error about a file that is not a list of symbols.
const notAList = ": neither a list of symbols (kallsyms, System.map) nor a vmlinux"

func TestReadLive(t *testing.T) {
	address := regexp.MustCompile(`(?m)^[0-9a-f]{16}`)
	hidden := address.ReplaceAllString(listing(lab(), true, true, nil), "0000000000000000")
	for text, want := range map[string]string{
		hidden: " shows no addresses: " +
			"be root, or set kernel.kptr_restrict to 0 (sysctl)",
		"":                notAList,
		"nothing of it\n": notAList,
	} {
		root := sysroot(t, text)
		want = filepath.Join(root, "proc/kallsyms") + want
		if _, err := ReadLive(root); err == nil || err.Error() != want {
			t.Error(err)
		}
	}
	_, err := ReadLive(t.TempDir())
	if want := "cannot read the running kernel's symbols: open "; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Error(err)
	}
	k := live(t, listing(lab(), true, true, nil))
	if k.Release != release || k.BuildID != buildID || !k.HasModules() {
		t.Errorf("%+v", k.BuildID)
	}
	var got []string
	for _, s := range k.Named("name_show") {
		got = append(got, fmt.Sprintf("%x %c [%s]", s.Address, s.Type, s.Module))
	}
	want := []string{
		"ffffffffa6801000 t []", "ffffffffa6802000 t []", "ffffffffc0000020 t [lab_drv]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestReadVmlinux reads the demo's kernels, and a part of one.
func TestReadVmlinux(t *testing.T) {
	files, err := fs.Glob(demo.FS, "matrix/*/vmlinux")
	if err != nil || len(files) == 0 {
		t.Fatal("no vmlinux in the demo", err)
	}
	for _, name := range files {
		data, err := demo.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "vmlinux")
		write(t, path, string(data))
		k, err := ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if k.HasModules() || k.Live || len(k.Named("name_show")) == 0 {
			t.Errorf("%s: %d name_show", name, len(k.Named("name_show")))
		}
		write(t, path, string(data[:100]))
		if _, err := ReadFile(path); err == nil {
			t.Errorf("%s: a part of it was read", name)
		}
	}
	modules, err := fs.Glob(demo.FS, "matrix/x86_64-gcc/modules/kernel/drivers/hwmon/lm75.ko")
	if err != nil || len(modules) != 1 {
		t.Fatal("no module in the demo", err)
	}
	data, err := demo.FS.ReadFile(modules[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lm75.ko")
	write(t, path, string(data))
	want := path + ": a relocatable object, not a vmlinux"
	if _, err := ReadFile(path); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no file")
	}
}

// TestReadLinked reads what gcc links: a build ID, an undefined symbol, and no symbols at all.
func TestReadLinked(t *testing.T) {
	gcc := need.Tool(t, "gcc")
	dir := t.TempDir()
	source, path := filepath.Join(dir, "a.c"), filepath.Join(dir, "vmlinux")
	write(t, source, "extern int absent __attribute__((weak));\n"+
		"int *_start(void) { return &absent; }\n")
	link := func(flags ...string) {
		args := append([]string{"-nostdlib", "-static", "-no-pie", "-Wl,--build-id=0x0123abcd",
			"-o", path, source}, flags...)
		if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	link()
	k, err := ReadFile(path)
	if err != nil || k.BuildID != "0123abcd" || len(k.Named("_start")) != 1 {
		t.Errorf("%v %v", k, err)
	} else if found := k.Named("absent"); len(found) > 0 {
		t.Errorf("undefined: %v", found)
	}
	link("-s")
	_, err = ReadFile(path)
	if err == nil || !strings.HasPrefix(err.Error(), path+": no symbol table") {
		t.Error(err)
	}
}

// TestReadFile reads lists of symbols and refuses other files.
func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "saved")
	for text, want := range map[string]string{
		"":                           notAList,
		"abc":                        notAList,
		"ffffffff81000000 T _text":   notAList,
		"ffffffff81000000 T _text\n": "",
		"0000000000000000 T _text\n": " shows no addresses: save it as root",
		// The address of a per-CPU variable may be 0 while others are shown.
		"0000000000000000 A a\nffffffff81000000 T b\n": "",
	} {
		write(t, path, text)
		k, err := ReadFile(path)
		if want != "" {
			if err == nil || err.Error() != path+want {
				t.Errorf("%q: %v, want %s", text, err, want)
			}
			continue
		}
		if err != nil || k.Live || k.HasModules() || k.Release != "" || k.BuildID != "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSymbolCode(t *testing.T) {
	for letter, want := range map[byte]bool{
		't': true, 'T': true, 'w': true, 'W': true, 'd': false, 'r': false, 'A': false, 'V': false,
	} {
		if got := (&Symbol{Type: letter}).Code(); got != want {
			t.Errorf("%c: %t", letter, got)
		}
	}
}

// TestNamed finds exactly one name, whatever is around it in the list.
func TestNamed(t *testing.T) {
	k := saved(t, "10 T a\n20 t b\n30 t bb\n40 t b\t[m]\n50 t xb\n60 t b.c\n70 t b")
	var got []string
	for _, s := range k.Named("b") {
		got = append(got, fmt.Sprintf("%x%s", s.Address, s.Module))
	}
	if d := cmp.Diff([]string{"20", "40m", "70"}, got); d != "" {
		t.Error(d)
	}
	if m := k.Module("m"); len(m) != 1 || m[0].Address != 0x40 {
		t.Errorf("%v", m)
	}
}

func BenchmarkReadLive(b *testing.B) {
	var text bytes.Buffer
	for i := range 200_000 {
		address := uint64(0xffffffff81000000) + 16*uint64(i)
		fmt.Fprintf(&text, "%016x t some_function_of_a_kernel_%d\n", address, i)
	}
	root := b.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/kallsyms"), text.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k, err := ReadLive(root)
		if err != nil || len(k.Named("some_function_of_a_kernel_199999")) != 1 {
			b.Fatal(err)
		}
	}
}
