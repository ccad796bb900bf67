package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAmbiguous(t *testing.T) {
	variable := Record{Name: "version", Object: "a.ko", Section: ".data", Type: 'd', Count: 2,
		Position: 1}
	twice := []Record{inText("show", "a.ko", 0, 8), inText("show", "vmlinux", 0x10, 8)}
	var builds []*Registry
	for _, names := range [][][]Record{
		{twice[:1]},
		{twice, {inText("alone", "vmlinux", 0x20, 8)}, {variable, variable}},
		// By its base name, and not counted as an alias of the symbol table.
		{
			{aliased(inText("show", "vmlinux", 0x10, 8), "show@a_c_1", "a.c", 1)},
			{aliased(inText("show.17", "vmlinux", 0x30, 8), "show@b_c_1", "b.c", 1)},
			{inText("show@a_c_1", "vmlinux", 0x10, 8)},
			{variable},
		},
	} {
		f := open(t, file(Header{Symbols: len(names), Policy: "separator=@"}, names))
		builds = append(builds, &Registry{File: f})
	}
	want := []History{{"show", []int{1, 2, 2}, true}, {"version", []int{0, 2, 1}, false}}
	if diff := cmp.Diff(want, Ambiguous(builds)); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		counts    []int
		since     int
		ambiguous bool
	}{
		{[]int{1, 2, 2}, 1, true},
		{[]int{2, 1, 2}, 2, true},
		{[]int{2, 2, 3}, 0, true},
		{[]int{0, 2, 0}, 2, false},
		{[]int{2, 0, 1}, 1, false},
	} {
		h := History{Counts: c.counts}
		if since, ambiguous := h.Since(); since != c.since || ambiguous != c.ambiguous {
			t.Errorf("%v: %d %t", c.counts, since, ambiguous)
		}
	}
}
