package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
	"kas/report"
	"kas/stages"
)

// defaultConfig is read where no configuration is named.
const defaultConfig = "kas.yaml"

// Beside the builds' folders: the configuration as it was understood, and the counts, which a finished run writes last.
const (
	effectiveConfig = "kas.effective.yaml"
	statsFile       = "stats.json"
)

type runFlags struct {
	jobs   int
	fresh  bool
	dry    bool
	builds []string
	out    string
	json   bool

	profile profileFlags
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [CONFIG]",
		Short: "run the stages on all builds of a configuration (default " + defaultConfig + ")",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configArg(args)
			if err != nil {
				return err
			}
			return runConfig(cmd.Context(), path, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "workers over all builds and objects (default: the configuration's, else all cores)")
	cmd.Flags().StringArrayVar(&f.builds, "build", nil, "run this build alone (may be repeated)")
	cmd.Flags().StringVar(&f.out, "out", "", "output folder (default: the configuration's)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the summary as JSON")
	cmd.Flags().BoolVar(&f.fresh, "fresh", false, "make everything again, also what the last run made of the same files")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "write nothing; print what each choice of names and symbols would cost")
	f.profile.add(cmd)
	return cmd
}

func configArg(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no %s here: name a configuration (kas demo shows one at work)", defaultConfig)
	}
	return defaultConfig, nil
}

// load reads a configuration and applies the flags that change what is done. How many workers do it is no part of that:
// the effective configuration keeps the jobs of the file.
func load(path string, f runFlags) (*configs.Plan, error) {
	plan, err := configs.Load(path)
	if err != nil {
		return nil, err
	}
	if f.jobs < 0 {
		return nil, fmt.Errorf("--jobs %d: must not be negative", f.jobs)
	}
	plan.Out = cmp.Or(f.out, plan.Out)
	if len(f.builds) == 0 {
		return plan, nil
	}
	for _, name := range f.builds {
		if !slices.ContainsFunc(plan.Builds, func(b configs.Build) bool { return b.Name == name }) {
			return nil, fmt.Errorf("--build %s: no such build; there are %s", name, strings.Join(buildNames(plan), ", "))
		}
	}
	plan.Builds = slices.DeleteFunc(plan.Builds, func(b configs.Build) bool { return !slices.Contains(f.builds, b.Name) })
	return plan, nil
}

func buildNames(plan *configs.Plan) []string {
	var names []string
	for _, b := range plan.Builds {
		names = append(names, b.Name)
	}
	return names
}

func runConfig(ctx context.Context, path string, f runFlags, stdout, stderr io.Writer) error {
	plan, err := load(path, f)
	if err != nil {
		return err
	}
	if f.dry {
		if f.profile.bench != "" {
			return errors.New("--benchfmt does not go with --dry-run")
		}
		collectLess()
		return dryRun(ctx, plan, f, stdout, stderr)
	}
	end, err := f.profile.start()
	if err != nil {
		return failure{err}
	}
	result, took, err := runPlan(ctx, plan, f, stderr)
	if err := end(); err != nil {
		return failure{err}
	}
	if err != nil {
		return err
	}
	if f.profile.bench != "" {
		if _, err := pipeline.WriteFile(f.profile.bench, func(w io.Writer) error {
			return writeBench(w, result, cmp.Or(f.jobs, plan.Jobs), took)
		}); err != nil {
			return failure{err}
		}
	}
	if f.json {
		err = report.JSON(stdout, result, took)
	} else {
		err = report.Text(stdout, result, took)
		fmt.Fprintf(stderr, "kas: output is in %s\n", plan.Out)
	}
	switch {
	case err != nil:
		return failure{err}
	case len(result.Errors) > 0:
		fmt.Fprintf(stderr, "kas: %d problems, each told above\n", len(result.Errors))
		return errReported
	}
	return nil
}

// runPlan runs a plan and writes what belongs to the run as a whole.
func runPlan(ctx context.Context, plan *configs.Plan, f runFlags, stderr io.Writer) (*pipeline.Result, time.Duration, error) {
	unlock, err := pipeline.Lock(plan.Out)
	if err != nil {
		return nil, 0, failure{err}
	}
	defer unlock()
	// Without stats.json the folder does not look like that of a finished run.
	stats := filepath.Join(plan.Out, statsFile)
	if err := os.Remove(stats); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, failure{err}
	}
	for _, name := range plan.Skipped {
		fmt.Fprintf(stderr, "kas: %s: skipped, none of its files is here\n", name)
	}
	collectLess()
	kas := programID()
	started := time.Now()
	progress := newProgress(stderr)
	result, err := pipeline.Run(ctx, plan, stages.All, pipeline.Options{
		Jobs: cmp.Or(f.jobs, plan.Jobs), Events: progress.events(), Cache: stateCache(kas), Kas: kas, Fresh: f.fresh,
	})
	progress.finish()
	if stopper := new(pipeline.Error); errors.As(err, &stopper) {
		fmt.Fprintln(stderr, "kas: stopped there, as on_error says")
		return nil, 0, errReported
	}
	if err != nil {
		return nil, 0, failure{err}
	}
	for _, b := range result.Builds {
		if len(b.Config.Modules) > 0 && !slices.ContainsFunc(b.Objects, func(o pipeline.Object) bool { return !o.Vmlinux }) {
			fmt.Fprintf(stderr, "kas: %s: no modules in %s\n", b.Config.Name, strings.Join(b.Config.Modules, ", "))
		}
	}
	if slices.ContainsFunc(result.Errors, func(e *pipeline.Error) bool { return e.Object == "" }) {
		return nil, 0, errReported // a build did not end: stats.json would say that it did
	}
	effective, err := plan.Effective(plan.Out)
	if err != nil {
		return nil, 0, failure{err}
	}
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{filepath.Join(plan.Out, effectiveConfig), func(w io.Writer) error { _, err := bytes.NewReader(effective).WriteTo(w); return err }},
		{stats, func(w io.Writer) error { return report.Stats(w, result) }},
	} {
		if _, err := pipeline.WriteFile(file.path, file.write); err != nil {
			return nil, 0, failure{err}
		}
	}
	return result, time.Since(started), nil
}

// collectLess has the garbage collector run less often while the heap is small: nearly all that a run allocates it needs
// until its end. GOGC and GOMEMLIMIT go before.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(512 << 20)
	}
}

// stateCache is where a run leaves what the next one may use, "" if this user has no such place, or this program no name.
func stateCache(kas string) string {
	dir, err := os.UserCacheDir()
	if err != nil || kas == "" {
		return ""
	}
	return filepath.Join(dir, "kas")
}

// programID names this very program: the content of what the linker made, as it says itself, "" if it does not.
func programID() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	f, err := elf.OpenTables(self)
	if err != nil {
		return ""
	}
	defer f.Close()
	note, err := f.Data(f.Section(".note.go.buildid"))
	if err != nil || len(note) == 0 {
		return ""
	}
	return pipeline.Digest(string(note))
}
