package main

import (
	"context"
	"io"
	"slices"

	"kas/configs"
	"kas/pipeline"
	"kas/report"
	"kas/stages"
)

// dryRun prints what each choice of symbols would cost, including the configuration's own, and
// writes nothing.
func dryRun(ctx context.Context, plan *configs.Plan, f runFlags, stdout, stderr io.Writer) error {
	costs := make([][]report.Cost, len(plan.Builds)) // of each build, of each choice
	var tasks []pipeline.Task
	for i, b := range plan.Builds {
		all := choices(b.Alias)
		for _, choice := range all {
			costs[i] = append(costs[i], report.Cost{
				Build: b.Name, Names: namesText(choice.Names), Symbols: choice.Symbols,
				Own: same(choice, b.Alias),
			})
		}
		count := stages.Choices(all, func(n int, b *pipeline.Build) { add(&costs[i][n], b) })
		tasks = append(tasks, pipeline.Task{
			Config: b, Stages: append(stages.Select([]string{"scan", "dedupe"}), count),
		})
	}
	progress := newProgress(stderr, f.verbosity(), tasks)
	defer progress.erase()
	r, err := pipeline.Run(ctx, tasks, pipeline.Options{
		Jobs: f.workers(plan), StopOnError: plan.OnError == "stop",
		Events: progress.events(tasks), All: true,
	})
	if err != nil {
		return failure{err}
	}
	progress.erase()
	for _, b := range r.Builds {
		noteLeftOut(progress.notes(), b.Config.Name, b.Stats.LeftOut)
	}
	write := report.Costs
	if f.json {
		write = report.CostsJSON
	}
	if err := write(stdout, slices.Concat(costs...)); err != nil {
		return failure{err}
	}
	if len(r.Errors) > 0 {
		return errReported
	}
	return nil
}

// choices returns what dryRun compares: the configuration's choice if it is a special one, then the
// usual ones, cheapest first.
func choices(own configs.Alias) []configs.Alias {
	var all []configs.Alias
	for _, names := range []configs.Names{{}, {All: true}} {
		for _, symbols := range []string{"text", "all"} {
			all = append(all, configs.Alias{Names: names, Symbols: symbols})
		}
	}
	if !slices.ContainsFunc(all, func(c configs.Alias) bool { return same(c, own) }) {
		all = append([]configs.Alias{own}, all...)
	}
	return all
}

func same(a, b configs.Alias) bool {
	return a.Symbols == b.Symbols && a.Names.All == b.Names.All &&
		slices.Equal(a.Names.Globs, b.Names.Globs)
}

func namesText(n configs.Names) string {
	switch {
	case n.All:
		return "all"
	case len(n.Globs) > 0:
		return "globs"
	}
	return "duplicates"
}

// add counts the aliases of a build and the bytes that they take in the running kernel.
func add(c *report.Cost, b *pipeline.Build) {
	for i := range b.Objects {
		o := &b.Objects[i]
		for j := range o.Duplicates {
			if n := len(o.Duplicates[j].Alias); n > 0 {
				c.Add(b.Arch, o.Vmlinux, n)
			}
		}
	}
}
