package report

import (
	"fmt"
	"path/filepath"
	"strings"
)

// barWidth is the width of the longest bar, in units of the SVG.
const barWidth = 100

// bar is the length of a bar in a chart.
type bar struct{ Width string }

func newBar[N int | int64 | float64](value, longest N) bar {
	if longest <= 0 || value <= 0 {
		return bar{"0"}
	}
	return bar{fmt.Sprintf("%.4g", float64(value)/float64(longest)*barWidth)}
}

// pageSnapshot is an earlier run in the table of the history.
type pageSnapshot struct {
	Name   number
	Counts []string // for each trend: duplicates and aliases
}

// pageTrend is the history of a build's counts.
type pageTrend struct {
	Label               string
	Duplicates, Aliases trendLine
}

// trendLine is one count over time.
type trendLine struct {
	Points      string // of an SVG polyline
	First, Last number
	Change      string // with its sign
}

// pageHistory returns the earlier runs, oldest first, and what became of each build's counts.
func (o *Outputs) pageHistory(l linker) (runs []pageSnapshot, trends []pageTrend) {
	if len(o.history) == 0 {
		return nil, nil
	}
	for _, s := range o.history {
		runs = append(runs, pageSnapshot{Name: number{folderName(s.path), l.to(s.path)}})
	}
	for _, b := range o.builds {
		if !b.finished {
			continue
		}
		var duplicates, aliases []int
		var at []int // index of the run that a count is of; the last is this report's
		for i, s := range o.history {
			text := "–"
			for _, old := range s.builds {
				if old.Name == b.Name {
					duplicates = append(duplicates, old.Duplicates)
					aliases = append(aliases, old.Aliases)
					at = append(at, i)
					text = comma(old.Duplicates) + " / " + comma(old.Aliases)
				}
			}
			runs[i].Counts = append(runs[i].Counts, text)
		}
		duplicates, aliases = append(duplicates, b.Duplicates), append(aliases, b.Aliases)
		at = append(at, len(o.history))
		last := l.to(filepath.Join(b.out, StatsFile))
		first := last
		if at[0] < len(runs) {
			first = runs[at[0]].Name.Href
		}
		trends = append(trends, pageTrend{
			b.label, newTrend(at, duplicates, first, last), newTrend(at, aliases, first, last),
		})
	}
	return runs, trends
}

// newTrend draws the counts of the runs at these indices into 100 by 20 units. The files are those
// of the first and the last count.
func newTrend(at, counts []int, firstFile, lastFile string) trendLine {
	last := len(counts) - 1
	low, high := counts[0], counts[0]
	for _, n := range counts {
		low, high = min(low, n), max(high, n)
	}
	var points []string
	for i, n := range counts {
		x, y := 100.0, 10.0
		if at[last] > 0 {
			x = 100 * float64(at[i]) / float64(at[last])
		}
		if high > low {
			y = 19 - 18*float64(n-low)/float64(high-low)
		}
		points = append(points, fmt.Sprintf("%.4g,%.4g", x, y))
	}
	change := "no change"
	switch d := counts[last] - counts[0]; {
	case last == 0:
		change = "new"
	case d != 0:
		change = fmt.Sprintf("%+d", d)
	}
	return trendLine{
		strings.Join(points, " "), number{comma(counts[0]), firstFile},
		number{comma(counts[last]), lastFile}, change,
	}
}
