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
	// chunkSize is how much is read before it is checked.
	chunkSize = 1 << 20
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878, section 3.1.1

// load reads the file and returns its content, unpacked if it is compressed. The file is not
// mapped: a mapped file that is overwritten faults, and what the digest was checked for would not
// be what a lookup reads. If the beginning is not that of a registry, only that is returned.
func (f *File) load() ([]byte, error) {
	// O_NONBLOCK, because opening a pipe would wait for its writer.
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
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
		return nil, errors.New("not a regular file")
	case info.Size() == 0:
		return nil, errors.New("empty file")
	}
	magic := make([]byte, len(zstdMagic))
	if _, err := file.ReadAt(magic, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if !bytes.Equal(magic, zstdMagic) {
		return f.read(file, info.Size(), maxFile)
	}
	d, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	data, err := f.read(d, -1, min(maxFile, freeSize+maxRatio*info.Size()))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return data, nil
}

// read reads a registry, of at most limit bytes. size is that of the file, -1 if it is not known.
func (f *File) read(r io.Reader, size, limit int64) ([]byte, error) {
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	whole := err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !whole {
		return nil, err
	}
	var crc uint32
	var written int64
	digest := (&File{}).readHeader(head).digest
	if _, err := fmt.Sscanf(digest, digestForm, &crc, &written); err != nil {
		return head, nil // parse says what is wrong
	}
	switch {
	case whole:
		return head, checkText(head) // parse compares the size
	case size >= 0 && size != written:
		return nil, wrongSize(size, written)
	case written > limit:
		return nil, fmt.Errorf("it has %d bytes: more than the %d that it may have",
			written, limit)
	case written <= int64(n):
		return nil, wrongSize(int64(n)+1, written)
	}
	// The memory counts only when something is read into it. In the heap, the collector would run
	// for it, and it would have small pages.
	f.memory, err = unix.Mmap(-1, 0, int(written), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	unix.Madvise(f.memory, unix.MADV_HUGEPAGE)
	copy(f.memory, head)
	return f.memory, fill(r, f.memory, n)
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

// checkColumns returns an error if lines do not have as many tabs as their columns need.
func checkColumns(lines []byte) error {
	rows := bytes.Count(lines, []byte{'\n'})
	if n := bytes.Count(lines, []byte{'\t'}); n != rows*(len(Columns)-1) {
		return fmt.Errorf("%d tabs in %d lines of %d columns: not a registry that kas wrote",
			n, rows, len(Columns))
	}
	return nil
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
