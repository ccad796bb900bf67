package kbuild

import (
	"os"
	"path/filepath"

	"kas/pipeline"
)

// Object makes X.o.kas, the copy of a module's object X.o with its aliases, in a tree where the
// copy is a make target. For a module without aliases X.o.kas is a symbolic link to X.o. A file
// that is right already is left alone.
func Object(h Hook, object string) error {
	if h.off() {
		return linkPlain(object)
	}
	s := h.session()
	s.linked = true
	copied, _, err := s.copied(object)
	if err != nil || copied {
		return err
	}
	return linkPlain(object)
}

// linkPlain makes X.o.kas a symbolic link to X.o.
func linkPlain(object string) error {
	target := object + ".kas"
	if to, err := os.Readlink(target); err == nil && to == filepath.Base(object) {
		return nil
	}
	return pipeline.Symlink(filepath.Base(object), target)
}

// Finish adds the aliases of its global symbols to a module that was linked from X.o.kas.
func Finish(h Hook, module, object string) error {
	if h.off() {
		return nil
	}
	s := h.session()
	s.linked = true
	_, globals, err := s.copied(object)
	if err != nil || len(globals) == 0 {
		return err
	}
	return addGlobals(module, globals)
}
