// Package kbuild is the kernel side: the hooks that stand for $(NM) and $(LD) in a kernel's build. They pass everything
// through to the real tools, but for two things: the lists of vmlinux that link-vmlinux.sh makes get alias lines, and a
// module is linked from X.o.kas in place of X.o.
package kbuild

import (
	"fmt"
	"os"
	"path/filepath"
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
func command(tool, args []string) (path string, argv []string, err error) {
	if len(tool) == 0 {
		return "", nil, fmt.Errorf("--tool names no tool")
	}
	path, err = lookPath(tool[0])
	return path, append(append([]string{}, tool...), args...), err
}

func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		_, err := os.Stat(name)
		return name, err
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("the real tool %s is not on the path: name it with --tool", name)
}

// pass becomes the real tool: what it prints and how it ends is its own. It returns only if there is none.
func pass(tool, args []string) error {
	path, argv, err := command(tool, args)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, syscall.Exec(path, argv, os.Environ()))
}

// run runs the real tool and returns its exit status. Its standard output goes to stdout.
func run(tool, args []string, stdout *os.File) (status int, err error) {
	path, argv, err := command(tool, args)
	if err != nil {
		return 0, err
	}
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Files: []*os.File{os.Stdin, stdout, os.Stderr}})
	if err != nil {
		return 0, err
	}
	state, err := p.Wait()
	if err != nil {
		return 0, err
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return state.ExitCode(), nil
}

// policy is what the configuration says of aliases: that of KAS_CONFIG, else the defaults. What a kernel's build makes of
// them is for the hooks.
func (h *Hook) policy() (configs.Build, error) {
	b, err := configs.Policy(h.Getenv("KAS_CONFIG"))
	b.Name, b.Emit = "kbuild", configs.Emit{Unaliased: "skip"}
	return b, err
}

// options are those of a run within make: as many workers as its jobserver has tokens for.
func (h *Hook) options(t tree) (pipeline.Options, func()) {
	jobs, release := jobs(h.Getenv("MAKEFLAGS"))
	return pipeline.Options{Jobs: jobs, Cache: filepath.Join(t.state, "cache"), Kas: h.Kas(), All: true}, release
}
