package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// counted sets how many symbols have the record's name.
func counted(r Record, count int) Record {
	r.Count = count
	return r
}

// Without LTO, three functions are called show; with it, two of them are renamed and one is gone.
var (
	plainNames = [][]Record{
		{inText("__pfx_alone", "vmlinux", 0x0f00, 16)},
		{inText("alone", "vmlinux", 0x1000, 16)},
		{inText("old", "vmlinux", 0x1010, 16)},
		{
			counted(aliased(inText("show", "a.ko", 0, 8), "show@a_c_1", "a.c", 1), 3),
			counted(aliased(inText("show", "vmlinux", 0x1020, 8), "show@b_c_2", "b.c", 2), 3),
			counted(aliased(inText("show", "vmlinux", 0x1030, 8), "show@c_c_3", "c.c", 3), 3),
		},
		{inText("show.cold", "vmlinux", 0x1040, 8)},
		{
			counted(aliased(inText("twice", "vmlinux", 0x1050, 8), "twice@a_c_7", "a.c", 7), 2),
			counted(inText("twice", "vmlinux", 0x1060, 8), 2),
		},
		{{Name: "version", Object: "vmlinux", Section: ".data", Type: 'd', Count: 1, Position: 1}},
	}
	ltoNames = [][]Record{
		{inText("alone.constprop.0", "vmlinux", 0x1000, 16)},
		{inText("new", "vmlinux", 0x1010, 16)},
		{aliased(inText("show", "vmlinux", 0x1020, 8), "show@b_c_2", "b.c", 2)},
		// This name is between the end of the name show and the dot.
		{inText("show$x", "vmlinux", 0x1038, 8)},
		{aliased(inText("show.17", "vmlinux", 0x1030, 8), "show@c_c_4", "c.c", 4)},
		{inText("show@c_c_4", "vmlinux", 0x1030, 8)},
		{inText("twice", "vmlinux", 0x1050, 8)},
	}
)

func survey(t *testing.T, names [][]Record) *Survey {
	t.Helper()
	f := open(t, file(Header{Symbols: len(names), Policy: "separator=@"}, names))
	return (&Registry{File: f}).Survey()
}

func TestSurvey(t *testing.T) {
	plain, lto := survey(t, plainNames), survey(t, ltoNames)
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"functions", plain.Functions, 8},
		{"functions with LTO", lto.Functions, 6},
		{"functions that share a name", plain.Repeated, 5},
		{"functions that share a name with LTO", lto.Repeated, 0},
		{"renamed functions", plain.Renamed, 0},
		{"renamed functions with LTO", lto.Renamed, 1},
		{"symbols with an alias", len(plain.Aliased), 4},
		{"symbols with an alias with LTO", len(lto.Aliased), 2},
	} {
		if c.got != c.want {
			t.Errorf("%d %s, want %d", c.got, c.what, c.want)
		}
	}
	// Gone is old; new are new and show$x; only twice is no longer of several functions.
	if diff := cmp.Diff(Change{Gone: 1, New: 2, Settled: 1}, lto.Against(plain)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Change{Gone: 2, New: 1}, plain.Against(lto)); diff != "" {
		t.Error(diff)
	}
}

// TestSurveyLarge has names of more bytes and more symbols than a small counter holds, and names
// that come out of order: the parts of repeated$x are after it.
func TestSurveyLarge(t *testing.T) {
	long := strings.Repeat("n", 70_000)
	many := func(last, more Record) [][]Record {
		var repeated []Record
		for i := range uint64(300) {
			repeated = append(repeated, counted(inText("repeated", "vmlinux", i, 1), 300))
		}
		return [][]Record{
			{inText(long, "vmlinux", 0x1000, 1)}, {last}, repeated,
			{inText("repeated$x", "vmlinux", 0x2000, 1)},
			{inText("repeated.cold", "vmlinux", 0x3000, 1)},
			{inText("repeated.cold.1", "vmlinux", 0x3001, 1)}, {more},
		}
	}
	a := survey(t, many(inText(long+"a", "vmlinux", 1, 1), inText("s", "vmlinux", 0x4000, 1)))
	b := survey(t, many(inText(long+"b", "vmlinux", 1, 1), inText("s.cold", "vmlinux", 0x4000, 1)))
	one := survey(t, [][]Record{
		{inText(long, "vmlinux", 0x1000, 1)}, {inText("repeated", "vmlinux", 0, 1)},
	})
	for _, c := range []struct {
		what      string
		got, want Change
	}{
		{"a name of 70,001 bytes", b.Against(a), Change{Gone: 1, New: 1}},
		{"one for 300", one.Against(a), Change{Gone: 3, Settled: 1}},
		{"300 for one", a.Against(one), Change{New: 3}},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, c.got, c.want)
		}
	}
	for _, c := range []struct {
		s    *Survey
		name string
		want Presence
	}{
		{a, long, Unique}, {a, "repeated", Unnamed}, {a, "repeated$x", Unique}, {a, "s", Unique},
		{b, "s", Absent}, {one, "repeated", Unique}, {one, long + "a", Absent},
	} {
		if got := c.s.presence(c.name); got != c.want {
			t.Errorf("%.10s of %d bytes: %d, want %d", c.name, len(c.name), got, c.want)
		}
	}
}

