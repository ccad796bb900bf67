package configs

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestBad(t *testing.T) {
	t.Setenv("KAS_TEST_EMPTY", "")
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			p, err := Load(file)
			var errs Errors
			if p != nil || !errors.As(err, &errs) {
				t.Fatalf("Load = %v, %v; want Errors", p, err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadUnreadable(t *testing.T) {
	_, err := Load("testdata/none.yaml")
	if err == nil || err.Error() != "testdata/none.yaml: no such file or directory" {
		t.Error(err)
	}
}

// write makes the files, given as path and content, below a new folder.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		put(t, filepath.Join(dir, files[i]), files[i+1])
	}
	return dir
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, file string) *Plan {
	t.Helper()
	p, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func same(t *testing.T, want, got any) {
	t.Helper()
	options := []cmp.Option{cmpopts.IgnoreUnexported(Plan{}, Build{}), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Error("-want +got:\n", diff)
	}
}

func TestDefaults(t *testing.T) {
	const text = "version: 1\nbuilds: [{name: a, vmlinux: vmlinux}]\n"
	dir := write(t, "kas.yaml", text, "vmlinux", "")
	t.Chdir(dir)
	same(t, &Plan{
		File: "kas.yaml", Out: "out", OnError: "continue",
		Builds: []Build{{
			Name: "a", Vmlinux: "vmlinux",
			Alias:  Alias{Separator: "@", Line: "opening", Symbols: "text"},
			Stages: []string{"scan", "dedupe", "normalize", "resolve", "emit", "stats"},
			Emit:   Emit{Unaliased: "skip"},
		}},
	}, load(t, "kas.yaml"))
}

const fullYAML = `version: 1
out: "${KAS_TEST_OUT:-result}/x"
jobs: 3
on_error: stop
alias: {separator: "~~", symbols: data, names: [a*, "b?"], never: {add: ['x.*']}}
stages: [scan, dedupe, normalize, resolve, stats]
emit: {unaliased: link}
debug: ["../de[b]ug", "${KAS_TEST_DEBUG:-/usr}"]
builds:
  - &one
    name: one
    arch: amd64
    toolchain: gcc
    lto: none
    vmlinux: boot/vmlinux-*
    modules: [a/**/*.ko, "weird\\[1\\]", list]
    source: [src, /usr/src/linux]
  - <<: *one
    name: two
    arch: aarch64
    vmlinux: $ABS/boot/vmlinux-1
    modules: $ABS/a
    alias: {line: none, names: all, never: {replace: []}, max_length: 100}
    stages: [scan]
    emit: {beside: true}
    debug: a
  - {name: absent, vmlinux: none, modules: [no/*, none/**], optional: true}
  - {name: half, vmlinux: boot/vmlinux-1, optional: true}
matrix:
  - arch: [i686, loong64]
    lto: [thin, full]
    exclude: [{arch: i386, lto: full}]
    build: {name: "m-{arch}-{lto}", modules: "trees/{arch}-{lto}", source: "{lto}"}
report: {html: "${KAS_TEST_OUT:-pages}/a.html", sqlite: $ABS/../a.db, history: a}
`

func fullTree(t *testing.T) string {
	dir := write(t,
		"conf/boot/vmlinux-1", "", "conf/a/b/c.ko", "", "conf/a/d.ko", "", "conf/weird[1]/e.ko", "",
		"conf/list", "x/f.ko\n", "conf/trees/i686-thin/a.o", "", "conf/trees/loong64-thin/a.o", "",
		"conf/trees/loong64-full/a.o", "", "de[b]ug/f", "")
	if err := os.Symlink("vmlinux-1", filepath.Join(dir, "conf/boot/vmlinux-link")); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "conf")
	put(t, filepath.Join(conf, "kas.yaml"), strings.ReplaceAll(fullYAML, "$ABS", conf))
	return dir
}

func TestLoad(t *testing.T) {
	dir := fullTree(t)
	t.Chdir(dir)
	base := Build{
		Alias: Alias{
			Separator: "~~", Line: "opening", Symbols: "data",
			Names: Names{Globs: []string{"a*", "b?"}}, Never: Never{Patterns: []string{"x.*"}},
		},
		Stages: []string{"scan", "dedupe", "normalize", "resolve", "stats"},
		Emit:   Emit{Unaliased: "link"},
		Debug:  []string{"de[b]ug", "/usr"},
	}
	with := func(set func(*Build)) Build {
		b := base
		set(&b)
		return b
	}
	expanded := func(name, arch, lto, modules string) Build {
		return with(func(b *Build) {
			b.Name, b.Arch, b.LTO = name, arch, lto
			b.Modules, b.Source = []string{modules}, []string{lto}
		})
	}
	same(t, &Plan{
		File: "conf/kas.yaml", Out: "conf/result/x", Jobs: 3, OnError: "stop",
		Report:  Report{HTML: "conf/pages/a.html", SQLite: dir + "/a.db", History: "conf/a"},
		Skipped: []string{"absent"},
		Builds: []Build{
			with(func(b *Build) {
				b.Name, b.Arch, b.Toolchain, b.LTO = "one", "x86_64", "gcc", "none"
				b.Vmlinux = "conf/boot/vmlinux-1"
				b.Modules = []string{"conf/a/**/*.ko", `conf/weird\[1]`, "conf/list"}
				b.Source = []string{"src", "/usr/src/linux"}
			}),
			with(func(b *Build) {
				b.Name, b.Arch, b.Toolchain, b.LTO = "two", "arm64", "gcc", "none"
				b.Vmlinux = dir + "/conf/boot/vmlinux-1"
				b.Modules = []string{dir + "/conf/a"}
				b.Source = []string{"src", "/usr/src/linux"}
				b.Alias = Alias{
					Separator: "~~", Line: "none", Symbols: "data", Names: Names{All: true},
					MaxLength: 100, Never: Never{Replace: true},
				}
				b.Stages = []string{"scan"}
				b.Emit = Emit{Beside: true, Unaliased: "link"}
				b.Debug = []string{"conf/a"}
			}),
			with(func(b *Build) { b.Name, b.Vmlinux = "half", "conf/boot/vmlinux-1" }),
			expanded("m-i686-thin", "i386", "thin", "conf/trees/i686-thin"),
			expanded("m-loong64-thin", "loongarch64", "thin", "conf/trees/loong64-thin"),
			expanded("m-loong64-full", "loongarch64", "full", "conf/trees/loong64-full"),
		},
	}, load(t, "conf/kas.yaml"))
}

func TestEffective(t *testing.T) {
	dir := fullTree(t)
	t.Chdir(dir)
	p := load(t, "conf/kas.yaml")
	text, err := p.Effective(p.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# The effective configuration", "\nout: .\n", "vmlinux: ../../boot/vmlinux-1\n",
		"- ../../a/**/*.ko\n", "- ../../../de[b]ug\n", "- /usr\n", "- ../../a\n",
		"report:\n  html: ../../pages/a.html\n  sqlite: " + dir + "/a.db\n  history: ../../a\n", "vmlinux: " + dir + "/conf/boot/vmlinux-1\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	file := filepath.Join(p.Out, "kas.effective.yaml")
	put(t, file, string(text))
	again := load(t, file)
	text2, err := again.Effective(p.Out)
	if err != nil {
		t.Fatal(err)
	}
	same(t, string(text), string(text2))
	p.File, p.Skipped = file, nil
	same(t, p, again)
}

// TestEffectiveAnywhere: the effective configuration does not depend on the host, unless the
// configuration does.
func TestEffectiveAnywhere(t *testing.T) {
	var texts []string
	for range 2 {
		dir := write(t, "[odd] *folder/kas.yaml", "version: 1\nbuilds: "+
			"[{name: a, vmlinux: v*, modules: ['m[ab]/*.ko', c]}, "+
			"{name: b, vmlinux: v, stages: [scan]}]\n",
			"[odd] *folder/v", "", "[odd] *folder/ma/x.ko", "", "[odd] *folder/c/y.ko", "")
		p := load(t, filepath.Join(dir, "[odd] *folder/kas.yaml")) // by its absolute path
		same(t, filepath.Join(dir, "[odd] *folder/v"), p.Builds[0].Vmlinux)
		files, err := p.Builds[0].ModuleFiles()
		if err != nil || len(files) != 2 {
			t.Fatal(files, err)
		}
		text, err := p.Effective(p.Out)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
		file := filepath.Join(p.Out, "kas.effective.yaml")
		put(t, file, string(text))
		again := load(t, file)
		p.File = file
		same(t, p, again)
	}
	same(t, texts[0], texts[1])
	if strings.Contains(texts[0], os.TempDir()) {
		t.Error(texts[0])
	}
}

func TestAt(t *testing.T) {
	dir := fullTree(t)
	t.Chdir(dir)
	p := load(t, "conf/kas.yaml")
	for _, c := range []struct {
		build int
		key   string
		want  string
	}{
		{0, "arch", "conf/kas.yaml:12:11: no"},
		{0, "emit", "conf/kas.yaml:10:5: no"},
		{3, "arch", "conf/kas.yaml:30:12: no (matrix: arch i686, lto thin)"},
		{3, "modules", "conf/kas.yaml:33:46: no (matrix: arch i686, lto thin)"},
	} {
		same(t, c.want, p.Builds[c.build].At(c.key, "no").Error())
	}
	same(t, "no", (&Build{}).At("arch", "no").Error())
}

func TestEnvironment(t *testing.T) {
	dir := write(t, "kas.yaml", "version: 1\nout: ${KAS_TEST_DIR}/out\nbuilds:\n- name: a\n"+
		"  vmlinux: ${KAS_TEST_DIR}/v*\n"+
		"  modules: ['${KAS_TEST_EMPTY:-m}/*', '${KAS_TEST_DIR:-no}/n', '$HOME{}']\n",
		"b*/v1", "", "bb/v1", "", "m/a.ko", "", "b*/n/b.ko", "", "$HOME{}/c.ko", "")
	t.Chdir(dir)
	t.Setenv("KAS_TEST_DIR", "b*") // must not be read as a glob
	t.Setenv("KAS_TEST_EMPTY", "")
	p := load(t, "kas.yaml")
	same(t, "b*/out", p.Out)
	same(t, "b*/v1", p.Builds[0].Vmlinux)
	same(t, []string{"m/*", `b\*/n`, "$HOME{}"}, p.Builds[0].Modules)
}

func TestShipped(t *testing.T) {
	files, err := FS.ReadDir(".")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	builds := map[string]int{
		"example.yaml": 2 + 4, "matrix.yaml": 10, "debian.yaml": 10, "kbuild.yaml": 1,
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			data, err := FS.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			dir := write(t, "conf/"+f.Name(), string(data))
			file := filepath.Join(dir, "conf", f.Name())
			t.Setenv("DEBUG_ROOT", "debug")
			t.Setenv("KAS_CACHE", "")
			t.Setenv("BUILD_ROOT", "")
			t.Setenv("KBUILD_OUTPUT", "")
			l := newLoader(file)
			p := l.parse(data)
			if errs := l.errors(); errs != nil {
				t.Fatal(errs)
			}
			for _, b := range p.Builds {
				put(t, strings.ReplaceAll(b.Vmlinux, "*", "6.1"), "")
				for _, m := range b.Modules {
					m = strings.ReplaceAll(strings.ReplaceAll(m, "**/*", "a/extra"), "*", "6.1")
					if filepath.Base(m) == "kernel" {
						m += "/a.ko"
					}
					put(t, m, "")
				}
			}
			if n := len(load(t, file).Builds); n != builds[f.Name()] {
				t.Errorf("%d builds, want %d", n, builds[f.Name()])
			}
		})
	}
}

