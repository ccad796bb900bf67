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
	data, unmap, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	expand := decompressor(data)
	if expand != nil {
		object, err := expand(data)
		unmap()
		if err != nil {
			return nil, formatErrorf(0, "compressed file: %v", err)
		}
		data, unmap = object, func() error { return nil }
	}
	f, err := New(data)
	if err != nil {
		unmap()
		return nil, err
	}
	f.unmap, f.disk = unmap, expand == nil
	return f, nil
}

// Close unmaps the object. Every slice that was handed out is invalid afterwards.
func (f *File) Close() error {
	if f.unmap == nil {
		return nil
	}
	unmap := f.unmap
	f.unmap, f.data = nil, nil
	return unmap()
}

func mapFile(path string) ([]byte, func() error, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, pathless(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, pathless(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, formatErrorf(0, "not a regular file")
	}
	if info.Size() == 0 {
		return nil, nil, formatErrorf(0, "empty file")
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("map: %w", err)
	}
	return data, func() error { return unix.Munmap(data) }, nil
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
	r, err := zstdReader(b)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r)
}

func zstdReader(b []byte) (io.ReadCloser, error) {
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxObject))
	if err != nil {
		return nil, err
	}
	return r.IOReadCloser(), nil
}

func zlibReader(b []byte) (io.ReadCloser, error) { return zlib.NewReader(bytes.NewReader(b)) }

func readAll(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, maxObject+1))
	if err == nil && n > maxObject {
		err = fmt.Errorf("expands to more than %d bytes", int64(maxObject))
	}
	return out.Bytes(), err
}