func TestMatrix(t *testing.T) {
	type cell struct {
		Names []string
		Presence
	}
	type row struct {
		Name, Location string
		Cells          []cell
		Differs        bool
	}
	var got []row
	for _, r := range Matrix([]*Survey{survey(t, plainNames), survey(t, ltoNames)}) {
		w := row{Name: r.Base, Location: r.Location(), Differs: r.Differs()}
		for _, c := range r.Cells {
			var names []string
			for i := range c.Records {
				names = append(names, c.Records[i].Name+" "+c.Records[i].Tail("@"))
			}
			w.Cells = append(w.Cells, cell{names, c.Presence})
		}
		got = append(got, w)
	}
	want := []row{
		{"show", "a.c", []cell{{[]string{"show 1"}, 0}, {nil, Absent}}, true},
		{"show", "b.c", []cell{{[]string{"show 2"}, 0}, {[]string{"show 2"}, 0}}, false},
		{"show", "c.c", []cell{{[]string{"show 3"}, 0}, {[]string{"show.17 4"}, 0}}, true},
		{"twice", "a.c", []cell{{[]string{"twice 7"}, 0}, {nil, Unique}}, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Build by build in the other order, the function of a.c may be the one without an alias.
	other := append([][]Record{}, plainNames...)
	other[3] = append([]Record{}, other[3]...)
	other[3][0] = counted(inText("show", "a.ko", 0, 8), 3)
	rows := Matrix([]*Survey{survey(t, other), survey(t, plainNames)})
	if p := rows[0].Cells[0].Presence; rows[0].File != "a.c" || p != Unnamed {
		t.Errorf("%s: %d, want %d", rows[0].File, p, Unnamed)
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct{ base, alias, file, unit, want string }{
		{"show", "show@a_b_c_12", "a/b.c", "a/b.c", "12"},
		{"show", "show@a_b_c_12_3", "a/b.c", "a/b.c", "12_3"},
		{"show", "show@a_b_c", "a/b.c", "a/b.c", ""},
		{"show", "show@i_h_a_b_c_9", "i.h", "a/b.c", "9"},
		{"elf", "elf@fs_elf_c_compat_c_9", "fs/elf.c", "fs/compat.c", "9"},
		{"show", "show@b_c_12", "very/long/b.c", "very/long/b.c", "show@b_c_12"},
		{"show", "show", "", "", "show"},
	} {
		r := Record{Name: c.base, Base: c.base, Alias: c.alias, File: c.file, Unit: c.unit}
		if got := r.Tail("@"); got != c.want {
			t.Errorf("%s: %q, want %q", c.alias, got, c.want)
		}
	}
}

// TestRowKinds compares three builds of one function: it is unique, folded, and renamed.
func TestRowKinds(t *testing.T) {
	folded := aliased(inText("show", "vmlinux", 0x10, 8), "show@c_c_3", "c.c", 3)
	folded.Method = "name, late"
	var builds []*Registry
	var surveys []*Survey
	for _, names := range [][][]Record{
		{{inText("show", "vmlinux", 0x20, 8)}},
		{{folded, counted(inText("show", "a.ko", 0, 8), 2)}},
		{{aliased(inText("show.17", "vmlinux", 0x30, 8), "show@c_c_4", "c.c", 4)}},
		{{inText("show.cold", "vmlinux", 0x40, 8)}},
	} {
		f := open(t, file(Header{Symbols: len(names), Policy: "separator=@"}, names))
		builds = append(builds, &Registry{File: f})
		surveys = append(surveys, builds[len(builds)-1].Survey())
	}
	for _, c := range []struct {
		builds []int
		want   string
	}{
		{[]int{0, 1}, "folded unique"},
		{[]int{1, 2}, "renamed folded line alias"},
		{[]int{2, 2}, "renamed same"},
		{[]int{2, 3}, "renamed absent"},
		{[]int{0, 2}, "renamed unique"},
		{[]int{0, 0}, "same"},
	} {
		var some []*Registry
		var few []*Survey
		for _, i := range c.builds {
			some, few = append(some, builds[i]), append(few, surveys[i])
		}
		rows := Matrix(few)
		if len(rows) == 0 {
			rows = []Row{{Base: "show", Cells: make([]Cell, len(some))}}
		}
		rows[0].Complete(some)
		var got []string
		for _, kind := range RowKinds {
			if rows[0].Is(kind[0]) {
				got = append(got, kind[0])
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%v: %s", c.builds, diff)
		}
	}
	if rows := Matrix(surveys[1:2]); rows[0].Is("unaliased") {
		t.Error("a symbol with an alias counts as unaliased")
	}
	rows := []Row{{Base: "show", Cells: make([]Cell, 1)}}
	two := [][]Record{{
		counted(inText("show", "a.ko", 0, 8), 2), counted(inText("show", "b.ko", 0, 8), 2),
	}}
	rows[0].Complete([]*Registry{{File: open(t, file(Header{Symbols: 2}, two))}})
	if !rows[0].Is("unaliased") {
		t.Error("two symbols without an alias do not count as unaliased")
	}
	// Without Complete, a clone counts as absent where it has no alias.
	clone := Row{Base: "show.cold", Cells: make([]Cell, 2)}
	clone.Cells[0].Records = []Record{
		aliased(inText("show.cold", "vmlinux", 0x10, 8), "show.cold@c_c_3", "c.c", 3),
	}
	clone.Cells[1].Presence = Absent
	clone.Complete(builds[2:4])
	if !clone.Is("unique") || clone.Is("absent") {
		t.Error("a clone that is alone in a build does not count as unique there")
	}
}
