package registry

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// File is an open symbols.kas: mapped, or unpacked from symbols.kas.zst.
type File struct {
	Header
	Path   string
	Digest string // stands for the whole content

	// Parallel calls f for 0 to n-1, several at once; nil: one after the other. Look-ups that read all lines use it.
	Parallel func(n int, f func(i int))

	lines  []byte // the symbols' lines
	mapped []byte
}

// FileName is what a run calls the registry of a build. It may be shipped as FileName.zst.
const FileName = "symbols.kas"

// InFolder returns the path of the registry in a folder, "" if there is none.
func InFolder(dir string) string {
	for _, name := range []string{FileName, FileName + ".zst"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// Open opens a registry or an overlay. It must be whole, of this format and as it was written; the error says what it is
// instead, without the path.
func Open(path string) (*File, error) {
	f := &File{Path: path}
	data, err := f.load()
	if err == nil {
		err = f.parse(data)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close gives the memory back; records that were returned stay valid.
func (f *File) Close() error {
	f.lines = nil
	mapped := f.mapped
	if f.mapped = nil; mapped == nil {
		return nil
	}
	return unix.Munmap(mapped)
}

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878, section 3.1.1

func (f *File) load() ([]byte, error) {
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not be waited for
	if err != nil {
		if pe := new(fs.PathError); errors.As(err, &pe) {
			return nil, pe.Err
		}
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("no regular file")
	case info.Size() == 0:
		return nil, errors.New("empty file")
	}
	f.mapped, err = unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	if !bytes.HasPrefix(f.mapped, zstdMagic) {
		return f.mapped, nil
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<30), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	data, err := d.DecodeAll(f.mapped, nil)
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return data, nil
}

// parse reads the header and proves that the file is as it was written.
func (f *File) parse(data []byte) error {
	head, digest, whole := 0, "", false
	digestAt := 0
	columns := ""
	format := 0
	for head < len(data) && data[head] == '#' {
		n := bytes.IndexByte(data[head:], '\n')
		if n < 0 {
			break
		}
		key, value, _ := strings.Cut(string(data[head+1:head+n]), "\t")
		switch key {
		case "arch":
			f.Arch = value
		case "build-id":
			f.BuildID = value
		case "columns":
			columns = value
		case "digest":
			digest, digestAt = value, head
		case "format":
			number, ok := strings.CutPrefix(value, "kas symbols ")
			if n, err := strconv.Atoi(number); ok && err == nil {
				format = n
			}
		case "lto":
			f.LTO = value
		case "overlay-of":
			f.OverlayOf = value
		case "policy":
			f.Policy = value
		case "release":
			f.Release = value
		case "symbols":
			f.Symbols, _ = strconv.Atoi(value)
			whole = true
		case "toolchain":
			f.Toolchain = value
		}
		head += n + 1
	}
	switch {
	case format == 0:
		return errors.New("not a registry of kas (symbols.kas)")
	case format > Format:
		return fmt.Errorf("format %d of a newer kas; this one reads format %d", format, Format)
	case digest == "" || !whole:
		return errors.New("the header is not complete: the file was cut or edited, or written by a kas before its release")
	case columns != strings.Join(Columns, " "):
		return fmt.Errorf("columns %q are not those of format %d", columns, Format)
	}
	var crc uint32
	var size int64
	if _, err := fmt.Sscanf(digest, "crc32=%08x bytes=%d", &crc, &size); err != nil || int64(digestAt)+digestLength > int64(len(data)) {
		return fmt.Errorf("digest %q cannot be read: the file was edited", digest)
	}
	if !bytes.HasPrefix(data[digestAt:], digestLine(crc, size)) {
		return fmt.Errorf("digest %q is not as it was written", digest)
	}
	if size != int64(len(data)) {
		return fmt.Errorf("the file has %d bytes, and was written with %d: it was cut or edited", len(data), size)
	}
	got := crc32.Update(crc32.ChecksumIEEE(data[:digestAt]), crc32.IEEETable, data[int64(digestAt)+digestLength:])
	if got != crc {
		return fmt.Errorf("CRC-32 is %08x, and was %08x when it was written: the file was edited or damaged", got, crc)
	}
	f.Digest = digest
	f.lines = data[head:]
	if !bytes.HasSuffix(data, []byte("\n")) {
		return errors.New("the last line has no end")
	}
	return nil
}

// Differs says in what a header is not that of the same kernel as the other, "" if in nothing. What one of them does not
// tell is not held against it.
func (h *Header) Differs(o *Header) string {
	for _, f := range []struct{ name, a, b string }{
		{"arch", h.Arch, o.Arch}, {"kernel release", h.Release, o.Release}, {"build ID", h.BuildID, o.BuildID},
		{"toolchain", h.Toolchain, o.Toolchain}, {"LTO", h.LTO, o.LTO}, {"policy", h.Policy, o.Policy},
	} {
		if f.a != f.b && f.a != "" && f.b != "" {
			return fmt.Sprintf("%s %s, not %s", f.name, f.a, f.b)
		}
	}
	return ""
}

// start returns the offset of the first line that is not before key, which is a name or begins one.
func (f *File) start(key string) int {
	// Offsets stand for the line that they lie in.
	lineAt := func(i int) int { return bytes.LastIndexByte(f.lines[:i], '\n') + 1 }
	i := sort.Search(len(f.lines), func(i int) bool {
		line := f.lines[lineAt(i):]
		name := line[:max(bytes.IndexByte(line, '\t'), 0)]
		return string(name) >= key
	})
	if i == len(f.lines) {
		return i
	}
	return lineAt(i)
}

// from yields the lines from an offset on.
func (f *File) from(offset int) iter.Seq[[]byte] { return lines(f.lines[offset:]) }

func lines(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := text; len(rest) > 0; {
			n := bytes.IndexByte(rest, '\n')
			if n <= 0 || !yield(rest[:n]) {
				return
			}
			rest = rest[n+1:]
		}
	}
}

// Named yields the symbols of exactly this name.
func (f *File) Named(name string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for line := range f.from(f.start(name)) {
			if rest, ok := bytes.CutPrefix(line, []byte(name)); !ok || len(rest) == 0 || rest[0] != '\t' || !yield(parseRecord(line)) {
				return
			}
		}
	}
}

// Prefixed yields the symbols whose names begin with prefix, in the order of the file; all with "".
func (f *File) Prefixed(prefix string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for line := range f.from(f.start(prefix)) {
			if !bytes.HasPrefix(line, []byte(prefix)) || !yield(parseRecord(line)) {
				return
			}
		}
	}
}

// Based yields the symbols whose name without its identity suffix is this one.
func (f *File) Based(base string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for r := range f.Named(base) {
			if r.BaseName() == base && !yield(r) {
				return
			}
		}
		for r := range f.Prefixed(base + ".") {
			if r.BaseName() == base && !yield(r) {
				return
			}
		}
	}
}

