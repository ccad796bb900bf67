package kbuild

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"kas/need"
)

// The test binary called as kas runs a hook, as cmd/kas does. Called as tokens, it prints how many
// tokens the jobserver of its make has.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "kas":
		hook := map[string]func(Hook) (int, error){"nm": NM, "ld": LD}[os.Args[1]]
		status, err := hook(Hook{Args: os.Args[2:], Getenv: os.Getenv,
			Kas: func() string { return "test" }, root: os.Getenv("TEST_ROOT")})
		if err != nil {
			fmt.Fprintf(os.Stderr, "kas: %s: %v\n", os.Args[1], err)
			status = 1
		}
		os.Exit(status)
	case "tokens":
		fmt.Println(countTokens())
		os.Exit(0)
	}
	os.Exit(testMain(m))
}

// shared is a folder that all tests use: it has bin, and the objects of each compiler.
var shared string

func testMain(m *testing.M) int {
	var err error
	if shared, err = os.MkdirTemp("", "kas-hooks-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(shared)
	own, err := os.Executable()
	if err != nil {
		panic(err)
	}
	bin := filepath.Join(shared, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		panic(err)
	}
	for _, name := range []string{"kas", "tokens"} {
		if err := os.Symlink(own, filepath.Join(bin, name)); err != nil {
			panic(err)
		}
	}
	os.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	os.Setenv("LC_ALL", "C")
	// With -race, each call of the test binary would wait a second at its end.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	// The tests may run under make, even in a kernel's build.
	for _, name := range []string{"LLVM", "CROSS_COMPILE", "KAS", "KAS_CONFIG", "MAKEFLAGS",
		"MFLAGS", "MAKELEVEL", "objtree", "KBUILD_EXTMOD", "KBUILD_EXTMOD_OUTPUT",
		"KAS_REGISTRY", "KAS_OVERLAY", "srctree"} {
		os.Unsetenv(name)
	}
	return m.Run()
}

// suite is a set of tools that build a kernel.
type suite struct {
	name, cc, ld, nm string
	env              []string // makes the hooks select these tools
}

var (
	gnu     = suite{"gnu", "gcc", "ld", "nm", nil}
	lld     = suite{"lld", "gcc", "ld.lld-19", "llvm-nm-19", []string{"LLVM=-19"}}
	clang   = suite{"clang", "clang-19", "ld.lld-19", "llvm-nm-19", []string{"LLVM=-19"}}
	linkers = []suite{gnu, lld}
)

// eachSuite runs a test with each set of tools.
func eachSuite(t *testing.T, suites []suite, test func(t *testing.T, s suite)) {
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			need.Tools(t, s.cc, s.ld, s.nm)
			test(t, s)
		})
	}
}

var (
	vmlinuxParts = []string{"init/main", "kernel/irq", "lib/text"}
	moduleParts  = map[string][]string{"a": {"drivers/a_main", "drivers/a_util"},
		"b": {"drivers/b_main", "drivers/b_util"}}
)

const many = 8 // modules made of drivers/many.c

var ldFlags = []string{"-m", "elf_x86_64", "-z", "noexecstack"}

// objects compiles once for all tests and returns a copy of testdata/hooks with an object beside
// each source.
var objects = map[string]func() (string, error){
	"gcc":      compileOnce("gcc", "-fno-ipa-icf"),
	"clang-19": compileOnce("clang-19", "--target=x86_64-linux-gnu"),
}

var cFlags = []string{"-g", "-O2", "-Iinclude", "-ffreestanding", "-fno-pic", "-fno-pie",
	"-mcmodel=kernel", "-fcf-protection=none", "-fno-stack-protector",
	"-fno-asynchronous-unwind-tables", "-fno-common", "-fno-inline", "-c", "-o"}

func compileOnce(cc string, flags ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) { return compileAll(cc, flags...) })
}

