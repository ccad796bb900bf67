// Package bench_test measures the pipeline on many small modules, stage by stage:
//
//	go test ./bench -run '^$' -bench Run -count 10 >new.txt && benchstat -col /jobs new.txt
//
// The program in compare measures kas on real kernels, beside other tools.
package bench_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kas/configs"
	"kas/pipeline"
	"kas/stages"
)

// load makes a plan of one build with n modules. It returns the plan and the modules' size in
// bytes.
func load(tb testing.TB, n int) (*configs.Plan, int64) {
	tb.Helper()
	dir := tb.TempDir()
	size := writeModules(tb, filepath.Join(dir, "modules"), n)
	path := filepath.Join(dir, "kas.yaml")
	const config = "version: 1\nbuilds: [{name: small, modules: modules}]\n"
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		tb.Fatal(err)
	}
	plan, err := configs.Load(path)
	if err != nil {
		tb.Fatal(err)
	}
	return plan, size
}

// BenchmarkRun runs the stages up to the one it names: the difference between two of its results is
// what the later stage takes.
func BenchmarkRun(b *testing.B) {
	for _, modules := range []int{100, 1000} {
		plan, size := load(b, modules)
		plan.Builds[0].Stages = nil
		for _, s := range stages.All {
			plan.Builds[0].Stages = append(plan.Builds[0].Stages, s.Name)
			for _, jobs := range []int{1, 2} {
				name := fmt.Sprintf("upto=%s/modules=%d/jobs=%d", s.Name, modules, jobs)
				b.Run(name, func(b *testing.B) {
					b.SetBytes(size)
					b.ReportAllocs()
					for b.Loop() {
						run(b, plan, jobs)
					}
				})
			}
		}
	}
}

func run(tb testing.TB, plan *configs.Plan, jobs int) *pipeline.Build {
	options := pipeline.Options{Jobs: jobs}
	result, err := pipeline.Run(context.Background(), stages.Tasks(plan), options)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range result.Errors {
		tb.Fatal(e)
	}
	return result.Builds[0]
}

// TestModules checks that the modules are like a kernel's: all are readable, some have aliases, and
// the debugging information locates every duplicate.
func TestModules(t *testing.T) {
	plan, _ := load(t, 100)
	s := run(t, plan, 2).Stats
	if s.Modules != 100 || s.Unreadable > 0 || s.Emitted < 10 || s.Emitted > 30 ||
		s.Aliases < s.Emitted {
		t.Errorf("%+v", s)
	}
	for reason, n := range s.Unaliased {
		if strings.Contains(reason, "debugging information") {
			t.Errorf("%d symbols: %s", n, reason)
		}
	}
}
