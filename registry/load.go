package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Limits of what is read, in bytes.
const (
	// maxFile is the size of the largest registry.
	maxFile = 1 << 30
	// maxRatio is how much larger than the compressed file a registry may be, and freeSize how
	// large it may be in any case. zstd packs a registry into a tenth.
	maxRatio, freeSize = 64, 16 << 20
	// headSize is how much is read before the digest, which is among the first lines, says how much
	// there is.
	headSize = 64 << 10
	// maxHeader is the size of the largest header. A module needs some 100 bytes in it, and 1,024
	// symbols need 18.
	maxHeader = 64 << 20
	// chunkSize is how much is read before it is checked.
	chunkSize = 1 << 20
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878, section 3.1.1

// open opens the file and reads its header. If that has the parts of the lines, they are left to be
// read later; else open reads all. The file is not mapped: a mapped file that is overwritten
// faults, and what was checked would not be what a search reads.
func (f *File) open() error {
	// O_NONBLOCK, because opening a pipe would wait for its writer.
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		if pe := new(fs.PathError); errors.As(err, &pe) {
			return pe.Err
		}
		return err
	}
	f.file = file
	data, whole, err := f.read(file)
	if err != nil {
		return err
	}
	if whole {
		f.closeFile()
		return f.parse(data)
	}
	p, err := f.parseHeader(data)
	if err != nil {
		return err
	}
	f.head, f.size, f.linesAt = data[:p.end], int(p.size)-p.end, int64(p.end)
	return f.checkHeader(data[:p.end], &p)
}

// read returns the content of a file, unpacked if it is compressed. whole is false if the file can
// be read in parts: then it returns the header and maybe more. If the beginning is not that of a
// registry, it returns that as if it were all.
func (f *File) read(file *os.File) (data []byte, whole bool, err error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, false, err
	case !info.Mode().IsRegular():
		return nil, false, errors.New("not a regular file")
	case info.Size() == 0:
		return nil, false, errors.New("empty file")
	}
	magic := make([]byte, len(zstdMagic))
	if _, err := file.ReadAt(magic, 0); err != nil && err != io.EOF {
		return nil, false, err
	}
	if !bytes.Equal(magic, zstdMagic) {
		return f.readText(file, info.Size(), maxFile)
	}
	d, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, false, err
	}
	defer d.Close()
	data, _, err = f.readText(d, -1, min(maxFile, freeSize+maxRatio*info.Size()))
	if err != nil {
		return nil, false, fmt.Errorf("zstd: %w", err)
	}
	return data, true, nil
}

// readText is read for text of at most limit bytes. size is that of the file, -1 if it is unknown.
func (f *File) readText(r io.Reader, size, limit int64) (data []byte, whole bool, err error) {
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	whole = err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !whole {
		return nil, false, err
	}
	var crc uint32
	var written int64
	digest := (&File{}).readHeader(head).digest
	if _, err := fmt.Sscanf(digest, digestForm, &crc, &written); err != nil {
		return head, true, nil // parse says what is wrong
	}
	switch {
	case whole:
		return head, true, checkText(head) // parse compares the size
	case size >= 0 && size != written:
		return nil, false, wrongSize(size, written)
	case written > limit:
		return nil, false, fmt.Errorf("it has %d bytes: more than the %d that it may have",
			written, limit)
	case written <= int64(n):
		return nil, false, wrongSize(int64(n)+1, written)
	}
	head, end, err := readHeader(r, head)
	if err != nil {
		return nil, false, err
	}
	if size >= 0 && bytes.Contains(head[:end], []byte("\n"+partsKey)) {
		return head, false, nil
	}
	if data, err = f.allocate(int(written)); err != nil {
		return nil, false, err
	}
	return data, true, fill(r, data, copy(data, head))
}

// allocate returns memory that Close releases. It counts only when something is read into it. In
// the heap, the collector would run for it, and it would have small pages.
func (f *File) allocate(size int) (data []byte, err error) {
	f.memory, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON)
	if err == nil {
		unix.Madvise(f.memory, unix.MADV_HUGEPAGE)
	}
	return f.memory, err
}

// readHeader reads more of a file until it has all header lines. head is what is there. It returns
// that with what it read, and how many bytes of it are the header.
func readHeader(r io.Reader, head []byte) (more []byte, end int, err error) {
	for {
		for end < len(head) && head[end] == '#' {
			line := bytes.IndexByte(head[end:], '\n') + 1
			if line == 0 {
				break
			}
			end += line
		}
		if end < len(head) && head[end] != '#' {
			return head, end, nil
		}
		if len(head) >= maxHeader {
			return nil, 0, errors.New("the header is too long")
		}
		n := len(head)
		head = slices.Grow(head, headSize)[:n+headSize]
		read, err := io.ReadFull(r, head[n:])
		head = head[:n+read]
		if err == io.EOF {
			return head, end, nil // a file without lines
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return nil, 0, err
		}
	}
}

// fill reads the rest of data after n bytes that are there, and checks all.
func fill(r io.Reader, data []byte, n int) error {
	for checked := 0; checked < len(data); {
		if err := checkText(data[checked:n]); err != nil {
			return err
		}
		checked = n
		more, err := io.ReadFull(r, data[n:min(n+chunkSize, len(data))])
		n += more
		switch {
		case n == len(data) && more == 0:
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return wrongSize(int64(n), int64(len(data)))
		case err != nil:
			return err
		}
	}
	if n, _ := r.Read(make([]byte, 1)); n > 0 {
		return wrongSize(int64(len(data))+1, int64(len(data)))
	}
	return nil
}

func wrongSize(size, written int64) error {
	return fmt.Errorf("%d bytes, but %d were written: the file was cut or edited", size, written)
}

// checkColumns counts lines. It returns an error if they do not have as many tabs as their columns
// need.
func checkColumns(lines []byte) (int, error) {
	rows := bytes.Count(lines, []byte{'\n'})
	if n := bytes.Count(lines, []byte{'\t'}); n != rows*(len(Columns)-1) {
		return 0, fmt.Errorf("%d tabs in %d lines of %d columns: not a registry that kas wrote",
			n, rows, len(Columns))
	}
	return rows, nil
}

// checkText returns an error if text has control bytes other than tabs and newlines. No name has
// them: an object with such a name is not read.
func checkText(text []byte) error {
	const stride = 32
	var bad uint64
	rest := text
	for ; len(rest) >= stride; rest = rest[stride:] {
		b := (*[stride]byte)(rest)
		bad |= controls(binary.LittleEndian.Uint64(b[:])) |
			controls(binary.LittleEndian.Uint64(b[8:])) |
			controls(binary.LittleEndian.Uint64(b[16:])) |
			controls(binary.LittleEndian.Uint64(b[24:]))
	}
	last := func(c byte) bool { return c < ' ' && c != '\t' && c != '\n' || c == 0x7f }
	if bad&high != 0 || slices.ContainsFunc(rest, last) {
		return errors.New("control bytes: not a registry that kas wrote")
	}
	return nil
}

const ones, high = 0x0101010101010101, 0x8080808080808080

// controls returns a word with the eighth bit of each byte of x set that is a control byte other
// than a tab or newline. The other bits mean nothing.
func controls(x uint64) uint64 {
	// Adding 0x80-n to a byte of seven bits sets its eighth bit if it is n or more.
	y := x &^ high
	low := ^(y + 0x60*ones) & (^(y + 0x77*ones) | (y + 0x75*ones))
	return (low | (y + ones)) &^ x
}
