package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kas/configs"
	"kas/elf"
)

// An object that was changed within a clock tick before it was opened may change again unnoticed.
func TestTrusted(t *testing.T) {
	opened := time.Unix(1000, 0)
	at := func(before time.Duration) int64 { return opened.Add(-before).UnixNano() }
	for _, c := range []struct {
		mtime, ctime int64
		want         bool
	}{
		{at(time.Hour), at(time.Second), true},
		{at(time.Second), at(time.Hour), true},
		{at(time.Hour), at(elf.Settling), false},
		{at(time.Hour), at(elf.Settling + 1), true},
		{at(time.Millisecond), at(time.Hour), false},
		{at(time.Hour), at(-time.Minute), false}, // from a machine whose clock is ahead
	} {
		o := Object{opened: opened, Identity: elf.Identity{Ino: 1, Mtime: c.mtime, Ctime: c.ctime}}
		if got := o.trusted(false); got != c.want {
			mtime, ctime := time.Unix(0, c.mtime), time.Unix(0, c.ctime)
			t.Errorf("changed %v before, its inode %v before: %v",
				opened.Sub(mtime), opened.Sub(ctime), got)
		}
	}
	o := Object{opened: opened, Identity: elf.Identity{Ino: 1, Mtime: opened.UnixNano()}}
	if !o.trusted(true) {
		t.Error("an object of a package")
	}
	if o := (&Object{opened: opened}); o.trusted(true) {
		t.Error("an object that could not be opened")
	}
}

// rerun is a build of two modules that runs several times. What a run does is listed in did: "read
// NAME" and "write NAME" for the objects, "table".
type rerun struct {
	t    *testing.T
	dir  string
	kas  string
	unit string // in the notes
	key  string // of notes and copies
	fail string // object with an error
	task Task

	young bool                 // the objects were changed just before scan opens them
	last  func(b *Build) error // runs at the end of the last stage

	mu  sync.Mutex
	did []string
}

// finding is a note.
type finding struct {
	Unit string
	N    int
}

