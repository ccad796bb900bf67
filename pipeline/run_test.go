package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kas/configs"
	"kas/elf"
)

// tasks returns a number of builds with the same stages.
func tasks(t *testing.T, builds int, stages ...Stage) []Task {
	dir := t.TempDir()
	var all []Task
	for i := range builds {
		config := configs.Build{Name: fmt.Sprintf("build%d", i)}
		all = append(
			all,
			Task{Config: config, Dir: filepath.Join(dir, config.Name), Stages: stages},
		)
	}
	return all
}

// finish runs a number of builds with the same stages to the end.
func finish(t *testing.T, builds int, o Options, stages ...Stage) *Result {
	t.Helper()
	r, err := Run(t.Context(), tasks(t, builds, stages...), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// list is a stage that gives a build n objects, vmlinux first.
func list(n int) Stage {
	return Stage{"list", func(_ context.Context, b *Build) error {
		b.Objects = append(b.Objects, Object{Name: "vmlinux", Vmlinux: true})
		for i := 1; i < n; i++ {
			b.Objects = append(b.Objects, Object{Name: fmt.Sprintf("%03d.ko", i)})
		}
		return nil
	}}
}

func all(*Object) bool { return true }

// work is a stage that calls f for each object.
func work(f func(b *Build, o *Object) error) Stage {
	return Stage{"work", func(ctx context.Context, b *Build) error {
		return b.Each(ctx, b.Every(all), func(o *Object) error { return f(b, o) })
	}}
}

func nothing(*Build, *Object) error { return nil }

// after is a stage that calls f.
func after(f func(b *Build) error) Stage {
	return Stage{"after", func(_ context.Context, b *Build) error { return f(b) }}
}

// messages returns the first line of each error.
func messages(errs []*Error) []string {
	var all []string
	for _, e := range errs {
		line, _, _ := strings.Cut(e.Error(), "\n")
		all = append(all, line)
	}
	return all
}

func checkMessages(t *testing.T, r *Result, want ...string) {
	t.Helper()
	if got := messages(r.Errors); !slices.Equal(got, want) {
		t.Errorf("errors:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestErrorCostsOneObject(t *testing.T) {
	var done atomic.Int32
	broken := errors.New("broken")
	r := finish(t, 1, Options{Jobs: 4}, list(20),
		work(func(_ *Build, o *Object) error {
			if o.Name == "002.ko" {
				return broken
			}
			done.Add(1)
			return nil
		}),
		after(func(b *Build) error {
			for i := range b.Objects {
				if o := &b.Objects[i]; o.Failed() != (o.Name == "002.ko") {
					t.Errorf("%s: failed %v", o.Name, o.Failed())
				}
			}
			return nil
		}))
	if done.Load() != 19 {
		t.Errorf("%d of 19 objects done", done.Load())
	}
	checkMessages(t, r, "build0: work: 002.ko: broken")
	if len(r.Errors) == 1 && !errors.Is(r.Errors[0], broken) {
		t.Error("the error does not wrap its cause")
	}
	var stages []string
	for _, timing := range r.Builds[0].Timings {
		stages = append(stages, timing.Stage)
	}
	if want := []string{"list", "work", "after"}; !slices.Equal(stages, want) {
		t.Errorf("timings of %q, want %q", stages, want)
	}
}

func TestErrorOfStageCostsBuild(t *testing.T) {
	var went atomic.Int32
	fail := Stage{"work", func(_ context.Context, b *Build) error {
		switch b.Config.Name {
		case "build1":
			return errors.New("broken")
		case "build2":
			panic("a mistake")
		}
		return nil
	}}
	r := finish(
		t,
		3,
		Options{Jobs: 2},
		list(2),
		fail,
		after(func(*Build) error { went.Add(1); return nil }),
	)
	if went.Load() != 1 {
		t.Errorf("%d builds went on, want 1", went.Load())
	}
	checkMessages(t, r, "build1: work: broken",
		"build2: work: internal error, please report it: panic: a mistake")
}

func TestPanicBecomesError(t *testing.T) {
	var none []int
	r := finish(t, 1, Options{Jobs: 2}, list(4), work(func(_ *Build, o *Object) error {
		if o.Name == "001.ko" {
			_ = none[len(o.Name)]
		}
		if o.Name == "003.ko" {
			var missing *Object
			missing.Size = 1 // address 0 is not in a mapped file
		}
		return nil
	}))
	if len(r.Errors) != 2 {
		t.Fatalf("errors %q, want 2", messages(r.Errors))
	}
	for _, e := range r.Errors {
		for _, want := range []string{"internal error, please report it", "run_test.go"} {
			if !strings.Contains(e.Error(), want) {
				t.Errorf("no %q in %q", want, e)
			}
		}
	}
}

// module returns the path of a copy of a module.
func module(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../demo/matrix/x86_64-gcc/modules/kernel/crypto/crc32.ko")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "crc32.ko")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestShrunkFile truncates an object while it is mapped. Reading what is gone raises SIGBUS.
func TestShrunkFile(t *testing.T) {
	path := module(t)
	r := finish(t, 1, Options{Jobs: 2}, list(3), work(func(_ *Build, o *Object) error {
		if o.Name != "002.ko" {
			return nil
		}
		f, err := elf.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := os.Truncate(path, 0); err != nil {
			return err
		}
		syms, err := f.Symtab()
		if err != nil {
			return err
		}
		for id := range syms.Len() {
			if _, err := syms.At(elf.SymID(id)); err != nil {
				return err
			}
		}
		return errors.New("read symbols of an empty file")
	}))
	checkMessages(t, r, "build0: work: 002.ko: the file shrank while it was read (offset 0x0)")
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var started atomic.Int32
	two := tasks(t, 2, list(1000), work(func(*Build, *Object) error {
		if started.Add(1) == 10 {
			cancel()
		}
		return errors.New("not reported if the run is cancelled")
	}), after(func(*Build) error { t.Error("a stage ran after the cancelled one"); return nil }))
	r, err := Run(ctx, two, Options{Jobs: 2})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	for _, e := range r.Errors {
		if e.Object == "" {
			t.Errorf("an error of a build: %v", e)
		}
	}
	if n := started.Load(); n > 12 {
		t.Errorf("%d objects began after the end", n-10)
	}
	begun := Stage{
		"list",
		func(context.Context, *Build) error { t.Error("a build began"); return nil },
	}
	if _, err := Run(ctx, tasks(t, 2, begun), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a run that was cancelled before it began", err)
	}
}

func TestStopOnError(t *testing.T) {
	var done atomic.Int32
	var events []string
	fail := work(func(*Build, *Object) error {
		if done.Add(1) == 20 {
			return errors.New("broken")
		}
		return nil
	})
	report := func(e *Error) { events = append(events, e.Err.Error()) }
	r, err := Run(t.Context(), tasks(t, 3, list(500), fail),
		Options{Jobs: 2, StopOnError: true, Events: Events{Error: report}})
	var stopper *Error
	if !errors.As(err, &stopper) || stopper.Stage != "work" || stopper.Object == "" {
		t.Errorf("the error that stopped the run: %v", err)
	}
	if len(r.Errors) != 1 || !slices.Equal(events, []string{"broken"}) {
		t.Errorf("errors %q, events %q", messages(r.Errors), events)
	}
	if n := done.Load(); n > 24 {
		t.Errorf("%d objects done after the first error", n-20)
	}
}

// TestBudget counts what computes at the same time, over builds and objects, in Each and outside.
func TestBudget(t *testing.T) {
	for _, jobs := range []int{1, 2, 5} {
		var now, most, calls atomic.Int32
		together := make(chan struct{}) // closed when as many compute as there are workers
		busy := func() {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if calls.Add(1); int(n) == jobs {
				select {
				case <-together:
				default:
					close(together)
				}
			}
			<-together
		}
		r := finish(t, 7, Options{Jobs: jobs}, list(30),
			work(func(*Build, *Object) error { busy(); return nil }),
			after(func(*Build) error { busy(); return nil }))
		checkMessages(t, r)
		if m := int(most.Load()); m != jobs {
			t.Errorf("jobs %d: %d at the same time", jobs, m)
		}
		if n := calls.Load(); n != 7*31 {
			t.Errorf("jobs %d: %d calls, want %d", jobs, n, 7*31)
		}
	}
}

// TestErrorOrder: errors come sorted by build, by stage in the order of the build's task, and by
// object, vmlinux first.
func TestErrorOrder(t *testing.T) {
	fail := func(stage string) Stage {
		return Stage{stage, func(ctx context.Context, b *Build) error {
			return b.Each(ctx, b.Every(all), func(*Object) error { return errors.New("broken") })
		}}
	}
	last := Stage{"last", func(ctx context.Context, b *Build) error {
		b.Fail(ctx, &b.Objects[2], errors.New("late"))
		return errors.New("ends")
	}}
	two := tasks(t, 2)
	two[0].Stages = []Stage{list(3), fail("b"), fail("a"), last}
	two[1].Stages = []Stage{list(2), fail("a"), fail("b")}
	want := []string{
		"build0: b: vmlinux: broken", "build0: b: 001.ko: broken", "build0: b: 002.ko: broken",
		"build0: a: vmlinux: broken", "build0: a: 001.ko: broken", "build0: a: 002.ko: broken",
		"build0: last: ends", "build0: last: 002.ko: late",
		"build1: a: vmlinux: broken", "build1: a: 001.ko: broken",
		"build1: b: vmlinux: broken", "build1: b: 001.ko: broken",
	}
	for range 5 {
		r, err := Run(t.Context(), two, Options{Jobs: 8})
		if err != nil {
			t.Fatal(err)
		}
		checkMessages(t, r, want...)
	}
}

func TestEvents(t *testing.T) {
	var mu sync.Mutex
	var got []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf(format, args...))
	}
	finish(t, 1, Options{Jobs: 3, Events: Events{
		Begin: func(build, stage string, n int) { note("begin %s %s %d", build, stage, n) },
		Step:  func(build, stage string) { note("step %s %s", build, stage) },
		End:   func(build, stage string, _ time.Duration) { note("end %s %s", build, stage) },
	}}, list(2), work(nothing))
	want := []string{
		"end build0 list",
		"begin build0 work 2", "step build0 work", "step build0 work", "end build0 work",
	}
	if !slices.Equal(got, want) {
		t.Errorf("have %q\nwant %q", got, want)
	}
}

// TestScopeOfTask: a stage sees what its task says.
func TestScopeOfTask(t *testing.T) {
	all := tasks(t, 1, after(func(b *Build) error {
		if !b.Scope.Takes("x") || b.Scope.Takes("y") ||
			!slices.Equal(b.Scope.Roots, []string{"/src"}) {
			t.Errorf("scope %+v", b.Scope)
		}
		if want := filepath.Join(b.Dir, "file"); b.Path("file") != want {
			t.Errorf("path %s, want %s", b.Path("file"), want)
		}
		return nil
	}))
	all[0].Scope = Scope{
		Taken: func(name string) bool { return name == "x" },
		Roots: []string{"/src"},
	}
	if r, err := Run(t.Context(), all, Options{}); err != nil || len(r.Builds[0].Timings) != 1 {
		t.Error(err)
	}
}

func TestParallel(t *testing.T) {
	for _, jobs := range []int{0, 1, 3, 100} {
		seen := make([]atomic.Int32, 50)
		Parallel(jobs, len(seen), func(i int) { seen[i].Add(1) })
		for i := range seen {
			if n := seen[i].Load(); n != 1 {
				t.Errorf("jobs %d: %d called %d times", jobs, i, n)
			}
		}
	}
	Parallel(2, 0, func(int) { t.Error("called for nothing") })
}

// TestOneParallelLoop: one place in the package starts goroutines.
func TestOneParallelLoop(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var starts []string
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					starts = append(starts, f.Name.Name)
				}
				if s, ok := n.(*ast.SelectorExpr); ok &&
					(s.Sel.Name == "Go" || s.Sel.Name == "ForEach") {
					starts = append(starts, f.Name.Name)
				}
				return true
			})
		}
	}
	// The goroutines of waiters wait for disks and compute nothing.
	if !slices.Equal(starts, []string{"run", "spread"}) {
		t.Errorf("goroutines start in %q, want one place in spread", starts)
	}
}

