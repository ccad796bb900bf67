package registry

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

var testHeader = Header{Arch: "x86_64", Toolchain: "gcc", Release: "6.1.0", BuildID: "0123abcd",
	Policy: "separator=@", Symbols: 5}

var testNames = [][]Record{
	{{Name: "alone", Object: "vmlinux", Section: ".text", Address: 0xffffffff81000010, Size: 16,
		Type: 't', Count: 1, Position: 1}},
	{
		{Name: "name_show", Object: "vmlinux", Section: ".text", Address: 0xffffffff81000100,
			Size: 32, Type: 't', Count: 2, Position: 1, Base: "name_show", Alias: "name_show@a_c_3",
			File: "a.c", Line: 3, Unit: "a.c", Method: "subprogram"},
		{Name: "name_show", Object: "m.ko", Section: ".text", Address: 0, Size: 32, Type: 't',
			Count: 2, Position: 1, Base: "name_show"},
	},
	{{Name: "name_show.cold", Object: "m.ko", Section: ".text.unlikely", Address: 8, Size: 4,
		Type: 't', Count: 1, Position: 1}},
	{{Name: "name_show.llvm.77", Object: "n.ko", Section: ".text", Address: 16, Size: 4, Type: 'T',
		Count: 1, Position: 1, Base: "name_show"}},
}

// file returns the text of a registry.
func file(h Header, names [][]Record) []byte {
	var lines []byte
	for _, records := range names {
		lines = AppendName(lines, records)
	}
	return withHeader(h, lines)
}

// withHeader returns a file that passes the digest check, whatever its lines are.
func withHeader(h Header, lines []byte) []byte {
	head := NewHead(h)
	empty := len(head.Bytes())
	head.Add(lines)
	if full := len(head.Bytes()); full != empty {
		panic(fmt.Sprintf("the header has %d bytes, but %d before the lines", full, empty))
	}
	return append(head.Bytes(), lines...)
}

// redigest replaces the digest of an edited file by the digest of what it is now.
func redigest(data string) string {
	var others strings.Builder
	var digest string
	for line := range strings.Lines(data) {
		if strings.HasPrefix(line, digestKey) {
			digest = line
		} else {
			others.WriteString(line)
		}
	}
	now := digestLine(crc32.ChecksumIEEE([]byte(others.String())), int64(len(data)))
	return strings.Replace(data, digest, string(now), 1)
}