func TestNearest(t *testing.T) {
	words := []string{"arch", "modules", "on_error", "lto"}
	for got, want := range map[string]string{
		"acrh": "arch", "module": "modules", "ON-ERROR": "on_error", "x": "", "lot": "lto",
		"format": "",
	} {
		if n := nearest(got, words); n != want {
			t.Errorf("nearest(%q) = %q, want %q", got, n, want)
		}
	}
}

// TestBomb: YAML aliases that expand to too many nodes are one error.
func TestBomb(t *testing.T) {
	var s strings.Builder
	s.WriteString("version: 1\nmatrix:\n- arch: [arm]\n  build:\n    name: x\n    vmlinux: v\n" +
		"    source:\n    - &a0 [x]\n")
	for i := range 30 {
		fmt.Fprintf(&s, "    - &a%d [*a%d, *a%d]\n", i+1, i, i)
	}
	l := newLoader("x.yaml")
	l.parse([]byte(s.String()))
	if errs := l.errors(); len(errs) != 1 || !strings.Contains(errs[0].Msg, "too large") {
		t.Error(errs)
	}
}

// TestManyProblems: a file that is no configuration has as many problems as lines. All are counted,
// and the message stays short.
func TestManyProblems(t *testing.T) {
	var s strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&s, "key%d: 1\n", i)
	}
	l := newLoader("x.yaml")
	l.parse([]byte(s.String()))
	errs := l.errors()
	lines := strings.Split(errs.Error(), "\n")
	want := fmt.Sprintf("and %d more problems", len(errs)-50)
	if len(errs) < 20000 || len(lines) != 51 || lines[50] != want {
		t.Errorf("%d problems in %d lines, the last: %s", len(errs), len(lines),
			lines[len(lines)-1])
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"*.yaml", "testdata/bad/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(fullYAML))
	f.Add([]byte("a: &a [*a]\n<<: *a\n? {x: y}\n: z\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader("x.yaml")
		l.glob = nil
		p := l.parse(data)
		for _, e := range l.errors() {
			if e.Line < 1 || e.Column < 1 || e.Msg == "" {
				t.Errorf("%#v", e)
			}
		}
		if len(l.problems) == 0 && len(p.Builds) == 0 {
			t.Error("no builds and no error")
		}
	})
}
