package pipeline

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

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
	w := &output{file: f, buf: bufio.NewWriterSize(f, 256<<10)}
	if err = write(w); err == nil {
		err = w.buf.Flush()
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

// output is a buffered file that can take ranges of another, by copy_file_range where the file system can do that.
type output struct {
	file *os.File
	buf  *bufio.Writer
}

func (w *output) Write(p []byte) (int, error) { return w.buf.Write(p) }

// CopyRange copies a range of the original.
func (w *output) CopyRange(original *os.File, offset, size int64) error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	for size > 0 {
		n, err := unix.CopyFileRange(int(original.Fd()), &offset, int(w.file.Fd()), nil, int(size), 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			copied, err := io.Copy(w.file, io.NewSectionReader(original, offset, size))
			if err == nil && copied < size {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		size -= int64(n)
	}
	return nil
}

// Lock takes an output folder for this process until unlock is called; another run on it is refused.
func Lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
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
