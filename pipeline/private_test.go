package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// newWhole makes a private folder of build k with a file that its record lists.
func newWhole(t *testing.T, out, text string) *Private {
	t.Helper()
	p, err := NewPrivate(out, "k")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.Dir, "table")
	r, err := OpenRecord(p.Dir)
	if err == nil {
		_, err = r.Claim([]string{path})
	}
	if err := errors.Join(err, os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	return p
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestCommit has one task commit a build, a second one that comes later with the same, and a third
// one with another content.
func TestCommit(t *testing.T) {
	out := t.TempDir()
	final := filepath.Join(out, "k")
	commit := func(text string, same bool, wantSecond bool, want string) {
		t.Helper()
		p := newWhole(t, out, text)
		second, err := p.Commit(final, func() bool { return same })
		if err != nil || second != wantSecond {
			t.Errorf("second %t, %v", second, err)
		}
		if err := p.Remove(); err != nil {
			t.Error(err)
		}
		data, err := os.ReadFile(filepath.Join(final, "table"))
		if err != nil || string(data) != want {
			t.Errorf("%q, %v, want %q", data, err, want)
		}
		if all := names(t, out); !slices.Equal(all, []string{"k"}) {
			t.Error(all)
		}
	}
	commit("one", false, false, "one")
	commit("two", true, true, "one")
	commit("three", false, false, "three")
}

// TestCommitTwins has twenty tasks commit one build at the same time. One is first, and nothing of
// it is lost.
func TestCommitTwins(t *testing.T) {
	out := t.TempDir()
	final := filepath.Join(out, "k")
	var mu sync.Mutex
	first := 0
	var tasks sync.WaitGroup
	for range 20 {
		p := newWhole(t, out, "text")
		tasks.Go(func() {
			second, err := p.Commit(final, func() bool { return true })
			if err := errors.Join(err, p.Remove()); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !second {
				first++
			}
		})
	}
	tasks.Wait()
	if all := names(t, final); first != 1 || !slices.Equal(all, []string{RecordFile, "table"}) {
		t.Errorf("%d were first, %v", first, all)
	}
	if all := names(t, out); !slices.Equal(all, []string{"k"}) {
		t.Error(all)
	}
}

// TestCommitIncomplete takes the private folder away from a task, or a file of it.
func TestCommitIncomplete(t *testing.T) {
	for name, take := range map[string]func(p *Private) error{
		"folder": func(p *Private) error { return os.RemoveAll(p.Dir) },
		"file":   func(p *Private) error { return os.Remove(filepath.Join(p.Dir, "table")) },
		"made again": func(p *Private) error {
			return errors.Join(os.RemoveAll(p.Dir), os.Mkdir(p.Dir, 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			p := newWhole(t, out, "text")
			if err := take(p); err != nil {
				t.Fatal(err)
			}
			final := filepath.Join(out, "k")
			if _, err := p.Commit(final, nil); !errors.Is(err, ErrChanged) {
				t.Error(err)
			}
			if _, err := os.Lstat(final); !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		})
	}
}

func TestCommitRefused(t *testing.T) {
	out := t.TempDir()
	mine := filepath.Join(out, "k", "mine")
	err := errors.Join(os.Mkdir(filepath.Dir(mine), 0o755), os.WriteFile(mine, nil, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	p := newWhole(t, out, "text")
	_, err = p.Commit(filepath.Join(out, "k"), func() bool { return false })
	if err == nil || err.Error() != Foreign(mine).Error() {
		t.Error(err)
	}
	if err := p.Remove(); err != nil || !exists(mine) {
		t.Error(err, names(t, out))
	}
}

// TestDiscardPrivate has folders of dead tasks and others of like names.
func TestDiscardPrivate(t *testing.T) {
	out := t.TempDir()
	long := strings.Repeat("b", nameMax)
	for range 3 { // of one process, as containers have them
		newWhole(t, out, "text")
	}
	p, err := NewPrivate(out, long)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(filepath.Base(p.Dir)); n > nameMax {
		t.Error(n)
	}
	stay := []string{".k", ".k.backup", ".k.node.x1", ".kk.node.1", "k.node.1"}
	for _, name := range append(stay, ".k.node.1-7") {
		if err := os.Mkdir(filepath.Join(out, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := DiscardPrivate(out, []string{"k", long}); err != nil {
		t.Error(err)
	}
	if all := names(t, out); !slices.Equal(all, stay) {
		t.Error(all)
	}
}
