package kbuild

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

var pipeAuth = regexp.MustCompile(`--jobserver-(?:auth|fds)=(\d+),(\d+)`)

// countTokens takes all tokens of make's jobserver, returns them and reports their number.
func countTokens() int {
	m := pipeAuth.FindStringSubmatch(os.Getenv("MAKEFLAGS"))
	if m == nil {
		return -1
	}
	in, err := syscall.Open("/proc/self/fd/"+m[1], syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return -1
	}
	out, err := syscall.Open("/proc/self/fd/"+m[2], syscall.O_WRONLY, 0)
	if err != nil {
		return -1
	}
	tokens := make([]byte, 100)
	n, err := syscall.Read(in, tokens)
	if err != nil {
		return 0
	}
	syscall.Write(out, tokens[:n])
	return n
}

// take reads all tokens of a pipe that does not block.
func take(t *testing.T, fd int) string {
	t.Helper()
	b := make([]byte, 100)
	n, err := syscall.Read(fd, b)
	if err == syscall.EAGAIN {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func put(t *testing.T, fd int, tokens string) {
	t.Helper()
	if n, err := syscall.Write(fd, []byte(tokens)); n != len(tokens) || err != nil {
		t.Fatal(n, err)
	}
}

// newFifo makes a fifo with these tokens. This process keeps both ends open.
func newFifo(t *testing.T, tokens string) (path string, fd int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jobs fifo")
	path = strings.ReplaceAll(path, " ", "_")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	put(t, fd, tokens)
	return path, fd
}

func TestJobs(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	fifo, fifoFd := newFifo(t, "")
	other, otherFd := newFifo(t, "")
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[0])
	defer syscall.Close(pipe[1])
	fds := fmt.Sprintf("%d,%d", pipe[0], pipe[1])
	// drain is take for the pipe, whose reading end blocks like make's.
	drain := func() string {
		fd, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", pipe[0]),
			syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		return take(t, fd)
	}
	for _, c := range []struct {
		flags string
		there string // tokens before
		want  int    // workers
		rest  string // tokens left until release
	}{
		{"", "", 4, ""},
		{"rR", "", 1, ""},
		{"k --no-print-directory", "", 1, ""},
		{" -j4 --jobserver-auth=fifo:" + fifo, "", 1, ""},
		{" -j4 --jobserver-auth=fifo:" + fifo, "a", 2, ""},
		{" -j4 --jobserver-auth=fifo:" + fifo, "abc", 4, ""},
		{" -j9 --jobserver-auth=fifo:" + fifo, "abcde", 4, "de"}, // not more workers than cores
		{"rR -j4 --jobserver-auth=fifo:" + fifo + " --no-print-directory -- NM=kas\\ nm", "ab", 3,
			""},
		{" -j4 --jobserver-auth=" + fds, "ab", 3, ""},
		{" -j4 --jobserver-fds=" + fds, "ab", 3, ""}, // before make 4.2
		{" -j4 --jobserver-auth=" + fds, "", 1, ""},
		{" -j --jobserver-auth=" + fds, "abcd", 4, "d"},
		{" -j4 --jobserver-auth=-2,-2", "ab", 1, "ab"}, // a recipe without `+`, since make 4.4
		{" -j4 --jobserver-auth=930,931", "ab", 1, "ab"},
		{" -j4 --jobserver-auth=fifo:" + fifo + "-is-gone", "ab", 1, "ab"},
		{" -j4 --jobserver-auth=nonsense", "ab", 1, "ab"},
		{" -j4 --jobserver-auth=", "ab", 1, "ab"},
		// The last one counts.
		{" -j4 --jobserver-auth=fifo:" + other + " -j4 --jobserver-auth=fifo:" + fifo, "ab", 3, ""},
	} {
		usesPipe := strings.Contains(c.flags, fds)
		read := func() string {
			if usesPipe {
				return drain()
			}
			return take(t, fifoFd)
		}
		put(t, otherFd, "other")
		if usesPipe {
			put(t, pipe[1], c.there)
		} else {
			put(t, fifoFd, c.there)
		}
		n, release := jobs(c.flags)
		meanwhile := read()
		if usesPipe {
			put(t, pipe[1], meanwhile)
		} else {
			put(t, fifoFd, meanwhile)
		}
		release()
		// All tokens come back, in any order.
		after := read()
		if n != c.want || meanwhile != c.rest || len(after) != len(c.there) ||
			strings.Trim(after, c.there) != "" || strings.Trim(c.there, after) != "" {
			t.Errorf("%q with %q: %d workers, want %d; left %q, want %q; afterwards %q", c.flags,
				c.there, n, c.want, meanwhile, c.rest, after)
		}
		if take(t, otherFd) != "other" {
			t.Errorf("%q: took tokens of another fifo", c.flags)
		}
	}
	// The inherited descriptor is shared with make and must keep blocking.
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(pipe[0]), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK != 0 {
		t.Errorf("make's end of the pipe no longer blocks: %x, %v", flags, errno)
	}
}

// Without `+` in the recipe make closes the descriptors in MAKEFLAGS. These may then be any files.
func TestJobsOfFiles(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	dir := t.TempDir()
	var files [2]*os.File
	for i, text := range []string{"in", "out"} {
		path := filepath.Join(dir, text)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	for _, flags := range []string{fmt.Sprintf(" -j4 --jobserver-auth=%d,%d", files[0].Fd(),
		files[1].Fd()), " -j4 --jobserver-auth=fifo:" + files[1].Name()} {
		n, release := jobs(flags)
		release()
		text, err := os.ReadFile(files[1].Name())
		if err != nil || n != 1 || string(text) != "out" {
			t.Errorf("%q: %d workers, and the file has %q, %v", flags, n, text, err)
		}
	}
}

// Under make with a jobserver, all tokens are there again after the links.
func TestMake(t *testing.T) {
	k := newMany(t)
	k.write("Makefile", `
modules := $(addprefix drivers/m,0 1 2 3 4 5 6 7)
all: begin end
begin: ; +@tokens
end: $(modules) bad ; +@tokens
$(modules): begin ; +@kas ld -r -m elf_x86_64 -T scripts/module.lds -o $@.ko $@.o drivers/m.mod.o
bad: begin ; +@! kas ld -r -m elf_x86_64 -T scripts/module.lds -o drivers/x.ko drivers/x.o 2>$@.err
.PHONY: all begin end bad $(modules)
`)
	out := k.ok(k.run("make", "-j4", "-rR", "NM=kas nm", "LD=kas ld"))
	if out != "3\n3\n" {
		t.Errorf("tokens before and after, of three:\n%s", out)
	}
	for i := range many {
		k.checkMany(i)
	}
	// Without `+` the hooks work without the jobserver.
	k.write("Makefile", strings.ReplaceAll(k.read("Makefile"), "+@kas", "@kas"))
	if err := os.Remove(k.path(".tmp_kas_emitted")); err != nil {
		t.Fatal(err)
	}
	if out := k.ok(k.run("make", "-j4")); out != "3\n3\n" {
		t.Errorf("tokens before and after, of three:\n%s", out)
	}
}

// The same with a fifo, which make has since 4.4. A call that fails returns its tokens, too.
func TestFifo(t *testing.T) {
	k := newMany(t)
	path, fd := newFifo(t, "+++")
	env := []string{"MAKEFLAGS= -j4 --jobserver-auth=fifo:" + path}
	k.ok(k.kasLD(module("drivers/m0"), env...))
	k.checkMany(0)
	k.write("drivers/m1.o", "nonsense")
	k.order(k.manyObjects()...)
	k.refused(k.kasLD(module("drivers/m0"), env...), `drivers/m1\.o`)
	k.ok(k.kasLD(imageArgs("vmlinux"), env...))
	k.runEnv(env, "kas", "nm", "-n", "vmlinux")
	if left := take(t, fd); left != "+++" {
		t.Errorf("of three tokens %q are left", left)
	}
}
