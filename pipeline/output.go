package pipeline

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"kas/elf"
)

// temporary is the name a file bears until it is whole. It is the same each time, so that what a killed run left is
// written over by the next.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// WriteFile writes a file whole or not at all: under a temporary name beside it, renamed when write returns without an
// error. Folders that are missing are made.
func WriteFile(path string, write func(io.Writer) error) (int64, error) {
	return writeFile(path, func(w *output) error { return write(struct{ io.Writer }{w}) })
}

// WriteObject writes a rewritten object in the same way; large ranges of the original are copied by the kernel.
func WriteObject(path string, plan *elf.Plan) (int64, error) {
	return writeFile(path, func(w *output) error {
		if size := plan.Size(); size >= reserveFrom {
			// One request for all blocks is quicker than one for each page. Where there is none, the pages ask.
			unix.Fallocate(int(w.file.Fd()), 0, 0, size)
		}
		_, err := plan.WriteTo(w)
		return err
	})
}

func writeFile(path string, write func(*output) error) (n int64, err error) {
	temp := temporary(path)
	f, err := create(temp)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			f, err = create(temp)
		}
	}
	if err != nil {
		return 0, err
	}
	// A panic, too, must not leave the temporary file.
	done := false
	defer func() {
		if !done {
			f.Close()
			os.Remove(temp)
		}
	}()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	w := &output{file: f, buf: (*buf)[:0]}
	if err = write(w); err == nil {
		err = w.flush()
	}
	if err == nil {
		n, err = f.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return 0, err
	}
	done = true
	return n, nil
}

// create makes a new file in place of what a killed run left there. That may be a symbolic link to an input, which must not
// be written through.
func create(temp string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(temp, flags, 0o644)
	if errors.Is(err, os.ErrExist) {
		if err = os.Remove(temp); err == nil {
			f, err = os.OpenFile(temp, flags, 0o644)
		}
	}
	return f, err
}

// output is a buffered file that can take ranges of another.
type output struct {
	file *os.File
	buf  []byte // what is not written yet, in memory of bufferSize
}

const (
	bufferSize = 256 << 10
	// copyFrom is the size from which a range is worth a system call of its own, which copies it without touching memory
	// of ours, or not at all where the file system shares blocks.
	copyFrom = 128 << 10
	// reserveFrom is the size from which room for a file is asked for at once.
	reserveFrom = 1 << 20
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferSize); return &b }}

func (w *output) flush() error {
	_, err := w.file.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

func (w *output) Write(p []byte) (int, error) {
	if len(w.buf)+len(p) > bufferSize {
		if err := w.flush(); err != nil {
			return 0, err
		}
		if len(p) >= bufferSize {
			return w.file.Write(p)
		}
	}
	w.buf = append(w.buf, p...)
	return len(p), nil
}

// CopyRange copies a range of the file fd, a large one by copy_file_range where the file system can do that.
func (w *output) CopyRange(fd int, offset, size int64) error {
	if size < copyFrom {
		return w.CopyEdited(fd, offset, size, 1, func([]byte, uint64) error { return nil })
	}
	if err := w.flush(); err != nil {
		return err
	}
	for size > 0 {
		n, err := unix.CopyFileRange(fd, &offset, int(w.file.Fd()), nil, int(size), 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return w.CopyEdited(fd, offset, size, 1, func([]byte, uint64) error { return nil })
		}
		size -= int64(n)
	}
	return nil
}

// CopyEdited reads a range of the file fd into the buffer, lets change edit it there, whole units of unit bytes each
// time, and leaves it to be written. size is a multiple of unit.
func (w *output) CopyEdited(fd int, offset, size int64, unit int, change func(b []byte, at uint64) error) error {
	for size > 0 {
		free := min(int64(bufferSize-len(w.buf)), size)
		if free -= free % int64(unit); free == 0 {
			if err := w.flush(); err != nil {
				return err
			}
			continue
		}
		b := w.buf[len(w.buf):][:free]
		if err := elf.ReadAt(fd, b, offset); err != nil {
			return err
		}
		if err := change(b, uint64(offset)); err != nil {
			return err
		}
		w.buf = w.buf[:len(w.buf)+len(b)]
		offset += free
		size -= free
	}
	return nil
}

// Lock takes an output folder for this process until unlock is called; another run on it is refused.
func Lock(dir string) (unlock func(), err error) { return lock(dir, unix.LOCK_NB) }

// LockWait is Lock, but waits for the other to end.
func LockWait(dir string) (unlock func(), err error) { return lock(dir, 0) }

func lock(dir string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	_, err = elf.IgnoringEINTR(func() (int, error) { return 0, unix.Flock(int(f.Fd()), unix.LOCK_EX|how) })
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("another run is writing to " + dir)
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Symlink makes a symbolic link to target at path, in place of what is there, by way of a temporary name.
func Symlink(target, path string) error {
	temp := temporary(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// IsTemporary says whether the path is one that a killed run may have left.
func IsTemporary(path string) bool {
	base := filepath.Base(path)
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".tmp")
}
