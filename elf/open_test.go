package elf_test

import (
	"bytes"
	"compress/gzip"
	stdelf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"kas/elf"
)

// TestOpenCompressed opens a module in every form that distributions ship. It is the same object
// each time.
func TestOpenCompressed(t *testing.T) {
	const path = "testdata/ko-gcc-x86_64.o"
	plain := open(t, path)
	object, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	aliases := chooseAliases(t, path)
	want := rewrite(t, plain, aliases)
	compress := map[string]func(t *testing.T) []byte{
		"xz": func(t *testing.T) []byte {
			return []byte(
				must(t, "xz", "--check=crc32", "--lzma2=dict=1MiB", "-c", path),
			) // as Makefile.modinst does
		},
		"xz-bcj": func(t *testing.T) []byte {
			return []byte(must(t, "xz", "--check=crc32", "--x86", "--lzma2=dict=1MiB", "-c", path))
		},
		"zst": func(t *testing.T) []byte {
			w, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			return w.EncodeAll(object, nil)
		},
		"gz": func(t *testing.T) []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			w.Write(object)
			w.Close()
			return b.Bytes()
		},
	}
	for form, do := range compress {
		t.Run(form, func(t *testing.T) {
			packed := do(t)
			file := filepath.Join(t.TempDir(), "module.ko."+form)
			if err := os.WriteFile(file, packed, 0o666); err != nil {
				t.Fatal(err)
			}
			f := open(t, file)
			if f.Size() != int64(len(object)) {
				t.Errorf("size %d, want %d", f.Size(), len(object))
			}
			f.Forget() // must not touch what cannot be read again
			if d := diff.Diff(plain.Sections, f.Sections); d != "" {
				t.Errorf("sections (-plain +%s):\n%s", form, d)
			}
			if d := diff.Diff(listing(t, plain), listing(t, f)); d != "" {
				t.Errorf("symbols (-plain +%s):\n%s", form, d)
			}
			if !bytes.Equal(rewrite(t, f, aliases), want) ||
				!bytes.Equal(rewrite(t, f, nil), object) {
				t.Error("rewritten to another object")
			}
			for _, size := range []int{8, len(packed) / 2, len(packed) - 9} {
				if err := os.WriteFile(file, packed[:size], 0o666); err != nil {
					t.Fatal(err)
				}
				checkFormatError(
					t,
					file,
					fmt.Sprintf("cut to %d of %d bytes", size, len(packed)),
					int64(len(object)),
				)
			}
		})
	}
}

// checkFormatError opens a damaged file and reads all of it. The error must be a FormatError of one
// line with an offset of at most size.
func checkFormatError(t *testing.T, path, what string, size int64) {
	t.Helper()
	err := readAll(path)
	var format *elf.FormatError
	switch {
	case !errors.As(err, &format):
		t.Errorf("%s: got %v, want a FormatError", what, err)
	case format.Offset > uint64(size):
		t.Errorf("%s: offset %#x of %#x", what, format.Offset, size)
	case format.Msg == "" || strings.ContainsAny(err.Error(), "\n\x00"):
		t.Errorf("%s: message %q", what, err)
	}
}

// readAll reads an object as kas does: headers, symbols, rewriting. Open and OpenTables must give
// the same result.
func readAll(path string) error {
	mapped, tables := readObject(elf.Open(path)), readObject(elf.OpenTables(path))
	if fmt.Sprint(mapped) != fmt.Sprint(tables) {
		return fmt.Errorf("mapped: %v; table by table: %v", mapped, tables)
	}
	return mapped
}

func readObject(f *elf.File, err error) error {
	if err != nil {
		return err
	}
	defer f.Close()
	syms, err := f.Symtab()
	if err != nil {
		return err
	}
	for id := range elf.SymID(syms.Len()) {
		if _, err := syms.At(id); err != nil {
			return err
		}
	}
	plan, err := f.Rewrite([]elf.Alias{{Original: 1, Name: "alias"}})
	if err == nil {
		_, err = plan.WriteTo(io.Discard)
	}
	return err
}

func TestOpenMissing(t *testing.T) {
	dir := t.TempDir()
	_, err := elf.Open(filepath.Join(dir, "missing.o"))
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), dir) {
		t.Errorf("missing file: %v", err)
	}
	checkFormatError(t, dir, "a folder", 0)
}

