package kbuild

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// External is modules that are built after their kernel. Their names are checked against the
// registry of the kernel and against each other.
type External struct {
	Registry *registry.Registry // of the kernel; its overlay has the modules registered before
	Modules  []string           // paths of X.o or X.ko
	Sources  []string           // source roots, besides the folders of the modules
	Emit     bool               // write X.ko.kas beside each X.ko that has aliases
	Debug    KernelDebug
	Options  pipeline.Options
}

// Outcome is the result of External.
type Outcome struct {
	Symbols   []registry.Record // of the modules, in the order of their names
	Modules   []registry.Module
	Ambiguous []Ambiguous
	Written   []string // copies
}

// Run finds the aliases of the modules' symbols. The error is that of ctx, or all problems of the
// modules.
func (e *External) Run(ctx context.Context) (*Outcome, error) {
	policy, err := e.policy()
	if err != nil {
		return nil, err
	}
	objects, err := e.objects()
	if err != nil {
		return nil, err
	}
	names := registryNames(e.Registry, e.Modules, &policy)
	outcome := &Outcome{}
	r, err := spec{
		config:  policy,
		out:     filepath.Join(filepath.Dir(e.Modules[0]), ".kas"), // nothing is written there
		options: e.Options,
		objects: objects,
		write:   e.Emit,
		check:   names.check,
		mark:    names.mark,
		scope:   e.scope(names),
		collect: func(ctx context.Context, b *pipeline.Build) error {
			outcome.Symbols, outcome.Modules = stages.Records(b), stages.Modules(b)
			outcome.Written = written(b)
			var err error
			outcome.Ambiguous, err = names.ambiguous(ctx, b, e.Debug)
			return err
		},
	}.run(ctx)
	if err != nil {
		return nil, err
	}
	return outcome, allProblems(r)
}

// scope returns which aliases the copies have, and what is known beside the modules.
func (e *External) scope(names *kernelNames) pipeline.Scope {
	scope := pipeline.Scope{
		Taken: names.taken,
		Carry: func(_ *pipeline.Object, d *pipeline.Duplicate) bool { return names.needed(d) },
	}
	for _, m := range e.Modules {
		scope.Roots = append(scope.Roots, absolute(filepath.Dir(m)))
	}
	scope.Roots = append(scope.Roots, e.Sources...)
	return scope
}

// policy returns the configuration of the run, by the registry's policy.
func (e *External) policy() (configs.Build, error) {
	alias, err := stages.ParsePolicy(e.Registry.Policy)
	if err != nil {
		return configs.Build{}, fmt.Errorf("%s: %w", e.Registry.Path, err)
	}
	policy, err := configs.Policy("")
	policy.Name, policy.Arch, policy.Alias, policy.Emit = "module", e.Registry.Arch, alias, beside
	return policy, err
}

// objects returns the modules in the order of their names. It refuses two of one name: the kernel
// cannot load both.
func (e *External) objects() ([]pipeline.Object, error) {
	var objects []pipeline.Object
	paths := map[string]string{} // by the names of modules
	for _, path := range e.Modules {
		name := elf.Uncompressed(strings.TrimSuffix(filepath.Base(path), ".kas"))
		module := registry.ModuleName(name)
		if other, ok := paths[module]; ok {
			return nil, fmt.Errorf("%s and %s are both module %s", other, path, module)
		}
		paths[module] = path
		objects = append(objects, pipeline.Object{Name: name, Path: path})
	}
	slices.SortFunc(objects,
		func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
	return objects, nil
}

// written returns the copies that a run wrote.
func written(b *pipeline.Build) []string {
	var all []string
	for i := range b.Objects {
		if o := &b.Objects[i]; o.Emitted > 0 {
			all = append(all, b.Scope.CopyOf(o.Path))
		}
	}
	return all
}

// UpdateOverlay writes the overlay of a registry again. Its modules replace those of the same names
// in the old overlay, and the symbols that they made ambiguous are in it with their late aliases.
// An entry for a symbol of the registry itself is kept as long as a module has a symbol of its base
// name.
func UpdateOverlay(path string, r *registry.Registry, outcome *Outcome) error {
	all, modules := slices.Clone(outcome.Symbols), slices.Clone(outcome.Modules)
	own := map[string]bool{}
	for i := range outcome.Symbols {
		own[outcome.Symbols[i].Module()] = true
	}
	late := map[string]bool{}
	for _, a := range outcome.Ambiguous {
		if a.Alias != "" {
			all = append(all, a.Record)
			late[a.Object+"\t"+a.Name] = true
		}
	}
	if r.Overlay != nil {
		for old := range r.Overlay.Prefixed("") {
			if !own[old.Module()] && !late[old.Object+"\t"+old.Name] {
				all = append(all, old)
			}
		}
		for _, old := range r.Overlay.Modules {
			if !own[old.Name] {
				modules = append(modules, old)
			}
		}
	}
	bases := map[string]bool{} // of symbols in modules
	for i := range all {
		if !r.Has(&all[i]) {
			bases[all[i].BaseName()] = true
		}
	}
	// Only symbols of the registry itself can be without one.
	all = slices.DeleteFunc(all, func(x registry.Record) bool { return !bases[x.BaseName()] })
	_, err := pipeline.WriteFile(path,
		func(w io.Writer) error { return registry.WriteOverlay(w, r.File, modules, all) })
	return err
}
