package packages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kas/need"
)

// ar makes an ar archive of pairs of names and contents (ar(5)).
func ar(members ...string) []byte {
	var b bytes.Buffer
	b.WriteString(arMagic)
	for i := 0; i < len(members); i += 2 {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", members[i], 0, 0, 0, "100644",
			len(members[i+1]))
		b.WriteString(members[i+1])
		if len(members[i+1])%2 != 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// tarOf makes a tar archive of entries with the content "x".
func tarOf(t testing.TB, entries ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == tar.TypeReg {
			h.Size = 1
		}
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(w, "x")
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// debWith makes a .deb with this data.tar.
func debWith(suffix, data string) []byte {
	return ar("debian-binary", "2.0\n", "control.tar.gz", "", "data.tar"+suffix, data)
}

func gzipOf(text []byte) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(text)
	w.Close()
	return b.String()
}

func TestHostileNames(t *testing.T) {
	reg := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	link := func(kind byte, name, to string) tar.Header {
		return tar.Header{Name: name, Linkname: to, Typeflag: kind}
	}
	for _, c := range []struct {
		entries []tar.Header
		want    string
	}{
		{[]tar.Header{reg("../a.ko")}, `entry "../a.ko": leads out of the package`},
		{[]tar.Header{reg("./lib/../../a.ko")}, `leads out of the package`},
		{[]tar.Header{reg("lib/..")}, `leads out of the package`},
		{[]tar.Header{reg("/etc/passwd")}, `entry "/etc/passwd": an absolute path`},
		{[]tar.Header{reg("a\nb.ko")}, `entry "a\nb.ko": has a control character`},
		{[]tar.Header{reg(strings.Repeat("x", 256) + ".ko")}, "the name is too long"},
		{[]tar.Header{reg(strings.Repeat("x/", 2100) + "a.ko")}, "the path is too long"},
		{[]tar.Header{reg("a.ko"), reg("./a.ko")}, `entry "./a.ko": is in the package twice`},
		{[]tar.Header{link(tar.TypeSymlink, "a.ko", "b"), reg("a.ko"),
			link(tar.TypeSymlink, "a.ko", "b")}, "is in the package twice"},
		{[]tar.Header{link(tar.TypeSymlink, "vmlinux", "../vmlinux")},
			`entry "vmlinux": a link to "../vmlinux", which leads out of the package`},
		{[]tar.Header{link(tar.TypeSymlink, "a/vmlinux", "../../../etc/shadow")}, "leads out"},
		{[]tar.Header{link(tar.TypeLink, "a.ko", "/etc/shadow")},
			`a link to "/etc/shadow": an absolute path`},
		{[]tar.Header{link(tar.TypeLink, "a.ko", "../x.ko")}, "leads out of the package"},
		{[]tar.Header{link(tar.TypeLink, "a.ko", "b.ko"), reg("b.ko")},
			`a hard link to "b.ko", which is no file that came before`},
		{[]tar.Header{{Name: "a.ko", Typeflag: tar.TypeChar}}, `entry "a.ko": a device`},
		{[]tar.Header{{Name: "vmlinux", Typeflag: tar.TypeFifo}}, "a device"},
		{[]tar.Header{reg("a.ko"), reg("a.ko/b.ko")}, `entry "a.ko/b.ko": `},
		{[]tar.Header{reg("a.ko/b.ko"), reg("a.ko")}, `entry "a.ko": `},
	} {
		wantError(t, debWith("", tarOf(t, c.entries...)), c.want)
	}
}

// TestLinkedFolder wants nothing to be written through a symbolic link.
func TestLinkedFolder(t *testing.T) {
	outside := t.TempDir()
	deb := filepath.Join(t.TempDir(), "x.deb")
	data := debWith("", tarOf(t,
		tar.Header{Name: "lib.ko", Linkname: outside, Typeflag: tar.TypeSymlink},
		tar.Header{Name: "lib.ko/x.ko", Typeflag: tar.TypeReg}))
	if err := os.WriteFile(deb, data, 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCache(t)
	c.Unpack(t.Context(), deb) // may fail or not
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Error("written outside:", left, err)
	}
}

func TestHostileSizes(t *testing.T) {
	huge := tar.Header{Name: "a.ko", Typeflag: tar.TypeReg}
	one := []byte(tarOf(t, huge))
	copy(one[124:136], "77777777777\x00") // 8 GB (POSIX, ustar: octal digits)
	sum := 0
	copy(one[148:156], "        ")
	for _, b := range one[:512] {
		sum += int(b)
	}
	copy(one[148:156], fmt.Sprintf("%06o\x00 ", sum))
	wantError(t, debWith("", string(one)), "its size is 8589934591 bytes")
	zeros := make([]byte, 70<<20)
	bomb := debWith(".gz", gzipOf(append([]byte(tarOf(t, huge))[:1024], zeros...)))
	wantError(t, bomb, "unpacks to more than a package of its size may")
	c := exec.Command(need.Tool(t, "xz"), "-c", "--block-size=1048576")
	c.Stdin = bytes.NewReader(append([]byte(tarOf(t, huge))[:1024], zeros...))
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, debWith(".xz", string(out)), "unpacks to more than a package of its size may")
}

