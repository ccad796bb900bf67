package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
		name := fmt.Sprintf("build%d", i)
		all = append(all, Task{Config: configs.Build{Name: name}, Dir: filepath.Join(dir, name), Stages: stages})
	}
	return all
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

// work is a stage that calls f for each object.
func work(f func(ctx context.Context, b *Build, o *Object) error) Stage {
	return Stage{"work", func(ctx context.Context, b *Build) error {
		return b.Each(ctx, b.Every(func(*Object) bool { return true }), func(o *Object) error { return f(ctx, b, o) })
	}}
}

func messages(errs []*Error) []string {
	var all []string
	for _, e := range errs {
		line, _, _ := strings.Cut(e.Error(), "\n")
		all = append(all, line)
	}
	return all
}

func TestErrorCostsOneObject(t *testing.T) {
	var done atomic.Int32
	broken := errors.New("broken")
	after := Stage{"after", func(_ context.Context, b *Build) error {
		for i := range b.Objects {
			if o := &b.Objects[i]; o.Failed() != (o.Name == "002.ko") {
				t.Errorf("%s: failed %v", o.Name, o.Failed())
			}
		}
		return nil
	}}
	r, err := Run(context.Background(), tasks(t, 1, list(20), work(func(_ context.Context, _ *Build, o *Object) error {
		if o.Name == "002.ko" {
			return broken
		}
		done.Add(1)
		return nil
	}), after), Options{Jobs: 4})
	if err != nil || done.Load() != 19 {
		t.Errorf("%v, %d objects done of 19", err, done.Load())
	}
	if want := []string{"build0: work: 002.ko: broken"}; !slices.Equal(messages(r.Errors), want) {
		t.Errorf("errors %q, want %q", messages(r.Errors), want)
	}
	if len(r.Errors) == 1 && !errors.Is(r.Errors[0], broken) {
		t.Error("the error's cause is lost")
	}
	if len(r.Builds[0].Timings) != 3 {
		t.Errorf("timings %v", r.Builds[0].Timings)
	}
}

func TestErrorOfStageCostsBuild(t *testing.T) {
	var after atomic.Int32
	r, err := Run(context.Background(), tasks(t, 3, list(2), Stage{"work", func(_ context.Context, b *Build) error {
		switch b.Config.Name {
		case "build1":
			return errors.New("broken")
		case "build2":
			panic("a mistake")
		}
		return nil
	}}, Stage{"after", func(context.Context, *Build) error { after.Add(1); return nil }}), Options{Jobs: 2})
	if err != nil || after.Load() != 1 {
		t.Errorf("%v, %d builds went on, want 1", err, after.Load())
	}
	want := []string{"build1: work: broken", "build2: work: internal error, please report it: panic: a mistake"}
	if !slices.Equal(messages(r.Errors), want) {
		t.Errorf("errors %q, want %q", messages(r.Errors), want)
	}
}

func TestPanicBecomesError(t *testing.T) {
	var none []int
	r, err := Run(context.Background(), tasks(t, 1, list(4), work(func(_ context.Context, _ *Build, o *Object) error {
		if o.Name == "001.ko" {
			_ = none[len(o.Name)]
		}
		if o.Name == "003.ko" {
			var missing *Object
			missing.Size = 1 // the address 0 is no file that shrank
		}
		return nil
	})), Options{Jobs: 2})
	if err != nil || len(r.Errors) != 2 {
		t.Fatalf("%v, errors %q", err, messages(r.Errors))
	}
	for _, e := range r.Errors {
		if text := e.Error(); !strings.Contains(text, "internal error, please report it") || !strings.Contains(text, "run_test.go") {
			t.Errorf("no stack in %q", text)
		}
	}
}

