package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"kas/need"
)

// standIn is the name that TestControlBytes replaces in an object.
const standIn = "placeholder"

// named are modules with the stand-in, as another kind of name in each.
var named = map[string]string{
	"declaration": "#line 5 \"placeholder\"\n" + plainSource,
	"section":     "asm(\".section placeholder,\\\"ax\\\"\\nnop\\n.text\");\n" + plainSource,
	"symbol":      "void placeholder(void) {}\n" + plainSource,
	"module": "char m[] __attribute__((section(\".modinfo\"))) = \"name=placeholder\";\n" +
		plainSource,
	"release": "char m[] __attribute__((section(\".modinfo\"))) = \"vermagic=placeholder SMP\";\n" +
		plainSource,
	"file symbol": "asm(\".file \\\"placeholder\\\"\");\n" + plainSource,
}

const plainSource = "static int __attribute__((noinline)) foo(int x) " +
	"{ asm volatile(\"\"); return x; }\nint a(int x) { return foo(x) + 1; }\n"

// TestControlBytes runs kas on objects whose names have control bytes. Each costs itself alone: one
// line, without a control byte, and the tables are those of the other objects.
func TestControlBytes(t *testing.T) {
	gcc := need.Tool(t, "gcc")
	for kind, source := range named {
		for what, name := range map[string]string{
			"tab": "a\tb", "newline": "a\n#x\ty", "escape": "\x1b[31mred", "delete": "a\x7fb",
		} {
			if kind == "release" && what != "escape" && what != "delete" {
				continue // white space ends the release
			}
			t.Run(kind+"/"+what, func(t *testing.T) {
				t.Parallel()
				dir := withGood(t, gcc)
				path := filepath.Join(dir, "m", "bad.ko")
				compileModule(t, gcc, source, path)
				object, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				name += strings.Repeat("x", len(standIn)-len(name))
				object = bytes.ReplaceAll(object, []byte(standIn), []byte(name))
				if err := os.WriteFile(path, object, 0o644); err != nil {
					t.Fatal(err)
				}
				checkCost(t, dir)
			})
		}
	}
	t.Run("module's file", func(t *testing.T) {
		for _, name := range []string{"a\tb.ko", "a\nb.ko", "\x1b[31m.ko", "\x7f.ko"} {
			dir := withGood(t, gcc)
			compileModule(t, gcc, plainSource, filepath.Join(dir, "m", name))
			checkCost(t, dir)
		}
	})
}

// withGood makes a folder with a build of two good modules, and what a run makes of it.
func withGood(t *testing.T, gcc string) string {
	t.Helper()
	dir := t.TempDir()
	yaml := "version: 1\nbuilds: [{name: k, modules: m}]\n"
	if err := os.WriteFile(filepath.Join(dir, "kas.yaml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x.ko", "y.ko"} {
		compileModule(t, gcc, plainSource, filepath.Join(dir, "m", name))
	}
	var stdout, stderr bytes.Buffer
	args := []string{"run", filepath.Join(dir, "kas.yaml"), "--out", filepath.Join(dir, "good")}
	code := run(args, &stdout, &stderr)
	if code != 0 {
		t.Fatal(stderr.String())
	}
	return dir
}

// compileModule compiles a module.
func compileModule(t *testing.T, gcc, source, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(gcc, "-O1", "-g", "-c", "-x", "c", "-o", path, "-")
	c.Stdin = strings.NewReader(source)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// checkCost runs the build of withGood with one more module, which costs itself alone.
func checkCost(t *testing.T, dir string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run([]string{"run", filepath.Join(dir, "kas.yaml"), "--out", filepath.Join(dir, "out")},
		&stdout, &stderr)
	about := 0
	for line := range strings.Lines(stderr.String()) {
		if strings.Contains(line, "which a table cannot contain") {
			about++
		}
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), unicode.IsControl) ||
			!strings.HasPrefix(line, "kas: ") {
			t.Errorf("stderr: %q", line)
		}
	}
	if code != exitFailed || about != 2 { // at once, and at the end
		t.Errorf("exit code %d, %d lines about the module:\n%s", code, about, stderr.String())
	}
	good, err := os.ReadFile(filepath.Join(dir, "good/k/aliases.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(dir, "out"), func(
		path string, e fs.DirEntry, err error,
	) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".ko.kas") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, c := range string(text) {
			if c != '\n' && c != '\t' && unicode.IsControl(c) {
				t.Errorf("%s has %q", path, c)
				break
			}
		}
		if e.Name() == "aliases.tsv" && !bytes.Equal(text, good) {
			t.Errorf("aliases.tsv:\n%s\nwant:\n%s", text, good)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestScreen escapes on a terminal, also a character that is written in parts, and leaves a pipe as
// it is.
func TestScreen(t *testing.T) {
	var b bytes.Buffer
	if w := screened(&b, false); w != &b {
		t.Error("a buffer is no terminal")
	}
	s := screened(&b, true)
	for _, part := range []string{"é\xc3", "\xa9\t\x1b[0m\n", "\xc2", "\x9b", "\xe2\x82x", "ok\n"} {
		if n, err := s.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%q: %d, %v", part, n, err)
		}
	}
	if want := "éé\t\\x1b[0m\n\\u009b\\xe2\\x82xok\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	master, slave := openTerminal(t, 80)
	if _, err := screened(slave, false).Write([]byte("\x1b[31mred")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 64)
	n, err := unix.Read(int(master.Fd()), got)
	if want := `\x1b[31mred`; err != nil || string(got[:n]) != want {
		t.Errorf("%q, error %v, want %q", got[:n], err, want)
	}
}
