package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Debuginfod is a client of debuginfod servers. It shares its cache with those of elfutils: a file
// is at Cache/BUILDID/debuginfo, or executable.
type Debuginfod struct {
	Client
	URLs   []string // asked in this order
	Cache  string
	Detail bool // the user wants to see each file

	mu   sync.Mutex
	dead map[string]bool // servers that did not answer, and are not asked again
}

// FromEnvironment returns the client that the variables of debuginfod-find(1) describe, nil if
// DEBUGINFOD_URLS names no server.
func FromEnvironment(getenv func(string) string) (*Debuginfod, error) {
	d := &Debuginfod{Detail: getenv("DEBUGINFOD_PROGRESS") != ""}
	for _, word := range strings.Fields(getenv("DEBUGINFOD_URLS")) {
		if !strings.HasPrefix(word, "ima:") { // how signatures are checked, in elfutils since 0.192
			d.URLs = append(d.URLs, word)
		}
	}
	if len(d.URLs) == 0 {
		return nil, nil
	}
	timeout, retries := int64(90), int64(2)
	for name, value := range map[string]*int64{
		"DEBUGINFOD_TIMEOUT": &timeout, "DEBUGINFOD_RETRY_LIMIT": &retries,
		"DEBUGINFOD_MAXSIZE": &d.MaxSize,
	} {
		text := getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s=%s: not a number", name, text)
		}
		*value = n
	}
	d.Timeout = time.Duration(min(max(timeout, 0), 1<<30)) * time.Second
	d.Retries = int(min(max(retries, 0), 100))
	var err error
	d.Cache, err = DebuginfodCache(getenv)
	return d, err
}

// DebuginfodCache returns the folder of the cache for the environment that getenv returns, as
// debuginfod_find_debuginfo(3) describes it. It need not be there.
func DebuginfodCache(getenv func(string) string) (string, error) {
	if dir := getenv("DEBUGINFOD_CACHE_PATH"); dir != "" {
		return dir, nil
	}
	const old, name = ".debuginfod_client_cache", "debuginfod_client"
	home := getenv("HOME")
	if home != "" {
		dir := filepath.Join(home, old)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	switch {
	case getenv("XDG_CACHE_HOME") != "":
		return filepath.Join(getenv("XDG_CACHE_HOME"), name), nil
	case home != "":
		return filepath.Join(home, ".cache", name), nil
	}
	return "", errors.New("no folder for what debuginfod sends: set DEBUGINFOD_CACHE_PATH")
}

// Kinds of files.
const (
	Debuginfo  = "debuginfo"  // has debugging information
	Executable = "executable" // has code
)

// Find returns the file of a kind that has a build ID: that of the cache, else that of the first
// server that has one. check returns an error for a file that is not the wanted one; such a file is
// not kept. The error, one line, names each server.
func (d *Debuginfod) Find(
	ctx context.Context, id, kind string, check func(path string) error,
) (string, error) {
	if !IsBuildID(id) {
		return "", fmt.Errorf("%q is no build ID", id)
	}
	path := filepath.Join(d.Cache, id, kind)
	// A file without bytes says that no server had it some time ago.
	if info, err := os.Stat(path); err == nil && info.Size() > 0 && check(path) == nil {
		return path, nil
	}
	var all error
	failed := func(err error) {
		if all == nil {
			all = err
		} else {
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	for _, server := range d.URLs {
		if d.isDead(server, nil) {
			failed(fmt.Errorf("%s: it did not answer before", Redacted(server)))
			continue
		}
		err := d.Get(ctx, strings.TrimRight(server, "/")+"/"+Path(id, kind), path, check)
		if err == nil {
			return path, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if d.isDead(server, err) && errors.As(err, new(hung)) {
			err = fmt.Errorf("%w (DEBUGINFOD_TIMEOUT sets the time)", err)
		}
		failed(err)
	}
	return "", all
}

// isDead reports whether a server did not answer a request. err is that of the latest.
func (d *Debuginfod) isDead(server string, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.As(err, new(unreachable)) {
		if d.dead == nil {
			d.dead = map[string]bool{}
		}
		d.dead[server] = true
	}
	return d.dead[server]
}

// Path returns the path of a file on a server, in debuginfod's scheme.
func Path(id, name string) string { return "buildid/" + id + "/" + name }

// IsBuildID reports whether an ID has the form in which servers are asked for it.
func IsBuildID(id string) bool {
	return len(id) >= 2 && len(id) <= 128 && strings.Trim(id, "0123456789abcdef") == ""
}
