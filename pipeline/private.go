package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Tasks on many machines may work on one build at the same time: a scheduler that lost a node
// starts its tasks again elsewhere, and some were alive. So each works in a private folder beside
// that of the build, which gets the build's name when it is whole. No lock is needed: mkdir and
// rename are atomic on every file system that machines share.

// Private is a folder that belongs to one task.
type Private struct {
	Dir  string
	open *os.File // keeps another folder from getting its inode
}

// NewPrivate makes a private folder for a build in the output folder: .BUILD.HOST.PID, with a
// further number if that is taken. It may be: containers number their processes from 1.
func NewPrivate(out, build string) (*Private, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	own := fmt.Sprintf(".%s.%d", host, os.Getpid())
	for n := 1; ; n++ {
		dir := filepath.Join(out, privateStart(build, len(own)+8)+own)
		if n > 1 {
			dir += fmt.Sprintf("-%d", n)
		}
		if err = os.Mkdir(dir, 0o755); err == nil {
			f, err := os.Open(dir)
			return &Private{dir, f}, err
		}
		if !errors.Is(err, fs.ErrExist) || n == 1000 {
			return nil, err
		}
	}
}

// privateStart returns the begin of the names of a build's private folders, which more bytes
// follow.
func privateStart(build string, more int) string {
	if len(".")+len(build)+more > nameMax {
		return ".kas-" + Digest(build)
	}
	return "." + build
}

// Own returns ErrChanged if the private folder was taken away.
func (p *Private) Own() error {
	if p.isAt(p.Dir) {
		return nil
	}
	return fmt.Errorf("%s was removed: %w", p.Dir, ErrChanged)
}

func (p *Private) isAt(path string) bool {
	own, err := p.open.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(own, there)
}

// Commit gives the folder its final name, in the same folder. done reports whether another task did
// so before with the same content; then the private folder is to be removed. A folder with other
// content is replaced, if kas wrote all that is in it. The names are on disk when Commit returns.
func (p *Private) Commit(final string, done func() bool) (second bool, err error) {
	if err := errors.Join(p.Own(), whole(p.Dir)); err != nil {
		return false, err
	}
	for range 100 { // each time, another task was faster
		err := rename(p.Dir, final)
		if err == nil || p.isAt(final) { // NFS may do what it reports as failed
			p.Dir = ""
			return false, SyncFolder(filepath.Dir(final))
		}
		switch {
		case !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOTEMPTY):
			return false, err
		case done():
			return true, nil
		}
		if err := Discard(final); err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("%s: other tasks replace it all the time", final)
}

// whole returns ErrChanged if a file that the record of a folder lists is not there.
func whole(dir string) error {
	r, err := OpenRecord(dir)
	if err != nil {
		return err
	}
	for name := range r.paths {
		if path := r.path(name); !exists(path) {
			return fmt.Errorf("%s was removed: %w", path, ErrChanged)
		}
	}
	return nil
}

// Discard removes the folder of a build, unless there is a file that kas did not write. It moves
// the folder away first, so that nobody finds a part of it. If the folder is not there, it does
// nothing.
func Discard(dir string) error {
	if err := CheckOwn(dir); err != nil {
		return err
	}
	p, err := NewPrivate(filepath.Dir(dir), strings.TrimPrefix(filepath.Base(dir), "."))
	if err != nil {
		return err
	}
	defer p.Remove()
	err = rename(dir, p.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rename gives a folder another name, also that of an empty folder. os.Rename refuses that.
func rename(from, to string) error {
	if err := unix.Rename(from, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// CheckOwn returns an error if a folder has a file that its record does not list.
func CheckOwn(dir string) error {
	r, err := OpenRecord(dir)
	if err != nil {
		return err
	}
	own := map[string]bool{}
	for _, path := range r.files() {
		own[path], own[temporary(path)] = true, true
	}
	err = filepath.WalkDir(r.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !own[path] {
			return Foreign(path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Remove removes the folder with all that is in it, unless it got its final name.
func (p *Private) Remove() error {
	p.open.Close()
	if p.Dir == "" {
		return nil
	}
	return os.RemoveAll(p.Dir)
}

// privateEnd matches the end of the name of a private folder: host and process.
var privateEnd = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\.[^/]+\.[0-9]+(-[0-9]+)?$`)
})

// DiscardPrivate removes the private folders of builds that are finished: whoever works in one
// would remove it in the end.
func DiscardPrivate(out string, builds []string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && isPrivate(e.Name(), builds) {
			errs = append(errs, Discard(filepath.Join(out, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// isPrivate reports whether a folder has the name of a private one of one of the builds.
func isPrivate(name string, builds []string) bool {
	for _, b := range builds {
		for _, start := range []string{privateStart(b, 0), privateStart(b, nameMax)} {
			if end, ok := strings.CutPrefix(name, start); ok && privateEnd().MatchString(end) {
				return true
			}
		}
	}
	return false
}
