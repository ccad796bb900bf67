package stages

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
)

// TestScan reads the kernels of the demo.
func TestScan(t *testing.T) {
	for _, c := range []struct {
		kernel                  string
		arch, toolchain, lto    string
		release                 string
		symbol, section, letter string // of lm75.ko
		file                    string
	}{
		{"x86_64-gcc", "x86_64", "gcc", "none", "6.12.0", "name_show", ".text", "t", "lm75.c"},
		{"x86_64-clang", "x86_64", "llvm", "none", "6.12.0", "name_show", ".text", "t", "lm75.c"},
		{"x86_64-clang-lto", "x86_64", "llvm", "full", "6.12.0", "name_show", ".text", "t", "ld-temp.o"},
		{"arm64-gcc", "arm64", "gcc", "none", "6.12.0", "name_show", ".text", "t", "lm75.c"},
		{"s390x-gcc", "s390x", "gcc", "none", "6.12.0", "name_show", ".text", "t", "lm75.c"},
	} {
		b := build()
		b.Vmlinux = "../demo/matrix/" + c.kernel + "/vmlinux"
		b.Modules = []string{"../demo/matrix/" + c.kernel + "/modules"}
		errs := b.run(t, Scan, see(func(b *pipeline.Build) {
			got := []string{b.Arch, b.Toolchain, b.LTO, b.Release}
			if d := cmp.Diff([]string{c.arch, c.toolchain, c.lto, c.release}, got); d != "" {
				t.Errorf("%s: %s", c.kernel, d)
			}
			if b.Vmlinux() == nil || len(b.Objects) < 10 {
				t.Fatalf("%s: %d objects", c.kernel, len(b.Objects))
			}
			for i := range b.Objects {
				o := &b.Objects[i]
				if !o.Readable() || o.NoDebug || o.Size == 0 || o.Identity == (elf.Identity{}) {
					t.Errorf("%s: %s was not read", c.kernel, o.Name)
				}
				if !strings.Contains(o.Name, "lm75.ko") {
					continue
				}
				at := slices.IndexFunc(
					o.Symbols,
					func(s pipeline.Symbol) bool { return s.Name == c.symbol },
				)
				if at < 0 {
					t.Fatalf("%s: no %s in lm75", c.kernel, c.symbol)
				}
				s := &o.Symbols[at]
				section := &o.Sections[s.Section]
				if string(s.Letter) != c.letter || !s.Local || s.Size == 0 ||
					o.Files[s.File] != c.file || !s.Code ||
					!strings.HasPrefix(section.Name, c.section) || section.Discarded {
					t.Errorf("%s: %+v of %s in %+v", c.kernel, s, o.Files[s.File], section)
				}
				for _, s := range o.Symbols {
					if !s.Local && s.File != 0 {
						t.Errorf("%s: global symbol %s belongs to a file", c.kernel, s.Name)
					}
				}
			}
		}))
		if len(errs) > 0 {
			t.Errorf("%s: %q", c.kernel, errs)
		}
	}
}

