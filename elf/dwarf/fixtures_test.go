package dwarf_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"kas/elf"
	"kas/elf/dwarf"
)

// fixtures returns the objects in the testdata of package elf, sorted.
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

// open opens an object until the end of the test. Its debugging information is nil if it has none.
func open(t testing.TB, path string) (*elf.File, *dwarf.Data) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	d, err := dwarf.New(f)
	if err != nil {
		t.Fatal(err)
	}
	return f, d
}

// symbolTargets returns a target for every function and variable of the symbol table, except labels
// of the assembler.
func symbolTargets(f *elf.File) ([]dwarf.Target, []elf.Symbol, error) {
	syms, err := f.Symtab()
	if err != nil {
		return nil, nil, err
	}
	var targets []dwarf.Target
	var symbols []elf.Symbol
	file := ""
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			return nil, nil, err
		}
		if s.SourceFile() {
			file = string(s.Name)
		}
		if s.Bind() != 0 {
			file = "" // only local symbols have one
		}
		if len(s.Name) == 0 || !s.Defined() || !f.Sections[s.Section].Alloc() || s.Marker() ||
			!f.NMListed(&s) ||
			bytes.HasPrefix(s.Name, []byte(".L")) {
			continue
		}
		symbols = append(symbols, s)
		targets = append(targets, dwarf.Target{
			Name: string(s.Name), Address: f.Address(s.Section, f.CodeAddress(&s)), Size: s.Size,
			Data:   s.Type() == 1 || !f.Sections[s.Section].Exec(), // STT_OBJECT
			Global: s.Bind() != 0, File: file,
		})
	}
	return targets, symbols, nil
}
