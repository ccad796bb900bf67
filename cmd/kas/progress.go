package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"kas/pipeline"
)

// verbosity is how much a run says about itself.
type verbosity int

const (
	errorsOnly verbosity = iota - 1
	usual                // a bar or, if that cannot be drawn, a line for each build
	stagesToo            // a line for each stage, too
)

// progress shows how far a run is. An error always gets a line of its own.
type progress struct {
	w     io.Writer
	bar   *bar // nil if none is drawn
	level verbosity

	mu       sync.Mutex
	planned  float64 // objects of all builds
	builds   int     // all of them
	done     int     // builds that are done
	finished float64 // objects of the builds that are done
	active   map[string]*activeBuild
}

// activeBuild is a build that is not done. Each stage has a share of its time.
type activeBuild struct {
	task    *pipeline.Task
	objects float64
	before  float64 // share of the stages that are done
	stage   float64 // share of the present stage
	step    float64 // share of one object in it
	failed  bool    // the build itself, not only objects
}

// notes returns where to write what is no error.
func (p *progress) notes() io.Writer {
	if p.level < usual {
		return io.Discard
	}
	return p.w
}

// newProgress makes a progress of runs whose tasks are planned already.
func newProgress(w io.Writer, level verbosity, tasks []pipeline.Task) *progress {
	p := &progress{
		w: w, level: level, active: map[string]*activeBuild{}, builds: len(tasks),
	}
	for i := range tasks {
		p.planned += objectsOf(&tasks[i])
	}
	if level >= usual {
		p.bar = newBar(w)
	}
	return p
}

// objectsOf returns the number of objects of a task's build, at least one.
func objectsOf(t *pipeline.Task) float64 {
	modules, _ := t.Config.ModuleFiles()
	return float64(len(modules) + 1)
}

// stageShare is the part of a run's time that a stage takes, as measured on Debian's kernels.
var stageShare = map[string]float64{
	"scan": 7, "dedupe": 4, "normalize": 4, "resolve": 14, "emit": 59, "stats": 12,
}

func shareOf(t *pipeline.Task, stage string) float64 {
	all := 0.0
	for _, s := range t.Stages {
		all += max(stageShare[s.Name], 1)
	}
	return max(stageShare[stage], 1) / all
}

// events returns the events of a run of these tasks.
func (p *progress) events(tasks []pipeline.Task) pipeline.Events {
	for i := range tasks {
		t := &tasks[i]
		p.active[t.Config.Name] = &activeBuild{task: t, objects: objectsOf(t)}
	}
	e := pipeline.Events{Error: p.error, Done: p.buildDone, End: p.stageDone}
	if p.bar != nil {
		e.Begin = func(build, stage string, objects int) {
			p.begin(build, stage, objects)
			p.draw(build, stage)
		}
		e.Step = func(build, stage string) {
			p.step(build)
			p.draw(build, stage)
		}
	}
	return e
}

// begin notes that a stage begins to work on objects. If it does so again, they share what is left.
func (p *progress) begin(build, stage string, objects int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.active[build]
	b.step = (shareOf(b.task, stage) - b.stage) / float64(max(objects, 1))
}

func (p *progress) step(build string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.active[build]
	b.stage += b.step
}

// fraction returns how much of all runs is done. Its caller has the lock.
func (p *progress) fraction() float64 {
	sum := p.finished
	for _, b := range p.active {
		sum += b.objects * min(b.before+b.stage, 1)
	}
	return sum / p.planned
}

func (p *progress) draw(build, stage string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := ""
	if p.builds > 1 {
		count = fmt.Sprintf("build %d of %d", min(p.done+1, p.builds), p.builds)
	}
	p.bar.draw(p.fraction(), count, stage, build)
}

func (p *progress) stageDone(build, stage string, took time.Duration) {
	p.mu.Lock()
	b := p.active[build]
	b.before += shareOf(b.task, stage)
	b.stage, b.step = 0, 0
	p.mu.Unlock()
	if p.bar != nil {
		p.draw(build, stage)
	}
	if p.level >= stagesToo {
		p.line(fmt.Sprintf("%s: %s done in %.2f s", build, stage, took.Seconds()))
	}
}

// pass notes that a build needs no run.
func (p *progress) pass(t *pipeline.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.finished += objectsOf(t)
}

func (p *progress) buildDone(b *pipeline.Build) {
	name := b.Config.Name
	p.mu.Lock()
	was := p.active[name]
	delete(p.active, name)
	p.done++
	p.finished += was.objects
	text := fmt.Sprintf("%s: %s", name, doneText(b, was.failed))
	if p.builds > 1 {
		text += fmt.Sprintf(" (%d of %d)", p.done, p.builds)
	}
	p.mu.Unlock()
	if p.bar == nil && p.level >= usual {
		p.line(text)
	}
}

// doneText says how a build ended.
func doneText(b *pipeline.Build, failed bool) string {
	switch {
	case failed:
		return "failed"
	case b.Skipped:
		return "unchanged"
	}
	var took time.Duration
	for _, t := range b.Timings {
		took += t.Wall
	}
	return fmt.Sprintf("done in %.2f s", took.Seconds())
}

func (p *progress) error(err *pipeline.Error) {
	p.mu.Lock()
	if b := p.active[err.Build]; b != nil && err.Object == "" {
		b.failed = true
	}
	p.mu.Unlock()
	p.line(err.Error())
}

func (p *progress) line(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.erase()
	fmt.Fprintln(p.w, "kas:", s)
}

// erase erases the bar until the next event.
func (p *progress) erase() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.erase()
}
