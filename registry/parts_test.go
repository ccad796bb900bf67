package registry

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// largeLines is the number of lines of largeFile: three parts and a bit.
const largeLines = 3*linesPerPart + 100

// largeNames are names of which each line of largeFile has one, in its order. Some are the name of
// several symbols, also of two parts.
func largeNames() [][]Record {
	var names [][]Record
	for n := 0; n < largeLines; {
		name := fmt.Sprintf("f%05d", n)
		records := make([]Record, min(1+n%5, largeLines-n))
		for i := range records {
			records[i] = Record{Name: name, Object: Vmlinux, Section: ".text",
				Address: 0xffffffff81000000 + uint64(16*n), Size: 16, Type: 't',
				Count: len(records), Position: i + 1}
			if i > 0 {
				file := fmt.Sprintf("%d.c", n)
				records[i].Base, records[i].Alias = name, fmt.Sprintf("%s@%d_c_%d", name, n, i)
				records[i].File, records[i].Unit, records[i].Line = file, file, int64(i)
				records[i].Method = "subprogram"
			}
			n++
		}
		names = append(names, records)
	}
	return names
}

func largeFile() []byte {
	h := testHeader
	h.Symbols = largeLines
	return file(h, largeNames())
}

// openLarge opens a file for look-ups.
func openLarge(t *testing.T, path string) *Registry {
	t.Helper()
	all, err := OpenForLookup([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseAll(all) })
	return all[0]
}

// ready counts the parts that were read.
func ready(f *File) (n int) {
	for _, p := range f.parts {
		if p.text != nil {
			n++
		}
	}
	return n
}

// TestPartsLine compares the header with what docs/registry.md says about it.
func TestPartsLine(t *testing.T) {
	var header, lines []string
	for line := range strings.Lines(string(largeFile())) {
		if strings.HasPrefix(line, "#") {
			header = append(header, line)
		} else {
			lines = append(lines, line)
		}
	}
	if !slices.IsSorted(header) || len(lines) != largeLines {
		t.Errorf("%d lines, header %q", len(lines), header)
	}
	want := "#parts\t1024"
	for part := range slices.Chunk(lines, 1024) {
		text := strings.Join(part, "")
		want += fmt.Sprintf(" %08x:%08x", crc32.ChecksumIEEE([]byte(text)), len(text))
	}
	if n := strings.Count(want, ":"); n != 4 {
		t.Fatalf("%d parts", n)
	}
	if !slices.Contains(header, want+"\n") {
		t.Errorf("no %q in %q", want, header)
	}
	isDigest := func(line string) bool { return strings.HasPrefix(line, "#digest") }
	others := strings.Join(slices.DeleteFunc(slices.Concat(header, lines), isDigest), "")
	digest := fmt.Sprintf("crc32=%08x", crc32.ChecksumIEEE([]byte(others)))
	if i := slices.IndexFunc(header, isDigest); !strings.Contains(header[i], digest) {
		t.Errorf("%s, want %s", header[i], digest)
	}
}

// TestHeadInPieces adds lines in pieces of several sizes: the header is the same.
func TestHeadInPieces(t *testing.T) {
	data := largeFile()
	lines := slices.Collect(bytes.Lines(data[bytes.Index(data, []byte("\nf"))+1:]))
	h := testHeader
	h.Symbols = largeLines
	for _, n := range []int{1, 7, 1023, 1024, 1025, 3000} {
		head := NewHead(h)
		for piece := range slices.Chunk(lines, n) {
			head.Add(bytes.Join(piece, nil))
		}
		if err := head.Err(); err != nil || !bytes.HasPrefix(data, head.Bytes()) {
			t.Errorf("%d lines at a time: error %v, %s", n, err, head.Bytes())
		}
	}
	for _, n := range []int{0, 5, 2 * linesPerPart} {
		head := NewHead(h)
		head.Add(bytes.Join(lines[:n], nil))
		if head.Err() == nil {
			t.Errorf("%d lines in a file of %d", n, largeLines)
		}
	}
}

