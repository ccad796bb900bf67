package kbuild

import (
	"context"
	"errors"
	"path/filepath"

	"kas/configs"
	"kas/pipeline"
	"kas/stages"
)

// spec is a run of the stages on one build. Its fields are what the runs of this package differ in.
type spec struct {
	config  configs.Build
	out     string // folder for output files and the name of the build in the cache
	scope   pipeline.Scope
	options pipeline.Options

	objects []pipeline.Object
	list    bool // only read the symbols: find no duplicates and no aliases
	write   bool // write the copies of modules

	// Each of these may be nil: then there is nothing to do.
	check func(*pipeline.Build) error // after the objects are read: may refuse the build
	mark  func(*pipeline.Build)       // after the duplicates are fixed

	// collect takes the result from the build, which has no symbols after the run.
	collect func(context.Context, *pipeline.Build) error
}

const scanStage = "scan"

// stages returns the stages of the run.
func (s spec) stages() []pipeline.Stage {
	all := []pipeline.Stage{{Name: scanStage, Run: s.scan}}
	if !s.list {
		all = append(all,
			pipeline.Stage{Name: "dedupe", Run: stages.Dedupe},
			pipeline.Stage{Name: "normalize", Run: s.normalize},
			pipeline.Stage{Name: "resolve", Run: stages.Resolve},
		)
	}
	if s.write {
		all = append(all, pipeline.Stage{Name: "emit", Run: stages.EmitModules})
	}
	return append(all, pipeline.Stage{Name: "collect", Run: s.collect})
}

func (s spec) scan(ctx context.Context, b *pipeline.Build) error {
	b.Objects = s.objects
	if err := stages.Read(ctx, b); err != nil {
		return err
	}
	if s.check != nil {
		return s.check(b)
	}
	return nil
}

func (s spec) normalize(ctx context.Context, b *pipeline.Build) error {
	if err := stages.Normalize(ctx, b); err != nil {
		return err
	}
	if s.mark != nil {
		s.mark(b)
	}
	return nil
}

// run runs the stages. Problems of the objects and of the build are in the result.
func (s spec) run(ctx context.Context) (*pipeline.Result, error) {
	task := pipeline.Task{
		Config: s.config, Dir: filepath.Join(s.out, s.config.Name), Scope: s.scope,
		Stages: s.stages(), Complete: !s.list,
	}
	return pipeline.Run(ctx, []pipeline.Task{task}, s.options)
}

// firstProblem returns the first error of a run. That an object has no debugging information is no
// problem: its aliases name its source file without the folder and the line, but they are still
// true.
func firstProblem(r *pipeline.Result) error {
	noDebug := map[string]bool{}
	for _, b := range r.Builds {
		for i := range b.Objects {
			o := &b.Objects[i]
			noDebug[o.Name] = o.NoDebug && o.Readable()
		}
	}
	for _, e := range r.Errors {
		if e.Stage != scanStage || !noDebug[e.Object] {
			return e
		}
	}
	return nil
}

// allProblems returns all errors of a run as one.
func allProblems(r *pipeline.Result) error {
	var all []error
	for _, e := range r.Errors {
		all = append(all, e)
	}
	return errors.Join(all...)
}
