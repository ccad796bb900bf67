package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/pipeline"
	"kas/report"
)

const reportLong = `Write a report about the runs whose output is in OUT: the builds and their
problems, duplicates and aliases, the reasons, toolchains and LTO side by side,
the cost, and what each build calls each function. Numbers link to the files
that hold them. The page needs no other file and no network.

For FILE, - is standard output.`

type reportFlags struct {
	html, junit, prometheus, csv, sqlite string

	history string
	json    bool
}

// writtenJSON is a file that was written.
type writtenJSON struct {
	Format string `json:"format"`
	File   string `json:"file"`
}

func newReport() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report OUT...",
		Short: "Write a page, or tables for programs, about the output of runs",
		Long:  reportLong,
		Args:  argCount(1, noLimit),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeReport(args, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&f.html, "output", "o", "", "write the page to `FILE`")
	cmd.Flags().StringVar(&f.junit, "junit", "",
		"write the checks of each build to `FILE`, for CI (JUnit XML)")
	cmd.Flags().StringVar(&f.prometheus, "prometheus", "",
		"write the counts of each build to `FILE`, as metrics (text format)")
	cmd.Flags().StringVar(&f.csv, "csv", "", "write a row of counts for each build to `FILE`")
	cmd.Flags().StringVar(&f.sqlite, "sqlite", "",
		"write a database of all symbols of all builds to `FILE`")
	cmd.Flags().StringVar(&f.history, "history", "",
		"show the trend over the stats.json of earlier runs, which `DIR` has as *.json,\n"+
			"in the order of their names")
	cmd.Flags().BoolVar(&f.json, "json", false, "print what was written as JSON")
	return cmd
}

// reportOutput is a file that kas report writes.
type reportOutput struct {
	format     string // as JSON names it
	flag, path string
	write      func(w io.Writer, dir string) error // dir is the folder of the file
}

func (f *reportFlags) outputs(o *report.Outputs) []reportOutput {
	return []reportOutput{
		{"html", "-o", f.html, o.HTML},
		{"junit", "--junit", f.junit, anywhere(o.JUnit)},
		{"prometheus", "--prometheus", f.prometheus, anywhere(o.Prometheus)},
		{"csv", "--csv", f.csv, anywhere(o.CSV)},
		{"sqlite", "--sqlite", f.sqlite, anywhere(o.SQLite)},
	}
}

// anywhere makes a writer of files without links of one that does not know its folder.
func anywhere(write func(io.Writer) error) func(io.Writer, string) error {
	return func(w io.Writer, _ string) error { return write(w) }
}

func writeReport(outs []string, f reportFlags, stdout, stderr io.Writer) error {
	if err := f.check(outs); err != nil {
		return err
	}
	collectLess()
	o, err := report.Read(outs)
	if err != nil {
		return err
	}
	if f.history != "" {
		if err := o.ReadHistory(f.history); err != nil {
			return err
		}
	}
	written := []writtenJSON{}
	for _, out := range f.outputs(o) {
		if err := out.writeTo(stdout); err != nil {
			return failure{err}
		}
		if out.path != "" {
			written = append(written, writtenJSON{out.format, out.path})
		}
	}
	damaged := o.Damaged()
	if f.json {
		err := report.WriteJSON(stdout, struct {
			Written  []writtenJSON `json:"written"`
			Problems []string      `json:"problems"`
		}{written, append([]string{}, damaged...)})
		if err != nil {
			return failure{err}
		}
	}
	for _, d := range damaged {
		fmt.Fprintln(stderr, "kas:", d)
	}
	if len(damaged) > 0 {
		return errReported
	}
	return nil
}

// check wants at least one file, at most one on standard output, and none in an output folder,
// where it could replace what a run wrote.
func (f *reportFlags) check(outs []string) error {
	var first string
	if f.json {
		first = "--json"
	}
	some := false
	for _, out := range f.outputs(&report.Outputs{}) {
		some = some || out.path != ""
		if out.path == toStdout {
			if first != "" {
				return fmt.Errorf("%s and %s - both write to standard output", first, out.flag)
			}
			first = out.flag + " -"
			continue
		}
		for _, dir := range outs {
			if out.path != "" && isBelow(dir, out.path) {
				return fmt.Errorf("%s %s is in the output folder %s: choose another place",
					out.flag, out.path, dir)
			}
		}
	}
	if !some {
		return errors.New("nothing to write: name a file with -o, --junit, " +
			"--prometheus, --csv or --sqlite")
	}
	return nil
}

// isBelow reports whether a path is in a folder or below it.
func isBelow(dir, path string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if path, err = filepath.Abs(path); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// writeRunReport writes the report of a run that is described in its configuration.
func writeRunReport(plan *configs.Plan, result *pipeline.Result, notes io.Writer) error {
	o, err := report.Read([]string{plan.Out})
	if err != nil {
		return err
	}
	o.AddRun(result)
	r := &plan.Report
	if r.History != "" {
		switch err := o.ReadHistory(r.History); {
		case errors.Is(err, report.ErrNoHistory): // the first run of a pipeline has none
			fmt.Fprintf(notes, "kas: no trend in the report: %v\n", err)
		case err != nil:
			return err
		}
	}
	f := reportFlags{
		html: r.HTML, junit: r.JUnit, prometheus: r.Prometheus, csv: r.CSV, sqlite: r.SQLite,
	}
	for _, out := range f.outputs(o) {
		if err := out.writeTo(nil); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// writeTo writes the file, whole or not at all if it is a regular one. Without a path it does
// nothing.
func (out *reportOutput) writeTo(stdout io.Writer) error {
	switch out.path {
	case "":
		return nil
	case toStdout:
		return out.write(struct{ io.Writer }{stdout}, ".") // a pipe has no offset 0 to return to
	}
	return pipeline.WriteNamed(out.path, func(w io.Writer) error {
		return out.write(w, filepath.Dir(out.path))
	})
}