// TestJoinCRC joins the checksums of texts that are cut anywhere.
func TestJoinCRC(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	for range 100 {
		cuts := []int{0}
		for range random.IntN(5) {
			cuts = append(cuts, random.IntN(len(text)))
		}
		cuts = append(cuts, len(text))
		slices.Sort(cuts)
		var parts []part
		for i, cut := range cuts[1:] {
			crc := crc32.ChecksumIEEE(text[cuts[i]:cut])
			parts = append(parts, part{end: cut, crc: crc})
		}
		if got, want := joinCRC(0, parts), crc32.ChecksumIEEE(text); got != want {
			t.Errorf("cut at %v: %08x, want %08x", cuts, got, want)
		}
	}
}

// TestReadParts asks for every name, alias, address and file. What is found does not depend on how
// the file is read, and a look-up by name reads few parts.
func TestReadParts(t *testing.T) {
	data := largeFile()
	path := write(t, data)
	whole := open(t, compressed(t, data))
	want := slices.Concat(largeNames()...)
	if got := slices.Collect(whole.Prefixed("")); len(got) != largeLines {
		t.Fatalf("%d symbols", len(got))
	}
	ask := func(pattern string) (read int) {
		r := openLarge(t, path)
		defer r.Close()
		got, err := r.Lookup(pattern)
		expected, wholeErr := (&Registry{File: whole}).Lookup(pattern)
		if err != nil || wholeErr != nil || !slices.Equal(got, expected) || len(got) == 0 {
			t.Errorf("%s: %v, %v, want %v", pattern, got, err, expected)
		}
		return ready(r.File)
	}
	for i := 0; i < len(want); i += 97 {
		r := &want[i]
		patterns := []string{r.Name, r.Name[:4] + "*" + r.Name[5:]}
		if r.Alias != "" {
			patterns = append(patterns, r.Alias, r.Name+"@"+r.File)
		}
		for _, p := range patterns {
			if n := ask(p); n > 3 {
				t.Errorf("%s: read %d parts", p, n)
			}
		}
		if r.File != "" {
			ask(r.File)
		}
		if n := ask(fmt.Sprintf("%#x", r.Address)); n != 4 {
			t.Errorf("%#x: read %d parts", r.Address, n)
		}
	}
	r := openLarge(t, path)
	if got := slices.Collect(r.File.Prefixed("")); !slices.Equal(got, want) || ready(r.File) != 4 {
		t.Errorf("%d symbols in order", len(got))
	}
}

// TestDamagedParts damages a file while it is open for look-ups: in place, one part after the
// other, or all of it. Each look-up finds what was written or returns an error, and after one error
// there are only errors.
func TestDamagedParts(t *testing.T) {
	data := largeFile()
	other := bytes.ReplaceAll(data, []byte("ffffffff8100"), []byte("ffffffff8200"))
	begin := bytes.Index(data, []byte("\nf")) + 1
	names := largeNames()
	damages := map[string][]byte{
		"cut": nil, "cut in the header": data[:100], "other addresses": other,
		"zeros": make([]byte, len(data)),
	}
	for i := range 8 {
		at := begin + (len(data)-begin)*i/8
		edited := slices.Clone(data)
		edited[at] ^= 1
		damages[fmt.Sprintf("byte %d", at)] = edited
		damages[fmt.Sprintf("cut at %d", at)] = data[:at]
	}
	right := 0
	for what, damaged := range damages {
		path := write(t, data)
		failed := 0
		for i := range names {
			if i%250 != 0 && i != len(names)-1 {
				continue
			}
			r := openLarge(t, path)
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				before := r.Err()
				found, err := r.Lookup(names[(i+n)%len(names)][0].Name)
				switch {
				case err != nil:
					failed++
					if !strings.HasPrefix(err.Error(), path+": ") || found != nil {
						t.Errorf("%s: %v, error %v", what, found, err)
					}
				case !slices.Equal(found, names[(i+n)%len(names)]):
					t.Errorf("%s: %v", what, found)
				case before != nil:
					t.Errorf("%s: a result after %v", what, before)
				default:
					right++
				}
			}
			r.Close()
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if failed == 0 {
			t.Errorf("%s: no look-up failed", what)
		}
	}
	if right == 0 {
		t.Error("all look-ups failed, also those in other parts than the damaged one")
	}
}

