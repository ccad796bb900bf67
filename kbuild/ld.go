package kbuild

import (
	"os"
	"slices"
)

// LD takes the place of $(LD). It links a module from the copy of X.o that has aliases, keeps the
// debugging information of the first image of vmlinux, and passes every other call through. It
// returns the exit status, or an error of its own.
func LD(h Hook) (status int, err error) {
	tool, args := h.tool("ld")
	l, err := parseLink(args)
	if word := h.oneWord(l.out); word != nil {
		return 0, word
	}
	if h.off() {
		return 0, pass(tool, args)
	}
	if err != nil {
		return 0, err
	}
	if passOf(l.out) == 1 {
		// NM reads the locations of this image's symbols from it.
		strips := func(a string) bool { return a == "--strip-debug" || a == "-S" }
		return 0, pass(tool, slices.DeleteFunc(l.args, strips))
	}
	object, err := l.moduleObject()
	if err != nil {
		return 0, err
	}
	if object < 0 {
		return 0, pass(tool, args)
	}
	return h.linkModule(tool, l.args, object, l.out)
}

// linkModule links the module out. Its object is args[object].
func (h *Hook) linkModule(tool, args []string, object int, out string) (status int, err error) {
	path, s := args[object], h.session()
	copied, globals, err := s.copied(path)
	if err != nil {
		return 0, err
	}
	if copied {
		args = slices.Clone(args)
		args[object] = s.copyOf(path)
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
