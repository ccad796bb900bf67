package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/pipeline"
	"kas/report"
	"kas/verify"
)

func newVerify() *cobra.Command {
	var jobs int
	var allowIncomplete bool
	cmd := &cobra.Command{
		Use:   "verify OUT",
		Short: "Prove the output of a run, with code of its own",
		Long: `Prove what a run wrote to OUT. Verify reads the inputs and the output again,
with a reader that shares no code with the run. It checks every byte of every
copy and of the symbol list of vmlinux, the tables, the registry, the counts and
that no file is missing or added. It prints each problem and a line for each
build. An object that the run could not read is a problem, since its names are
not counted; --allow-incomplete accepts it.`,
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if jobs < 0 {
				return fmt.Errorf("--jobs %d: must not be negative", jobs)
			}
			return verifyOut(cmd.Context(), args[0], jobs, allowIncomplete, cmd.OutOrStdout(),
				cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&allowIncomplete, "allow-incomplete", false,
		"accept objects that the run could not read")
	cmd.Flags().IntVarP(&jobs, "jobs", "j", 0, "use `N` workers (default: all cores)")
	return cmd
}

func verifyOut(
	ctx context.Context, out string, jobs int, allowIncomplete bool, stdout, stderr io.Writer,
) error {
	summary, plan, clean, err := verifyRun(out, stdout)
	if err != nil {
		return err
	}
	done, err := unpack(ctx, plan, stderr)
	if err != nil {
		return err
	}
	defer done()
	for i := range plan.Builds {
		b := &plan.Builds[i]
		t, err := target(b, filepath.Join(out, b.Name))
		if err != nil {
			return failure{err}
		}
		t.AllowIncomplete = allowIncomplete
		if t.Effective, err = plan.EffectiveBuild(out, b); err != nil {
			return failure{err}
		}
		if t.Stats = summary.Of(b.Name); t.Stats != nil {
			t.Unreadable, t.LeftOut = t.Stats.UnreadableObjects, t.Stats.LeftOut
		}
		proved, err := verifyBuild(ctx, t, jobs, stdout)
		if err != nil {
			return failure{err}
		}
		clean = clean && proved
	}
	if !clean {
		return errReported
	}
	return nil
}

// verifyRun checks what belongs to a run as a whole, and prints the problems. It returns what the
// two files of the run say, and whether there was no problem.
func verifyRun(
	out string, stdout io.Writer,
) (summary *verify.Stats, plan *configs.Plan, clean bool, err error) {
	var problems, notes []string
	defer func() {
		for _, line := range slices.Concat(problems, notes) {
			fmt.Fprintln(stdout, line)
		}
		clean = len(problems) == 0
	}()
	stats, err := os.ReadFile(filepath.Join(out, statsFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is not the output of a finished run: it has no %s", out, statsFile)
	}
	if err != nil {
		return nil, nil, false, err
	}
	if summary, problems, err = verify.ReadStats(stats); err != nil {
		return nil, nil, false, failure{err}
	}
	effective := filepath.Join(out, effectiveConfig)
	config, err := os.ReadFile(effective)
	if err != nil {
		return nil, nil, false, failure{err}
	}
	if changed := summary.CheckConfig(effectiveConfig, config); changed != "" {
		problems = append(problems, changed)
	}
	if plan, err = configs.Load(effective); err != nil {
		return nil, nil, false, failure{err}
	}
	if err := checkStages(plan); err != nil {
		return nil, nil, false, err
	}
	if changed := checkBuilds(plan, summary); changed != "" {
		problems = append(problems, changed)
	}
	own := []string{statsFile, effectiveConfig}
	if changed := verify.CheckRecord(out, own); changed != "" {
		problems = append(problems, changed)
	}
	own = append(own, pipeline.RecordFile)
	var foreign []string
	if foreign, notes, err = verify.CheckFolder(out, own, buildNames(plan)); err != nil {
		return nil, nil, false, failure{err}
	}
	problems = append(problems, foreign...)
	return summary, plan, true, nil
}

// checkStages refuses a run that did not write everything that verify reads.
func checkStages(plan *configs.Plan) error {
	for _, b := range plan.Builds {
		for _, stage := range []string{"emit", "stats"} {
			if !slices.Contains(b.Stages, stage) {
				return fmt.Errorf("%s: the run left out the stage %s; "+
					"kas verify needs the output of all stages", b.Name, stage)
			}
		}
	}
	return nil
}

// checkBuilds checks that the two files of a run are about the same builds. It returns "" if they
// are.
func checkBuilds(plan *configs.Plan, summary *verify.Stats) string {
	var counted []string
	for _, b := range summary.Builds {
		counted = append(counted, b.Name)
	}
	names := buildNames(plan)
	if slices.Equal(counted, names) {
		return ""
	}
	return fmt.Sprintf("%s has the builds %s, %s has %s", statsFile, strings.Join(counted, ", "),
		effectiveConfig, strings.Join(names, ", "))
}

// verifyBuild proves one build and prints its problems and its line. It reports whether there was
// no problem.
func verifyBuild(
	ctx context.Context, t verify.Target, jobs int, stdout io.Writer,
) (clean bool, err error) {
	summary, problems, err := verify.Build(ctx, t, func(n int, f func(int)) error {
		pipeline.Parallel(jobs, n, f)
		return ctx.Err()
	})
	if err != nil {
		return false, err
	}
	for _, p := range problems {
		fmt.Fprintln(stdout, p)
	}
	return len(problems) == 0, report.Proof(stdout, report.Proved{
		Build: t.Build, Problems: len(problems), Aliases: summary.Aliases,
		Objects: summary.Objects, Unreadable: summary.Unreadable, LeftOut: summary.LeftOut,
		Symbols: summary.Symbols, Relocations: summary.Relocations, Bytes: summary.Bytes,
	})
}

func target(b *configs.Build, dir string) (verify.Target, error) {
	modules, err := b.ModuleFiles()
	if err != nil {
		return verify.Target{}, err
	}
	t := verify.Target{
		Build: b.Name, Dir: dir, Vmlinux: b.Vmlinux, Separator: b.Alias.Separator,
		Line: b.Alias.Line, Beside: b.Emit.Beside,
		Config: verify.Config{
			Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO, Symbols: b.Alias.Symbols,
			NamesAll: b.Alias.Names.All, Names: b.Alias.Names.Globs,
			MaxLength: b.Alias.MaxLength, Never: b.Alias.Never.Patterns,
			NeverReplaces: b.Alias.Never.Replace, SuffixFree: b.Alias.SuffixFree,
			Link:        b.Emit.Unaliased == "link",
			NotResolved: !slices.Contains(b.Stages, "resolve"),
		},
	}
	for _, m := range modules {
		t.Modules = append(t.Modules, verify.Module{Name: m.Name, Path: m.Path})
	}
	return t, nil
}
