package kbuild

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// link is what kas needs to know of a call of ld. The linker's options have many spellings (GNU ld
// manual, "Command-line Options"): all that select the output or a relocatable link are understood
// here, or refused.
type link struct {
	args        []string // of the call, with those of response files (@FILE) in their places
	out         string   // the output, "" if the call names none
	relocatable bool
}

// shortFlags are the one-letter options of ld without an argument. In GNU ld several may share a
// dash, but not if the first is r or i.
const shortFlags = "rigsSxXtvVMnNEqd"

// parseLink reads the arguments of a call of ld. As in ld, the last output counts.
func parseLink(args []string) (link, error) {
	l := link{args: expand(args, 0)}
	for i := 0; i < len(l.args); i++ {
		a := l.args[i]
		value := func() {
			if i+1 < len(l.args) {
				i++
				l.out = l.args[i]
			}
		}
		name, dashes := strings.CutPrefix(a, "--")
		long, text, joined := strings.Cut(name, "=")
		letters, dash := strings.CutPrefix(a, "-")
		flags := strings.TrimLeft(letters, shortFlags)
		switch {
		case dashes && len(long) > 1 && strings.HasPrefix("output", long):
			if l.out = text; !joined {
				value()
			}
		case dashes && len(long) > 4 && strings.HasPrefix("relocatable", long),
			a == "-relocatable", a == "-Ur", a == "--Ur":
			l.relocatable = true
		case dashes || !dash:
		case a == "-o":
			value()
		case letters[:min(1, len(letters))] == "o" && !strings.HasPrefix(a, "-oformat"):
			l.out = letters[1:]
		case flags == "":
			l.relocatable = l.relocatable || strings.ContainsAny(letters, "ri")
		case a != "-rosegment" && flags[0] == 'o' &&
			strings.ContainsAny(letters[:len(letters)-len(flags)], "ri"):
			return l, fmt.Errorf(
				"%s: kas does not know how the linker reads this: write -r -o FILE", a)
		}
	}
	return l, nil
}

// expand puts the arguments in response files in the places of @FILE. As in ld, a file that cannot
// be read is an argument itself. A response file may name others.
func expand(args []string, depth int) []string {
	const deepest = 100
	var all []string
	for _, a := range args {
		if file, ok := strings.CutPrefix(a, "@"); ok && depth < deepest {
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				if text, err := os.ReadFile(file); err == nil {
					all = append(all, expand(splitArgs(string(text)), depth+1)...)
					continue
				}
			}
		}
		all = append(all, a)
	}
	return all
}

// splitArgs splits the text of a response file: at white space, except in quotes or after a
// backslash.
func splitArgs(text string) (args []string) {
	var word []byte
	var quote byte
	inWord := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			word, inWord = append(word, text[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case quote == 0 && strings.IndexByte(" \t\n\r\f\v", c) >= 0:
			if inWord {
				args = append(args, string(word))
			}
			word, inWord = word[:0], false
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		args = append(args, string(word))
	}
	return args
}

// moduleObject returns the index of X.o in the arguments of a module's final link, `ld -r ... -o
// X.ko X.o X.mod.o`. It returns -1 for any other call. The link of a module from other objects is
// an error: the module would not get its aliases.
func (l *link) moduleObject() (int, error) {
	stem, ok := strings.CutSuffix(absolute(l.out), ".ko")
	if !ok || l.out == "" || !l.relocatable {
		return -1, nil
	}
	is := func(name string) func(string) bool {
		return func(a string) bool { return a != "" && a[0] != '-' && absolute(a) == name }
	}
	if i := slices.IndexFunc(l.args, is(stem+".o")); i >= 0 {
		return i, nil
	}
	if slices.ContainsFunc(l.args, is(stem+".mod.o")) &&
		!slices.ContainsFunc(l.args, is(stem+".o.kas")) {
		return -1, fmt.Errorf("%s is linked, but not from %s.o: it would have no aliases", l.out,
			filepath.Base(stem))
	}
	return -1, nil
}
