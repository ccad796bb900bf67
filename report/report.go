// Package report prints the results of runs and verifications, for people and for programs.
package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"kas/pipeline"
)

// Text writes the summary of a run for a person: a row for each build, the reasons why duplicates
// got no alias, and the time of each stage. Unless names are long it fits 80 columns.
func Text(w io.Writer, r *pipeline.Result, took time.Duration) error {
	if err := writeCounts(w, r); err != nil {
		return err
	}
	if err := writeReasons(w, r); err != nil {
		return err
	}
	if err := writeTimings(w, r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s in %.2f s\n", plural(len(r.Builds), "build"), took.Seconds())
	return err
}

// writeCounts writes a row of counts for each build.
func writeCounts(w io.Writer, r *pipeline.Result) error {
	t := newTable(w)
	fmt.Fprintln(t, "build\tobjects\tsymbols\tduplicates\taliases\temitted\t")
	for _, b := range r.Builds {
		if !b.Skipped && timing(b, "stats") == nil {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t\n", b.Config.Name) // nothing was counted
			continue
		}
		s := &b.Stats
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", b.Config.Name, comma(s.Objects),
			comma(s.Symbols), comma(s.Duplicates), comma(s.Aliases),
			humanize.IBytes(uint64(s.BytesOut)))
	}
	return t.Flush()
}

// writeReasons lists why duplicates of all builds got no alias, the most frequent reason first.
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
	reasons := byFrequency(total)
	if _, err := fmt.Fprintf(w, "\n%9s  no alias because\n", "symbols"); err != nil {
		return err
	}
	for _, reason := range reasons {
		if _, err := fmt.Fprintf(w, "%9s  %s\n", comma(total[reason]), reason); err != nil {
			return err
		}
	}
	return nil
}

// byFrequency returns the keys, the most frequent first.
func byFrequency(count map[string]int) []string {
	return slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(count[b]-count[a], strings.Compare(a, b))
	})
}

// writeTimings writes the seconds that each build spent in each stage.
func writeTimings(w io.Writer, r *pipeline.Result) error {
	names := stageNames(r)
	if len(names) == 0 {
		return nil
	}
	t := newTable(w)
	fmt.Fprint(t, "\nseconds\t")
	for _, name := range names {
		fmt.Fprintf(t, "%s\t", name)
	}
	fmt.Fprintln(t)
	for _, b := range r.Builds {
		fmt.Fprintf(t, "%s\t", b.Config.Name)
		for _, name := range names {
			cell := "-"
			if x := timing(b, name); x != nil {
				cell = fmt.Sprintf("%.2f", x.Wall.Seconds())
			}
			fmt.Fprint(t, cell, "\t")
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}

// timing returns the time that a build spent in a stage, nil if it did not run the stage.
func timing(b *pipeline.Build, stage string) *pipeline.Timing {
	for i := range b.Timings {
		if b.Timings[i].Stage == stage {
			return &b.Timings[i]
		}
	}
	return nil
}

// stageNames returns the stages of all builds: those of the build with the most stages, in its
// order, then any others.
func stageNames(r *pipeline.Result) []string {
	byLength := slices.SortedStableFunc(slices.Values(r.Builds), func(a, b *pipeline.Build) int {
		return len(b.Timings) - len(a.Timings)
	})
	var names []string
	for _, b := range byLength {
		for _, x := range b.Timings {
			if !slices.Contains(names, x.Stage) {
				names = append(names, x.Stage)
			}
		}
	}
	return names
}

// Proved counts what the verification of a build compared, and the problems that it found.
type Proved struct {
	Build                                                     string
	Problems                                                  int
	Aliases, Objects, Unreadable, Symbols, Relocations, Bytes int64

	LeftOut int64 // modules of which another file counts
}

// Proof writes the verdict on a build as one line.
func Proof(w io.Writer, p Proved) error {
	verdict := "proved"
	if p.Problems > 0 {
		verdict = plural(p.Problems, "problem")
	}
	var others []string
	if p.Unreadable > 0 {
		others = append(others, humanize.Comma(p.Unreadable)+" unreadable")
	}
	if p.LeftOut > 0 {
		others = append(others, humanize.Comma(p.LeftOut)+" left out")
	}
	unused := ""
	if len(others) > 0 {
		unused = " (" + strings.Join(others, ", ") + ")"
	}
	_, err := fmt.Fprintf(w,
		"%s: %s: %s aliases in %s objects%s, %s symbols, %s relocations, %s compared\n",
		p.Build, verdict, humanize.Comma(p.Aliases), humanize.Comma(p.Objects), unused,
		humanize.Comma(p.Symbols), humanize.Comma(p.Relocations), humanize.IBytes(uint64(p.Bytes)))
	return err
}

func comma(n int) string { return humanize.Comma(int64(n)) }

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%s %ss", comma(n), thing)
}
