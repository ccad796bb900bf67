package configs

import (
	"math"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Gate holds the rules that kas gate checks. The rules of the second group compare the output with
// that of an earlier run.
type Gate struct {
	Verify       bool  // kas verify proves the output
	Problems     Limit // of a build: errors and unreadable objects
	Unreadable   Limit // objects of a build
	WithoutAlias Limit `yaml:"without_alias"` // duplicates of a build

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

// limit decodes a number, or the word old.
func (l *loader) limit(n *yaml.Node, name string) (limit Limit) {
	if n.Kind == yaml.ScalarNode && n.Value == "old" {
		switch name {
		case "problems", "unreadable", "without_alias":
			return Limit{Set: true, Old: true}
		}
		l.errorf(n, "%s: compares with the earlier run already; want a number", name)
		return limit
	}
	most, err := strconv.Atoi(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil:
		l.errorf(n, "%s: want a whole number or old, got %s", name, describe(n))
	case most < 0 || most > math.MaxInt32:
		l.errorf(n, "%s: %s is out of range", name, n.Value)
	default:
		return Limit{Set: true, Most: most}
	}
	return limit
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
