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

type verifyFlags struct {
	jobs            int
	allowIncomplete bool
	json            bool
}

func newVerify() *cobra.Command {
	var f verifyFlags
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
			if err := checkJobs(f.jobs); err != nil {
				return err
			}
			return verifyOut(cmd.Context(), args[0], f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.allowIncomplete, "allow-incomplete", false,
		"accept objects that the run could not read")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "use `N` workers (default: all cores)")
	return cmd
}

func verifyOut(
	ctx context.Context, out string, f verifyFlags, stdout, stderr io.Writer,
) error {
	p := proofPrinter{w: stdout, json: f.json}
	p.all.Builds, p.all.Problems = []proofBuildJSON{}, []string{}
	summary, plan, clean, err := verifyRun(out, &p)
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
		t.AllowIncomplete = f.allowIncomplete
		if t.Effective, err = plan.EffectiveBuild(out, b); err != nil {
			return failure{err}
		}
		if t.Stats = summary.Of(b.Name); t.Stats != nil {
			t.Unreadable, t.LeftOut = t.Stats.UnreadableObjects, t.Stats.LeftOut
		}
		proved, err := verifyBuild(ctx, t, f.jobs, &p)
		if err != nil {
			return failure{err}
		}
		clean = clean && proved
	}
	p.all.Proved = clean
	if f.json {
		if err := report.WriteJSON(stdout, p.all); err != nil {
			return failure{err}
		}
	}
	if !clean {
		return errReported
	}
	return nil
}

// proofPrinter prints problems and verdicts at once, or keeps them for JSON.
type proofPrinter struct {
	w    io.Writer
	json bool
	all  proofJSON
}

// The proof for programs.
type (
	proofJSON struct {
		Proved   bool             `json:"proved"`
		Problems []string         `json:"problems"` // of the run as a whole
		Notes    []string         `json:"notes,omitempty"`
		Builds   []proofBuildJSON `json:"builds"`
	}
	proofBuildJSON struct {
		Build       string   `json:"build"`
		Problems    []string `json:"problems"`
		Aliases     int64    `json:"aliases"`
		Objects     int64    `json:"objects"`
		Unreadable  int64    `json:"unreadable"`
		LeftOut     int64    `json:"left_out"`
		Symbols     int64    `json:"symbols"`
		Relocations int64    `json:"relocations"`
		Bytes       int64    `json:"bytes"` // compared
	}
)

func (p *proofPrinter) run(problems, notes []string) {
	p.all.Problems, p.all.Notes = append(p.all.Problems, problems...), notes
	if !p.json {
		for _, line := range slices.Concat(problems, notes) {
			fmt.Fprintln(p.w, line)
		}
	}
}

func (p *proofPrinter) build(problems []string, r report.Proved) error {
	p.all.Builds = append(p.all.Builds, proofBuildJSON{
		r.Build, append([]string{}, problems...), r.Aliases, r.Objects, r.Unreadable, r.LeftOut,
		r.Symbols, r.Relocations, r.Bytes,
	})
	if p.json {
		return nil
	}
	for _, problem := range problems {
		fmt.Fprintln(p.w, problem)
	}
	return report.Proof(p.w, r)
}

// verifyRun checks what belongs to a run as a whole, and prints the problems. It returns what the
// two files of the run say, and whether there was no problem.
func verifyRun(
	out string, p *proofPrinter,
) (summary *verify.Stats, plan *configs.Plan, clean bool, err error) {
	var problems, notes []string
	defer func() {
		p.run(problems, notes)
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
	ctx context.Context, t verify.Target, jobs int, p *proofPrinter,
) (clean bool, err error) {
	summary, problems, err := verify.Build(ctx, t, func(n int, f func(int)) error {
		pipeline.Parallel(jobs, n, f)
		return ctx.Err()
	})
	if err != nil {
		return false, err
	}
	var lines []string
	for _, problem := range problems {
		lines = append(lines, fmt.Sprint(problem))
	}
	return len(problems) == 0, p.build(lines, report.Proved{
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
