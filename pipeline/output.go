package pipeline

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"kas/elf"
)

// temporary returns the name of a file until it is whole. It is always the same, so the next run
// replaces what a killed run left.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// final is the inverse of temporary. It returns other paths unchanged.
func final(path string) string {
	dir, base := filepath.Split(path)
	if name, ok := strings.CutPrefix(base, "."); ok {
		if name, ok = strings.CutSuffix(name, ".tmp"); ok {
			return dir + name
		}
	}
	return path
}

// WriteFile writes a file whole or not at all: it writes a temporary file in the same folder and
// renames it when write returns without an error. It creates missing folders. It returns the size
// of the file.
func WriteFile(path string, write func(io.Writer) error) (int64, error) {
	return writeFile(path, func(w *output) error { return write(struct{ io.Writer }{w}) })
}

// WriteObject writes a rewritten object as WriteFile does. The kernel copies large ranges of the
// original.
func WriteObject(path string, plan *elf.Plan) (int64, error) {
	return writeFile(path, func(w *output) error {
		if size := plan.Size(); size >= reserveFrom {
			// One request for all blocks is faster than one for each page. File systems without it
			// allocate by page.
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
	// A panic must not leave the temporary file either.
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

// create creates a new file in place of what a killed run left there. That may be a symbolic link
// to an input, which must not be written through.
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

// output is a buffered file that can copy ranges of other files.
type output struct {
	file *os.File
	buf  []byte // not written yet; its capacity is bufferSize
}

const (
	bufferSize = 256 << 10
	// copyFrom is the size in bytes from which a range is copied by a system call of its own.
	copyFrom = 128 << 10
	// reserveFrom is the size in bytes from which the blocks of a file are allocated at once.
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

// CopyRange copies a range of the file fd. It copies a large range by copy_file_range if the file
// system supports it.
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

// CopyEdited copies a range of the file fd and lets change edit it on the way. Each call of change
// gets a number of whole units of unit bytes and their offset in fd. size is a multiple of unit.
func (w *output) CopyEdited(
	fd int, offset, size int64, unit int, change func(b []byte, at uint64) error,
) error {
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

// Lock locks an output folder until unlock is called. It returns an error if another process has
// locked it.
func Lock(dir string) (unlock func(), err error) { return lock(dir, unix.LOCK_NB) }

// LockWait locks an output folder like Lock, but waits until no other process has locked it.
func LockWait(dir string) (unlock func(), err error) { return lock(dir, 0) }

func lock(dir string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	flock := func() (int, error) { return 0, unix.Flock(int(f.Fd()), unix.LOCK_EX|how) }
	_, err = elf.IgnoringEINTR(flock)
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("another run is writing to " + dir)
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Symlink creates a symbolic link to target at path and replaces what is there, by way of a
// temporary name.
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

// CopiesDir returns the build's folder for copies of modules.
func (b *Build) CopiesDir() string { return b.Path("modules") }

// Leftovers lists files that an earlier run left: temporary files of killed runs and outputs of
// another configuration. outputs maps the path of every file that a run may write to whether this
// run writes it. In CopiesDir, all other copies of modules are leftovers, too. Files with names
// that kas does not use are not listed.
func (b *Build) Leftovers(outputs map[string]bool) ([]string, error) {
	var found []string
	dir := b.CopiesDir()
	for path, written := range outputs {
		if strings.HasPrefix(path, dir+string(filepath.Separator)) {
			continue // see below
		}
		if temp := temporary(path); exists(temp) {
			found = append(found, temp)
		}
		if !written && exists(path) {
			found = append(found, path)
		}
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !e.IsDir() && !outputs[path] && strings.HasSuffix(final(path), ".kas") {
			found = append(found, path)
		}
		return err
	})
	slices.Sort(found)
	return found, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
