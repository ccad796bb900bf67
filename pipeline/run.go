package pipeline

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc/panics"

	"kas/configs"
	"kas/elf"
)

// Stage is a step of the pipeline.
type Stage struct {
	Name string
	Run  func(context.Context, *Build) error
}

// Task is a build to run and the stages to run on it.
type Task struct {
	Config configs.Build // its name is unique in a run
	Dir    string        // output folder
	Scope  Scope
	Stages []Stage

	// Complete says that the stages make everything that the configuration asks for. Only then is
	// the state of the run saved for the next one.
	Complete bool

	// Recorded says that Dir has a record of what kas wrote there, and that kas leaves all other
	// files alone. Otherwise the names of outputs belong to kas, whoever wrote what is there.
	Recorded bool
}

// Options of a run.
type Options struct {
	Jobs        int  // number of workers; 0 or less means as many as cores this process may use
	StopOnError bool // the first error of an object or a build ends the run
	Events      Events

	// Cache is the folder for the state of the builds. If it is "", no state is used or saved.
	Cache string
	// State is the file for the state of a run of one build. If it is not "", Cache does not count,
	// and the caller makes the name differ for each Kas.
	State string
	Kas   string // identifies this program; state of another program is not used
	Fresh bool   // do not use the state of the last run
	All   bool   // run all stages even if nothing changed, because the caller needs the symbols

	// Begin is called before the first change of a file of a build, and never if all are up to
	// date. Its second step, which Begin returns, ends before a file gets its final name. nil means
	// that there is nothing to do.
	Begin func() (settled func() error, err error)
}

// Events are functions that a run calls, from many goroutines. A nil function is not called.
type Events struct {
	Begin func(build, stage string, objects int)        // a stage begins to work on objects
	Step  func(build, stage string)                     // it is done with one of them
	End   func(build, stage string, took time.Duration) // a stage is done
	Error func(err *Error)                              // an error occurred
	Done  func(b *Build)                                // a build ended, however it did
}

// Timing is the wall-clock time that a stage of a build took.
type Timing struct {
	Stage string
	Wall  time.Duration
}

// Error is an error of a build, or of one of its objects if Object is set.
type Error struct {
	Build, Stage, Object string
	Err                  error
}

// Error returns one line, because names in it may come from a hostile object. Only a bug has lines
// for its stack.
func (e *Error) Error() string {
	parts := []string{e.Build, e.Stage}
	if e.Object != "" {
		parts = append(parts, e.Object)
	}
	where := elf.Escape(strings.Join(parts, ": ")) + ": "
	if bug := new(panics.ErrRecovered); errors.As(e.Err, &bug) {
		return where + e.Err.Error()
	}
	return where + elf.Escape(e.Err.Error())
}

func (e *Error) Unwrap() error { return e.Err }

// Result is what a run returns. Builds are in the order of the tasks, Errors in the order of
// builds, stages and objects.
type Result struct {
	Builds []*Build
	Errors []*Error

	// Unsaved is the first error of saving state for the next run, which then works anew.
	Unsaved error
}

// run is shared by the builds of one Run.
type run struct {
	Options
	workers workers
	stop    context.CancelCauseFunc

	begin   func() error // begins to change files; only the first call does
	settled func() error // ends what begin began

	mu      sync.Mutex
	errors  []*Error
	unsaved error
}

// Run runs the stages of each task on a new Build. Errors of objects and builds are in the Result,
// whose builds no longer have symbols. The error is the cause of ctx's end, or the first error of
// the run under StopOnError.
func Run(ctx context.Context, tasks []Task, o Options) (*Result, error) {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Options: o, workers: newWorkers(o.Jobs), stop: cancel}
	r.prepare()
	result := &Result{}
	for _, t := range tasks {
		b := &Build{Config: t.Config, Dir: t.Dir, Scope: t.Scope, run: r, recorded: t.Recorded}
		b.files.Before, b.files.Stopped = r.settled, func() bool { return ctx.Err() != nil }
		result.Builds = append(result.Builds, b)
	}
	// A build holds its symbols in memory from its begin to its end. One more build than there are
	// workers keeps them busy while a build is in a part of a stage that is not parallel.
	r.workers.spread(ctx, o.Jobs+1, len(tasks), func(i int) {
		r.build(ctx, &tasks[i], result.Builds[i])
		if r.Events.Done != nil && ctx.Err() == nil {
			r.Events.Done(result.Builds[i])
		}
		result.Builds[i].release()
	})
	result.Errors, result.Unsaved = r.sorted(tasks), r.unsaved
	return result, context.Cause(ctx)
}

