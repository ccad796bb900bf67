package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"kas/elf"
)

// The state of a run is saved for the next run on the same output folder: the objects it read, what
// it found in them, and the files it made from them. Everything in it is a fact about files that
// their identities name. A fact is not used if one of its files has changed, and no fact is used by
// another version of kas. The state is in the user's cache folder, because it holds times and inode
// numbers, and the output must not depend on those.

// stateFile returns the path of the build's state of this kas, "" if there is no cache.
func (b *Build) stateFile() string {
	if b.run.State != "" || b.run.Cache == "" {
		return b.run.State
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(real, filepath.Base(dir))
	}
	return filepath.Join(b.run.Cache, Digest(dir, b.run.Kas))
}

// stateAge is how long the cache keeps a file that no run reads.
const stateAge = 30 * 24 * time.Hour

const stateFormat = "kas state 6"

// state is what the last run of this kas saved.
type state struct {
	config  string // digest of the build's configuration
	clean   bool   // the run had no error
	summary summary
	objects map[string]*objectState
	tables  map[string]elf.Identity
}

// summary is what a report shows of a build.
type summary struct {
	Arch, Toolchain, LTO, Release string
	Inputs                        Inputs
	Stats                         Stats
}

// objectState is what is known of one object.
type objectState struct {
	identity elf.Identity // the zero value if a change of the object may go unnoticed
	content  string       // see content.go; "" if that says nothing, or with the zero identity
	product
	note
}

// product is the file made from an object.
type product struct {
	key  string // digest of what the file depends on besides the object
	path string // "" if no file was made
	made elf.Identity
}

// note is what was found in an object.
type note struct {
	about string // digest of what the content depends on besides the object
	json  []byte // nil if there is no note

	inputs []input // other files that the content depends on
}

// Digest returns a short key of everything that a result depends on.
func Digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// configDigest returns a digest of the configuration and the stages.
func (b *Build) configDigest() string {
	config := b.Config
	if !config.Emit.Beside && config.Emit.Unaliased != "link" {
		config.Vmlinux, config.Modules = "", nil // what is there counts, not where
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "" // equals no saved digest
	}
	return Digest(string(text))
}

// Unchanged reports whether the last run of this kas made everything that this run would make: from
// the same objects, with the same configuration, and all of it still in place. It then sets the
// build's summary from the last run. The objects must be listed, but need not be read.
func (b *Build) Unchanged(ctx context.Context) bool {
	b.last = b.loadState()
	if !b.run.All && b.upToDate(ctx) {
		return true
	}
	// From here on the run may change files, so the saved state is no longer true. A killed run
	// must not leave it.
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
			if !b.holds(s.objects[b.Objects[i].Name], b.Objects[i].Path) {
				changed.Store(true)
			}
		}
	})
	if err != nil || changed.Load() || b.strays() {
		return false
	}
	b.Arch, b.Toolchain, b.LTO = s.summary.Arch, s.summary.Toolchain, s.summary.LTO
	b.Release, b.Inputs, b.Stats = s.summary.Release, s.summary.Inputs, s.summary.Stats
	b.Skipped = true
	return true
}

// holds reports whether the object at path and the file made from it are as they were.
func (b *Build) holds(k *objectState, path string) bool {
	return k != nil && k.identity != (elf.Identity{}) && b.same(path, k.identity, k.content) &&
		(k.path == "" || k.made == elf.Identify(k.path)) && b.inputsHold(&k.note)
}

// strays reports whether there are files that look like output and are not, which a run must
// remove.
func (b *Build) strays() bool {
	outputs := map[string]bool{}
	if b.recorded {
		outputs[b.Path(BuildFile)] = true // the caller of Run writes it
	}
	for path := range b.last.tables {
		outputs[path] = true
	}
	for _, o := range b.last.objects {
		if o.path != "" {
			outputs[o.path] = true
		}
	}
	found, err := b.Leftovers(outputs)
	return err != nil || len(found) > 0 || b.recorded && !b.recordLists(outputs)
}

// recordLists reports whether the record of the build's folder lists these files and no others.
func (b *Build) recordLists(outputs map[string]bool) bool {
	r, err := OpenRecord(b.Dir)
	if err != nil || len(r.paths) != len(outputs) {
		return false
	}
	for path := range outputs {
		if !r.Has(path) {
			return false
		}
	}
	return true
}

// known returns what the last run knew of the object in its present state, nil if it knew nothing.
func (b *Build) known(o *Object) *objectState {
	if b.last == nil {
		return nil
	}
	k := b.last.objects[o.Name]
	if k == nil || k.identity == (elf.Identity{}) ||
		k.identity != o.Identity && (k.content == "" || k.content != o.content) {
		return nil
	}
	return k
}

// Note returns what read finds in the object. If the last run noted it for the same state of the
// object and the same key, read is not called. The key is a digest of everything else that the
// result depends on. T is kept as JSON, so only its exported fields are noted.
func Note[T any](b *Build, o *Object, key string, read func() (T, error)) (T, error) {
	if k := b.known(o); k != nil && k.about == key && k.json != nil && b.inputsHold(&k.note) {
		var noted T
		if json.Unmarshal(k.json, &noted) == nil {
			o.reuse(k.note)
			return noted, nil
		}
	}
	found, err := read()
	if err == nil {
		o.about, o.json = key, encodeNote(found)
	}
	return found, err
}

