package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// tools are the programs that are measured beside kas or prepare its work.
var tools = []string{
	"sh", "awk", "cp", "find", "xargs", "taskset",
	"llvm-nm-19", "llvm-objcopy-19", "objcopy", "eu-addr2line",
}

// peers are the tools whose versions matter.
var peers = []string{"llvm-nm-19", "llvm-objcopy-19", "objcopy", "eu-addr2line", "cp"}

// machine describes what was measured on, without the name of the host or one of its paths.
func (b *bench) machine() ([]string, error) {
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: run make tools", err)
		}
	}
	kas, err := b.version(b.kas)
	if err != nil {
		return nil, err
	}
	lines := []string{
		time.Now().Format(time.DateOnly) + ", " + plural(b.rounds, "round"),
		fmt.Sprintf("%s, %s, %s of memory",
			field("/proc/cpuinfo", "model name"), plural(runtime.NumCPU(), "core"), memorySize()),
		fmt.Sprintf("Linux %s, %s", content("/proc/sys/kernel/osrelease"), fileSystem(b.work)),
		kas + commit(b.kas),
	}
	for _, peer := range peers {
		v, err := b.version(peer)
		if err != nil {
			return nil, err
		}
		lines = append(lines, v)
	}
	return lines, nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// version returns the first line with a digit that a program prints for --version.
func (b *bench) version(program string) (string, error) {
	c, err := b.process(program, "--version")
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(c.output, "\n")
	for line := range strings.Lines(c.output) {
		if strings.ContainsAny(line, "0123456789") {
			first = strings.TrimSpace(line)
			break
		}
	}
	if name := filepath.Base(program); !strings.Contains(first, name) {
		first = name + ": " + first
	}
	return first, nil
}

// commit returns the commit and the Go version that a program was built from.
func commit(program string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return ""
	}
	var text string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			text += ", commit " + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			text += " and changes"
		}
	}
	return text + ", " + info.GoVersion
}

// content returns the text of a small file, trimmed, or "" if it cannot be read.
func content(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}

// field returns the value of the first line `name : value` in a file of /proc.
func field(path, name string) string {
	for line := range strings.Lines(content(path)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown " + name
}

func memorySize() string {
	var kib float64
	fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%g kB", &kib)
	return fmt.Sprintf("%.0f GiB", kib/(1<<20))
}

// fileSystem returns the type of the file system that a path is on.
func fileSystem(path string) string {
	kind, longest := "unknown file system", 0
	for line := range strings.Lines(content("/proc/self/mounts")) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		rel, err := filepath.Rel(f[1], path)
		if err == nil && filepath.IsLocal(rel) && len(f[1]) >= longest {
			kind, longest = f[2], len(f[1])
		}
	}
	return kind
}