func newRerun(t *testing.T) *rerun {
	dir := t.TempDir()
	r := &rerun{t: t, dir: dir, kas: "this kas", unit: "a\tb\n\"c\".c", key: "key"}
	for _, name := range []string{"a.ko", "b.ko"} {
		if err := os.Rename(module(t), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.task = Task{
		Config:   configs.Build{Name: "k"},
		Dir:      filepath.Join(dir, "out", "k"),
		Complete: true,
		Stages:   []Stage{{"scan", r.scan}, {"emit", r.emit}, {"stats", r.stats}},
	}
	return r
}

func (r *rerun) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rerun) does(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.did = append(r.did, what)
}

func (r *rerun) scan(ctx context.Context, b *Build) error {
	files, err := filepath.Glob(r.path("*.ko"))
	if err != nil {
		return err
	}
	for _, path := range files {
		b.Objects = append(b.Objects, Object{Name: filepath.Base(path), Path: path})
	}
	if b.Unchanged(ctx) {
		return nil
	}
	b.Arch, b.Toolchain, b.LTO, b.Release = "x86_64", "gcc", "none", "6.1"
	return b.Each(ctx, b.Every(all), func(o *Object) error {
		f, err := b.ScanTables(o)
		if err != nil {
			return err
		}
		changed := time.Unix(0, max(o.Identity.Mtime, o.Identity.Ctime))
		if o.opened = changed.Add(time.Second); r.young {
			o.opened = changed
		}
		return f.Close()
	})
}

func (r *rerun) emit(ctx context.Context, b *Build) error {
	if b.run.Cache != "" && exists(b.stateFile()) {
		r.t.Error("the state of the last run is there: a killed run would leave it")
	}
	return b.Each(ctx, b.Every(all), func(o *Object) error {
		if o.Name == r.fail {
			return errors.New("broken")
		}
		found, err := Note(b, o, r.key, func() (finding, error) {
			r.does("read " + o.Name)
			return finding{r.unit, len(o.Name)}, nil
		})
		if err != nil || found != (finding{r.unit, len(o.Name)}) {
			r.t.Errorf("%s: found %+v, %v", o.Name, found, err)
		}
		path := filepath.Join(b.CopiesDir(), o.Name+".kas")
		err = b.Make(o, path, r.key, func() (int64, error) {
			r.does("write " + o.Name)
			return WriteFile(path, text("copy of "+o.Name))
		})
		if want := int64(len("copy of " + o.Name)); err == nil && o.Emitted != want {
			r.t.Errorf("%s: %d bytes, want %d", o.Name, o.Emitted, want)
		}
		return err
	})
}

func (r *rerun) stats(_ context.Context, b *Build) error {
	r.does("table")
	b.Stats.Aliases = 42
	err := b.WriteTable(
		"table",
		func(w io.Writer) error { _, err := io.WriteString(w, "t\n"); return err },
	)
	if err == nil && r.last != nil {
		err = r.last(b)
	}
	return err
}

// run runs the build and returns what it did, sorted.
func (r *rerun) run(ctx context.Context, change ...func(*Options)) (*Build, []string) {
	r.t.Helper()
	r.did = nil
	o := Options{Jobs: 2, Cache: r.path("cache"), Kas: r.kas}
	for _, f := range change {
		f(&o)
	}
	result, err := Run(ctx, []Task{r.task}, o)
	if err != nil && ctx.Err() == nil {
		r.t.Fatal(err)
	}
	slices.Sort(r.did)
	return result.Builds[0], r.did
}

func cached(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "cache", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var everything = []string{"read a.ko", "read b.ko", "table", "write a.ko", "write b.ko"}

// TestState: what a run does after another one, by what changed between them.
func TestState(t *testing.T) {
	edit := func(r *rerun, name, text string) {
		if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	touch := func(r *rerun, name string) {
		long := time.Unix(1e9, 0)
		if err := os.Chtimes(r.path(name), long, long); err != nil {
			r.t.Fatal(err)
		}
	}
	replace := func(r *rerun, name, more string) {
		data, err := os.ReadFile(r.path(name))
		if err != nil {
			r.t.Fatal(err)
		}
		os.Rename(r.path(name), r.path("old")) // keeps its inode
		edit(r, name, string(data)+more)
	}
	inState := func(r *rerun, old, new string) {
		files := cached(r.t, r.dir)
		if len(files) != 1 {
			r.t.Fatalf("state in %q", files)
		}
		data, err := os.ReadFile(files[0])
		if err != nil || !strings.Contains(string(data), old) {
			r.t.Fatalf("%v, no %q in %s", err, old, data)
		}
		data = []byte(strings.ReplaceAll(string(data), old, new))
		if err := os.WriteFile(files[0], data, 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		what   string
		change func(r *rerun)
		want   []string // nil: the run is skipped
	}{
		{"nothing", func(*rerun) {}, nil},
		{"another kas", func(r *rerun) { r.kas = "another" }, everything},
		{"another folder", func(r *rerun) { r.task.Dir += "2" }, everything},
		{"another configuration", func(r *rerun) { r.task.Config.Arch = "arm64" }, []string{"table"}},
		{"another key", func(r *rerun) { r.key, r.task.Config.Arch = "2", "arm64" }, everything},
		{"an object", func(r *rerun) { replace(r, "a.ko", "more") },
			[]string{"read a.ko", "table", "write a.ko"}},
		{"the time of an object", func(r *rerun) { touch(r, "a.ko") }, nil},
		{"an object of the same content", func(r *rerun) { replace(r, "a.ko", "") }, nil},
		{"an object is gone", func(r *rerun) { os.Remove(r.path("b.ko")) }, []string{"table"}},
		{"an object is new", func(r *rerun) { os.Rename(module(r.t), r.path("c.ko")) },
			[]string{"read c.ko", "table", "write c.ko"}},
		{"a copy is gone", func(r *rerun) { os.Remove(r.path("out/k/modules/a.ko.kas")) },
			[]string{"table", "write a.ko"}},
		{"a copy", func(r *rerun) { edit(r, "out/k/modules/a.ko.kas", "other") },
			[]string{"table", "write a.ko"}},
		{"a table is gone", func(r *rerun) { os.Remove(r.path("out/k/table")) }, []string{"table"}},
		{"a table", func(r *rerun) { edit(r, "out/k/table", "other") }, []string{"table"}},
		{"a copy of no module", func(r *rerun) { edit(r, "out/k/modules/c.ko.kas", "") },
			[]string{"table"}},
		{"a temporary copy", func(r *rerun) { edit(r, "out/k/modules/.c.ko.kas.tmp", "") },
			[]string{"table"}},
		{"a temporary table", func(r *rerun) { edit(r, "out/k/.table.tmp", "") }, []string{"table"}},
		{"a file of another name", func(r *rerun) { edit(r, "out/k/.other.tmp", "") }, nil},
		{"a file among the copies", func(r *rerun) { edit(r, "out/k/modules/README", "") }, nil},
		{"the state is gone", func(r *rerun) { os.RemoveAll(r.path("cache")) }, everything},
		{"the state's format", func(r *rerun) { inState(r, stateFormat, "kas state 0") }, everything},
		{"a line of the state", func(r *rerun) { inState(r, "object\t", "thing\t") }, everything},
		{"an identity in the state", func(r *rerun) { inState(r, "\"a.ko\"\t", "\"a.ko\"\tx") }, everything},
		{"a name in the state", func(r *rerun) { inState(r, "\"a.ko\"\t", "a.ko\t") }, everything},
		{"the counts in the state", func(r *rerun) { inState(r, "\"Stats\":{", "\"Stats\":[") }, everything},
		{"the head of the state", func(r *rerun) { edit(r, cached(r.t, r.dir)[0][len(r.dir)+1:], stateFormat) },
			everything},
		{"the notes in the state", func(r *rerun) {
			inState(r, `{"Unit":`, `{"Unit"`)
			r.task.Config.Arch = "arm64"
		}, []string{"read a.ko", "read b.ko", "table"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRerun(t)
			first, did := r.run(t.Context())
			if !slices.Equal(did, everything) || first.Skipped {
				t.Fatalf("the first run did %q", did)
			}
			c.change(r)
			second, did := r.run(t.Context())
			if !slices.Equal(did, c.want) || second.Skipped != (c.want == nil) {
				t.Errorf("the second run did %q, skipped: %v; want %q", did, second.Skipped, c.want)
			}
			if second.Arch != "x86_64" || second.Toolchain != "gcc" || second.LTO != "none" ||
				second.Release != "6.1" || second.Stats.Aliases != 42 {
				t.Errorf("the second build: %s %s %s %s %+v",
					second.Arch, second.Toolchain, second.LTO, second.Release, second.Stats)
			}
		})
	}
}

// TestStateOptions: what the options of the second run change.
func TestStateOptions(t *testing.T) {
	r := newRerun(t)
	r.run(t.Context())
	_, did := r.run(t.Context(), func(o *Options) { o.All = true })
	if want := []string{"table"}; !slices.Equal(did, want) {
		t.Errorf("All: did %q, want %q", did, want)
	}
	if _, did := r.run(t.Context(), func(o *Options) { o.Fresh = true }); !slices.Equal(
		did,
		everything,
	) {
		t.Errorf("Fresh: did %q", did)
	}
	if b, did := r.run(t.Context()); !b.Skipped || len(did) > 0 {
		t.Errorf("after Fresh: did %q", did)
	}
	if _, did := r.run(t.Context(), func(o *Options) { o.Cache = "" }); !slices.Equal(
		did,
		everything,
	) {
		t.Errorf("no cache: did %q", did)
	}
}

// TestStateOfLink: a folder is the same by whatever path it is named.
func TestStateOfLink(t *testing.T) {
	r := newRerun(t)
	r.run(t.Context())
	if err := os.Symlink("out", r.path("link")); err != nil {
		t.Fatal(err)
	}
	r.task.Dir = r.path("link/k")
	r.run(t.Context())
	if files := cached(t, r.dir); len(files) != 1 {
		t.Errorf("states %q, want one", files)
	}
}

// TestIncomplete: only a run that made everything leaves its state.
func TestIncomplete(t *testing.T) {
	for what, change := range map[string]func(r *rerun, cancel func()){
		"a subset of the stages": func(r *rerun, _ func()) { r.task.Complete = false },
		"an error of a stage": func(r *rerun, _ func()) {
			r.last = func(*Build) error { return errors.New("broken") }
		},
		"cancelled in the last stage": func(r *rerun, cancel func()) {
			r.last = func(*Build) error { cancel(); return nil }
		},
	} {
		r := newRerun(t)
		if r.run(t.Context()); len(cached(t, r.dir)) != 1 {
			t.Fatal("no state of a whole run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		change(r, cancel)
		r.task.Config.Arch = "arm64" // so it is not skipped
		r.run(ctx)
		cancel()
		if files := cached(t, r.dir); len(files) != 0 {
			t.Errorf("%s: the run left %q", what, files)
		}
	}
}

// TestStateAfterErrors: a run with errors is not skipped the next time, but what it made is used.
func TestStateAfterErrors(t *testing.T) {
	r := newRerun(t)
	r.fail = "a.ko"
	r.run(t.Context())
	if b, did := r.run(t.Context()); b.Skipped || !slices.Equal(did, []string{"table"}) {
		t.Errorf("again with the error: did %q, skipped: %v", did, b.Skipped)
	}
	r.fail = ""
	want := []string{"read a.ko", "table", "write a.ko"}
	if _, did := r.run(t.Context()); !slices.Equal(did, want) {
		t.Errorf("without the error: did %q, want %q", did, want)
	}
}

// TestYoungObject: nothing is known of an object that was changed just before it was opened.
func TestYoungObject(t *testing.T) {
	r := newRerun(t)
	r.young = true
	r.run(t.Context())
	if _, did := r.run(t.Context()); !slices.Equal(did, everything) {
		t.Errorf("did %q", did)
	}
}

// TestNoteNotUTF8: JSON cannot represent a path that is not UTF-8, so it is read in every run.
func TestNoteNotUTF8(t *testing.T) {
	r := newRerun(t)
	r.unit = "caf\xe9.c"
	r.run(t.Context())
	r.task.Config.Arch = "arm64" // so it is not skipped
	want := []string{"read a.ko", "read b.ko", "table"}
	if _, did := r.run(t.Context()); !slices.Equal(did, want) {
		t.Errorf("did %q, want %q", did, want)
	}
}

func TestEncodeNote(t *testing.T) {
	for _, c := range []struct {
		note any
		want string
	}{
		{finding{"a\tb\nc", 1}, `{"Unit":"a\tb\nc","N":1}`},
		{finding{"\uFFFD is a character", 1}, "{\"Unit\":\"\uFFFD is a character\",\"N\":1}"},
		{finding{"\xff", 1}, ""},
		{map[string]bool{"\xff": true}, ""},
		{make(chan int), ""},
	} {
		if got := string(encodeNote(c.note)); got != c.want {
			t.Errorf("%q: %q, want %q", fmt.Sprint(c.note), got, c.want)
		}
	}
}

// TestNoteError: an error of read is returned and nothing is noted.
func TestNoteError(t *testing.T) {
	o := &Object{Name: "a.ko"}
	broken := errors.New("broken")
	_, err := Note(&Build{}, o, "key", func() (int, error) { return 1, broken })
	if !errors.Is(err, broken) || o.note.about != "" || o.note.json != nil {
		t.Errorf("%v, noted %+v", err, o.note)
	}
	err = (&Build{}).Make(o, "out", "key", func() (int64, error) { return 1, broken })
	if !errors.Is(err, broken) || o.product != (product{}) || o.Emitted != 0 {
		t.Errorf("%v, made %+v", err, o.product)
	}
}

// TestStateNotWritten: a state that cannot be saved costs nothing but the next run's time.
func TestStateNotWritten(t *testing.T) {
	r := newRerun(t)
	if err := os.WriteFile(r.path("cache"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	result, err := Run(t.Context(), []Task{r.task}, Options{Jobs: 2, Cache: r.path("cache")})
	if err != nil || len(result.Errors) != 0 || result.Unsaved == nil {
		t.Errorf("%v, errors %q, not saved: %v", err, messages(result.Errors), result.Unsaved)
	}
}

// TestDropOld: saving a state removes files that no run has used for 30 days.
func TestDropOld(t *testing.T) {
	r := newRerun(t)
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"new": stateAge - time.Hour, "old": stateAge + time.Hour,
	} {
		if err := os.MkdirAll(r.path("cache/folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.path("cache/"+name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(r.path("cache/"+name), now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(r.path("cache/folder"), time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	dropOld(r.path("cache"))
	var left []string
	for _, path := range cached(t, r.dir) {
		left = append(left, filepath.Base(path))
	}
	if want := []string{"folder", "new"}; !slices.Equal(left, want) {
		t.Errorf("left: %q, want %q", left, want)
	}

	// A run that reads a state makes it new.
	r.run(t.Context())
	for _, path := range cached(t, r.dir) {
		if filepath.Base(path) == "new" || filepath.Base(path) == "folder" {
			continue
		}
		if err := os.Chtimes(path, now.Add(-stateAge), now.Add(-stateAge)); err != nil {
			t.Fatal(err)
		}
		if b, _ := r.run(t.Context()); !b.Skipped {
			t.Error("the state was not used")
		}
		if info, err := os.Stat(path); err != nil || now.Sub(info.ModTime()) > time.Hour {
			t.Errorf("%v: the state is still old", err)
		}
	}
}

func TestDigest(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{nil, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"b", "a"}, {"1:a"}} {
		d := Digest(parts...)
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have the digest %s", parts, other, d)
		}
		if seen[d] = parts; len(d) != 32 {
			t.Errorf("%q: digest %q, want 32 digits", parts, d)
		}
	}
}
