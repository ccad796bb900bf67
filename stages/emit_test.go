package stages

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf"
	"kas/pipeline"
)

const (
	kernel = "../demo/matrix/x86_64-gcc/"
	lm75   = "kernel/drivers/hwmon/lm75.ko"
	crc32  = "kernel/crypto/crc32.ko"
	quiet  = "kernel/lib/test_quiet.ko.gz"
)

// files is a build of modules of the demo, and of vmlinux if that is named.
func files(t *testing.T, names ...string) *memory {
	t.Helper()
	b := build()
	for _, name := range names {
		o := pipeline.Object{Name: name, Path: kernel + "modules/" + name}
		if name == "vmlinux" {
			o.Path, o.Vmlinux = kernel+name, true
		}
		b.objects = append(b.objects, o)
	}
	b.Emit.Unaliased = "skip"
	b.Arch, b.Toolchain, b.LTO = "x86_64", "gcc", "none"
	b.dir, b.cache = t.TempDir(), t.TempDir()
	return b
}

// emit runs the stages up to emit, with aliases for the symbols of these names. The location of
// each is its address, so the stage that reads the debugging information is not needed.
func (m *memory) emit(t *testing.T, names ...string) []string {
	t.Helper()
	m.Alias.Names.Globs = names
	var errs []string
	only := see(func(b *pipeline.Build) {
		for i := range b.Objects {
			for _, d := range chosen(&b.Objects[i]) {
				if !slices.Contains(names, b.Groups[d.Group].Base) {
					d.Reason = "not in the test"
				}
			}
		}
	})
	at := func(object string, s *pipeline.Symbol) pipeline.Location {
		return pipeline.Location{File: object, Unit: object, Line: int64(s.Value) + 1}
	}
	errs = m.run(t, Read, Dedupe, Normalize, choose, only, locateAt(at), nameAll, Emit)
	return errs
}