// TestSplit: Split calls f once for each item, in parts that do not depend on the workers.
func TestSplit(t *testing.T) {
	for _, n := range []int{0, 1, 2, Parts - 1, Parts, Parts + 1, 1000} {
		var want []string
		for _, jobs := range []int{1, 2, 7} {
			var mu sync.Mutex
			var parts []string
			seen := make([]int, n)
			split := Stage{"work", func(ctx context.Context, b *Build) error {
				return b.Split(ctx, n, func(part, from, to int) {
					for i := from; i < to; i++ {
						seen[i]++
					}
					mu.Lock()
					parts = append(parts, fmt.Sprintf("%02d %d-%d", part, from, to))
					mu.Unlock()
				})
			}}
			checkMessages(t, finish(t, 1, Options{Jobs: jobs}, split))
			if i := slices.IndexFunc(seen, func(n int) bool { return n != 1 }); i >= 0 {
				t.Errorf("%d items, %d workers: item %d was seen %d times", n, jobs, i, seen[i])
			}
			slices.Sort(parts)
			if want == nil {
				want = parts
			}
			if !slices.Equal(parts, want) {
				t.Errorf("%d items, %d workers: parts %q, want %q", n, jobs, parts, want)
			}
		}
	}
	fail := Stage{"work", func(ctx context.Context, b *Build) error {
		return b.Split(ctx, 100, func(part, _, _ int) {
			if part == 50 {
				panic("a mistake")
			}
		})
	}}
	r := finish(t, 1, Options{Jobs: 3}, fail)
	checkMessages(t, r, "build0: work: internal error, please report it: panic: a mistake")
}