// TestOpenTruncated cuts off the end of an object, where the section headers are.
func TestOpenTruncated(t *testing.T) {
	for _, name := range []string{
		"groups-gcc-x86_64.o", "groups-clang-arm64.o", "addrsig-clang-arm.o", "asm-gcc-s390x.o",
	} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		sizes := []int{0, 1, 4, 15, 16, 51, 52, 63, len(data) - 1}
		for n := 64; n < len(data); n += 64 {
			sizes = append(sizes, n)
		}
		for _, n := range sizes {
			if err := os.WriteFile(path, data[:n], 0o666); err != nil {
				t.Fatal(err)
			}
			checkFormatError(t, path, fmt.Sprintf("%s cut to %d bytes", name, n), int64(n))
		}
	}
}

// damage changes an ELF64 object. Offsets are those of gABI figures 4-3, 4-8 and 4-16.
type damage struct {
	data                    []byte
	symtab, strtab, reltext int // offsets of section headers
	order                   binary.ByteOrder
}

func (d *damage) put16(at int, v uint16) { d.order.PutUint16(d.data[at:], v) }
func (d *damage) put32(at int, v uint32) { d.order.PutUint32(d.data[at:], v) }
func (d *damage) put64(at int, v uint64) { d.order.PutUint64(d.data[at:], v) }

func (d *damage) symbol(i int) int { return int(d.order.Uint64(d.data[d.symtab+24:])) + 24*i }
func (d *damage) shoff() int       { return int(d.order.Uint64(d.data[40:])) }

