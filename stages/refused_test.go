package stages

import (
	stdelf "debug/elf"
	"path/filepath"
	"strings"
	"testing"

	"kas/pipeline"
)

// TestRefusedObjects: an object of a machine that kas does not know, or without machine code, is
// one error that says so. The machines are those that readelf -h shows.
func TestRefusedObjects(t *testing.T) {
	want := map[string]string{
		"refused/clang-riscv32.o":     "machine 243 (riscv, 32-bit) is not supported",
		"refused/clang-loongarch32.o": "machine 258 (loongarch, 32-bit) is not supported",
		"refused/clang-powerpc.o":     "machine 20 (powerpc, 32-bit) is not supported",
		"refused/clang-sparc.o":       "machine 2 (sparc, 32-bit) is not supported",
		"refused/clang-sparc64.o":     "machine 43 (sparcv9, 64-bit) is not supported",
		"refused/clang-m68k.o":        "machine 4 (68k, 32-bit) is not supported",
		"basic-clang-powerpc64.o": "machine 21 (powerpc64, big-endian, ABI version 1) " +
			"is not supported",
		"refused/slim-gcc.o":      "intermediate code of link-time optimization (GCC, -flto)",
		"refused/bitcode-clang.o": "intermediate code of link-time optimization (LLVM bitcode)",
	}
	refused, err := filepath.Glob("../elf/testdata/refused/*.o")
	if err != nil || len(refused) != len(want)-1 {
		t.Fatalf("%d objects, %v", len(refused), err)
	}
	for name, text := range want {
		b := build()
		b.objects = []pipeline.Object{{Name: "x.o", Path: "../elf/testdata/" + name}}
		errs := b.run(t, Read, see(func(b *pipeline.Build) {
			if n := len(b.Objects[0].Symbols); n > 0 {
				t.Errorf("%s: %d symbols count", name, n)
			}
		}))
		if len(errs) != 1 || !strings.Contains(errs[0], text) {
			t.Errorf("%s: %q, want %q", name, errs, text)
		}
	}
}

// TestExecutableData: in a .data with code, an object is not code. Only functions are, and labels
// between _stext and _etext. The types are those in the symbol table.
func TestExecutableData(t *testing.T) {
	const path = "../elf/testdata/wax-gcc-x86_64.elf"
	f, err := stdelf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags := f.Section(".data").Flags; flags&stdelf.SHF_EXECINSTR == 0 {
		t.Fatalf(".data has the flags %v", flags)
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, s := range symbols {
		if typ := stdelf.ST_TYPE(s.Info); typ != stdelf.STT_FILE {
			want[s.Name] = typ == stdelf.STT_FUNC
		}
	}
	want["_stext"], want["text_label"] = true, true
	b := build()
	b.objects = []pipeline.Object{{Name: "vmlinux", Path: path, Vmlinux: true}}
	errs := b.run(t, Read, see(func(b *pipeline.Build) {
		for _, s := range b.Objects[0].Symbols {
			if code, ok := want[s.Name]; !ok || s.Code != code {
				t.Errorf("%s is code: %v", s.Name, s.Code)
			}
			delete(want, s.Name)
		}
	}))
	if len(errs) > 0 || len(want) > 0 {
		t.Errorf("errors %q; not seen: %v", errs, want)
	}
}
