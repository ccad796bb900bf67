package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/demo"
	"kas/elf"
	"kas/need"
)

// twoFiles is a kernel whose objects were stripped: full/ has them with their debugging
// information, k/ without, and a root the debug files.
type twoFiles struct {
	t    *testing.T
	dir  string
	want map[string]string // the tables of full/
}

// newTwoFiles makes full/ of a part of a kernel of the demo, linked again so that the modules have
// build IDs, as in a kernel's build.
func newTwoFiles(t *testing.T) *twoFiles {
	need.Tools(t, "eu-strip", "ld", "objcopy", "strip", "llvm-objcopy-19", "gzip")
	k := &twoFiles{t: t, dir: t.TempDir()}
	from, err := fs.Sub(demo.FS, "matrix/x86_64-gcc")
	if err == nil {
		err = os.CopyFS(k.path("full"), from)
	}
	for _, other := range []string{"leds", "input", "net/dummy.ko"} {
		err = errors.Join(err, os.RemoveAll(k.path("full/modules/kernel/drivers/"+other)))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range k.objects() {
		if strings.HasSuffix(name, ".gz") {
			k.sh("gunzip $F", name, "")
			name = strings.TrimSuffix(name, ".gz")
		}
		if name != "vmlinux" {
			k.sh("ld -r --build-id -o new $F && mv new $F", name, "")
		}
	}
	code, out, want := k.run("full", "")
	if code != 0 || strings.Count(want["aliases.tsv"], "\n") < 60 {
		t.Fatalf("full: code %d\n%s", code, out)
	}
	k.want = want
	return k
}

// in runs a test on the kernel that newTwoFiles made.
func (k *twoFiles) in(t *testing.T, name string, test func(k *twoFiles)) {
	t.Run(name, func(t *testing.T) {
		for _, old := range []string{"k", "root", "out-k"} {
			if err := os.RemoveAll(k.path(old)); err != nil {
				t.Fatal(err)
			}
		}
		test(&twoFiles{t, k.dir, k.want})
	})
}

func (k *twoFiles) path(name string) string { return filepath.Join(k.dir, name) }

// objects returns the paths of the objects below full/.
func (k *twoFiles) objects() []string {
	k.t.Helper()
	var all []string
	err := filepath.WalkDir(k.path("full"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(k.path("full"), path)
			all = append(all, name)
		}
		return err
	})
	if err != nil || len(all) < 8 {
		k.t.Fatal(all, err)
	}
	return all
}

