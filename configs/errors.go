package configs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Error is one problem of a configuration. Line and Column count from 1; Line is 0 if the problem
// concerns the file as a whole.
type Error struct {
	File         string
	Line, Column int
	Msg          string
	cause        error // of the file system, nil if the configuration alone is wrong
}

// Unwrap returns the error of the file system, nil if the configuration alone is wrong.
func (e Error) Unwrap() error { return e.cause }

func (e Error) Error() string {
	switch {
	case e.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
	case e.File != "":
		return e.File + ": " + e.Msg
	}
	return e.Msg
}

// Errors holds all problems of a configuration, sorted by position.
type Errors []Error

// Unwrap returns all of the problems.
func (e Errors) Unwrap() []error {
	var all []error
	for i := range e {
		all = append(all, e[i])
	}
	return all
}

// mostErrors is how many problems Error prints. A file that is no configuration has one a line.
const mostErrors = 50

func (e Errors) Error() string {
	var lines []string
	for i := range e[:min(len(e), mostErrors)] {
		lines = append(lines, e[i].Error())
	}
	if more := len(e) - mostErrors; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", more))
	}
	return strings.Join(lines, "\n")
}

// At returns the error msg at the position of the build's key, or of the build itself if the build
// does not set the key.
func (b *Build) At(key, msg string) Error {
	pos, ok := b.at[key]
	if !ok {
		pos = b.at[""]
	}
	return Error{
		File: b.file, Line: pos.line, Column: pos.column, Msg: withCombo(msg, b.combo, 0),
	}
}

type position struct{ line, column int }

// at returns the position of n, or the zero position if n is nil.
func at(n *yaml.Node) position {
	if n == nil {
		return position{}
	}
	return position{n.Line, n.Column}
}

type problem struct {
	position
	msg, combo string
	cause      error
}

func (l *loader) errorf(n *yaml.Node, format string, args ...any) {
	l.errorAt(at(n), format, args...)
}

func (l *loader) errorAt(pos position, format string, args ...any) {
	pos = position{max(pos.line, 1), max(pos.column, 1)}
	err := fmt.Errorf(format, args...)
	l.problems = append(l.problems, problem{pos, err.Error(), l.combo, errors.Unwrap(err)})
}

// errors returns the sorted problems. Several uses of one anchor, or several combinations of one
// matrix, can report the same problem at the same position; errors returns it once.
func (l *loader) errors() Errors {
	slices.SortStableFunc(l.problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column),
			cmp.Compare(a.msg, b.msg))
	})
	var errs Errors
	for i := 0; i < len(l.problems); {
		p := l.problems[i]
		var combos []string
		for ; i < len(l.problems) && l.problems[i].position == p.position &&
			l.problems[i].msg == p.msg; i++ {
			if c := l.problems[i].combo; !slices.Contains(combos, c) {
				combos = append(combos, c)
			}
		}
		msg := withCombo(p.msg, combos[0], len(combos)-1)
		errs = append(errs, Error{l.file, p.line, p.column, msg, p.cause})
	}
	return errs
}

// withCombo adds the matrix combination that msg is about. more counts the other combinations
// with the same problem.
func withCombo(msg, combo string, more int) string {
	switch {
	case combo == "":
		return msg
	case more == 0:
		return fmt.Sprintf("%s (%s)", msg, combo)
	}
	return fmt.Sprintf("%s (%s, and %d more)", msg, combo, more)
}
