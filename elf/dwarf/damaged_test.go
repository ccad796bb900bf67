package dwarf_test

import (
	"bytes"
	"context"
	stdelf "debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"kas/elf"
	"kas/elf/dwarf"
)

// TestDamaged changes single fields of a linked object, which has no relocations. The object is
// refused, or functions have no file; no function gets a wrong location.
func TestDamaged(t *testing.T) {
	const (
		refused  = "refused"  // a FormatError
		nowhere  = "nowhere"  // no function has a file
		located  = "located"  // the damage does not matter
		survived = "survived" // anything but a crash
	)
	// Offsets of fields are from llvm-dwarfdump -v.
	for _, test := range []struct {
		what, section string
		at            int
		bytes         string
		want          string
	}{
		{"unit length past the end", ".debug_info", 0, "\x99", refused},
		{"unit length 0", ".debug_info", 0, "\x00", refused},
		{"unit length 1", ".debug_info", 0, "\x01", refused},
		{"unit length reserved", ".debug_info", 0, "\xf0\xff\xff\xff", refused},
		{"unit length of 64 bits", ".debug_info", 0, "\xff\xff\xff\xff", refused},
		{"unit length cuts the unit entry", ".debug_info", 0, "\x10", refused},
		{"unit length cuts a function", ".debug_info", 0, "\x34", refused},
		{"version 1", ".debug_info", 4, "\x01", refused},
		{"version 6", ".debug_info", 4, "\x06", refused},
		{"version 4, whose header is another", ".debug_info", 4, "\x04", refused},
		{"unit of a type unknown", ".debug_info", 6, "\x7f", survived},
		{"skeleton unit", ".debug_info", 6, "\x04", survived},
		{"address size 0", ".debug_info", 7, "\x00", refused},
		{"address size 3", ".debug_info", 7, "\x03", refused},
		{"address size 4", ".debug_info", 7, "\x04", survived},
		{"abbreviations outside", ".debug_info", 8, "\x00\x00\x00\x01", refused},
		{"abbreviations nowhere", ".debug_info", 8, "\xff\xff\xff\xff", refused},
		{"abbreviation of the unit unknown", ".debug_info", 12, "\x63", refused},
		{"no unit entry", ".debug_info", 12, "\x00", survived},
		{"strings outside", ".debug_info", 17, "\xff\xff\xff\xff", survived},
		{"line table outside", ".debug_info", 21, "\x00\x00\x00\x01", nowhere},
		{"line table nowhere", ".debug_info", 21, "\xff\xff\xff\xff", nowhere},
		{"line table in the middle of the other", ".debug_info", 21, "\x05", nowhere},
		{"range list unknown", ".debug_info", 34, "\x7f", survived},              // found by the file symbol
		{"addresses outside", ".debug_info", 35, "\xff\xff\xff\xff", survived},   // found by the file symbol
		{"range lists outside", ".debug_info", 39, "\xff\xff\xff\xff", survived}, // found by the file symbol
		{"abbreviation of a function unknown", ".debug_info", 0x2f, "\x63", refused},
		{"abbreviation that never ends", ".debug_info", 0x2f, strings.Repeat("\x80", 0x9c-0x2f), refused},
		{"address index", ".debug_info", 0x30, "\x7f", survived},
		{"frame base longer than the unit", ".debug_info", 0x35, "\x7f", refused},
		{"name index", ".debug_info", 0x37, "\x7f", located},
		{"file number", ".debug_info", 0x38, "\x7f", survived},
		{"abbreviation without an end", ".debug_abbrev", 0, strings.Repeat("\x01", 0x88), refused},
		{"form unknown", ".debug_abbrev", 4, "\x7e", refused},
		{"line table length past the end", ".debug_line", 0, "\xa3", nowhere},
		{"line table length 64 bits", ".debug_line", 0, "\xff\xff\xff\xff", nowhere},
		{"line table version 1", ".debug_line", 4, "\x01", nowhere},
		{"line table version 6", ".debug_line", 4, "\x06", nowhere},
		{"line table address size", ".debug_line", 6, "\x03", nowhere},
		{"line table header longer than the table", ".debug_line", 8, "\xff", nowhere},
		{"line table header that wraps", ".debug_line", 8, "\xff\xff\xff\xff", nowhere},
		{"line table header shorter than its tables", ".debug_line", 8, "\x05", nowhere},
		{"line range 0", ".debug_line", 16, "\x00", nowhere},
		{"opcode base 0", ".debug_line", 17, "\x00", nowhere},
		{"opcode base past the end", ".debug_line", 17, "\xff", nowhere},
		{"folder form unknown", ".debug_line", 32, "\x7e", nowhere},
		{"folders past the end", ".debug_line", 33, "\x7f", nowhere},
		// One content type with a form without bytes, and more entries than fit in memory.
		{"endless files of no size", ".debug_line", 30, "\x01\x01\x19\xff\xff\xff\xff\xff\xff\xff\xff\x7f", nowhere},
		{"folder name outside", ".debug_line", 34, "\xff\xff\xff\xff", survived},
		{"extended opcode past the end", ".debug_line", 0x46, "\x7f", located},
		{"extended opcode of no size", ".debug_line", 0x46, "\x00", located},
		{"program of one opcode", ".debug_line", 0x43, strings.Repeat("\xff", 0xa6-0x43), located},
		{"strings without an end", ".debug_line_str", 0, strings.Repeat("x", 0x11), nowhere},
	} {
		data, err := os.ReadFile("../testdata/icf-clang-x86_64.elf")
		if err != nil {
			t.Fatal(err)
		}
		copy(data[offset(t, data, test.section)+test.at:], test.bytes)
		survive(t, data)
		got, err := locateFunctions(data)
		var format *elf.FormatError
		switch {
		case err != nil && (!errors.As(err, &format) || format.Offset > uint64(len(data)) ||
			strings.ContainsAny(err.Error(), "\n\x00")):
			t.Errorf("%s: error %q, want a FormatError of one line", test.what, err)
		case test.want == refused && err == nil:
			t.Errorf("%s: %+v, want an error", test.what, got)
		case test.want == nowhere && err == nil && len(got) > 0,
			test.want == located && (err != nil || len(got) == 0):
			t.Errorf("%s: %+v and error %v, want %s", test.what, got, err, test.want)
		}
	}
}

