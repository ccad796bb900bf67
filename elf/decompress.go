package elf

import (
	"bytes"
	"compress/gzip"
	stdelf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Limits of decompression, so that a few damaged bytes cannot claim all memory.
const (
	// maxObject is the largest size of a decompressed object.
	maxObject = 4 << 30
	// maxRatio is the largest ratio of a debug section's size to its compressed size. zlib packs at
	// most 1,032 bytes into one.
	maxRatio = 1100
	// defaultWindow is the smallest limit for the window of a zstd frame: compressors use it when
	// they do not know the size of the content.
	defaultWindow = 8 << 20
	// largestWindow is the largest limit for the window of a zstd frame.
	largestWindow = 128 << 20
)

// decompressor returns the function that decompresses a file with these first bytes, nil if the
// file is not compressed.
func decompressor(magic []byte) func([]byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return expandXZ
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		return expandZstd
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		return expandGzip
	}
	return nil
}

func expandXZ(b []byte) ([]byte, error) {
	r, err := xz.NewReader(bytes.NewReader(b), 0)
	if err != nil {
		return nil, err
	}
	return readAll(r)
}

func expandZstd(b []byte) ([]byte, error) {
	r, err := zstdReader(b, maxObject)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r)
}

func expandGzip(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return readAll(r)
}

func readAll(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	_, err := io.Copy(&out, &limited{r: r, left: maxObject})
	return out.Bytes(), err
}

// limited is a reader that fails after a number of bytes.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	b = b[:min(int64(len(b)), l.left+1)] // one more than allowed shows that there are more
	n, err := l.r.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("expands to more than %d bytes", int64(maxObject))
	}
	return n, err
}

// zstdReader decompresses b, whose content has at most size bytes. A frame's header gives the
// window, which is memory of the decoder: a frame needs no larger window than its content, except
// defaultWindow.
func zstdReader(b []byte, size uint64) (io.ReadCloser, error) {
	window := uint64(defaultWindow)
	for window < size && window < largestWindow {
		window *= 2
	}
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(maxObject), zstd.WithDecoderMaxWindow(window))
	if err != nil {
		return nil, err
	}
	return r.IOReadCloser(), nil
}

func zlibReader(b []byte, _ uint64) (io.ReadCloser, error) {
	return zlib.NewReader(bytes.NewReader(b))
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
	switch kind := stdelf.CompressionType(f.u32(data)); kind {
	case stdelf.COMPRESS_ZLIB:
		return expandDebug(data[header:], size, zlibReader)
	case stdelf.COMPRESS_ZSTD:
		return expandDebug(data[header:], size, zstdReader)
	default:
		return nil, fmt.Errorf("unknown compression type %d", kind)
	}
}

// expandGNU decompresses a ".zdebug_" section, the form before SHF_COMPRESSED: "ZLIB", the size in
// eight bytes, most significant first, and a zlib stream. Other content is returned as it is.
func expandGNU(data []byte) ([]byte, error) {
	const header = 12
	if !bytes.HasPrefix(data, []byte("ZLIB")) || len(data) < header {
		return data, nil
	}
	return expandDebug(data[header:], binary.BigEndian.Uint64(data[4:]), zlibReader)
}

// expandDebug decompresses b to exactly size bytes.
func expandDebug(
	b []byte, size uint64, open func(b []byte, size uint64) (io.ReadCloser, error),
) ([]byte, error) {
	if size > maxRatio*uint64(len(b)) {
		return nil, fmt.Errorf("%d bytes cannot expand to %d", len(b), size)
	}
	r, err := open(b, size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make([]byte, size)
	_, err = io.ReadFull(r, out)
	return out, err
}
