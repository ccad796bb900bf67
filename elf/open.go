package elf

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"golang.org/x/sys/unix"
)

// Open maps the object at path and reads its headers. A file compressed with xz, zstd or gzip, known by its first bytes
// as modules in the field often are, is decompressed into memory. Damage is a *FormatError; its offset counts from the
// start of the decompressed object. The caller must Close the File.
func Open(path string) (*File, error) {
	return open(path, func(s *source) (*File, error) {
		data, err := s.mapWhole()
		if err != nil {
			return nil, err
		}
		return New(data)
	})
}

// OpenTables is Open for who needs the headers and a few sections: each section is read when Data first asks for it, and
// nothing is mapped. Taking a mapping away interrupts every processor that this process runs on, which costs more than
// reading some tables.
func OpenTables(path string) (*File, error) {
	return open(path, func(s *source) (*File, error) {
		f := &File{size: uint64(s.identity.Size), source: s}
		return f, f.readHeaders()
	})
}

// open opens the file and has read make a File of it if it is a plain object; a compressed one is expanded.
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

// Close gives back what Open took. Every slice that was handed out is invalid afterwards.
func (f *File) Close() error {
	s := f.source
	if s == nil {
		return nil
	}
	f.source, f.data, f.header, f.headers, f.pieces = nil, nil, nil, nil, nil
	return s.close()
}

// Identity tells one state of a file from any other: it changes when the file is written or replaced.
type Identity struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64 // nanoseconds since 1970
}

// Identify returns the identity of the file at path, or of the symbolic link; the zero value if there is none.
func Identify(path string) Identity { return identify(unix.Lstat, path) }

// IdentifyTarget returns the identity of the file at path, or of what a symbolic link there leads to; the zero value if
// there is none.
func IdentifyTarget(path string) Identity { return identify(unix.Stat, path) }

func identify(stat func(string, *unix.Stat_t) error, path string) Identity {
	var st unix.Stat_t
	if stat(path, &st) != nil {
		return Identity{}
	}
	return identityOf(&st)
}

// Text appends the identity as ParseIdentity reads it, a word without blanks.
func (id Identity) Text(b []byte) []byte {
	for i, n := range [...]uint64{id.Dev, id.Ino, uint64(id.Size), uint64(id.Mtime), uint64(id.Ctime)} {
		if i > 0 {
			b = append(b, ':')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return b
}

func (id Identity) String() string { return string(id.Text(nil)) }

// ParseIdentity reads what String wrote; false if it is something else.
func ParseIdentity(s string) (id Identity, ok bool) {
	var n [5]uint64
	for i := range n {
		word, rest, more := strings.Cut(s, ":")
		v, err := strconv.ParseUint(word, 10, 64)
		if err != nil || more != (i < len(n)-1) {
			return Identity{}, false
		}
		n[i], s = v, rest
	}
	return Identity{Dev: n[0], Ino: n[1], Size: int64(n[2]), Mtime: int64(n[3]), Ctime: int64(n[4])}, true
}

func identityOf(st *unix.Stat_t) Identity {
	return Identity{Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}
}

// Identity of the file that the object was opened from.
func (f *File) Identity() Identity {
	if f.source == nil {
		return Identity{}
	}
	return f.source.identity
}

// source is an opened file and what of it is in memory.
type source struct {
	fd       int
	identity Identity
	magic    [8]byte
	mapped   []byte
	expanded bool  // the object is a decompressed copy of the file
	blocks   block // what was read
}

// openSource opens a regular file that is not empty.
func openSource(path string) (*source, error) {
	// A pipe must not be waited for: it is refused below.
	fd, err := IgnoringEINTR(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) })
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

func (s *source) expand(expand func([]byte) ([]byte, error)) (*File, error) {
	data, err := s.mapWhole()
	if err != nil {
		return nil, err
	}
	s.expanded = true
	if data, err = expand(data); err != nil {
		return nil, formatErrorf(0, "compressed file: %v", err)
	}
	return New(data)
}

// ReadAt fills b with what the file fd has from offset on; that it ends before is a *FormatError.
func ReadAt(fd int, b []byte, offset int64) error {
	for done := 0; done < len(b); {
		n, err := IgnoringEINTR(func() (int, error) { return unix.Pread(fd, b[done:], offset+int64(done)) })
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if n == 0 {
			return formatErrorf(uint64(offset)+uint64(done), "the file shrank while it was read")
		}
		done += n
	}
	return nil
}

// read returns a range of the file, in memory that close takes back.
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

// block is memory that is handed out piece by piece and taken back at once, to serve the next file.
type block struct{ free, whole []byte }

var blocks = sync.Pool{New: func() any { return &block{} }}

func (b *block) take(size uint64) []byte {
	const least = 64 << 10
	if b.whole == nil {
		*b = *blocks.Get().(*block)
	}
	if uint64(len(b.free)) < size {
		// What was handed out of the old memory stays valid; the new serves the next file, too.
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

// IgnoringEINTR makes a system call again that a signal interrupted.
func IgnoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
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
