package pipeline

import (
	"errors"
	"os"
	"slices"
	"testing"

	"kas/elf"
)

// TestOpenAgain: an object that changed after scan is not opened.
func TestOpenAgain(t *testing.T) {
	path := module(t)
	o := Object{Path: path}
	f, err := new(Build).ScanTables(&o)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	opens := map[string]func() (*elf.File, error){"Open": o.Open, "OpenTables": o.OpenTables}
	for name, open := range opens {
		f, err := open()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Section(".symtab") == 0 {
			t.Errorf("%s: no symbol table", name)
		}
		f.Close()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for name, open := range opens {
		if _, err := open(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s of a file that is gone: %v", name, err)
		}
	}
	// The size differs, so the identity does even if inode and times are the same.
	if err := os.WriteFile(path, append(data, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, open := range opens {
		if _, err := open(); err == nil || err.Error() != "the file changed during the run" {
			t.Errorf("%s of a file that changed: %v", name, err)
		}
	}
}

// TestContentOfKnown: the content of a file that is what it was is not worked out again.
func TestContentOfKnown(t *testing.T) {
	path := module(t)
	known := &objectState{identity: elf.IdentifyTarget(path), content: "as before"}
	b := Build{last: &state{objects: map[string]*objectState{"a.ko": known}}}
	for _, c := range []struct {
		name, want string
		identity   elf.Identity
	}{
		{"a.ko", "as before", known.identity},
		{"b.ko", b.contentAt(path), known.identity},
		{"a.ko", b.contentAt(path), elf.Identity{}},
	} {
		known.identity = c.identity
		o := Object{Name: c.name, Path: path}
		f, err := b.ScanTables(&o)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if o.content != c.want || c.want == "" {
			t.Errorf("%s, %v: %q, want %q", c.name, c.identity, o.content, c.want)
		}
	}
}

func TestRefCompare(t *testing.T) {
	refs := []Ref{{1, 0}, {0, 7}, {2, 3}, {0, 2}, {1, 5}}
	slices.SortFunc(refs, Ref.Compare)
	if want := []Ref{{0, 2}, {0, 7}, {1, 0}, {1, 5}, {2, 3}}; !slices.Equal(refs, want) {
		t.Errorf("%v, want %v", refs, want)
	}
}

func TestNames(t *testing.T) {
	b := Build{
		Objects: []Object{
			{
				Name:    "vmlinux",
				Vmlinux: true,
				Symbols: []Symbol{{Name: "b"}, {Name: "a"}, {Name: "c"}},
			},
			{Name: "x.ko", Symbols: []Symbol{{Name: "a"}, {Name: "d"}}},
		},
		Names: Names{
			Refs: []Ref{{0, 1}, {1, 0}, {0, 0}, {0, 2}, {1, 1}},
			Ends: []int32{2, 3, 4, 5},
		},
	}
	if b.Names.Len() != 4 || b.Name(0) != "a" || b.Name(3) != "d" {
		t.Errorf("%d names from %s to %s", b.Names.Len(), b.Name(0), b.Name(3))
	}
	for name, want := range map[string][]Ref{
		"a": {{0, 1}, {1, 0}}, "b": {{0, 0}}, "d": {{1, 1}}, "": nil, "aa": nil, "e": nil,
	} {
		if got := b.Find(name); !slices.Equal(got, want) {
			t.Errorf("Find(%q) = %v, want %v", name, got, want)
		}
	}
	// Appending to the symbols of a name does not change those of the next.
	if _ = append(b.Names.At(0), Ref{9, 9}); b.Names.At(1)[0] != (Ref{0, 0}) {
		t.Errorf("the next name has %v", b.Names.At(1))
	}
	if o, s := b.Ref(Ref{1, 1}); o.Name != "x.ko" || s.Name != "d" {
		t.Errorf("Ref: %s of %s", s.Name, o.Name)
	}
	if b.Vmlinux() != &b.Objects[0] {
		t.Error("Vmlinux is not the first object")
	}
	b.Objects = b.Objects[1:]
	if b.Vmlinux() != nil {
		t.Error("a build of modules has a vmlinux")
	}
	b.Objects = nil
	if b.Vmlinux() != nil {
		t.Error("an empty build has a vmlinux")
	}
}

func TestScope(t *testing.T) {
	own, other := &Object{Name: "own.ko"}, &Object{Name: "other.ko"}
	late, early := &Duplicate{Alias: "f@late"}, &Duplicate{Alias: "f@early"}
	var whole Scope
	if !whole.Owns(other) || !whole.Carries(own, late) || whole.LaterKey(own) != "" ||
		whole.Takes("f") {
		t.Error("the zero Scope is not a whole kernel")
	}
	if whole.Carries(own, &Duplicate{}) {
		t.Error("a copy carries an alias that does not exist")
	}
	part := Scope{
		Own:   func(o *Object) bool { return o == own },
		Carry: func(o *Object, d *Duplicate) bool { return o == own && d != late },
		Later: func(o *Object) string { return "later " + o.Name },
		Taken: func(name string) bool { return name == "g" },
	}
	for _, c := range []struct {
		what      string
		got, want bool
	}{
		{"owns its module", part.Owns(own), true},
		{"owns another module", part.Owns(other), false},
		{"carries", part.Carries(own, early), true},
		{"carries a late alias", part.Carries(own, late), false},
		{"carries no alias", part.Carries(own, &Duplicate{}), false},
		{"takes a name of the kernel", part.Takes("g"), true},
		{"takes another name", part.Takes("f"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", c.what, c.got)
		}
	}
	if got := part.LaterKey(own); got != "later own.ko" {
		t.Errorf("LaterKey %q", got)
	}
}
