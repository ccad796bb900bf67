package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"kas/elf"
)

// nameMax is the number of bytes that a name may have on Linux's file systems.
const nameMax = 255

// temporary returns the name of a file until it is whole. It is always the same, so the next run
// replaces what a killed run left. A name with no room for more gets a digest instead.
func temporary(path string) string {
	dir, base := filepath.Split(path)
	if name := "." + base + ".tmp"; len(name) <= nameMax {
		return dir + name
	}
	return dir + ".kas-" + Digest(base) + ".tmp"
}

// WriteFile writes a file whole or not at all: it writes a temporary file in the same folder, syncs
// it and renames it when write returns without an error. It creates missing folders. It returns the
// size of the file. When it returns, the file is on disk under its name.
func WriteFile(path string, write func(io.Writer) error) (int64, error) {
	var f Files
	n, err := f.WriteFile(path, write)
	if err != nil {
		return 0, err
	}
	failed, err := f.Settle()
	if err := errors.Join(failed[path], err); err != nil {
		return 0, err
	}
	return n, nil
}

// WriteNamed writes a file that the user names, as WriteFile does. It writes into a device or a
// pipe and leaves it what it is, also behind a symbolic link such as /dev/stdout. The writer of a
// regular file is also an io.WriterAt.
func WriteNamed(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() || info.IsDir() {
		_, err := WriteFile(path, write)
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(struct{ io.Writer }{f}), f.Close())
}

// ReplaceObject writes a rewritten object whole or not at all, in a folder that is there. It does
// not sync it: a linker's output is not on disk either.
func ReplaceObject(path string, plan *elf.Plan) error {
	f, _, err := writeTemporary(path, objectWriter(plan))
	if err != nil {
		return err
	}
	if err = f.Close(); err == nil {
		err = os.Rename(temporary(path), path)
	}
	if err != nil {
		os.Remove(temporary(path))
	}
	return err
}

// plain hides all methods of an output but Write and WriteAt.
func plain(write func(io.Writer) error) func(*output) error {
	return func(w *output) error {
		return write(struct {
			io.Writer
			io.WriterAt
		}{w, w})
	}
}

func objectWriter(plan *elf.Plan) func(*output) error {
	return func(w *output) error {
		if size := plan.Size(); size >= reserveFrom {
			// One request for all blocks is faster than one for each page. File systems without it
			// allocate by page.
			unix.Fallocate(int(w.file.Fd()), 0, 0, size)
		}
		_, err := plan.WriteTo(w)
		return err
	}
}

// writeTemporary writes a file under its temporary name. It returns the open file and its size.
func writeTemporary(path string, write func(*output) error) (f *os.File, n int64, err error) {
	temp := temporary(path)
	if f, err = create(temp); err != nil {
		return nil, 0, err
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
	if err != nil {
		return nil, 0, err
	}
	done = true
	return f, n, nil
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

// WriteAt writes over what was written before.
func (w *output) WriteAt(p []byte, offset int64) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	return w.file.WriteAt(p, offset)
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

// ErrLocked is in the error of Lock if another process has locked the folder.
var ErrLocked = errors.New("another run is writing to")

// Lock locks an output folder until unlock is called. It returns an error if another process has
// locked it.
func Lock(dir string) (unlock func(), err error) {
	return lock(dir, unix.LOCK_EX|unix.LOCK_NB)
}

// LockWait locks an output folder like Lock, but waits until no other process has locked it.
func LockWait(dir string) (unlock func(), err error) { return lock(dir, unix.LOCK_EX) }

// LockShared is like Lock, but others may lock the folder like this, too. A file system that cannot
// lock is no error.
func LockShared(dir string) (unlock func(), err error) {
	unlock, err = lock(dir, unix.LOCK_SH|unix.LOCK_NB)
	if err != nil && !errors.Is(err, ErrLocked) {
		return func() {}, nil
	}
	return unlock, err
}

func lock(dir string, how int) (unlock func(), err error) {
	changed, err := makeFolders(dir)
	if err == nil {
		err = syncFolders(changed)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	flock := func() (int, error) { return 0, unix.Flock(int(f.Fd()), how) }
	_, err = elf.IgnoringEINTR(flock)
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w %s", ErrLocked, dir)
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Symlink creates a symbolic link to target at path and replaces what is there, by way of a
// temporary name.
func Symlink(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := symlinkTemporary(target, path); err != nil {
		return err
	}
	return os.Rename(temporary(path), path)
}

// RemoveFile removes a file, if it is there.
func RemoveFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func symlinkTemporary(target, path string) error {
	temp := temporary(path)
	if err := RemoveFile(temp); err != nil {
		return err
	}
	return os.Symlink(target, temp)
}

// CopiesDir returns the build's folder for copies of modules.
func (b *Build) CopiesDir() string { return b.Path("modules") }

// Leftovers lists files that an earlier run left: temporary files of killed runs and outputs of
// another configuration. outputs maps the path of every file that a run may write to whether this
// run writes it. A build with a record has no others than the record lists. In one without,
// everything at the path of an output is kas's, and so are all copies in CopiesDir.
func (b *Build) Leftovers(outputs map[string]bool) ([]string, error) {
	var found []string
	look := func(path string, written bool) {
		if temp := temporary(path); exists(temp) {
			found = append(found, temp)
		}
		if info, err := os.Lstat(path); err == nil && !info.IsDir() && !written {
			found = append(found, path)
		}
	}
	if b.recorded {
		r, err := OpenRecord(b.Dir)
		if err != nil {
			return nil, err
		}
		if temp := temporary(b.Path(RecordFile)); exists(temp) {
			found = append(found, temp)
		}
		written := map[string]bool{}
		for path := range outputs {
			written[r.name(path)] = outputs[path]
		}
		for name := range r.paths {
			look(r.path(name), written[name])
		}
		slices.Sort(found)
		return found, nil
	}
	for path := range outputs {
		look(path, outputs[path])
	}
	err := b.copies(func(path string) {
		if _, known := outputs[path]; !known {
			found = append(found, path)
		}
	})
	slices.Sort(found)
	return slices.Compact(found), err
}

// Remove removes files of the build that Leftovers found, and then syncs their folders.
func (b *Build) Remove(paths []string) error {
	dirs := map[string]bool{}
	for _, path := range paths {
		if err := RemoveFile(path); err != nil {
			return err
		}
		dirs[filepath.Dir(path)] = true
	}
	return syncFolders(slices.Sorted(maps.Keys(dirs)))
}

// copies calls each for all that looks like a copy of a module in CopiesDir, or like a temporary
// file of one.
func (b *Build) copies(each func(path string)) error { return copiesBelow(b.CopiesDir(), each) }

func copiesBelow(dir string, each func(path string)) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		name, _ := strings.CutSuffix(path, ".tmp")
		if err == nil && !e.IsDir() && strings.HasSuffix(name, ".kas") {
			each(path)
		}
		return err
	})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
