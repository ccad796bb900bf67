package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kas/need"
)

var allHostile = flag.Bool("hostile", false, "run on every hostile object, in full size")

// quickHostile are the cases of every test run: one of each kind, a few megabytes at most.
var quickHostile = []string{
	"abbrev_zero_size_specs", "subprograms_share_rangelist", "section_names_overlap",
	"file_symbols_overlap", "shf_zstd_1g", "restored_times_renamed", "notes_overlap",
	"split_alternate", "claims_of_one", "sparse_symtab",
}

// TestHostile runs kas on constructed objects that claim more than they have, or that multiply
// counts. A run may take 10 seconds of processor time and 1 GB, and reports each such object in one
// line. testdata/hostile/gen.py makes the objects; -hostile runs all.
func TestHostile(t *testing.T) {
	need.Tools(t, "python3", "zstd", "xz", "gzip", "sh")
	list, err := exec.Command("python3", "testdata/hostile/gen.py", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Fields(string(list))
	for _, name := range quickHostile {
		if !slices.Contains(cases, name) {
			t.Errorf("no case %s", name)
		}
	}
	for _, name := range cases {
		if *allHostile || slices.Contains(quickHostile, name) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				hostile(t, name)
			})
		}
	}
}

func hostile(t *testing.T, name string) {
	dir := t.TempDir()
	out, err := exec.Command("python3", "testdata/hostile/gen.py", name, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	yaml := "version: 1\nbuilds:\n  - name: k\n"
	for key, file := range map[string]string{"vmlinux": "vmlinux", "modules": "m"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			yaml += fmt.Sprintf("    %s: %s\n", key, file)
		}
	}
	if strings.HasSuffix(name, "symbols_all") {
		yaml += "alias: {symbols: all}\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kas.yaml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	const seconds, bytesOfMemory = 10, 1 << 30
	run := kasCommand(t, dir, "run", "-j1", "kas.yaml")
	limit := fmt.Sprintf(`ulimit -t %d && exec "$0" "$@"`, seconds)
	c := exec.Command("sh", append([]string{"-c", limit, run.Path}, run.Args[1:]...)...)
	c.Dir, c.Env = dir, run.Env
	var stderr bytes.Buffer
	c.Stderr = &stderr
	err = c.Run()
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	t.Logf("%v of processor time, %d MB", c.ProcessState.UserTime()+c.ProcessState.SystemTime(),
		usage.Maxrss>>10)
	if code := c.ProcessState.ExitCode(); code != 0 && code != exitFailed {
		t.Errorf("%v: %s", err, stderr.String())
	}
	if usage.Maxrss > bytesOfMemory>>10 {
		t.Errorf("%d KB of memory", usage.Maxrss)
	}
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(line, "kas: ") || strings.Contains(line, "internal error") {
			t.Errorf("stderr: %q", line)
		}
	}
}
