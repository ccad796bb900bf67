package elf

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Open maps the object at path and reads its headers. A file compressed with xz, zstd or gzip, as
// modules often are, is recognized by its first bytes and decompressed into memory. Damage is a
// *FormatError whose offset counts from the start of the decompressed object. The caller must Close
// the File.
func Open(path string) (*File, error) {
	return open(path, func(s *source) (*File, error) {
		data, err := s.mapWhole()
		if err != nil {
			return nil, err
		}
		return New(data)
	})
}

// OpenTables is like Open, for callers that need only the headers and a few sections. It maps
// nothing: a section is read when Data is first called for it. Unmapping a file interrupts every
// processor that runs this process, which costs more than reading some tables.
func OpenTables(path string) (*File, error) {
	return open(path, func(s *source) (*File, error) {
		f := &File{size: uint64(s.identity.Size), source: s}
		f.budget.size = f.size
		return f, f.readHeaders()
	})
}

// open opens a file and calls read to make a File of it, or decompresses it.
func open(path string, read func(*source) (*File, error)) (*File, error) {
	s, err := openSource(path)
	if err != nil {
		return nil, err
	}
	var f *File
	if expand := decompressor(s.magic[:]); expand != nil {
		f, err = s.expand(expand)
	} else {
		f, err = read(s)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	f.source = s
	return f, nil
}

// Close releases the file and its memory. Slices that the File returned are invalid afterwards.
func (f *File) Close() error {
	s := f.source
	if s == nil {
		return nil
	}
	f.source, f.data, f.header, f.headers, f.pieces = nil, nil, nil, nil, nil
	return s.close()
}

// Forget takes what was read of a mapped file out of this process's memory. What is read again
// comes from the system's cache. An error would only cost memory. A decompressed object stays: its
// memory has no file to read it from again.
func (f *File) Forget() {
	if s := f.source; s != nil && s.mapped != nil && !s.expanded {
		unix.Madvise(s.mapped, unix.MADV_DONTNEED)
	}
}

// source is an opened file and the parts of it that are in memory.
type source struct {
	fd       int
	identity Identity
	magic    [8]byte
	mapped   []byte
	expanded bool  // the object is a decompressed copy of the file, which mapped is
	blocks   block // memory of what was read
}

// CheckRegular returns an error, without the path, unless a regular file is at path. Callers whose
// path comes from an object ask before they open it: opening a device may have an effect.
func CheckRegular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return errors.Unwrap(err)
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	return nil
}

// openSource opens a regular file that is not empty.
func openSource(path string) (*source, error) {
	// O_NONBLOCK: opening a pipe must not wait for a writer. identify refuses pipes.
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := IgnoringEINTR(func() (int, error) { return unix.Open(path, flags, 0) })
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	s := &source{fd: fd}
	if err := s.identify(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

// identify sets the identity and reads the first bytes.
func (s *source) identify() error {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return formatErrorf(0, "not a regular file")
	}
	if st.Size == 0 {
		return formatErrorf(0, "empty file")
	}
	s.identity = identityOf(&st)
	return ReadAt(s.fd, s.magic[:min(st.Size, int64(len(s.magic)))], 0)
}

func (s *source) mapWhole() ([]byte, error) {
	var err error
	s.mapped, err = unix.Mmap(s.fd, 0, int(s.identity.Size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	return s.mapped, nil
}

// expand makes a File of the decompressed content.
func (s *source) expand(open opener) (*File, error) {
	packed, err := s.mapWhole()
	if err != nil {
		return nil, err
	}
	f := &File{}
	f.budget.size = uint64(s.identity.Size)
	memory, n, err := readAll(packed, open, f.budget.left())
	unmap := unix.Munmap(packed)
	s.mapped, s.expanded = memory, true
	if err = cmp.Or(err, unmap); err != nil {
		return nil, formatErrorf(0, "compressed file: %v", err)
	}
	f.data, f.size = memory[:n:n], uint64(n)
	f.budget.spent.Add(f.size)
	return f, f.readHeaders()
}

// read returns a range of the file, in memory that close releases.
func (s *source) read(offset, size uint64) ([]byte, error) {
	b := s.blocks.take(size)
	return b, ReadAt(s.fd, b, int64(offset))
}

func (s *source) close() error {
	var err error
	if s.mapped != nil {
		err = unix.Munmap(s.mapped)
	}
	s.blocks.release()
	return errors.Join(err, unix.Close(s.fd))
}

// block hands out memory in pieces and gets all of it back at once, for the next file.
type block struct{ free, whole []byte }

var blocks = sync.Pool{New: func() any { return &block{} }}

func (b *block) take(size uint64) []byte {
	const least = 64 << 10
	if b.whole == nil {
		*b = *blocks.Get().(*block)
	}
	if uint64(len(b.free)) < size {
		// Pieces of the old memory stay valid. Only the new memory is used for the next file.
		b.whole = make([]byte, max(size, 2*uint64(len(b.whole)), least))
		b.free = b.whole
	}
	piece := b.free[:size:size]
	b.free = b.free[size:]
	return piece
}

func (b *block) release() {
	if b.whole != nil {
		blocks.Put(&block{free: b.whole, whole: b.whole})
	}
	*b = block{}
}

// ReadAt fills b from the given offset of the file fd. A file that ends before is a *FormatError.
func ReadAt(fd int, b []byte, offset int64) error {
	for done := 0; done < len(b); {
		n, err := IgnoringEINTR(func() (int, error) {
			return unix.Pread(fd, b[done:], offset+int64(done))
		})
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if n == 0 {
			return Shrank(uint64(offset) + uint64(done))
		}
		done += n
	}
	return nil
}

// IgnoringEINTR repeats a system call as long as a signal interrupts it.
func IgnoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
