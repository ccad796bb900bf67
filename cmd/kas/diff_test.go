package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"kas/demo"
	"kas/need"
	"kas/registry"
)

// demoRegistries runs kas on the demo's kernels and returns the folder of the output.
func demoRegistries(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, demo.FS); err != nil {
		t.Fatal(err)
	}
	if out, err := kasCommand(t, dir, "run", "demo.yaml").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "out")
}

// TestDiffOutput compares any two builds: the text fits a terminal, and a compressed registry gives
// the same list.
func TestDiffOutput(t *testing.T) {
	out := demoRegistries(t)
	builds := []string{"x86_64-gcc", "x86_64-clang", "x86_64-clang-lto", "arm64-gcc", "s390x-gcc"}
	for _, a := range builds {
		for _, b := range builds {
			text, err := kasCommand(t, out, "diff", a, b).Output()
			if err != nil {
				t.Fatalf("%s %s: %v", a, b, err)
			}
			for line := range strings.Lines(string(text)) {
				line = strings.TrimSuffix(line, "\n")
				n := utf8.RuneCountInString(line)
				if n > 80 || strings.TrimRight(line, " ") != line {
					t.Errorf("%s %s: %d columns: %q", a, b, n, line)
				}
			}
		}
	}
	plain, err := os.ReadFile(filepath.Join(out, "x86_64-clang", registry.FileName))
	if err != nil {
		t.Fatal(err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(out, "packed")
	if err := os.Mkdir(packed, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(packed, registry.FileName+".zst")
	if err := os.WriteFile(file, w.EncodeAll(plain, nil), 0o644); err != nil {
		t.Fatal(err)
	}
	var lists [2][]byte
	for i, b := range []string{"x86_64-clang", "packed"} {
		lists[i], err = kasCommand(t, out, "diff", "x86_64-gcc", b, "--list").Output()
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(lists[0]) == 0 || !bytes.Equal(lists[0], lists[1]) {
		t.Error("the compressed registry gives another list")
	}
}

// TestDiffReused reports an alias that names another function in full, in the text and as a
// translation.
func TestDiffReused(t *testing.T) {
	dir := t.TempDir()
	header := registry.Header{Arch: "x86_64", Release: "6.12.0", Symbols: 2}
	for name, lines := range map[string]string{
		"a": "last\tm.ko\t.bss\t0\t8\tb\t2\t1\tlast\tlast@m_c_324\tm.c\t324\tm.c\tvariable\n" +
			"last\tm.ko\t.bss\t8\t8\tb\t2\t2\tlast\tlast@m_c_434\tm.c\t434\tm.c\tvariable\n",
		"b": "last\tm.ko\t.bss\t0\t8\tb\t2\t1\tlast\tlast@m_c_434\tm.c\t434\tm.c\tvariable\n" +
			"last\tm.ko\t.bss\t8\t8\tb\t2\t2\tlast\tlast@m_c_501\tm.c\t501\tm.c\tvariable\n",
	} {
		head := registry.NewHead(header)
		head.Add([]byte(lines))
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, append(head.Bytes(), lines...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := kasCommand(t, dir, "diff", "a", "b").Output()
	const want = `
REUSED: aliases of A that name ANOTHER symbol in B:
  last@m_c_434
    is m.c:434 of m.ko
    and what it named in A is now last@m_c_501
`
	if err != nil || !strings.HasSuffix(string(text), want) {
		t.Errorf("%v\n%s", err, text)
	}
	var stderr strings.Builder
	c := kasCommand(t, dir, "diff", "a", "b", "last@m_c_434")
	c.Stderr = &stderr
	text, err = c.Output()
	if err != nil || string(text) != "last@m_c_434\tlast@m_c_501\treused\n" ||
		stderr.String() != "kas: last@m_c_434: names another symbol in B: last@m_c_434 in m.ko\n" {
		t.Errorf("%v\n%s%s", err, text, &stderr)
	}
	stderr.Reset()
	c = kasCommand(t, dir, "diff", "a", "b", "--fail-on", "reused")
	c.Stderr = &stderr
	const reused = "kas: reused: aliases of A that name other symbols in B: last@m_c_434\n"
	if err := c.Run(); err == nil || stderr.String() != reused {
		t.Errorf("%v\n%s", err, &stderr)
	}
}

// TestDiffWriteError wants an error if a write fails, not a shorter diff.
func TestDiffWriteError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		need.Missing(t, err.Error())
	}
	defer full.Close()
	out := demoRegistries(t)
	for _, flags := range [][]string{
		nil, {"--list"}, {"--json"}, {"name_show@drivers_pnp_card_c_9"},
	} {
		c := kasCommand(t, out, append([]string{"diff", "x86_64-gcc", "x86_64-clang"}, flags...)...)
		var stderr strings.Builder
		c.Stdout, c.Stderr = full, &stderr
		err := c.Run()
		if err == nil || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%v: %v, %s", flags, err, stderr.String())
		}
	}
}
