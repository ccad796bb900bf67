package kbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// External is modules that are built after their kernel. Their names are held against the registry that the kernel's build
// left, and against each other.
type External struct {
	Registry *registry.Registry // of the kernel; its overlay knows the modules that were registered before
	Modules  []string           // paths of X.o or X.ko
	Sources  []string           // folders that their source files are named from, beside those of the modules
	Emit     bool               // write X.ko.kas beside each X.ko that has aliases
	Debug    KernelDebug
	Options  pipeline.Options
}

// Outcome is what External found.
type Outcome struct {
	Symbols   []registry.Record // of the modules, in the order of their names
	Ambiguous []Ambiguous
	Written   []string // copies
}

// Run gives the modules' symbols their aliases.
func (e *External) Run(ctx context.Context) (*Outcome, error) {
	alias, err := stages.ParsePolicy(e.Registry.Policy)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Registry.Path, err)
	}
	policy, err := configs.Policy("")
	if err != nil {
		return nil, err
	}
	policy.Alias = alias
	var objects []pipeline.Object
	paths := map[string]string{} // by the names of modules
	for _, path := range e.Modules {
		name := configs.Uncompressed(strings.TrimSuffix(filepath.Base(path), ".kas"))
		module := registry.ModuleName(name)
		if other, ok := paths[module]; ok {
			return nil, fmt.Errorf("%s and %s are both module %s", other, path, module)
		}
		paths[module] = path
		objects = append(objects, pipeline.Object{Name: name, Path: path})
	}
	slices.SortFunc(objects, func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
	known := newKernelNames(e.Registry, e.Modules, &policy)
	plan := []pipeline.Stage{
		{Name: "scan", Run: func(ctx context.Context, b *pipeline.Build) error {
			b.Objects = objects
			b.Taken = known.taken
			b.Bears = func(_ *pipeline.Object, d *pipeline.Duplicate) bool { return known.needed(d) }
			for _, m := range e.Modules {
				b.Roots = append(b.Roots, absolute(filepath.Dir(m)))
			}
			b.Roots = append(b.Roots, e.Sources...)
			return known.read(ctx, b)
		}},
		{Name: "dedupe", Run: stages.Dedupe}, {Name: "normalize", Run: known.normalize}, {Name: "resolve", Run: stages.Resolve},
	}
	if e.Emit {
		plan = append(plan, pipeline.Stage{Name: "emit", Run: stages.EmitModules})
	}
	outcome := &Outcome{}
	plan = append(plan, pipeline.Stage{Name: "stats", Run: func(ctx context.Context, b *pipeline.Build) error {
		outcome.Symbols = stages.Records(b)
		for i := range b.Objects {
			if b.Objects[i].Emitted > 0 {
				outcome.Written = append(outcome.Written, configs.Uncompressed(b.Objects[i].Path)+".kas")
			}
		}
		var err error
		outcome.Ambiguous, err = known.ambiguous(ctx, b, e.Debug)
		return err
	}})
	policy.Name, policy.Emit = "module", beside
	policy.Arch = e.Registry.Arch
	out := filepath.Join(filepath.Dir(e.Modules[0]), ".kas") // nothing is written there
	r, err := pipeline.Run(ctx, &configs.Plan{Out: out, OnError: "continue", Builds: []configs.Build{policy}}, plan, e.Options)
	if err != nil {
		return nil, err
	}
	return outcome, failures(r)
}

// failures are all errors of a run as one.
func failures(r *pipeline.Result) error {
	var all []error
	for _, e := range r.Errors {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// UpdateOverlay writes the overlay of a registry anew: with these modules in place of what it said of modules of their
// names, and with the late aliases of what they made ambiguous.
func UpdateOverlay(path string, r *registry.Registry, outcome *Outcome) error {
	own, bases := map[string]bool{}, map[string]bool{}
	all := slices.Clone(outcome.Symbols)
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
	}
	// A symbol of the registry is told of here as long as a module shares its name.
	for i := range all {
		if !r.Has(&all[i]) {
			bases[all[i].BaseName()] = true
		}
	}
	all = slices.DeleteFunc(all, func(x registry.Record) bool { return r.Has(&x) && !bases[x.BaseName()] })
	_, err := pipeline.WriteFile(path, func(w io.Writer) error { return registry.WriteOverlay(w, r.File, all) })
	return err
}
