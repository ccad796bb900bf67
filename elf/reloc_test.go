package elf_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"kas/elf"
)

// pairedField is a field that is the difference of two labels: its bytes before relocation, its
// size, and the relocations for b and a. A size below 0 is that of a ULEB128.
type pairedField struct {
	bytes    string
	size     int
	toB, toA string
}

// TestContentsPairs reads fields that are differences of labels and compares them with a linker's.
// A difference does not depend on the address of the code.
func TestContentsPairs(t *testing.T) {
	for triple, fields := range map[string][]pairedField{
		"riscv64": {
			{".byte 0", 1, "ADD8", "SUB8"}, {".byte 1", 1, "ADD8", "SUB8"},
			{".half 2", 2, "ADD16", "SUB16"}, {".4byte 3", 4, "ADD32", "SUB32"},
			{".8byte 4", 8, "ADD64", "SUB64"}, {".byte 0xc5", 1, "SET6", "SUB6"},
			{".byte 6", 1, "SET8", "SUB8"}, {".half 7", 2, "SET16", "SUB16"},
			{".4byte 8", 4, "SET32", "SUB32"}, {".byte 0x80, 0", -2, "SET_ULEB128", "SUB_ULEB128"},
			{".byte 0", -1, "SET_ULEB128", "SUB_ULEB128"},
			{".byte 0x80, 0x80, 0x80, 0", -4, "SET_ULEB128", "SUB_ULEB128"},
		},
		"loongarch64": {
			{".byte 0", 1, "ADD8", "SUB8"}, {".byte 1", 1, "ADD8", "SUB8"},
			{".half 2", 2, "ADD16", "SUB16"}, {".4byte 3", 4, "ADD32", "SUB32"},
			{".8byte 4", 8, "ADD64", "SUB64"}, {".byte 0xc5", 1, "ADD6", "SUB6"},
			{".byte 0x83, 0", -2, "ADD_ULEB128", "SUB_ULEB128"},
			{".byte 7", -1, "ADD_ULEB128", "SUB_ULEB128"},
			{".byte 0x80, 0x80, 0x80, 0", -4, "ADD_ULEB128", "SUB_ULEB128"},
		},
	} {
		t.Run(triple, func(t *testing.T) {
			object, linked := assemblePairs(t, triple, fields)
			want, err := open(t, linked).Contents(".debug_pairs")
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(object)
			if err != nil {
				t.Fatal(err)
			}
			comparePairs(t, fields, want, data)
			// Nothing asks for the order of relocations of different fields: this is that of the
			// first of each pair from the last field on, then that of the second.
			f := open(t, object)
			s := f.Sections[f.Section(".rela.debug_pairs")]
			table := data[s.Offset:][:s.Size]
			entries := slices.Collect(slices.Chunk(bytes.Clone(table), 24))
			var firsts, seconds [][]byte
			for pair := range slices.Chunk(entries, 2) {
				firsts = append([][]byte{pair[0]}, firsts...)
				seconds = append(seconds, pair[1])
			}
			copy(table, bytes.Join(append(firsts, seconds...), nil))
			comparePairs(t, fields, want, data)
		})
	}
}

