package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"kas/pipeline"
)

// progress shows how far a run is: by a bar on a terminal, elsewhere by a line for each stage. An
// error always gets a line of its own.
type progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil if w is not a terminal

	mu    sync.Mutex
	total int
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if s, ok := w.(*screen); ok {
		w = s.Writer // the bar is made of commands
	}
	if isTerminal(w) {
		p.bar = progressbar.NewOptions(1,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(80*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionShowElapsedTimeOnFinish(),
		)
	}
	return p
}

func (p *progress) events() pipeline.Events {
	e := pipeline.Events{Error: p.error}
	if p.bar == nil {
		e.End = func(build, stage string, took time.Duration) {
			p.line(fmt.Sprintf("%s: %s done in %.2f s", build, stage, took.Seconds()))
		}
		return e
	}
	e.Begin = func(build, stage string, objects int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.total += objects
		p.bar.ChangeMax(p.total + 1) // plus one, so that the bar does not end between two stages
		// The bar could not erase a line wider than the terminal.
		p.bar.Describe(fmt.Sprintf("%-9s %.24s", stage, build))
	}
	e.Step = func(_, _ string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.bar.Add(1)
	}
	return e
}

func (p *progress) error(err *pipeline.Error) { p.line(err.Error()) }

func (p *progress) line(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Clear()
	}
	fmt.Fprintln(p.w, "kas:", s)
}

func (p *progress) finish() {
	if p.bar != nil {
		p.bar.Finish()
	}
}
