package configs

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// axes names the axes of a matrix whose values a build has. A matrix may have others, for names and
// paths.
var axes = [...]string{"arch", "toolchain", "lto"}

// axis is an axis of a matrix with its values.
type axis struct {
	name   string
	values []*yaml.Node
}

// axisValue is a value for a placeholder: of an axis, or what a part of a glob matched.
type axisValue struct {
	name  string
	value *yaml.Node
}

// combination has a value for each axis of a matrix.
type combination []axisValue

// of returns the value for a placeholder, nil if there is none.
func (c combination) of(name string) *yaml.Node {
	for _, v := range c {
		if v.name == name {
			return v.value
		}
	}
	return nil
}

func (c combination) String() string {
	var s []string
	for _, v := range c {
		s = append(s, v.name+" "+v.value.Value)
	}
	return strings.Join(s, ", ")
}

var axisName = lazily(`^[a-z_][a-z0-9_]*$`)

// take takes a list with another name for an axis, unless the name is nearly that of a known key.
func (m *matrixKeys) take(l *loader, p pair) bool {
	valid := append(axes[:], "exclude", "build")
	name := p.key.Value
	if p.val.Kind != yaml.SequenceNode || !axisName().MatchString(name) ||
		nearest(name, valid) != "" {
		return false
	}
	same := func(a axis) bool { return a.name == name }
	if slices.ContainsFunc(m.free, same) {
		return true // set explicitly or by an earlier merge
	}
	free := axis{name: name}
	for _, item := range l.sequence(p.val, name, "") {
		equal := func(o *yaml.Node) bool { return o.Value == item.Value }
		switch {
		case item.Kind != yaml.ScalarNode || item.Value == "" || item.ShortTag() == "!!null":
			l.errorf(item, "%s: want a value, got %s", name, describe(item))
		case slices.ContainsFunc(free.values, equal):
			l.errorf(item, "%s: %q is listed twice", name, item.Value)
		default:
			free.values = append(free.values, item)
		}
	}
	m.free = append(m.free, free)
	return true
}

// matrix expands a template into a build for every combination that is not excluded.
func (l *loader) matrix(p *Plan, n *yaml.Node) {
	var m matrixKeys
	set := l.mapping(n, &m, "matrix")
	if set == nil {
		return
	}
	if m.Build == nil {
		l.errorf(n, "a matrix has no build: the template of its builds")
		return
	}
	var given []axis
	for i, values := range [][]*yaml.Node{m.Arch, m.Toolchain, m.LTO} {
		if set[axes[i]].key != nil {
			given = append(given, axis{axes[i], values})
		}
	}
	given = append(given, m.free...)
	if len(given) == 0 {
		l.errorf(n, "a matrix needs arch, toolchain or lto, at least one, or an axis of its own")
		return
	}
	all := l.product(n, given)
	if len(all) == 0 { // an axis without a valid value, reported already
		return
	}
	left := all
	for _, x := range m.Exclude {
		if matches := l.exclude(x, given); matches != nil {
			if !slices.ContainsFunc(all, matches) {
				l.errorf(x, "exclude: matches no combination")
			}
			left = slices.DeleteFunc(slices.Clone(left), matches)
		}
	}
	if len(left) == 0 {
		l.errorf(n, "every combination of the matrix is excluded")
	}
	for _, c := range left {
		l.combo = "matrix: " + c.String()
		l.build(p, l.fillIn(m.Build, c, nil), "build", c)
	}
	l.combo = ""
}

// product returns every combination of values.
func (l *loader) product(n *yaml.Node, given []axis) []combination {
	all := []combination{nil}
	for _, a := range given {
		var next []combination
		for _, c := range all {
			for _, v := range a.values {
				if !l.spend(n) {
					return nil
				}
				next = append(next, append(slices.Clone(c), axisValue{a.name, v}))
			}
		}
		all = next
	}
	return all
}

// take takes a value of an axis of the matrix.
func (x *excludeKeys) take(l *loader, p pair) bool {
	same := func(a axis) bool { return a.name == p.key.Value }
	if !slices.ContainsFunc(x.axes, same) {
		return false
	}
	if p.val.Kind != yaml.ScalarNode {
		l.errorf(p.val, "%s: want a value, got %s", p.key.Value, describe(p.val))
	}
	if _, set := x.free[p.key.Value]; !set {
		x.free[p.key.Value] = p.val.Value
	}
	return true
}

// exclude returns whether n, an entry of exclude, matches a combination, or nil if n is invalid.
func (l *loader) exclude(n *yaml.Node, given []axis) func(combination) bool {
	x := excludeKeys{axes: given, free: map[string]string{}}
	before := len(l.problems)
	if l.mapping(n, &x, "exclude"); len(l.problems) > before {
		return nil
	}
	for i, want := range []string{x.Arch, x.Toolchain, x.LTO} {
		if want != "" {
			x.free[axes[i]] = want
		}
	}
	return func(c combination) bool {
		for name, want := range x.free {
			value := c.of(name)
			if value == nil || canonicalArch(want) != canonicalArch(value.Value) {
				return false
			}
		}
		return true
	}
}

// placeholders matches {NAME} and ${NAME}. A ${NAME} that no axis has is an environment variable.
var placeholders = lazily(`\$?\{\w+\}`)

// fillIn copies the tree of n, with YAML aliases expanded and placeholders such as {arch}
// replaced in string values. Positions stay. within holds the nodes around n.
func (l *loader) fillIn(n *yaml.Node, c combination, within []*yaml.Node) *yaml.Node {
	n = deref(n)
	filled := *n
	if !l.spend(n) {
		return &filled
	}
	if slices.Contains(within, n) {
		l.errorf(n, "an anchor contains its own alias")
		filled.Content = nil
		return &filled
	}
	within = append(within, n)
	filled.Content = slices.Clone(n.Content)
	for i, item := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 { // not a key
			filled.Content[i] = l.fillIn(item, c, within)
		}
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		filled.Value = placeholders().ReplaceAllStringFunc(n.Value, func(found string) string {
			return l.placeholder(n, found, c)
		})
	}
	return &filled
}

// placeholder returns what replaces a placeholder in n.
func (l *loader) placeholder(n *yaml.Node, found string, c combination) string {
	name := strings.Trim(found, "${}")
	value := c.of(name)
	switch {
	case value != nil:
		return value.Value
	case found[0] == '$':
	case c.of("0") == nil && slices.Contains(axes[:], name):
		l.errorf(n, "%s: the matrix has no %s", found, name)
	default:
		l.errorf(n, "unknown placeholder %s; there are %s", found, c.placeholders())
	}
	return found
}

// placeholders lists the placeholders that there are.
func (c combination) placeholders() string {
	var names []string
	if c.of("0") == nil {
		names = append(names, axes[:]...)
	}
	for _, v := range c {
		if !slices.Contains(names, v.name) {
			names = append(names, v.name)
		}
	}
	return "{" + strings.Join(names, "}, {") + "}"
}
