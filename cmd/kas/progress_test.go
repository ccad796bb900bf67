package main

import (
	"fmt"
	"io"
	"testing"
	"time"
	"unicode/utf8"

	"kas/configs"
	"kas/pipeline"
	"kas/stages"
)

// TestBarText fits a line to every width; the narrower, the less is on it.
func TestBarText(t *testing.T) {
	texts := []string{"build 6 of 20", "12 s left", "resolve", "x86_64\x1b"}
	for _, c := range []struct {
		columns int
		want    string
	}{
		{79, ` 43%  ██████████░░░░░░░░░░░░░░  build 6 of 20, 12 s left, resolve, x86_64\x1b`},
		{61, ` 43%  ███░░░░░  build 6 of 20, 12 s left, resolve, x86_64\x1b`},
		{39, ` 43%  build 6 of 20, 12 s left, resolve`},
		{20, ` 43%  build 6 of 20`},
		{18, ` 43%  █████░░░░░░░`},
		{10, ` 43%`},
		{3, ``},
	} {
		if got := barText(0.43, c.columns, texts); got != c.want {
			t.Errorf("%d columns: %q, want %q", c.columns, got, c.want)
		}
	}
	for columns := range 120 {
		for _, fraction := range []float64{0, 0.999, 1, 1.1} {
			line := barText(fraction, columns, texts)
			if n := utf8.RuneCountInString(line); n > columns {
				t.Errorf("%d columns of %d: %q", n, columns, line)
			}
		}
	}
}

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		fraction float64
		elapsed  time.Duration
		want     string
	}{
		{0.04, time.Minute, ""}, {0.5, time.Second / 2, ""},
		{0.5, 10 * time.Second, "11 s left"}, {0.1, 20 * time.Second, "4 min left"},
		{0.1, 8 * time.Minute, "1 h 12 min left"},
	} {
		if got := timeLeft(c.fraction, c.elapsed); got != c.want {
			t.Errorf("%g after %s: %q, want %q", c.fraction, c.elapsed, got, c.want)
		}
	}
}

// TestProgressOnlyGrows wants a percentage that never falls and ends at 100, whatever the stages
// begin: twice, without objects, or not at all because a build failed or was unchanged.
func TestProgressOnlyGrows(t *testing.T) {
	var tasks []pipeline.Task
	for i := range 3 {
		b := configs.Build{Name: fmt.Sprint("b", i)}
		tasks = append(tasks, pipeline.Task{Config: b, Stages: stages.All})
	}
	p := newProgress(io.Discard, usual, tasks)
	e := p.events(tasks)
	last := 0.0
	check := func() {
		t.Helper()
		if now := p.fraction(); now < last {
			t.Fatalf("%g after %g", now, last)
		} else {
			last = now
		}
	}
	for i := range tasks {
		name := tasks[i].Config.Name
		for _, s := range stages.All {
			for _, objects := range []int{3, 0, 2} {
				p.begin(name, s.Name, objects)
				check()
				for range objects {
					p.step(name)
					check()
				}
			}
			e.End(name, s.Name, 0)
			check()
			if i == 1 { // unchanged
				break
			}
		}
		if i == 2 {
			e.Error(&pipeline.Error{Build: name, Stage: "stats", Err: io.EOF})
		}
		e.Done(&pipeline.Build{Config: tasks[i].Config})
		check()
	}
	if last != 1 || p.done != 3 {
		t.Errorf("at the end %g, %d builds done", last, p.done)
	}
}
