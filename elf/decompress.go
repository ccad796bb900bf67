package elf

import (
	"bytes"
	"compress/gzip"
	stdelf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"golang.org/x/sys/unix"
)

// Limits for the window of a zstd frame, which is memory of the decoder.
const (
	// defaultWindow is the smallest limit: compressors use it when they do not know the size of the
	// content.
	defaultWindow = 8 << 20
	// largestWindow is the largest limit.
	largestWindow = 128 << 20
)

// opener makes a reader of the content of b, which has at most size bytes.
type opener func(b []byte, size uint64) (io.ReadCloser, error)

// decompressor returns the opener for a file with these first bytes, nil if the file is not
// compressed.
func decompressor(magic []byte) opener {
	switch {
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return xzReader
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		return zstdReader
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		return gzipReader
	}
	return nil
}

// Compressions are the suffixes of the names of files that decompressor knows.
var Compressions = []string{".xz", ".zst", ".gz"}

// Uncompressed returns the name of an object without a suffix of compression. Rewritten modules are
// not compressed.
func Uncompressed(name string) string {
	if ext := path.Ext(name); slices.Contains(Compressions, ext) {
		return strings.TrimSuffix(name, ext)
	}
	return name
}

func xzReader(b []byte, _ uint64) (io.ReadCloser, error) {
	r, err := xz.NewReader(bytes.NewReader(b), 0)
	return io.NopCloser(r), err
}

func gzipReader(b []byte, _ uint64) (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(b))
}

func zlibReader(b []byte, _ uint64) (io.ReadCloser, error) {
	return zlib.NewReader(bytes.NewReader(b))
}

// zstdReader limits the window: a frame needs no larger one than its content, except defaultWindow.
func zstdReader(b []byte, size uint64) (io.ReadCloser, error) {
	window := uint64(defaultWindow)
	for window < size && window < largestWindow {
		window *= 2
	}
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, err
	}
	return r.IOReadCloser(), nil
}

// readAll returns the content of b, of n bytes, in memory that the caller unmaps, even after an
// error. It is an error if there are more than limit bytes. The memory grows without copies of it:
// a buffer of the heap would take three times the size of the content.
func readAll(b []byte, open opener, limit uint64) (memory []byte, n int, err error) {
	r, err := open(b, largestWindow) // the size is not known
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	const least = 1 << 20
	memory, err = unix.Mmap(-1, 0, least, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON)
	for err == nil {
		if n == len(memory) {
			// One more byte than allowed shows that there are more.
			size := min(2*len(memory), int(limit)+1)
			var grown []byte
			if grown, err = unix.Mremap(memory, size, unix.MREMAP_MAYMOVE); err == nil {
				memory = grown
			}
			continue
		}
		var done int
		done, err = r.Read(memory[n:])
		n += done
		switch {
		case uint64(n) > limit:
			return memory, n, fmt.Errorf("expands to more than %d bytes", limit)
		case err == io.EOF:
			return memory, n, nil
		}
	}
	return memory, n, err
}

// expandSection decompresses a section with SHF_COMPRESSED (gABI "Section Compression"). The header
// is ch_type, ch_size and ch_addralign.
func (f *File) expandSection(data []byte) ([]byte, error) {
	header := 12
	if f.Is64 {
		header = 24
	}
	if len(data) < header {
		return nil, errors.New("no compression header")
	}
	size := uint64(f.u32(data[4:]))
	if f.Is64 {
		size = f.u64(data[8:])
	}
	var open opener
	switch kind := stdelf.CompressionType(f.u32(data)); kind {
	case stdelf.COMPRESS_ZLIB:
		open = zlibReader
	case stdelf.COMPRESS_ZSTD:
		open = zstdReader
	default:
		return nil, fmt.Errorf("unknown compression type %d", kind)
	}
	return f.expandDebug(data[header:], size, open)
}

// expandGNU decompresses a ".zdebug_" section, the form before SHF_COMPRESSED: "ZLIB", the size in
// eight bytes, most significant first, and a zlib stream. Other content is returned as it is.
func (f *File) expandGNU(data []byte) ([]byte, error) {
	const header = 12
	if !bytes.HasPrefix(data, []byte("ZLIB")) || len(data) < header {
		return data, nil
	}
	return f.expandDebug(data[header:], binary.BigEndian.Uint64(data[4:]), zlibReader)
}

// expandDebug decompresses b to exactly size bytes.
func (f *File) expandDebug(b []byte, size uint64, open opener) ([]byte, error) {
	if left := f.budget.left(); size > left {
		return nil, fmt.Errorf("it expands to %d bytes, and a file of %d may have %d more",
			size, f.budget.size, left)
	}
	f.budget.spent.Add(size)
	r, err := open(b, size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make([]byte, size)
	_, err = io.ReadFull(r, out)
	return out, err
}