// Holding yields the symbols whose lines hold text, in the order of the file. It reads all of it, several parts at once.
func (f *File) Holding(text string) iter.Seq[Record] { return f.scan(text, nil) }

// scan yields the symbols whose lines hold text and that keep says yes to; nil is yes to all.
func (f *File) scan(text string, keep func(line []byte) bool) iter.Seq[Record] {
	return f.inParts(func(part []byte) (kept [][]byte) {
		for at := 0; at < len(part); at++ {
			n := bytes.Index(part[at:], []byte(text))
			if n < 0 {
				break
			}
			begin := bytes.LastIndexByte(part[:at+n], '\n') + 1
			at += n + bytes.IndexByte(part[at+n:], '\n')
			if line := part[begin:at]; keep == nil || keep(line) {
				kept = append(kept, line)
			}
		}
		return kept
	})
}

// inParts yields the symbols of the lines that look returns of each part of the file.
func (f *File) inParts(look func(part []byte) [][]byte) iter.Seq[Record] {
	const parts = 16
	return func(yield func(Record) bool) {
		var kept [parts][][]byte
		one := func(i int) {
			kept[i] = look(f.lines[f.lineEnd(len(f.lines)*i/parts):f.lineEnd(len(f.lines)*(i+1)/parts)])
		}
		if f.Parallel != nil {
			f.Parallel(parts, one)
		} else {
			for i := range parts {
				one(i)
			}
		}
		for _, part := range kept {
			for _, line := range part {
				if !yield(parseRecord(line)) {
					return
				}
			}
		}
	}
}

