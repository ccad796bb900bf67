package main

import (
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
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
	"kas/report"
	"kas/stages"
)

// defaultConfig is the configuration of commands that name none.
const defaultConfig = "kas.yaml"

// Files beside the builds' folders: the configuration with its defaults, and the counts, which a
// finished run writes last.
const (
	effectiveConfig = "kas.effective.yaml"
	statsFile       = report.StatsFile
)

type runFlags struct {
	jobs   int
	fresh  bool
	dry    bool
	builds []string
	shard  string
	out    string
	json   bool

	verbose, quiet bool

	profile profileFlags
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [CONFIG]",
		Short: "Run the stages on all builds of a configuration",
		Long: `Run the stages on all builds of CONFIG (default kas.yaml) and write tables,
registries, symbol lists and copies of modules to the output folder. The next
run makes again only what a changed file affects. For CONFIG, - is standard
input.`,
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configArg(args)
			if err != nil {
				return err
			}
			return runConfig(cmd.Context(), path, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVarP(&f.jobs, "jobs", "j", 0,
		"use `N` workers for all builds (default: the configuration's jobs, else all cores)")
	cmd.Flags().StringArrayVar(&f.builds, "build", nil,
		"run only the build `NAME`; may be repeated")
	cmd.Flags().StringVar(&f.shard, "shard", "",
		"run only shard `I/N` of the builds, for kas merge: with N = 3, shard 1 has the\n"+
			"first build, the fourth and so on; others may run at the same time")
	cmd.Flags().StringVar(&f.out, "out", "", "write to `DIR` (default: the configuration's out)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the summary as JSON")
	cmd.Flags().BoolVar(&f.fresh, "fresh", false,
		"make everything again, even what no changed file affects")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "print the time of each stage")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false,
		"print only errors, and what --json and --benchfmt - print")
	cmd.MarkFlagsMutuallyExclusive("verbose", "quiet")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false,
		"write nothing; print what each choice of names and symbols would cost")
	f.profile.add(cmd)
	return cmd
}

func configArg(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no %s in this folder: name a configuration "+
			"(kas demo shows an example)", defaultConfig)
	}
	return defaultConfig, nil
}

// load reads a configuration and applies the flags that change what a run makes. --jobs does not:
// the effective configuration keeps the jobs of the file.
func load(path string, f runFlags) (*configs.Plan, error) {
	if err := checkJobs(f.jobs); err != nil {
		return nil, err
	}
	choice := configs.Choice{Names: f.builds}
	if f.shard != "" {
		var err error
		if choice.Shard, choice.Shards, err = parseShard(f.shard); err != nil {
			return nil, err
		}
	}
	plan, err := configs.LoadSome(path, choice)
	if err != nil {
		return nil, err
	}
	if f.out != "" {
		plan.SetOut(f.out)
	}
	if err := plan.CheckReport(); err != nil {
		return nil, err
	}
	return plan, nil
}

// checkJobs refuses a value of --jobs.
func checkJobs(n int) error {
	if n < 0 {
		return fmt.Errorf("--jobs %d: must not be negative", n)
	}
	return nil
}

func (f *runFlags) verbosity() verbosity {
	switch {
	case f.quiet:
		return errorsOnly
	case f.verbose:
		return stagesToo
	}
	return usual
}

// workers returns the number of workers of a run; 0 means all cores.
func (f *runFlags) workers(plan *configs.Plan) int { return cmp.Or(f.jobs, plan.Jobs) }

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
	if err := f.check(); err != nil {
		return err
	}
	done, err := unpack(ctx, plan, stderr)
	if err != nil {
		return err
	}
	defer done()
	if err := plan.CheckOut(); err != nil && !f.dry {
		return err
	}
	if f.dry {
		collectLess()
		return dryRun(ctx, plan, f, stdout, stderr)
	}
	end, err := f.profile.start()
	if err != nil {
		return failure{err}
	}
	if f.shard != "" {
		err := runShard(ctx, plan, f, stdout, stderr)
		return cmp.Or(err, asFailure(end()))
	}
	result, took, err := runPlan(ctx, plan, f, stderr)
	if err := end(); err != nil {
		return failure{err}
	}
	if result != nil && plan.Report.Writes() {
		notes := stderr
		if f.quiet {
			notes = io.Discard
		}
		if err := writeRunReport(plan, result, notes); err != nil {
			return failure{err}
		}
	}
	if err != nil {
		return err
	}
	bench := func(w io.Writer) error { return writeBench(w, result, f.workers(plan), took) }
	if path := f.profile.bench; path != "" && path != toStdout {
		if err := pipeline.WriteNamed(path, bench); err != nil {
			return failure{err}
		}
	}
	switch {
	case f.profile.bench == toStdout:
		err = bench(stdout)
	case f.json:
		err = report.JSON(stdout, result, took)
	case !f.quiet:
		err = report.Text(stdout, result, took)
		noteOutput(stderr, plan, result)
	}
	if err != nil {
		return failure{err}
	}
	return f.repeatErrors(stderr, result)
}

