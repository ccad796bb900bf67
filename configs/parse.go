package configs

import (
	"path/filepath"
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
		Glob     *yaml.Node
		Optional bool
	}
	matrixKeys struct {
		Arch      []*yaml.Node `enum:"arch"`
		Toolchain []*yaml.Node `enum:"toolchain"`
		LTO       []*yaml.Node `enum:"lto"`
		Exclude   []*yaml.Node
		Build     *yaml.Node

		free []axis // other axes, in the order of the file
	}
	excludeKeys struct {
		Arch      string `enum:"arch"`
		Toolchain string `enum:"toolchain"`
		LTO       string `enum:"lto"`

		axes []axis            // of the matrix
		free map[string]string // values of other axes
	}
	neverKeys struct{ Add, Replace []string }
)

// freeKeys is a mapping that may have keys besides those of its struct. take reports whether it may
// have this one.
type freeKeys interface {
	take(l *loader, p pair) bool
}

// take ignores keys that begin with x-: they are a place for anchors.
func (*fileKeys) take(_ *loader, p pair) bool { return strings.HasPrefix(p.key.Value, "x-") }

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
		if g := l.valueOf(n, "glob"); g != nil {
			l.globBuilds(p, n, g)
		} else {
			l.build(p, n, "builds", nil)
		}
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
		value := c.of(axes[i])
		if value == nil {
			continue
		}
		if *to != "" && canonicalArch(*to) != canonicalArch(value.Value) {
			l.errorf(set[axes[i]].val, "%s: the matrix sets it already", axes[i])
		}
		*to = value.Value
		b.at[axes[i]] = at(value)
	}
	if b.Glob != nil && l.combo != "" && c.of("0") == nil {
		l.errorf(set["glob"].key, "glob: a template of a matrix has none")
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