func compileAll(cc string, flags ...string) (string, error) {
	dir := filepath.Join(shared, cc)
	if err := os.CopyFS(dir, os.DirFS("testdata/hooks")); err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(dir, "drivers/many.c"))
	if err != nil {
		return "", err
	}
	if err := os.Remove(filepath.Join(dir, "drivers/many.c")); err != nil {
		return "", err
	}
	for i := range many {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("drivers/m%d.c", i)), source, 0o644)
		if err != nil {
			return "", err
		}
	}
	flags = append(flags, cFlags...)
	var calls [][]string
	sources, err := filepath.Glob(filepath.Join(dir, "*/*.c"))
	if err != nil {
		return "", err
	}
	for _, path := range sources {
		path, _ = filepath.Rel(dir, path)
		if path != "drivers/mod.c" {
			calls = append(calls,
				append(slices.Clone(flags), strings.TrimSuffix(path, ".c")+".o", path))
		}
	}
	for _, name := range []string{"a", "b", "c", "m"} {
		calls = append(calls,
			append(slices.Clone(flags), "drivers/"+name+".mod.o", "drivers/mod.c", "-DNAME="+name))
	}
	for i, size := range []string{"4096", "8192"} {
		calls = append(calls,
			append(slices.Clone(flags), fmt.Sprintf("kallsyms%d.o", i+1), "kallsyms.S",
				"-DSIZE="+size))
	}
	errs := make([]error, len(calls))
	var all sync.WaitGroup
	free := make(chan bool, 4)
	for i, args := range calls {
		free <- true
		all.Go(func() {
			c := exec.Command(cc, args...)
			c.Dir = dir
			if out, err := c.CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("%v: %w\n%s", c, err, out)
			}
			<-free
		})
	}
	all.Wait()
	return dir, errors.Join(errs...)
}

// parts links vmlinux.o and the modules' objects once for all tests.
var parts = map[string]func() (string, error){
	gnu.name:   sync.OnceValues(func() (string, error) { return linkParts(gnu) }),
	lld.name:   sync.OnceValues(func() (string, error) { return linkParts(lld) }),
	clang.name: sync.OnceValues(func() (string, error) { return linkParts(clang) }),
}

func linkParts(s suite) (string, error) {
	from, err := objects[s.cc]()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(shared, "parts", s.name)
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return "", err
	}
	// c is a module of one file, so its object is not linked.
	for object, of := range map[string][]string{"vmlinux": vmlinuxParts,
		"drivers/a": moduleParts["a"], "drivers/b": moduleParts["b"]} {
		c := exec.Command(s.ld, partialArgs(object, of...)...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%v: %w\n%s", c, err, out)
		}
	}
	return dir, nil
}

func partialArgs(object string, parts ...string) []string {
	args := append(slices.Clone(ldFlags), "-r", "-o", object+".o")
	for _, p := range parts {
		args = append(args, p+".o")
	}
	return args
}

// kernel is a small tree, built up to the link of the first image.
type kernel struct {
	*testing.T
	suite
	dir string // where commands run
	env []string
}

func newKernel(t *testing.T, s suite) *kernel {
	t.Helper()
	from, err := parts[s.name]()
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{t, s, filepath.Join(t.TempDir(), "tree"), slices.Clone(s.env)}
	if err := os.CopyFS(k.dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
	return k
}

// partial links parts into one object with the real ld.
func (k *kernel) partial(object string, parts ...string) {
	k.Helper()
	k.ok(k.run(k.ld, partialArgs(object, parts...)...))
}

// order writes modules.order again, as kbuild does whenever a module changed.
func (k *kernel) order(lines ...string) { k.write("modules.order", strings.Join(lines, "\n")+"\n") }

func (k *kernel) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(k.dir, name)
}

func (k *kernel) write(name, text string) {
	k.Helper()
	// A new file each time: the times of the same file would not change within a tick of the clock.
	temp := k.path(name) + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
		k.Fatal(err)
	}
	if err := os.Rename(temp, k.path(name)); err != nil {
		k.Fatal(err)
	}
}

func (k *kernel) read(name string) string {
	k.Helper()
	data, err := os.ReadFile(k.path(name))
	if err != nil {
		k.Fatal(err)
	}
	return string(data)
}

func (k *kernel) exists(name string) bool {
	_, err := os.Lstat(k.path(name))
	return err == nil
}

