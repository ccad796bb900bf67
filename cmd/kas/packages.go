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

// openCache returns the cache of unpacked packages. It reports on stderr what it unpacks.
func openCache(stderr io.Writer) (*packages.Cache, error) {
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
	c := &packages.Cache{Dir: filepath.Join(dir, "kas"), Limit: limit}
	c.Progress = (&unpacking{w: stderr}).step
	return c, nil
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
	if u.bar == nil {
		return
	}
	u.bar.draw(float64(done)/float64(max(total, 1)), "unpacking", filepath.Base(path))
	if done >= total {
		u.bar.erase()
	}
}

// unpack unpacks the packages of a plan. The caller calls done when it no longer needs what is in
// them.
func unpack(ctx context.Context, plan *configs.Plan, stderr io.Writer) (done func(), err error) {
	var c *packages.Cache
	err = plan.Unpack(func(path string) (packages.Package, error) {
		if c == nil {
			var err error
			if c, err = openCache(stderr); err != nil {
				return packages.Package{}, err
			}
		}
		p, err := c.Unpack(ctx, path)
		if err != nil {
			c.Progress(path, 1, 1) // erases the bar
		}
		return p, err
	})
	if c == nil {
		return func() {}, err
	}
	if err == nil {
		return c.Close, nil
	}
	c.Close()
	return nil, errors.Join(ctx.Err(), err)
}
