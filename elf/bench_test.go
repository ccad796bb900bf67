package elf_test

import (
	"io"
	"path/filepath"
	"testing"

	"kas/elf"
)

var benchmarked = []string{
	"ko-gcc-x86_64.o",
	"ko-clang-x86_64.o",
	"ko-gcc-arm.o",
	"ko-gcc-mips64.o",
}

func BenchmarkSymtab(b *testing.B) {
	for _, name := range benchmarked {
		b.Run("object="+name, func(b *testing.B) {
			f := open(b, filepath.Join("testdata", name))
			b.ReportAllocs()
			for b.Loop() {
				syms, err := f.Symtab()
				if err != nil {
					b.Fatal(err)
				}
				for id := range syms.Len() {
					if _, err := syms.At(elf.SymID(id)); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkRewrite(b *testing.B) {
	for _, name := range benchmarked {
		b.Run("object="+name, func(b *testing.B) {
			path := filepath.Join("testdata", name)
			f := open(b, path)
			aliases := chooseAliases(b, path)
			b.ReportAllocs()
			b.SetBytes(f.Size())
			for b.Loop() {
				plan, err := f.Rewrite(aliases)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := plan.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
