package configs

import (
	"bytes"
	"path/filepath"
	"reflect"

	"gopkg.in/yaml.v3"
)

const effectiveHeader = "# The effective configuration: defaults filled in, matrix expanded, absent optional builds left out.\n" +
	"# `kas run` on this file repeats the run.\n"

type effective struct {
	Version int              `yaml:"version"`
	Out     string           `yaml:"out"`
	Jobs    int              `yaml:"jobs"`
	OnError string           `yaml:"on_error"`
	Options effectiveOptions `yaml:",inline"`
	Builds  []effectiveBuild `yaml:"builds"`
}

type effectiveBuild struct {
	Name      string           `yaml:"name"`
	Arch      string           `yaml:"arch,omitempty"`
	Toolchain string           `yaml:"toolchain,omitempty"`
	LTO       string           `yaml:"lto,omitempty"`
	Vmlinux   string           `yaml:"vmlinux,omitempty"`
	Modules   []string         `yaml:"modules,omitempty"`
	Source    []string         `yaml:"source,omitempty"`
	Options   effectiveOptions `yaml:",inline"`
}

type effectiveOptions struct {
	Alias  *effectiveAlias `yaml:"alias,omitempty"`
	Stages []string        `yaml:"stages,omitempty,flow"`
	Emit   *effectiveEmit  `yaml:"emit,omitempty"`
}

type effectiveAlias struct {
	Separator string              `yaml:"separator"`
	Line      string              `yaml:"line"`
	Symbols   string              `yaml:"symbols"`
	Names     any                 `yaml:"names"`
	MaxLength int                 `yaml:"max_length"`
	Never     map[string][]string `yaml:"never"`

	SuffixFree bool `yaml:"suffix_free"`
}

type effectiveEmit struct {
	Beside    bool   `yaml:"beside"`
	Unaliased string `yaml:"unaliased"`
}

// Effective returns the plan as a configuration that has nothing left to expand: loaded from a file in dir it gives an
// equal plan. A path that was written relative is relative to dir in it, so that it says nothing of the host.
func (p *Plan) Effective(dir string) ([]byte, error) {
	e := effective{Version: 1, Jobs: p.Jobs, OnError: p.OnError}
	var err error
	if e.Out, err = relativeTo(dir, p.Out); err != nil {
		return nil, err
	}
	if e.Out != "." && !p.isRelative(p.Out) {
		e.Out = p.Out
	}
	shared := true
	for _, b := range p.Builds {
		shared = shared && reflect.DeepEqual(options(b), options(p.Builds[0]))
	}
	for _, b := range p.Builds {
		eb := effectiveBuild{Name: b.Name, Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO, Source: b.Source, Options: options(b)}
		if shared {
			e.Options, eb.Options = eb.Options, effectiveOptions{}
		}
		if b.Vmlinux != "" {
			if eb.Vmlinux, err = p.rebase(dir, b.Vmlinux, b.Vmlinux, ""); err != nil {
				return nil, err
			}
		}
		for _, m := range b.Modules {
			fixed, rest := splitGlob(m)
			if m, err = p.rebase(dir, m, fixed, rest); err != nil {
				return nil, err
			}
			eb.Modules = append(eb.Modules, m)
		}
		e.Builds = append(e.Builds, eb)
	}
	buf := bytes.NewBufferString(effectiveHeader)
	enc := yaml.NewEncoder(buf)
	enc.SetIndent(2)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return buf.Bytes(), enc.Close()
}

// rebase returns the entry, fixed folder and rest of a glob, as it is to be written in a file in dir.
func (p *Plan) rebase(dir, entry, fixed, rest string) (string, error) {
	if p.isRelative(entry) {
		var err error
		if fixed, err = relativeTo(dir, fixed); err != nil {
			return "", err
		}
	}
	return joinGlob(fixed, rest), nil
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

func options(b Build) effectiveOptions {
	a := b.Alias
	out := &effectiveAlias{Separator: a.Separator, Line: a.Line, Symbols: a.Symbols, Names: "duplicates", MaxLength: a.MaxLength, SuffixFree: a.SuffixFree}
	switch {
	case a.Names.All:
		out.Names = "all"
	case len(a.Names.Globs) > 0:
		out.Names = a.Names.Globs
	}
	key := "add"
	if a.Never.Replace {
		key = "replace"
	}
	out.Never = map[string][]string{key: append([]string{}, a.Never.Patterns...)}
	return effectiveOptions{out, b.Stages, &effectiveEmit{b.Emit.Beside, b.Emit.Unaliased}}
}