// locateFunctions returns the locations that have a file.
func locateFunctions(data []byte) ([]dwarf.Location, error) {
	f, err := elf.New(data)
	if err != nil {
		return nil, err
	}
	d, err := dwarf.New(f)
	if err != nil || d == nil {
		return nil, err
	}
	targets, _, err := symbolTargets(f)
	if err != nil {
		return nil, err
	}
	all, err := d.Locate(context.Background(), targets)
	var named []dwarf.Location
	for _, l := range all {
		if l.File != "" {
			named = append(named, l)
		}
	}
	return named, err
}

// offset returns the file offset of a section.
func offset(t *testing.T, data []byte, section string) int {
	t.Helper()
	return int(header(t, data, section).Offset)
}

func header(t *testing.T, data []byte, section string) *stdelf.Section {
	t.Helper()
	f, err := stdelf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	s := f.Section(section)
	if s == nil {
		t.Fatalf("no section %s", section)
	}
	return s
}

// TestDamagedEverywhere damages the debug sections of objects of every kind, and their relocations,
// byte by byte. Not in parallel: survive measures what the whole process allocates.
func TestDamagedEverywhere(t *testing.T) {
	for _, name := range []string{
		"basic-gcc-x86_64.o", "dwarf4-gcc-s390x.o", "basic-clang-x86_64.o", "basic-gcc-riscv64.o", "basic-clang-loongarch64.o",
		"basic-gcc-i386.o", "zlib-gcc-i386.o", "zstd-gcc-x86_64.o", "lto-gcc-x86_64.o", "asm-clang-arm64.o", "basic-gcc-mips64.o",
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile("../testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			headers, err := stdelf.NewFile(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			const step = 5 // coprime to the sizes of fields
			for _, s := range headers.Sections {
				if !strings.Contains(s.Name, ".debug_") {
					continue
				}
				content := data[s.Offset:][:s.FileSize]
				original := bytes.Clone(content)
				for _, fill := range []byte{0, 0x80, 0xff} {
					for i := range content {
						content[i] = fill
					}
					survive(t, data)
				}
				copy(content, original)
				for i := 0; i < len(content); i += step {
					content[i] ^= 1 << (i % 8)
					survive(t, data)
					content[i] = 0xff
					survive(t, data)
					content[i] = original[i]
				}
			}
		})
	}
}

// TestDamagedCompression wants an error for a section that cannot be decompressed, and no memory
// for the size that it claims.
func TestDamagedCompression(t *testing.T) {
	for _, name := range []string{
		"zlib-gcc-x86_64.o", "zstd-gcc-x86_64.o", "zlib-gcc-s390x.o", "zlib-gcc-i386.o",
	} {
		original, err := os.ReadFile("../testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		s := header(t, original, ".debug_info")
		var order binary.ByteOrder = binary.LittleEndian
		if original[5] == 2 {
			order = binary.BigEndian
		}
		put := func(at int, v uint64) func([]byte) {
			return func(section []byte) {
				if original[4] == 1 {
					order.PutUint32(section[at:], uint32(v))
				} else {
					order.PutUint64(section[at:], v)
				}
			}
		}
		size := 8 // of ch_size in Elf64_Chdr
		if original[4] == 1 {
			size = 4
		}
		for what, do := range map[string]func(section []byte){
			"type unknown":        func(section []byte) { order.PutUint32(section, 77) },
			"the other type":      func(section []byte) { order.PutUint32(section, order.Uint32(section)^3) },
			"size huge":           put(size, 1<<62|1<<31),
			"size too large":      put(size, s.Size+1),
			"size much too large": put(size, 900*s.FileSize),
			"no content":          func(section []byte) { clear(section[24:]) },
			"damaged in the middle": func(section []byte) {
				copy(section[len(section)/2:], bytes.Repeat([]byte{0x55}, len(section)/4))
			},
		} {
			data := bytes.Clone(original)
			do(data[s.Offset:][:s.FileSize])
			survive(t, data)
			_, err := locateFunctions(data)
			var format *elf.FormatError
			if !errors.As(err, &format) || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%s: %s: got %v, want a FormatError", name, what, err)
			}
		}
	}
}
