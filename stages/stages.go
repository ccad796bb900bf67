// Package stages is what is done to a build: one file for each stage, the order of them here.
package stages

import "kas/pipeline"

// All is the pipeline. The configuration's `stages:` selects from it; the order is fixed.
var All = []pipeline.Stage{
	{Name: "scan", Run: Scan},           // every object's symbols, in parallel
	{Name: "dedupe", Run: Dedupe},       // names that several symbols carry
	{Name: "normalize", Run: Normalize}, // names that only a suffix of the toolchain tells apart

	// After this line the set of duplicates is fixed.

	{Name: "resolve", Run: Resolve}, // where each is declared, in parallel; its alias; the proof that all are unique

	// After this line no name changes.

	{Name: "emit", Run: Emit},   // X.o.kas and vmlinux.syms, in parallel
	{Name: "stats", Run: Stats}, // the tables and the counts
}