// TestDamagedHeader changes every byte of a header with parts. It is not opened, though the lines
// are not read.
func TestDamagedHeader(t *testing.T) {
	data := largeFile()
	path := write(t, data)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range bytes.Index(data, []byte("\nf")) + 1 {
		for _, c := range []byte{data[i] ^ 1, '0', data[i]} {
			if _, err := f.WriteAt([]byte{c}, int64(i)); err != nil {
				t.Fatal(err)
			}
			all, err := OpenForLookup([]string{path})
			if (err == nil) != (c == data[i]) {
				t.Errorf("byte %d is %q: error %v", i, c, err)
			}
			CloseAll(all)
		}
	}
}

// TestForgedParts has parts that contradict the lines, under a digest that is right. The file is
// refused however it is read.
func TestForgedParts(t *testing.T) {
	data := string(largeFile())
	at := strings.Index(data, partsKey)
	line := data[at : at+strings.Index(data[at:], "\n")+1]
	words := strings.Fields(line)
	words[0] += "\t" + words[1]
	words = slices.Delete(words, 1, 2)
	with := func(words ...string) string { return strings.Join(words, " ") + "\n" }
	for what, forged := range map[string]string{
		"none":           partsKey + "\n",
		"no parts":       with(words[0]),
		"one missing":    with(words[:4]...),
		"one more":       with(append(slices.Clone(words), words[4])...),
		"an empty one":   with(append(slices.Clone(words), "00000000:00000000")...),
		"another order":  with(words[0], words[2], words[1], words[3], words[4]),
		"another CRC":    with(words[0], "00000000"+words[1][8:], words[2], words[3], words[4]),
		"other counts":   strings.Replace(line, "1024", "1023", 1),
		"larger counts":  strings.Replace(line, "1024", "2048", 1),
		"no count":       strings.Replace(line, "1024", "0", 1),
		"negative count": strings.Replace(line, "1024", "-1", 1),
		"no numbers":     strings.ReplaceAll(line, ":", "-"),
		"too large":      with(words[0], words[1], words[2], words[3], "00000000:ffffffff"),
	} {
		text := []byte(redigest(strings.Replace(data, line, forged, 1)))
		if _, err := Open(write(t, compressed(t, text))); err == nil {
			t.Errorf("%s: opened, compressed", what)
		}
		path := write(t, text)
		if _, err := Open(path); err == nil {
			t.Errorf("%s: opened", what)
		}
		all, err := OpenForLookup([]string{path})
		if err != nil {
			continue
		}
		if found, err := all[0].Lookup("f00000"); err == nil && len(found) == 0 {
			t.Errorf("%s: %v", what, found)
		}
		if found, err := all[0].Lookup("*000*"); err == nil {
			t.Errorf("%s: %v", what, found)
		}
		CloseAll(all)
	}
}

// TestOverlayInParts looks up symbols of a registry in parts, and of an overlay of it.
func TestOverlayInParts(t *testing.T) {
	data := largeFile()
	var b bytes.Buffer
	added := Record{Name: "f00010", Object: "x.ko", Section: ".text", Type: 't', Position: 1}
	err := WriteOverlay(&b, open(t, data), []Module{{"x.ko", "x", "67"}}, []Record{added})
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{write(t, data), write(t, b.Bytes())}
	whole, err := OpenAll(paths)
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(whole)
	parts, err := OpenForLookup(paths)
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(parts)
	want, err := whole[0].Lookup("f00010")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parts[0].Lookup("f00010")
	if d := cmp.Diff(want, got); err != nil || d != "" || got[len(got)-1].Object != "x.ko" {
		t.Errorf("%v %s", err, d)
	}
	if n := ready(parts[0].File); n > 3 {
		t.Errorf("%d parts", n)
	}
	// What the overlay hides is found by reading the registry, which may fail.
	if err := os.Truncate(paths[0], int64(len(data))-1); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenForLookup(paths); err == nil {
		t.Error("opened")
	}
}
