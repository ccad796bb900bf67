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
	UnreadableObjects []string `json:"unreadable_objects,omitempty"`
	Errors            []string `json:"errors,omitempty"`
}

func builds(r *pipeline.Result) []build {
	var all []build
	for _, b := range r.Builds {
		x := build{Name: b.Config.Name, Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO, Release: b.Release, Stats: b.Stats}
		for i := range b.Objects {
			if !b.Skipped && !b.Objects[i].Readable() {
				x.UnreadableObjects = append(x.UnreadableObjects, b.Objects[i].Name)
			}
		}
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
	return WriteJSON(w, struct {
		Version int     `json:"version"`
		Builds  []build `json:"builds"`
	}{1, builds(r)})
}

// Unreadable reads from stats.json which objects of each build could not be read.
func Unreadable(stats []byte) (map[string][]string, error) {
	var s struct{ Builds []build }
	if err := json.Unmarshal(stats, &s); err != nil {
		return nil, fmt.Errorf("stats.json: %w", err)
	}
	objects := map[string][]string{}
	for _, b := range s.Builds {
		objects[b.Name] = b.UnreadableObjects
	}
	return objects, nil
}

// JSON writes what Stats does and the time that each stage took, in seconds.
func JSON(w io.Writer, r *pipeline.Result, took time.Duration) error {
	type timed struct {
		build
		Unchanged bool               `json:"unchanged,omitempty"` // nothing was to be made
		Seconds   map[string]float64 `json:"seconds"`
	}
	var all []timed
	for i, b := range builds(r) {
		t := timed{b, r.Builds[i].Skipped, map[string]float64{}}
		for _, x := range r.Builds[i].Timings {
			t.Seconds[x.Stage] = x.Wall.Seconds()
		}
		all = append(all, t)
	}
	return WriteJSON(w, struct {
		Version int     `json:"version"`
		Seconds float64 `json:"seconds"`
		Builds  []timed `json:"builds"`
	}{1, took.Seconds(), all})
}

// WriteJSON writes a value as all commands do.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Text writes the summary of a run for a person: a row for each build, what got no alias and why, and where the time
// went. It is at most 80 columns wide where names allow it.
func Text(w io.Writer, r *pipeline.Result, took time.Duration) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "build\tobjects\tsymbols\tduplicates\taliases\temitted\t")
	for _, b := range r.Builds {
		if !b.Skipped && !slices.ContainsFunc(b.Timings, func(x pipeline.Timing) bool { return x.Stage == "stats" }) {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t\n", b.Config.Name) // nothing was counted
			continue
		}
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
	names := stageNames(r)
	fmt.Fprint(t, "\nseconds\t")
	for _, name := range names {
		fmt.Fprintf(t, "%s\t", name)
	}
	fmt.Fprintln(t)
	for _, b := range r.Builds {
		fmt.Fprintf(t, "%s\t", b.Config.Name)
		for _, name := range names {
			cell := "-"
			if i := slices.IndexFunc(b.Timings, func(x pipeline.Timing) bool { return x.Stage == name }); i >= 0 {
				cell = fmt.Sprintf("%.2f", b.Timings[i].Wall.Seconds())
			}
			fmt.Fprint(t, cell, "\t")
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s in %.2f s\n", plural(len(r.Builds), "build"), took.Seconds())
	return err
}

// writeReasons lists why duplicates of all builds got no alias, the commonest first.
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

// stageNames is every stage that a build went through: those of the longest way first, in its order.
func stageNames(r *pipeline.Result) []string {
	byLength := slices.SortedStableFunc(slices.Values(r.Builds), func(a, b *pipeline.Build) int { return len(b.Timings) - len(a.Timings) })
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

// Proved is what a verification of a build looked at, and how many problems it found.
type Proved struct {
	Build                                                     string
	Problems                                                  int
	Aliases, Objects, Unreadable, Symbols, Relocations, Bytes int64
}

// Proof writes the verdict on a build, one line.
func Proof(w io.Writer, p Proved) error {
	verdict, unreadable := "proved", ""
	if p.Problems > 0 {
		verdict = plural(p.Problems, "problem")
	}
	if p.Unreadable > 0 {
		unreadable = fmt.Sprintf(" (%s unreadable)", humanize.Comma(p.Unreadable))
	}
	_, err := fmt.Fprintf(w, "%s: %s: %s aliases in %s objects%s, %s symbols, %s relocations, %s compared\n", p.Build, verdict,
		humanize.Comma(p.Aliases), humanize.Comma(p.Objects), unreadable, humanize.Comma(p.Symbols), humanize.Comma(p.Relocations),
		humanize.IBytes(uint64(p.Bytes)))
	return err
}

func comma(n int) string { return humanize.Comma(int64(n)) }

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%s %ss", comma(n), thing)
}