// lineEnd is where the line that holds the byte before offset ends.
func (f *File) lineEnd(offset int) int {
	if offset == 0 {
		return 0
	}
	return offset + bytes.IndexByte(f.lines[offset-1:], '\n')
}

// In yields the symbols that are declared in a file whose path ends with this one, or compiled with it.
func (f *File) In(file string) iter.Seq[Record] {
	located := f.inParts(func(part []byte) (kept [][]byte) {
		for line := range lines(part) {
			// Few symbols have a place: then the last column is not empty.
			if line[len(line)-1] != '\t' && bytes.Contains(line, []byte(file+"\t")) {
				kept = append(kept, line)
			}
		}
		return kept
	})
	return filter(located, func(r *Record) bool { return PathEndsWith(r.File, file) || PathEndsWith(r.Unit, file) })
}

// Of yields the symbols of the objects whose paths end with this one.
func (f *File) Of(object string) iter.Seq[Record] {
	return f.scan(object+"\t", func(line []byte) bool {
		_, rest, _ := bytes.Cut(line, []byte("\t"))
		path, _, _ := bytes.Cut(rest, []byte("\t"))
		return PathEndsWith(string(path), object)
	})
}

// At yields the symbols that an address of an object lies in; of an object of several sections it is one in section.
// Of symbols within symbols the one that begins last is among them.
func (f *File) At(object, section string, address uint64) iter.Seq[Record] {
	holds := func(r *Record) bool {
		return r.Object == object && (section == "" || r.Section == section) && r.Address <= address && address-r.Address < max(r.Size, 1)
	}
	return func(yield func(Record) bool) {
		for _, text := range near(object, section, address) {
			if found := slices.Collect(filter(f.scan(text, nil), holds)); len(found) > 0 {
				slices.Values(found)(yield)
				return // what begins farther away begins before these
			}
		}
	}
}

// near returns what the lines of the symbols hold that an address may lie in: the first digits of addresses that are close
// before it, and then what all of the object's have in common.
func near(object, section string, address uint64) []string {
	const digits = 4 // 64 KiB
	var texts []string
	for _, a := range []uint64{address, address - 1<<(4*digits)} {
		// Eight bytes are found fastest, and what holds them elsewhere is left out.
		if text := strconv.FormatUint(a, 16); len(text) >= 8+digits {
			texts = append(texts, text[len(text)-digits-8:len(text)-digits])
		}
	}
	all := "\t" + object + "\t"
	if section != "" {
		all += section + "\t"
	}
	return append(texts, all)
}

// parseRecord reads a line of a file that was proved to be as it was written.
func parseRecord(line []byte) Record {
	var c [14]string
	rest := string(line)
	for i := range c {
		c[i], rest, _ = strings.Cut(rest, "\t")
	}
	r := Record{Name: c[0], Object: c[1], Section: c[2], Base: c[8], Alias: c[9], File: c[10], Unit: c[12], Method: c[13]}
	r.Address, _ = strconv.ParseUint(c[3], 16, 64)
	r.Size, _ = strconv.ParseUint(c[4], 10, 64)
	if c[5] != "" {
		r.Type = c[5][0]
	}
	r.Count, _ = strconv.Atoi(c[6])
	r.Position, _ = strconv.Atoi(c[7])
	r.Line, _ = strconv.ParseInt(c[11], 10, 64)
	return r
}
