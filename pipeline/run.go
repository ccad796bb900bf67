package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc/panics"
	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/semaphore"

	"kas/configs"
	"kas/elf"
)

// Stage is a step of the pipeline.
type Stage struct {
	Name string
	Run  func(context.Context, *Build) error
}

// Timing is how long a stage of a build took on the clock.
type Timing struct {
	Stage string
	Wall  time.Duration
}

// Error is a problem of a build, and of one object if Object is set. It says each of these once.
type Error struct {
	Build, Stage, Object string
	Err                  error
}

func (e *Error) Error() string {
	parts := []string{e.Build, e.Stage}
	if e.Object != "" {
		parts = append(parts, e.Object)
	}
	return strings.Join(parts, ": ") + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Events tells how a run goes on. The functions are called from many goroutines; a nil one is not called.
type Events struct {
	Begin func(build, stage string, objects int)        // a parallel loop over so many objects begins
	Step  func(build, stage string)                     // one of them is done
	End   func(build, stage string, took time.Duration) // a stage is done
	Error func(err *Error)                              // as it happens; Result has them all in order
}

// Options of a run.
type Options struct {
	Jobs   int // workers; 0 or less: as many as cores this process may use
	Events Events

	// Cache is a folder for what a run leaves to the next one of the same output folder; without one nothing is left, and
	// nothing used. Kas tells this program from every other, which could make other results: it uses nothing of theirs.
	Cache string
	Kas   string
	Fresh bool // use nothing that the last run left
	All   bool // run all stages, even if nothing has changed: who looks at the build needs its symbols
}

// Result is what a run leaves. Errors are in the order of builds, stages and objects.
type Result struct {
	Builds []*Build
	Errors []*Error
}

// run is what the builds of one Run share.
type run struct {
	workers *semaphore.Weighted // one token for everything that computes
	jobs    int
	events  Events
	stop    context.CancelCauseFunc // on_error: stop
	cache   string
	kas     string
	fresh   bool
	all     bool

	mu     sync.Mutex
	errors []*Error
}

// Run makes a Build of each of the plan's builds and runs the stages on it that its configuration names. Problems of
// objects and builds are in the Result, whose builds have no symbols any more; the error is that of ctx, or the first
// problem under on_error: stop.
func Run(ctx context.Context, plan *configs.Plan, stages []Stage, o Options) (*Result, error) {
	jobs := o.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{workers: semaphore.NewWeighted(int64(jobs)), jobs: jobs, events: o.Events, cache: o.Cache, kas: o.Kas, fresh: o.Fresh, all: o.All}
	if plan.OnError == "stop" {
		r.stop = cancel
	}
	result := &Result{}
	for i := range plan.Builds {
		c := plan.Builds[i]
		result.Builds = append(result.Builds, &Build{Config: c, Dir: filepath.Join(plan.Out, c.Name), run: r})
	}
	// A build that has begun holds its symbols in memory until it ends: no more are begun than keep the workers busy while
	// one of them is in a stage of a single thread.
	p := pool.New().WithMaxGoroutines(jobs + 1)
	for _, b := range result.Builds {
		p.Go(func() {
			r.build(ctx, b, stages)
			b.release()
		})
	}
	p.Wait()
	result.Errors = r.sorted(result.Builds, stages)
	return result, context.Cause(ctx)
}

// release gives back what only stages need.
func (b *Build) release() {
	b.Names, b.Groups = Names{}, nil
	for i := range b.Objects {
		o := &b.Objects[i]
		o.Symbols, o.Files, o.Duplicates = nil, nil, nil
	}
}

// build runs the stages on one build.
func (r *run) build(ctx context.Context, b *Build, stages []Stage) {
	if r.workers.Acquire(ctx, 1) != nil {
		return
	}
	defer r.workers.Release(1)
	for _, s := range stages {
		if !slices.Contains(b.Config.Stages, s.Name) {
			continue
		}
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
		if r.events.End != nil {
			r.events.End(b.Config.Name, s.Name, took)
		}
		if b.Skipped {
			return
		}
	}
	// A run of fewer stages did not make everything.
	if all := len(b.Timings) == len(stages); all && ctx.Err() == nil {
		if err := b.saveState(!r.failed(b)); err != nil {
			r.report(&Error{Build: b.Config.Name, Stage: stages[len(stages)-1].Name, Err: err})
		}
	}
}

// failed says whether an error of the build was reported.
func (r *run) failed(b *Build) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.errors, func(e *Error) bool { return e.Build == b.Config.Name })
}

