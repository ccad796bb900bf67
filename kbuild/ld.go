package kbuild

import (
	"os"
	"slices"
	"strings"
)

// LD takes the place of $(LD). It links a module from X.o.kas instead of X.o, keeps the debugging
// information of the first image of vmlinux, and passes every other call through. It returns the
// exit status, or an error of its own.
func LD(h Hook) (status int, err error) {
	tool, args := h.tool("ld", "ld.lld")
	if h.off() {
		return 0, pass(tool, args)
	}
	out := output(args)
	if passOf(out) == 1 {
		// NM reads the locations of this image's symbols from it.
		strips := func(a string) bool { return a == "--strip-debug" || a == "-S" }
		return 0, pass(tool, slices.DeleteFunc(slices.Clone(args), strips))
	}
	object := moduleObject(args, out)
	if object < 0 {
		return 0, pass(tool, args)
	}
	return h.linkModule(tool, args, object, out)
}

// linkModule links the module out. Its object is args[object].
func (h *Hook) linkModule(tool, args []string, object int, out string) (status int, err error) {
	path, s := args[object], h.session()
	copied, err := s.copied(path)
	if err != nil {
		return 0, err
	}
	if copied {
		args = slices.Clone(args)
		args[object] = path + ".kas"
	}
	globals, err := s.memory.globals(path)
	if err != nil {
		return 0, err
	}
	if len(globals) == 0 {
		return 0, pass(tool, args)
	}
	if status, err = run(tool, args, os.Stdout); err != nil || status != 0 {
		return status, err
	}
	if err := addGlobals(out, globals); err != nil {
		os.Remove(out) // else make would take it for finished
		return 0, err
	}
	return 0, nil
}

// output returns the file that a call of ld writes, "" if it names none.
func output(args []string) string {
	for i, a := range args {
		switch {
		case a == "-o" && i+1 < len(args):
			return args[i+1]
		case strings.HasPrefix(a, "-o") && len(a) > 2 && !strings.HasPrefix(a, "-oformat"):
			return a[2:]
		case strings.HasPrefix(a, "--output="):
			return a[len("--output="):]
		}
	}
	return ""
}

// moduleObject returns the index of X.o in the arguments of a module's final link, `ld -r ... -o
// X.ko X.o X.mod.o`. It returns -1 for any other call.
func moduleObject(args []string, out string) int {
	stem, ok := strings.CutSuffix(out, ".ko")
	if !ok || !slices.ContainsFunc(args,
		func(a string) bool { return a == "-r" || a == "--relocatable" }) {
		return -1
	}
	return slices.Index(args, stem+".o")
}
