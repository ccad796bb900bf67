package elf_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"kas/elf"
	"kas/need"
)

// TestCompactRelocations compiles a source with SHT_CREL and without. The debug sections must read
// the same, and after a rewrite llvm-readelf must find the relocations of the original.
func TestCompactRelocations(t *testing.T) {
	tools := need.Tools(t, "clang-19", "llvm-readelf-19")
	source, err := filepath.Abs("testdata/src/basic.c")
	if err != nil {
		t.Fatal(err)
	}
	// Entries without the columns of offset and info, which has the index of the symbol.
	entry := regexp.MustCompile(`(?m)^[0-9a-f]+ +[0-9a-f]* *(R_.*)$`)
	relocations := func(path string) string {
		text, err := exec.Command(tools[1], "-rW", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range entry.FindAllSubmatch(text, -1) {
			all = append(all, strings.Join(strings.Fields(string(m[1])), " "))
		}
		return strings.Join(all, "\n")
	}
	for _, triple := range []string{
		"x86_64-linux-gnu", "aarch64-linux-gnu", "i686-linux-gnu", "arm-linux-gnueabihf",
		"powerpc64-linux-gnu", "riscv64-linux-gnu",
	} {
		dir := t.TempDir()
		plain, compact := filepath.Join(dir, "plain.o"), filepath.Join(dir, "compact.o")
		flags := []string{
			"--target=" + triple,
			"-O2",
			"-g",
			"-ffreestanding",
			"-fno-pic",
			"-c",
			source,
			"-o",
		}
		must(t, tools[0], append(flags, plain)...)
		must(t, tools[0], append(flags, compact, "-Wa,--crel,--allow-experimental-crel")...)
		want, got := open(t, plain), open(t, compact)
		sections := 0
		for _, s := range got.Sections {
			if s.Type == 0x40000014 {
				sections++
			}
		}
		if sections < 4 {
			t.Errorf("%s: %d sections of compact relocations", triple, sections)
		}
		for _, name := range []string{
			".debug_info", ".debug_addr", ".debug_line", ".debug_str_offsets",
		} {
			a, err := want.Contents(name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := got.Contents(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Data) < 8 || len(a.Data) != len(b.Data) {
				t.Errorf("%s %s: %d and %d bytes", triple, name, len(a.Data), len(b.Data))
				continue
			}
			// In ELF32 the addends are elsewhere: in the fields, or in the relocations.
			for at := 0; got.Is64 && at+8 <= len(a.Data); at++ {
				for _, size := range []int{4, 8} {
					// Sections have other numbers: the upper bits of an address.
					const mask = 1<<40 - 1
					x, y := a.Uint(uint64(at), size)&mask, b.Uint(uint64(at), size)&mask
					if x != y && a.Data[at] == b.Data[at] {
						t.Fatalf("%s %s at %#x: %#x, compact %#x", triple, name, at, x, y)
					}
				}
			}
		}

		syms, err := got.Symtab()
		if err != nil {
			t.Fatal(err)
		}
		var aliases []elf.Alias
		for id := elf.SymID(1); int(id) < syms.Len(); id++ {
			if s, err := syms.At(id); err == nil && s.Defined() && !s.Marker() && len(s.Name) > 0 {
				aliases = append(aliases, elf.Alias{Original: id, Name: string(s.Name) + "@alias"})
			}
		}
		plan, err := got.Rewrite(aliases)
		if err != nil {
			t.Fatalf("%s: %v", triple, err)
		}
		var out bytes.Buffer
		if _, err := plan.WriteTo(&out); err != nil {
			t.Fatalf("%s: %v", triple, err)
		}
		copied := filepath.Join(dir, "copy.o")
		if err := os.WriteFile(copied, out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		original := relocations(compact)
		if d := diff.Diff(original, relocations(copied)); d != "" ||
			strings.Count(original, "\n") < 10 {
			t.Errorf("%s: relocations (-original +copy):\n%s", triple, d)
		}
	}
}

// TestDamagedCompactRelocations cuts and changes the first bytes of a section.
func TestDamagedCompactRelocations(t *testing.T) {
	cc := need.Tool(t, "clang-19")
	source, err := filepath.Abs("testdata/src/basic.c")
	if err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(t.TempDir(), "a.o")
	must(t, cc, "--target=x86_64-linux-gnu", "-g", "-c", source, "-o", object,
		"-Wa,--crel,--allow-experimental-crel")
	data, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, object)
	s := f.Sections[f.Section(".crel.debug_addr")]
	for _, header := range [][]byte{
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, // more entries than bytes
		{0xff, 0x7f},
		bytes.Repeat([]byte{0x80}, 12), // a number without an end
	} {
		changed := bytes.Clone(data)
		copy(changed[s.Offset:][:s.Size], header)
		f, err := elf.New(changed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Contents(".debug_addr"); err == nil ||
			!strings.Contains(err.Error(), "damaged compact relocations in .crel.debug_addr") {
			t.Errorf("header %x: error %v", header, err)
		}
	}
}
