package registry

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rule is a condition that a Diff must meet.
type Rule struct{ kind, glob string }

// RuleForms are the forms of a rule, in the order in which they are listed.
var RuleForms = []string{
	"growth", "ambiguous", "ambiguous:GLOB", "vanished:GLOB", "moved", "reused", "undecided",
}

// ParseRule reads a rule: growth, ambiguous, ambiguous:GLOB, vanished:GLOB, moved, reused or
// undecided.
func ParseRule(text string) (Rule, error) {
	kind, glob, globbed := strings.Cut(text, ":")
	form := kind
	if globbed {
		form += ":GLOB"
	}
	if !slices.Contains(RuleForms, form) {
		return Rule{}, fmt.Errorf("%q is none of %s", text, strings.Join(RuleForms, ", "))
	}
	if _, err := path.Match(glob, ""); err != nil || globbed && glob == "" {
		return Rule{}, fmt.Errorf("%q: invalid glob", text)
	}
	return Rule{kind, glob}, nil
}

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	if r.glob != "" {
		return r.kind + ":" + r.glob
	}
	return r.kind
}

// ruleMeaning is what the names are that break a rule.
var ruleMeaning = map[string]string{
	"ambiguous": "names that became ambiguous",
	"vanished":  "names that vanished",
	"moved":     "aliases of A that do not hold in B",
	"reused":    "aliases of A that name other symbols in B",
	"undecided": "aliases of A that cannot be followed to B",
}

// Broken describes how the differences break the rule, "" if they do not.
func (r Rule) Broken(d *Diff) string {
	if r.kind != "growth" {
		return summary(ruleMeaning[r.kind], r.Found(d))
	}
	if d.B.Ambiguous > d.A.Ambiguous {
		return fmt.Sprintf("%d names with aliases are ambiguous, up from %d",
			d.B.Ambiguous, d.A.Ambiguous)
	}
	return ""
}

// Found returns the names or aliases that break the rule. Growth has none.
func (r Rule) Found(d *Diff) (found []string) {
	if r.kind == "ambiguous" || r.kind == "vanished" {
		return r.foundNames(d)
	}
	for i := range d.Aliases {
		t := &d.Aliases[i]
		switch {
		case t.Kind == KindNew:
		case r.kind == "moved" && !t.Holds(), r.kind == string(t.Kind):
			found = append(found, t.A.Alias)
		}
	}
	return found
}

// foundNames checks the rules on names. Without a glob, "ambiguous" means functions that had one
// symbol in A. With a glob it means any name, and also one that was not in A.
func (r Rule) foundNames(d *Diff) (found []string) {
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
	return found
}

// summary lists the first names after the label, "" if there are none.
func summary(label string, names []string) string {
	const most = 5
	if len(names) == 0 {
		return ""
	}
	text := label + ": " + strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
