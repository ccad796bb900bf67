package elf_test

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"testing"

	"kas/elf"
)

// fuzzSize is the largest input: small objects show what damage can do.
const fuzzSize = 64 << 10

// addFixtures adds the small fixtures to the corpus.
func addFixtures(f *testing.F, add func([]byte)) {
	f.Helper()
	for _, path := range fixtures(f) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 9<<10 {
			add(data)
		}
	}
}

// allocated fails the test if do allocates too much memory for an input of size bytes.
func allocated(t *testing.T, size int, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	// A zstd section may need a window of 8 MiB, and there may be a few of them.
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20+100*uint64(size) {
		t.Errorf("%d bytes allocated for an input of %d", n, size)
	}
}

// expanded returns the size of the input with its compressed sections at their largest.
func expanded(o *elf.File, size int) int {
	for i := range o.Sections {
		if s := &o.Sections[i]; s.Flags&0x800 != 0 || strings.HasPrefix(s.Name, ".zdebug") {
			size += 1200 * int(s.Size)
		}
	}
	return size
}

func FuzzOpen(f *testing.F) {
	addFixtures(f, func(data []byte) { f.Add(data) })
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzSize {
			t.Skip("input too large")
		}
		want := bytes.Clone(data)
		o, err := elf.New(data)
		if err != nil {
			return
		}
		allocated(t, expanded(o, len(data)), func() { readEverything(o) })
		if !bytes.Equal(data, want) {
			t.Error("the input was written to")
		}
	})
}

// readEverything calls every function that reads the object. Errors are fine.
func readEverything(o *elf.File) {
	o.Arch()
	o.Modinfo("vermagic")
	o.Comments()
	if syms, err := o.Symtab(); err == nil {
		for id := elf.SymID(0); int(id) < syms.Len(); id++ {
			s, err := syms.At(id)
			if err != nil {
				continue
			}
			o.NMType(&s)
			o.NMListed(&s)
			o.NMValue(&s)
			o.Bytes(&s)
			if s.Defined() {
				o.Address(s.Section, o.CodeAddress(&s))
			}
		}
	}
	for i := range o.Sections {
		s := &o.Sections[i]
		if _, err := o.Data(i); err != nil || !strings.HasPrefix(s.Name, ".debug_") {
			continue
		}
		c, err := o.Contents(s.Name)
		if err != nil {
			continue
		}
		for _, size := range []int{8, 4, 1} {
			for at := 0; at+size <= len(c.Data); at += len(c.Data)/64 + size {
				c.Uint(uint64(at), size)
			}
		}
	}
}

func FuzzRewrite(f *testing.F) {
	addFixtures(f, func(data []byte) { f.Add(data, uint32(7), "name@file_c_1") })
	f.Fuzz(func(t *testing.T, data []byte, pick uint32, name string) {
		if len(data) > fuzzSize || len(name) > 600 || strings.Contains(name, "\x00") {
			t.Skip("not an alias, or input too large")
		}
		in, err := elf.New(data)
		if err != nil {
			return
		}
		syms, err := in.Symtab()
		if err != nil || syms.Len() < 2 {
			return
		}
		last := elf.SymID(syms.Len() - 1)
		aliases := []elf.Alias{
			{Original: last, Name: "last@alias"},
			{Original: 1 + elf.SymID(pick)%last, Name: name},
			{Original: 1, Name: "first@alias"},
		}
		var out bytes.Buffer
		allocated(t, len(data), func() {
			var plan *elf.Plan
			if plan, err = in.Rewrite(aliases); err == nil {
				_, err = plan.WriteTo(&out)
			}
		})
		if err != nil {
			return
		}
		checkReopened(t, in, out.Bytes(), aliases)
	})
}

// checkReopened reads a rewritten object with this package. It must have the sections and symbols
// of the original, and the aliases.
func checkReopened(t *testing.T, in *elf.File, out []byte, aliases []elf.Alias) {
	t.Helper()
	got, err := elf.New(out)
	if err != nil {
		t.Fatalf("rewritten object: %v", err)
	}
	if len(got.Sections) != len(in.Sections) {
		t.Fatalf("%d sections, want %d", len(got.Sections), len(in.Sections))
	}
	old, err := in.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	syms, err := got.Symtab()
	if err != nil {
		t.Fatalf("rewritten object: %v", err)
	}
	for i := range in.Sections {
		a, b := in.Sections[i], got.Sections[i]
		if a.Name != b.Name || a.Type != b.Type || a.Flags != b.Flags || a.Addr != b.Addr ||
			a.Link != b.Link ||
			a.Addralign != b.Addralign ||
			a.Entsize != b.Entsize {
			t.Errorf("section %d: %+v, want %+v", i, b, a)
		}
		if a.Link == uint32(old.Section) || i == old.Section || i == old.Strings {
			continue // renumbered
		}
		was, _ := in.Data(i)
		now, err := got.Data(i)
		if err != nil || !bytes.Equal(was, now) {
			t.Errorf("section %d %s changed: %v", i, a.Name, err)
		}
	}
	// Each original comes right before its aliases.
	var id elf.SymID
	next := func(want elf.Symbol, name []byte) {
		s, err := syms.At(id)
		id++
		if err != nil {
			t.Fatalf("symbol %d: %v", id-1, err)
		}
		if string(s.Name) != string(name) || s.Value != want.Value || s.Size != want.Size ||
			s.Section != want.Section ||
			s.Info != want.Info ||
			s.Other != want.Other {
			t.Fatalf("symbol %d: %+v, want %+v named %q", id-1, s, want, name)
		}
	}
	for i := elf.SymID(0); int(i) < old.Len(); i++ {
		s, err := old.At(i)
		if err == nil {
			next(s, s.Name)
		} else {
			id++
		}
		for _, a := range aliases {
			if a.Original != i {
				continue
			}
			if err == nil {
				next(s, []byte(a.Name))
			} else {
				id++
			}
		}
	}
	if int(id) != syms.Len() {
		t.Errorf("%d symbols, want %d", syms.Len(), id)
	}
}
