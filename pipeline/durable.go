package pipeline

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"kas/elf"
)

// A file gets its final name when its content is on disk. After a power failure a file system may
// know the new name and size of a file, but not its content: ext4 then shows zeros. So each file is
// synced first and renamed after, and its folder is synced last.

// syncers is how many files are synced at the same time. A file system commits them together, so
// this saves most of the waiting.
const syncers = 16

// waiters run functions that wait for a disk. These compute nothing, so they need no token of a
// worker.
type waiters struct {
	once  sync.Once
	slots chan struct{}
	all   sync.WaitGroup
}

// run runs f on a goroutine. It waits until fewer than syncers run.
func (w *waiters) run(f func()) {
	w.once.Do(func() { w.slots = make(chan struct{}, syncers) })
	w.slots <- struct{}{}
	w.all.Go(func() {
		defer func() { <-w.slots }()
		f()
	})
}

// Files writes many files whole or not at all, and syncs them while the caller writes the next. All
// have their final names, and are on disk with them, when Settle returns. The zero value is ready.
type Files struct {
	// Before is called once, before the first file gets its final name. nil means nothing to do.
	Before func() error
	// Stopped says that no more files get their final names. nil means never.
	Stopped func() bool

	mu      sync.Mutex
	begun   bool
	pending waiters
	dirs    map[string]bool  // folders to sync
	failed  map[string]error // by final path
}

// errStopped is the error of a file that is not wanted any more.
var errStopped = errors.New("the run was stopped")

// WriteFile is like the function WriteFile.
func (f *Files) WriteFile(path string, write func(io.Writer) error) (int64, error) {
	return f.write(path, plain(write))
}

// WriteObject writes a rewritten object as WriteFile does. The kernel copies large ranges of the
// original.
func (f *Files) WriteObject(path string, plan *elf.Plan) (int64, error) {
	return f.write(path, objectWriter(plan))
}

func (f *Files) write(path string, write func(*output) error) (int64, error) {
	if err := f.folder(filepath.Dir(path)); err != nil {
		return 0, err
	}
	file, n, err := writeTemporary(path, write)
	if err != nil {
		return 0, err
	}
	f.later(path, func() error {
		_, err := elf.IgnoringEINTR(func() (int, error) {
			return 0, unix.Fdatasync(int(file.Fd()))
		})
		return errors.Join(err, file.Close())
	})
	return n, nil
}

// Symlink creates a symbolic link to target at path and replaces what is there.
func (f *Files) Symlink(target, path string) error {
	if err := f.folder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := symlinkTemporary(target, path); err != nil {
		return err
	}
	f.later(path, func() error { return nil })
	return nil
}

// later gives the file its final name after sync, on a goroutine.
func (f *Files) later(path string, sync func() error) {
	f.pending.run(func() {
		err := sync()
		if err == nil {
			err = f.begin()
		}
		if err == nil {
			err = os.Rename(temporary(path), path)
		}
		if err != nil {
			os.Remove(temporary(path))
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.failed == nil {
				f.failed = map[string]error{}
			}
			f.failed[path] = err
		}
	})
}

// begin makes the first change possible, and refuses every change once the run was stopped.
func (f *Files) begin() error {
	if f.Stopped != nil && f.Stopped() {
		return errStopped
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun || f.Before == nil {
		return nil
	}
	err := f.Before()
	f.begun = err == nil
	return err
}

// folder makes a folder, and notes which folders Settle has to sync for a file in it.
func (f *Files) folder(dir string) error {
	made, err := makeFolders(dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirs == nil {
		f.dirs = map[string]bool{}
	}
	for _, d := range append(made, dir) {
		f.dirs[d] = true
	}
	return err
}

// Settle waits until all files have their final names and are on disk. It returns the errors of
// those that have not, by their paths. The other error is that of a folder.
func (f *Files) Settle() (failed map[string]error, err error) {
	f.pending.all.Wait()
	dirs := slices.Sorted(maps.Keys(f.dirs))
	failed = f.failed
	f.dirs, f.failed = nil, nil
	if f.Stopped != nil && f.Stopped() {
		return failed, nil
	}
	return failed, syncFolders(dirs)
}

// syncFolders syncs folders, several at a time.
func syncFolders(dirs []string) error {
	errs := make([]error, len(dirs))
	var w waiters
	for i, dir := range dirs {
		w.run(func() { errs[i] = SyncFolder(dir) })
	}
	w.all.Wait()
	return errors.Join(errs...)
}

// SyncFolder puts the names in a folder on disk. Some file systems cannot sync a folder: they
// return EINVAL.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// makeFolders makes a folder and those above it. It returns the folders that got a new one in them.
func makeFolders(dir string) (changed []string, err error) {
	for at := dir; !exists(at); {
		up := filepath.Dir(at)
		if up == at {
			break
		}
		changed = append(changed, up)
		at = up
	}
	return changed, os.MkdirAll(dir, 0o755)
}
