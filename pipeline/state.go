package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"kas/elf"
)

// What a run leaves for the next one of the same output folder: which objects it read, what was found in them, and what
// was made of them. Everything in it is a fact about files in one state, which their identities name: a fact whose files
// have changed since is not used, and none is used by another kas. It lies in a cache of the user's and not beside the
// output, which has nothing in it of times and inodes.

// stateFile is the file of the build, and of this kas, in the cache; "" if there is no cache.
func (b *Build) stateFile() string {
	if b.run == nil || b.run.cache == "" {
		return ""
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(real, filepath.Base(dir))
	}
	return filepath.Join(b.run.cache, Digest(dir, b.run.kas))
}

// stateAge is for how long a file of the cache is kept that no run asks for.
const stateAge = 30 * 24 * time.Hour

const stateFormat = "kas state 2"

// settled is how long before it was opened a file must have been changed last. One that is changed again within the
// clock tick of its last change keeps its times.
const settled = 100 * time.Millisecond

// state is what the last run of this kas left.
type state struct {
	config  string // digest of the build's configuration
	clean   bool   // the run ended without an error
	summary summary
	objects map[string]*objectState
	tables  map[string]elf.Identity
}

// summary is what the report says of a build.
type summary struct {
	Arch, Toolchain, LTO, Release string
	Stats                         Stats
}

// objectState is what is known of one object.
type objectState struct {
	identity elf.Identity // the zero value if the object may have changed unnoticed
	product
	remark
}

// product is what was made from an object.
type product struct {
	key  string // what it depends on, beside the object
	path string // "" if nothing was made
	made elf.Identity
}

// remark is what was found in an object.
type remark struct {
	about string // what it depends on, beside the object
	note  []byte
}

// Digest makes a short key of whatever a result depends on.
func Digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// configDigest is of everything in the configuration that tells what is done.
func (b *Build) configDigest() string {
	text, err := json.Marshal(b.Config)
	if err != nil {
		return "" // equals none that was written
	}
	return Digest(string(text))
}

// Unchanged says whether the last run of this kas made everything that this one would: of the same objects, by the same
// configuration, and all of it still there. Then the build's summary is that of the last run. The objects are listed, not
// read.
func (b *Build) Unchanged(ctx context.Context) bool {
	if b.run == nil {
		return false
	}
	b.last = b.loadState()
	if !b.run.all && b.upToDate(ctx) {
		return true
	}
	// What is written from here on is none of what the file tells, and a run that is killed leaves no other.
	os.Remove(b.stateFile())
	return false
}

func (b *Build) upToDate(ctx context.Context) bool {
	s := b.last
	if s == nil || !s.clean || s.config != b.configDigest() || len(s.objects) != len(b.Objects) {
		return false
	}
	for path, id := range s.tables {
		if elf.Identify(path) != id {
			return false
		}
	}
	var changed atomic.Bool
	err := b.Split(ctx, len(b.Objects), func(_, from, to int) {
		for i := from; i < to && !changed.Load(); i++ {
			o := &b.Objects[i]
			known := s.objects[o.Name]
			if known == nil || known.identity == (elf.Identity{}) {
				changed.Store(true)
				break
			}
			if elf.IdentifyTarget(o.Path) != known.identity || known.path != "" && elf.Identify(known.path) != known.made {
				changed.Store(true)
			}
		}
	})
	if err != nil || changed.Load() || b.strays() {
		return false
	}
	b.Arch, b.Toolchain, b.LTO, b.Release, b.Stats = s.summary.Arch, s.summary.Toolchain, s.summary.LTO, s.summary.Release, s.summary.Stats
	b.Skipped = true
	return true
}

// strays says whether the build's folder holds what looks like an output and is not: a run that was killed left it, or one
// of another configuration.
func (b *Build) strays() bool {
	own := map[string]bool{}
	for path := range b.last.tables {
		own[path] = true
	}
	for _, o := range b.last.objects {
		own[o.path] = true
	}
	found := errors.New("found")
	return filepath.WalkDir(b.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !own[path] && (strings.HasSuffix(path, ".kas") || IsTemporary(path)) {
			return found
		}
		return nil
	}) != nil
}

// known returns what the last run knew of the object in its present state, nil if nothing.
func (b *Build) known(o *Object) *objectState {
	if b.last == nil {
		return nil
	}
	if k := b.last.objects[o.Name]; k != nil && k.identity != (elf.Identity{}) && k.identity == o.Identity {
		return k
	}
	return nil
}

