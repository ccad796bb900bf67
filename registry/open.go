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

// File is an open symbols.kas, or what was unpacked from symbols.kas.zst.
type File struct {
	Header
	Path   string
	Digest string // identifies the content

	// Parallel calls f for 0 to n-1, several calls at a time. Lookups that read all lines use it;
	// if it is nil, they make one call after the other.
	Parallel func(n int, f func(i int))

	size    int               // of everything after the header, in bytes
	parts   []part            // of everything after the header
	head    []byte            // the header, as it is in the file
	lines   []byte            // everything after the header, if load returned true
	memory  []byte            // that Close releases, nil if the file is small
	renamed map[string]string // kernel's names of modules whose files have others, by object

	file    *os.File // that parts are read from, nil if all are in memory
	linesAt int64    // offset of the lines in file
	err     error    // the first one of reading a part
	passing bool     // parts are read into passed, one after the other, and not kept
	passed  []byte
}

// Open opens a registry or an overlay, and reads and checks all of it. It refuses a file that was
// cut, edited or written in another format. The error does not include the path.
func Open(path string) (*File, error) {
	f, err := openParts(path)
	if err == nil && !f.load() {
		err = f.err
		f.Close()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openParts opens a file like Open, but leaves parts to be read and checked when a search needs
// them.
func openParts(path string) (*File, error) {
	f := &File{Path: path}
	if err := f.open(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Err returns an error if a part that a search needed could not be read or is not what was written.
// Such a search finds nothing, and no later one does. Only files of OpenForLookup have such parts.
func (f *File) Err() error {
	if f.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.Path, f.err)
}

// InFolder returns the path of the registry in a folder, "" if there is none. In the folder that a
// kernel was built in, or in the headers of one, it may be where InBuild has it.
func InFolder(dir string) string {
	for _, path := range []string{filepath.Join(dir, FileName), InBuild(dir)} {
		for _, path := range []string{path, path + ".zst"} {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path
			}
		}
	}
	return ""
}

// InBuild returns the path of the registry that a kernel's build makes in its folder. What makes
// packages of headers takes all of include/generated, in every version of Linux.
func InBuild(dir string) string {
	return filepath.Join(dir, "include", "generated", FileName)
}

// Close releases the memory. Records that were returned before stay valid.
func (f *File) Close() error {
	f.head, f.lines, f.parts = nil, nil, nil
	f.closeFile()
	memory := f.memory
	if f.memory = nil; memory == nil {
		return nil
	}
	return unix.Munmap(memory)
}

func (f *File) closeFile() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

// parse reads the header of a file that is in memory, and checks that it is exactly what was
// written.
func (f *File) parse(data []byte) error {
	p, err := f.parseHeader(data)
	if err != nil {
		return err
	}
	if size := int64(len(data)); size != p.size {
		return wrongSize(size, p.size)
	}
	f.head, f.lines, f.size = data[:p.end], data[p.end:], len(data)-p.end
	if p.each > 0 {
		if err := f.checkHeader(data[:p.end], &p); err != nil {
			return err
		}
		for i := range f.parts {
			if err := f.parts[i].check(f.lines[f.begin(i):f.parts[i].end]); err != nil {
				return err
			}
		}
		return nil
	}
	if crc := crc32.Update(p.crcOfHeader(data), crc32.IEEETable, f.lines); crc != p.crc {
		return wrongCRC(crc, p.crc)
	}
	if !bytes.HasSuffix(data, []byte("\n")) {
		return errors.New("the last line has no newline")
	}
	if len(f.lines) > 0 {
		f.parts = []part{{end: f.size, text: f.lines}}
	}
	_, err = checkColumns(f.lines)
	return err
}

// parseHeader reads the header at the beginning of data.
func (f *File) parseHeader(data []byte) (p preamble, err error) {
	p = f.readHeader(data)
	switch {
	case p.format == 0:
		return p, errors.New("not a registry of kas (symbols.kas)")
	case p.format > Format:
		return p, fmt.Errorf("format %d of a newer kas; this one reads formats 1 to %d",
			p.format, Format)
	case p.digest == "" || !p.counted || p.malformed:
		return p, errors.New("incomplete header: the file was cut or edited, " +
			"or written by a kas before its release")
	case p.columns != strings.Join(Columns, " "):
		return p, fmt.Errorf("columns %q are not those of format %d", p.columns, Format)
	}
	if _, err := fmt.Sscanf(p.digest, digestForm, &p.crc, &p.size); err != nil {
		return p, fmt.Errorf("unreadable digest %q: the file was edited", p.digest)
	}
	// This also refuses other spellings of the same numbers, so the line has its known length.
	if !bytes.HasPrefix(data[p.digestAt:], digestLine(p.crc, p.size)) {
		return p, fmt.Errorf("misspelled digest %q: the file was edited", p.digest)
	}
	f.Digest = p.digest
	slices.SortFunc(f.Modules, func(a, b Module) int { return strings.Compare(a.Object, b.Object) })
	f.renamed = map[string]string{}
	for i := range f.Modules {
		if m := &f.Modules[i]; m.Name != ModuleName(m.Object) {
			f.renamed[m.Object] = m.Name
		}
	}
	return p, nil
}

// checkHeader checks a header that has the parts of the lines, without reading the lines: the
// digest follows from the header and the CRC-32 and size of each part.
func (f *File) checkHeader(header []byte, p *preamble) error {
	if err := checkText(header); err != nil {
		return err
	}
	if err := f.setParts(p.each, p.parts); err != nil {
		return err
	}
	if crc := joinCRC(p.crcOfHeader(header), f.parts); crc != p.crc {
		return wrongCRC(crc, p.crc)
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
	each     int  // lines per part, 0 if the header has no parts
	parts    []part

	malformed bool // a line has another form than the format's

	crc  uint32 // that the digest states
	size int64  // of the file, that the digest states
}

// crcOfHeader returns the CRC-32 of the header at the beginning of data, without the digest line.
func (p *preamble) crcOfHeader(data []byte) uint32 {
	crc := crc32.ChecksumIEEE(data[:p.digestAt])
	return crc32.Update(crc, crc32.IEEETable, data[int64(p.digestAt)+digestLength:p.end])
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
		case "parts":
			var err error
			p.each, p.parts, err = parseParts(value)
			p.malformed = p.malformed || err != nil
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

func wrongCRC(is, written uint32) error {
	return fmt.Errorf("CRC-32 is %08x, but %08x was written: the file was edited or damaged",
		is, written)
}
