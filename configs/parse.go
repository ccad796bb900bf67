package configs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// The keys of mappings whose values are decoded further.
type (
	fileKeys struct {
		Version        int
		Out            string
		Jobs           int
		OnError        string `yaml:"on_error" enum:"on_error"`
		Alias          Alias
		Stages         []string `enum:"stages"`
		Emit           Emit
		Debug          []string
		Report         Report
		Gate           Gate
		Builds, Matrix []*yaml.Node
	}
	buildKeys struct {
		Build    `yaml:",inline"`
		Optional bool
	}
	matrixKeys struct {
		Arch      []*yaml.Node `enum:"arch"`
		Toolchain []*yaml.Node `enum:"toolchain"`
		LTO       []*yaml.Node `enum:"lto"`
		Exclude   []*yaml.Node
		Build     *yaml.Node
	}
	excludeKeys struct {
		Arch      string `enum:"arch"`
		Toolchain string `enum:"toolchain"`
		LTO       string `enum:"lto"`
	}
	neverKeys struct{ Add, Replace []string }
)

// parse returns the plan that data describes, without looking at the file system. If there are
// problems, the plan holds what could be understood.
func (l *loader) parse(data []byte) *Plan {
	p := &Plan{File: l.file, relative: l.relative}
	root := l.document(data)
	if root == nil {
		return p
	}
	base := defaults()
	base.file = l.file
	file := fileKeys{
		Version: 1, Out: "out", OnError: "continue",
		Alias: base.Alias, Stages: base.Stages, Emit: base.Emit,
	}
	l.top = l.mapping(root, &file, "the configuration")
	if l.top == nil || l.budget <= 0 {
		return p
	}
	has := func(key string) bool { return l.top[key].key != nil }
	switch {
	case !has("version"):
		l.errorf(root, "version is missing; write `version: 1`")
	case file.Version != 1:
		l.errorf(l.top["version"].val, "version %d is not supported; this kas reads version 1",
			file.Version)
	}
	if !has("builds") && !has("matrix") && !l.policyOnly {
		l.errorf(root, "nothing to do: builds or matrix is missing")
	}
	p.Jobs, p.OnError = file.Jobs, file.OnError
	p.Out, p.Report, p.Gate = l.out(file.Out), file.Report, file.Gate
	base.Alias, base.Stages, base.Emit = file.Alias, file.Stages, file.Emit
	base.Debug, l.common = file.Debug, l.folders
	if l.base = base; l.policyOnly {
		return p
	}
	l.checkReport(p, l.report)
	for _, n := range file.Builds {
		l.build(p, n, "builds", combination{})
	}
	for _, n := range file.Matrix {
		l.matrix(p, n)
	}
	l.uniqueNames(p)
	return p
}

// defaults returns a build for which the configuration sets nothing.
func defaults() Build {
	return Build{
		Alias:  Alias{Separator: "@", Line: "opening", Symbols: "text"},
		Emit:   Emit{Unaliased: "skip"},
		Stages: enums["stages"],
	}
}

// out resolves the output folder.
func (l *loader) out(out string) string {
	if filepath.IsAbs(out) {
		return filepath.Clean(out)
	}
	out = filepath.Join(filepath.Dir(l.file), out)
	l.relative[out] = true
	return out
}

