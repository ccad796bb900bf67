package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kas/configs"
	"kas/packages"
)

// defaultCacheLimit is the size of the unpacked packages in bytes, unless KAS_CACHE_LIMIT names
// another.
const defaultCacheLimit = 20 << 30

// openCache returns the cache of unpacked packages.
func openCache() (*packages.Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, failure{fmt.Errorf("no folder for unpacked packages: %w", err)}
	}
	limit := int64(defaultCacheLimit)
	if text := os.Getenv("KAS_CACHE_LIMIT"); text != "" {
		if limit, err = parseBytes(text); err != nil {
			return nil, fmt.Errorf("KAS_CACHE_LIMIT: %w", err)
		}
	}
	return &packages.Cache{Dir: filepath.Join(dir, "kas"), Limit: limit}, nil
}

// parseBytes parses a size: a number with K, M, G or T for the powers of 1024.
func parseBytes(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGTiB")
	unit := strings.TrimRight(strings.TrimPrefix(text, digits), "iB")
	shift, known := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[unit]
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || !known || n > 1<<62>>shift {
		return 0, fmt.Errorf("%q is no size: want one like 20G", text)
	}
	return int64(n << shift), nil
}

// unpacking shows how far a package is unpacked: by a bar on a terminal, elsewhere by a line.
type unpacking struct {
	w    io.Writer
	path string
	bar  *bar
}

func (u *unpacking) step(path string, done, total int64) {
	if path != u.path {
		u.path, u.bar = path, newBar(u.w)
		if u.bar == nil {
			fmt.Fprintf(u.w, "kas: unpacking %s\n", path)
		}
	}
	if u.bar != nil {
		u.bar.draw(float64(done)/float64(max(total, 1)), "unpacking", filepath.Base(path))
	}
}

// unpacker unpacks packages into the user's cache, which it opens for the first of them. It names
// them on stderr.
type unpacker struct {
	stderr io.Writer

	cache    *packages.Cache
	progress unpacking
}

func (u *unpacker) unpack(ctx context.Context, path string) (packages.Package, error) {
	if u.cache == nil {
		c, err := openCache()
		if err != nil {
			return packages.Package{}, err
		}
		u.progress.w = u.stderr
		u.cache, c.Progress = c, u.progress.step
	}
	p, err := u.cache.Unpack(ctx, path)
	u.progress.bar.erase()
	return p, err
}

// close ends the use of what was unpacked.
func (u *unpacker) close() {
	if u.cache != nil {
		u.cache.Close()
	}
}

// unpack unpacks the packages of a plan. The caller calls done when it no longer needs what is in
// them.
func unpack(ctx context.Context, plan *configs.Plan, stderr io.Writer) (done func(), err error) {
	u := &unpacker{stderr: stderr}
	err = plan.Unpack(func(path string) (packages.Package, error) { return u.unpack(ctx, path) })
	if err != nil {
		u.close()
		return nil, errors.Join(ctx.Err(), err)
	}
	return u.close, nil
}
