package registry

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

var testHeader = Header{Arch: "x86_64", Toolchain: "gcc", Release: "6.1.0", BuildID: "0123abcd", Policy: "separator=@", Symbols: 5}

var testNames = [][]Record{
	{{Name: "alone", Object: "vmlinux", Section: ".text", Address: 0xffffffff81000010, Size: 16, Type: 't', Count: 1, Position: 1}},
	{
		{Name: "name_show", Object: "vmlinux", Section: ".text", Address: 0xffffffff81000100, Size: 32, Type: 't', Count: 2, Position: 1,
			Base: "name_show", Alias: "name_show@a_c_3", File: "a.c", Line: 3, Unit: "a.c", Method: "subprogram"},
		{Name: "name_show", Object: "m.ko", Section: ".text", Address: 0, Size: 32, Type: 't', Count: 2, Position: 1, Base: "name_show"},
	},
	{{Name: "name_show.cold", Object: "m.ko", Section: ".text.unlikely", Address: 8, Size: 4, Type: 't', Count: 1, Position: 1}},
	{{Name: "name_show.llvm.77", Object: "n.ko", Section: ".text", Address: 16, Size: 4, Type: 'T', Count: 1, Position: 1, Base: "name_show"}},
}

// file is the text of a registry.
func file(h Header, names [][]Record) []byte {
	var lines []byte
	for _, records := range names {
		lines = AppendName(lines, records)
	}
	head := NewHead(h)
	empty := len(head.Bytes())
	head.Add(lines)
	if full := len(head.Bytes()); full != empty {
		panic(fmt.Sprintf("the header has %d bytes, and had %d before the lines", full, empty))
	}
	return append(head.Bytes(), lines...)
}

