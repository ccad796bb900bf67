// Package configs reads the YAML file that tells kas what to do: which kernel builds there are, where their files lie
// and how their duplicates are to be named. It also holds the configurations that ship with kas.
package configs

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// FS holds the shipped configurations: example.yaml, matrix.yaml, debian.yaml and kbuild.yaml.
//
//go:embed *.yaml
var FS embed.FS

// Plan is a loaded configuration: matrix expanded, overrides merged, paths resolved against the file's folder.
type Plan struct {
	File    string   // path of the configuration as given
	Out     string   // resolved output folder
	Jobs    int      // 0 = all cores
	OnError string   // "continue" | "stop"
	Builds  []Build  // never empty after Load
	Skipped []string // names of the optional builds none of whose files is here

	// relative tells which resolved paths were written relative to the file; Effective writes these relative again.
	relative map[string]bool
}

// Build is one kernel: one vmlinux and its modules, of one arch and one toolchain.
type Build struct {
	Name      string
	Arch      string   // "" (any) | x86_64 i386 arm64 arm s390x powerpc64le powerpc64 mips64 mips riscv64 loongarch64
	Toolchain string   // "" | gcc | llvm
	LTO       string   // "" | none | thin | full
	Vmlinux   string   // resolved path; "" if the build has none
	Modules   []string // resolved entries, for ModuleFiles: list file, folder, module or glob; a literal *, ?, [ or \ has a \ before it
	Source    []string // source roots as written: they are prefixes inside DWARF paths
	Alias     Alias
	Stages    []string // subset of scan, dedupe, normalize, resolve, emit, stats in this order
	Emit      Emit

	file  string
	combo string              // the matrix combination the build was expanded from
	at    map[string]position // of each key's value; "" is the build itself
	found []ModuleFile        // what Modules stands for, once Load has looked
}

// Alias says which symbols get an alias and how it is spelled.
type Alias struct {
	Separator string // between name and location
	Line      string // opening | declaration | none
	Symbols   string // text | data | all
	Names     Names
	MaxLength int // in bytes; 0 = by kernel version
	Never     Never

	// SuffixFree gives a symbol that link-time optimization renamed its own name back as an alias (foo.llvm.123: foo)
	// if no other symbol of the build bears that name.
	SuffixFree bool
}

// Names selects symbols by name. The zero value means duplicates only.
type Names struct {
	All   bool
	Globs []string
}

// Never holds regular expressions on the whole symbol name; a symbol that matches gets no alias.
type Never struct {
	Replace  bool // Patterns stand in place of the built-in ones, not beside them
	Patterns []string
}

// Emit says what is written.
type Emit struct {
	Beside    bool   // X.o.kas lies beside X.o, not in the output folder
	Unaliased string // what becomes of a module without aliases: skip | link
}

// Error is one problem of a configuration. Line and Column count from 1; Line is 0 if the problem has no place in the file.
type Error struct {
	File         string
	Line, Column int
	Msg          string
}

func (e Error) Error() string {
	switch {
	case e.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
	case e.File != "":
		return e.File + ": " + e.Msg
	}
	return e.Msg
}

// Errors are all problems of a configuration, sorted by position.
type Errors []Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Load reads the configuration at path and checks it against the file system. The error, if any, is of type Errors and
// holds every problem there is.
func Load(path string) (*Plan, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	l := newLoader(path)
	p := l.parse(data)
	l.checkFiles(p)
	if errs := l.errors(); len(errs) > 0 {
		return nil, errs
	}
	return p, nil
}

// Policy reads what a configuration says for all its builds, and looks at none of them: the hooks of kbuild know their
// tree. Without a path it is the defaults. The error is of type Errors.
func Policy(path string) (Build, error) {
	if path == "" {
		return defaults(), nil
	}
	data, err := read(path)
	if err != nil {
		return Build{}, err
	}
	l := newLoader(path)
	l.policyOnly = true
	l.parse(data)
	if errs := l.errors(); len(errs) > 0 {
		return Build{}, errs
	}
	return l.base, nil
}

func read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path stands in front of the message anyway
		}
		return nil, Errors{{File: path, Msg: err.Error()}}
	}
	return data, nil
}

// At returns the error msg at the position of the build's key, or of the build itself if it does not have the key.
func (b *Build) At(key, msg string) Error {
	pos, ok := b.at[key]
	if !ok {
		pos = b.at[""]
	}
	return Error{File: b.file, Line: pos.line, Column: pos.column, Msg: withCombo(msg, b.combo, 0)}
}

type position struct{ line, column int }

// loader gathers the problems of one file.
type loader struct {
	file     string
	problems []problem
	combo    string // what is being expanded, for the messages
	budget   int    // nodes still to be visited: aliases can make a small file huge
	env      func(string) (string, bool)

	policyOnly bool  // builds are not looked at
	base       Build // what holds for all builds

	top   rawFile
	paths []buildPaths // of the plan's builds, by index
}

type problem struct {
	position
	msg, combo string
}

const maxNodes = 200_000

func newLoader(path string) *loader {
	return &loader{file: path, budget: maxNodes, env: os.LookupEnv}
}

func (l *loader) errorAt(pos position, format string, args ...any) {
	pos = position{max(pos.line, 1), max(pos.column, 1)}
	l.problems = append(l.problems, problem{pos, fmt.Sprintf(format, args...), l.combo})
}

// errors sorts the problems and folds those that several uses of one anchor or several combinations of one matrix share.
func (l *loader) errors() Errors {
	slices.SortStableFunc(l.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.msg, b.msg))
	})
	var errs Errors
	for i := 0; i < len(l.problems); {
		p := l.problems[i]
		var combos []string
		for ; i < len(l.problems) && l.problems[i].position == p.position && l.problems[i].msg == p.msg; i++ {
			if c := l.problems[i].combo; !slices.Contains(combos, c) {
				combos = append(combos, c)
			}
		}
		msg := withCombo(p.msg, combos[0], len(combos)-1)
		errs = append(errs, Error{File: l.file, Line: p.line, Column: p.column, Msg: msg})
	}
	return errs
}

func withCombo(msg, combo string, more int) string {
	switch {
	case combo == "":
		return msg
	case more == 0:
		return fmt.Sprintf("%s (matrix: %s)", msg, combo)
	}
	return fmt.Sprintf("%s (matrix: %s, and %d more)", msg, combo, more)
}