// TestShrunkFile truncates an object while it is mapped: touching what is gone raises SIGBUS.
func TestShrunkFile(t *testing.T) {
	data, err := os.ReadFile("../demo/matrix/x86_64-gcc/modules/kernel/crypto/crc32.ko")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "crc32.ko")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), tasks(t, 1, list(3), work(func(_ context.Context, _ *Build, o *Object) error {
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
		return errors.New("read what is not there")
	})), Options{Jobs: 2})
	want := []string{"build0: work: 002.ko: the file shrank while it was read (offset 0x0)"}
	if err != nil || !slices.Equal(messages(r.Errors), want) {
		t.Errorf("%v, errors %q, want %q", err, messages(r.Errors), want)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var started atomic.Int32
	after := Stage{"after", func(context.Context, *Build) error { t.Error("a stage after the cancelled one"); return nil }}
	r, err := Run(ctx, tasks(t, 2, list(1000), work(func(context.Context, *Build, *Object) error {
		if started.Add(1) == 10 {
			cancel()
		}
		return nil
	}), after), Options{Jobs: 2})
	if !errors.Is(err, context.Canceled) || len(r.Errors) != 0 {
		t.Errorf("%v, errors %q", err, messages(r.Errors))
	}
	if n := started.Load(); n > 12 {
		t.Errorf("%d objects begun, the last %d of them after the end", n, n-10)
	}
	if _, err := Run(ctx, tasks(t, 2, list(3)), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("begun with a cancelled context: %v", err)
	}
}

func TestOnErrorStop(t *testing.T) {
	var done atomic.Int32
	var reported []string
	r, err := Run(context.Background(), tasks(t, 3, list(500), work(func(_ context.Context, _ *Build, o *Object) error {
		if done.Add(1) == 20 {
			return errors.New("broken")
		}
		return nil
	})), Options{Jobs: 2, StopOnError: true, Events: Events{Error: func(e *Error) { reported = append(reported, e.Err.Error()) }}})
	var stopper *Error
	if !errors.As(err, &stopper) || stopper.Stage != "work" || stopper.Object == "" {
		t.Errorf("the error that stopped the run: %v", err)
	}
	if len(r.Errors) != 1 || !slices.Equal(reported, []string{"broken"}) {
		t.Errorf("errors %q, reported %q", messages(r.Errors), reported)
	}
	if n := done.Load(); n > 24 {
		t.Errorf("%d objects done after the first problem", n-20)
	}
}

// TestBudget counts what computes at the same time, over builds and objects, in stages and in Each.
func TestBudget(t *testing.T) {
	for _, jobs := range []int{1, 2, 5} {
		var now, most, calls atomic.Int32
		busy := func() {
			n := now.Add(1)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			calls.Add(1)
			time.Sleep(200 * time.Microsecond)
			now.Add(-1)
		}
		alone := func(context.Context, *Build) error { busy(); return nil }
		done := make(chan struct{})
		go func() {
			defer close(done)
			r, err := Run(context.Background(), tasks(t, 7, list(30), work(func(context.Context, *Build, *Object) error {
				busy()
				return nil
			}), Stage{"after", alone}), Options{Jobs: jobs})
			if err != nil || len(r.Errors) > 0 {
				t.Errorf("%v %q", err, messages(r.Errors))
			}
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("jobs %d: deadlock after %d calls", jobs, calls.Load())
		}
		if m := int(most.Load()); m > jobs || jobs > 1 && m < 2 {
			t.Errorf("jobs %d: %d at the same time", jobs, m)
		}
		if n := calls.Load(); n != 7*31 {
			t.Errorf("jobs %d: %d calls, want %d", jobs, n, 7*31)
		}
	}
}

