package registry

import (
	"slices"
	"strings"
)

// History is how many symbols have a base name in each of several builds, in their order.
type History struct {
	Name   string
	Counts []int
	Code   bool // at least one symbol is a function
}

// Ambiguous returns the base names that several symbols of a build have, sorted.
func Ambiguous(builds []*Registry) []History {
	index := map[string]int{}
	var all []History
	for i, r := range builds {
		for _, c := range r.symbols() {
			base := c.baseName()
			at, known := index[string(base)]
			if !known {
				at = len(all)
				all = append(all, History{Name: string(base), Counts: make([]int, len(builds))})
				index[all[at].Name] = at
			}
			h := &all[at]
			h.Counts[i]++
			h.Code = h.Code || c.function()
		}
	}
	all = slices.DeleteFunc(all, func(h History) bool { return slices.Max(h.Counts) < 2 })
	slices.SortFunc(all, func(a, b History) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Since returns the build since which the name has been what it is in the last build, ambiguous or
// not.
func (h *History) Since() (build int, ambiguous bool) {
	build = len(h.Counts) - 1
	ambiguous = h.Counts[build] > 1
	for build > 0 && h.Counts[build-1] > 1 == ambiguous {
		build--
	}
	return build, ambiguous
}