type stageKey struct{}

func withStage(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, stageKey{}, name)
}

// Each calls f for each of the objects, in parallel within the run's budget of workers. f may write to its object alone.
// What f returns is a problem of that object: it is reported with build, stage and object, and the others go on. Each
// itself fails only if the run is cancelled.
func (b *Build) Each(ctx context.Context, objects []*Object, f func(*Object) error) error {
	r := b.run
	stage, _ := ctx.Value(stageKey{}).(string)
	if r.events.Begin != nil {
		r.events.Begin(b.Config.Name, stage, len(objects))
	}
	return b.spread(ctx, len(objects), func(i int) {
		o := objects[i]
		var err error
		if p := protect(func() { err = f(o) }); p != nil {
			err = p
		}
		if err != nil && ctx.Err() == nil {
			o.failed = true
			r.report(&Error{Build: b.Config.Name, Stage: stage, Object: o.Name, Err: err})
		}
		if r.events.Step != nil {
			r.events.Step(b.Config.Name, stage)
		}
	})
}

// Parts is into how many parts Split divides its items. It does not depend on the workers, so that what is done by parts
// comes out the same for any number of them.
const Parts = 64

// Split divides n items into Parts consecutive ranges and calls f for each that is not empty, in parallel like Each. f may
// write only to what belongs to its part or its items.
func (b *Build) Split(ctx context.Context, n int, f func(part, from, to int)) error {
	parts := min(Parts, n)
	failed := make([]error, parts)
	err := b.spread(ctx, parts, func(i int) {
		failed[i] = protect(func() { f(i, n*i/parts, n*(i+1)/parts) })
	})
	return cmp.Or(append(failed, err)...)
}

// WriteTable writes a file of the build as a whole, as WriteFile does.
func (b *Build) WriteTable(name string, write func(io.Writer) error) error {
	b.tables = append(b.tables, b.Path(name))
	_, err := WriteFile(b.Path(name), write)
	return err
}

// Head is what a file of lines begins with. It may tell of the lines, which Add shows it in their order: so it is written
// again when all are there, in the same length.
type Head interface {
	Bytes() []byte
	Add(lines []byte)
}

// WriteLines writes a file of the build as a whole that consists of n items, as WriteTable does. lines appends the text of
// a range of them to a buffer; it is called in parallel, and the ranges are written in order. head may be nil.
func (b *Build) WriteLines(ctx context.Context, name string, head Head, n int, lines func(buf []byte, from, to int) []byte) error {
	const items = 2048
	ranges := (n + items - 1) / items
	written := make([]chan struct{}, ranges+1) // closed when the range before is in the file, or never will be
	for i := range written {
		written[i] = make(chan struct{})
	}
	close(written[0])
	path := b.Path(name)
	b.tables = append(b.tables, path)
	_, err := writeFile(path, func(w *output) error {
		if head != nil {
			if _, err := w.file.Write(head.Bytes()); err != nil {
				return err
			}
		}
		failed := make([]error, ranges)
		err := b.spread(ctx, ranges, func(i int) {
			// Ranges begin in order, each with a worker of its own: the one before is on its way.
			defer close(written[i+1])
			buf := buffers.Get().(*[]byte)
			defer buffers.Put(buf)
			failed[i] = protect(func() { *buf = lines((*buf)[:0], i*items, min(n, (i+1)*items)) })
			select {
			case <-written[i]:
			case <-ctx.Done(): // the range before may not have begun
				failed[i] = ctx.Err()
			}
			if failed[i] == nil {
				_, failed[i] = w.file.Write(*buf)
			}
			if failed[i] == nil && head != nil {
				head.Add(*buf)
			}
		})
		if err := cmp.Or(append(failed, err)...); err != nil || head == nil {
			return err
		}
		_, err = w.file.WriteAt(head.Bytes(), 0)
		return err
	})
	return err
}

