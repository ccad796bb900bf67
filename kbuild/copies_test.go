package kbuild

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"kas/elf"
	"kas/pipeline"
)

// newSession is a session for out-of-tree modules, with every file that its copies depend on.
func newSession(t *testing.T) (s *session, files []string) {
	t.Helper()
	dir, ext := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "ext")
	s = &session{
		tree:       tree{dir: dir, ext: ext},
		memory:     memory{ext},
		config:     filepath.Join(dir, "kas.yaml"),
		registries: []string{filepath.Join(dir, "symbols.kas")},
		overlay:    filepath.Join(dir, "overlay.kas"),
		kas:        func() string { return "test" },
	}
	files = []string{
		order(dir), order(ext), filepath.Join(dir, "vmlinux.o"), s.config, s.registries[0],
		s.overlay,
	}
	for _, path := range files {
		writeTestFile(t, path, "", 0o644)
	}
	return s, files
}

// A copy has the aliases of local symbols that are needed. Those of global symbols come later.
func TestScope(t *testing.T) {
	s, _ := newSession(t)
	scope := s.scope(&kernelNames{fromRegistry: true, needs: []bool{true, false}})
	o := &pipeline.Object{
		Symbols: []pipeline.Symbol{{Local: true}, {Local: true}, {}, {}},
		Duplicates: []pipeline.Duplicate{
			{Symbol: 0, Group: 0, Alias: "a"}, {Symbol: 1, Group: 1, Alias: "b"},
			{Symbol: 2, Group: 0, Alias: "c"}, {Symbol: 3, Group: 1, Alias: "d"},
		},
	}
	for i, want := range []bool{true, false, false, false} {
		if have := scope.Carries(o, &o.Duplicates[i]); have != want {
			t.Errorf("duplicate %d: in the copy %t, want %t", i, have, want)
		}
	}
	key := scope.LaterKey(o)
	if o.Duplicates[2].Alias = "other"; key == "" || scope.LaterKey(o) == key {
		t.Error("another alias of a global symbol does not change the key")
	}
	o.Vmlinux = true
	if scope.LaterKey(o) != "" {
		t.Error("aliases are to be added to vmlinux")
	}
	o.Vmlinux, o.Duplicates[2].Group = false, 1
	if scope.LaterKey(o) != "" {
		t.Error("aliases that are not needed are to be added")
	}
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
	for _, name := range []string{a, s.copyOf(a), b, s.copyOf(b), plain} {
		writeTestFile(t, name, "", 0o644)
	}
	remember := func() {
		t.Helper()
		e := &emitted{state: s.state(), globals: []byte("line\n")}
		for _, object := range []string{a, b, plain} {
			e.lines = fmt.Appendf(e.lines, "%v %v - - %s\n", elf.IdentifyTarget(object),
				elf.IdentifyTarget(s.copyOf(object)), object)
		}
		text := fmt.Appendf(nil, "%s\n%s", e.head(), e.lines)
		err := errors.Join(s.memory.write(emittedFile, text),
			s.memory.write(globalsFile, e.globals))
		if err != nil {
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
		if copied, _, err := s.copied(object); err != nil || copied != want {
			t.Errorf("%s: copied %t, error %v", filepath.Base(object), copied, err)
		}
	}
	valid("not listed", false, path("nosuch.o"), path("o"), path("b"))

	// What is remembered counts as a whole.
	for _, name := range []string{emittedFile, globalsFile} {
		text, err := s.memory.read(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, damaged := range []string{"", string(text[:len(text)/2]), "x" + string(text),
			string(text) + "\n"} {
			if err := s.memory.write(name, []byte(damaged)); err != nil {
				t.Fatal(err)
			}
			valid("damaged "+name, false, a, b, plain)
		}
		if err := s.memory.forget(name); err != nil {
			t.Fatal(err)
		}
		valid("no "+name, false, a)
		remember()
	}

	writeTestFile(t, a, "changed", 0o644)
	valid("object changed", false, a)
	valid("object of another module changed", true, b, plain)
	remember()
	writeTestFile(t, s.copyOf(a), "changed", 0o644)
	valid("copy changed", false, a)
	remember()
	valid("made again", true, a)
	writeTestFile(t, files[0], "changed again", 0o644)
	valid("tree changed", false, a, b, plain)

	for _, line := range []string{"nonsense", fmt.Sprintf("%v nonsense", elf.IdentifyTarget(a))} {
		if err := s.memory.write(emittedFile, []byte(s.state()+"\n"+line+" "+a+"\n")); err != nil {
			t.Fatal(err)
		}
		valid(line, false, a)
	}
}
