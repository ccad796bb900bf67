package kbuild

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"kas/pipeline"
)

// Object makes the copy of a module's object that bears its aliases, X.o.kas of X.o, for a tree in which it is a target of
// its own. A module without aliases gets a symbolic link to X.o there. What is right already is left alone.
func Object(h Hook, object string) error {
	if h.off() {
		return link(object)
	}
	copied, err := h.copied(h.treeHere(), object)
	if err != nil || copied {
		return err
	}
	return link(object)
}

// link stands X.o itself in the place of its copy.
func link(object string) error {
	target := object + ".kas"
	if to, err := os.Readlink(target); err == nil && to == filepath.Base(object) {
		return nil
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return pipeline.Symlink(filepath.Base(object), target)
}

// Finish adds to a module that was linked from X.o.kas the aliases of its global symbols.
func Finish(h Hook, module, object string) error {
	if h.off() {
		return nil
	}
	t := h.treeHere()
	if _, err := h.copied(t, object); err != nil {
		return err
	}
	globals, err := t.globals(object)
	if err != nil || len(globals) == 0 {
		return err
	}
	return addGlobals(module, globals)
}