// printResult returns what prints the result of a run: as JSON or as text.
func printResult(asJSON bool) func(io.Writer, *pipeline.Result, time.Duration) error {
	if asJSON {
		return report.JSON
	}
	return report.Text
}

// noteOutput says where the output is, and how much of it an earlier run made.
func noteOutput(stderr io.Writer, plan *configs.Plan, result *pipeline.Result) {
	unchanged := 0
	for _, b := range result.Builds {
		if b.Skipped {
			unchanged++
		}
	}
	text := ""
	if unchanged > 0 {
		text = fmt.Sprintf("; %d of %d builds are unchanged", unchanged, len(result.Builds))
	}
	fmt.Fprintf(stderr, "kas: output is in %s%s\n", plan.Out, text)
}

// repeatErrors lists the errors of a run with the paths of the objects, since their own lines may
// be far above. It returns errReported if there are some.
func (f *runFlags) repeatErrors(stderr io.Writer, result *pipeline.Result) error {
	const most = 20
	n := len(result.Errors)
	switch {
	case n == 0:
		return nil
	case f.quiet:
		return errReported
	case n == 1:
		fmt.Fprintln(stderr, "kas: 1 problem:")
	default:
		fmt.Fprintf(stderr, "kas: %d problems:\n", n)
	}
	paths := map[[2]string]string{}
	for _, b := range result.Builds {
		for i := range b.Objects {
			paths[[2]string{b.Config.Name, b.Objects[i].Name}] = b.Objects[i].Path
		}
	}
	for _, e := range result.Errors[:min(n, most)] {
		whole := *e
		whole.Object = cmp.Or(paths[[2]string{e.Build, e.Object}], e.Object)
		fmt.Fprintf(stderr, "kas:   %v\n", &whole)
	}
	if n > most {
		fmt.Fprintf(stderr, "kas:   and %d more, reported above\n", n-most)
	}
	return errReported
}

// check refuses flags that do not go together.
func (f *runFlags) check() error {
	switch {
	case f.json && f.profile.bench == toStdout:
		return errors.New("--json and --benchfmt - both write to standard output")
	case f.dry && f.profile.bench != "":
		return errors.New("--benchfmt does not go with --dry-run")
	case f.shard == "":
		return nil
	}
	for _, other := range []struct {
		flag string
		set  bool
	}{{"--dry-run", f.dry}, {"--benchfmt", f.profile.bench != ""}} {
		if other.set {
			return fmt.Errorf("%s does not go with --shard", other.flag)
		}
	}
	return nil
}

// reportedAbove counts the problems that were reported. It returns errReported if there are some.
func reportedAbove(stderr io.Writer, n int) error {
	switch {
	case n == 0:
		return nil
	case n == 1:
		fmt.Fprintln(stderr, "kas: 1 problem, reported above")
	default:
		fmt.Fprintf(stderr, "kas: %d problems, each reported above\n", n)
	}
	return errReported
}

