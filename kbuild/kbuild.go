// Package kbuild is the kernel side: the hooks that stand for $(NM) and $(LD) in a kernel's build. They pass everything
// through to the real tools, but for two things: the lists of vmlinux that link-vmlinux.sh makes get alias lines, and a
// module is linked from X.o.kas in place of X.o.
package kbuild

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"kas/configs"
	"kas/pipeline"
)

// Hook is one call in place of a real tool.
type Hook struct {
	Args   []string // as make gave them, without the name of the hook
	Getenv func(string) string

	// Kas tells this program from every other: pipeline.Options. A call that is passed through does not ask.
	Kas func() string
}

// off says whether the hooks are switched off: then the tool is what it would be without kas.
func (h *Hook) off() bool { return h.Getenv("KAS") == "0" }

// tool takes --tool from the front of the arguments, which names the real tool; by default it is the one that kbuild
// takes by LLVM and CROSS_COMPILE. Options of the tool may follow its name, after blanks.
func (h *Hook) tool(gnu, llvm string) []string {
	if len(h.Args) > 0 {
		if tool, ok := strings.CutPrefix(h.Args[0], "--tool="); ok {
			h.Args = h.Args[1:]
			return strings.Fields(tool)
		}
	}
	if len(h.Args) > 1 && h.Args[0] == "--tool" {
		tool := h.Args[1]
		h.Args = h.Args[2:]
		return strings.Fields(tool)
	}
	switch suite := h.Getenv("LLVM"); {
	case strings.HasSuffix(suite, "/"): // a folder
		return []string{suite + llvm}
	case strings.HasPrefix(suite, "-"): // a version
		return []string{llvm + suite}
	case suite != "" && suite != "0":
		return []string{llvm}
	}
	return []string{h.Getenv("CROSS_COMPILE") + gnu}
}

// command is the real tool with its arguments, found on the path.
func command(tool, args []string) (*exec.Cmd, error) {
	if len(tool) == 0 {
		return nil, errors.New("--tool names no tool")
	}
	c := exec.Command(tool[0], append(slices.Clone(tool[1:]), args...)...)
	if errors.Is(c.Err, exec.ErrNotFound) {
		return nil, fmt.Errorf("the real tool %s is not on the path: name it with --tool", tool[0])
	}
	return c, c.Err
}

// pass becomes the real tool: what it prints and how it ends is its own. It returns only if there is none.
func pass(tool, args []string) error {
	c, err := command(tool, args)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", c.Path, syscall.Exec(c.Path, c.Args, os.Environ()))
}

// run runs the real tool and returns its exit status. Its standard output goes to stdout.
func run(tool, args []string, stdout *os.File) (status int, err error) {
	c, err := command(tool, args)
	if err != nil {
		return 0, err
	}
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, stdout, os.Stderr
	err = c.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// beside is what is written in a kernel's build: copies beside the modules' objects that have aliases.
var beside = configs.Emit{Beside: true, Unaliased: "skip"}

// options are those of a run within make: as many workers as its jobserver has tokens for.
func (h *Hook) options(t tree) (pipeline.Options, func()) {
	jobs, release := jobs(h.Getenv("MAKEFLAGS"))
	return pipeline.Options{Jobs: jobs, Cache: filepath.Join(t.state, "cache"), Kas: h.Kas(), All: true}, release
}
