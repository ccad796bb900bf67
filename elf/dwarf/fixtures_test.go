package dwarf_test

import (
	"path/filepath"
	"testing"
)

// fixtures returns the objects of elf's testdata, sorted.
func fixtures(t testing.TB) []string {
	t.Helper()
	objects, err := filepath.Glob("../testdata/*.o")
	if err != nil {
		t.Fatal(err)
	}
	linked, err := filepath.Glob("../testdata/*.elf")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) < 50 || len(linked) < 2 {
		t.Fatalf("%d objects and %d linked ones in testdata", len(objects), len(linked))
	}
	return append(objects, linked...)
}
