package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kas/configs"
	"kas/demo"
	"kas/pipeline"
	"kas/stages"
)

// again is a build that is run repeatedly while its inputs change.
type again struct {
	t     *testing.T
	dir   string
	alias string // of the configuration
	emit  string
	kas   string // pipeline.Options.Kas
}

func newAgain(t *testing.T) *again {
	a := &again{t: t, dir: t.TempDir(), kas: "this one"}
	const from = "matrix/x86_64-gcc"
	err := fs.WalkDir(demo.FS, from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := demo.FS.ReadFile(path)
		if err == nil {
			a.write(strings.TrimPrefix(path, from+"/"), data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a.settle()
	return a
}

// settle waits until files are old enough for a run to identify them by their times.
func (a *again) settle() { time.Sleep(150 * time.Millisecond) }

func (a *again) path(name string) string { return filepath.Join(a.dir, name) }

func (a *again) write(name string, data []byte) {
	a.t.Helper()
	if err := os.MkdirAll(filepath.Dir(a.path(name)), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(a.path(name), data, 0o644); err != nil {
		a.t.Fatal(err)
	}
}

func (a *again) read(name string) []byte {
	a.t.Helper()
	data, err := os.ReadFile(a.path(name))
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

// run runs into the folder out. If fresh, it uses nothing that earlier runs left.
func (a *again) run(out string, fresh bool) *pipeline.Result {
	a.t.Helper()
	a.write("kas.yaml", fmt.Appendf(nil, "version: 1\nout: %s\nalias: {%s}\nemit: {%s}\n"+
		"builds: [{name: k, vmlinux: vmlinux, modules: modules}]\n", out, a.alias, a.emit))
	plan, err := configs.Load(a.path("kas.yaml"))
	if err != nil {
		a.t.Fatal(err)
	}
	r, err := pipeline.Run(context.Background(), stages.Tasks(plan),
		pipeline.Options{Jobs: 2, Cache: a.path("cache"), Kas: a.kas, Fresh: fresh})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, e := range r.Errors {
		a.t.Log(e)
	}
	return r
}

// outputs returns the content and the inode of each file below a folder.
func (a *again) outputs(out string) (content map[string]string, file map[string]uint64) {
	a.t.Helper()
	content, file = map[string]string{}, map[string]uint64{}
	err := filepath.WalkDir(a.path(out), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(a.path(out), path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		file[name] = info.Sys().(*syscall.Stat_t).Ino
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			content[name] = "-> " + target
			return err
		}
		data, err := os.ReadFile(path)
		content[name] = string(data)
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return content, file
}

// check runs again and compares the result with that of a fresh run. It returns the outputs that
// the run made.
func (a *again) check(what string) (made []string) {
	a.t.Helper()
	_, before := a.outputs("out")
	r := a.run("out", false)
	clean := a.run("clean", true)
	got, after := a.outputs("out")
	want, _ := a.outputs("clean")
	for name := range want {
		if got[name] != want[name] {
			a.t.Errorf("%s: %s is not what a first run makes", what, name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			a.t.Errorf("%s: %s is left over; a first run does not make it", what, name)
		}
		if before[name] != after[name] {
			made = append(made, name)
		}
	}
	if g, w := fmt.Sprint(r.Builds[0].Stats), fmt.Sprint(clean.Builds[0].Stats); g != w {
		a.t.Errorf("%s: counts %s, want %s", what, g, w)
	}
	if len(r.Errors) != len(clean.Errors) {
		a.t.Errorf("%s: %d errors, a first run has %d", what, len(r.Errors), len(clean.Errors))
	}
	slices.Sort(made)
	return made
}

// copies returns the names that are copies of modules.
func copies(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names),
		func(n string) bool { return !strings.HasPrefix(n, "k/modules/") })
}

const (
	lm75   = "modules/kernel/drivers/hwmon/lm75.ko"
	crc32  = "modules/kernel/crypto/crc32.ko"
	quiet  = "modules/kernel/lib/test_quiet.ko.gz"
	table  = "k/aliases.tsv"
	copied = "k/" + lm75 + ".kas"
)

// TestReuse changes one thing after the other. A run that may use the results of the last one makes
// what a first run would make, and no more files than the change requires.
func TestReuse(t *testing.T) {
	a := newAgain(t)
	a.run("out", false)
	if made := a.check("nothing"); len(made) != 0 {
		t.Errorf("nothing changed, and the run made %q", made)
	}
	if !a.run("out", false).Builds[0].Skipped {
		t.Error("nothing changed, and the build was not skipped")
	}

	original := a.read(lm75)
	twins := bytes.Replace(a.read(crc32), []byte("name=crc32"), []byte("name=twins"), 1)
	changed := bytes.Replace(original, []byte("name_show\x00"), []byte("nome_show\x00"), 1)
	if bytes.Equal(original, changed) {
		t.Fatal("no name_show in lm75")
	}
	// times writes a file and restores its modification time. Nobody can set its change time.
	times := func(name string, data []byte) func() {
		return func() {
			info, err := os.Stat(a.path(name))
			if err != nil {
				t.Fatal(err)
			}
			a.write(name, data)
			if err := os.Chtimes(a.path(name), info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}
	}
	declared := bytes.Clone(original)
	// A special opcode after "set address" makes the first row. Adding one means the next source
	// line.
	lines := section(t, original, ".debug_line")
	row := int(lines.Offset) + bytes.Index(original[lines.Offset:][:lines.Size],
		[]byte{0, 9, 2}) + 11
	for ; declared[row] < 13; row++ {
	}
	declared[row]++

	damaged := bytes.Clone(original)
	damaged[section(t, original, ".debug_info").Offset+4] = 99 // the version of the first unit

	for _, step := range []struct {
		what    string
		do      func()
		modules []string // the copies of modules that this may make; nil means any
	}{
		{"a module is written again", func() { a.write(lm75, original) }, []string{copied[2:]}},
		{"a module has another name", func() { a.write(lm75, changed) }, nil},
		{"a module has its name back", func() { a.write(lm75, original) }, nil},
		{"a module is changed and has its old time", times(lm75, changed), nil},
		{"a module is changed back and has its old time", times(lm75, original), nil},
		{"a module's lines changed", times(lm75, declared), []string{copied[2:]}},
		{"a module's lines changed back", times(lm75, original), []string{copied[2:]}},
		{"a module is replaced by a link to it", func() {
			a.write("elsewhere", original)
			if err := os.Remove(a.path(lm75)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(a.path("elsewhere"), a.path(lm75)); err != nil {
				t.Fatal(err)
			}
		}, []string{copied[2:]}},
		{"what the link leads to changed", func() { a.write("elsewhere", changed) }, nil},
		{"the link is a file again",
			func() { os.Remove(a.path(lm75)); a.write(lm75, original) }, nil},
		{"a module is gone", func() { os.Rename(a.path(crc32), a.path("kept")) }, nil},
		{"a module is back", func() { os.Rename(a.path("kept"), a.path(crc32)) }, nil},
		{"a module is new",
			func() { a.write("modules/kernel/crypto/twins.ko", twins) }, nil},
		{"the new module is gone",
			func() { os.Remove(a.path("modules/kernel/crypto/twins.ko")) }, nil},
		{"a module is damaged", func() { a.write(lm75, original[:len(original)/2]) }, nil},
		{"the damaged module is unchanged", func() {}, []string{}},
		{"a module's declarations are damaged", times(lm75, damaged), nil},
		{"the damaged declarations are unchanged", func() {}, []string{}},
		{"a module is whole", func() { a.write(lm75, original) }, nil},
		{"vmlinux is written again", func() { a.write("vmlinux", a.read("vmlinux")) }, []string{}},
		{"vmlinux has another name", func() {
			a.write("vmlinux", bytes.Replace(a.read("vmlinux"), []byte("\x00name_show\x00"),
				[]byte("\x00nome_show\x00"), 1))
		}, nil},
		{"vmlinux has its name back", func() {
			a.write("vmlinux", bytes.Replace(a.read("vmlinux"), []byte("\x00nome_show\x00"),
				[]byte("\x00name_show\x00"), 1))
		}, nil},
		{"data gets aliases", func() { a.alias = "symbols: all" }, nil},
		{"another separator", func() { a.alias = "separator: \"::\"" }, nil},
		{"the declaration's line", func() { a.alias = "line: declaration" }, nil},
		{"no line", func() { a.alias = "line: none" }, nil},
		{"all names", func() { a.alias = "names: all" }, nil},
		{"some names", func() { a.alias = "names: [\"crc32_*\"]" }, nil},
		{"one name",
			func() { os.RemoveAll(a.path("cache")); a.alias = "names: [nct6775_register]" }, nil},
		{"another name of the same module", func() { a.alias = "names: [update]" }, nil},
		{"a shorter limit", func() { a.alias = "max_length: 40" }, nil},
		{"names that get none", func() { a.alias = "never: {add: [\"^name_\"]}" }, nil},
		{"duplicates again", func() { a.alias = "" }, nil},
		{"links to the others", func() { a.emit = "unaliased: link" }, nil},
		{"beside the inputs", func() { a.emit = "beside: true" }, nil},
		{"below the output folder", func() { a.emit = "" }, nil},
		{"an output is gone", func() { os.Remove(a.path("out/" + copied)) }, []string{copied[2:]}},
		{"an output has other content",
			func() { a.write("out/"+copied, []byte("no object")) }, []string{copied[2:]}},
		{"an output is changed and has its old time",
			times("out/"+copied, bytes.Replace(a.read("out/"+copied), []byte{0}, []byte{1}, 1)),
			[]string{copied[2:]}},
		{"a table is gone", func() { os.Remove(a.path("out/" + table)) }, []string{}},
		{"a table is empty", func() { a.write("out/"+table, nil) }, []string{}},
		{"a killed run left a file",
			func() {
				a.write("out/k/modules/kernel/.x.ko.kas.tmp", nil)
				addToRecord(t, a.path("out/k"), "modules/kernel/x.ko.kas")
			}, []string{}},
		{"another configuration left a module",
			func() {
				a.write("out/k/modules/kernel/x.ko.kas", nil)
				addToRecord(t, a.path("out/k"), "modules/kernel/x.ko.kas")
			}, []string{}},
		{"another kas", func() { a.kas = "the next one" }, nil},
		{"the state is cut", func() {
			for _, f := range glob(t, a.path("cache/*")) {
				if data, err := os.ReadFile(f); err != nil ||
					os.WriteFile(f, data[:len(data)*2/3], 0o644) != nil {
					t.Fatal(err)
				}
			}
		}, nil},
		{"the state is not text", func() {
			for _, f := range glob(t, a.path("cache/*")) {
				if err := os.WriteFile(f, bytes.Repeat([]byte{0xff, '\t', '\n'}, 1000),
					0o644); err != nil {
					t.Fatal(err)
				}
			}
		}, nil},
		{"the state is gone", func() { os.RemoveAll(a.path("cache")) }, nil},
	} {
		step.do()
		a.settle()
		made := copies(a.check(step.what))
		if step.what == "another kas" && !slices.Contains(made, copied) {
			t.Errorf("%s: %s is still that of the other kas", step.what, copied)
		}
		for _, m := range made {
			if step.modules != nil && !slices.Contains(step.modules, strings.TrimPrefix(m, "k/")) {
				t.Errorf("%s: %s was made, though nothing touched it", step.what, m)
			}
		}
	}
}

// addToRecord makes a file of a folder one that kas wrote.
func addToRecord(t *testing.T, dir, name string) {
	t.Helper()
	path := filepath.Join(dir, pipeline.RecordFile)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, fmt.Appendf(data, "%q\n", name), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func section(t *testing.T, object []byte, name string) *elf.Section {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Section(name)
	if s == nil {
		t.Fatal("no ", name)
	}
	return s
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal(pattern, files, err)
	}
	return files
}

// TestReuseOfYoungFile writes a file twice in quick succession, which may leave its times as they
// were within a tick of the clock. A run must read a file again that was written just before it was
// read.
func TestReuseOfYoungFile(t *testing.T) {
	a := newAgain(t)
	a.run("out", false)
	for i := range 20 {
		from, to := "\x00name_show\x00", "\x00nome_show\x00"
		if i%2 == 1 {
			from, to = to, from
		}
		a.write(lm75, bytes.Replace(a.read(lm75), []byte(from), []byte(to), 1))
		a.run("out", false)
		a.write(lm75, bytes.Replace(a.read(lm75), []byte(to), []byte(from), 1))
		a.check("written twice")
		a.write(lm75, bytes.Replace(a.read(lm75), []byte(from), []byte(to), 1))
	}
}

// TestReuseCommand runs the command itself, which chooses its ID and its cache, and --fresh.
func TestReuseCommand(t *testing.T) {
	a := newAgain(t)
	config := "version: 1\nbuilds: [{name: k, vmlinux: vmlinux, modules: modules}]\n"
	a.write("kas.yaml", []byte(config))
	kas := func(args ...string) string {
		c := kasCommand(t, a.dir, args...)
		c.Stderr = io.Discard
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(out), "\n   ") // the times
		return text
	}
	first := kas("run")
	_, before := a.outputs("out")
	if second := kas("run"); !strings.HasPrefix(second, strings.SplitN(first, "\n\n", 2)[0]) {
		t.Errorf("the second run says\n%s\nand the first\n%s", second, first)
	}
	_, after := a.outputs("out")
	if after["k/aliases.tsv"] != before["k/aliases.tsv"] {
		t.Error("the second run wrote what existed")
	}
	kas("run", "--fresh")
	if _, fresh := a.outputs("out"); fresh["k/aliases.tsv"] == before["k/aliases.tsv"] ||
		fresh[copied] == before[copied] {
		t.Error("--fresh used what the last run made")
	}
}
