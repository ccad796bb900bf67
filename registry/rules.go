package registry

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule is a condition that a difference may break.
type Rule struct{ kind, glob string }

// rules is what a rule may ask for, in the order in which they are listed.
var rules = []string{"growth", "ambiguous", "ambiguous:GLOB", "vanished:GLOB", "moved", "reused", "undecided"}

// ParseRule reads a rule: growth, ambiguous, ambiguous:GLOB, vanished:GLOB, moved, reused or undecided.
func ParseRule(text string) (Rule, error) {
	kind, glob, globbed := strings.Cut(text, ":")
	form := kind
	if globbed {
		form += ":GLOB"
	}
	if !slices.Contains(rules, form) {
		return Rule{}, fmt.Errorf("%q is none of %s", text, strings.Join(rules, ", "))
	}
	if _, err := path.Match(glob, ""); err != nil || globbed && glob == "" {
		return Rule{}, fmt.Errorf("%q: no pattern of a name", text)
	}
	return Rule{kind, glob}, nil
}

// String is the rule as ParseRule reads it.
func (r Rule) String() string {
	if r.glob != "" {
		return r.kind + ":" + r.glob
	}
	return r.kind
}

// Broken says what breaks the rule, "" if nothing does.
func (r Rule) Broken(d *Diff) string {
	switch r.kind {
	case "growth":
		if d.B.Ambiguous > d.A.Ambiguous {
			return fmt.Sprintf("%d names with aliases are ambiguous, and %d were", d.B.Ambiguous, d.A.Ambiguous)
		}
		return ""
	case "ambiguous", "vanished":
		return r.brokenByNames(d)
	}
	var found []string
	for i := range d.Aliases {
		t := &d.Aliases[i]
		switch {
		case t.Kind == KindNew:
		case r.kind == "moved" && !t.Holds(), r.kind == string(t.Kind):
			found = append(found, t.A.Alias)
		}
	}
	return told(found, map[string]string{
		"moved": "aliases of A that do not hold in B", "reused": "aliases of A that name other symbols in B",
		"undecided": "aliases of A that cannot be followed to B",
	}[r.kind])
}

// brokenByNames asks for functions that can no longer be named; with a pattern for every name that it takes, also one that
// no symbol carried in A.
func (r Rule) brokenByNames(d *Diff) string {
	var found []string
	for i := range d.Names {
		n := &d.Names[i]
		broken := false
		switch {
		case r.kind == "vanished":
			broken = n.Kind == KindVanished
		case r.glob == "":
			broken = n.Kind == KindBecameAmbiguous && n.Code
		default:
			broken = n.A <= 1 && n.B > 1
		}
		if match, _ := path.Match(r.glob, n.Name); broken && (match || r.glob == "") {
			found = append(found, n.Name)
		}
	}
	return told(found, map[string]string{"vanished": "names that vanished", "ambiguous": "names that became ambiguous"}[r.kind])
}

// told lists what was found, "" if nothing was.
func told(found []string, what string) string {
	const most = 5
	if len(found) == 0 {
		return ""
	}
	text := what + ": " + strings.Join(found[:min(len(found), most)], ", ")
	if more := len(found) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