// countingHead is the number of lines below it.
type countingHead struct {
	lines int
	err   error
}

func (h *countingHead) Err() error    { return h.err }
func (h *countingHead) Bytes() []byte { return fmt.Appendf(nil, "# %06d lines\n", h.lines) }
func (h *countingHead) Add(b []byte)  { h.lines += bytes.Count(b, []byte("\n")) }

// lastLineHead is the last line below it, cut to six bytes.
type lastLineHead struct{ line []byte }

func (h *lastLineHead) Err() error    { return nil }
func (h *lastLineHead) Bytes() []byte { return fmt.Appendf(nil, "# %06.6s\n", h.line) }
func (h *lastLineHead) Add(b []byte) {
	all := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
	h.line = bytes.Clone(all[len(all)-1])
}

// TestWriteLines: WriteLines writes what a loop over all items would write.
func TestWriteLines(t *testing.T) {
	number := func(buf []byte, from, to int) []byte {
		for i := from; i < to; i++ {
			buf = fmt.Appendf(buf, "%05d\n", i)
		}
		return buf
	}
	for _, n := range []int{0, 1, linesAtOnce - 1, linesAtOnce, linesAtOnce + 1, 10_000} {
		lines := string(number(nil, 0, n))
		for _, c := range []struct {
			head Head
			want string
		}{
			{nil, lines},
			{&countingHead{}, fmt.Sprintf("# %06d lines\n", n) + lines},
			{&lastLineHead{}, fmt.Sprintf("# %06.6s\n", lines[max(0, len(lines)-6):max(0, len(lines)-1)]) + lines},
		} {
			for _, jobs := range []int{1, 7} {
				switch c.head.(type) {
				case *countingHead:
					c.head = &countingHead{}
				case *lastLineHead:
					c.head = &lastLineHead{}
				}
				var path string
				r := finish(
					t,
					1,
					Options{Jobs: jobs},
					Stage{"work", func(ctx context.Context, b *Build) error {
						path = b.Path("table")
						return b.WriteLines(ctx, "table", c.head, n, number)
					}},
				)
				checkMessages(t, r)
				if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
					t.Errorf("%d lines, %T, %d workers: %v, %d bytes, want %d",
						n, c.head, jobs, err, len(got), len(c.want))
				}
			}
		}
	}
}

