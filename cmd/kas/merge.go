package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/pipeline"
	"kas/report"
)

func newMerge() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "merge CONFIG [OUT]",
		Short: "Complete the output folder that shards of a run have filled",
		Long: `Complete OUT (default: the out of CONFIG) when all shards of CONFIG are done:

  kas run CONFIG --shard 1/2 & kas run CONFIG --shard 2/2; wait
  kas merge CONFIG

Every build must be there, from this configuration and by this kas. Merge names
those that are not. It writes stats.json, kas.effective.yaml and the reports of
the configuration, as one run of all builds would. It removes the folders of
shards that were killed.`,
		Args: argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := ""
			if len(args) > 1 {
				out = args[1]
			}
			return merge(args[0], out, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func merge(path, out string, asJSON bool, stdout, stderr io.Writer) error {
	plan, err := configs.LoadSome(path, configs.Choice{Unlisted: true})
	if err != nil {
		return err
	}
	if out != "" {
		plan.SetOut(out)
	}
	if err := errors.Join(plan.CheckReport(), plan.CheckOut()); err != nil {
		return err
	}
	started := time.Now()
	unlock, err := pipeline.Lock(plan.Out)
	if err != nil {
		return failure{err}
	}
	defer unlock()
	noteSkipped(stderr, plan)
	built, err := readBuilds(plan, stderr)
	if err != nil {
		return err
	}
	if err := mergeInto(plan, built, stderr); err != nil {
		return failure{err}
	}
	result := &pipeline.Result{}
	problems := 0
	for i, k := range built {
		b := &pipeline.Build{Config: plan.Builds[i]}
		k.Fill(b)
		result.Builds = append(result.Builds, b)
		for _, e := range k.Errors() {
			fmt.Fprintln(stderr, "kas:", e)
			problems++
		}
	}
	if err := printResult(asJSON)(stdout, result, time.Since(started)); err != nil {
		return failure{err}
	}
	fmt.Fprintf(stderr, "kas: output is in %s\n", plan.Out)
	return reportedAbove(stderr, problems)
}

// readBuilds reads what shards say of the builds of a plan. It names those that are missing or
// differ.
func readBuilds(plan *configs.Plan, stderr io.Writer) ([]*report.Built, error) {
	program := programOf()
	var all []*report.Built
	var errs []error
	for i := range plan.Builds {
		b := &plan.Builds[i]
		built, err := readBuild(plan, b, program)
		if err != nil {
			fmt.Fprintf(stderr, "kas: %s: %v\n", b.Name, err)
			errs = append(errs, err)
		}
		all = append(all, built)
	}
	if len(errs) == 0 {
		return all, nil
	}
	fmt.Fprintf(stderr, "kas: %d of %d builds are missing: run their shards again\n", len(errs),
		len(plan.Builds))
	return nil, fmt.Errorf("%w: %w", errReported, errors.Join(errs...))
}

func readBuild(plan *configs.Plan, b *configs.Build, program string) (*report.Built, error) {
	built, err := report.ReadBuilt(filepath.Join(plan.Out, b.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("is not there")
	}
	if err != nil {
		return nil, err
	}
	config, err := plan.EffectiveBuild(plan.Out, b)
	switch {
	case err != nil:
		return nil, err
	case built.Config != config:
		return nil, errors.New("is there from another configuration")
	case built.Program != program:
		return nil, errors.New("is there from another kas")
	}
	return built, nil
}

// mergeInto writes what belongs to the run as a whole.
func mergeInto(plan *configs.Plan, built []*report.Built, stderr io.Writer) error {
	o, err := openOut(plan)
	if err != nil {
		return err
	}
	effective, err := plan.Effective(o.dir)
	if err != nil {
		return err
	}
	names := buildNames(plan)
	if err := pipeline.DiscardPrivate(o.dir, names); err != nil {
		fmt.Fprintf(stderr, "kas: not removed: %v\n", err)
	}
	o.noteOthers(plan, stderr)
	result := &pipeline.Result{}
	if err := o.sum(effective, result, names, report.Together(built)); err != nil {
		return err
	}
	if !plan.Report.Writes() {
		return nil
	}
	return writeRunReport(plan, result, stderr)
}