// Note returns what the last run noted about the object, if that was in its present state and for the same key; else it
// calls read for it. What it returns is noted for the next run, unless it is nil.
func (b *Build) Note(o *Object, key string, read func() ([]byte, error)) ([]byte, error) {
	if k := b.known(o); k != nil && k.about == key {
		o.remark = k.remark
		return k.note, nil
	}
	note, err := read()
	if err == nil && note != nil {
		o.remark = remark{key, note}
	}
	return note, err
}

// Make has write make output from the object, unless the last run made it from the object in its present state and for
// the same key, and it is still there as it was.
func (b *Build) Make(o *Object, output, key string, write func() (int64, error)) error {
	if k := b.known(o); k != nil && k.path == output && k.key == key && k.made != (elf.Identity{}) && elf.Identify(output) == k.made {
		o.product = k.product
		o.Emitted = k.made.Size
		return nil
	}
	n, err := write()
	if err == nil {
		o.Emitted = n
		o.product = product{key, output, elf.Identify(output)}
	}
	return err
}

// trusted says whether the object's identity tells its content: not if it was changed just before it was opened.
func (o *Object) trusted() bool {
	last := max(o.Identity.Mtime, o.Identity.Ctime)
	return o.Identity != (elf.Identity{}) && o.opened.Sub(time.Unix(0, last)) > settled
}

// saveState leaves what this run knows for the next.
func (b *Build) saveState(clean bool) error {
	path := b.stateFile()
	if path == "" {
		return nil
	}
	about, err := json.Marshal(summary{b.Arch, b.Toolchain, b.LTO, b.Release, b.Stats})
	if err != nil {
		return err
	}
	dropOld(filepath.Dir(path))
	_, err = WriteFile(path, func(w io.Writer) error {
		line := fmt.Appendf(nil, "%s\t%s\t%t\t%s\n", stateFormat, b.configDigest(), clean, about)
		for _, path := range b.tables {
			line = strconv.AppendQuote(append(line, "table\t"...), path)
			line = append(elf.Identify(path).Text(append(line, '\t')), '\n')
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		for i := range b.Objects {
			o := &b.Objects[i]
			id := o.Identity
			if !o.trusted() {
				id = elf.Identity{}
			}
			line = strconv.AppendQuote(append(line[:0], "object\t"...), o.Name)
			line = id.Text(append(line, '\t'))
			line = fmt.Appendf(line, "\t%s\t%q", o.product.key, o.product.path)
			line = o.product.made.Text(append(line, '\t'))
			line = append(append(line, '\t'), o.remark.about...)
			line = append(append(line, '\t'), o.remark.note...)
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// dropOld removes what nobody has asked for in a long time.
func dropOld(cache string) {
	files, _ := os.ReadDir(cache)
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > stateAge {
			os.Remove(filepath.Join(cache, f.Name()))
		}
	}
}

// loadState reads what the last run left; nil if there is nothing that this kas can use. A note is JSON, so no line and
// no column ends within it.
func (b *Build) loadState() *state {
	path := b.stateFile()
	if path == "" || b.run.fresh {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	now := time.Now()
	os.Chtimes(path, now, now) // asked for
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	head := strings.SplitN(string(first), "\t", 4)
	if len(head) < 4 || head[0] != stateFormat {
		return nil
	}
	s := &state{config: head[1], clean: head[2] == "true", objects: map[string]*objectState{}, tables: map[string]elf.Identity{}}
	if json.Unmarshal([]byte(head[3]), &s.summary) != nil {
		return nil
	}
	for len(rest) > 0 {
		var line []byte
		if line, rest, _ = bytes.Cut(rest, []byte("\n")); !s.add(line) {
			return nil
		}
	}
	return s
}

// add reads one line of the file; false if it is not one.
func (s *state) add(line []byte) bool {
	c := columns{rest: line}
	switch kind := c.text(); kind {
	case "table":
		path := c.quoted()
		s.tables[path] = c.identity()
	case "object":
		name := c.quoted()
		o := &objectState{identity: c.identity(), product: product{c.text(), c.quoted(), c.identity()}, remark: remark{about: c.text()}}
		o.note = c.rest
		s.objects[name] = o
	default:
		return false
	}
	return !c.bad
}

// columns reads the columns of a line.
type columns struct {
	rest []byte
	bad  bool
}

func (c *columns) text() string {
	column, rest, _ := bytes.Cut(c.rest, []byte("\t"))
	c.rest = rest
	return string(column)
}

func (c *columns) quoted() string {
	s, err := strconv.Unquote(c.text())
	c.bad = c.bad || err != nil
	return s
}

func (c *columns) identity() elf.Identity {
	id, ok := elf.ParseIdentity(c.text())
	c.bad = c.bad || !ok
	return id
}
