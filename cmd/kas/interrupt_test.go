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
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"kas/demo"
	"kas/pipeline"
)

// longRun makes a folder with kas.yaml, whose run into out is long enough to be disturbed: vmlinux and many modules,
// which are links to a few.
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
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
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
		first := write(filepath.Join("modules", "0", base), data)
		for i := 1; i < copies; i++ {
			path := filepath.Join(dir, "modules", fmt.Sprint(i), base)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Link(first, path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("kas.yaml", []byte("version: 1\njobs: 1\nbuilds:\n  - {name: k, vmlinux: vmlinux, modules: modules}\n"))
	return dir
}

// undisturbed runs kas to the end, and returns what it wrote and how long it took.
func undisturbed(t *testing.T, dir, out string) ([]string, time.Duration) {
	t.Helper()
	started := time.Now()
	if output, err := kasCommand(t, dir, "run", "--out", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	took := time.Since(started)
	tree, err := treeOf(filepath.Join(dir, out), false)
	if err != nil {
		t.Fatal(err)
	}
	return tree, took
}

// waitFor waits until the pattern below dir matches n files.
func waitFor(t *testing.T, dir, pattern string, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) >= n {
			return
		}
	}
	t.Fatalf("never %d files %s", n, pattern)
}

// TestDisturbed ends runs before their time.
func TestDisturbed(t *testing.T) {
	dir := longRun(t, 100)
	want, took := undisturbed(t, dir, "whole")
	t.Run("interrupt", func(t *testing.T) { interrupt(t, dir, want, took) })
	t.Run("kill", func(t *testing.T) { kill(t, dir, want, took) })
}

func interrupt(t *testing.T, dir string, want []string, took time.Duration) {
	c := kasCommand(t, dir, "run", "--out", "out")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, dir, "out/k/modules/*/*.kas", 100)

	// While it runs, another one is refused.
	second := kasCommand(t, dir, "run", "--out", "out")
	output, err := second.CombinedOutput()
	if want := "kas: another run is writing to out\n"; string(output) != want || second.ProcessState.ExitCode() != exitFailed {
		t.Errorf("a second run: %v, %q, want %q", err, output, want)
	}

	signalled := time.Now()
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	ended := time.Since(signalled)
	if code := c.ProcessState.ExitCode(); code != exitInterrupted {
		t.Fatalf("exit %d, want %d\n%s", code, exitInterrupted, &stderr)
	}
	if limit := time.Second; ended > limit {
		t.Errorf("ended %v after the signal; the whole run takes %v", ended, took)
	}
	if lines := strings.Split(strings.TrimSpace(stderr.String()), "\n"); lines[len(lines)-1] != "kas: interrupted" {
		t.Errorf("standard error:\n%s", &stderr)
	}

	have, err := treeOf(filepath.Join(dir, "out"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range have {
		if !slices.Contains(want, file) {
			t.Errorf("left behind: %s", file)
		}
	}
	if len(have) == 0 || len(have) == len(want) {
		t.Errorf("%d files of %d: the run was not disturbed at its work", len(have), len(want))
	}
	if again, _ := undisturbed(t, dir, "out"); !slices.Equal(again, want) {
		t.Error("the run after the interrupted one is not like an undisturbed one")
	}
}

func kill(t *testing.T, dir string, want []string, took time.Duration) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, a whole run takes %v", seed, took)
	// The whole run may have been slowed by other work, so some of these may end before their time.
	disturbed := 0
	for tries := 0; disturbed < 3 && tries < 30; tries++ {
		c := kasCommand(t, dir, "run", "--fresh", "--out", "killed")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(took))))
		c.Process.Kill()
		if c.Wait() != nil {
			disturbed++
		}
	}
	if disturbed == 0 {
		t.Error("every run ended before it was killed")
	}
	if again, _ := undisturbed(t, dir, "killed"); !slices.Equal(again, want) {
		t.Error("the run after killed ones is not like an undisturbed one")
	}
}

// TestKilledLeftovers plants what a run killed at the worst moments leaves: half a file under each temporary name, a
// link that was to be renamed.
func TestKilledLeftovers(t *testing.T) {
	dir := longRun(t, 2)
	want, _ := undisturbed(t, dir, "out")
	input := filepath.Join(dir, "modules", "0", "lm75.ko")
	before, err := os.ReadFile(input)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".kas.effective.yaml.tmp", ".stats.json.tmp", "k/.aliases.tsv.tmp", "k/.vmlinux.syms.tmp",
		"k/modules/1/.lm75.ko.kas.tmp", "k/modules/1/.gone.ko.kas.tmp", "k/modules/1/gone.ko.kas"} {
		if err := os.WriteFile(filepath.Join(dir, "out", name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(input, filepath.Join(dir, "out/k/modules/0/.lm75.ko.kas.tmp")); err != nil {
		t.Fatal(err)
	}
	if again, _ := undisturbed(t, dir, "out"); !slices.Equal(again, want) {
		t.Errorf("have %s\nwant %s", strings.Join(again, "\n"), strings.Join(want, "\n"))
	}
	if after, err := os.ReadFile(input); err != nil || !bytes.Equal(after, before) {
		t.Error("an input was written through a link that a killed run left", err)
	}
}

func TestLockedOutput(t *testing.T) {
	dir := longRun(t, 1)
	unlock, err := pipeline.Lock(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	c := kasCommand(t, dir, "run", "kas.yaml")
	if output, _ := c.CombinedOutput(); c.ProcessState.ExitCode() != exitFailed || string(output) != "kas: another run is writing to out\n" {
		t.Errorf("exit %d, %q", c.ProcessState.ExitCode(), output)
	}
	unlock()
	undisturbed(t, dir, "out")
}

// TestTerminal runs kas on a terminal of 80 columns: a bar is drawn and taken away again, and nothing is wider.
func TestTerminal(t *testing.T) {
	dir := longRun(t, 60)
	// The copies are links to one file: all of them are empty now.
	if err := os.Truncate(filepath.Join(dir, "modules/7/lm75.ko"), 0); err != nil {
		t.Fatal(err)
	}
	for name, build := range map[string]string{
		"usual name": "x86_64-clang-thinlto-cfi",
		"long name":  strings.Repeat("a-long-name-of-a-build-", 4),
	} {
		t.Run(name, func(t *testing.T) {
			yaml := "version: 1\njobs: 1\nbuilds:\n  - {name: " + build + ", vmlinux: vmlinux, modules: modules}\n"
			if err := os.WriteFile(filepath.Join(dir, "kas.yaml"), []byte(yaml), 0o644); err != nil {
				t.Fatal(err)
			}
			screen, code := onTerminal(t, kasCommand(t, dir, "run"), 80)
			if code != exitFailed {
				t.Fatalf("exit %d\n%s", code, screen)
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
		// What stands before a carriage return is drawn over.
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
	c.Env = append(c.Env, "TERM=xterm")
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
