package elf

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestExpandRatio decompresses what zlib packs best, and refuses sizes that no input can have
// before it allocates memory for them.
func TestExpandRatio(t *testing.T) {
	const size = 1 << 20
	var packed bytes.Buffer
	w, err := zlib.NewWriterLevel(&packed, zlib.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, size))
	w.Close()
	b := packed.Bytes()
	if got, err := expandDebug(b, size, zlibReader); err != nil || len(got) != size {
		t.Fatalf("%d bytes to %d: got %d bytes and error %v", len(b), size, len(got), err)
	}
	_, err = expandDebug(b, 1200*uint64(len(b)), zlibReader)
	if err == nil || !strings.Contains(err.Error(), "cannot expand to") {
		t.Errorf("%d bytes to %d: error %v", len(b), 1200*len(b), err)
	}
}

// zstdFrame is a zstd frame (RFC 8878, section 3.1.1) of one block with the content "x". Its header
// has the base-2 logarithm of the window.
func zstdFrame(windowLog int) []byte {
	header := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(windowLog-10) << 3}
	return append(header, 1<<3|1, 0, 0, 'x') // last block, raw, one byte
}

// TestZstdLimits reads frames at the limits and beyond them. A frame of a section may ask for a
// window of 8 MiB or the next power of two from the size of its content, a file for 128 MiB.
func TestZstdLimits(t *testing.T) {
	section := func(size uint64) func([]byte) error {
		return func(b []byte) error {
			r, err := zstdReader(b, size)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = r.Read(make([]byte, 2))
			return err
		}
	}
	file := func(b []byte) error {
		_, err := expandZstd(b)
		return err
	}
	tooLarge := zstd.ErrWindowSizeExceeded
	for _, test := range []struct {
		what  string
		read  func([]byte) error
		frame []byte
		want  error
	}{
		{"section of 1 byte, window of 8 MiB", section(1), zstdFrame(23), nil},
		{"section of 1 byte, window of 16 MiB", section(1), zstdFrame(24), tooLarge},
		{"section of 9 MiB, window of 16 MiB", section(9 << 20), zstdFrame(24), nil},
		{"section of 9 MiB, window of 32 MiB", section(9 << 20), zstdFrame(25), tooLarge},
		{"file, window of 128 MiB", file, zstdFrame(27), nil},
		{"file, window of 256 MiB", file, zstdFrame(28), tooLarge},
	} {
		if err := test.read(test.frame); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.what, err, test.want)
		}
	}
}

// endless is a reader without an end. It leaves the buffer as it is.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestObjectLimit reads a decompressed object of 4 GiB, and one that has a byte more.
func TestObjectLimit(t *testing.T) {
	const limit = 4 << 30
	for size, ok := range map[int64]bool{limit: true, limit + 1: false} {
		r := &limited{r: io.LimitReader(endless{}, size), left: maxObject}
		n, err := io.Copy(io.Discard, r)
		if (err == nil) != ok || ok && n != size {
			t.Errorf("%d bytes: got %d and error %v", size, n, err)
		}
	}
	small := &limited{r: strings.NewReader("four"), left: 4}
	if b, err := io.ReadAll(small); err != nil || string(b) != "four" {
		t.Errorf("four bytes: got %q and error %v", b, err)
	}
}
