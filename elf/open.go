package elf

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"golang.org/x/sys/unix"
)

// Open maps the object at path and reads its headers. A file compressed with xz, zstd or gzip, known by its first bytes
// as modules in the field often are, is decompressed into memory. Damage is a *FormatError; its offset counts from the
// start of the decompressed object. The caller must Close the File.
func Open(path string) (*File, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	data := m.data
	if expand := decompressor(data); expand != nil {
		data, err = expand(m.data)
		if err != nil {
			m.close()
			return nil, formatErrorf(0, "compressed file: %v", err)
		}
		m.expanded = true
	}
	f, err := New(data)
	if err != nil {
		m.close()
		return nil, err
	}
	f.mapped = m
	return f, nil
}

// Close unmaps the object. Every slice that was handed out is invalid afterwards.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	m := f.mapped
	f.mapped, f.data = nil, nil
	return m.close()
}

// Identity tells one state of a file from any other: it changes when the file is written or replaced.
type Identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds
}

// Identity of the file that the object was opened from.
func (f *File) Identity() Identity {
	if f.mapped == nil {
		return Identity{}
	}
	return f.mapped.identity
}

// mapping is a file in memory, and the file itself for as long as it is.
type mapping struct {
	file     *os.File
	data     []byte
	identity Identity
	expanded bool // the object is a decompressed copy, not data
}

func (m *mapping) close() error {
	return errors.Join(unix.Munmap(m.data), m.file.Close())
}

func mapFile(path string) (*mapping, error) {
	// A pipe must not be waited for: it is refused below.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, pathless(err)
	}
	m, err := mapOpened(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return m, nil
}

func mapOpened(file *os.File) (*mapping, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, formatErrorf(0, "not a regular file")
	}
	if st.Size == 0 {
		return nil, formatErrorf(0, "empty file")
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(st.Size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	return &mapping{file: file, data: data, identity: Identity{
		dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}}, nil
}

// pathless takes the path out of an operating system error: whoever reports the object names it.
func pathless(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return err
}

// maxObject bounds what a compressed file may expand to, so that a few damaged bytes cannot ask for all memory.
const maxObject = 4 << 30

func decompressor(data []byte) func([]byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")):
		return func(b []byte) ([]byte, error) {
			r, err := xz.NewReader(bytes.NewReader(b), 0)
			if err != nil {
				return nil, err
			}
			return readAll(r)
		}
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
		return expandZstd
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		return func(b []byte) ([]byte, error) {
			r, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			return readAll(r)
		}
	}
	return nil
}

func expandZstd(b []byte) ([]byte, error) {
	r, err := zstdReader(b, maxObject)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r)
}

// zstdReader decompresses to at most size bytes. The window that a frame asks for is memory: none needs a larger one
// than its content, but for the default window of compressors that did not know the content's length.
func zstdReader(b []byte, size uint64) (io.ReadCloser, error) {
	const defaultWindow, largestWindow = 8 << 20, 128 << 20
	window := uint64(defaultWindow)
	for window < size && window < largestWindow {
		window *= 2
	}
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxObject), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, err
	}
	return r.IOReadCloser(), nil
}

func zlibReader(b []byte, _ uint64) (io.ReadCloser, error) { return zlib.NewReader(bytes.NewReader(b)) }

func readAll(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, maxObject+1))
	if err == nil && n > maxObject {
		err = fmt.Errorf("expands to more than %d bytes", int64(maxObject))
	}
	return out.Bytes(), err
}
