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
	ours, theirs []float64 // one value a round; theirs is empty where the limit of kas is fixed
	show         func(float64) string
	target       target
}

// target is what the ratio should be. Without a limit the comparison is only for information.
type target struct {
	limit float64
	// word is "" for a ratio of kas to its peer, which should be small. Otherwise it says how kas
	// is better, "faster" or "less", and the ratio is that of the peer to kas, which should be
	// large.
	word string
}

func atMost(limit float64) target               { return target{limit, ""} }
func atLeast(limit float64, word string) target { return target{limit, word} }
func informs(word string) target                { return target{0, word} }

// ratios returns one value a round, since the sides of a round were measured one after the other.
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

// missedBy returns by which factor the ratio misses its target: up to 1 if it is met.
func (c *comparison) missedBy() float64 {
	mid := median(c.ratios())
	if c.target.word != "" {
		return c.target.limit / mid
	}
	return mid / c.target.limit
}

// cells returns the cells of the line: the row, the work, what both took, the ratio, the target and
// the verdict.
func (c *comparison) cells() []any {
	mine := median(c.ours)
	kas := c.kas + ": " + c.show(mine)
	if len(c.theirs) == 0 {
		limit := c.target.limit
		return []any{c.row, c.work, kas, "", "", "< " + c.show(limit), verdict(mine < limit)}
	}
	all := c.ratios()
	peer := c.peer + ": " + c.show(median(c.theirs))
	ratio, wanted := fmt.Sprintf("%.3g", median(all)), fmt.Sprintf("≤ %g", c.target.limit)
	if c.target.word != "" {
		ratio += " times " + c.target.word
		wanted = fmt.Sprintf("≥ %g times %s", c.target.limit, c.target.word)
	}
	if len(all) > 1 {
		ratio += fmt.Sprintf(" (%.3g to %.3g)", slices.Min(all), slices.Max(all))
	}
	if c.target.limit == 0 {
		return []any{c.row, c.work, kas, peer, ratio, "", ""}
	}
	return []any{c.row, c.work, kas, peer, ratio, wanted, verdict(c.missedBy() <= 1)}
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

// median does not sort the values themselves: the index is the round, on both sides.
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

// legend precedes the table.
const legend = `
Medians. The ratio is what kas took divided by what its peer took or, where the cell says so, by how
much kas is better: the median of the rounds, with the smallest and the largest in brackets.

| row | work | kas | peer | ratio | target | verdict |
| --- | --- | --- | --- | --- | --- | --- |
`

// writeReport writes the machine, the table and the notes in Markdown.
func writeReport(w io.Writer, machine []string, all []comparison, notes []string) {
	for _, line := range machine {
		fmt.Fprintf(w, "- %s\n", line)
	}
	if len(all) > 0 {
		fmt.Fprint(w, legend)
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
