package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"kas/configs"
	"kas/pipeline"
	"kas/report"
	"kas/stages"
)

// parseShard reads I/N.
func parseShard(s string) (shard, shards int, err error) {
	format := regexp.MustCompile(`^([1-9][0-9]*)/([1-9][0-9]*)$`)
	if m := format.FindStringSubmatch(s); m != nil {
		shard, err = strconv.Atoi(m[1])
		if err == nil {
			shards, err = strconv.Atoi(m[2])
		}
		if err == nil && shard <= shards {
			return shard, shards, nil
		}
	}
	return 0, 0, fmt.Errorf("--shard %s: want I/N with I from 1 to N", s)
}

// runShard runs the builds of a plan one after the other. Each gets its folder when it is whole, so
// other processes, on any machine, may run the same builds and others at the same time.
func runShard(
	ctx context.Context, plan *configs.Plan, f runFlags, stdout, stderr io.Writer,
) error {
	for i := range plan.Builds {
		if b := &plan.Builds[i]; b.Emit.Beside {
			return fmt.Errorf("%s: emit.beside does not go with --shard, since what is written "+
				"beside the modules would not appear at once", b.Name)
		}
	}
	collectLess()
	tasks := stages.Tasks(plan)
	progress := newProgress(stderr, f.verbosity(), tasks)
	noteSkipped(progress.notes(), plan)
	started := time.Now()
	all := &pipeline.Result{}
	var errs []error
	for i := range plan.Builds {
		one := *plan
		one.Builds = plan.Builds[i : i+1]
		s := shardBuild{plan: &one, flags: f, task: tasks[i], progress: progress}
		err := s.run(ctx, all)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errReported) {
			fmt.Fprintf(stderr, "kas: %s: %v\n", one.Builds[0].Name, err)
			err = fmt.Errorf("%w: %w", errReported, err)
		}
		errs = append(errs, err)
		if ctx.Err() != nil || err != nil && plan.OnError == "stop" {
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if f.json || !f.quiet {
		if err := printResult(f.json)(stdout, all, time.Since(started)); err != nil {
			return failure{err}
		}
	}
	return f.repeatErrors(stderr, all)
}

// shardBuild is a build of a shard.
type shardBuild struct {
	plan  *configs.Plan // has only this build
	flags runFlags

	task     pipeline.Task
	progress *progress // of all builds

	dir  string        // the build's folder
	want *report.Built // what it is to be made from
}

// run makes the build, unless it is there already, and adds it to the result.
func (s *shardBuild) run(ctx context.Context, all *pipeline.Result) error {
	b := &s.plan.Builds[0]
	s.dir = filepath.Join(s.plan.Out, b.Name)
	objects, err := stages.Objects(b)
	if err != nil {
		return err
	}
	if len(b.Modules) > 0 && len(objects) < 2 && (len(objects) == 0 || objects[0].Vmlinux) {
		return fmt.Errorf("%s: %w", b.Modules[0], errNoModules)
	}
	config, err := s.plan.EffectiveBuild(s.plan.Out, b)
	if err != nil {
		return err
	}
	s.want = report.NewBuilt(programOf(), config, pipeline.InputsOf(objects))
	if s.done() {
		s.progress.pass(&s.task)
		return s.addThere(all)
	}
	private, err := pipeline.NewPrivate(s.plan.Out, b.Name)
	if err != nil {
		return err
	}
	defer private.Remove()
	err = s.makeIn(ctx, private, all)
	if err != nil && ctx.Err() == nil && s.done() {
		// Another task was first, and merge may have removed the private folder: no error counts.
		return s.addThere(all)
	}
	return err
}

// makeIn makes the build in a private folder and adds it to the result.
func (s *shardBuild) makeIn(
	ctx context.Context, private *pipeline.Private, all *pipeline.Result,
) error {
	if err := pipeline.CheckOwn(s.dir); err != nil {
		return err
	}
	s.task.Dir = private.Dir
	result, err := runStages(ctx, s.plan, []pipeline.Task{s.task}, pipeline.Options{
		Jobs: s.flags.workers(s.plan),
	}, s.progress)
	if ctx.Err() != nil {
		return err
	}
	if gone := private.Own(); gone != nil {
		return gone // what failed for that reason is no error of the build
	}
	if err != nil {
		return err
	}
	return s.commit(private, result, all)
}

// errNoModules is the error of a build whose folder of modules is empty. A file system that is not
// mounted looks like that, and its build must not be taken for one without modules.
var errNoModules = errors.New("no modules here, as if a file system were not mounted")

// commit gives the private folder of a build, which is whole, the build's name.
func (s *shardBuild) commit(private *pipeline.Private, r, all *pipeline.Result) error {
	b := r.Builds[0]
	s.want.Inputs = b.Inputs
	s.want.Count(r, b)
	if err := writeBuilt(private.Dir, s.want); err != nil {
		return err
	}
	if s.done() {
		return s.addThere(all)
	}
	unlock, err := pipeline.LockShared(s.plan.Out)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.beginOut(); err != nil {
		return err
	}
	second, err := private.Commit(s.dir, s.done)
	if err != nil {
		return err
	}
	if second {
		return s.addThere(all)
	}
	all.Builds, all.Errors = append(all.Builds, b), append(all.Errors, r.Errors...)
	return nil
}

// beginOut removes the stats.json of the output folder, which is going to be out of date.
func (s *shardBuild) beginOut() error {
	o := outFolder{dir: s.plan.Out}
	record, err := pipeline.OpenRecord(o.dir)
	if err != nil || !record.Has(o.path(statsFile)) {
		return err
	}
	settled, err := o.begin()
	if err != nil || settled == nil {
		return err
	}
	return settled()
}

// done reports whether the build is there, from the same inputs, configuration and program.
func (s *shardBuild) done() bool {
	there, err := report.ReadBuilt(s.dir)
	return err == nil && there.SameAs(s.want) && !s.flags.fresh
}

// addThere adds the build as it is there to the result.
func (s *shardBuild) addThere(all *pipeline.Result) error {
	there, err := report.ReadBuilt(s.dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.progress.notes(), "kas: %s: is there already\n", s.plan.Builds[0].Name)
	b := &pipeline.Build{Config: s.plan.Builds[0], Dir: s.dir}
	there.Fill(b)
	all.Builds = append(all.Builds, b)
	return nil
}
