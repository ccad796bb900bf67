package kbuild

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every spelling of a module's link that ld accepts gives the module its aliases, and what kas does
// not understand fails.
func TestLinkSpellings(t *testing.T) {
	eachSuite(t, linkers, func(t *testing.T, s suite) {
		k := newKernel(t, s)
		inputs := "drivers/b.o drivers/b.mod.o"
		k.write("link.rsp", "-r -m elf_x86_64 -T scripts/module.lds -o drivers/b.ko "+inputs+"\n")
		k.write("inner.rsp", inputs)
		k.write("outer.rsp", "-r  '-o' \"drivers/b.ko\"\n@inner.rsp")
		abs := k.path("drivers/b.ko")
		for _, args := range []string{
			"-r -o drivers/b.ko " + inputs,
			"-r -odrivers/b.ko " + inputs,
			"-r --output drivers/b.ko " + inputs,
			"-r --output=drivers/b.ko " + inputs,
			"--relocatable -o ./drivers/b.ko " + inputs,
			"-r -o drivers/../drivers/b.ko " + inputs,
			"-r -o " + abs + " " + inputs,
			"-r -o drivers/b.ko ./drivers/b.o drivers/b.mod.o",
			"-r -o first.ko -o drivers/b.ko " + inputs, // the last one counts
			inputs + " -o drivers/b.ko -r",
			"@link.rsp",
			"@outer.rsp",
			"-i -o drivers/b.ko " + inputs,              // GNU ld only
			"-Ur -o drivers/b.ko " + inputs,             // GNU ld only
			"--relocat --outp drivers/b.ko " + inputs,   // GNU ld only
			"-dr -o drivers/b.ko " + inputs,             // GNU ld only
			"-dro drivers/b.ko " + inputs,               // refused
			"-r -o drivers/b.ko part.o drivers/b.mod.o", // refused
		} {
			os.Remove(k.path("drivers/b.ko"))
			r := k.runEnv(nil, "kas", append([]string{"ld"}, strings.Fields(args)...)...)
			if r.status != 0 {
				gnuOnly := s.name != "gnu" && !strings.Contains(r.stderr, "kas:")
				refused := strings.Contains(r.stderr, "kas: ld: ")
				if !gnuOnly && !refused || k.exists("drivers/b.ko") {
					t.Errorf("%s: exit %d\n%s", args, r.status, r.stderr)
				}
				continue
			}
			names := k.ok(k.run("nm", "drivers/b.ko"))
			if !strings.Contains(names, " name_show@drivers_b_main_c_") {
				t.Errorf("%s: exit 0 without aliases", args)
			}
		}
		for _, args := range []string{
			"-r -o drivers/b.ko part.o drivers/b.mod.o", "-dro drivers/b.ko " + inputs,
		} {
			k.refused(k.runEnv(nil, "kas", append([]string{"ld"}, strings.Fields(args)...)...),
				`drivers/b\.ko|-dro`)
		}
	})
}

// The arguments of response files are those that GNU ld reads.
func TestSplitArgs(t *testing.T) {
	for text, want := range map[string][]string{
		"":                    nil,
		" a\tb\n c ":          {"a", "b", "c"},
		`'a b' "c d"e`:        {"a b", "c de"},
		`a\ b "c\"d" '' x\\y`: {"a b", `c"d`, "", `x\y`},
		`"it's" 'say "x"'`:    {"it's", `say "x"`},
	} {
		if have := splitArgs(text); !slices.Equal(have, want) {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
	missing := "@" + filepath.Join(t.TempDir(), "nosuch")
	if have := expand([]string{missing}, 0); !slices.Equal(have, []string{missing}) {
		t.Errorf("a missing file: %q", have)
	}
}

// A copy that cannot be written fails the link, also if its object has no debugging information.
func TestCopyNotWritten(t *testing.T) {
	k := newKernel(t, gnu)
	k.write("drivers/b.c", `int ext(int);
static __attribute__((noinline)) int name_show(int x) { return ext(x) + 1; }
int b_main(int x) { return name_show(x); }
`)
	k.ok(k.run("gcc", "-O2", "-c", "-o", "drivers/b_main.o", "drivers/b.c"))
	k.ok(k.run("ld", "-r", "-o", "drivers/b.o", "drivers/b_main.o"))
	if err := os.MkdirAll(k.path("drivers/.tmp_b.o.kas/x"), 0o755); err != nil {
		t.Fatal(err)
	}
	k.refused(k.kasLD(module("drivers/b")), `drivers/b\.o`)
	if k.exists("drivers/b.ko") {
		t.Error("drivers/b.ko is linked without its aliases")
	}
}