func TestFormat(t *testing.T) {
	out := string(file(testHeader, testNames))
	want := strings.Join([]string{
		"#arch\tx86_64",
		"#build-id\t0123abcd",
		"#columns\tname object section address size type count position base alias file line unit source",
		"#digest\tcrc32=DIGEST bytes=000000000554",
		"#format\tkas symbols 1",
		"#policy\tseparator=@",
		"#release\t6.1.0",
		"#symbols\t5",
		"#toolchain\tgcc",
		"alone\tvmlinux\t.text\tffffffff81000010\t16\tt\t1\t1\t\t\t\t\t\t",
		"name_show\tm.ko\t.text\t0\t32\tt\t2\t1\tname_show\t\t\t\t\t",
		"name_show\tvmlinux\t.text\tffffffff81000100\t32\tt\t2\t1\tname_show\tname_show@a_c_3\ta.c\t3\ta.c\tsubprogram",
		"name_show.cold\tm.ko\t.text.unlikely\t8\t4\tt\t1\t1\t\t\t\t\t\t",
		"name_show.llvm.77\tn.ko\t.text\t10\t4\tT\t1\t1\tname_show\t\t\t\t\t",
	}, "\n") + "\n"
	// What docs/registry.md tells a user to compute: the CRC-32 of the file without the line of the digest.
	var others string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "#digest") {
			others += line
		}
	}
	want = strings.Replace(want, "DIGEST", fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(others))), 1)
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
	if len(out) != 554 {
		t.Errorf("%d bytes", len(out))
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if !slices.IsSorted(lines) {
		t.Error("not in the order of LC_ALL=C sort")
	}
	for _, line := range lines {
		if n := strings.Count(line, "\t") + 1; line[0] != '#' && n != len(Columns) {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "symbols.kas")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, data []byte) *File {
	t.Helper()
	f, err := Open(write(t, data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func compressed(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func TestOpen(t *testing.T) {
	data := file(testHeader, testNames)
	for kind, data := range map[string][]byte{"plain": data, "zstd": compressed(t, data)} {
		f := open(t, data)
		if d := cmp.Diff(testHeader, f.Header); d != "" {
			t.Errorf("%s: header: %s", kind, d)
		}
		var want []Record
		for _, records := range testNames {
			sorted := slices.Clone(records)
			slices.SortFunc(sorted, func(a, b Record) int { return strings.Compare(a.Object, b.Object) })
			want = append(want, sorted...)
		}
		if d := cmp.Diff(want, slices.Collect(f.Prefixed(""))); d != "" {
			t.Errorf("%s: %s", kind, d)
		}
	}
}

// Every byte that is changed, cut off or added is noticed.
func TestOpenDamaged(t *testing.T) {
	data := file(testHeader, testNames)
	try := func(what string, data []byte) {
		if f, err := Open(write(t, data)); err == nil {
			f.Close()
			t.Errorf("%s: taken", what)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range data {
		for _, c := range []byte{data[i] ^ 1, '\n', '\t', '0'} {
			if c != data[i] {
				edited := slices.Clone(data)
				edited[i] = c
				try(fmt.Sprintf("byte %d is %q", i, c), edited)
			}
		}
		try(fmt.Sprintf("cut at %d", i), data[:i])
	}
	try("a line more", append(slices.Clone(data), "zzz\tvmlinux\t.text\t0\t0\tt\t1\t1\t\t\t\t\t\t\n"...))
	packed := compressed(t, data)
	for i := range packed {
		try(fmt.Sprintf("zstd cut at %d", i), packed[:i])
	}
}

func TestOpenRefused(t *testing.T) {
	data := file(testHeader, testNames)
	newer := bytes.Replace(data, []byte("kas symbols 1"), []byte("kas symbols 2"), 1)
	for _, c := range []struct{ data, want string }{
		{string(newer), "format 2 of a newer kas; this one reads format 1"},
		{"", "empty file"},
		{"ffffffff81000000 T _text\n", "not a registry of kas (symbols.kas)"},
		{"#format\tkas symbols 1\nfoo\n", "the header is not complete: the file was cut or edited, or written by a kas before its release"},
		{string(data[:500]), "the file has 500 bytes, and was written with 554: it was cut or edited"},
		{strings.Replace(string(data), "81000010", "81000020", 1), "CRC-32 is 6dfb1022, and was 81672737 when it was written: the file was edited or damaged"},
	} {
		_, err := Open(write(t, []byte(c.data)))
		if err == nil || err.Error() != c.want {
			t.Errorf("%q\nwant %q", err, c.want)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || err.Error() != "no regular file" {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil || err.Error() != "no such file or directory" {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	f := open(t, file(testHeader, testNames))
	names := func(records []Record) string {
		var all []string
		for _, r := range records {
			all = append(all, r.Name+" "+r.Object)
		}
		return strings.Join(all, ", ")
	}
	for _, c := range []struct {
		what, want string
		got        []Record
	}{
		{"named", "alone vmlinux", slices.Collect(f.Named("alone"))},
		{"named, several", "name_show m.ko, name_show vmlinux", slices.Collect(f.Named("name_show"))},
		{"named, a prefix", "", slices.Collect(f.Named("name_sho"))},
		{"named, before all", "", slices.Collect(f.Named("A"))},
		{"named, after all", "", slices.Collect(f.Named("zoo"))},
		{"based", "name_show m.ko, name_show vmlinux, name_show.llvm.77 n.ko", slices.Collect(f.Based("name_show"))},
		{"based, kept suffix", "name_show.cold m.ko", slices.Collect(f.Based("name_show.cold"))},
		{"prefixed", "name_show.cold m.ko, name_show.llvm.77 n.ko", slices.Collect(f.Prefixed("name_show."))},
		{"holding", "name_show vmlinux", slices.Collect(f.Holding("a.c"))},
		{"in a file", "name_show vmlinux", slices.Collect(f.In("a.c"))},
		{"in no file", "", slices.Collect(f.In(".c"))},
		{"of an object", "name_show m.ko, name_show.cold m.ko", slices.Collect(f.Of("m.ko"))},
		{"of no object", "", slices.Collect(f.Of(".ko"))},
		{"at", "name_show vmlinux", slices.Collect(f.At("vmlinux", "", 0xffffffff8100011f))},
		{"at none", "", slices.Collect(f.At("vmlinux", "", 0xffffffff81000120))},
		{"at an offset", "name_show.cold m.ko", slices.Collect(f.At("m.ko", ".text.unlikely", 9))},
	} {
		if got := names(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestDiffers(t *testing.T) {
	other := testHeader
	other.BuildID = ""
	if d := testHeader.Differs(&other); d != "" {
		t.Error(d)
	}
	other.BuildID = "ff"
	if d := testHeader.Differs(&other); d != "build ID 0123abcd, not ff" {
		t.Error(d)
	}
}

func TestModuleName(t *testing.T) {
	for object, want := range map[string]string{
		"vmlinux": "", "fs/xfs/xfs.ko": "xfs", "kernel/drivers/leds/led-class.ko.xz": "led_class", "led-class.ko.kas": "led_class", "drivers/a-b.o": "a_b",
	} {
		if got := ModuleName(object); got != want {
			t.Errorf("%s: %s, want %s", object, got, want)
		}
	}
}