func TestFormat(t *testing.T) {
	out := string(file(testHeader, testNames))
	want := strings.Join([]string{
		"#arch\tx86_64",
		"#build-id\t0123abcd",
		"#columns\tname object section address size type count position base alias file line " +
			"unit source",
		"#digest\tcrc32=DIGEST bytes=000000000554",
		"#format\tkas symbols 2",
		"#policy\tseparator=@",
		"#release\t6.1.0",
		"#symbols\t5",
		"#toolchain\tgcc",
		"alone\tvmlinux\t.text\tffffffff81000010\t16\tt\t1\t1\t\t\t\t\t\t",
		"name_show\tm.ko\t.text\t0\t32\tt\t2\t1\tname_show\t\t\t\t\t",
		"name_show\tvmlinux\t.text\tffffffff81000100\t32\tt\t2\t1\tname_show\tname_show@a_c_3" +
			"\ta.c\t3\ta.c\tsubprogram",
		"name_show.cold\tm.ko\t.text.unlikely\t8\t4\tt\t1\t1\t\t\t\t\t\t",
		"name_show.llvm.77\tn.ko\t.text\t10\t4\tT\t1\t1\tname_show\t\t\t\t\t",
	}, "\n") + "\n"
	// The digest as docs/registry.md describes it: the CRC-32 of the file without its own line.
	var others string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "#digest") {
			others += line
		}
	}
	digest := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(others)))
	if d := cmp.Diff(strings.Replace(want, "DIGEST", digest, 1), out); d != "" {
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

// TestFormatWholeHeader checks the keys that few files have.
func TestFormatWholeHeader(t *testing.T) {
	h := Header{Arch: "a", Toolchain: "t", LTO: "l", Release: "r", BuildID: "b", Policy: "p",
		OverlayOf: "o", Symbols: 1, Incomplete: Missing([]string{"a.ko", "b, c.ko", "d\n.ko"}),
		Modules: []Module{{"a-b.ko", "a_b", "0123"}, {"m.ko", "n", ""}}}
	if d := cmp.Diff(h, open(t, file(h, testNames[:1])).Header); d != "" {
		t.Error(d)
	}
}

// TestOpenFormat1 opens a file of the format before the modules were in the header.
func TestOpenFormat1(t *testing.T) {
	data := strings.Replace(
		string(file(testHeader, testNames)),
		"kas symbols 2",
		"kas symbols 1",
		1,
	)
	f := open(t, []byte(redigest(data)))
	if d := cmp.Diff(testHeader, f.Header); d != "" {
		t.Error(d)
	}
}

// TestMissing limits what a header names.
func TestMissing(t *testing.T) {
	var objects []string
	for i := range 12 {
		objects = append(objects, fmt.Sprintf("%d.ko", i))
	}
	for n, want := range map[int]string{
		0: "", 1: "incomplete: 1 object could not be read (0.ko)",
		2: "incomplete: 2 objects could not be read (0.ko, 1.ko)",
		12: "incomplete: 12 objects could not be read (0.ko, 1.ko, 2.ko, 3.ko, 4.ko, 5.ko, 6.ko, " +
			"7.ko, 8.ko, 9.ko, and 2 more)",
	} {
		i := Missing(objects[:n])
		if got := i.String(); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	i := Missing([]string{"a\tb", "c, d", `e"f`})
	if want := `"a\tb", "c, d", "e\"f"`; i.Names != want {
		t.Errorf("%s, want %s", i.Names, want)
	}
}

// TestRenamed has a module whose name is not that of its file, with and without an overlay.
func TestRenamed(t *testing.T) {
	h := testHeader
	h.Modules = []Module{{"m.ko", "other", "0123"}, {"n.ko", "n", "45"}}
	base := open(t, file(h, testNames))
	modules := func(r *Registry) map[string]string {
		all := map[string]string{}
		for _, s := range lookups(t, r, "name_show*", "x_show*") {
			all[s.Object] = s.Module() + " " + r.ModuleBuildID(s.Object)
		}
		return all
	}
	want := map[string]string{"vmlinux": " ", "m.ko": "other 0123", "n.ko": "n 45"}
	r := &Registry{File: base}
	if d := cmp.Diff(want, modules(r)); d != "" {
		t.Error(d)
	}
	// The overlay has a module built later and restates a symbol of m.ko.
	var b bytes.Buffer
	err := WriteOverlay(&b, base, []Module{{"x-1.ko", "x", "67"}}, []Record{
		{Name: "x_show", Object: "x-1.ko", Section: ".text", Type: 't', Position: 1, Renamed: "x"},
		testNames[1][0],
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Overlay = open(t, b.Bytes())
	r.setOverlay(r.Overlay.Prefixed(""))
	want["x-1.ko"] = "x 67"
	if d := cmp.Diff(want, modules(r)); d != "" {
		t.Error(d)
	}
}

// lookups is Lookup for several patterns.
func lookups(t *testing.T, r *Registry, patterns ...string) (all []Record) {
	t.Helper()
	for _, p := range patterns {
		found, err := r.Lookup(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), FileName)
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
	for kind, data := range map[string][]byte{"text": data, "zstd": compressed(t, data)} {
		f := open(t, data)
		if d := cmp.Diff(testHeader, f.Header); d != "" {
			t.Errorf("%s: header: %s", kind, d)
		}
		var want []Record
		for _, records := range testNames {
			sorted := slices.Clone(records)
			slices.SortFunc(sorted, func(a, b Record) int {
				return strings.Compare(a.Object, b.Object)
			})
			want = append(want, sorted...)
		}
		if d := cmp.Diff(want, slices.Collect(f.Prefixed(""))); d != "" {
			t.Errorf("%s: %s", kind, d)
		}
	}
}

// TestOpenDamaged changes every byte, cuts the file at every byte and adds a line.
func TestOpenDamaged(t *testing.T) {
	data := file(testHeader, testNames)
	try := func(what string, data []byte) {
		if err := new(File).parse(data); err == nil {
			t.Errorf("%s: accepted", what)
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
	line := "zzz\tvmlinux\t.text\t0\t0\tt\t1\t1\t\t\t\t\t\t\n"
	try("another line", append(slices.Clone(data), line...))
}

func TestOpenDamagedZstd(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName+".zst")
	packed := compressed(t, file(testHeader, testNames))
	for i := 0; i < len(packed); i += 7 {
		if err := os.WriteFile(path, packed[:i], 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(path); err == nil {
			f.Close()
			t.Errorf("opened, cut at %d of %d", i, len(packed))
		}
	}
}

func TestOpenRefused(t *testing.T) {
	data := string(file(testHeader, testNames))
	edit := func(old, new string) string {
		if !strings.Contains(data, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(data, old, new, 1)
	}
	const (
		notKas     = "not a registry of kas (symbols.kas)"
		incomplete = "incomplete header: the file was cut or edited, " +
			"or written by a kas before its release"
	)
	columns := "name object section address size type count position base alias file line unit"
	for _, c := range []struct{ data, want string }{
		// A file of another format may have another digest, so its format is checked first.
		{edit("kas symbols 2", "kas symbols 3"),
			"format 3 of a newer kas; this one reads formats 1 to 2"},
		{edit("kas symbols 2", "other symbols 1"), notKas},
		{edit("kas symbols 2", "kas symbols x"), notKas},
		{"", "empty file"},
		{"ffffffff81000000 T _text\n", notKas},
		{"#format\tkas symbols 2\nfoo\n", incomplete},
		{redigest(edit("#symbols\t5\n", "")), incomplete},
		{edit("#digest\tcrc32=ac92e834 bytes=000000000554\n", ""), incomplete},
		{redigest(edit(" unit source\n", " unit\n")),
			fmt.Sprintf("columns %q are not those of format 2", columns)},
		{edit("crc32=ac92e834", "md5=0123456789"),
			`unreadable digest "md5=0123456789 bytes=000000000554": the file was edited`},
		{edit("crc32=ac92e834", "crc32=ac92e83F"),
			`misspelled digest "crc32=ac92e83F bytes=000000000554": the file was edited`},
		{edit("bytes=000000000554", "bytes=0554"),
			`misspelled digest "crc32=ac92e834 bytes=0554": the file was edited`},
		{data[:500], "500 bytes, but 554 were written: the file was cut or edited"},
		{edit("81000010", "81000020"),
			"CRC-32 is 400edf21, but ac92e834 was written: the file was edited or damaged"},
		{redigest(strings.TrimSuffix(data, "\n")), "the last line has no newline"},
	} {
		_, err := Open(write(t, []byte(c.data)))
		if err == nil || err.Error() != c.want {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		t.TempDir():                           "not a regular file",
		pipe:                                  "not a regular file",
		filepath.Join(t.TempDir(), "missing"): "no such file or directory",
	} {
		if _, err := Open(path); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// TestOpenSkipsOtherKeys checks that a header may have keys that this version does not know.
func TestOpenSkipsOtherKeys(t *testing.T) {
	data := string(file(testHeader, testNames))
	more := redigest(strings.Replace(data, "#symbols", "#later\tx\n#symbols", 1))
	if d := cmp.Diff(testHeader, open(t, []byte(more)).Header); d != "" {
		t.Error(d)
	}
}

func TestInFolder(t *testing.T) {
	dir := t.TempDir()
	if got := InFolder(dir); got != "" {
		t.Errorf("%s in an empty folder", got)
	}
	packed, text := filepath.Join(dir, FileName+".zst"), filepath.Join(dir, FileName)
	for _, path := range []string{packed, text} { // the uncompressed file is preferred
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := InFolder(dir); got != path {
			t.Errorf("%s, want %s", got, path)
		}
	}
	if err := os.Remove(text); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(text, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := InFolder(dir); got != packed {
		t.Errorf("%s, want %s: the other is a folder", got, packed)
	}
}

// FuzzOpen checks that the reader ends on any bytes: those of a file, or the lines of a file whose
// digest is right.
func FuzzOpen(f *testing.F) {
	data := file(testHeader, testNames)
	lines := bytes.SplitAfterN(data, []byte("\n"), 10)
	f.Add(data, true)
	f.Add(data[:200], true)
	f.Add(lines[9], false)
	f.Add([]byte("\n\t\n\nvmlinux\n\tvmlinux\t"), false)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		if !whole {
			head := NewHead(testHeader)
			head.Add(data)
			data = append(head.Bytes(), data...)
		}
		r := &File{}
		if r.parse(data) != nil {
			return
		}
		for record := range r.Prefixed("") {
			r.start(record.Name)
		}
		both := &Registry{File: r}
		for _, pattern := range []string{"name_show", "*", "a.c:3", "0x10", "x.ko", "a+1"} {
			both.Lookup(pattern)
		}
	})
}
