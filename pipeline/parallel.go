package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/sourcegraph/conc/panics"
	"github.com/sourcegraph/conc/pool"
	"golang.org/x/sync/semaphore"

	"kas/elf"
)

// workers limits how many goroutines compute at the same time.
type workers struct {
	n      int
	tokens *semaphore.Weighted // one for each goroutine that computes
}

func newWorkers(n int) workers { return workers{n, semaphore.NewWeighted(int64(n))} }

// spread is the only parallel loop. It calls f for 0 to n-1 on this number of goroutines. Each call
// holds a token, and the calls begin in order. When ctx ends, no more calls begin, and spread
// returns its error.
func (w workers) spread(ctx context.Context, goroutines, n int, f func(i int)) error {
	var next atomic.Int64
	p := pool.New()
	for range min(goroutines, n) {
		p.Go(func() {
			for int(next.Load()) < n && w.tokens.Acquire(ctx, 1) == nil {
				if i := int(next.Add(1) - 1); i < n && ctx.Err() == nil {
					f(i)
				}
				w.tokens.Release(1)
			}
		})
	}
	p.Wait()
	return ctx.Err()
}

// Parallel calls f for 0 to n-1 with this number of workers; 0 or less means as many as cores this
// process may use. It is for commands that read many files without a Build.
func Parallel(jobs, n int, f func(i int)) {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	newWorkers(jobs).spread(context.Background(), jobs, n, f)
}

// spread calls f for 0 to n-1 on the workers of the run.
func (b *Build) spread(ctx context.Context, n int, f func(i int)) error {
	w := b.run.workers
	// The stage only waits here, so it lends its token. It takes the token back even when the run
	// is cancelled, because its caller releases it.
	w.tokens.Release(1)
	defer w.tokens.Acquire(context.WithoutCancel(ctx), 1)
	return w.spread(ctx, w.n, n, f)
}

// Each calls f for each of the objects in parallel. f may write only to its object. An error or a
// panic of f is reported as an error of that object, and the other objects go on. Each returns an
// error only if ctx ends.
func (b *Build) Each(ctx context.Context, objects []*Object, f func(*Object) error) error {
	stage, events := stageOf(ctx), &b.run.Events
	if events.Begin != nil {
		events.Begin(b.Config.Name, stage, len(objects))
	}
	return b.spread(ctx, len(objects), func(i int) {
		var err error
		if p := protect(func() { err = f(objects[i]) }); p != nil {
			err = p
		}
		if err != nil && ctx.Err() == nil {
			b.Fail(ctx, objects[i], err)
		}
		if events.Step != nil {
			events.Step(b.Config.Name, stage)
		}
	})
}

// Parts is the number of ranges that Split makes. It does not depend on the number of workers, so
// results that are computed by part do not either.
const Parts = 64

// Split divides n items into Parts consecutive ranges and calls f for each that is not empty, in
// parallel. f may write only to what belongs to its part or its items. The error is that of ctx or
// the first panic of f.
func (b *Build) Split(ctx context.Context, n int, f func(part, from, to int)) error {
	parts := min(Parts, n)
	failed := make([]error, parts)
	err := b.spread(ctx, parts, func(i int) {
		failed[i] = protect(func() { f(i, n*i/parts, n*(i+1)/parts) })
	})
	return cmp.Or(append(failed, err)...)
}

// WriteTable writes an output file of the build, as Build.WriteFile does.
func (b *Build) WriteTable(name string, write func(io.Writer) error) error {
	b.tables = append(b.tables, b.Path(name))
	_, err := b.files.WriteFile(b.Path(name), write)
	return err
}

// Head is the first lines of a file. It may depend on the lines below it: Add passes those in
// order; the head is then rewritten at the same length.
type Head interface {
	Bytes() []byte
	Add(lines []byte)
	Err() error // why the file must not be written, nil if it may
}

// Lines appends the text of a range of items to buf.
type Lines func(buf []byte, from, to int) []byte

// linesAtOnce is the number of items that one call of a Lines gets.
const linesAtOnce = 2048

// WriteLines writes an output file of the build that lists n items, as WriteTable does. lines is
// called in parallel; its results are written in order. head may be nil.
func (b *Build) WriteLines(ctx context.Context, name string, head Head, n int, lines Lines) error {
	path := b.Path(name)
	b.tables = append(b.tables, path)
	_, err := b.files.write(path, func(w *output) error {
		if head != nil {
			if _, err := w.file.Write(head.Bytes()); err != nil {
				return err
			}
		}
		if err := b.writeRanges(ctx, w.file, head, n, lines); err != nil || head == nil {
			return err
		}
		if err := head.Err(); err != nil {
			return err
		}
		_, err := w.file.WriteAt(head.Bytes(), 0)
		return err
	})
	return err
}

// writeRanges writes the lines below the head.
func (b *Build) writeRanges(
	ctx context.Context, w io.Writer, head Head, n int, lines Lines,
) error {
	ranges := (n + linesAtOnce - 1) / linesAtOnce
	// turns[i] is closed when the range before i is in the file, or will never be.
	turns := make([]chan struct{}, ranges+1)
	for i := range turns {
		turns[i] = make(chan struct{})
	}
	close(turns[0])
	failed := make([]error, ranges)
	err := b.spread(ctx, ranges, func(i int) {
		// Ranges begin in order and each has its own worker, so the range before this one is being
		// worked on.
		defer close(turns[i+1])
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		from, to := i*linesAtOnce, min(n, (i+1)*linesAtOnce)
		failed[i] = protect(func() { *buf = lines((*buf)[:0], from, to) })
		select {
		case <-turns[i]:
		case <-ctx.Done(): // the range before may not have begun
			failed[i] = ctx.Err()
		}
		if failed[i] == nil {
			_, failed[i] = w.Write(*buf)
		}
		if failed[i] == nil && head != nil {
			head.Add(*buf)
		}
	})
	return cmp.Or(append(failed, err)...)
}

// protect runs f and turns a panic into an error, so that it costs one object and not the run: a
// fault in a mapped file that became shorter while it was read, or a bug.
func protect(f func()) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	recovered := panics.Try(f)
	if recovered == nil {
		return nil
	}
	var fault interface{ Addr() uintptr }
	if err, ok := recovered.Value.(error); ok && errors.As(err, &fault) {
		return elf.Shrank(0)
	}
	return fmt.Errorf("internal error, please report it: %w", recovered.AsError())
}
