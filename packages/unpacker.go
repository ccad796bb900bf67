package packages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"kas/elf"
)

// Limits of what a package unpacks to. Debian's kernel with debugging information has 6 times its
// size, 1.7 GB and 1,500 entries.
const (
	maxRatio   = 64
	minBytes   = 64 << 20 // a small package may have more than maxRatio
	maxBytes   = 64 << 30
	maxEntries = 1_000_000
	maxPath    = 4096 // PATH_MAX
	maxName    = 255
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entry is what an archive has at one place.
type entry struct {
	name string // as it is there
	kind kind
	link string // target of a link
	size int64
	node int64 // files of one archive with the same number are one file; 0: none is
}

type kind int

const (
	regular kind = iota
	symlink
	hardlink // to an entry that came before
	folder
	device
)

// unpacker writes the entries that kas needs below a folder.
type unpacker struct {
	ctx   context.Context
	dir   *os.Root
	index index
	buf   []byte

	left    int64 // bytes that may still be unpacked
	entries int
	sizes   map[string]int // indices into index.files
	links   []entry        // symbolic links, made at the end
	nodes   map[int64][]string
}

func newUnpacker(ctx context.Context, dir *os.Root, size int64) *unpacker {
	return &unpacker{
		ctx: ctx, dir: dir, buf: make([]byte, 1<<20),
		left:  min(max(minBytes, maxRatio*size), maxBytes),
		sizes: map[string]int{}, nodes: map[int64][]string{},
	}
}

// limited returns a reader of what is unpacked that refuses to go on after the limit.
func (u *unpacker) limited(r io.Reader) io.Reader { return &limited{r, u} }

type limited struct {
	r io.Reader
	u *unpacker
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.u.left -= int64(n); l.u.left < 0 {
		return n, errors.New("unpacks to more than a package of its size may")
	}
	return n, err
}

// add takes an entry of an archive. content has the bytes of a regular file.
func (u *unpacker) add(e entry, content io.Reader) error {
	if u.entries++; u.entries > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	if err := u.ctx.Err(); err != nil {
		return err
	}
	name, err := cleanName(e.name)
	if err == nil && wanted(name) {
		err = u.put(name, e, content)
	}
	if err != nil {
		return fmt.Errorf("entry %s: %w", show(e.name), err)
	}
	return nil
}

// show quotes the name of an entry for a message.
func show(name string) string {
	if len(name) > 200 {
		name = name[:200] + "..."
	}
	return fmt.Sprintf("%q", name)
}

// cleanName returns the path of an entry below the folder in which a package is unpacked, "." for
// that folder. A path that leads out of it is an error.
func cleanName(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", errors.New("an absolute path")
	}
	if len(name) > maxPath {
		return "", errors.New("the path is too long")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return "", errors.New("leads out of the package")
		case len(part) > maxName:
			return "", errors.New("the name is too long")
		}
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.New("has a control character")
	}
	return path.Clean(name), nil
}

// wanted reports whether kas reads a file of this name: vmlinux, a module, or a debug file of one.
// Of .build-id it needs what is called X.debug.
func wanted(name string) bool {
	base := elf.Uncompressed(path.Base(name))
	switch path.Ext(base) {
	case ".ko", ".dwo", ".dwp":
		return true
	case ".debug":
		return strings.HasSuffix(base, ".ko.debug") || strings.HasPrefix(base, "vmlinux") ||
			strings.Contains("/"+name, "/.build-id/")
	}
	return base == "vmlinux" || strings.HasPrefix(base, "vmlinux-") ||
		strings.Contains("/"+name, "/.dwz/")
}

func (u *unpacker) put(name string, e entry, content io.Reader) error {
	if _, twice := u.sizes[name]; twice {
		return errors.New("is in the package twice")
	}
	switch e.kind {
	case regular:
		return u.putFile(name, e, content)
	case hardlink:
		return u.putLink(name, e.link)
	case symlink:
		e.name = name
		u.links = append(u.links, e)
		return nil
	case device:
		return errors.New("a device")
	}
	return nil
}

func (u *unpacker) putFile(name string, e entry, content io.Reader) error {
	if e.size < 0 || e.size > u.left {
		return fmt.Errorf("its size is %d bytes, more than a package of this size may unpack to",
			e.size)
	}
	if err := u.dir.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := u.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	crc := crc32.New(castagnoli)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, crc)},
		io.LimitReader(content, e.size), u.buf)
	if err == nil && n < e.size {
		err = fmt.Errorf("the file is truncated: %d of %d bytes are here", n, e.size)
	}
	if err := cmp.Or(err, f.Close()); err != nil {
		return err
	}
	u.note(name, e.size, crc.Sum32())
	if e.node != 0 {
		return u.joinNode(name, e)
	}
	return nil
}

func (u *unpacker) note(name string, size int64, crc uint32) {
	u.sizes[name] = len(u.index.files)
	u.index.files = append(u.index.files, file{name, size, crc})
}

// joinNode makes the files of one inode of a cpio archive one file: only the last of them has the
// content.
func (u *unpacker) joinNode(name string, e entry) error {
	if e.size == 0 {
		u.nodes[e.node] = append(u.nodes[e.node], name)
		return nil
	}
	for _, other := range u.nodes[e.node] {
		if err := u.dir.Remove(other); err != nil {
			return err
		}
		if err := u.dir.Link(name, other); err != nil {
			return err
		}
		same := u.index.files[u.sizes[name]]
		same.name = other
		u.index.files[u.sizes[other]] = same
	}
	delete(u.nodes, e.node)
	return nil
}

// putLink makes a hard link to a file that was unpacked before.
func (u *unpacker) putLink(name, link string) error {
	target, err := cleanName(link)
	if err != nil {
		return fmt.Errorf("a link to %s: %w", show(link), err)
	}
	i, ok := u.sizes[target]
	if !ok {
		return fmt.Errorf("a hard link to %s, which is no file that came before", show(link))
	}
	if err := u.dir.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := u.dir.Link(target, name); err != nil {
		return err
	}
	u.note(name, u.index.files[i].size, u.index.files[i].crc)
	return nil
}

// finish makes the symbolic links that lead to files of the package. There are none while files are
// written, so nothing is written through one. Links to what was not unpacked are left out.
func (u *unpacker) finish() error {
	targets := map[string]string{}
	for _, l := range u.links {
		target := path.Join(path.Dir(l.name), l.link)
		if strings.HasPrefix(l.link, "/") {
			target = strings.TrimPrefix(path.Clean(l.link), "/")
		}
		if target == ".." || strings.HasPrefix(target, "../") {
			return fmt.Errorf("entry %s: a link to %s, which leads out of the package",
				show(l.name), show(l.link))
		}
		if _, twice := targets[l.name]; twice {
			return fmt.Errorf("entry %s: is in the package twice", show(l.name))
		}
		targets[l.name] = target
	}
	for _, l := range u.links {
		target := l.name
		for range 8 { // a link to a link
			next, ok := targets[target]
			if !ok {
				break
			}
			target = next
		}
		if _, ok := u.sizes[target]; !ok {
			continue
		}
		if err := u.dir.MkdirAll(path.Dir(l.name), 0o755); err != nil {
			return err
		}
		up := strings.Repeat("../", strings.Count(l.name, "/"))
		if err := u.dir.Symlink(up+target, l.name); err != nil {
			return err
		}
		u.index.links = append(u.index.links, l.name)
	}
	slices.SortFunc(u.index.files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	slices.Sort(u.index.links)
	return nil
}
