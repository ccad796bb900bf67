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
		return read(file, info.Size(), maxFile)
	}
	d, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	data, err := read(d, -1, min(maxFile, freeSize+maxRatio*info.Size()))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return data, nil
}

// read reads a registry, of at most limit bytes. size is that of the file, -1 if it is not known.
func read(r io.Reader, size, limit int64) ([]byte, error) {
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
	// The memory counts only when something is read into it.
	data := append(make([]byte, 0, written), head...)
	if err := checkText(data); err != nil {
		return nil, err
	}
	for int64(len(data)) < written {
		chunk := data[len(data):min(len(data)+chunkSize, int(written))]
		n, err := io.ReadFull(r, chunk)
		data = data[:len(data)+n]
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return nil, wrongSize(int64(len(data)), written)
		case err != nil:
			return nil, err
		}
		if err := checkText(chunk); err != nil {
			return nil, err
		}
	}
	if n, _ := r.Read(make([]byte, 1)); n > 0 {
		return nil, wrongSize(written+1, written)
	}
	return data, nil
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
	const ones, high = 0x0101010101010101, 0x8080808080808080
	var bad uint64 // the eighth bit of each byte that is a control byte
	rest := text
	for ; len(rest) >= 8; rest = rest[8:] {
		// Adding 0x80-n to a byte of seven bits sets its eighth bit if it is n or more.
		x := binary.LittleEndian.Uint64(rest)
		y := x &^ high
		low := ^(y + 0x60*ones) & (^(y + 0x77*ones) | (y + 0x75*ones)) // not \t, not \n
		bad |= (low | (y + ones)) &^ x
	}
	last := func(c byte) bool { return c < ' ' && c != '\t' && c != '\n' || c == 0x7f }
	if bad&high != 0 || slices.ContainsFunc(rest, last) {
		return errors.New("control bytes: not a registry that kas wrote")
	}
	return nil
}