func TestErrorsAreSorted(t *testing.T) {
	stages := []Stage{list(12), work(func(_ context.Context, b *Build, o *Object) error {
		return fmt.Errorf("%s of %s", o.Name, b.Config.Name)
	}), Stage{"after", func(ctx context.Context, b *Build) error {
		b.Fail(ctx, &b.Objects[3], errors.New("late"))
		return errors.New("last")
	}}}
	var first []string
	for range 5 {
		r, err := Run(context.Background(), tasks(t, 4, stages...), Options{Jobs: 8})
		if err != nil {
			t.Fatal(err)
		}
		got := messages(r.Errors)
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Fatalf("another order:\n%s\n%s", strings.Join(got, "\n"), strings.Join(first, "\n"))
		}
	}
	if len(first) != 4*14 || !strings.HasPrefix(first[0], "build0: work: vmlinux: ") || first[1] != "build0: work: 001.ko: 001.ko of build0" ||
		first[12] != "build0: after: last" || first[13] != "build0: after: 003.ko: late" || !strings.HasPrefix(first[14], "build1: work: vmlinux: ") {
		t.Errorf("order:\n%s", strings.Join(first, "\n"))
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
	_, err := Run(context.Background(), tasks(t, 1, list(2), work(func(context.Context, *Build, *Object) error { return nil })),
		Options{Jobs: 3, Events: Events{
			Begin: func(build, stage string, n int) { note("begin %s %s %d", build, stage, n) },
			Step:  func(build, stage string) { note("step %s %s", build, stage) },
			End:   func(build, stage string, _ time.Duration) { note("end %s %s", build, stage) },
		}})
	want := []string{"end build0 list", "begin build0 work 2", "step build0 work", "step build0 work", "end build0 work"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\nhave %q\nwant %q", err, got, want)
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

// within runs f as the one stage of a build.
func within(t *testing.T, jobs int, f func(context.Context, *Build) error) *Result {
	t.Helper()
	r, err := Run(context.Background(), tasks(t, 1, Stage{"work", f}), Options{Jobs: jobs})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Split calls f once for each item, in parts that do not depend on the workers.
func TestSplit(t *testing.T) {
	for _, n := range []int{0, 1, 2, Parts - 1, Parts, Parts + 1, 1000} {
		var want []string
		for _, jobs := range []int{1, 2, 7} {
			var mu sync.Mutex
			var parts []string
			seen := make([]int, n)
			r := within(t, jobs, func(ctx context.Context, b *Build) error {
				return b.Split(ctx, n, func(part, from, to int) {
					for i := from; i < to; i++ {
						seen[i]++
					}
					mu.Lock()
					parts = append(parts, fmt.Sprintf("%02d %d-%d", part, from, to))
					mu.Unlock()
				})
			})
			if len(r.Errors) > 0 {
				t.Fatal(messages(r.Errors))
			}
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
	r := within(t, 3, func(ctx context.Context, b *Build) error {
		return b.Split(ctx, 100, func(part, _, _ int) {
			if part == 50 {
				panic("a mistake")
			}
		})
	})
	if len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Error(), "a mistake") {
		t.Errorf("errors %q", messages(r.Errors))
	}
}

// countingHead tells of the lines below it how many they are.
type countingHead struct{ lines int }

func (h *countingHead) Bytes() []byte { return fmt.Appendf(nil, "# %06d lines\n", h.lines) }
func (h *countingHead) Add(b []byte)  { h.lines += bytes.Count(b, []byte("\n")) }

// WriteLines writes what a loop over all items would, and nothing if a part of it fails.
func TestWriteLines(t *testing.T) {
	for _, n := range []int{0, 1, 2047, 2048, 2049, 30_000} {
		want := fmt.Sprintf("# %06d lines\n", n)
		for i := range n {
			want += fmt.Sprintf("line %d\n", i)
		}
		for _, jobs := range []int{1, 2, 7} {
			var path string
			r := within(t, jobs, func(ctx context.Context, b *Build) error {
				path = b.Path("table")
				return b.WriteLines(ctx, "table", &countingHead{}, n, func(buf []byte, from, to int) []byte {
					for i := from; i < to; i++ {
						buf = fmt.Appendf(buf, "line %d\n", i)
					}
					return buf
				})
			})
			got, err := os.ReadFile(path)
			if err != nil || len(r.Errors) > 0 || string(got) != want {
				t.Errorf("%d lines, %d workers: %v %v, %d bytes, want %d", n, jobs, err, messages(r.Errors), len(got), len(want))
			}
		}
	}
	var dir string
	r := within(t, 3, func(ctx context.Context, b *Build) error {
		dir = b.Dir
		return b.WriteLines(ctx, "table", nil, 30_000, func(buf []byte, from, to int) []byte {
			if from <= 9_000 && 9_000 < to {
				panic("a mistake")
			}
			return append(buf, "line\n"...)
		})
	})
	if len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Error(), "a mistake") {
		t.Errorf("errors %q", messages(r.Errors))
	}
	if left := below(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// No more builds are under way than keep the workers busy, and what they held is given back.
func TestBuildsInFlight(t *testing.T) {
	var running, most atomic.Int32
	r, err := Run(context.Background(), tasks(t, 12, list(3), Stage{"work", func(_ context.Context, b *Build) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		b.Objects[0].Symbols = make([]Symbol, 10)
		return nil
	}}), Options{Jobs: 2})
	if err != nil || len(r.Errors) > 0 {
		t.Fatal(err, messages(r.Errors))
	}
	if most.Load() > 3 {
		t.Errorf("%d builds at once with two workers", most.Load())
	}
	for _, b := range r.Builds {
		if len(b.Objects) != 3 || b.Objects[0].Symbols != nil {
			t.Errorf("%s: %d objects, %d symbols", b.Config.Name, len(b.Objects), len(b.Objects[0].Symbols))
		}
	}
}
