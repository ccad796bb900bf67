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

// countTokens takes all tokens of the jobserver that make's recipes have, and gives them back.
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

// take reads what is in a pipe.
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

// newFifo makes a fifo that this process holds open at both ends.
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
	// drain is take of the pipe, whose reading end blocks, as make's does.
	drain := func() string {
		fd, err := syscall.Open(fmt.Sprintf("/proc/self/fd/%d", pipe[0]), syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		return take(t, fd)
	}
	for _, c := range []struct {
		flags string
		there string // tokens
		want  int    // workers
		rest  string // tokens meanwhile
	}{
		{"", "", 4, ""},
		{"rR", "", 1, ""},
		{"k --no-print-directory", "", 1, ""},
		{" -j4 --jobserver-auth=fifo:" + fifo, "", 1, ""},
		{" -j4 --jobserver-auth=fifo:" + fifo, "a", 2, ""},
		{" -j4 --jobserver-auth=fifo:" + fifo, "abc", 4, ""},
		{" -j9 --jobserver-auth=fifo:" + fifo, "abcde", 4, "de"}, // no more than cores
		{"rR -j4 --jobserver-auth=fifo:" + fifo + " --no-print-directory -- NM=kas\\ nm", "ab", 3, ""},
		{" -j4 --jobserver-auth=" + fds, "ab", 3, ""},
		{" -j4 --jobserver-fds=" + fds, "ab", 3, ""}, // before make 4.2
		{" -j4 --jobserver-auth=" + fds, "", 1, ""},
		{" -j --jobserver-auth=" + fds, "abcd", 4, "d"},
		{" -j4 --jobserver-auth=-2,-2", "ab", 1, "ab"}, // a recipe without `+`, since make 4.4
		{" -j4 --jobserver-auth=930,931", "ab", 1, "ab"},
		{" -j4 --jobserver-auth=fifo:" + fifo + "-is-gone", "ab", 1, "ab"},
		{" -j4 --jobserver-auth=nonsense", "ab", 1, "ab"},
		{" -j4 --jobserver-auth=", "ab", 1, "ab"},
		// The last counts.
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
		// The tokens may come back in another order, but they are the same ones.
		after := read()
		if n != c.want || meanwhile != c.rest || len(after) != len(c.there) || strings.Trim(after, c.there) != "" || strings.Trim(c.there, after) != "" {
			t.Errorf("%q with %q: %d workers, want %d; left %q, want %q; afterwards %q", c.flags, c.there, n, c.want, meanwhile, c.rest, after)
		}
		if take(t, otherFd) != "other" {
			t.Errorf("%q: took of another fifo", c.flags)
		}
	}
	// What make handed down is shared with it and must go on to block.
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(pipe[0]), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK != 0 {
		t.Errorf("make's end of the pipe does not block any more: %x, %v", flags, errno)
	}
}

// Without `+` make closes what MAKEFLAGS names, and the numbers may be those of any files.
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
	for _, flags := range []string{fmt.Sprintf(" -j4 --jobserver-auth=%d,%d", files[0].Fd(), files[1].Fd()), " -j4 --jobserver-auth=fifo:" + files[1].Name()} {
		n, release := jobs(flags)
		release()
		if text, err := os.ReadFile(files[1].Name()); err != nil || n != 1 || string(text) != "out" {
			t.Errorf("%q: %d workers, and the file holds %q, %v", flags, n, text, err)
		}
	}
}

// Under a make with a jobserver: at the end of the links all tokens are there again.
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
	// Without `+` there is no jobserver, and no trouble.
	k.write("Makefile", strings.ReplaceAll(k.read("Makefile"), "+@kas", "@kas"))
	if err := os.RemoveAll(k.path(".kas")); err != nil {
		t.Fatal(err)
	}
	if out := k.ok(k.run("make", "-j4")); out != "3\n3\n" {
		t.Errorf("tokens before and after, of three:\n%s", out)
	}
}

// The same with a fifo, which make has since 4.4. A call that fails gives its tokens back, too.
func TestFifo(t *testing.T) {
	k := newMany(t)
	path, fd := newFifo(t, "+++")
	env := []string{"MAKEFLAGS= -j4 --jobserver-auth=fifo:" + path}
	k.ok(k.runEnv(env, "kas", append([]string{"ld"}, module("drivers/m0")...)...))
	k.checkMany(0)
	k.write("drivers/m1.o", "nonsense")
	k.order(k.manyObjects()...)
	k.refused(k.runEnv(env, "kas", append([]string{"ld"}, module("drivers/m0")...)...), `drivers/m1\.o`)
	k.ok(k.runEnv(env, "kas", append([]string{"ld"}, imageArgs("vmlinux")...)...))
	k.runEnv(env, "kas", "nm", "-n", "vmlinux")
	if left := take(t, fd); left != "+++" {
		t.Errorf("of three tokens there are %q", left)
	}
}
