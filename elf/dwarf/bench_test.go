package dwarf_test

import (
	"context"
	"path/filepath"
	"testing"

	"kas/elf"
	"kas/elf/dwarf"
)

func BenchmarkLocate(b *testing.B) {
	for _, name := range []string{
		"ko-gcc-x86_64.o", "ko-clang-x86_64.o", "ko-gcc-mips64.o", "basic-gcc-riscv64.o",
		"zstd-gcc-x86_64.o",
	} {
		b.Run("object="+name, func(b *testing.B) {
			f, err := elf.Open(filepath.Join("../testdata", name))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			targets, _, err := symbolTargets(f)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				d, err := dwarf.New(f)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Locate(context.Background(), targets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