// TestScanRefuses: each damaged or foreign object is an error of that object, and its symbols do
// not count.
func TestScanRefuses(t *testing.T) {
	dir := t.TempDir()
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	good := read(kernel + "modules/" + lm75)
	edit := func(old, new string) []byte {
		data := bytes.ReplaceAll(good, []byte(old), []byte(new))
		if bytes.Equal(data, good) {
			t.Fatalf("no %q in lm75", old)
		}
		return data
	}
	want := map[string]string{}
	var objects []pipeline.Object
	for _, c := range []struct {
		name string
		data []byte
		want string // "" if the object is read
	}{
		{"good.ko", good, ""},
		{"linked.ko", read(kernel + "vmlinux"), "not a relocatable object (e_type 2)"},
		{"arm64.ko", read("../demo/matrix/arm64-gcc/modules/" + lm75), "arm64 object in a build of x86_64"},
		{"text.ko", []byte("no object"), "not an ELF file"},
		{"nodebug.ko", bytes.Replace(edit(".debug_info\x00", ".xebug_info\x00"),
			[]byte("name=lm75"), []byte("name=lm76"), 1), "no debugging information among"},
		{"tab.ko", edit("\x00name_show\x00", "\x00name\tshow\x00"), `has the name "name\tshow", which a table cannot contain`},
		{"hash.ko", edit("\x00name_show\x00", "\x00#ame_show\x00"), `has the name "#ame_show", which a table cannot contain`},
		{"gone.ko", nil, "no such file or directory"},
	} {
		path := filepath.Join(dir, c.name)
		if c.data != nil {
			if err := os.WriteFile(path, c.data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		objects = append(objects, pipeline.Object{Name: c.name, Path: path})
		if c.want != "" {
			want[c.name] = c.want
		}
	}
	errs := build(objects...).run(t, Read, see(func(b *pipeline.Build) {
		for i := range b.Objects {
			o := &b.Objects[i]
			readable := o.Name == "good.ko" || o.Name == "nodebug.ko"
			if o.Readable() != readable || (len(o.Symbols) > 0) != readable {
				t.Errorf("%s: readable %v, %d symbols", o.Name, o.Readable(), len(o.Symbols))
			}
			if o.NoDebug != (o.Name == "nodebug.ko") {
				t.Errorf("%s: no debugging information: %v", o.Name, o.NoDebug)
			}
		}
		if b.Arch != "x86_64" || b.Release != "6.12.0" {
			t.Errorf("a build of %s %s", b.Arch, b.Release)
		}
	}))
	for _, text := range errs {
		name, msg, _ := strings.Cut(text, ": ")
		if w, ok := want[name]; !ok || !strings.Contains(msg, w) {
			t.Errorf("%s: %q, want %q", name, msg, w)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("no errors of %v", want)
	}

	// A kernel that was built without debugging information is no error.
	errs = build(objects[4]).run(t, Read)
	if len(errs) > 0 {
		t.Errorf("a build without debugging information: %q", errs)
	}
	// The configuration's arch decides, even if no object has it.
	b := build(objects[0])
	b.Arch = "arm64"
	if errs = b.run(t, Read); len(errs) != 1 ||
		!strings.Contains(errs[0], "x86_64 object in a build of arm64") {
		t.Errorf("errors %q", errs)
	}
}

// TestScanModules: an error of the list of modules is an error of the build.
func TestScanModules(t *testing.T) {
	b := build()
	b.Modules = []string{filepath.Join(t.TempDir(), "modules.order")}
	if errs := b.run(t, Scan); len(errs) != 1 || !strings.Contains(errs[0], "modules.order") {
		t.Errorf("errors %q", errs)
	}
}

func TestToolchain(t *testing.T) {
	for path, want := range map[string]string{
		"x86_64-gcc/modules/" + lm75: "gcc", "arm64-gcc/vmlinux": "gcc",
		"x86_64-clang-lto/modules/" + lm75: "llvm", "x86_64-clang/vmlinux": "llvm",
	} {
		if got, err := Toolchain("../demo/matrix/" + path); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", path, got, err, want)
		}
	}
	// Without .comment, the producers of the units name the compiler.
	for path, want := range map[string]string{"x86_64-gcc": "gcc", "x86_64-clang-lto": "llvm"} {
		data, err := os.ReadFile("../demo/matrix/" + path + "/modules/" + lm75)
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.ReplaceAll(data, []byte(".comment\x00"), []byte(".xomment\x00"))
		copied := filepath.Join(t.TempDir(), "lm75.ko")
		if err := os.WriteFile(copied, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Toolchain(copied); err != nil || got != want {
			t.Errorf("%s without .comment: %s, %v; want %s", path, got, err, want)
		}
	}
	if _, err := Toolchain("nosuch"); err == nil {
		t.Error("no error for a file that does not exist")
	}
	for _, c := range []struct {
		comments []string
		want     string
	}{
		{nil, ""},
		{[]string{"GCC: (Debian 12.2.0-14) 12.2.0"}, "gcc"},
		{[]string{"Linker: LLD 19.1.0"}, ""},
		{[]string{"Linker: LLD 19.1.0", "GCC: (Debian 12.2.0-14) 12.2.0"}, "gcc"},
		{[]string{"GCC: (GNU) 12", "Debian clang version 19.1.0"}, "llvm"},
	} {
		if got := commentToolchain(c.comments); got != c.want {
			t.Errorf("%q: %s, want %s", c.comments, got, c.want)
		}
	}
}

// TestSettleToolchain: the configuration comes first.
func TestSettleToolchain(t *testing.T) {
	for _, c := range []struct{ toolchain, lto, wantToolchain, wantLTO string }{
		{"", "", "gcc", "full"},
		{"llvm", "", "llvm", "full"},
		{"", "thin", "gcc", "thin"},
	} {
		b := pipeline.Build{
			Config:  configs.Build{Toolchain: c.toolchain, LTO: c.lto},
			Objects: []pipeline.Object{object("a.ko"), object("b.ko", "f.lto_priv.0 1 0")},
		}
		b.Objects[1].Toolchain = "gcc"
		if settleToolchain(&b); b.Toolchain != c.wantToolchain || b.LTO != c.wantLTO {
			t.Errorf("%+v: %s %s", c, b.Toolchain, b.LTO)
		}
	}
}

func TestTasks(t *testing.T) {
	plan := &configs.Plan{Out: "out", Builds: []configs.Build{
		{Name: "all", Stages: []string{"stats", "emit", "resolve", "normalize", "dedupe", "scan"}},
		{Name: "some", Stages: []string{"normalize", "scan", "dedupe"}},
		{Name: "none"},
	}}
	var got []string
	for _, task := range Tasks(plan) {
		text := task.Config.Name + " " + task.Dir
		for _, s := range task.Stages {
			text += " " + s.Name
		}
		if task.Complete {
			text += ", complete"
		}
		got = append(got, text)
	}
	want := []string{
		"all out/all scan dedupe normalize resolve emit stats, complete",
		"some out/some scan dedupe normalize", "none out/none",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
