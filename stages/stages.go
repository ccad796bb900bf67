// Package stages is what kas does to a build. Each stage has its own file; All lists them in order.
package stages

import (
	"path/filepath"
	"slices"

	"kas/configs"
	"kas/pipeline"
)

// All is the pipeline. The order of the stages is fixed; the configuration's `stages:` selects from them.
var All = []pipeline.Stage{
	{Name: "scan", Run: Scan},           // read the symbols of every object, in parallel
	{Name: "dedupe", Run: Dedupe},       // sort all symbols by name
	{Name: "normalize", Run: Normalize}, // find the duplicates, also those that only a suffix of the toolchain distinguishes

	// After this line the set of duplicates is fixed.

	{Name: "resolve", Run: Resolve}, // find the location of each duplicate, in parallel; make its alias; prove all unique

	// After this line no name changes.

	{Name: "emit", Run: Emit},   // write X.o.kas and vmlinux.syms, in parallel
	{Name: "stats", Run: Stats}, // write the tables and the counts
}

// Select returns the stages that have these names, in the order of All.
func Select(names []string) []pipeline.Stage {
	var selected []pipeline.Stage
	for _, s := range All {
		if slices.Contains(names, s.Name) {
			selected = append(selected, s)
		}
	}
	return selected
}

// Tasks returns a task for each build of a plan, with the stages that the build's configuration selects.
func Tasks(plan *configs.Plan) []pipeline.Task {
	var tasks []pipeline.Task
	for _, c := range plan.Builds {
		selected := Select(c.Stages)
		tasks = append(tasks, pipeline.Task{
			Config: c, Dir: filepath.Join(plan.Out, c.Name), Stages: selected, Complete: len(selected) == len(All),
		})
	}
	return tasks
}
