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
	var costs []report.Cost
	var tasks []pipeline.Task
	for _, b := range plan.Builds {
		for _, choice := range choices(b.Alias) {
			costs = append(costs, report.Cost{
				Build: b.Name, Names: namesText(choice.Names), Symbols: choice.Symbols,
				Own: same(choice, b.Alias),
			})
			b.Alias.Names, b.Alias.Symbols = choice.Names, choice.Symbols
			tasks = append(tasks, pipeline.Task{Config: b})
		}
	}
	for i := range tasks {
		tasks[i] = countTask(tasks[i].Config, &costs[i])
	}
	failed := false
	progress := newProgress(stderr, f.verbosity(), tasks)
	progress.unit = "choice"
	defer progress.erase()
	for i := range tasks {
		one := tasks[i:][:1]
		options := pipeline.Options{
			Jobs: f.workers(plan), StopOnError: plan.OnError == "stop",
			Events: progress.events(one), All: true,
		}
		if !costs[i].Own {
			// Only the run of the configured choice reports an object.
			options.Events.Error = nil
		}
		r, err := pipeline.Run(ctx, one, options)
		if err != nil {
			return failure{err}
		}
		failed = failed || len(r.Errors) > 0
		if costs[i].Own {
			progress.erase()
			noteLeftOut(progress.notes(), costs[i].Build, r.Builds[0].Stats.LeftOut)
		}
	}
	progress.erase()
	write := report.Costs
	if f.json {
		write = report.CostsJSON
	}
	if err := write(stdout, costs); err != nil {
		return failure{err}
	}
	if failed {
		return errReported
	}
	return nil
}

// countTask returns the task that makes the aliases of a build and adds up their cost.
func countTask(b configs.Build, cost *report.Cost) pipeline.Task {
	task := pipeline.Task{
		Config: b, Stages: stages.Select([]string{"scan", "dedupe", "normalize", "resolve"}),
	}
	task.Stages = append(task.Stages, pipeline.Stage{
		Name: "count",
		Run: func(_ context.Context, b *pipeline.Build) error {
			add(cost, b)
			return nil
		},
	})
	return task
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