// inodes returns the files below the output folder with their inode numbers.
func (m *memory) inodes(t *testing.T) map[string]uint64 {
	t.Helper()
	found := map[string]uint64{}
	err := filepath.WalkDir(m.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			name, _ := filepath.Rel(m.dir, path)
			found[name] = info.Sys().(*syscall.Stat_t).Ino
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (m *memory) written(t *testing.T) []string {
	t.Helper()
	var names []string
	for name := range m.inodes(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// namesOf returns the names of the symbols of an object.
func namesOf(t *testing.T, path string) []string {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for id := range syms.Len() {
		s, err := syms.At(elf.SymID(id))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, string(s.Name))
	}
	return names
}

// TestEmit: a module with aliases gets a copy that has them after their originals, vmlinux a list.
func TestEmit(t *testing.T) {
	b := files(t, "vmlinux", lm75, crc32)
	if errs := b.emit(t, "name_show"); len(errs) > 0 {
		t.Fatal(errs)
	}
	want := []string{"modules/" + lm75 + ".kas", "vmlinux.syms"}
	if d := cmp.Diff(want, b.written(t)); d != "" {
		t.Fatal(d)
	}
	originals := namesOf(t, kernel+"modules/"+lm75)
	i := slices.Index(originals, "name_show")
	copied := namesOf(t, filepath.Join(b.dir, "modules", lm75+".kas"))
	if len(copied) != len(originals)+1 || !strings.HasPrefix(copied[i+1], "name_show@") ||
		!slices.Equal(slices.Delete(slices.Clone(copied), i+1, i+2), originals) {
		t.Errorf("symbols of the copy: %q\nof the module: %q", copied, originals)
	}
	data, err := os.ReadFile(filepath.Join(b.dir, "vmlinux.syms"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if n := strings.Count(string(data), " name_show@vmlinux_"); n < 2 {
		t.Errorf("%d aliases in vmlinux.syms", n)
	}
	for i, line := range lines {
		address, rest, _ := strings.Cut(line, " ")
		if i > 0 && strings.Contains(rest, "@") {
			if want := address + " " + strings.Split(rest, "@")[0]; lines[i-1] != want {
				t.Errorf("%q comes after %q, want it after %q", line, lines[i-1], want)
			}
		}
	}

	// Nothing changed: the same files. Other aliases: other files.
	before := b.inodes(t)
	b.emit(t, "name_show")
	if d := cmp.Diff(before, b.inodes(t)); d != "" {
		t.Errorf("an equal run wrote files again:\n%s", d)
	}
	b.emit(t, "name_show", "probe")
	for name, inode := range b.inodes(t) {
		if before[name] == inode {
			t.Errorf("%s is that of other aliases", name)
		}
	}
	// No aliases: no copies, and a list without them.
	b.emit(t)
	if d := cmp.Diff([]string{"vmlinux.syms"}, b.written(t)); d != "" {
		t.Error(d)
	}
	data, err = os.ReadFile(filepath.Join(b.dir, "vmlinux.syms"))
	if err != nil || bytes.ContainsRune(data, '@') {
		t.Errorf("%v, vmlinux.syms still has aliases", err)
	}
}

// TestEmitLater: a module to which something is added later has a copy even without aliases, and a
// new one when that changes.
func TestEmitLater(t *testing.T) {
	b := files(t, lm75, crc32)
	later := "1"
	b.scope.Later = func(o *pipeline.Object) string {
		if o.Name == crc32 {
			return later
		}
		return ""
	}
	b.emit(t)
	name := "modules/" + crc32 + ".kas"
	first := b.inodes(t)
	if d := cmp.Diff([]string{name}, b.written(t)); d != "" {
		t.Fatal(d)
	}
	original, err := os.ReadFile(kernel + "modules/" + crc32)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil || !bytes.Equal(original, copied) {
		t.Errorf("%v: the copy differs from the module", err)
	}
	if b.emit(t); b.inodes(t)[name] != first[name] {
		t.Error("nothing changed, and the copy is another file")
	}
	later = "2"
	if b.emit(t); b.inodes(t)[name] == first[name] {
		t.Error("what is added later changed, and the copy is still the same file")
	}
	later = ""
	if b.emit(t); len(b.written(t)) != 0 {
		t.Errorf("nothing is added, and there is %q", b.written(t))
	}
}

// TestEmitScope: a copy has the aliases that the scope allows, and only modules in the scope get
// one.
func TestEmitScope(t *testing.T) {
	b := files(t, lm75, "kernel/drivers/hwmon/coretemp.ko", crc32)
	b.scope.Own = func(o *pipeline.Object) bool { return o.Name != lm75 }
	b.scope.Carry = func(o *pipeline.Object, d *pipeline.Duplicate) bool {
		return o.Symbols[d.Symbol].Name == "name_show"
	}
	foreign := filepath.Join(b.dir, "modules", "kernel/x.ko.kas")
	if _, err := pipeline.WriteFile(foreign, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if errs := b.emit(t, "name_show", "probe"); len(errs) > 0 {
		t.Fatal(errs)
	}
	name := "modules/kernel/drivers/hwmon/coretemp.ko.kas"
	if d := cmp.Diff([]string{name}, b.written(t)); d != "" {
		t.Fatal(d)
	}
	var aliases []string
	for _, name := range namesOf(t, filepath.Join(b.dir, name)) {
		if base, _, ok := strings.Cut(name, "@"); ok {
			aliases = append(aliases, base)
		}
	}
	if d := cmp.Diff([]string{"name_show"}, aliases); d != "" {
		t.Error(d)
	}
}

// TestEmitModules: no list of vmlinux is written, and an old one is removed.
func TestEmitModules(t *testing.T) {
	b := files(t, "vmlinux", lm75)
	b.emit(t)
	if d := cmp.Diff([]string{"vmlinux.syms"}, b.written(t)); d != "" {
		t.Fatal(d)
	}
	if errs := b.run(t, Read, Dedupe, Normalize, EmitModules); len(errs) > 0 ||
		len(b.written(t)) > 0 {
		t.Errorf("errors %q, files %q", errs, b.written(t))
	}
}

// TestEmitLink: modules without aliases are linked, compressed ones are copied.
func TestEmitLink(t *testing.T) {
	b := files(t, lm75, crc32, quiet)
	b.Emit.Unaliased = "link"
	if errs := b.emit(t, "name_show"); len(errs) > 0 {
		t.Fatal(errs)
	}
	copied := strings.TrimSuffix(quiet, ".gz") + ".kas"
	want := []string{"modules/" + crc32 + ".kas", "modules/" + lm75 + ".kas", "modules/" + copied}
	if d := cmp.Diff(want, b.written(t)); d != "" {
		t.Fatal(d)
	}
	link := filepath.Join(b.dir, "modules", crc32+".kas")
	target, err := os.Readlink(link)
	if err != nil || filepath.IsAbs(target) {
		t.Errorf("link to %q, %v", target, err)
	}
	same := func(path string, want []byte) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, or it differs from the module", path, err)
		}
	}
	module, err := os.ReadFile(kernel + "modules/" + crc32)
	if err != nil {
		t.Fatal(err)
	}
	same(link, module)
	packed, err := os.Open(kernel + "modules/" + quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	if module, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	same(filepath.Join(b.dir, "modules", copied), module)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("%v: no link", err)
	}
}

// TestEmitBeside: copies are beside the modules; one that is not needed any more is removed, with
// what a killed run left of it.
func TestEmitBeside(t *testing.T) {
	b := files(t, lm75, crc32)
	dir := t.TempDir()
	for i := range b.objects {
		o := &b.objects[i]
		data, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		o.Path = filepath.Join(dir, filepath.Base(o.Path))
		for _, name := range []string{"", ".kas"} {
			if err := os.WriteFile(o.Path+name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{
		".lm75.ko.kas.tmp", ".crc32.ko.kas.tmp", "other.ko.kas", ".other.tmp",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.Emit.Beside = true
	if errs := b.emit(t, "name_show"); len(errs) > 0 {
		t.Fatal(errs)
	}
	b.dir = dir
	want := []string{".other.tmp", "crc32.ko", "lm75.ko", "lm75.ko.kas", "other.ko.kas"}
	if d := cmp.Diff(want, b.written(t)); d != "" {
		t.Error(d)
	}
}

// TestEmitForeign: a module outside the scope gets no copy, and what is beside it stays.
func TestEmitForeign(t *testing.T) {
	b := files(t, lm75, "kernel/drivers/hwmon/coretemp.ko")
	b.Emit.Beside = true
	b.scope.Own = func(o *pipeline.Object) bool { return o.Name != lm75 }
	dir := t.TempDir()
	for i := range b.objects {
		o := &b.objects[i]
		data, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		o.Path = filepath.Join(dir, filepath.Base(o.Path))
		if err := os.WriteFile(o.Path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(dir, "lm75.ko.kas")
	if err := os.WriteFile(foreign, []byte("another's"), 0o644); err != nil {
		t.Fatal(err)
	}
	if errs := b.emit(t, "name_show"); len(errs) > 0 {
		t.Fatal(errs)
	}
	b.dir = dir
	want := []string{"coretemp.ko", "coretemp.ko.kas", "lm75.ko", "lm75.ko.kas"}
	if d := cmp.Diff(want, b.written(t)); d != "" {
		t.Error(d)
	}
	if data, err := os.ReadFile(foreign); err != nil || string(data) != "another's" {
		t.Errorf("%v: the foreign copy was written again", err)
	}
}

// TestSweep: what killed runs left of kas's own files is removed; other files stay.
func TestSweep(t *testing.T) {
	b := files(t, "vmlinux", lm75)
	b.emit(t, "name_show")
	kept := append(b.written(t), ".other.tmp", "notes", "modules/README")
	left := []string{
		".aliases.tsv.tmp", ".unaliased.tsv.tmp", ".modules.symbfreq.tmp", ".symbols.kas.tmp",
		".vmlinux.syms.tmp", "modules/kernel/.x.ko.kas.tmp", "modules/kernel/x.ko.kas",
	}
	for _, name := range append(slices.Clone(left), ".other.tmp", "notes", "modules/README") {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if errs := b.emit(t, "name_show"); len(errs) > 0 {
		t.Fatal(errs)
	}
	slices.Sort(kept)
	if d := cmp.Diff(kept, b.written(t)); d != "" {
		t.Error(d)
	}
}

// TestTableFiles: Stats writes the files whose temporary names are swept, and no others.
func TestTableFiles(t *testing.T) {
	b := build(object("a.ko", "f 1 0"))
	b.dir = t.TempDir()
	if errs := b.run(t, Dedupe, Normalize, Stats); len(errs) > 0 {
		t.Fatal(errs)
	}
	want := slices.Sorted(slices.Values(tableFiles))
	if d := cmp.Diff(want, b.written(t)); d != "" {
		t.Error(d)
	}
}

// TestEmitFails: an object that cannot be written loses its aliases, and the others get theirs.
func TestEmitFails(t *testing.T) {
	b := files(t, lm75, "kernel/drivers/rtc/rtc-cmos.ko")
	if err := os.MkdirAll(filepath.Join(b.dir, "modules/kernel/drivers"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A file where the folder of the copy would be.
	err := os.WriteFile(filepath.Join(b.dir, "modules/kernel/drivers/hwmon"), nil, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	b.Alias.Names.Globs = []string{"name_show"}
	reasons := map[string]string{}
	collect := see(func(b *pipeline.Build) {
		for i := range b.Objects {
			o := &b.Objects[i]
			for _, d := range o.Duplicates {
				if s := o.Symbols[d.Symbol]; s.Name == "name_show" {
					reasons[o.Name] = d.Reason
				}
			}
		}
	})
	errs := b.run(t, Read, Dedupe, Normalize, choose, locateAt(atLine), nameAll, Emit, collect)
	if len(errs) != 1 || !strings.HasPrefix(errs[0], lm75+": ") {
		t.Errorf("errors %q", errs)
	}
	want := map[string]string{
		lm75:                             "object could not be written",
		"kernel/drivers/rtc/rtc-cmos.ko": "",
	}
	if d := cmp.Diff(want, reasons); d != "" {
		t.Error(d)
	}
	copied := filepath.Join(b.dir, "modules/kernel/drivers/rtc/rtc-cmos.ko.kas")
	if _, err := os.Stat(copied); err != nil {
		t.Error(err)
	}
}

// TestEmitCancelled: a cancelled run sweeps nothing.
func TestEmitCancelled(t *testing.T) {
	b := files(t, lm75)
	ctx, cancel := context.WithCancel(t.Context())
	stage := pipeline.Stage{Name: "emit", Run: func(_ context.Context, p *pipeline.Build) error {
		p.Objects = b.objects
		cancel()
		return Emit(ctx, p)
	}}
	task := pipeline.Task{Config: b.Build, Dir: b.dir, Stages: []pipeline.Stage{stage}}
	left := filepath.Join(b.dir, "modules", "x.ko.kas")
	if _, err := pipeline.WriteFile(left, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	_, err := pipeline.Run(ctx, []pipeline.Task{task}, pipeline.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Error(err)
	}
}
