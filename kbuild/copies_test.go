package kbuild

import (
	"fmt"
	"path/filepath"
	"testing"

	"kas/elf"
)

// newSession is a session for out-of-tree modules, with every file that its copies depend on.
func newSession(t *testing.T) (s *session, files []string) {
	t.Helper()
	dir, ext := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "ext")
	s = &session{
		tree:       tree{dir: dir, ext: ext},
		memory:     memory{filepath.Join(ext, ".kas")},
		config:     filepath.Join(dir, "kas.yaml"),
		registries: []string{filepath.Join(dir, "symbols.kas")},
		overlay:    filepath.Join(dir, "overlay.kas"),
		kas:        func() string { return "test" },
	}
	files = []string{
		order(dir), order(ext), filepath.Join(dir, "vmlinux.o"), s.config, s.registries[0], s.overlay,
	}
	for _, path := range files {
		writeTestFile(t, path, "", 0o644)
	}
	return s, files
}

// Whatever the copies are made from is part of the state that they are valid for.
func TestState(t *testing.T) {
	s, files := newSession(t)
	state := s.state()
	if s.state() != state {
		t.Error("the state changes by itself")
	}
	for _, path := range files {
		writeTestFile(t, path, "changed", 0o644)
		if s.state() == state {
			t.Errorf("the state does not depend on %s", filepath.Base(path))
		}
		state = s.state()
	}
	s.kas = func() string { return "another kas" }
	if s.state() == state {
		t.Error("the state does not depend on the program")
	}
}

// The copies of the last time are used only if the object at hand and its copy are as they were.
func TestLastCopies(t *testing.T) {
	s, files := newSession(t)
	path := func(name string) string { return filepath.Join(s.tree.ext, name) }
	a, b, plain := path("a.o"), path("b.o"), path("plain.o")
	for _, name := range []string{a, a + ".kas", b, b + ".kas", plain} {
		writeTestFile(t, name, "", 0o644)
	}
	remember := func() {
		t.Helper()
		text := s.state() + "\n"
		for _, object := range []string{a, b, plain} {
			text += fmt.Sprintf("%v %v %s\n", elf.IdentifyTarget(object),
				elf.IdentifyTarget(object+".kas"), object)
		}
		if err := s.memory.write(emittedFile, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	valid := func(what string, want bool, objects ...string) {
		t.Helper()
		for _, object := range objects {
			if have := s.lastCopies(object) != nil; have != want {
				t.Errorf("%s: %s valid: %t, want %t", what, filepath.Base(object), have, want)
			}
		}
	}
	valid("no file", false, a)
	remember()
	valid("as made", true, a, b, plain)
	for object, want := range map[string]bool{a: true, plain: false} {
		if copied, err := s.copied(object); err != nil || copied != want {
			t.Errorf("%s: copied %t, error %v", filepath.Base(object), copied, err)
		}
	}
	valid("not listed", false, path("nosuch.o"), path("o"), path("b"))

	writeTestFile(t, a, "changed", 0o644)
	valid("object changed", false, a)
	valid("object of another module changed", true, b, plain)
	remember()
	writeTestFile(t, a+".kas", "changed", 0o644)
	valid("copy changed", false, a)
	remember()
	valid("made again", true, a)
	writeTestFile(t, files[0], "changed again", 0o644)
	valid("tree changed", false, a, b, plain)

	if err := s.memory.write(emittedFile, []byte(s.state()+"\nnonsense "+a+"\n")); err != nil {
		t.Fatal(err)
	}
	valid("damaged", false, a)
}