// state returns what distinguishes two versions of a file.
func (k *kernel) state(name string) string {
	k.Helper()
	var s syscall.Stat_t
	if err := syscall.Lstat(k.path(name), &s); err != nil {
		k.Fatal(name, err)
	}
	return fmt.Sprint(s.Ino, s.Size, s.Mtim, s.Mode)
}

// result is the outcome of a call.
type result struct {
	call, stdout, stderr string
	status               int
}

func (k *kernel) run(program string, args ...string) result {
	k.Helper()
	return k.runEnv(nil, program, args...)
}

func (k *kernel) runEnv(env []string, program string, args ...string) result {
	k.Helper()
	c := exec.Command(program, args...)
	c.Dir = k.dir
	c.Env = slices.Concat(os.Environ(), k.env, env)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		k.Fatal(err)
	}
	return result{c.String(), stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// ok returns the standard output of a call that must succeed.
func (k *kernel) ok(r result) string {
	k.Helper()
	if r.status != 0 {
		k.Fatalf("%s: exit %d\n%s", r.call, r.status, r.stderr)
	}
	return r.stdout
}

// refused checks that a hook failed with one line that matches the pattern, and printed nothing
// else.
func (k *kernel) refused(r result, pattern string) {
	k.Helper()
	if r.status != 1 || r.stdout != "" ||
		!regexp.MustCompile(`^kas: (nm|ld): [^\n]*`+pattern+`[^\n]*\n$`).MatchString(r.stderr) {
		k.Errorf("%s: exit %d, want 1 and one line with %q\nstdout: %s\nstderr: %s", r.call,
			r.status, pattern, r.stdout, r.stderr)
	}
}

// imageArgs returns the arguments with which link-vmlinux.sh links an image of vmlinux.
func imageArgs(name string, more ...string) []string {
	args := append(slices.Clone(ldFlags), "-z", "max-page-size=0x1000")
	var objects []string
	for _, m := range more {
		if strings.HasSuffix(m, ".o") {
			objects = append(objects, m)
		} else {
			args = append(args, m)
		}
	}
	args = append(args, "--script=vmlinux.lds", "-o", name, "--whole-archive", "vmlinux.o",
		"--no-whole-archive", "--start-group", "--end-group")
	return append(args, objects...)
}

// module returns the arguments of a module's final link.
func module(name string) []string {
	mod := name
	if i := strings.LastIndex(name, "/m"); i >= 0 { // drivers/m0
		mod = name[:i] + "/m"
	}
	return append(slices.Clone(ldFlags), "-r", "--build-id=sha1", "-T", "scripts/module.lds", "-o",
		name+".ko", name+".o", mod+".mod.o")
}

// kasLD runs the hook for ld.
func (k *kernel) kasLD(args []string, env ...string) result {
	k.Helper()
	return k.runEnv(env, "kas", append([]string{"ld"}, args...)...)
}

func (k *kernel) linkModule(name string) {
	k.Helper()
	k.ok(k.kasLD(module(name)))
}

func isAlias(name string) bool { return strings.Contains(name, "@") }

// elfSymbol is a row of the symbol table that readelf prints.
type elfSymbol struct{ value, size, kind, bind, visibility, section, name string }

func (k *kernel) symbols(path string) []elfSymbol {
	k.Helper()
	var all []elfSymbol
	for line := range strings.Lines(k.ok(k.run("readelf", "-sW", path))) {
		c := strings.Fields(line)
		if len(c) < 7 || !strings.HasSuffix(c[0], ":") || c[0] == "Num:" {
			continue
		}
		s := elfSymbol{c[1], c[2], c[3], c[4], c[5], c[6], ""}
		if len(c) > 7 {
			s.name = c[7]
		}
		all = append(all, s)
	}
	return all
}

// relocations returns what readelf prints, without the indices of symbols.
func (k *kernel) relocations(path string) []string {
	k.Helper()
	var all []string
	for line := range strings.Lines(k.ok(k.run("readelf", "-rW", path))) {
		c := strings.Fields(line)
		if len(c) > 2 && c[0] == "Relocation" {
			all = append(all, c[2])
		} else if len(c) > 4 {
			all = append(all, strings.Join(append(c[:1:1], c[2:]...), " "))
		}
	}
	return all
}

// contents returns the bytes of each section, except the tables that a linker writes.
func (k *kernel) contents(path string) map[string]string {
	k.Helper()
	f, err := elf.Open(k.path(path))
	if err != nil {
		k.Fatal(err)
	}
	defer f.Close()
	all := map[string]string{}
	for i, s := range f.Sections {
		if s.Type == elf.SHT_PROGBITS || s.Type == elf.SHT_NOTE && s.Name != ".note.gnu.build-id" {
			data, err := s.Data()
			if err != nil {
				k.Fatal(err)
			}
			all[fmt.Sprint(i, s.Name, s.Flags)] = string(data)
		}
	}
	return all
}

// named is an alias with its original name.
type named struct{ name, alias string }

// aliased returns the aliases of a linked module, and checks the rest of it against the same link
// without kas.
func (k *kernel) aliased(name string) []named {
	k.Helper()
	linked := k.path(name + ".ko")
	plain := filepath.Join(k.TempDir(), "plain.ko")
	args := module(name)
	args[slices.Index(args, "-o")+1] = plain
	k.ok(k.run(k.ld, args...))

	var found []named
	var rest []elfSymbol
	last := ""
	for _, s := range k.symbols(linked) {
		if !isAlias(s.name) {
			rest = append(rest, s)
			last = s.name
			continue
		}
		if len(rest) == 0 || !strings.HasPrefix(s.name, last+"@") {
			k.Fatalf("%s: %s does not follow its original but %s", linked, s.name, last)
		}
		original := rest[len(rest)-1]
		if original.name = s.name; original != s {
			k.Errorf("%s: alias is\n%+v, its original\n%+v", linked, s, original)
		}
		found = append(found, named{last, s.name})
	}
	if want := k.symbols(plain); !slices.Equal(rest, want) {
		k.Errorf("%s: without aliases the symbols are\n%+v, want\n%+v", linked, rest, want)
	}
	if have, want := k.relocations(linked), k.relocations(plain); !slices.Equal(have, want) {
		k.Errorf("%s: relocations\n%s, want\n%s", linked, have, want)
	}
	have, want := k.contents(linked), k.contents(plain)
	for section := range want {
		if have[section] != want[section] {
			k.Errorf("%s: section %s differs", linked, section)
		}
	}
	if len(have) != len(want) {
		k.Errorf("%s: %d sections, want %d", linked, len(have), len(want))
	}
	slices.SortFunc(found, func(a, b named) int { return strings.Compare(a.alias, b.alias) })
	return found
}

// expect returns the aliases that symbols must have, in order. Each is given as "NAME FILE" or
// "NAME HEADER FILE"; the line is read from the source.
func (k *kernel) expect(list ...string) []named {
	k.Helper()
	var all []named
	for _, item := range list {
		name, where, _ := strings.Cut(item, " ")
		file, _, _ := strings.Cut(where, " ")
		all = append(all, named{name,
			fmt.Sprintf("%s@%s_%d", name, underscored(where), k.opening(file, name))})
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.alias, b.alias) })
	return all
}

// wantAliases checks the aliases of a file against those of expect.
func (k *kernel) wantAliases(what string, have []named, list []string) {
	k.Helper()
	if want := k.expect(list...); !slices.Equal(have, want) {
		k.Errorf("%s: aliases\n%v, want\n%v", what, have, want)
	}
}

// opening returns the line that defines a function. Functions are on one line: compilers differ in
// the first line of longer ones.
func (k *kernel) opening(file, name string) int {
	k.Helper()
	for i, line := range strings.Split(k.read(file), "\n") {
		if strings.Contains(line, "int "+name+"(") && strings.HasSuffix(line, "}") ||
			strings.Contains(line, " "+name+"(") && strings.Contains(line, "int __attribute__") {
			return i + 1
		}
	}
	k.Fatalf("%s does not define %s", file, name)
	return 0
}

func underscored(path string) string {
	return regexp.MustCompile(`[^A-Za-z0-9]`).ReplaceAllString(path, "_")
}

// leftovers returns the temporary files in the tree. A finished call leaves none.
func (k *kernel) leftovers() []string {
	k.Helper()
	var all []string
	err := filepath.WalkDir(k.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), ".tmp") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		k.Fatal(err)
	}
	return all
}