// assemblePairs makes an object with a section .debug_pairs of fields, and links it.
func assemblePairs(t *testing.T, triple string, fields []pairedField) (object, linked string) {
	t.Helper()
	prefix := map[string]string{"riscv64": "R_RISCV_", "loongarch64": "R_LARCH_"}[triple]
	var source strings.Builder
	source.WriteString("\t.globl _start\n_start:\na:\n\t.8byte 0, 0, 0\nb:\n\t.4byte 0\n" +
		"\t.section .debug_pairs, \"\", @progbits\n")
	for _, f := range fields {
		fmt.Fprintf(&source, "\t.reloc ., %s%s, b\n\t.reloc ., %[1]s%[3]s, a\n\t%[4]s\n",
			prefix, f.toB, f.toA, f.bytes)
	}
	dir := t.TempDir()
	assembly := filepath.Join(dir, "pairs.s")
	object, linked = filepath.Join(dir, "pairs.o"), filepath.Join(dir, "pairs.elf")
	if err := os.WriteFile(assembly, []byte(source.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	must(t, "llvm-mc-19", "-triple="+triple, "-filetype=obj", "-o", object, assembly)
	must(t, "ld.lld-19", "-o", linked, object)
	return object, linked
}

// comparePairs reads the fields of the object in data, in their order and then from the last to the
// first.
func comparePairs(t *testing.T, fields []pairedField, want *elf.Contents, data []byte) {
	t.Helper()
	f, err := elf.New(data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Contents(".debug_pairs")
	if err != nil {
		t.Fatal(err)
	}
	if got.Paired() != got {
		t.Error("no number may have a pair of relocations")
	}
	compare := func(f pairedField, at, size int) {
		t.Helper()
		linked, bytes := want.Data[at:][:size], got.Data[at:][:size]
		w, g := uint64(0), uint64(0)
		if f.size > 0 {
			w, g = want.Uint(uint64(at), size), got.Uint(uint64(at), size)
		} else {
			w, _ = binary.Uvarint(linked)
			inPlace, _ := binary.Uvarint(bytes)
			g = got.ULEB128(uint64(at), inPlace, size)
		}
		if w != g {
			t.Errorf("%s %s at %d is %#x, ld.lld makes it %#x", f.bytes, f.toB, at, g, w)
		}
	}
	at := 0
	for _, f := range fields {
		size := max(f.size, -f.size)
		compare(f, at, size)
		at += size
	}
	if at != len(want.Data) || at != len(got.Data) {
		t.Errorf("%d bytes of fields in %d and %d", at, len(want.Data), len(got.Data))
	}
	for _, f := range slices.Backward(fields) {
		size := max(f.size, -f.size)
		at -= size
		compare(f, at, size)
	}
}

// TestContentsAbsolute reads fields with a relocation of each absolute type and compares them with
// a linker's. The symbol is absolute, so that no made-up address is involved.
func TestContentsAbsolute(t *testing.T) {
	for _, arch := range []string{
		"x86_64", "i386", "arm64", "arm", "s390x", "powerpc64le", "mips64",
	} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			assembly, object := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o")
			linked := filepath.Join(dir, "a.elf")
			source := "\t.globl symbol\n\t.section .debug_fields, \"\", %progbits\n" +
				"\t.4byte symbol + 4\n\t.byte 1\n\t.4byte symbol\n\t.byte 2\n\t.4byte 77\n"
			if arch != "i386" && arch != "arm" {
				source += "\t.8byte symbol + 8\n"
			}
			if err := os.WriteFile(assembly, []byte(source), 0o666); err != nil {
				t.Fatal(err)
			}
			must(t, gnu(arch)+"as", "-o", object, assembly)
			symbol := filepath.Join(dir, "symbol.o")
			defined := []byte("\t.globl symbol\n\t.set symbol, 0x123450\n")
			if err := os.WriteFile(assembly, defined, 0o666); err != nil {
				t.Fatal(err)
			}
			must(t, gnu(arch)+"as", "-o", symbol, assembly)
			// The object with the symbol defined, once relocatable and once linked.
			must(t, gnu(arch)+"ld", "-r", "-o", filepath.Join(dir, "r.o"), object, symbol)
			must(t, gnu(arch)+"ld", "-e", "0", "-o", linked, object, symbol)
			want, err := open(t, linked).Contents(".debug_fields")
			if err != nil {
				t.Fatal(err)
			}
			got, err := open(t, filepath.Join(dir, "r.o")).Contents(".debug_fields")
			if err != nil {
				t.Fatal(err)
			}
			undefined, err := open(t, object).Contents(".debug_fields")
			if err != nil {
				t.Fatal(err)
			}
			for at := uint64(0); at < uint64(len(want.Data)); {
				size := map[uint64]int{0: 4, 4: 1, 5: 4, 9: 1, 10: 4, 14: 8}[at]
				if w, g := want.Uint(at, size), got.Uint(at, size); w != g {
					t.Errorf("field at %d is %#x, ld makes it %#x", at, g, w)
				}
				if g := undefined.Uint(at, size); size > 1 && at != 10 && g != elf.NoAddress {
					t.Errorf("field at %d with an undefined symbol is %#x", at, g)
				}
				at += uint64(size)
			}
			if g := got.Uint(10, 4); g != 77 {
				t.Errorf("field without a relocation is %d", g)
			}
		})
	}
}

