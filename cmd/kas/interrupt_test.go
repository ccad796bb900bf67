package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"kas/demo"
	"kas/pipeline"
)

// longRun makes a folder with kas.yaml, whose run takes long enough to be disturbed: it has a
// vmlinux and many modules, which are links to a few.
func longRun(t *testing.T, copies int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const from = "matrix/arm64-gcc"
	modules, err := fs.Glob(demo.FS, from+"/modules/kernel/*/*/*.ko")
	if err != nil || len(modules) < 5 {
		t.Fatal(modules, err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, module := range append(modules, from+"/vmlinux") {
		data, err := demo.FS.ReadFile(module)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(module)
		if base == "vmlinux" {
			write(base, data)
			continue
		}
		// Each link is a module of its own, named after its file.
		stem := strings.TrimSuffix(base, ".ko")
		data = bytes.Replace(data, []byte("\x00name="), []byte("\x00none="), 1)
		first := write(filepath.Join("modules", "0", base), data)
		for i := 1; i < copies; i++ {
			path := filepath.Join(dir, "modules", fmt.Sprint(i), fmt.Sprintf("%s_%d.ko", stem, i))
			err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Link(first, path))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	config := "version: 1\njobs: 1\nbuilds: [{name: k, vmlinux: vmlinux, modules: modules}]\n"
	write("kas.yaml", []byte(config))
	return dir
}

// undisturbed runs kas to the end and returns what is then in the output folder.
func undisturbed(t *testing.T, dir, out string, flags ...string) []string {
	t.Helper()
	c := kasCommand(t, dir, append([]string{"run", "--out", out}, flags...)...)
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	tree, err := treeOf(filepath.Join(dir, out), false)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// processState returns the state of a child as in proc(5): T is stopped, Z has ended.
func processState(t *testing.T, c *exec.Cmd) byte {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// The name of the program, in parentheses, may hold anything.
	return stat[bytes.LastIndexByte(stat, ')')+2]
}

// await waits until done holds, as long as that takes, and fails if the process ends before.
func await(t *testing.T, c *exec.Cmd, what string, done func() bool) {
	t.Helper()
	for !done() {
		if processState(t, c) == 'Z' {
			t.Fatalf("%s: the process ended before", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// countMade returns how many copies of modules the output folder has.
func countMade(dir, out string) int {
	made, _ := filepath.Glob(filepath.Join(dir, out, "k/modules/*/*.kas"))
	return len(made)
}

// TestDisturbed ends runs before they are done.
func TestDisturbed(t *testing.T) {
	dir := longRun(t, 100)
	want := undisturbed(t, dir, "whole")
	t.Run("interrupt", func(t *testing.T) { interrupt(t, dir, want, os.Interrupt) })
	t.Run("terminate", func(t *testing.T) { interrupt(t, dir, want, syscall.SIGTERM) })
	t.Run("hang up", func(t *testing.T) { interrupt(t, dir, want, syscall.SIGHUP) })
	t.Run("kill", func(t *testing.T) { kill(t, dir, want) })
}

// interrupt sends a signal to a run that is at work. To count what the run does after it, the run
// is stopped meanwhile.
func interrupt(t *testing.T, dir string, want []string, signal os.Signal) {
	out := "out-" + signal.String()
	c := kasCommand(t, dir, "run", "--out", out)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, c, "100 modules", func() bool { return countMade(dir, out) >= 100 })
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, c, "stop", func() bool { return processState(t, c) == 'T' })

	// Another run into this folder is refused.
	second := kasCommand(t, dir, "run", "--out", out)
	output, err := second.CombinedOutput()
	refusal := "kas: another run is writing to " + out + "\n"
	if string(output) != refusal || second.ProcessState.ExitCode() != exitTryAgain {
		t.Errorf("a second run: %v, %q, want %q", err, output, refusal)
	}

	before := countMade(dir, out)
	if err := errors.Join(c.Process.Signal(signal), c.Process.Signal(syscall.SIGCONT)); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != exitInterrupted {
		t.Fatalf("exit %d, want %d\n%s", code, exitInterrupted, &stderr)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if lines[len(lines)-1] != "kas: interrupted" {
		t.Errorf("standard error:\n%s", &stderr)
	}
	after, all := countMade(dir, out), countMade(dir, "whole")
	if after-before > (all-before)/2 {
		t.Errorf("%d of %d modules were made after %v, %d before",
			after-before, all, signal, before)
	}

	have, err := treeOf(filepath.Join(dir, out), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range have {
		if !slices.Contains(want, file) {
			t.Errorf("left behind: %s", file)
		}
	}
	if again := undisturbed(t, dir, out); !slices.Equal(again, want) {
		t.Error("the next run does not complete the interrupted one")
	}
}

// kill ends runs at random points of their work, when nothing can clean up.
func kill(t *testing.T, dir string, want []string) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	all := countMade(dir, "whole")
	for i := range 3 {
		out := fmt.Sprint("killed", i)
		n := random.IntN(all / 2)
		c := kasCommand(t, dir, "run", "--out", out)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, c, fmt.Sprintf("%d modules (seed %d)", n, seed),
			func() bool { return countMade(dir, out) >= n })
		c.Process.Kill()
		if c.Wait() == nil {
			t.Errorf("seed %d: the run ended before it was killed at %d modules", seed, n)
		}
		if again := undisturbed(t, dir, out); !slices.Equal(again, want) {
			t.Errorf(
				"seed %d: the next run does not complete the one killed at %d modules",
				seed,
				n,
			)
		}
	}
}

// TestBlocked interrupts a command that hangs in a system call: it writes to a pipe that nobody
// reads from. Five seconds after the first signal it gives up; a second signal ends it at once.
func TestBlocked(t *testing.T) {
	t.Parallel()
	out := demoRegistries(t)
	block := func(t *testing.T) *exec.Cmd {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { reader.Close() })
		capacity, err := unix.FcntlInt(writer.Fd(), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := kasCommand(t, out, "lookup", "*", "--json", "--registry", ".")
		c.Stdout = writer
		err = c.Start()
		writer.Close()
		if err != nil {
			t.Fatal(err)
		}
		// When the pipe is full, kas hangs, and handles signals since long.
		for full := 0; full < capacity; time.Sleep(time.Millisecond) {
			if full, err = unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ); err != nil {
				t.Fatal(err)
			}
			if processState(t, c) == 'Z' {
				t.Fatal("the output fits the pipe")
			}
		}
		return c
	}
	t.Run("one signal", func(t *testing.T) {
		t.Parallel()
		c := block(t)
		c.Process.Signal(os.Interrupt)
		if c.Wait(); c.ProcessState.ExitCode() != exitInterrupted {
			t.Errorf("%v, want exit code %d", c.ProcessState, exitInterrupted)
		}
	})
	t.Run("more signals", func(t *testing.T) {
		t.Parallel()
		c := block(t)
		for processState(t, c) != 'Z' {
			c.Process.Signal(os.Interrupt)
			time.Sleep(time.Millisecond)
		}
		c.Wait()
		if status := c.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGINT {
			t.Errorf("%v, want the end by the signal itself", c.ProcessState)
		}
	})
}

// TestKilledLeftovers plants what a run leaves that is killed at the worst moments: half a file
// under each temporary name, and a link that was to be renamed. The next run removes them, whether
// it makes everything again or uses what the last run made.
func TestKilledLeftovers(t *testing.T) {
	for _, flags := range [][]string{nil, {"--fresh"}} {
		t.Run(fmt.Sprint("run ", flags), func(t *testing.T) { killedLeftovers(t, flags) })
	}
}

func killedLeftovers(t *testing.T, flags []string) {
	dir := longRun(t, 2)
	(&again{t: t}).settle() // a run uses nothing of younger files
	want := undisturbed(t, dir, "out")
	input := filepath.Join(dir, "modules", "0", "lm75.ko")
	content := readFile(t, input)
	list, err := os.Stat(filepath.Join(dir, "out/k/vmlinux.syms"))
	if err != nil {
		t.Fatal(err)
	}
	temporary := []string{".kas.effective.yaml.tmp", ".stats.json.tmp"}
	for _, name := range []string{
		"aliases.tsv", "unaliased.tsv", "modules.symbfreq", "symbols.kas", "vmlinux.syms",
	} {
		if _, err := os.Stat(filepath.Join(dir, "out/k", name)); err != nil {
			t.Fatal(err)
		}
		temporary = append(temporary, "k/."+name+".tmp")
	}
	temporary = append(temporary, "k/modules/1/.lm75_1.ko.kas.tmp", "k/modules/1/.gone.ko.kas.tmp",
		"k/modules/1/gone.ko.kas")
	for _, name := range temporary {
		if err := os.WriteFile(filepath.Join(dir, "out", name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	addToRecord(t, filepath.Join(dir, "out/k"), "modules/1/gone.ko.kas")
	link := filepath.Join(dir, "out/k/modules/0/.lm75.ko.kas.tmp")
	if err := os.Symlink(input, link); err != nil {
		t.Fatal(err)
	}
	if next := undisturbed(t, dir, "out", flags...); !slices.Equal(next, want) {
		t.Errorf("have %s\nwant %s", strings.Join(next, "\n"), strings.Join(want, "\n"))
	}
	if !bytes.Equal(readFile(t, input), content) {
		t.Error("an input was written through a link that a killed run left")
	}
	if now, err := os.Stat(filepath.Join(dir, "out/k/vmlinux.syms")); err != nil ||
		os.SameFile(now, list) != (flags == nil) {
		t.Errorf("vmlinux.syms is the same file: %v, %v", os.SameFile(now, list), err)
	}
}

func TestLockedOutput(t *testing.T) {
	dir := longRun(t, 1)
	unlock, err := pipeline.Lock(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	c := kasCommand(t, dir, "run", "kas.yaml")
	output, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != exitTryAgain ||
		string(output) != "kas: another run is writing to out\n" {
		t.Errorf("exit %d, %q", c.ProcessState.ExitCode(), output)
	}
	unlock()
	undisturbed(t, dir, "out")
}

// TestModuleWaits holds the lock of a folder, which kas module takes to update an overlay there:
// the command waits and then updates the overlay.
func TestModuleWaits(t *testing.T) {
	out := demoRegistries(t)
	dir := t.TempDir()
	unlock, err := pipeline.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(out, "..", "matrix/x86_64-gcc/modules/kernel/fs/fat/fat.ko")
	c := kasCommand(
		t,
		dir,
		"module",
		module,
		"-r",
		filepath.Join(out, "x86_64-clang"),
		"--update",
		"over.kas",
	)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, c, "lock", func() bool {
		// A waiting process is in a line of its own: "1: -> FLOCK ADVISORY WRITE PID ...".
		waits := regexp.MustCompile(fmt.Sprintf(`-> FLOCK .* %d `, c.Process.Pid))
		return waits.Match(readFile(t, "/proc/locks"))
	})
	if _, err := os.Stat(filepath.Join(dir, "over.kas")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the overlay was written without the lock:", err)
	}
	unlock()
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	readFile(t, filepath.Join(dir, "over.kas"))
}

// TestTerminal runs kas on a terminal of 80 columns: a bar is drawn and erased, and nothing is
// wider.
func TestTerminal(t *testing.T) {
	dir := longRun(t, 60)
	// The copies are links to one file, so this empties all of them.
	if err := os.Truncate(filepath.Join(dir, "modules/7/lm75_7.ko"), 0); err != nil {
		t.Fatal(err)
	}
	for name, build := range map[string]string{
		"usual name": "x86_64-clang-thinlto-cfi",
		"long name":  strings.Repeat("a-long-name-of-a-build-", 4),
		"dumb":       "x86_64",
	} {
		t.Run(name, func(t *testing.T) {
			const format = "version: 1\njobs: 1\n" +
				"builds: [{name: %s, vmlinux: vmlinux, modules: modules}]\n"
			config := filepath.Join(dir, "kas.yaml")
			if err := os.WriteFile(config, fmt.Appendf(nil, format, build), 0o644); err != nil {
				t.Fatal(err)
			}
			c := kasCommand(t, dir, "run")
			if name == "dumb" {
				c = exec.Command("env", "TERM=dumb", c.Path, "run", "--fresh")
				c.Dir, c.Env = dir, os.Environ()
			}
			screen, code := onTerminal(t, c, 80)
			if code != exitFailed {
				t.Fatalf("exit %d\n%s", code, screen)
			}
			if name == "dumb" {
				if strings.ContainsAny(screen, "\x1b%█") {
					t.Errorf("a bar on a terminal that cannot erase it:\n%q", screen)
				}
				return
			}
			checkScreen(t, screen, build, 80)
		})
	}
}

func checkScreen(t *testing.T, screen, build string, columns int) {
	if !strings.Contains(screen, "█") || !strings.Contains(screen, "emit") {
		t.Errorf("no bar was drawn:\n%q", screen)
	}
	failed := 0
	for line := range strings.SplitSeq(screen, "\n") {
		// What follows a carriage return overwrites what precedes it.
		drawn := strings.Split(escapes.ReplaceAllString(strings.TrimRight(line, "\r"), ""), "\r")
		for _, part := range drawn {
			if n := utf8.RuneCountInString(part); n > columns && strings.ContainsRune(part, '%') {
				t.Errorf("a bar of %d columns: %q", n, part)
			}
		}
		last := drawn[len(drawn)-1]
		switch n := utf8.RuneCountInString(last); {
		case strings.ContainsAny(last, "%█"):
			t.Errorf("the bar stays: %q", last)
		case strings.HasPrefix(last, "kas: "+build+": scan: "):
			failed++
		case strings.HasPrefix(last, "kas:   "): // an error again, with a path
		case n > columns && len(build) < 30:
			t.Errorf("%d columns: %q", n, last)
		}
	}
	if failed != 60 {
		t.Errorf("%d lines about damaged modules, want 60:\n%q", failed, screen)
	}
}

func onTerminal(t *testing.T, c *exec.Cmd, columns int) (screen string, code int) {
	t.Helper()
	master, slave := openTerminal(t, columns)
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.Env = append(c.Env, "TERM=xterm", "CI=")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var all bytes.Buffer
	all.ReadFrom(master) // ends with an error when the last writer is gone
	c.Wait()
	return all.String(), c.ProcessState.ExitCode()
}
