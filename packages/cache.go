package packages

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kas/elf"
)

// Cache is the folder of unpacked packages. Several processes may use it at the same time.
type Cache struct {
	// Dir is the user's cache folder of kas.
	Dir string
	// Limit is the size in bytes from which Unpack removes the packages that were not used for the
	// longest time. 0 means no limit.
	Limit int64
	// Progress is called while a package is read, with the number of bytes that were read. nil
	// means nothing to do.
	Progress func(path string, done, total int64)

	inUse []*os.File // locked folders
}

func (c *Cache) packages() string { return filepath.Join(c.Dir, "packages") }
func (c *Cache) digests() string  { return filepath.Join(c.Dir, "digests") }

// Close ends the use of the packages that Unpack returned: others may remove them.
func (c *Cache) Close() {
	for _, f := range c.inUse {
		f.Close()
	}
	c.inUse = nil
}

// kept is how long the cache keeps the digest of a package that nothing reads.
const kept = 30 * 24 * time.Hour

// digest returns the SHA-256 of a package. The cache keeps it by the identity of the file, so a
// package is read only once.
func (c *Cache) digest(ctx context.Context, f *os.File, id elf.Identity) (string, error) {
	known := filepath.Join(c.digests(), id.String())
	if text, err := os.ReadFile(known); err == nil && len(text) == 2*sha256.Size {
		now := time.Now()
		os.Chtimes(known, now, now)
		return string(text), nil
	}
	now := time.Now()
	sum := sha256.New()
	in := &input{ctx: ctx, file: f, size: id.Size, step: func(int64) {}}
	if _, err := io.CopyBuffer(sum, in.part(0, id.Size), make([]byte, 1<<20)); err != nil {
		return "", err
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	if elf.IdentifyTarget(f.Name()) != id || !id.Settled(now) {
		return digest, nil
	}
	dropOld(c.digests(), kept)
	return digest, c.writeSmall(known, digest)
}

// writeSmall writes a file whole or not at all. It is not synced: after a power failure it may be
// empty, which its length shows.
func (c *Cache) writeSmall(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = cmp.Or(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// dropOld removes the files of a folder that were not used for a time.
func dropOld(dir string, age time.Duration) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > age {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
}

// lock locks a folder, shared or exclusive. It returns nil if there is none, or if another process
// has it locked.
func lock(dir string, how int) *os.File {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	if flock(f, how|unix.LOCK_NB) != nil || !same(f, dir) {
		f.Close()
		return nil
	}
	return f
}

func flock(f *os.File, how int) error {
	_, err := elf.IgnoringEINTR(func() (int, error) { return 0, unix.Flock(int(f.Fd()), how) })
	return err
}

// same reports whether the folder is still the one that was opened.
func same(f *os.File, dir string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(dir)
	return err == nil && os.SameFile(opened, now)
}

// use locks the folder of a package against removal, and reports whether it is there and whole.
func (c *Cache) use(dir string) bool {
	f := lock(dir, unix.LOCK_SH)
	if f == nil {
		return false
	}
	ix, err := readIndex(dir)
	if err == nil && ix.boot != bootID() {
		err = c.check(dir, ix)
	}
	if err != nil {
		f.Close()
		return false
	}
	c.inUse = append(c.inUse, f)
	now := time.Now()
	os.Chtimes(filepath.Join(dir, indexName), now, now)
	return true
}

// check reads every file of a package again: after a power failure, files may have the right size
// and zeros in them. It is done once after each start of the machine; syncing every file would cost
// more.
func (c *Cache) check(dir string, ix *index) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, want := range ix.files {
		f, err := root.Open(want.name)
		if err != nil {
			return err
		}
		crc := crc32.New(castagnoli)
		n, err := io.Copy(crc, f)
		f.Close()
		if err != nil || n != want.size || crc.Sum32() != want.crc {
			return fmt.Errorf("%s: damaged", want.name)
		}
	}
	for _, l := range ix.links {
		if _, err := root.Stat(l); err != nil {
			return err
		}
	}
	ix.boot = bootID()
	return c.writeSmall(filepath.Join(dir, indexName), ix.String())
}

// bootID identifies the time since the machine was started, "" if the kernel does not say.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// waiting is how often a process looks whether another one has unpacked a package.
const waiting = 50 * time.Millisecond

// fill makes the folder of a package. It has another name until it is whole. If another process is
// at it, fill waits.
func (c *Cache) fill(ctx context.Context, p Package, extract func(*os.Root) (*index, error)) error {
	part := filepath.Join(c.packages(), "."+p.Digest)
	var held *os.File
	for {
		if c.use(p.Dir) {
			return nil
		}
		if err := os.Mkdir(part, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if held = lock(part, unix.LOCK_EX); held != nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waiting):
		}
	}
	err := c.fillLocked(p, part, extract)
	if err == nil {
		// Others may use it from now on, too.
		err = flock(held, unix.LOCK_SH)
	}
	if err == nil && !same(held, p.Dir) {
		err = errors.New("another process removed what was unpacked")
	}
	if err != nil {
		held.Close()
		return err
	}
	c.inUse = append(c.inUse, held)
	c.shrink()
	return nil
}

// fillLocked makes the folder of a package under another name, and renames it.
func (c *Cache) fillLocked(
	p Package, part string, extract func(*os.Root) (*index, error),
) error {
	// What is there is from a killed process, or damaged.
	if err := errors.Join(os.RemoveAll(p.Dir), empty(part)); err != nil {
		return err
	}
	root, err := os.OpenRoot(part)
	if err != nil {
		return err
	}
	defer root.Close()
	ix, err := extract(root)
	if err == nil {
		ix.name, ix.boot = filepath.Base(p.Path), bootID()
		err = c.writeSmall(filepath.Join(part, indexName), ix.String())
	}
	if err == nil {
		err = os.Rename(part, p.Dir)
	}
	if err != nil {
		os.RemoveAll(part)
	}
	return err
}

// empty removes what is in a folder.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = cmp.Or(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// shrink removes packages until all together are below the limit: first those that were not used
// for the longest time.
func (c *Cache) shrink() {
	if c.Limit == 0 {
		return
	}
	all, err := c.List()
	if err != nil {
		return
	}
	total := int64(0)
	for i := range all {
		total += all[i].Size
	}
	for i := range all {
		if total <= c.Limit {
			return
		}
		if c.remove(all[i].Digest) {
			total -= all[i].Size
		}
	}
}

// remove removes the folder of a package, unless a process uses it. It reports whether it did.
func (c *Cache) remove(digest string) bool {
	dir := filepath.Join(c.packages(), digest)
	f := lock(dir, unix.LOCK_EX)
	if f == nil {
		return false
	}
	defer f.Close()
	// Without its index, a folder that is removed in part is not used.
	return os.Remove(filepath.Join(dir, indexName)) == nil && os.RemoveAll(dir) == nil
}

// Stored is a package in the cache.
type Stored struct {
	Name   string // of the file that was unpacked
	Digest string
	Size   int64     // of what was unpacked, in bytes
	Used   time.Time // when it was used for the last time
}

// List returns the packages in the cache: first those that were not used for the longest time.
func (c *Cache) List() ([]Stored, error) {
	entries, err := os.ReadDir(c.packages())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Stored
	for _, e := range entries {
		dir := filepath.Join(c.packages(), e.Name())
		info, err := os.Stat(filepath.Join(dir, indexName))
		if err != nil || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		s := Stored{Name: "?", Digest: e.Name(), Used: info.ModTime()}
		if ix, err := readIndex(dir); err == nil {
			s.Name = ix.name
			for _, f := range ix.files {
				s.Size += f.size
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Stored) int {
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Digest, b.Digest))
	})
	return all, err
}

