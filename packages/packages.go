// Package packages reads kernels as distributions ship them: .deb and .rpm files. It unpacks what
// kas reads of a package into a cache, once for each content, and finds the kernel in it. It needs
// neither dpkg nor rpm.
//
// A package comes from outside, so nothing in it is trusted: names, links, sizes and checksums are
// checked, and what it may unpack to is limited by its size.
package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"kas/elf"
)

// Is reports whether a file has the name of a package: .deb, .ddeb (Ubuntu's packages of debugging
// information) or .rpm.
func Is(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".deb", ".ddeb", ".rpm":
		return true
	}
	return false
}

// Package is an unpacked package.
type Package struct {
	Path   string // of the package
	Digest string // SHA-256 of the package, in hexadecimal
	Dir    string // the cache's folder with the files that kas reads, under their paths
}

// Unpack unpacks a package into the cache, unless it is there: only vmlinux, modules and debug
// files. The folder stays until the Cache is closed. Two processes can unpack the same package; one
// waits for the other. An error names the package and the place in it.
func (c *Cache) Unpack(ctx context.Context, path string) (Package, error) {
	p, err := c.unpack(ctx, path)
	var pe *os.PathError
	if err != nil && ctx.Err() == nil && !(errors.As(err, &pe) && pe.Path == path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return p, err
}

func (c *Cache) unpack(ctx context.Context, path string) (Package, error) {
	if err := elf.CheckRegular(path); err != nil {
		return Package{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Package{}, err
	}
	defer f.Close()
	if err := os.MkdirAll(c.packages(), 0o755); err != nil {
		return Package{}, err
	}
	identity := elf.IdentifyTarget(path)
	digest, err := c.digest(ctx, f, identity)
	if err != nil {
		return Package{}, err
	}
	p := Package{Path: path, Digest: digest, Dir: filepath.Join(c.packages(), digest)}
	if c.use(p.Dir) {
		return p, nil
	}
	err = c.fill(ctx, p, func(dir *os.Root) (*index, error) {
		ix, err := extract(ctx, f, identity.Size, dir, func(done int64) {
			if c.Progress != nil {
				c.Progress(path, done, identity.Size)
			}
		})
		if err == nil && elf.IdentifyTarget(path) != identity {
			err = errors.New("the file changed while it was read")
		}
		return ix, err
	})
	return p, err
}

// extract unpacks what kas reads of a package into a folder. It calls step with the number of bytes
// that were read of the package.
func extract(
	ctx context.Context, f io.ReaderAt, size int64, dir *os.Root, step func(int64),
) (*index, error) {
	magic := make([]byte, 8)
	if _, err := f.ReadAt(magic, 0); err != nil && err != io.EOF {
		return nil, err
	}
	u := newUnpacker(ctx, dir, size)
	in := &input{ctx: ctx, file: f, size: size, step: step}
	defer in.close()
	var err error
	switch {
	case string(magic) == arMagic:
		err = readDeb(in, u)
	case string(magic[:4]) == rpmMagic:
		err = readRPM(in, u)
	default:
		err = errors.New("neither a .deb nor an .rpm file")
	}
	if err != nil {
		return nil, err
	}
	if err := u.finish(); err != nil {
		return nil, err
	}
	return &u.index, nil
}
