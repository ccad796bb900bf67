package registry

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// File is an open symbols.kas, or what was unpacked from symbols.kas.zst. All of it is in memory.
type File struct {
	Header
	Path   string
	Digest string // identifies the content

	// Parallel calls f for 0 to n-1, several calls at a time. Lookups that read all lines use it;
	// if it is nil, they make one call after the other.
	Parallel func(n int, f func(i int))

	lines   []byte            // everything after the header
	memory  []byte            // that Close releases, nil if the file is small
	renamed map[string]string // kernel's names of modules whose files have others, by object
}

// Open opens a registry or an overlay. It refuses a file that was cut, edited or written in another
// format. The error does not include the path.
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

// Close releases the memory. Records that were returned before stay valid.
func (f *File) Close() error {
	f.lines = nil
	memory := f.memory
	if f.memory = nil; memory == nil {
		return nil
	}
	return unix.Munmap(memory)
}

// parse reads the header and checks that the file is exactly what was written.
func (f *File) parse(data []byte) error {
	p := f.readHeader(data)
	switch {
	case p.format == 0:
		return errors.New("not a registry of kas (symbols.kas)")
	case p.format > Format:
		return fmt.Errorf("format %d of a newer kas; this one reads formats 1 to %d",
			p.format, Format)
	case p.digest == "" || !p.counted || p.malformed:
		return errors.New("incomplete header: the file was cut or edited, " +
			"or written by a kas before its release")
	case p.columns != strings.Join(Columns, " "):
		return fmt.Errorf("columns %q are not those of format %d", p.columns, Format)
	}
	if err := checkDigest(data, p.digest, p.digestAt); err != nil {
		return err
	}
	if !bytes.HasSuffix(data, []byte("\n")) {
		return errors.New("the last line has no newline")
	}
	f.Digest = p.digest
	f.lines = data[p.end:]
	if err := checkColumns(f.lines); err != nil {
		return err
	}
	slices.SortFunc(f.Modules, func(a, b Module) int { return strings.Compare(a.Object, b.Object) })
	f.renamed = map[string]string{}
	for i := range f.Modules {
		if m := &f.Modules[i]; m.Name != ModuleName(m.Object) {
			f.renamed[m.Object] = m.Name
		}
	}
	return nil
}

// preamble is what parse checks of a header.
type preamble struct {
	format   int // 0 if the header names none
	columns  string
	digest   string
	digestAt int  // offset of the digest line
	counted  bool // the number of symbols is there
	end      int  // offset of the first line after the header

	malformed bool // a line has another form than the format's
}

// readHeader reads the lines that begin with "#" into the Header. It skips keys that it does not
// know.
func (f *File) readHeader(data []byte) (p preamble) {
	for p.end < len(data) && data[p.end] == '#' {
		n := bytes.IndexByte(data[p.end:], '\n')
		if n < 0 {
			break
		}
		key, value, _ := strings.Cut(string(data[p.end+1:p.end+n]), "\t")
		switch key {
		case "arch":
			f.Arch = value
		case "build-id":
			f.BuildID = value
		case "columns":
			p.columns = value
		case "digest":
			p.digest, p.digestAt = value, p.end
		case "format":
			number, ok := strings.CutPrefix(value, "kas symbols ")
			if n, err := strconv.Atoi(number); ok && err == nil {
				p.format = n
			}
		case "incomplete":
			count, names, _ := strings.Cut(value, ": ")
			n, err := strconv.Atoi(count)
			p.malformed = p.malformed || err != nil || n <= 0
			f.Incomplete = Incomplete{n, names}
		case "lto":
			f.LTO = value
		case "module":
			object, rest, _ := strings.Cut(value, "\t")
			name, id, ok := strings.Cut(rest, "\t")
			p.malformed = p.malformed || !ok
			f.Modules = append(f.Modules, Module{object, name, id})
		case "overlay-of":
			f.OverlayOf = value
		case "policy":
			f.Policy = value
		case "release":
			f.Release = value
		case "symbols":
			f.Symbols, _ = strconv.Atoi(value)
			p.counted = true
		case "toolchain":
			f.Toolchain = value
		}
		p.end += n + 1
	}
	return p
}

// digestForm is the value of a digest line, as Sscanf reads it.
const digestForm = "crc32=%08x bytes=%d"

// checkDigest compares data with the digest in its header line at the offset at.
func checkDigest(data []byte, digest string, at int) error {
	var crc uint32
	var size int64
	if _, err := fmt.Sscanf(digest, digestForm, &crc, &size); err != nil {
		return fmt.Errorf("unreadable digest %q: the file was edited", digest)
	}
	// This also refuses other spellings of the same numbers, so the line has its known length.
	if !bytes.HasPrefix(data[at:], digestLine(crc, size)) {
		return fmt.Errorf("misspelled digest %q: the file was edited", digest)
	}
	if size != int64(len(data)) {
		return wrongSize(int64(len(data)), size)
	}
	got := crc32.ChecksumIEEE(data[:at])
	got = crc32.Update(got, crc32.IEEETable, data[int64(at)+digestLength:])
	if got != crc {
		return fmt.Errorf("CRC-32 is %08x, but %08x was written: the file was edited or damaged",
			got, crc)
	}
	return nil
}
