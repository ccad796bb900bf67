package elf

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// TestExpandSection decompresses what zlib packs best, and refuses more than the file may cost
// before it allocates memory for it.
func TestExpandSection(t *testing.T) {
	const size = 1 << 20
	var packed bytes.Buffer
	w, err := zlib.NewWriterLevel(&packed, zlib.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, size))
	w.Close()
	b := packed.Bytes()
	f := &File{}
	f.budget.size = uint64(len(b))
	if got, err := f.expandDebug(b, size, zlibReader); err != nil || len(got) != size {
		t.Fatalf("%d bytes to %d: got %d bytes and error %v", len(b), size, len(got), err)
	}
	left := uint64(freeCost + costPerByte*len(b) - size)
	if _, err = f.expandDebug(b, left+1, zlibReader); err == nil ||
		!strings.Contains(err.Error(), "it expands to") {
		t.Errorf("%d bytes to %d: error %v", len(b), left+1, err)
	}
	if f.expandDebug(b, left, zlibReader); f.budget.left() != 0 {
		t.Errorf("%d bytes left, want none", f.budget.left())
	}
}

// TestBudget: a file of up to 10 MB takes at most 1 GB of memory (SECURITY.md). The objects of
// kernels expand to ten times their size, and nearly half of that is charged twice.
func TestBudget(t *testing.T) {
	b := budget{size: 10 << 20}
	if left := b.left(); left > 900<<20 || left < 20*b.size {
		t.Errorf("a file of %d bytes may cost %d", b.size, left)
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
		memory, _, err := readAll(b, zstdReader, 1)
		unix.Munmap(memory)
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

// endless is a reader of n bytes. It leaves the buffer as it is.
type endless struct{ n int }

func (e *endless) Read(b []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.n)
	e.n -= n
	return n, nil
}

func (e *endless) Close() error { return nil }

// TestObjectLimit decompresses objects around the sizes at which the memory grows, with as many
// bytes as they may have and with one more.
func TestObjectLimit(t *testing.T) {
	for _, limit := range []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 4 << 20, 5<<20 + 7} {
		for _, size := range []int{0, limit, limit + 1} {
			open := func([]byte, uint64) (io.ReadCloser, error) { return &endless{size}, nil }
			memory, n, err := readAll(nil, open, uint64(limit))
			if ok := size <= limit; (err == nil) != ok || ok && n != size {
				t.Errorf("%d bytes of %d: got %d and error %v", size, limit, n, err)
			}
			if err := unix.Munmap(memory); err != nil {
				t.Error(err)
			}
		}
	}
}