// Clear removes the packages that were not used since a time, except those that a process uses. It
// returns both.
func (c *Cache) Clear(since time.Time) (removed, inUse []Stored, err error) {
	all, err := c.List()
	for _, s := range all {
		switch {
		case !s.Used.Before(since):
		case c.remove(s.Digest):
			removed = append(removed, s)
		default:
			inUse = append(inUse, s)
		}
	}
	// What killed processes left.
	left, _ := filepath.Glob(filepath.Join(c.packages(), ".*"))
	for _, dir := range left {
		if f := lock(dir, unix.LOCK_EX); f != nil {
			err = cmp.Or(err, os.RemoveAll(dir))
			f.Close()
		}
	}
	return removed, inUse, err
}

// indexName is a file in the folder of a package that says what is there.
const indexName = "kas.package"

const indexFormat = "kas package 1"

// index lists what was unpacked of a package.
type index struct {
	name  string // of the package's file
	boot  string // see bootID
	files []file
	links []string
}

type file struct {
	name string
	size int64
	crc  uint32 // CRC-32C
}

func (ix *index) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\t%s\t%s\n", indexFormat, ix.boot, strconv.Quote(ix.name))
	for _, f := range ix.files {
		fmt.Fprintf(&b, "%08x\t%d\t%s\n", f.crc, f.size, f.name)
	}
	for _, l := range ix.links {
		fmt.Fprintf(&b, "link\t\t%s\n", l)
	}
	b.WriteString("end\n")
	return b.String()
}

// readIndex reads the index of a package's folder.
func readIndex(dir string) (*index, error) {
	f, err := os.Open(filepath.Join(dir, indexName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ix, whole := &index{}, false
	s := bufio.NewScanner(f)
	for first := true; s.Scan(); first = false {
		c := strings.SplitN(s.Text(), "\t", 3)
		switch {
		case first && len(c) == 3 && c[0] == indexFormat:
			ix.boot = c[1]
			ix.name, err = strconv.Unquote(c[2])
		case first:
			err = errors.New("no index of this kas")
		case len(c) == 1 && c[0] == "end":
			whole = true
		case len(c) == 3 && c[0] == "link":
			ix.links = append(ix.links, c[2])
		case len(c) == 3:
			crc, bad := strconv.ParseUint(c[0], 16, 32)
			size, worse := strconv.ParseInt(c[1], 10, 64)
			err = cmp.Or(err, bad, worse)
			ix.files = append(ix.files, file{c[2], size, uint32(crc)})
		default:
			err = errors.New("damaged")
		}
		if err != nil {
			return nil, err
		}
	}
	if s.Err() != nil || !whole {
		return nil, cmp.Or(s.Err(), errors.New("not whole"))
	}
	return ix, nil
}
