package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"kas/pipeline"
)

// TestClearInUse: a registry that another kas writes stays.
func TestClearInUse(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	path, err := keepPath("6.1", "0123")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.WriteFile(path, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	unlock, err := pipeline.Lock(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := clearCache([]string{keptRegistries}, clearFlags{age: "0s"}, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(path)
		if held := unlock != nil; held != (err == nil) {
			t.Errorf("held %t: %v", held, err)
		}
		if unlock != nil {
			unlock()
			unlock = nil
		}
	}
}
