package registry

import (
	"bytes"
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
		separator := []byte(r.Separator())
		for line := range r.all() {
			c := cutColumns(line)
			if bytes.Contains(c.name, separator) && r.isAlias(string(c.name)) {
				continue
			}
			base := c.base
			if len(base) == 0 {
				base = c.name
			}
			at, known := index[string(base)]
			if !known {
				at = len(all)
				all = append(all, History{Name: string(base), Counts: make([]int, len(builds))})
				index[all[at].Name] = at
			}
			h := &all[at]
			h.Counts[i]++
			h.Code = h.Code || isCode(c.letter, c.source) && !isPadding(c.name)
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
