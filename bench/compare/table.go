package main

import (
	"fmt"
	"io"
	"slices"
)

// comparison is a line of the table: what kas and its peer took in each round.
type comparison struct {
	row, work    string
	kas, peer    string    // what ran, in short
	ours, theirs []float64 // one value a round; there is no theirs where kas is held against a fixed limit
	show         func(float64) string
	target       target
}

// target is what the ratio should be. Without a limit the comparison only informs.
type target struct {
	limit float64
	word  string // "", or how kas is to be better by that factor: the ratio is then the peer's by kas'
}

func atMost(limit float64) target               { return target{limit, ""} }
func atLeast(limit float64, word string) target { return target{limit, word} }
func informs(word string) target                { return target{0, word} }

// ratios has one value a round, of values that were measured side by side.
func (c *comparison) ratios() []float64 {
	var all []float64
	for i, theirs := range c.theirs {
		if c.target.word != "" {
			all = append(all, theirs/c.ours[i])
		} else {
			all = append(all, c.ours[i]/theirs)
		}
	}
	return all
}

// cells of the line: what was measured, of both, the ratio, the target and whether it is met.
func (c *comparison) cells() []any {
	mine := median(c.ours)
	kas := c.kas + ": " + c.show(mine)
	if len(c.theirs) == 0 {
		return []any{c.row, c.work, kas, "", "", "< " + c.show(c.target.limit), verdict(mine < c.target.limit)}
	}
	all := c.ratios()
	mid := median(all)
	peer := c.peer + ": " + c.show(median(c.theirs))
	ratio, wanted, met := fmt.Sprintf("%.3g", mid), fmt.Sprintf("≤ %g", c.target.limit), mid <= c.target.limit
	if c.target.word != "" {
		ratio += " times " + c.target.word
		wanted, met = fmt.Sprintf("≥ %g times %s", c.target.limit, c.target.word), mid >= c.target.limit
	}
	if len(all) > 1 {
		ratio += fmt.Sprintf(" (%.3g to %.3g)", slices.Min(all), slices.Max(all))
	}
	if c.target.limit == 0 {
		return []any{c.row, c.work, kas, peer, ratio, "", ""}
	}
	return []any{c.row, c.work, kas, peer, ratio, wanted, verdict(met)}
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

// median sorts a copy: the rounds of two sides belong together.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

func wall(v float64) string      { return fmt.Sprintf("%.3g s", v) }
func cpu(v float64) string       { return fmt.Sprintf("%.3g s of CPU", v) }
func millis(v float64) string    { return fmt.Sprintf("%.3g ms", v*1e3) }
func megabytes(v float64) string { return fmt.Sprintf("%.0f MB", v/1e6) }

// writeReport writes the machine, the table and what is to be said of it, in Markdown.
func writeReport(w io.Writer, machine []string, all []comparison, notes []string) {
	for _, line := range machine {
		fmt.Fprintf(w, "- %s\n", line)
	}
	if len(all) > 0 {
		fmt.Fprintf(w, "\nMedians. The ratio is kas by its peer, or by how much kas is better where it says so: the median of the rounds, in\nbrackets the smallest and the largest.\n\n")
		fmt.Fprintf(w, "| row | work | kas | peer | ratio | target | verdict |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	}
	for _, c := range all {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", c.cells()...)
	}
	if len(notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, n := range notes {
		fmt.Fprintf(w, "- %s\n", n)
	}
}
