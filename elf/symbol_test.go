package elf_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"kas/elf"
)

// TestSymtab compares every symbol table with the output of readelf -sW.
func TestSymtab(t *testing.T) {
	for _, path := range fixtures(t) {
		t.Run(fixtureName(path), func(t *testing.T) {
			want, err := os.ReadFile("testdata/" + fixtureName(path) + ".readelf.txt")
			if err != nil {
				t.Fatal(err)
			}
			if d := diff.Diff(string(want), listing(t, open(t, path))); d != "" {
				t.Errorf("symbols (-readelf +kas):\n%s", d)
			}
		})
	}
}

// listing prints a symbol table as readelf -sW does.
func listing(t testing.TB, f *elf.File) string {
	t.Helper()
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	width := 8
	fmt.Fprintf(&b, "\nSymbol table '.symtab' contains %d entries:\n", syms.Len())
	if f.Is64 {
		width = 16
		b.WriteString("   Num:    Value          Size Type    Bind   Vis      Ndx Name\n")
	} else {
		b.WriteString("   Num:    Value  Size Type    Bind   Vis      Ndx Name\n")
	}
	for id := elf.SymID(0); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		if local := id < syms.Locals; local != (s.Bind() == 0) {
			t.Errorf("symbol %d of %d local ones has binding %d", id, syms.Locals, s.Bind())
		}
		fmt.Fprintf(
			&b,
			"%6d: %0*x %5d %-7s %-6s %-7s ",
			id,
			width,
			s.Value,
			s.Size,
			symbolType(s.Type()),
			symbolBind(s.Bind()),
			visibility(s.Other),
		)
		// ELF ABI for 64-bit Power, version 2: the local entry point is 2^n bytes after the global
		// one.
		if n := s.Other >> 5; f.Arch() == "powerpc64le" && n > 0 {
			fmt.Fprintf(&b, "[<localentry>: %d]  ", 1<<n)
		}
		name := string(s.Name)
		if name == "" && s.Defined() && s.Type() == 3 {
			name = f.Sections[s.Section].Name
		}
		fmt.Fprintf(&b, "%4s %s\n", sectionIndex(s.Section), name)
	}
	return b.String()
}

func symbolType(n byte) string {
	return [...]string{
		0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 3: "SECTION", 4: "FILE", 5: "COMMON", 6: "TLS",
		10: "IFUNC", 15: "",
	}[n]
}

func symbolBind(n byte) string {
	return [...]string{0: "LOCAL", 1: "GLOBAL", 2: "WEAK", 10: "UNIQUE", 15: ""}[n]
}

func visibility(other byte) string {
	return [...]string{"DEFAULT", "INTERNAL", "HIDDEN", "PROTECTED"}[other&3]
}

func sectionIndex(n uint32) string {
	switch n {
	case elf.Undef:
		return "UND"
	case elf.Abs:
		return "ABS"
	case elf.Common:
		return "COM"
	}
	return fmt.Sprint(n)
}

// gnu returns the prefix of the GNU binutils for an architecture.
func gnu(arch string) string {
	switch arch {
	case "x86_64", "loongarch64": // Debian has none for loongarch, but the native ones read it
		return ""
	case "i386":
		return "i686-linux-gnu-"
	case "arm64":
		return "aarch64-linux-gnu-"
	case "arm":
		return "arm-linux-gnueabihf-"
	case "powerpc64", "powerpc64le":
		return "powerpc64le-linux-gnu-"
	case "mips", "mips64", "mips64el":
		return "mips64-linux-gnuabi64-"
	}
	return arch + "-linux-gnu-"
}

// TestNM compares the whole output with nm -n: letters, addresses, omissions and order.
func TestNM(t *testing.T) {
	for _, path := range fixtures(t) {
		t.Run(fixtureName(path), func(t *testing.T) {
			t.Parallel()
			compareNM(t, path, gnu(arch(path)))
		})
	}
}

func compareNM(t *testing.T, path, tools string) {
	t.Helper()
	want := must(t, tools+"nm", "-n", path)
	got := nmList(t, open(t, path))
	if d := diff.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("(-nm +kas):\n%s", d)
	}
}

// nmList prints the symbols as nm -n does.
func nmList(t *testing.T, f *elf.File) string {
	t.Helper()
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	var list []elf.Symbol
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		if f.NMListed(&s) {
			list = append(list, s)
		}
	}
	undefinedFirst := func(s *elf.Symbol) int {
		if s.Section == elf.Undef {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b elf.Symbol) int {
		return cmp.Or(
			undefinedFirst(&a)-undefinedFirst(&b),
			cmp.Compare(f.NMValue(&a), f.NMValue(&b)),
			bytes.Compare(a.Name, b.Name),
		)
	})
	width := 8
	if f.Is64 {
		width = 16
	}
	var b strings.Builder
	for i := range list {
		s := &list[i]
		if s.Section == elf.Undef {
			fmt.Fprintf(&b, "%*s", width, "")
		} else {
			fmt.Fprintf(&b, "%0*x", width, f.NMValue(s))
		}
		fmt.Fprintf(&b, " %c %s\n", f.NMType(s), s.Name)
	}
	return b.String()
}