func TestOpenDamaged(t *testing.T) {
	const huge = 1 << 62
	table := []struct {
		what string
		do   func(d *damage)
	}{
		{"not ELF", func(d *damage) { copy(d.data, "\x7fELG") }},
		{"class 0", func(d *damage) { d.data[4] = 0 }},
		{"class 3", func(d *damage) { d.data[4] = 3 }},
		{"the other class", func(d *damage) { d.data[4] = 1 }},
		{"byte order 0", func(d *damage) { d.data[5] = 0 }},
		{"byte order 3", func(d *damage) { d.data[5] = 3 }},
		{"no section headers", func(d *damage) { d.put64(40, 0) }},
		{"section headers at the end", func(d *damage) { d.put64(40, uint64(len(d.data))) }},
		{"section headers after the end", func(d *damage) { d.put64(40, uint64(len(d.data))+1) }},
		{"section headers nowhere", func(d *damage) { d.put64(40, huge) }},
		{"section headers at the last address", func(d *damage) { d.put64(40, ^uint64(0)) }},
		{"section header size", func(d *damage) { d.put16(58, 40) }},
		{"section header size 0", func(d *damage) { d.put16(58, 0) }},
		{
			"one section header too many",
			func(d *damage) { d.put16(60, d.order.Uint16(d.data[60:])+1) },
		},
		{"65535 section headers", func(d *damage) { d.put16(60, 0xffff) }},
		{"extended count of 0", func(d *damage) { d.put16(60, 0) }},
		{"extended count huge", func(d *damage) { d.put16(60, 0); d.put64(d.shoff()+32, huge) }},
		{"name table index", func(d *damage) { d.put16(62, 0xfff0) }},
		{
			"extended name table index",
			func(d *damage) { d.put16(62, 0xffff); d.put32(d.shoff()+40, 1<<31) },
		},
		{"name table is no table of names", func(d *damage) { d.put16(62, 0) }},
		{"section name outside", func(d *damage) { d.put32(d.symtab, 1<<30) }},
		{"section after the end", func(d *damage) { d.put64(d.symtab+24, uint64(len(d.data))) }},
		{"section nowhere", func(d *damage) { d.put64(d.symtab+24, huge) }},
		{"section size", func(d *damage) { d.put64(d.symtab+32, uint64(len(d.data))) }},
		{"section size that wraps", func(d *damage) { d.put64(d.symtab+32, ^uint64(0)-16) }},
		{
			"symbol table of another type",
			func(d *damage) { d.put32(d.symtab+4, uint32(stdelf.SHT_PROGBITS)) },
		},
		{"symbol size 0", func(d *damage) { d.put64(d.symtab+56, 0) }},
		{"symbol size of ELF32", func(d *damage) { d.put64(d.symtab+56, 16) }},
		{"symbol size huge", func(d *damage) { d.put64(d.symtab+56, huge) }},
		{
			"half a symbol",
			func(d *damage) { d.put64(d.symtab+32, d.order.Uint64(d.data[d.symtab+32:])-12) },
		},
		{"string table link to the null section", func(d *damage) { d.put32(d.symtab+40, 0) }},
		{"string table link to itself", func(d *damage) {
			d.put32(d.symtab+40, uint32((d.symtab-d.shoff())/64))
		}},
		{"string table link outside", func(d *damage) { d.put32(d.symtab+40, 1<<31) }},
		{"more locals than symbols", func(d *damage) { d.put32(d.symtab+44, 1<<20) }},
		{"symbol name outside", func(d *damage) { d.put32(d.symbol(6), 1<<31) }},
		{"symbol name at the end", func(d *damage) {
			d.put32(d.symbol(6), uint32(d.order.Uint64(d.data[d.strtab+32:])))
		}},
		{"symbol section outside", func(d *damage) { d.put16(d.symbol(6)+6, 200) }},
		{"string table without an end", func(d *damage) {
			d.put64(d.strtab+32, d.order.Uint64(d.data[d.strtab+32:])-1)
		}},
		{"string table empty", func(d *damage) { d.put64(d.strtab+32, 0) }},
		{"relocation size", func(d *damage) { d.put64(d.reltext+56, 16) }},
		{
			"half a relocation",
			func(d *damage) { d.put64(d.reltext+32, d.order.Uint64(d.data[d.reltext+32:])-8) },
		},
		{"relocation against no symbol", func(d *damage) {
			d.put64(int(d.order.Uint64(d.data[d.reltext+24:]))+8, 1<<40|1)
		}},
		{
			"overlapping sections",
			func(d *damage) { d.put64(d.strtab+24, d.order.Uint64(d.data[d.symtab+24:])) },
		},
		{"section in the ELF header", func(d *damage) { d.put64(d.strtab+24, 8) }},
		{"alignment", func(d *damage) { d.put64(d.symtab+48, 24) }},
		{"two tables of section indices", func(d *damage) {
			link := uint32((d.symtab - d.shoff()) / 64)
			for _, section := range []int{1, 2} {
				at := d.shoff() + 64*section
				d.put32(at+4, uint32(stdelf.SHT_SYMTAB_SHNDX))
				d.put32(at+40, link)
				d.put64(at+24, 64)
				d.put64(at+32, 4*64)
			}
		}},
		{"section indices for too few symbols", func(d *damage) {
			at := d.shoff() + 64
			d.put32(at+4, uint32(stdelf.SHT_SYMTAB_SHNDX))
			d.put32(at+40, uint32((d.symtab-d.shoff())/64))
			d.put64(at+32, 4)
		}},
	}
	for _, name := range []string{"basic-gcc-x86_64.o", "basic-gcc-s390x.o"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		headers, err := stdelf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		for _, test := range table {
			d := &damage{data: bytes.Clone(data), order: headers.ByteOrder}
			for i, s := range headers.Sections {
				at := d.shoff() + 64*i
				switch s.Name {
				case ".symtab":
					d.symtab = at
				case ".strtab":
					d.strtab = at
				case ".rela.text":
					d.reltext = at
				}
			}
			test.do(d)
			if err := os.WriteFile(path, d.data, 0o666); err != nil {
				t.Fatal(err)
			}
			checkFormatError(t, path, name+": "+test.what, int64(len(data)))
		}
	}
}

// TestSectionZero gives the null section a type and an offset outside the file. The look-up of a
// section that does not exist must not read it.
func TestSectionZero(t *testing.T) {
	data, err := os.ReadFile("testdata/basic-gcc-x86_64.o")
	if err != nil {
		t.Fatal(err)
	}
	at := binary.LittleEndian.Uint64(data[40:])
	binary.LittleEndian.PutUint32(data[at+4:], uint32(stdelf.SHT_PROGBITS))
	binary.LittleEndian.PutUint64(data[at+24:], 1<<40)
	binary.LittleEndian.PutUint64(data[at+32:], 1<<40)
	if f, err := elf.New(data); err == nil {
		f.Modinfo("vermagic")
		f.Comments()
		t.Error("no error")
	}
}
