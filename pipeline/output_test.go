package pipeline

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kas/elf"
)

// below lists what lies below a folder.
func below(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "file")
	n, err := WriteFile(path, text("first"))
	if data, _ := os.ReadFile(path); n != 5 || err != nil || string(data) != "first" {
		t.Fatalf("%d, %v: %q", n, err, data)
	}
	broken := errors.New("broken")
	if _, err := WriteFile(path, func(w io.Writer) error { io.WriteString(w, "second"); return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "first" {
		t.Errorf("%q in place of what was there before the error", data)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		WriteFile(filepath.Join(dir, "never"), func(w io.Writer) error { io.WriteString(w, "half"); panic("a mistake") })
	}()
	if got := below(t, dir); !slices.Equal(got, []string{"a/b/file"}) {
		t.Errorf("left: %q", got)
	}
	if _, err := WriteFile(filepath.Join(path, "below-a-file"), text("")); err == nil {
		t.Error("no error below a file")
	}
}

// What a killed run left under the temporary name is written over, not through: it may be a link to
// an input.
func TestWriteFileOverLeftovers(t *testing.T) {
	dir := t.TempDir()
	path, input := filepath.Join(dir, "x.ko.kas"), filepath.Join(dir, "x.ko")
	if err := os.WriteFile(input, []byte("input"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, leave := range []func() error{
		func() error {
			return os.WriteFile(temporary(path), []byte("what is longer than the new content"), 0o644)
		},
		func() error { return os.Symlink(input, temporary(path)) },
		func() error { return os.Symlink(input, path) },
	} {
		os.Remove(path)
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		if _, err := WriteFile(path, text("new")); err != nil {
			t.Fatal(err)
		}
		if data, _ := os.ReadFile(path); string(data) != "new" {
			t.Errorf("file: %q", data)
		}
		if data, _ := os.ReadFile(input); string(data) != "input" {
			t.Fatalf("the input now is %q", data)
		}
		if got := below(t, dir); !slices.Equal(got, []string{"x.ko", "x.ko.kas"}) {
			t.Errorf("left: %q", got)
		}
	}
}

func TestWriteObject(t *testing.T) {
	const source = "../demo/matrix/x86_64-gcc/modules/kernel/crypto/crc32.ko"
	f, err := elf.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plan, err := f.Rewrite(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "modules", "crc32.ko.kas")
	n, err := WriteObject(path, plan)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(source)
	got, _ := os.ReadFile(path)
	if !slices.Equal(got, want) || n != int64(len(want)) {
		t.Errorf("%d bytes differ from the original's %d", n, len(want))
	}
	if _, err := WriteObject(filepath.Join(path, "x"), plan); err == nil {
		t.Error("no error below a file")
	}
}

func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "modules", "x.ko.kas")
	for _, target := range []string{"../a", "../b", "../b"} {
		if err := Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(path); err != nil || got != target {
			t.Errorf("%q, %v, want %q", got, err, target)
		}
	}
	if err := os.WriteFile(temporary(path), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Symlink("../c", path); err != nil {
		t.Error("over a leftover: ", err)
	}
	if got := final(temporary(path)); got != path {
		t.Errorf("the final name of %s is %s, want %s", temporary(path), got, path)
	}
	if got := final(path); got != path {
		t.Errorf("the final name of %s is %s", path, got)
	}
	if got := below(t, dir); !slices.Equal(got, []string{"modules/x.ko.kas"}) {
		t.Errorf("left: %q", got)
	}
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "out")
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir); err == nil || err.Error() != "another run is writing to "+dir {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	unlock, err = Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