// letters has a symbol of every kind for which nm has a letter, in sections of every kind. Every
// assembler of GNU binutils accepts it.
const letters = `
	.text
	.globl global_text
	.type global_text, %function
global_text:
	.long 0
	.weak weak_text
weak_text:
	.type local_text, %function
local_text:
	.long 0
	.data
	.globl global_data
global_data:
local_data:
	.long 0
	.weak weak_object
	.type weak_object, %object
weak_object:
	.long 0
	.type unique, %gnu_unique_object
unique:
	.long 0
	.bss
	.globl global_bss
global_bss:
local_bss:
	.zero 4
	.section .rodata, "a", %progbits
rodata:	.long 0
	.section .sdata.x, "aw", %progbits
sdata:	.long 0
	.section .sbss.x, "aw", %nobits
sbss:	.zero 4
	.section .tdata, "awT", %progbits
tdata:	.long 0
	.section .debug_mine, "", %progbits
debug:	.long 0
	.section .debug_alloc, "a", %progbits
debug_alloc: .long 0
	.section .line.mine, "", %progbits
line:	.long 0
	.section .gdb_index, "", %progbits
gdb_index: .long 0
	.section .comment.mine, "", %progbits
note:	.long 0
	.section .writable, "w", %progbits
writable: .long 0
	.section .unloaded, "", %nobits
unloaded: .zero 4
	.section .pdata, "a", %progbits
	.globl pdata
pdata:	.long 0
	.section .pdata2, "a", %progbits
pdata2:	.long 0
	.section .pdatax, "a", %progbits
pdatax:	.long 0
	.section .idata$1, "a", %progbits
idata:	.long 0
	.section .edata, "a", %progbits
edata:	.long 0
	.section .init.text, "ax", %progbits
init:	.long 0
	.set absolute, 42
	.globl global_absolute
	.set global_absolute, 43
	.weak weak_absolute
	.set weak_absolute, 44
	.comm common, 24, 8
	.comm small, 4, 4
	.weak weak_undefined
	.weak weak_undefined_object
	.type weak_undefined_object, %object
	.data
	.dc.a undefined, weak_undefined, weak_undefined_object
`

// TestNMLetters compares symbols that compilers seldom make with nm.
func TestNMLetters(t *testing.T) {
	marks := map[string]string{ // names that nm omits for some machines
		"arm":     "$a $b $d $t $z $a.1 $ax $1 $",
		"arm64":   "$x $d $m $f $p $x.1 $xa $b $",
		"riscv64": "$x $d $xrv64i $d1 $b .L1 ..x _.L_x .Lx L0 Lx",
		"x86_64":  "$x $d $x.1 ..x",
		"s390x":   "$x $d ..x",
		"mips64":  "$d $x .L1 ..x _.L_x L0 $L1",
	}
	for _, arch := range []string{
		"x86_64", "i386", "arm64", "arm", "riscv64", "s390x", "powerpc64le", "mips64",
	} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			source := letters
			if arch == "x86_64" || arch == "arm64" {
				source += "\t.type resolver, %gnu_indirect_function\n\t.text\nresolver:\n"
			}
			if arch == "arm" {
				source += "\t.text\n\t.thumb\n\t.thumb_func\nthumb:\n\tnop\n"
			}
			for _, name := range strings.Fields(marks[arch]) {
				source += fmt.Sprintf("\t.data\n\t.set \"%s\", . - 0\n", name)
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "letters.o")
			assembly := filepath.Join(dir, "letters.s")
			if err := os.WriteFile(assembly, []byte(source), 0o666); err != nil {
				t.Fatal(err)
			}
			args := []string{"-L", "-o", path, assembly}
			if arch == "mips64" {
				args = append(args, "-G", "8") // common symbols of up to 8 bytes are small
			}
			must(t, gnu(arch)+"as", args...)
			compareNM(t, path, gnu(arch))
		})
	}
}

// TestNMUnnamed removes the name of the last symbol. nm omits such a symbol for riscv only.
func TestNMUnnamed(t *testing.T) {
	for _, name := range []string{"basic-gcc-x86_64", "basic-gcc-riscv64", "basic-gcc-mips64"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile("testdata/" + name + ".o")
			if err != nil {
				t.Fatal(err)
			}
			f := open(t, "testdata/"+name+".o")
			table := f.Sections[f.Section(".symtab")]
			last := table.Offset + table.Size - table.Entsize
			copy(data[last:], []byte{0, 0, 0, 0})
			path := filepath.Join(t.TempDir(), "unnamed.o")
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			compareNM(t, path, gnu(arch(name+".o")))
		})
	}
}