// TestWriteLinesFails: WriteLines writes no file if one of its parts fails.
func TestWriteLinesFails(t *testing.T) {
	var dir string
	fail := Stage{"work", func(ctx context.Context, b *Build) error {
		dir = b.Dir
		return b.WriteLines(ctx, "table", nil, 30_000, func(buf []byte, from, to int) []byte {
			if from <= 9_000 && 9_000 < to {
				panic("a mistake")
			}
			return append(buf, "line\n"...)
		})
	}}
	r := finish(t, 1, Options{Jobs: 3}, fail)
	checkMessages(t, r, "build0: work: internal error, please report it: panic: a mistake")
	if left := below(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}

	r = finish(t, 1, Options{Jobs: 3}, Stage{"work", func(ctx context.Context, b *Build) error {
		dir = b.Dir
		line := func(buf []byte, _, _ int) []byte { return append(buf, "line\n"...) }
		return b.WriteLines(ctx, "table", &countingHead{err: errors.New("refused")}, 1, line)
	}})
	checkMessages(t, r, "build0: work: refused")
	if left := below(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, tasks(t, 1, Stage{"work", func(ctx context.Context, b *Build) error {
		dir = b.Dir
		return b.WriteLines(ctx, "table", nil, 30_000, func(buf []byte, from, to int) []byte {
			cancel()
			return append(buf, "line\n"...)
		})
	}}), Options{Jobs: 2})
	if left := below(t, dir); !errors.Is(err, context.Canceled) || len(left) != 0 {
		t.Errorf("cancelled: %v, left: %q", err, left)
	}
}

// TestBuildsInFlight: no more builds are under way than keep the workers busy, and a build that is
// done holds no symbols.
func TestBuildsInFlight(t *testing.T) {
	var running, most atomic.Int32
	r := finish(t, 12, Options{Jobs: 2}, list(3), after(func(b *Build) error {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		o := &b.Objects[0]
		o.Symbols, o.Duplicates, o.Files = make([]Symbol, 10), make([]Duplicate, 1), []string{""}
		b.Names, b.Groups = Names{Ends: []int32{1}}, make([]Group, 1)
		return nil
	}))
	checkMessages(t, r)
	if most.Load() > 3 {
		t.Errorf("%d builds at once with two workers", most.Load())
	}
	for _, b := range r.Builds {
		o := &b.Objects[0]
		if len(b.Objects) != 3 || o.Symbols != nil || o.Duplicates != nil || o.Files != nil ||
			b.Names.Len() != 0 || b.Groups != nil {
			t.Errorf("%s holds %+v", b.Config.Name, o)
		}
	}
}