func asFailure(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

// runPlan runs a plan in its output folder, which no other run may use meanwhile. With errReported
// the result may be there, too.
func runPlan(
	ctx context.Context, plan *configs.Plan, f runFlags, stderr io.Writer,
) (*pipeline.Result, time.Duration, error) {
	unlock, err := pipeline.Lock(plan.Out)
	if err != nil {
		return nil, 0, failure{err}
	}
	defer unlock()
	out, err := openOut(plan)
	if err != nil {
		return nil, 0, failure{err}
	}
	tasks := stages.Tasks(plan)
	progress := newProgress(stderr, f.verbosity(), tasks)
	noteSkipped(progress.notes(), plan)
	collectLess()
	started := time.Now()
	kas := programID()
	result, err := runStages(ctx, plan, tasks, pipeline.Options{
		Jobs: f.workers(plan), Cache: stateCache(kas), Kas: kas, Fresh: f.fresh, Begin: out.begin,
	}, progress)
	if err != nil {
		out.begin() // the folder must not look finished
		return result, 0, err
	}
	if err := out.finish(plan, result, progress.notes()); err != nil {
		return nil, 0, failure{err}
	}
	return result, time.Since(started), nil
}

// errOutage is the error of a run whose inputs went away with their file system.
var errOutage = errors.New("is not the folder that was here when the run began")

// runStages runs tasks of a plan and reports what came of them. With an error, which is reported,
// what they wrote must not count as finished; the result may be there, too.
func runStages(
	ctx context.Context, plan *configs.Plan, tasks []pipeline.Task, o pipeline.Options,
	progress *progress,
) (*pipeline.Result, error) {
	stderr, notes := progress.w, progress.notes()
	o.StopOnError, o.Events = plan.OnError == "stop", progress.events(tasks)
	places := plan.Places()
	result, err := pipeline.Run(ctx, tasks, o)
	progress.erase()
	noteUnsaved(notes, result)
	if stopper := new(pipeline.Error); errors.As(err, &stopper) {
		fmt.Fprintln(stderr, "kas: stopped at the first problem (on_error: stop)")
		return nil, fmt.Errorf("%w: %w", errReported, err)
	}
	if err != nil {
		return nil, failure{err}
	}
	noteMissingModules(notes, result)
	for _, b := range result.Builds {
		noteLeftOut(notes, b.Config.Name, b.Stats.LeftOut)
		noteDebug(notes, b, result.Errors)
		if n := b.Stats.Signed; n > 0 {
			fmt.Fprintf(notes, "kas: %s: %d copies are of signed modules and have no signature: "+
				"sign them again (scripts/sign-file)\n", b.Config.Name, n)
		}
	}
	if dir := configs.Moved(places); dir != "" {
		return result, failure{fmt.Errorf("%s %w", dir, errOutage)}
	}
	for _, e := range result.Errors {
		if tryAgain(e) {
			fmt.Fprintln(stderr, "kas: nothing counts as finished, because this may work later")
			return result, fmt.Errorf("%w: %w", errReported, e)
		}
	}
	if slices.ContainsFunc(result.Errors, func(e *pipeline.Error) bool { return e.Object == "" }) {
		return result, errReported // a build did not end
	}
	return result, nil
}

// noteSkipped names the optional builds that have no files here.
func noteSkipped(stderr io.Writer, plan *configs.Plan) {
	for _, name := range plan.Skipped {
		fmt.Fprintf(stderr, "kas: %s: skipped: none of its files is here\n", name)
	}
}

// noteMissingModules names the builds whose configuration has modules where there are none.
func noteMissingModules(stderr io.Writer, result *pipeline.Result) {
	isModule := func(o pipeline.Object) bool { return !o.Vmlinux }
	for _, b := range result.Builds {
		if len(b.Config.Modules) > 0 && !slices.ContainsFunc(b.Objects, isModule) {
			fmt.Fprintf(stderr, "kas: %s: no modules in %s\n", b.Config.Name,
				strings.Join(b.Config.Modules, ", "))
		}
	}
}

// noteLeftOut names the modules of a build that do not count, because another file is the same
// module.
func noteLeftOut(stderr io.Writer, build string, modules []pipeline.LeftOut) {
	for i := range modules {
		fmt.Fprintf(stderr, "kas: %s: %s\n", build, &modules[i])
	}
}

// noteDebug says that no object of a build has debugging information, unless an error says more.
func noteDebug(stderr io.Writer, b *pipeline.Build, errs []*pipeline.Error) {
	failed := func(e *pipeline.Error) bool { return e.Build == b.Config.Name }
	n := b.Stats.NoDebug
	if n == 0 || n < b.Stats.Objects-b.Stats.Unreadable || slices.ContainsFunc(errs, failed) {
		return
	}
	fmt.Fprintf(stderr, "kas: %s: no object has debugging information, %s\n", b.Config.Name,
		stages.NoDebug(b))
}

// noteUnsaved says that the run could not leave its state. Its output is whole all the same.
func noteUnsaved(stderr io.Writer, result *pipeline.Result) {
	if result.Unsaved != nil {
		fmt.Fprintf(stderr, "kas: warning: the next run makes everything again, since the cache "+
			"cannot be written: %v\n", result.Unsaved)
	}
}

// collectLess makes the garbage collector run less often while the heap is small, since a run needs
// nearly all that it allocates until its end. GOGC and GOMEMLIMIT take precedence.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(512 << 20)
	}
}

// stateCache returns the folder for what a run leaves to the next one; "" if this user has no cache
// or this program no ID.
func stateCache(kas string) string {
	dir, err := os.UserCacheDir()
	if err != nil || kas == "" {
		return ""
	}
	return filepath.Join(dir, "kas")
}

// programOf identifies this program in build.json.
func programOf() string { return cmp.Or(programID(), version()) }

// programID identifies this program by the build ID that the Go linker made from its content; "" if
// there is none. A shard asks for it for each build.
var programID = sync.OnceValue(func() string {
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
})
