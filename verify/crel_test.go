package verify

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kas/need"
)

// In this source, the calls are relocations to u, a symbol after the aliased ones.
const crelSource = `
extern int u(void);
static __attribute__((noinline)) int g(int x) { return x > 3 ? u() : 0; }
int h(int x) { return g(x) + u(); }
int last;
`

// TestCompactRelocations compares objects whose relocations are SHT_CREL. If symbols move and the
// relocations do not follow, they name others; llvm-readelf shows it.
func TestCompactRelocations(t *testing.T) {
	tools := need.Tools(t, "clang-19", "llvm-readelf-19")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a.o")
	write(t, in, []byte(crelSource))
	cc := exec.Command(tools[0], "--target=x86_64-linux-gnu", "-O2", "-c", in, "-o", out,
		"-Wa,--crel,--allow-experimental-crel")
	if msg, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	readelf := func(name string) string {
		text, err := exec.Command(tools[1], "-SrW", name).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return string(text)
	}
	// targets are the symbols of the relocations of .text, in order.
	entry := regexp.MustCompile(`(?m)^\w{16}  \w{16} R_X86_64_PLT32 +\w{16} (\S+)`)
	targets := func(text string) (names []string) {
		for _, m := range entry.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		return names
	}
	text := readelf(out)
	if !regexp.MustCompile(`\.crel\.text +CREL `).MatchString(text) ||
		!slices.Equal(targets(text), []string{"u", "u"}) {
		t.Fatalf("not the object that this test needs:\n%s", text)
	}
	o := load(t, out)
	index := func(name string) int {
		return slices.IndexFunc(o.all(), func(s symbol) bool { return s.name == name })
	}
	// crel is what compare says of .crel.text if alias is that of a symbol and change edits the
	// rewritten object.
	crel := func(symbol string, change func(data []byte, m *image)) (problem, text string) {
		aliases := map[int]string{index(symbol): symbol + "@a_c_3"}
		data := rewrite(t, o.data, aliases)
		e, err := parse(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(data, e)
		}
		name := filepath.Join(dir, symbol+".o.kas")
		write(t, name, data)
		p := &problems{}
		compare(p, o, e, func(i int) string { return aliases[i] }, &Summary{})
		var found []string
		for _, msg := range p.list {
			if strings.Contains(msg, ".crel.text") {
				found = append(found, msg)
			}
		}
		return strings.Join(found, "\n"), readelf(name)
	}

	// rewrite copies compact relocations as they are. The alias of g moves u, so that both calls
	// are to another symbol then.
	problem, text := crel("g", nil)
	if got := targets(text); slices.Contains(got, "u") {
		t.Errorf("llvm-readelf still finds u: %v", got)
	}
	if !strings.Contains(problem, "relocation at ") || !strings.Contains(problem, `"u" expected`) {
		t.Errorf("moved symbols: %q", problem)
	}

	// The alias of the last symbol moves none, and the relocations are right.
	final := o.name(o.count - 1)
	problem, text = crel(final, nil)
	if got := targets(text); !slices.Equal(got, []string{"u", "u"}) || problem != "" {
		t.Errorf("no symbol moved: %v, problem %q", got, problem)
	}

	// An addend that changes is found: the last byte.
	problem, _ = crel(final, func(data []byte, m *image) {
		s := m.sections[m.find(".crel.text")]
		data[s.off+s.size-1] ^= 1
	})
	if !strings.Contains(problem, "differs from its original in more than") {
		t.Errorf("changed content: %q", problem)
	}
	if got, _ := os.ReadFile(out); !bytes.Equal(got, o.data) {
		t.Error("the original was changed")
	}
}
