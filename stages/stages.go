// Package stages is what kas does to a build. Each stage has its own file; All lists them in order.
package stages

import (
	"path/filepath"
	"slices"

	"kas/configs"
	"kas/pipeline"
)

// All is the pipeline. The order of the stages is fixed; the configuration's `stages:` selects from
// them.
var All = []pipeline.Stage{
	{Name: "scan", Run: Scan},           // read the symbols of every object
	{Name: "dedupe", Run: Dedupe},       // sort all symbols by name
	{Name: "normalize", Run: Normalize}, // find the duplicates; names may differ in suffixes

	// After this line the set of duplicates is fixed.

	{Name: "resolve", Run: Resolve}, // find their locations, make the aliases, prove them unique

	// After this line no name changes.

	{Name: "emit", Run: Emit},   // write X.ko.kas and vmlinux.syms
	{Name: "stats", Run: Stats}, // count, write the tables and the registry
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

// Tasks returns a task for each build of a plan, with the stages that the build's configuration
// selects.
func Tasks(plan *configs.Plan) []pipeline.Task {
	var tasks []pipeline.Task
	for _, c := range plan.Builds {
		selected := Select(c.Stages)
		tasks = append(tasks, pipeline.Task{
			Config: c, Dir: filepath.Join(plan.Out, c.Name),
			Stages: selected, Complete: len(selected) == len(All), Recorded: true,
		})
	}
	return tasks
}