// sh runs a shell command for an object: $F is the full one, $O the stripped one, and $D the debug
// file.
func (k *twoFiles) sh(command, object, debug string) {
	k.t.Helper()
	err := os.MkdirAll(filepath.Dir(k.path("k/"+object)), 0o755)
	if err == nil && debug != "" {
		err = os.MkdirAll(filepath.Dir(debug), 0o755)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	c := exec.Command("sh", "-ec", command)
	c.Dir = k.dir
	c.Env = append(os.Environ(), "F="+k.path("full/"+object), "O="+k.path("k/"+object), "D="+debug)
	if out, err := c.CombinedOutput(); err != nil {
		k.t.Fatalf("%s: %v\n%s", object, err, out)
	}
}

// strip makes k/ with a command. place returns where the debug file of an object is.
func (k *twoFiles) strip(command string, place func(object string) string) {
	k.t.Helper()
	for _, name := range k.objects() {
		k.sh(command, name, k.path(place(name)))
		if strings.Contains(name, "quiet") {
			k.sh("gzip $O", name, "")
		}
	}
	(&again{t: k.t}).settle()
}

// buildID returns where the debug file of an object is in a tree of build IDs, and for vmlinux,
// which has none, where its .gnu_debuglink is looked for.
func (k *twoFiles) buildID(object string) string {
	f, err := elf.Open(k.path("full/" + object))
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	id := f.BuildID()
	if id == "" {
		return "root" + k.path("k/"+object) + ".debug"
	}
	return "root/.build-id/" + id[:2] + "/" + id[2:] + ".debug"
}

// run runs kas on full/ or k/ and returns the exit code, what it printed, and the tables.
func (k *twoFiles) run(in, more string) (code int, out string, tables map[string]string) {
	k.t.Helper()
	config := strings.ReplaceAll("version: 1\nout: out-IN\nalias: {symbols: all}\n"+
		"builds: [{name: b, vmlinux: IN/vmlinux, modules: IN/modules", "IN", in) + more + "}]\n"
	if err := os.WriteFile(k.path(in+".yaml"), []byte(config), 0o644); err != nil {
		k.t.Fatal(err)
	}
	c := kasCommand(k.t, k.dir, "run", in+".yaml")
	var text bytes.Buffer
	c.Stdout, c.Stderr = &text, &text
	if c.Run(); c.ProcessState == nil {
		k.t.Fatal("kas did not run")
	}
	tables = map[string]string{}
	for _, name := range []string{"aliases.tsv", "unaliased.tsv", "vmlinux.syms"} {
		data, err := os.ReadFile(k.path("out-" + in + "/b/" + name))
		if err != nil {
			k.t.Fatalf("%v\n%s", err, &text)
		}
		tables[name] = strings.ReplaceAll(string(data), ".ko.gz\t", ".ko\t")
	}
	return c.ProcessState.ExitCode(), text.String(), tables
}

// equal runs kas on the stripped kernel and wants what the full one gives.
func (k *twoFiles) equal(more string) {
	k.t.Helper()
	before := contents(k.t, k.path("k"))
	code, out, got := k.run("k", more)
	if code != 0 {
		k.t.Errorf("code %d\n%s", code, out)
	}
	if d := cmp.Diff(k.want, got); d != "" {
		k.t.Errorf("(-full +stripped):\n%s\n%s", d, out)
	}
	if contents(k.t, k.path("k")) != before {
		k.t.Error("an input changed")
	}
	if c := kasCommand(k.t, k.dir, "verify", "out-k"); c.Run() != nil {
		k.t.Error("kas verify found a problem")
	}
	if _, out, _ := k.run("k", more); strings.Contains(out, "dedupe") {
		k.t.Errorf("the second run was not skipped:\n%s", out)
	}
}

// TestDebugFileForms: the forms in which tools write a debug file give the aliases of the object
// that was not stripped.
func TestDebugFileForms(t *testing.T) {
	const link = " && objcopy --strip-debug --add-gnu-debuglink=$D $F $O"
	all := newTwoFiles(t)
	for name, command := range map[string]string{
		"full":       "cp $F $D" + link,
		"objcopy":    "objcopy --only-keep-debug $F $D" + link,
		"llvm":       "llvm-objcopy-19 --only-keep-debug $F $D" + link,
		"numbers":    "objcopy --only-keep-debug -R .note.gnu.build-id $F $D" + link,
		"zlib":       "objcopy --only-keep-debug --compress-debug-sections=zlib $F $D" + link,
		"zdebug":     "objcopy --compress-debug-sections=zlib-gnu $F $D" + link,
		"eu-strip":   "eu-strip -f $D -o $O $F",
		"eu-strip-g": "eu-strip -g -f $D -o $O $F",
		"reloc":      "eu-strip --reloc-debug-sections -f $D -o $O $F",
		"no-symbols": "eu-strip --reloc-debug-sections -f $D -o $O $F && " +
			"if [ ${F##*/} = vmlinux ]; then strip -s --keep-section='.debug*' $D -o $D.new && " +
			"mv $D.new $D && objcopy -R .gnu_debuglink --add-gnu-debuglink=$D $O; fi",
	} {
		all.in(t, name, func(k *twoFiles) {
			place := k.buildID
			if name == "numbers" { // without its first section, and so proved by its checksum
				place = func(object string) string { return "k/" + object + ".debug" }
				k.sh("mkdir root", "vmlinux", "")
			}
			k.strip(command, place)
			k.equal(", debug: root")
		})
	}
}

// TestDebugFilePlaces: where gdb, elfutils and distributions have debug files.
func TestDebugFilePlaces(t *testing.T) {
	const command = "objcopy --only-keep-debug $F $D && " +
		"objcopy --strip-debug --add-gnu-debuglink=$D $F $O"
	const release = "6.12.0"
	all := newTwoFiles(t)
	if err := os.Mkdir(all.path("none"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		place func(k *twoFiles, object string) string
		more  string
	}{
		"beside":  {func(_ *twoFiles, o string) string { return "k/" + o + ".debug" }, ""},
		".debug":  {func(_ *twoFiles, o string) string { return dotDebug("k/" + o) }, ""},
		"renamed": {func(_ *twoFiles, o string) string { return dotDebug("k/"+o) + "2" }, ""},
		"below a root": {func(k *twoFiles, o string) string {
			return "root" + k.path("k/"+o) + ".debug"
		}, ", debug: root"},
		"unpacked package": {func(k *twoFiles, o string) string {
			return "root/usr/lib/debug" + k.path("k/"+o) + ".debug"
		}, ", debug: root"},
		"same tree": {func(_ *twoFiles, o string) string {
			return "root/" + strings.TrimPrefix(o, "modules/")
		}, ", debug: [none, root]"},
		"Debian": {func(_ *twoFiles, o string) string {
			return distribution(o, "root/boot/vmlinux-"+release, "root/lib/modules/"+release, "")
		}, ", debug: root"},
		"Fedora": {func(_ *twoFiles, o string) string {
			dir := "root/usr/lib/debug/lib/modules/" + release
			return distribution(o, dir+"/vmlinux", dir, ".debug")
		}, ", debug: root"},
	} {
		all.in(t, name, func(k *twoFiles) {
			k.strip(command, func(object string) string { return c.place(k, object) })
			k.equal(c.more)
		})
	}
}

func dotDebug(object string) string {
	return filepath.Join(filepath.Dir(object), ".debug", filepath.Base(object)+".debug")
}

func distribution(object, vmlinux, modules, suffix string) string {
	if object == "vmlinux" {
		return vmlinux
	}
	return modules + strings.TrimPrefix(object, "modules") + suffix
}

// refused runs kas on the stripped kernel and wants one line with each of the words, and no alias
// of the objects with the name in them.
func (k *twoFiles) refused(object string, words ...string) {
	k.t.Helper()
	(&again{t: k.t}).settle()
	code, out, got := k.run("k", ", debug: root")
	for _, word := range words {
		if strings.Count(once(out), word) != 1 {
			k.t.Errorf("not one %q in\n%s", word, out)
		}
	}
	if code != 1 || !strings.Contains(out, "\nkas: 1 problem:\n") {
		k.t.Errorf("code %d\n%s", code, out)
	}
	if object != "" && strings.Contains(got["aliases.tsv"], object+"\t") {
		k.t.Errorf("%s has aliases:\n%s", object, got["aliases.tsv"])
	}
}

// TestDebugFileRefused: a file that does not belong to the object is not used, and a run notices
// when it is replaced, appears or disappears.
func TestDebugFileRefused(t *testing.T) {
	k := newTwoFiles(t)
	const command = "objcopy --only-keep-debug $F $D && " +
		"objcopy --strip-debug --add-gnu-debuglink=$D $F $O"
	beside := func(object string) string { return "k/" + object + ".debug" }
	k.strip(command, beside)
	if err := os.Mkdir(k.path("root"), 0o755); err != nil {
		t.Fatal(err)
	}
	k.equal(", debug: root")
	const module = "modules/kernel/drivers/hwmon/lm75.ko"
	good, err := os.ReadFile(k.path(beside(module)))
	if err != nil {
		t.Fatal(err)
	}
	write := func(object string, data []byte) {
		t.Helper()
		if err := os.WriteFile(k.path(beside(object)), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	other, err := os.ReadFile(k.path(beside("modules/kernel/drivers/hwmon/coretemp.ko")))
	if err != nil {
		t.Fatal(err)
	}

	write(module, other)
	k.refused("lm75.ko", "kas: b: scan: kernel/drivers/hwmon/lm75.ko: the debug file is not "+
		"used: k/"+module+".debug: of another build: build ID ")
	write(module, good[:len(good)/2])
	k.refused("lm75.ko", "k/"+module+".debug: file ends before its section headers")
	write(module, []byte("text\n"))
	k.refused("lm75.ko", "k/"+module+".debug: not an ELF file")
	write(module, good)
	k.sh("objcopy -R .note.gnu.build-id $D && objcopy -R .gnu_debuglink $O", module,
		k.path(beside(module)))
	k.refused("lm75.ko", "k/"+module+".debug: without a build ID, want ")

	// A symbol that the debug file does not have is not located, whatever is at its address.
	write(module, good)
	k.sh("objcopy --redefine-sym name_show=other_show $D", module, k.path(beside(module)))
	(&again{t: k.t}).settle()
	code, out, got := k.run("k", ", debug: root")
	if code != 0 || strings.Contains(got["aliases.tsv"], "name_show@drivers_hwmon_lm75") ||
		!strings.Contains(got["unaliased.tsv"], "not among the symbols of the debug file\n") {
		t.Errorf("without a symbol: code %d\n%s%s", code, out, got["unaliased.tsv"])
	}

	// Without a debug file the object is one of those that are counted in one line.
	for _, object := range []string{module, "modules/kernel/drivers/hwmon/coretemp.ko"} {
		if err := os.Remove(k.path(beside(object))); err != nil {
			t.Fatal(err)
		}
	}
	k.refused("lm75.ko", "no debugging information among",
		"(the same for 1 more objects of the build)", "linux-image-6.12.0-dbg",
		"below root, root/usr/lib/debug: ")
	write("modules/kernel/drivers/hwmon/coretemp.ko", other)
	write(module, good)
	(&again{t: k.t}).settle()
	k.equal(", debug: root")

	// A build without any debugging information has no problem. The next run notices when it
	// appears.
	if err := os.Rename(k.path("k"), k.path("kept")); err != nil {
		t.Fatal(err)
	}
	k.strip("objcopy --strip-debug --add-gnu-debuglink=kept/${O##*/k/}.debug $F $O", beside)
	for _, skipped := range []bool{false, true} {
		code, out, got := k.run("k", ", debug: root")
		if code != 0 || strings.Contains(got["aliases.tsv"], "subprogram") ||
			strings.Count(out, "kas: b: no object has debugging information, ") != 1 ||
			strings.Contains(out, "dedupe") == skipped {
			t.Errorf("without debug files: code %d\n%s%s", code, out, got["aliases.tsv"])
		}
	}
	k.sh("cd kept && find . -name '*.debug' -exec cp {} ../k/{} \\;", "vmlinux", "")
	(&again{t: k.t}).settle()
	k.equal(", debug: root")

	// vmlinux has no build ID: the checksum of its debug file counts.
	debug, err := os.ReadFile(k.path("k/vmlinux.debug"))
	if err != nil {
		t.Fatal(err)
	}
	write("vmlinux", append(debug, 0))
	k.refused("vmlinux", "k/vmlinux.debug: of another build: CRC ")
	k.sh("objcopy -R .gnu_debuglink $O", "vmlinux", "")
	k.refused("vmlinux", "k/vmlinux.debug: nothing proves that it belongs to the object")
}

// TestSigned: modules with a signature, as the kernel's build appends it, also compressed ones.
func TestSigned(t *testing.T) {
	k := newTwoFiles(t)
	k.strip("objcopy --only-keep-debug $F $D; objcopy --strip-debug $F $O; "+
		"if [ ${F##*/} != vmlinux ]; then printf 'PKCS#7~Module signature appended~\\n' >> $O; "+
		"else objcopy --add-gnu-debuglink=$D $O; fi",
		k.buildID)
	k.equal(", debug: root")
	const says = "kas: b: 9 copies are of signed modules and have no signature: sign them again"
	if _, out, _ := k.run("k", ", debug: root"); strings.Count(out, says) != 1 {
		t.Errorf("not one %q in\n%s", says, out)
	}
	if _, out, _ := k.run("full", ""); strings.Contains(out, "signed") {
		t.Error(out)
	}
}

// TestDwz: parts of the debugging information of vmlinux are in partial units, or in a file that
// several objects share. dwz does not work on modules.
func TestDwz(t *testing.T) {
	need.Tools(t, "dwz")
	const (
		keep   = "objcopy --only-keep-debug $F $D; "
		only   = "if [ ${F##*/} = vmlinux ]; then mkdir -p root/.dwz; cp $D twin; "
		shared = "test -s root/.dwz/s; fi; "
		link   = "objcopy --strip-debug --add-gnu-debuglink=$D $F $O"
	)
	all := newTwoFiles(t)
	for name, command := range map[string]string{
		"partial units": keep + only + "dwz $D; fi; " + link,
		"absolute":      keep + only + "dwz -m root/.dwz/s -M /usr/lib/.dwz/s $D twin; " + shared + link,
		"relative":      keep + only + "dwz -m root/.dwz/s -r $D twin; " + shared + link,
		"DWARF 5": keep + only + "dwz -5 -m root/.dwz/s -M /none/s $D twin; " +
			"readelf -S $D | grep -q debug_sup; " + shared + link,
		"not stripped": "cp $F $D; " + only + "dwz -m root/.dwz/s -r $D twin; " + shared +
			"cp $D $O",
	} {
		all.in(t, name, func(k *twoFiles) {
			k.strip(command, k.buildID)
			k.equal(", debug: root")
		})
	}
}

// TestDwzOrigins: dwz moves the abstract instance of a header's function, which has its name, file
// and line, to a partial unit or to the shared file.
func TestDwzOrigins(t *testing.T) {
	need.Tools(t, "gcc", "ld", "dwz", "readelf")
	k := &twoFiles{t: t, dir: t.TempDir()}
	const header = "static int from_header(int x)\n{\n\tasm volatile(\"\");\n\treturn x * 3;\n}\n" +
		"struct s { int a, b; struct s *next; };\n"
	source := func(name string) string {
		return "#include \"h.h\"\nint (*volatile p_" + name + ")(int) = from_header;\n" +
			"int " + name + "(struct s *s) { return from_header(s->a) + p_" + name + "(s->b); }\n"
	}
	for name, text := range map[string]string{
		"h.h": header, "one.c": source("one"), "two.c": source("two"),
		"kas.yaml": "version: 1\nout: out\nbuilds: [{name: plain, vmlinux: plain}, " +
			"{name: single, vmlinux: single}, {name: shared, vmlinux: shared}]\n",
	} {
		if err := os.WriteFile(k.path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	k.sh("gcc -O2 -g -c one.c two.c && ld -e one -o plain one.o two.o && "+
		"dwz plain -o single && cp plain shared && cp plain twin && dwz -m s.dwz -r shared twin && "+
		"readelf -wN --debug-dump=abbrev shared | grep 'abstract_origin.*GNU_ref_alt' && "+
		"readelf --debug-dump=abbrev single | grep 'abstract_origin.*ref_addr'", "", "")
	out, err := kasCommand(t, k.dir, "run", "kas.yaml").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := os.ReadFile(k.path("out/plain/aliases.tsv"))
	if err != nil || strings.Count(string(want), "from_header@h_h_") != 2 {
		t.Fatalf("%v\n%s", err, want)
	}
	for _, name := range []string{"single", "shared"} {
		got, err := os.ReadFile(k.path("out/" + name + "/aliases.tsv"))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s (-plain +dwz):\n%s", name, d)
		}
	}
}
