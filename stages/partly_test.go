package stages

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/need"
	"kas/pipeline"
)

// sh runs a command in a folder.
func sh(t *testing.T, dir, command string) {
	t.Helper()
	c := exec.Command("/bin/sh", "-e", "-c", command)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

const (
	partFunction = "static int part_var = 3;\n" +
		"static __attribute__((noinline)) int part_show(int x)\n" +
		"{\n\tasm volatile(\"\");\n\treturn x * 3 + part_var++;\n}\n"
	partAssembly = ".text\n.type part_show,@function\npart_show: ret\n.size part_show,1\n"
)

// TestPartlyKnown: a module of which some files have debugging information. The expected files are
// those that were compiled: the linker cannot change what the source is.
func TestPartlyKnown(t *testing.T) {
	need.Tools(t, "gcc", "clang-19", "ld", "ld.lld-19", "eu-strip")
	for _, c := range []struct {
		name string
		make string
		want []string
	}{
		{
			"gcc, one of two without -g",
			"gcc -O2 -g -fno-pic -c a/one.c -o one.o; gcc -O2 -fno-pic -c b/two.c -o two.o; ld -r one.o two.o -o m.ko",
			[]string{
				"part_show a/one.c:2 subprogram", "part_show two.c:0 file symbol",
				"part_var a/one.c:1 variable", "part_var two.c:0 file symbol",
			},
		}, {
			"clang and lld, one of two without -g",
			"clang-19 -O2 -fno-pic -c a/one.c -o one.o; clang-19 -O2 -g -fno-pic -c b/two.c -o two.o; ld.lld-19 -r one.o two.o -o m.ko",
			[]string{
				"part_show one.c:0 file symbol", "part_show b/two.c:2 subprogram",
				"part_var one.c:0 file symbol", "part_var b/two.c:1 variable",
			},
		}, {
			"lld puts assembly below the file symbol of two.c",
			"clang-19 -O2 -g -fno-pic -c a/one.c -o one.o; clang-19 -O2 -g -fno-pic -c b/two.c -o two.o;" +
				"clang-19 -c c/three.S -o three.o; ld.lld-19 -r one.o two.o three.o -o m.ko",
			[]string{
				"part_show a/one.c:2 subprogram", "part_show b/two.c:2 subprogram",
				"part_show :0  not in the debugging information",
				"part_var a/one.c:1 variable", "part_var b/two.c:1 variable",
			},
		}, {
			"lld, no debugging information: assembly has a name of two.c, and one without a type",
			"clang-19 -O2 -fno-pic -c a/one.c -o one.o; clang-19 -O2 -fno-pic -c b/two.c -o two.o;" +
				"clang-19 -c c/three.S -o three.o; clang-19 -c c/four.S -o four.o;" +
				"ld.lld-19 -r one.o two.o three.o four.o -o m.ko",
			[]string{
				"part_show one.c:0 file symbol", "part_show two.c:0 file symbol",
				"part_show :0  no debugging information", "part_untyped :0  no debugging information",
				"part_untyped :0  no debugging information",
				"part_var one.c:0 file symbol", "part_var two.c:0 file symbol",
			},
		}, {
			"lld, no debugging information: assembly is below the sections of one.c",
			"clang-19 -O2 -fno-pic -c a/one.c -o one.o; clang-19 -O2 -fno-pic -c b/two.c -o two.o;" +
				"clang-19 -c c/five.S -o five.o; cp five.o six.o;" +
				"ld.lld-19 -r one.o five.o six.o two.o -o m.ko",
			[]string{
				"part_show one.c:0 file symbol", "part_show two.c:0 file symbol",
				"part_typed :0  no debugging information", "part_typed :0  no debugging information",
				"part_var one.c:0 file symbol", "part_var two.c:0 file symbol",
			},
		}, {
			"lld puts assembly below the file symbol of two.c, which has no -g",
			"clang-19 -O2 -g -fno-pic -c a/one.c -o one.o; clang-19 -O2 -fno-pic -c b/two.c -o two.o;" +
				"clang-19 -c c/three.S -o three.o; clang-19 -c c/four.S -o four.o;" +
				"ld.lld-19 -r one.o two.o three.o four.o -o m.ko",
			[]string{
				"part_show a/one.c:2 subprogram", "part_show two.c:0 file symbol",
				"part_show :0  not in the debugging information",
				"part_untyped :0  not in the debugging information",
				"part_untyped :0  not in the debugging information",
				"part_var a/one.c:1 variable", "part_var two.c:0 file symbol",
			},
		}, {
			"ld gives assembly a file symbol of its own",
			"gcc -O2 -g -fno-pic -c a/one.c -o one.o; gcc -O2 -g -fno-pic -c b/two.c -o two.o;" +
				"gcc -c c/three.S -o three.o; ld -r one.o two.o three.o -o m.ko",
			[]string{
				"part_show a/one.c:2 subprogram", "part_show b/two.c:2 subprogram",
				"part_show :0  not in the debugging information",
				"part_var a/one.c:1 variable", "part_var b/two.c:1 variable",
			},
		}, {
			"clang, line tables only: no variables",
			"clang-19 -O2 -gmlt -fno-pic -c a/one.c -o one.o; clang-19 -O2 -gmlt -fno-pic -c b/two.c -o two.o;" +
				"ld.lld-19 -r one.o two.o -o m.ko",
			[]string{
				"part_show a/one.c:4 line", "part_show b/two.c:4 line",
				"part_var one.c:0 file symbol", "part_var two.c:0 file symbol",
			},
		},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"a/one.c":   partFunction + "int one(int x) { return part_show(x); }\n",
			"b/two.c":   partFunction + "int two(int x) { return part_show(x); }\n",
			"c/three.S": partAssembly + "part_untyped: nop\n",
			"c/four.S":  ".text\npart_untyped: nop\n",
			"c/five.S":  strings.ReplaceAll(partAssembly, "show", "typed"),
		} {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		sh(t, dir, c.make)
		slices.Sort(c.want)
		if diff := cmp.Diff(c.want, partlyLocated(t, dir)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if !strings.Contains(c.make, " -g") {
			continue // there is no debug file to make
		}
		sh(t, dir, "eu-strip -f m.ko.debug m.ko")
		if diff := cmp.Diff(c.want, partlyLocated(t, dir)); diff != "" {
			t.Errorf("%s, with a debug file (-want +got):\n%s", c.name, diff)
		}
	}
}

// partlyLocated resolves m.ko in a folder and returns its symbols with their locations or reasons.
func partlyLocated(t *testing.T, dir string) (got []string) {
	t.Helper()
	b := files(t)
	b.Alias.Symbols, b.Alias.Line = "all", "declaration"
	b.objects = []pipeline.Object{{Name: "m.ko", Path: filepath.Join(dir, "m.ko")}}
	errs := b.run(t, Read, Dedupe, Normalize, Resolve, see(func(b *pipeline.Build) {
		o := &b.Objects[0]
		for _, d := range o.Duplicates {
			name, l := o.Symbols[d.Symbol].Name, d.Location
			if !strings.HasPrefix(name, "part_") {
				continue
			}
			got = append(got, strings.TrimSpace(strings.Join([]string{
				fmt.Sprintf("%s %s:%d", name, l.File, l.Line), l.Method, d.Reason,
			}, " ")))
		}
	}))
	if len(errs) > 0 {
		t.Errorf("errors %q", errs)
	}
	slices.Sort(got)
	return got
}

// TestAssembledTable: the table of an object that no linker made begins with a file symbol, and
// section symbols may come before the functions of the file.
func TestAssembledTable(t *testing.T) {
	need.Tools(t, "gcc", "clang-19")
	for _, compiler := range []string{"gcc", "clang-19"} {
		dir := t.TempDir()
		source := filepath.Join(dir, "one.c")
		text := partFunction + "int one(void) { return part_show(1); }\n"
		if err := os.WriteFile(source, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		sh(t, dir, compiler+" -O2 -fno-pic -c one.c -o m.ko")
		b := files(t)
		b.objects = []pipeline.Object{{Name: "m.ko", Path: filepath.Join(dir, "m.ko")}}
		found := 0
		b.run(t, Read, see(func(b *pipeline.Build) {
			o := &b.Objects[0]
			for _, s := range o.Symbols {
				if !s.Local {
					continue
				}
				if found++; o.Files[s.File] != "one.c" {
					t.Errorf("%s: %s of %q", compiler, s.Name, o.Files[s.File])
				}
			}
		}))
		if found != 2 {
			t.Errorf("%s: %d local symbols", compiler, found)
		}
	}
}

// TestSameTables: without debugging information, nothing distinguishes a function of assembly that
// LLD put below the file symbol of two.c from one that an asm statement of two.c defines. Both get
// two.c.
func TestSameTables(t *testing.T) {
	need.Tools(t, "clang-19", "ld.lld-19")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"one.c":     "static int var = 3;\nint one(void) { return var++; }\n",
		"two.c":     "int two(int x) { return x; }\n",
		"asm/two.c": "int two(int x) { return x; }\n__asm__(" + strconv.Quote(partAssembly) + ");\n",
		"three.S":   partAssembly,
	} {
		if err := os.MkdirAll(filepath.Join(dir, "asm"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	sh(t, dir, "for f in one.c two.c three.S asm/two.c; do"+
		" clang-19 -O2 -fno-pic -c $f -o ${f%.*}.o; done;"+
		" ld.lld-19 -r one.o two.o three.o -o assembly.ko; ld.lld-19 -r one.o asm/two.o -o asm.ko")
	var tables [2][]string
	for i, name := range []string{"assembly.ko", "asm.ko"} {
		f, err := elf.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		symbols, err := f.Symbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			tables[i] = append(tables[i], fmt.Sprint(s.Name, s.Info, s.Section, s.Size))
		}
		b := files(t)
		b.objects = []pipeline.Object{{Name: name, Path: filepath.Join(dir, name)}}
		b.run(t, Read, see(func(b *pipeline.Build) {
			o := &b.Objects[0]
			for _, s := range o.Symbols {
				if s.Name == "part_show" && o.Files[s.File] != "two.c" {
					t.Errorf("%s: part_show of %q", name, o.Files[s.File])
				}
			}
		}))
	}
	if diff := cmp.Diff(tables[0], tables[1]); diff != "" {
		t.Errorf("the tables differ (-assembly +asm):\n%s", diff)
	}
}