// spread is the only parallel loop: it calls f for 0 to n-1, with as many goroutines as there are workers, each call with
// a worker from the run's budget. Calls begin in order.
func (b *Build) spread(ctx context.Context, n int, f func(i int)) error {
	r := b.run
	if r == nil { // a build of its own, not of a Run
		for i := range n {
			f(i)
		}
		return ctx.Err()
	}
	// The stage waits here: its worker is free for what is spread.
	r.workers.Release(1)
	var next atomic.Int64
	p := pool.New()
	for range min(r.jobs, n) {
		p.Go(func() {
			for int(next.Load()) < n && r.workers.Acquire(ctx, 1) == nil {
				if i := int(next.Add(1) - 1); i < n && ctx.Err() == nil {
					f(i)
				}
				r.workers.Release(1)
			}
		})
	}
	p.Wait()
	// The token that the caller holds is taken back even when the run is cancelled: it will be released once.
	r.workers.Acquire(context.WithoutCancel(ctx), 1)
	return ctx.Err()
}

// Every returns pointers to the objects that keep says yes to, in order.
func (b *Build) Every(keep func(*Object) bool) []*Object {
	var all []*Object
	for i := range b.Objects {
		if keep(&b.Objects[i]) {
			all = append(all, &b.Objects[i])
		}
	}
	return all
}

// Fail reports a problem of an object that was found outside Each.
func (b *Build) Fail(ctx context.Context, o *Object, err error) {
	o.failed = true
	stage, _ := ctx.Value(stageKey{}).(string)
	b.run.report(&Error{Build: b.Config.Name, Stage: stage, Object: o.Name, Err: err})
}

// protect runs f and turns a panic into an error: a fault in the mapped file, which shrank while it was read, or a
// mistake of ours, which then costs one object and not the run.
func protect(f func()) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	recovered := panics.Try(f)
	if recovered == nil {
		return nil
	}
	var fault interface{ Addr() uintptr }
	if err, ok := recovered.Value.(error); ok && errors.As(err, &fault) {
		return &elf.FormatError{Msg: "the file shrank while it was read"}
	}
	return fmt.Errorf("internal error, please report it: %w", recovered.AsError())
}

func (r *run) report(e *Error) {
	r.mu.Lock()
	r.errors = append(r.errors, e)
	first := len(r.errors) == 1
	r.mu.Unlock()
	if r.events.Error != nil {
		r.events.Error(e)
	}
	if first && r.stop != nil {
		r.stop(e)
	}
}

// sorted brings the errors into an order that does not depend on who was first.
func (r *run) sorted(builds []*Build, stages []Stage) []*Error {
	build, stage := map[string]int{}, map[string]int{}
	for i, b := range builds {
		build[b.Config.Name] = i
	}
	for i, s := range stages {
		stage[s.Name] = i
	}
	slices.SortStableFunc(r.errors, func(a, b *Error) int {
		if n := build[a.Build] - build[b.Build]; n != 0 {
			return n
		}
		if n := stage[a.Stage] - stage[b.Stage]; n != 0 {
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

// Parallel calls f for 0 to n-1 with so many workers. It serves commands that read many files without being a pipeline.
func Parallel(jobs, n int, f func(i int)) {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	p := pool.New()
	for range min(jobs, n) {
		p.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	p.Wait()
}
