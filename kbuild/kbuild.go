// Package kbuild puts aliases into a kernel while it is built. Its hooks take the place of kbuild's
// $(NM) and $(LD). They run the real tools, with two exceptions: the symbol lists of vmlinux that
// link-vmlinux.sh requests get alias lines, and a module is linked from a copy of X.o with
// aliases.
//
// The package also names the symbols of modules that are built after their kernel (External) and
// makes the hooks an option of a kernel's configuration (Install).
//
// NM, LD, Object and Finish are the entry points of the hooks. Below them, a session is one call
// with its settings, tree is the build folder, spec is a run of the stages, and memory is what one
// call leaves for the next.
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
)

// Hook is one call of a hook.
type Hook struct {
	Args   []string // as make passes them, without the name of the hook
	Getenv func(string) string

	// Kas returns an identifier of this program: pipeline.Options.Kas. A call that is passed
	// through does not need it.
	Kas func() string

	root string // for tests: the folder where installed kernels are, "" for /
}

// off reports whether the hooks are switched off: the call then does what it does without kas.
func (h *Hook) off() bool { return h.Getenv("KAS") == "0" }

// tool returns the real tool of a hook and what to pass to it.
func (h *Hook) tool(hook string) (tool, args []string) {
	c := parse(h.Args)
	return c.real(hook, h.Getenv), c.args
}

// oneWord refuses a hook of two words in a build with LTO. kbuild itself would fail there later,
// with an error that does not name it. file is the output of the link or the file to list: for
// those of link-vmlinux.sh, the option of Install sets such an NM, and nothing else reads it.
func (h *Hook) oneWord(file string) error {
	if !twoWords(h.Getenv) || strings.Contains(filepath.Base(file), "vmlinux") {
		return nil
	}
	return fmt.Errorf("NM=%q does not work with LTO, because kbuild takes it for a single word: "+
		"use NM=kas-nm LD=kas-ld", h.Getenv("NM"))
}

// command finds the real tool on the PATH.
func command(tool, args []string) (*exec.Cmd, error) {
	if len(tool) == 0 {
		return nil, errors.New("--tool is empty: name the real tool")
	}
	c := exec.Command(tool[0], append(slices.Clone(tool[1:]), args...)...)
	if errors.Is(c.Err, exec.ErrNotFound) {
		return nil, fmt.Errorf("the real tool %s is not on the path: name it with --tool", tool[0])
	}
	return c, c.Err
}

// pass replaces this process by the real tool. It returns only if that fails.
func pass(tool, args []string) error {
	c, err := command(tool, args)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", c.Path, syscall.Exec(c.Path, c.Args, os.Environ()))
}

// run runs the real tool with its standard output on stdout, and returns its exit status as a shell
// reports it.
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