// encodeNote returns the JSON of a note, nil if JSON cannot represent it. It holds no tab and no
// line break: they are escaped within strings, and Marshal writes none between them.
func encodeNote(found any) []byte {
	text, err := json.Marshal(found)
	if err != nil || bytes.Contains(text, []byte(`\ufffd`)) {
		return nil // Marshal writes \ufffd for bytes that are not UTF-8, as a path may have
	}
	return text
}

// Make calls write, which makes the output file from the object. If the last run made it from the
// same state of the object with the same key, and it is unchanged since, write is not called. The
// key is a digest of everything else that the file depends on. write returns the size of the file.
func (b *Build) Make(o *Object, output, key string, write func() (int64, error)) error {
	if k := b.known(o); k != nil && k.product.key == key && k.path == output &&
		k.made != (elf.Identity{}) && k.made == elf.Identify(output) {
		o.product = k.product
		o.Emitted = k.made.Size
		return nil
	}
	n, err := write()
	if err == nil {
		o.Emitted = n
		o.product, o.fresh = product{key: key, path: output}, true
	}
	return err
}

// WriteFile writes an output file of the build like the function WriteFile. The file has its final
// name after Settle.
func (b *Build) WriteFile(path string, write func(io.Writer) error) (int64, error) {
	return b.files.WriteFile(path, write)
}

// WriteObject writes a rewritten object. The file has its final name after Settle.
func (b *Build) WriteObject(path string, plan *elf.Plan) (int64, error) {
	return b.files.WriteObject(path, plan)
}

// Symlink makes a symbolic link to target. It has its final name after Settle.
func (b *Build) Symlink(target, path string) error { return b.files.Symlink(target, path) }

// Settle waits until all files that the build wrote are on disk under their final names. An object
// whose file is not gets an error, and lost is called for it if it is not nil. The error is that of
// another file or of a folder.
func (b *Build) Settle(ctx context.Context, lost func(*Object)) error {
	failed, err := b.files.Settle()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i := range b.Objects {
		o := &b.Objects[i]
		if !o.fresh {
			continue
		}
		o.fresh = false
		why, bad := failed[o.product.path]
		delete(failed, o.product.path)
		if o.product.made = elf.Identify(o.product.path); !bad {
			continue
		}
		o.product, o.Emitted = product{}, 0
		b.Fail(ctx, o, why)
		if lost != nil {
			lost(o)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(failed)) {
		err = cmp.Or(failed[path], err)
	}
	return err
}

// trusted reports whether the object's identity determines its content. It does not if the object
// was changed just before it was opened, unless it is from a package, which is not changed.
func (o *Object) trusted(packaged bool) bool {
	young := func(in input) bool { return in.young }
	return o.Identity != (elf.Identity{}) && !slices.ContainsFunc(o.inputs, young) &&
		(packaged || o.Identity.Settled(o.opened))
}

// saveState saves the state of this run for the next one. clean says that the run had no error.
func (b *Build) saveState(clean bool) error {
	path := b.stateFile()
	if path == "" {
		return nil
	}
	about, err := json.Marshal(summary{b.Arch, b.Toolchain, b.LTO, b.Release, b.Inputs, b.Stats})
	if err != nil {
		return err
	}
	b.nameInputs()
	if b.run.State == "" {
		dropOld(b.run.Cache)
	}
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
			line = append(b.appendState(line[:0], &b.Objects[i]), '\n')
			line = b.Objects[i].appendInputs(line)
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// appendState appends the object's line of the state file.
func (b *Build) appendState(line []byte, o *Object) []byte {
	id, content := o.Identity, o.content
	if !o.trusted(b.Config.Origin(o.Path) != "") {
		id, content = elf.Identity{}, ""
	}
	line = strconv.AppendQuote(append(line, "object\t"...), o.Name)
	line = id.Text(append(line, '\t'))
	line = append(append(line, '\t'), content...)
	line = fmt.Appendf(line, "\t%s\t%q", o.product.key, o.product.path)
	line = o.product.made.Text(append(line, '\t'))
	line = append(append(line, '\t'), o.about...)
	return append(append(line, '\t'), o.json...)
}

// dropOld removes files that no run has read for a long time.
func dropOld(cache string) {
	files, _ := os.ReadDir(cache)
	for _, f := range files {
		info, err := f.Info()
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > stateAge {
			os.Remove(filepath.Join(cache, f.Name()))
		}
	}
}

// loadState reads the saved state, nil if there is none that this kas can use.
func (b *Build) loadState() *state {
	path := b.stateFile()
	if path == "" || b.run.Fresh {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	now := time.Now()
	os.Chtimes(path, now, now) // for dropOld
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	head := strings.SplitN(string(first), "\t", 4)
	if len(head) < 4 || head[0] != stateFormat {
		return nil
	}
	s := &state{
		config: head[1], clean: head[2] == "true",
		objects: map[string]*objectState{}, tables: map[string]elf.Identity{},
	}
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

// add reads one line of the state file. It returns false if the line is malformed.
func (s *state) add(line []byte) bool {
	c := columns{rest: line}
	switch kind := c.text(); kind {
	case "table":
		path := c.quoted()
		s.tables[path] = c.identity()
	case "input":
		return s.addInput(&c)
	case "object":
		name := c.quoted()
		o := &objectState{identity: c.identity(), content: c.text()}
		o.product = product{c.text(), c.quoted(), c.identity()}
		if o.about = c.text(); len(c.rest) > 0 {
			o.json = c.rest
		}
		s.objects[name] = o
	default:
		return false
	}
	return !c.bad
}

// columns reads the columns of a line.
type columns struct {
	rest []byte
	bad  bool // a column was malformed
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
