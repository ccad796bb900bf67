package kbuild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// oldest is the first version that Install accepts. Earlier ones link modules in another way.
var oldest = [2]int{6, 1}

// proved are the versions of which kbuild/lab built and booted a kernel with the option.
var proved = []string{"6.1", "6.12", "7.3"}

// Unproved returns what is to be said of a version that KernelVersion returned, "" if the option is
// proved on it. Any other version is accepted if every anchor is in its files exactly once.
func Unproved(version string) string {
	if slices.Contains(proved, version) {
		return ""
	}
	return fmt.Sprintf("the option is not proved on Linux %s, only on %s: all places that kas "+
		"changes are as they are there", version, strings.Join(proved, ", "))
}

// Changes are changes of a tree's files.
type Changes []Change

// Change is the change of one file.
type Change struct {
	File          string // relative to the tree
	Before, After string

	path string
	mode fs.FileMode
}

// Install returns the changes that add the option to a kernel's source tree, none if the tree has
// it. It writes nothing.
func Install(tree string) (Changes, error) {
	if err := checkVersion(tree); err != nil {
		return nil, err
	}
	return changes(tree, func(path, plain string, all []insertion) (string, error) {
		var missing []error
		for _, in := range all {
			var err error
			if plain, err = in.into(plain); err != nil {
				missing = append(missing, fmt.Errorf("%s: %w", path, err))
			}
		}
		return plain, errors.Join(missing...)
	})
}

// Remove returns the changes that restore a tree as it was before Install, none if it does not have
// the option. It writes nothing.
func Remove(tree string) (Changes, error) {
	return changes(tree, func(_, plain string, _ []insertion) (string, error) { return plain, nil })
}

// edit returns the new text of the file at path. plain is its text without the option.
type edit func(path, plain string, all []insertion) (string, error)

// changes returns the files whose text differs after the edit, or all problems.
func changes(tree string, e edit) (Changes, error) {
	var list Changes
	var problems []error
	for _, f := range insertions {
		c, err := f.change(tree, e)
		if err != nil {
			problems = append(problems, err)
		} else if c.After != c.Before {
			list = append(list, c)
		}
	}
	return list, errors.Join(problems...)
}

// change reads one file and edits its text.
func (f *fileInsertions) change(tree string, e edit) (Change, error) {
	c := Change{File: f.file, path: filepath.Join(tree, f.file)}
	info, err := os.Lstat(c.path)
	if err != nil {
		return c, err
	}
	if !info.Mode().IsRegular() {
		// The target of a link may be part of another tree.
		return c, fmt.Errorf("%s is not a regular file", c.path)
	}
	c.mode = info.Mode().Perm()
	data, err := os.ReadFile(c.path)
	if err != nil {
		return c, err
	}
	c.Before = string(data)
	plain, err := without(c.Before, f.all)
	if err != nil {
		return c, fmt.Errorf("%s%w", c.path, err)
	}
	c.After, err = e(c.path, plain, f.all)
	return c, err
}

// KernelVersion returns the version of a source tree, for example 6.12.
func KernelVersion(tree string) (string, error) {
	major, minor, err := kernelVersion(tree)
	return fmt.Sprintf("%d.%d", major, minor), err
}

var versionLine = lazily(`(?m)^(VERSION|PATCHLEVEL) *= *([0-9]+)$`)

func kernelVersion(tree string) (major, minor int, err error) {
	path := filepath.Join(tree, "Makefile")
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, fmt.Errorf("%s is not a kernel source tree: %w", tree, err)
	}
	found := map[string]int{}
	for _, m := range versionLine().FindAllStringSubmatch(string(data), -1) {
		if _, twice := found[m[1]]; !twice {
			found[m[1]], _ = strconv.Atoi(m[2])
		}
	}
	if len(found) != 2 {
		return 0, 0, fmt.Errorf(
			"%s is not a kernel source tree: %s has no lines VERSION = and PATCHLEVEL =",
			tree, path)
	}
	return found["VERSION"], found["PATCHLEVEL"], nil
}

// checkVersion refuses trees that are too old. Whether kas can change a later one depends on the
// anchors in its files.
func checkVersion(tree string) error {
	major, minor, err := kernelVersion(tree)
	if err == nil && (major < oldest[0] || major == oldest[0] && minor < oldest[1]) {
		err = fmt.Errorf("%s is Linux %d.%d: kas needs %d.%d or later", tree, major, minor,
			oldest[0], oldest[1])
	}
	return err
}

// Write makes the changes. Every file keeps its mode and is written whole or not at all. If one
// cannot be written, the others are restored.
func (list Changes) Write() (err error) {
	var done []Change
	defer func() {
		if err == nil {
			return
		}
		for _, c := range list {
			os.Remove(c.temporary())
		}
		for _, c := range done {
			c.After = c.Before
			if e := c.stage(); e == nil {
				e = os.Rename(c.temporary(), c.path)
				err = errors.Join(err, e)
			}
		}
	}()
	for _, c := range list {
		if err = c.stage(); err != nil {
			return err
		}
	}
	for _, c := range list {
		if err = os.Rename(c.temporary(), c.path); err != nil {
			return err
		}
		done = append(done, c)
	}
	return nil
}

// temporary returns the same name each time, so that a run overwrites what a killed one left.
func (c Change) temporary() string {
	return filepath.Join(filepath.Dir(c.path), "."+filepath.Base(c.path)+".kas.tmp")
}

// stage writes the new text to the temporary file.
func (c Change) stage() error {
	f, err := os.OpenFile(c.temporary(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, c.mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.After)
	// The umask applies to the mode of a new file. A script must stay executable.
	return errors.Join(err, f.Chmod(c.mode), f.Close())
}

// Diff writes the changes for patch -p1.
func (list Changes) Diff(w io.Writer) error {
	for _, c := range list {
		text := diff.Diff("a/"+c.File, []byte(c.Before), "b/"+c.File, []byte(c.After))
		_, hunks, _ := bytes.Cut(text, []byte("\n")) // the first line repeats the names
		if _, err := w.Write(hunks); err != nil {
			return err
		}
	}
	return nil
}
