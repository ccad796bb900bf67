package configs

import (
	"bytes"
	"maps"
	"path/filepath"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"
)

const effectiveHeader = "# The effective configuration: defaults filled in, matrix expanded, " +
	"absent optional builds left out.\n# `kas run` on this file repeats the run.\n"

// IsEffective reports whether the text is that of a file that Effective made.
func IsEffective(text []byte) bool { return bytes.HasPrefix(text, []byte(effectiveHeader)) }

// With returns the plan with builds of another one added: those that keep chooses by their names
// and that the plan does not have. They are in the order of p's file, then in that of the other.
// The other plan may be nil.
func (p *Plan) With(other *Plan, keep func(name string) bool) *Plan {
	all := *p
	if other == nil {
		return &all
	}
	all.Builds, all.relative = slices.Clone(p.Builds), maps.Clone(p.relative)
	for _, b := range other.Builds {
		same := func(o Build) bool { return o.Name == b.Name }
		if !slices.ContainsFunc(p.Builds, same) && keep(b.Name) {
			all.Builds = append(all.Builds, b)
		}
	}
	maps.Copy(all.relative, other.relative)
	rank := func(b *Build) int {
		if i := slices.Index(p.order, b.Name); i >= 0 {
			return i
		}
		return len(p.order)
	}
	slices.SortStableFunc(all.Builds, func(a, b Build) int { return rank(&a) - rank(&b) })
	return &all
}

// MarshalYAML returns the value of the key names.
func (n Names) MarshalYAML() (any, error) {
	switch {
	case n.All:
		return "all", nil
	case len(n.Globs) > 0:
		return n.Globs, nil
	}
	return "duplicates", nil
}

// MarshalYAML returns the value of the key never.
func (n Never) MarshalYAML() (any, error) {
	key := "add"
	if n.Replace {
		key = "replace"
	}
	return map[string][]string{key: append([]string{}, n.Patterns...)}, nil
}

// Effective returns the plan as a configuration that has nothing left to expand: loaded from a
// file in dir, it gives an equal plan. A path that the plan's file gives as relative becomes
// relative to dir, so that the result does not depend on the host.
func (p *Plan) Effective(dir string) ([]byte, error) {
	out, err := relativeTo(dir, p.Out)
	if err != nil {
		return nil, err
	}
	if out != "." && !p.isRelative(p.Out) {
		out = p.Out
	}
	report := p.Report
	for _, k := range report.keys() {
		if *k.value != "" {
			if *k.value, err = p.rebase(dir, *k.value, *k.value, ""); err != nil {
				return nil, err
			}
		}
	}
	builds := make([]Build, len(p.Builds))
	shared := true
	for i := range p.Builds {
		if builds[i], err = p.rebased(dir, p.Builds[i]); err != nil {
			return nil, err
		}
		shared = shared && reflect.DeepEqual(builds[i].options(), builds[0].options())
	}
	var common Build
	if shared && len(builds) > 0 {
		common = builds[0].options()
		for i := range builds {
			builds[i].Alias, builds[i].Stages, builds[i].Emit = Alias{}, nil, Emit{}
		}
	}
	buf := bytes.NewBufferString(effectiveHeader)
	err = encode(buf, struct {
		Version int
		Out     string
		Jobs    int
		OnError string   `yaml:"on_error"`
		Alias   Alias    `yaml:",omitempty"`
		Stages  []string `yaml:",omitempty,flow"`
		Emit    Emit     `yaml:",omitempty"`
		Report  Report   `yaml:",omitempty"`
		Builds  []Build
	}{1, out, p.Jobs, p.OnError, common.Alias, common.Stages, common.Emit, report, builds})
	return buf.Bytes(), err
}

// encode writes v as YAML.
func encode(to *bytes.Buffer, v any) error {
	enc := yaml.NewEncoder(to)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return enc.Close()
}

// Values returns what the text of a configuration says, for encoding/json.
func Values(text []byte) (values map[string]any, err error) {
	err = yaml.Unmarshal(text, &values)
	return values, err
}

// EffectiveBuild returns what Effective says of one of the plan's builds, whatever the others are.
func (p *Plan) EffectiveBuild(dir string, b *Build) (string, error) {
	own, err := p.rebased(dir, *b)
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	err = encode(&buf, own)
	return buf.String(), err
}

// rebased returns a build with its paths as a file in dir spells them.
func (p *Plan) rebased(dir string, b Build) (Build, error) {
	var err error
	if b.given != nil {
		b.Vmlinux, b.Modules, b.Debug = b.given.vmlinux, b.given.modules, b.given.debug
	}
	if b.Vmlinux != "" {
		if b.Vmlinux, err = p.rebase(dir, b.Vmlinux, b.Vmlinux, ""); err != nil {
			return Build{}, err
		}
	}
	if b.Modules, err = p.rebaseGlobs(dir, b.Modules); err != nil {
		return Build{}, err
	}
	if b.Package, err = p.rebaseGlobs(dir, b.Package); err != nil {
		return Build{}, err
	}
	b.Debug, err = p.rebaseAll(dir, b.Debug)
	return b, err
}

// options returns a build with only the keys that a configuration can also set for all builds.
func (b *Build) options() Build { return Build{Alias: b.Alias, Stages: b.Stages, Emit: b.Emit} }

// rebase returns entry, split into a fixed folder and the rest of a glob, as a file in dir
// spells it.
func (p *Plan) rebase(dir, entry, fixed, rest string) (string, error) {
	if p.isRelative(entry) {
		var err error
		if fixed, err = relativeTo(dir, fixed); err != nil {
			return "", err
		}
	}
	return joinGlob(fixed, rest), nil
}

// rebaseGlobs returns globs as a file in dir spells them.
func (p *Plan) rebaseGlobs(dir string, globs []string) (all []string, err error) {
	for _, g := range globs {
		fixed, rest := splitGlob(g)
		if g, err = p.rebase(dir, g, fixed, rest); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// rebaseAll returns folders as a file in dir spells them.
func (p *Plan) rebaseAll(dir string, folders []string) (all []string, err error) {
	for _, f := range folders {
		if p.isRelative(f) {
			if f, err = relativeTo(dir, f); err != nil {
				return nil, err
			}
		}
		all = append(all, f)
	}
	return all, nil
}

func (p *Plan) isRelative(entry string) bool { return p.relative[entry] || !filepath.IsAbs(entry) }

func relativeTo(dir, file string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", err
	}
	return filepath.Rel(dir, file)
}