// prepare makes the two steps of Options.Begin functions that act once.
func (r *run) prepare() {
	settled := func() error { return nil }
	r.begin = sync.OnceValue(func() error {
		if r.Begin == nil {
			return nil
		}
		next, err := r.Begin()
		if next != nil {
			settled = next
		}
		return err
	})
	r.settled = sync.OnceValue(func() error { return cmp.Or(r.begin(), settled()) })
}

// build runs the stages of a task on its build.
func (r *run) build(ctx context.Context, t *Task, b *Build) {
	defer b.files.Settle() // waits for what a run writes that ends early
	for _, s := range t.Stages {
		if ctx.Err() != nil {
			return
		}
		started := time.Now()
		var err error
		if p := protect(func() { err = s.Run(withStage(ctx, s.Name), b) }); p != nil {
			err = p
		}
		took := time.Since(started)
		b.Timings = append(b.Timings, Timing{s.Name, took})
		if err != nil {
			if ctx.Err() == nil {
				r.report(&Error{Build: b.Config.Name, Stage: s.Name, Err: err})
			}
			return
		}
		if r.Events.End != nil {
			r.Events.End(b.Config.Name, s.Name, took)
		}
		if b.Skipped {
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	last := t.Stages[len(t.Stages)-1].Name
	if err := b.Settle(withStage(ctx, last), nil); err != nil {
		if ctx.Err() == nil {
			r.report(&Error{Build: b.Config.Name, Stage: last, Err: err})
		}
		return
	}
	if !t.Complete || ctx.Err() != nil {
		return
	}
	if err := b.saveState(!r.failed(b)); err != nil {
		r.mu.Lock()
		r.unsaved = cmp.Or(r.unsaved, err)
		r.mu.Unlock()
	}
}

// release frees what only the stages need.
func (b *Build) release() {
	b.Names, b.Groups = Names{}, nil
	for i := range b.Objects {
		o := &b.Objects[i]
		o.Symbols, o.Files, o.Duplicates = nil, nil, nil
	}
}

type stageKey struct{}

func withStage(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, stageKey{}, name)
}

func stageOf(ctx context.Context) string {
	stage, _ := ctx.Value(stageKey{}).(string)
	return stage
}

// FailAll reports an error that several objects have, once. It names the first of them.
func (b *Build) FailAll(ctx context.Context, objects []*Object, err error) {
	for _, o := range objects {
		o.failed = true
	}
	b.Fail(ctx, objects[0], err)
}

// Fail reports an error of an object outside Each.
func (b *Build) Fail(ctx context.Context, o *Object, err error) {
	o.failed = true
	b.run.report(&Error{Build: b.Config.Name, Stage: stageOf(ctx), Object: o.Name, Err: err})
}

func (r *run) report(e *Error) {
	r.mu.Lock()
	r.errors = append(r.errors, e)
	r.mu.Unlock()
	if r.Events.Error != nil {
		r.Events.Error(e)
	}
	if r.StopOnError {
		r.stop(e) // only the first call has an effect
	}
}

// failed reports whether an error of the build was reported.
func (r *run) failed(b *Build) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.errors, func(e *Error) bool { return e.Build == b.Config.Name })
}

// sorted sorts the errors by build, stage and object, vmlinux first.
func (r *run) sorted(tasks []Task) []*Error {
	type step struct{ build, stage string }
	order := map[step]int{}
	for _, t := range tasks {
		for _, s := range t.Stages {
			order[step{t.Config.Name, s.Name}] = len(order)
		}
	}
	slices.SortStableFunc(r.errors, func(a, b *Error) int {
		if n := order[step{a.Build, a.Stage}] - order[step{b.Build, b.Stage}]; n != 0 {
			return n
		}
		if a.Object == "vmlinux" != (b.Object == "vmlinux") {
			if a.Object == "vmlinux" {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Object, b.Object)
	})
	return r.errors
}
