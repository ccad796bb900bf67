package registry

import (
	"bytes"
	"slices"
)

// Similar returns the names that differ from a name in few letters, the nearest first, at most so
// many. It reads all lines.
func (r *Registry) Similar(name string, most int) []string {
	limit := min(2, len(name)/4)
	if limit == 0 || len(name) > 100 {
		return nil
	}
	type near struct {
		name     string
		distance int
	}
	var found []near
	var last []byte
	rows := newDistanceRows(len(name))
	for line := range r.all() {
		n := bytes.IndexByte(line, '\t')
		if n < len(name)-limit || n > len(name)+limit || bytes.Equal(line[:n], last) {
			continue
		}
		last = line[:n]
		if d := rows.distance(name, last, limit); d <= limit {
			found = append(found, near{string(last), d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.distance - b.distance })
	found = slices.CompactFunc(found, func(a, b near) bool { return a.name == b.name })
	var names []string
	for _, f := range found[:min(len(found), most)] {
		names = append(names, f.name)
	}
	return names
}

// distanceRows are the last three rows of the table of distances of two words.
type distanceRows [3][]int

func newDistanceRows(n int) *distanceRows {
	return &distanceRows{make([]int, n+1), make([]int, n+1), make([]int, n+1)}
}

// distance returns how many letters must be put in, left out, replaced or swapped with the next one
// to make a of b. More than limit may be any larger number.
func (rows *distanceRows) distance(a string, b []byte, limit int) int {
	before, above, row := rows[0], rows[1], rows[2]
	for i := range above {
		above[i] = i
	}
	for j := range b {
		row[0] = j + 1
		least := row[0]
		for i := range len(a) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d := min(above[i]+cost, above[i+1]+1, row[i]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[i-1]+1)
			}
			row[i+1] = d
			least = min(least, d)
		}
		if least > limit {
			return least
		}
		before, above, row = above, row, before
	}
	return above[len(a)]
}
