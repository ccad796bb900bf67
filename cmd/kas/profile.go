package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"time"

	"github.com/spf13/cobra"

	"kas/pipeline"
)

// toStdout is the file name that stands for standard output.
const toStdout = "-"

// profileFlags name the files for what a run reports about itself.
type profileFlags struct {
	bench, cpu, memory, trace string
}

func (f *profileFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.bench, "benchfmt", "",
		"write the time of each stage to `FILE`, in the format of Go benchmarks; - is standard\n"+
			"output, instead of the summary")
	cmd.Flags().StringVar(&f.cpu, "cpuprofile", "", "write a CPU profile to `FILE` (go tool pprof)")
	cmd.Flags().StringVar(&f.memory, "memprofile", "",
		"write a profile of all allocations to `FILE` (go tool pprof)")
	cmd.Flags().StringVar(&f.trace, "trace", "",
		"write an execution trace to `FILE` (go tool trace)")
}

// start begins what the flags ask for; end finishes the files. They serve the development of kas,
// so they grow during the run instead of appearing whole.
func (f *profileFlags) start() (end func() error, err error) {
	var ends []func() error
	end = func() error {
		var all error
		for _, e := range ends {
			all = errors.Join(all, e())
		}
		return all
	}
	// If one cannot start, those that did are ended below.
	begin := func(path string, start func(io.Writer) error, stop func(io.Writer) error) error {
		if path == "" {
			return nil
		}
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := start(file); err != nil {
			file.Close()
			return err
		}
		ends = append(ends, func() error { return errors.Join(stop(file), file.Close()) })
		return nil
	}
	if f.memory != "" {
		runtime.MemProfileRate = 64 << 10
	}
	err = errors.Join(
		begin(f.cpu, pprof.StartCPUProfile,
			func(io.Writer) error { pprof.StopCPUProfile(); return nil }),
		begin(f.trace, trace.Start, func(io.Writer) error { trace.Stop(); return nil }),
		begin(f.memory, func(io.Writer) error { return nil },
			func(w io.Writer) error { return pprof.Lookup("allocs").WriteTo(w, 0) }),
	)
	if err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// writeBench writes a line for each stage of each build and one for the whole run, for benchstat.
// The unit is nanoseconds of wall-clock time.
func writeBench(w io.Writer, r *pipeline.Result, jobs int, took time.Duration) error {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: kas\n", runtime.GOOS, runtime.GOARCH)
	for _, b := range r.Builds {
		for _, t := range b.Timings {
			fmt.Fprintf(w, "BenchmarkStage/build=%s/stage=%s/modules=%d/jobs=%d\t1\t%d ns/op\n",
				b.Config.Name, t.Stage, b.Stats.Modules, jobs, t.Wall.Nanoseconds())
		}
	}
	_, err := fmt.Fprintf(w, "BenchmarkRun/builds=%d/jobs=%d\t1\t%d ns/op\n",
		len(r.Builds), jobs, took.Nanoseconds())
	return err
}