func TestDamagedDeb(t *testing.T) {
	data := tarOf(t, tar.Header{Name: "a.ko", Typeflag: tar.TypeReg})
	good := debWith("", data)
	for _, c := range []struct {
		data []byte
		want string
	}{
		{nil, "neither a .deb nor an .rpm file"},
		{good[:20], "offset 8: a member's header: the file ends here"},
		{good[:len(good)-1], "the file is truncated"},
		{ar("debian-binary", "2.0\n"), "no control.tar in it"},
		{ar("debian-binary", "3.0\n"), "not a Debian package of format 2"},
		{ar("debian-binary", "2.0\n", "data.tar", data), `member "data.tar" where control.tar`},
		{ar("hello.o", "x"), `hello.o at 68: not a Debian package of format 2`},
		{bytes.Replace(good, []byte("`\n"), []byte("  "), 1), "not the header of an ar member"},
		{debWith(".lz4", data), `compressed with "lz4", which kas does not read`},
		{debWith(".xz", data), "data.tar.xz at "},
		{debWith(".gz", gzipOf([]byte(data))[:60]), "truncated"},
		{debWith("", data[:512]), "truncated"},
	} {
		wantError(t, c.data, c.want)
	}
}

// TestBlocks decodes blocks in parallel, and notices damage in each part of a file.
func TestBlocks(t *testing.T) {
	xz := need.Tool(t, "xz")
	var content bytes.Buffer
	for i := range 8_000 {
		fmt.Fprintf(&content, "%d ", i*i)
	}
	for _, options := range [][]string{
		{"--block-size=9000"}, {"--block-size=10000", "--check=sha256"}, {"-T4"},
		{"--block-size=20000", "--check=none"}, {"--x86", "--lzma2", "--block-size=30000"},
	} {
		c := exec.Command(xz, append(options, "-c")...)
		c.Stdin = bytes.NewReader(content.Bytes())
		packed, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(t, packed)
		if err != nil || !bytes.Equal(got, content.Bytes()) {
			t.Errorf("%v: %d bytes, %v; want %d", options, len(got), err, content.Len())
		}
		if options[len(options)-1] == "--check=none" {
			continue
		}
		for at := 0; at < len(packed); at += max(1, len(packed)/20) {
			bad := bytes.Clone(packed)
			bad[at] ^= 0x10
			if got, err := decode(t, bad); err == nil && !bytes.Equal(got, content.Bytes()) {
				t.Errorf("%v: damage at %d of %d unnoticed", options, at, len(packed))
			}
			if _, err := decode(t, packed[:at]); err == nil {
				t.Errorf("%v: %d of %d bytes: no error", options, at, len(packed))
			}
		}
	}
}

