package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"kas/elf"
)

// below lists what is below a folder.
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
	_, err = WriteFile(path, func(w io.Writer) error {
		io.WriteString(w, "second")
		return broken
	})
	if !errors.Is(err, broken) {
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
		WriteFile(
			filepath.Join(dir, "never"),
			func(w io.Writer) error { io.WriteString(w, "half"); panic("a mistake") },
		)
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
			longer := []byte("what is longer than the new content")
			return os.WriteFile(temporary(path), longer, 0o644)
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
	write := func(path string) (int64, error) {
		var files Files
		n, err := files.WriteObject(path, plan)
		failed, settled := files.Settle()
		return n, errors.Join(err, failed[path], settled)
	}
	n, err := write(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(source)
	got, _ := os.ReadFile(path)
	if !slices.Equal(got, want) || n != int64(len(want)) {
		t.Errorf("%d bytes differ from the original's %d", n, len(want))
	}
	if _, err := write(filepath.Join(path, "x")); err == nil {
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
	if _, err := LockShared(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("a shared lock: %v", err)
	}
	unlock()
	for range 2 {
		if unlock, err = LockShared(dir); err != nil {
			t.Fatal(err)
		}
		defer unlock()
	}
	if _, err := Lock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("locked beside shared locks: %v", err)
	}
}

// TestLockWait: LockWait returns once the other process unlocks.
func TestLockWait(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	var unlocked atomic.Bool
	locked := make(chan error)
	go func() {
		unlock, err := LockWait(dir)
		if err == nil {
			if !unlocked.Load() {
				err = errors.New("locked twice")
			}
			unlock()
		}
		locked <- err
	}()
	unlocked.Store(true)
	unlock()
	if err := <-locked; err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LockWait(filepath.Join(file, "dir")); err == nil {
		t.Error("no error below a file")
	}
}

// TestLargeFile: writes and copied ranges come out in order, whatever their sizes.
func TestLargeFile(t *testing.T) {
	dir := t.TempDir()
	data := make([]byte, 3*bufferSize+12)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	source := filepath.Join(dir, "source")
	if err := os.WriteFile(source, data, 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	fd := int(in.Fd())
	var want []byte
	path := filepath.Join(dir, "file")
	n, err := writeAll(path, func(w *output) error {
		for _, size := range []int{1, bufferSize - 1, 10, bufferSize, bufferSize + 1, 3} {
			want = append(want, data[:size]...)
			if n, err := w.Write(data[:size]); n != size || err != nil {
				return fmt.Errorf("%d of %d written: %w", n, size, err)
			}
		}
		for _, size := range []int64{0, 5, copyFrom - 1, copyFrom, 2*bufferSize + 5} {
			want = append(want, data[3:3+size]...)
			if err := w.CopyRange(fd, 3, size); err != nil {
				return err
			}
		}
		edited := slices.Clone(data[6 : 6+12*50_000])
		for i := 0; i < len(edited); i += 12 {
			edited[i]++
		}
		want = append(want, edited...)
		next := uint64(6)
		err := w.CopyEdited(fd, 6, int64(len(edited)), 12, func(b []byte, at uint64) error {
			if len(b)%12 != 0 || at != next {
				return fmt.Errorf("%d bytes at %d, want whole units at %d", len(b), at, next)
			}
			next += uint64(len(b))
			for i := 0; i < len(b); i += 12 {
				b[i]++
			}
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) || n != int64(len(want)) {
		t.Errorf("%v, %d bytes, size %d, want %d bytes", err, len(got), n, len(want))
	}
	broken := errors.New("broken")
	for what, f := range map[string]func(w *output) error{
		"a range past the end": func(w *output) error { return w.CopyEdited(fd, 0, 1<<20, 1, keepBytes) },
		"an edit": func(w *output) error {
			return w.CopyEdited(fd, 0, 12, 12, func([]byte, uint64) error { return broken })
		},
	} {
		if _, err := writeAll(filepath.Join(dir, "none"), f); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if got := below(t, dir); !slices.Equal(got, []string{"file", "source"}) {
		t.Errorf("left: %q", got)
	}
}

// writeAll writes a file that has all methods of an output.
func writeAll(path string, write func(w *output) error) (int64, error) {
	var files Files
	n, err := files.write(path, write)
	failed, settled := files.Settle()
	return n, errors.Join(err, failed[path], settled)
}

func keepBytes([]byte, uint64) error { return nil }

// TestLeftovers: only files with names that kas uses are left over.
func TestLeftovers(t *testing.T) {
	b := Build{Dir: t.TempDir()}
	for _, name := range []string{
		"table", ".table.tmp", ".gone.tmp", "old", ".old.tmp", "other.kas", ".other.tmp", ".table",
		"modules/a.ko.kas", "modules/.a.ko.kas.tmp", "modules/dir/b.ko.kas", "modules/dir/.c.ko.kas.tmp",
		"modules/README", "modules/.x.tmp", "modules/d.ko", "modules/not.ko.kas",
		"beside/a.ko", "beside/a.ko.kas", "beside/.a.ko.kas.tmp", "beside/b.ko.kas", "beside/c.ko.kas",
	} {
		if _, err := WriteFile(b.Path(name), text("")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(b.Path("modules/dir.kas"), 0o755); err != nil {
		t.Fatal(err)
	}
	outputs := map[string]bool{
		b.Path("table"): true, b.Path("gone"): true, b.Path("old"): false, b.Path("never"): false,
		b.Path("modules/a.ko.kas"): true, b.Path("modules/not.ko.kas"): false,
		b.Path("beside/a.ko.kas"): true, b.Path("beside/b.ko.kas"): false,
	}
	found, err := b.Leftovers(outputs)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, path := range found {
		name, _ := filepath.Rel(b.Dir, path)
		got = append(got, name)
	}
	want := []string{
		".gone.tmp", ".old.tmp", ".table.tmp",
		"beside/.a.ko.kas.tmp", "beside/b.ko.kas",
		"modules/.a.ko.kas.tmp", "modules/dir/.c.ko.kas.tmp", "modules/dir/b.ko.kas",
		"modules/not.ko.kas",
		"old",
	}
	if !slices.Equal(got, want) {
		t.Errorf("left over: %q\nwant %q", got, want)
	}
	if left, err := (&Build{Dir: b.Path("nosuch")}).Leftovers(nil); err != nil || left != nil {
		t.Errorf("no folder: %q, %v", left, err)
	}
}

// TestWriteNamed writes into what is no regular file, and leaves it there.
func TestWriteNamed(t *testing.T) {
	dir := t.TempDir()
	pipe, link, plain := filepath.Join(dir, "p"), filepath.Join(dir, "l"), filepath.Join(dir, "f")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink(pipe, link)); err != nil {
		t.Fatal(err)
	}
	text := func(w io.Writer) error { _, err := io.WriteString(w, "text"); return err }
	for _, path := range []string{pipe, link} {
		got := make(chan string)
		go func() {
			data, err := os.ReadFile(pipe)
			got <- fmt.Sprint(string(data), err)
		}()
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteNamed(path, text); err != nil {
			t.Fatal(err)
		}
		if read := <-got; read != "text<nil>" {
			t.Errorf("%s: %s", path, read)
		}
		if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%s: %v, was %v", path, after, before)
		}
	}
	for range 2 {
		if err := WriteNamed(plain, text); err != nil {
			t.Error(err)
		}
		if data, err := os.ReadFile(plain); string(data) != "text" || err != nil {
			t.Errorf("%q %v", data, err)
		}
	}
}
