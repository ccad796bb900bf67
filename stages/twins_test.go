package stages

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/configs"
	"kas/need"
	"kas/pipeline"
)

// TestLeftOut has modules with the name in .modinfo, in struct module, and only in the file's name.
func TestLeftOut(t *testing.T) {
	gcc := need.Tool(t, "gcc")
	dir := t.TempDir()
	compile := func(file, asm string) configs.ModuleFile {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		source := filepath.Join(dir, "x.s")
		if err := os.WriteFile(source, []byte(asm), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(gcc, "-c", source, "-o", path).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return configs.ModuleFile{Name: file, Path: path}
	}
	const info = ".section .modinfo,\"a\"\n.asciz \"license=GPL\"\n.asciz \"name=foo\"\n"
	const this = ".section .gnu.linkonce.this_module,\"aw\"\n.fill 24\n.asciz \"foo\"\n.fill 900\n"
	files := []configs.ModuleFile{
		compile("kernel/a/foo-1.2.ko", info),
		compile("kernel/b/x.ko", this),
		compile("updates/foo.ko", ""),
		compile("kernel/a/bar-baz.ko", ""),
		compile("kernel/a/bar_baz.ko", ""),
		compile("kernel/a/foo.ko", strings.Replace(info, "=foo", "=other", 1)),
		compile("kernel/a/one.o", ""), // not linked: no name yet
		compile("kernel/b/one.o", ""),
		{Name: "kernel/c/foo.ko", Path: filepath.Join(dir, "missing")},
	}
	want := []pipeline.LeftOut{
		{Object: "kernel/a/bar_baz.ko", Module: "bar_baz", Counts: "kernel/a/bar-baz.ko"},
		{Object: "kernel/a/foo-1.2.ko", Module: "foo", Counts: "updates/foo.ko"},
		{Object: "kernel/b/x.ko", Module: "foo", Counts: "updates/foo.ko"},
	}
	if d := cmp.Diff(want, LeftOut(Headings(files, 2))); d != "" {
		t.Error(d)
	}
}