func decode(t *testing.T, packed []byte) ([]byte, error) {
	in := &input{ctx: t.Context(), file: bytes.NewReader(packed), size: int64(len(packed)),
		step: func(int64) {}}
	defer in.close()
	r, err := in.decompress(0, in.size, "xz")
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestCancel wants a cancelled Unpack to end and to leave nothing.
func TestCancel(t *testing.T) {
	need.Tools(t, "dpkg-deb")
	deb := debOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := newCache(t)
	c.Progress = func(string, int64, int64) { cancel() }
	if _, err := c.Unpack(ctx, deb); err == nil {
		t.Fatal("no error")
	}
	if left, _ := os.ReadDir(c.packages()); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
}

// rpmWith makes an .rpm without signature whose header has these entries and this payload.
func rpmWith(payload string, tags map[uint32]any) []byte {
	var index, store bytes.Buffer
	for tag, value := range tags {
		kind, count := uint32(8), 1 // an array of strings
		at := store.Len()
		switch v := value.(type) {
		case []string:
			count = len(v)
			for _, s := range v {
				store.WriteString(s + "\x00")
			}
		default:
			count = binary.Size(v) / binary.Size(firstOf(v))
			binary.Write(&store, binary.BigEndian, v)
		}
		binary.Write(&index, binary.BigEndian, []uint32{tag, kind, uint32(at), uint32(count)})
	}
	b := bytes.NewBuffer(make([]byte, 0, 4096))
	b.WriteString(rpmMagic)
	b.Write(make([]byte, rpmLead-4))
	head := func(n, size int) {
		b.WriteString(rpmHeader + "\x00\x00\x00\x00")
		binary.Write(b, binary.BigEndian, []uint32{uint32(n), uint32(size)})
	}
	head(0, 0) // 112 bytes, which is a multiple of 8
	head(len(tags), store.Len())
	b.Write(index.Bytes())
	b.Write(store.Bytes())
	b.WriteString(payload)
	return b.Bytes()
}

func firstOf(v any) any {
	switch v := v.(type) {
	case []uint16:
		return v[0]
	case []uint32:
		return v[0]
	case []uint64:
		return v[0]
	}
	return v
}

// TestStripped reads the archive that rpm writes if a file has 4 GB or more (rpm's manual, "Package
// format", and lib/cpio.c: rpmcpioStrippedHeaderWrite), with a folder, a symbolic link, and two
// names of one file.
func TestStripped(t *testing.T) {
	tags := map[uint32]any{
		tagBaseNames: []string{"boot", "vmlinux-6.1", "a.ko", "b.ko", "c.ko"},
		tagDirNames:  []string{"/", "/boot/", "/lib/"}, tagDirIndexes: []uint32{0, 1, 2, 2, 2},
		tagFileModes:     []uint16{0o40755, 0o100644, 0o100644, 0o100644, 0o120777},
		tagFileLinks:     []string{"", "", "", "", "a.ko"},
		tagFileInodes:    []uint32{1, 2, 3, 3, 4},
		tagLongFileSizes: []uint64{4096, 5, 3, 3, 4},
	}
	entry := func(i int, content string) string {
		pad := "\x00\x00\x00"[:-len(content)&3]
		return fmt.Sprintf("07070X%08X\x00\x00%s%s", i, content, pad)
	}
	trailer := fmt.Sprintf("070701%0104d%s", 0, "TRAILER!!!\x00\x00\x00\x00")
	good := entry(0, "") + entry(1, "image") + entry(2, "") + entry(3, "obj") +
		entry(4, "a.ko")
	path := filepath.Join(t.TempDir(), "k.rpm")
	if err := os.WriteFile(path, rpmWith(good+trailer, tags), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCache(t)
	p, err := c.Unpack(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	want := "map[boot/vmlinux-6.1:image lib/a.ko:obj lib/b.ko:obj lib/c.ko:obj]"
	if got := fmt.Sprint(files(t, p.Dir)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	wantError(t, rpmWith(good, tags), "truncated")
	wantError(t, rpmWith(entry(5, "")+trailer, tags), "and the header has 5 files")
	wantError(t, rpmWith(entry(1, "im"), tags), "truncated")
	tags[tagBaseNames] = []string{"boot", "vmlinux-6.1", "../../a.ko", "b.ko", "c.ko"}
	wantError(t, rpmWith(good+trailer, tags), "leads out of the package")
	delete(tags, tagFileModes)
	wantError(t, rpmWith(good+trailer, tags), "list of files is not whole")
}

func TestHostileRPM(t *testing.T) {
	newc := func(name string, size int64, mode int) string {
		h := fmt.Sprintf("070701%08X%08X%016X%08X%08X%08X%032X%08X%08X%s\x00", 1, mode, 0, 1, 0,
			size, 0, len(name)+1, 0, name)
		return h + "\x00\x00\x00"[:-len(h)&3]
	}
	for _, c := range []struct {
		data []byte
		want string
	}{
		{[]byte(rpmMagic), "offset 96: a header"},
		{[]byte(rpmMagic + strings.Repeat("x", 200)), "offset 96: not a header of an rpm"},
		{rpmWith(newc("./a.ko", 1, 0o100644), nil), "truncated"},
		{rpmWith(newc("./../a.ko", 0, 0o100644), nil), "leads out of the package"},
		{rpmWith(newc("./a.ko", 0, 0o20644), nil), "a device"},
		{rpmWith(strings.Replace(newc("./a.ko", 0, 0o100644), "00000000", "-0000001", -1), nil),
			"payload at"},
		{rpmWith("0707", map[uint32]any{tagFormat: []string{"drpm"}}), `payload is "drpm"`},
		{rpmWith("0707", map[uint32]any{tagCompressor: []string{"lzma"}}), `"lzma"`},
		{rpmWith("", nil), "truncated"},
	} {
		wantError(t, c.data, c.want)
	}
	big := rpmWith("x", nil)
	binary.BigEndian.PutUint32(big[112+8:], 1<<27)
	wantError(t, big, "more than there can be")
}

// FuzzUnpack wants no crash, nothing outside of the folder and bounded memory for any package.
func FuzzUnpack(f *testing.F) {
	data := tarOf(f, tar.Header{Name: "./a.ko", Typeflag: tar.TypeReg},
		tar.Header{Name: "./b.ko", Linkname: "a.ko", Typeflag: tar.TypeSymlink},
		tar.Header{Name: "./c.ko", Linkname: "./a.ko", Typeflag: tar.TypeLink})
	f.Add(debWith("", data))
	f.Add(debWith(".gz", gzipOf([]byte(data))))
	f.Add(rpmWith("070701", map[uint32]any{tagCompressor: []string{"xz"}}))
	for _, seed := range []string{"small.deb", "small.rpm"} {
		b, err := os.ReadFile(filepath.Join("testdata", seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		inside := filepath.Join(dir, "inside")
		if err := os.Mkdir(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(inside)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		ix, err := extract(t.Context(), bytes.NewReader(data), int64(len(data)), root,
			func(int64) {})
		if err == nil {
			for _, file := range ix.files {
				if fi, err := root.Lstat(file.name); err != nil || fi.Size() != file.size {
					t.Errorf("%s: %v", file.name, err)
				}
			}
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %q", err)
		}
		if all, _ := os.ReadDir(dir); len(all) != 1 {
			t.Errorf("written outside: %v", all)
		}
	})
}

// FuzzLZMA compares the decoder of blocks with the decoder of streams, on any bytes.
func FuzzLZMA(f *testing.F) {
	var text bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&text, "%d,", i*i%977)
	}
	noise := make([]byte, 100)
	for i := range noise {
		noise[i] = byte(i * i * 7)
	}
	for _, options := range []string{
		"", "lc=0,lp=2,pb=0", "lc=3,lp=1,pb=4,dict=4KiB", "mode=fast",
	} {
		xz := need.Tool(f, "xz")
		for _, content := range [][]byte{text.Bytes(), noise} {
			c := exec.Command(xz, "-c", "--format=raw", "--lzma2="+options)
			c.Stdin = bytes.NewReader(content)
			packed, err := c.Output()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packed, uint16(len(content)))
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte, size uint16) {
		out := make([]byte, size)
		mine := new(lzma).decode(packed, out)
		// A block header with LZMA2 and a dictionary of 8 MB.
		file := []byte{2, 0, 0x21, 1, 22, 0, 0, 0}
		file = binary.LittleEndian.AppendUint32(file, crc32.ChecksumIEEE(file))
		file = append(file, packed...)
		b := block{unpadded: int64(len(file)), size: int64(size)}
		for len(file)%4 != 0 {
			file = append(file, 0)
		}
		in := &input{ctx: t.Context(), file: bytes.NewReader(file), size: int64(len(file))}
		got := decoded{content: make([]byte, size)}
		got.err = new(decoder).decodeAny(in, &b, got.content)
		if (mine == nil) != (got.err == nil) {
			t.Fatalf("%v, and as a stream %v", mine, got.err)
		}
		if mine == nil && !bytes.Equal(out, got.content) {
			t.Error("other bytes")
		}
	})
}
