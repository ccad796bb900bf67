package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
)

// TestExitOf has errors as commands return them.
func TestExitOf(t *testing.T) {
	full := &pipeline.Error{Build: "k", Stage: "emit", Object: "a.ko",
		Err: &fs.PathError{Op: "write", Path: "a.ko.kas", Err: syscall.ENOSPC}}
	_, outage := configs.Load("/dev/null/kas.yaml")
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("unknown flag"), exitUsage},
		{errReported, exitFailed},
		{failure{syscall.EACCES}, exitFailed},
		{failure{syscall.ESTALE}, exitTryAgain},
		{syscall.EIO, exitTryAgain},
		{fmt.Errorf("%w: %w", errReported, full), exitTryAgain},
		{errors.Join(nil, errReported, full), exitTryAgain},
		{elf.Shrank(7), exitTryAgain},
		{fmt.Errorf("%w k", pipeline.ErrLocked), exitTryAgain},
		{fmt.Errorf("k: %w", syscall.EDQUOT), exitTryAgain},
		{fmt.Errorf("k: %w", syscall.ENOTCONN), exitTryAgain},
		{outage, exitUsage},
	} {
		if got := exitOf(c.err); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.want)
		}
	}
}

// TestVanished takes the inputs away while a run reads them: a plain run and a shard want to be
// started again, and nothing looks finished.
func TestVanished(t *testing.T) {
	for _, flags := range [][]string{nil, {"--shard", "1/1"}} {
		dir := longRun(t, 400)
		c := kasCommand(t, dir, append([]string{"run", "--out", "out"}, flags...)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, c, "begin", func() bool {
			made, err := filepath.Glob(filepath.Join(dir, "out/*/kas.files"))
			hidden, _ := filepath.Glob(filepath.Join(dir, "out/.*/kas.files"))
			return err == nil && len(made)+len(hidden) > 0
		})
		if err := os.Rename(filepath.Join(dir, "modules"), filepath.Join(dir, "gone")); err != nil {
			t.Fatal(err)
		}
		c.Wait()
		if code := c.ProcessState.ExitCode(); code != exitTryAgain {
			t.Errorf("%v: exit %d", flags, code)
		}
		for _, file := range []string{"stats.json", "k/build.json"} {
			_, err := os.Lstat(filepath.Join(dir, "out", file))
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v: %s: %v", flags, file, err)
			}
		}
	}
}
