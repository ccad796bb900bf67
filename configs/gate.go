package configs

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// Gate holds the rules that kas gate checks. The rules of the second group compare the output with
// that of an earlier run.
type Gate struct {
	// Verify wants that kas verify proves the output.
	Verify bool
	// These are of a build: errors and unreadable objects, unreadable objects, and duplicates.
	Problems     Limit `enum:"limit"`
	Unreadable   Limit `enum:"limit"`
	WithoutAlias Limit `yaml:"without_alias" enum:"limit"`

	Missing   Limit    // builds that the earlier run has
	Moved     Limit    // aliases of a build that do not hold
	Reused    Limit    // aliases of a build that name another symbol
	Undecided Limit    // aliases of a build that cannot be followed
	Ambiguous Limit    // names of functions that became ambiguous
	FailOn    []string `yaml:"fail_on"` // as for kas diff --fail-on
}

// Limit is the largest number that a rule allows.
type Limit struct {
	Set  bool
	Old  bool // as many as the earlier run had
	Most int
}

// limit decodes a number or, with the enumeration limit, its word.
func (l *loader) limit(n *yaml.Node, name, enum string) Limit {
	want := "a whole number"
	if enum != "" {
		if n.Kind == yaml.ScalarNode && slices.Contains(enums[enum], n.Value) {
			return Limit{Set: true, Old: true}
		}
		want += " or old"
	}
	most, ok := l.number(n, name, want)
	return Limit{Set: ok, Most: most}
}

// ReadGate returns the rules of the configuration at path, and its output folder. It ignores the
// builds, whose files need not be here. The error is nil or of type Errors.
func ReadGate(path string) (Gate, string, error) {
	l := newLoader(path)
	l.policyOnly = true
	p, err := l.read()
	if err != nil {
		return Gate{}, "", err
	}
	if errs := l.errors(); len(errs) > 0 {
		return Gate{}, "", errs
	}
	if len(l.gate) == 0 {
		msg := "no rules: gate is missing"
		if l.top["gate"].key != nil {
			msg = "no rules: gate is empty"
		}
		return Gate{}, "", Errors{{File: path, Msg: msg}}
	}
	return p.Gate, p.Out, nil
}
