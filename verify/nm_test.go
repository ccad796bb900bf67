package verify

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/need"
)

// source has every kind of symbol that a C file and inline assembly can have.
const source = `
int com; static int sb; int b2 = 0; static int d1 = 3; const int ro = 4;
static const int sro[4] = {1, 2, 3, 4};
__attribute__((weak)) int wd = 3; __attribute__((weak)) int wf(void) { return 1; }
extern int u(void); extern int wu(void) __attribute__((weak)); extern int wo __attribute__((weak));
static __thread int tl; __thread int tl2 = 4;
__attribute__((section(".init.text"))) int in(void) { return u() + wu() + wo; }
__attribute__((section(".discard.x"))) int dx = 3;
__attribute__((section(".pdata.1"))) int pd = 3;
__attribute__((section(".sdata"))) int sd = 3;
__attribute__((section(".line_x"))) int lx = 3;
static int f(int x) { return x + sb + d1 + sro[x] + tl + com; }
static __attribute__((noinline)) int g(int x) { return x > 3 ? u() + com : wf() + wd + ro; }
int h(int x) { static int sb; sb++; return f(x) + g(x) + sb + tl2 + b2; }
__asm__(".section .foo,\"\"\n.globl foo_g\nfoo_g:\nfoo_l: .long 1\n"
	".section .debug_foo,\"\"\ndbg_l: .long 1\ndbg_l2: .long 1\n"
	".section .foow,\"w\"\nfw: .long 2\n.section .bar,\"\",%nobits\nbarl: .skip 4\n"
	".text\nabs1=5\n.globl abs2\nabs2=6\n");
`

// toolchains has the prefix of nm and objcopy, the compiler and its flags.
var toolchains = []struct{ prefix, cc, flags string }{
	{"", "gcc", "-O2 -g"},
	{"", "gcc", "-O0 -g -fcommon"},
	{"", "gcc", "-O2 -ffunction-sections -fdata-sections"},
	{"", "clang-19", "-O2 -g -ffunction-sections -faddrsig"},
	{"i686-linux-gnu-", "i686-linux-gnu-gcc", "-O2 -g"},
	{"aarch64-linux-gnu-", "aarch64-linux-gnu-gcc", "-O2 -g"},
	{"aarch64-linux-gnu-", "clang-19", "--target=aarch64-linux-gnu -O2 -g"},
	{"arm-linux-gnueabihf-", "arm-linux-gnueabihf-gcc", "-O2 -g -mthumb"},
	{"arm-linux-gnueabihf-", "arm-linux-gnueabihf-gcc", "-O2 -marm"},
	{"riscv64-linux-gnu-", "riscv64-linux-gnu-gcc", "-O2 -g"},
	{"s390x-linux-gnu-", "s390x-linux-gnu-gcc", "-O2 -g"},
	{"powerpc64le-linux-gnu-", "powerpc64le-linux-gnu-gcc", "-O2 -g"},
	{"mips64-linux-gnuabi64-", "mips64-linux-gnuabi64-gcc", "-O2 -g -fcommon"},
	{"mips64el-linux-gnuabi64-", "mips64el-linux-gnuabi64-gcc", "-O2 -g"},
}

// compiled runs f on the object that each toolchain makes of source.
func compiled(t *testing.T, f func(t *testing.T, prefix, object string)) {
	for _, c := range toolchains {
		t.Run(c.cc+" "+c.flags, func(t *testing.T) {
			need.Tools(t, c.cc, c.prefix+"nm", c.prefix+"objcopy")
			dir := t.TempDir()
			in, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.o")
			write(t, in, []byte(source))
			args := append(strings.Fields(c.flags), "-c", in, "-o", out)
			if msg, err := exec.Command(c.cc, args...).CombinedOutput(); err != nil {
				t.Fatalf("%s cannot compile this: %s", c.cc, msg)
			}
			f(t, c.prefix, out)
		})
	}
}

func load(t *testing.T, name string) *image {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parse(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAgreesWithNm(t *testing.T) {
	compiled(t, func(t *testing.T, prefix, object string) {
		cmd := exec.Command(prefix+"nm", "-n", object)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		m := load(t, object)
		var got []byte
		for _, i := range nmOrder(m) {
			s := m.symbol(int(i))
			got = nmLine(got, m, &s, s.name)
		}
		if string(got) != string(want) {
			t.Errorf("got:\n%s\nnm:\n%s", got, want)
		}
	})
}

// TestCompiledObjects: a correct rewrite of a compiled object is accepted. That of objcopy is not:
// it puts aliases last and gives them no size.
func TestCompiledObjects(t *testing.T) {
	compiled(t, func(t *testing.T, prefix, object string) {
		m := load(t, object)
		aliases := map[int]string{}
		add := []string{"--add-symbol", "g@a_c_14=.text:0,function,local"}
		for i := range m.each() {
			if n := m.name(i); slices.Contains([]string{"g", "h", "d1", "in", "wf"}, n) {
				aliases[i] = n + "@a_c_14"
			}
		}
		if len(aliases) < 4 {
			t.Fatalf("only %v found", aliases)
		}
		aliasOf := func(i int) string { return aliases[i] }
		e, err := parse(rewrite(t, m.data, aliases), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, sum := &problems{}, &Summary{}
		compare(p, m, e, aliasOf, sum)
		if len(p.list) > 0 || sum.Relocations == 0 {
			t.Errorf("%d relocations, problems: %s", sum.Relocations, strings.Join(p.list, "\n"))
		}
		out := object + ".kas"
		objcopy := exec.Command(prefix+"objcopy", append(add, object, out)...)
		if msg, err := objcopy.CombinedOutput(); err != nil {
			t.Fatalf("objcopy: %s", msg)
		}
		p = &problems{}
		compare(p, m, load(t, out), aliasOf, sum)
		if len(p.list) == 0 {
			t.Error("the object of objcopy is accepted")
		}
	})
}

// TestDamaged: damage leads to errors and problems, never to a panic.
func TestDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range layouts {
		good := l.object(1, members()[1].symbols)
		o, err := parse(good, nil)
		if err != nil {
			t.Fatal(err)
		}
		aliases := map[int]string{3: "a@b_c_1", 5: "b@b_c_2"}
		rewritten := rewrite(t, good, aliases)
		try := func(data []byte) {
			e, err := parse(data, nil)
			if err == nil {
				nmOrder(e)
				aliasOf := func(i int) string { return aliases[i] }
				compare(&problems{}, o, e, aliasOf, &Summary{})
				compare(&problems{}, e, o, aliasOf, &Summary{})
				for _, s := range e.all() {
					letter(e, &s)
					visible(e, &s)
				}
			}
		}
		for n := range rewritten {
			try(rewritten[:n])
		}
		for range 5000 {
			data := slices.Clone(rewritten)
			for range 1 + r.IntN(3) {
				// Half of the damage is in the section headers at the end.
				at := r.IntN(len(data))
				if r.IntN(2) == 0 {
					at = len(data) - 1 - r.IntN(600)
				}
				data[at] = []byte{0, 1, 0xff, byte(r.Uint32())}[r.IntN(4)]
			}
			try(data)
		}
	}
}