// TestContentsRelocatedTwice refuses two relocation sections for one debug section.
func TestContentsRelocatedTwice(t *testing.T) {
	data, err := os.ReadFile("testdata/basic-gcc-x86_64.o")
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, "testdata/basic-gcc-x86_64.o")
	line, info := f.Section(".rela.debug_line"), f.Section(".debug_info")
	binary.LittleEndian.PutUint32(data[f.HeadersOffset()+uint64(line)*64+44:], uint32(info))
	damaged, err := elf.New(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := damaged.Contents(".debug_info"); err == nil {
		t.Error("no error")
	}
}

// TestStrings reads .modinfo, which modpost writes, and .comment, which compilers write.
func TestStrings(t *testing.T) {
	dir := t.TempDir()
	assembly, object := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o")
	source := `
	.section .modinfo, "a", @progbits
	.asciz "license=GPL", "vermagic=6.1.0 SMP mod_unload ", "ver=1", "empty="
	.byte 0, 0
	.asciz "name=x"
	.ascii "cut=short"
	.section .comment, "MS", @progbits, 1
	.asciz "", "GCC: (Debian 12.2.0-14) 12.2.0", "Linker: LLD 19.1.7"
`
	if err := os.WriteFile(assembly, []byte(source), 0o666); err != nil {
		t.Fatal(err)
	}
	must(t, "as", "-o", object, assembly)
	f := open(t, object)
	for key, want := range map[string]string{
		"license": "GPL", "vermagic": "6.1.0 SMP mod_unload ", "ver": "1", "empty": "", "name": "x", "cut": "", "missing": "", "": "",
	} {
		if got := f.Modinfo(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	comments := []string{"GCC: (Debian 12.2.0-14) 12.2.0", "Linker: LLD 19.1.7"}
	if d := diff.Diff(comments, f.Comments()); d != "" {
		t.Errorf("comments (-want +got):\n%s", d)
	}
	if got := open(t, "testdata/groups-clang-arm64.o").Modinfo("license"); got != "" {
		t.Errorf("license of an object without .modinfo is %q", got)
	}
}

// TestBytes compares the bytes of symbols with those that objcopy extracts from the section.
func TestBytes(t *testing.T) {
	for _, path := range []string{
		"testdata/basic-gcc-x86_64.o", "testdata/thumb-gcc-arm.o",
		"testdata/relocs-gcc-x86_64.elf",
	} {
		f := open(t, path)
		syms, err := f.Symtab()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for id := elf.SymID(1); int(id) < syms.Len(); id++ {
			s, err := syms.At(id)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Defined() || s.Size == 0 || f.Sections[s.Section].NoBits() {
				continue
			}
			section := f.Sections[s.Section]
			dir := t.TempDir()
			out := filepath.Join(dir, "section")
			must(
				t,
				gnu(arch(path))+"objcopy",
				"--dump-section",
				section.Name+"="+out,
				path,
				filepath.Join(dir, "copy"),
			)
			want, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			at := f.CodeAddress(&s) - section.Addr
			if d := diff.Diff(want[at:at+s.Size], f.Bytes(&s)); d != "" {
				t.Errorf("%s: %s (-objcopy +kas):\n%s", path, s.Name, d)
			}
			seen++
		}
		if seen < 3 {
			t.Errorf("%s: %d symbols", path, seen)
		}
	}
}
