// Package report tells people and programs what a run did.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"kas/pipeline"
)

// build is what stats.json says of a build.
type build struct {
	Name      string `json:"name"`
	Arch      string `json:"arch"`
	Toolchain string `json:"toolchain,omitempty"`
	LTO       string `json:"lto,omitempty"`
	Release   string `json:"release,omitempty"`
	pipeline.Stats
	Errors []string `json:"errors,omitempty"`
}

func builds(r *pipeline.Result) []build {
	var all []build
	for _, b := range r.Builds {
		x := build{Name: b.Config.Name, Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO, Release: b.Release, Stats: b.Stats}
		for _, e := range r.Errors {
			if e.Build == x.Name {
				x.Errors = append(x.Errors, e.Error())
			}
		}
		all = append(all, x)
	}
	return all
}

// Stats writes stats.json: the counts of every build. The same input gives the same bytes.
func Stats(w io.Writer, r *pipeline.Result) error {
	return writeJSON(w, struct {
		Version int     `json:"version"`
		Builds  []build `json:"builds"`
	}{1, builds(r)})
}

// JSON writes what Stats does and the time that each stage took, in seconds.
func JSON(w io.Writer, r *pipeline.Result, took time.Duration) error {
	type timed struct {
		build
		Seconds map[string]float64 `json:"seconds"`
	}
	var all []timed
	for i, b := range builds(r) {
		t := timed{b, map[string]float64{}}
		for _, x := range r.Builds[i].Timings {
			t.Seconds[x.Stage] = x.Wall.Seconds()
		}
		all = append(all, t)
	}
	return writeJSON(w, struct {
		Version int     `json:"version"`
		Seconds float64 `json:"seconds"`
		Builds  []timed `json:"builds"`
	}{1, took.Seconds(), all})
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Text writes the summary of a run for a person: a row for each build, what got no alias and why, and where the time
// went. It is at most 80 columns wide where names allow it.
func Text(w io.Writer, r *pipeline.Result, took time.Duration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "build\tobjects\tsymbols\tduplicates\taliases\temitted\t")
	for _, b := range r.Builds {
		s := &b.Stats
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", b.Config.Name, comma(s.Objects), comma(s.Symbols), comma(s.Duplicates), comma(s.Aliases), humanize.IBytes(uint64(s.BytesOut)))
	}
	if err := t.Flush(); err != nil {
		return err
	}

	if err := writeReasons(w, r); err != nil {
		return err
	}

	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nseconds\t")
	for _, name := range stageNames(r) {
		fmt.Fprintf(t, "%s\t", name)
	}
	fmt.Fprintln(t)
	for _, b := range r.Builds {
		fmt.Fprintf(t, "%s\t", b.Config.Name)
		for _, x := range b.Timings {
			fmt.Fprintf(t, "%.2f\t", x.Wall.Seconds())
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s in %.2f s\n", plural(len(r.Builds), "build"), took.Seconds())
	return err
}

// writeReasons lists why duplicates got no alias, the commonest first, with a column for each build.
func writeReasons(w io.Writer, r *pipeline.Result) error {
	total := map[string]int{}
	for _, b := range r.Builds {
		for reason, n := range b.Stats.Unaliased {
			total[reason] += n
		}
	}
	if len(total) == 0 {
		return nil
	}
	reasons := make([]string, 0, len(total))
	for reason := range total {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		if total[a] != total[b] {
			return total[b] - total[a]
		}
		return strings.Compare(a, b)
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nno alias\tsymbols\t")
	for _, reason := range reasons {
		fmt.Fprintf(t, "%s\t%s\t\n", reason, comma(total[reason]))
	}
	return t.Flush()
}

func stageNames(r *pipeline.Result) []string {
	var names []string
	for _, b := range r.Builds {
		if len(b.Timings) > len(names) {
			names = names[:0]
			for _, x := range b.Timings {
				names = append(names, x.Stage)
			}
		}
	}
	return names
}

func comma(n int) string { return humanize.Comma(int64(n)) }

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%s %ss", comma(n), thing)
}
