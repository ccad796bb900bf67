package kbuild

import (
	"os"
	"slices"
)

// LD takes the place of $(LD). It links a module from the copy of X.o that has aliases, finds the
// aliases of the first image of vmlinux, and passes every other call through. It returns the exit
// status, or an error of its own.
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
		return h.linkFirst(tool, args, l)
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

// linkFirst links the first image of vmlinux. kbuild strips its debugging information, to save the
// linker most of its work. So the aliases are those of the object that it is linked from. If they
// cannot be matched with the image, it is linked again with its debugging information, and NM reads
// the locations of its symbols from it.
func (h *Hook) linkFirst(tool, args []string, l link) (status int, err error) {
	strips := func(a string) bool { return a == "--strip-debug" || a == "-S" }
	s := h.session()
	if err := s.memory.forget(firstFile); err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(l.args, strips) {
		return 0, pass(tool, args)
	}
	if !s.memory.exists(slowFile) {
		status, err := run(tool, args, os.Stdout)
		if err != nil || status != 0 {
			return status, err
		}
		matched, err := s.matchObject(l.out)
		if err != nil {
			os.Remove(l.out)
			return 0, err
		}
		if matched {
			return 0, nil
		}
	}
	return 0, pass(tool, slices.DeleteFunc(l.args, strips))
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