// build decodes n, the value of the key name, and adds the build to the plan. l.base has the
// values that n does not set, and c those of the axes of a matrix.
func (l *loader) build(p *Plan, n *yaml.Node, name string, c combination) {
	b := buildKeys{Build: l.base}
	b.combo, b.at = l.combo, map[string]position{"": at(n)}
	l.entries, l.folders = nil, nil
	set := l.mapping(n, &b, name)
	if set == nil || l.budget <= 0 {
		return
	}
	for key, p := range set {
		b.at[key] = at(p.val)
	}
	for i, to := range []*string{&b.Arch, &b.Toolchain, &b.LTO} {
		if c[i] == nil {
			continue
		}
		if *to != "" && canonicalArch(*to) != canonicalArch(c[i].Value) {
			l.errorf(set[axes[i]].val, "%s: the matrix sets it already", axes[i])
		}
		*to = c[i].Value
		b.at[axes[i]] = at(c[i])
	}
	b.Arch = canonicalArch(b.Arch)
	if set["name"].key == nil {
		l.errorf(n, "a build has no name")
	}
	none := func(key string) bool {
		v := set[key].val
		return v == nil || v.Kind == yaml.SequenceNode && len(v.Content) == 0
	}
	if set["vmlinux"].key == nil && none("modules") && none("package") {
		l.errorf(n, "a build needs vmlinux, modules or package, at least one")
	}
	p.Builds = append(p.Builds, b.Build)
	l.paths = append(l.paths, buildPaths{b.Optional || l.some.Optional, l.entries, l.folders})
}

func (l *loader) uniqueNames(p *Plan) {
	first := map[string]int{}
	for _, b := range p.Builds {
		if b.Name == "" {
			continue
		}
		l.combo = b.combo
		if line, ok := first[b.Name]; ok {
			l.errorAt(b.at["name"], "build %q is already defined on line %d", b.Name, line)
		} else {
			first[b.Name] = b.at["name"].line
		}
	}
	l.combo = ""
}

// axes names the axes of a matrix. A combination has a node for each of them, or nil for an axis
// that the matrix does not have.
var axes = [...]string{"arch", "toolchain", "lto"}

type combination [len(axes)]*yaml.Node

func (c combination) String() string {
	var s []string
	for i, n := range c {
		if n != nil {
			s = append(s, axes[i]+" "+n.Value)
		}
	}
	return strings.Join(s, ", ")
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
	all, given := []combination{{}}, false
	for i, axis := range [][]*yaml.Node{m.Arch, m.Toolchain, m.LTO} {
		if set[axes[i]].key != nil {
			given = true
			all = product(all, i, axis)
		}
	}
	switch {
	case !given:
		l.errorf(n, "a matrix needs arch, toolchain or lto, at least one")
		return
	case len(all) == 0: // an axis without a valid value, reported already
		return
	}
	left := all
	for _, x := range m.Exclude {
		if matches := l.exclude(x); matches != nil {
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
		l.combo = c.String()
		l.build(p, l.fillIn(m.Build, c, nil), "build", c)
	}
	l.combo = ""
}

// product returns every combination with every value of axis i.
func product(all []combination, i int, axis []*yaml.Node) (next []combination) {
	for _, c := range all {
		for _, c[i] = range axis {
			next = append(next, c)
		}
	}
	return next
}

// exclude returns whether n, an entry of exclude, matches a combination, or nil if n is invalid.
func (l *loader) exclude(n *yaml.Node) func(combination) bool {
	var x excludeKeys
	before := len(l.problems)
	if l.mapping(n, &x, "exclude"); len(l.problems) > before {
		return nil
	}
	return func(c combination) bool {
		for i, want := range []string{x.Arch, x.Toolchain, x.LTO} {
			if want != "" && (c[i] == nil || canonicalArch(want) != canonicalArch(c[i].Value)) {
				return false
			}
		}
		return true
	}
}

// placeholders matches {NAME}; a $ before it makes it an environment variable.
var placeholders = regexp.MustCompile(`\$?\{\w+\}`)

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
		for i, value := range c {
			placeholder := "{" + axes[i] + "}"
			switch {
			case value != nil:
				filled.Value = strings.ReplaceAll(filled.Value, placeholder, value.Value)
			case strings.Contains(filled.Value, placeholder):
				l.errorf(n, "%s: the matrix has no %s", placeholder, axes[i])
			}
		}
		for _, found := range placeholders.FindAllString(n.Value, -1) {
			if name := strings.Trim(found, "{}"); !slices.Contains(axes[:], name) &&
				found[0] != '$' {
				l.errorf(n, "unknown placeholder %s; there are {%s}", found,
					strings.Join(axes[:], "}, {"))
			}
		}
	}
	return &filled
}
