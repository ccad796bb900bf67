package registry

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestSearches(t *testing.T) {
	f := open(t, file(testHeader, testNames))
	for _, c := range []struct {
		what, want string
		got        iter.Seq[Record]
	}{
		{"named", "alone vmlinux", f.Named("alone")},
		{"named, several", "name_show m.ko, name_show vmlinux", f.Named("name_show")},
		{"named, a prefix", "", f.Named("name_sho")},
		{"named, before the first", "", f.Named("A")},
		{"named, after the last", "", f.Named("zoo")},
		{"based", "name_show m.ko, name_show vmlinux, name_show.llvm.77 n.ko",
			f.Based("name_show")},
		{"based, kept suffix", "name_show.cold m.ko", f.Based("name_show.cold")},
		{"prefixed", "name_show.cold m.ko, name_show.llvm.77 n.ko", f.Prefixed("name_show.")},
		{"holding", "name_show vmlinux", f.Holding("a.c")},
		{"in a file", "name_show vmlinux", f.In("a.c")},
		{"in part of a file's name", "", f.In(".c")},
		{"of an object", "name_show m.ko, name_show.cold m.ko", f.Of("m.ko")},
		{"of part of an object's name", "", f.Of(".ko")},
		{"at the first byte", "name_show vmlinux", f.At("vmlinux", "", 0xffffffff81000100)},
		{"at the last byte", "name_show vmlinux", f.At("vmlinux", "", 0xffffffff8100011f)},
		{"after the last byte", "", f.At("vmlinux", "", 0xffffffff81000120)},
		{"at an offset", "name_show.cold m.ko", f.At("m.ko", ".text.unlikely", 9)},
		{"at an offset of another section", "name_show m.ko", f.At("m.ko", ".text", 9)},
		{"at an offset of another object", "", f.At("n.ko", ".text", 9)},
	} {
		var all []string
		for r := range c.got {
			all = append(all, r.Name+" "+r.Object)
		}
		if got := strings.Join(all, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// TestInOfALargeFile checks that no line is lost where inParts divides the file, and that Parallel
// changes nothing.
func TestInOfALargeFile(t *testing.T) {
	var names [][]Record
	for i := range 1000 {
		r := Record{Name: fmt.Sprintf("f%04d", i), Object: Vmlinux, Address: uint64(0x10 * i),
			Type: 't'}
		if i%3 == 0 {
			r.Alias, r.File, r.Unit, r.Method = r.Name+"@a_c", "a.c", "a.c", "subprogram"
		}
		names = append(names, []Record{r})
	}
	f := open(t, file(Header{Symbols: 1000}, names))
	sequential := slices.Collect(f.In("a.c"))
	if len(sequential) != 334 {
		t.Errorf("%d symbols, want 334", len(sequential))
	}
	if found := slices.Collect(f.Holding("vmlinux")); len(found) != 1000 {
		t.Errorf("%d symbols hold vmlinux, want 1000", len(found))
	}
	f.Parallel = func(n int, part func(i int)) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { part(i) })
		}
		wg.Wait()
	}
	if d := gocmp.Diff(sequential, slices.Collect(f.In("a.c"))); d != "" {
		t.Error(d)
	}
}

// TestNames steps through a file of three parts, the last of which is not full.
func TestNames(t *testing.T) {
	var names [][]Record
	var want []string
	for i := range 2*linesPerPart + 10 {
		r := Record{Name: fmt.Sprintf("f%04d", i/2), Object: Vmlinux, Type: 't'}
		names, want = append(names, []Record{r}), append(want, r.Name)
	}
	f := open(t, file(Header{Symbols: len(names)}, names))
	if len(f.parts) != 3 {
		t.Fatalf("%d parts, want 3", len(f.parts))
	}
	var got []string
	all := f.Names()
	for name, ok := all.Next(); ok; name, ok = all.Next() {
		got = append(got, string(name))
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if name, ok := all.Next(); ok {
		t.Errorf("%q after the end", name)
	}
}

// TestAtFarBegin checks an address that is far from the begin of its symbol, so that the digits
// they share are fewer and fewer.
func TestAtFarBegin(t *testing.T) {
	const begin = 0xffffffff81000010
	names := [][]Record{
		{{Name: "after", Section: ".text", Address: begin + 0x30000, Size: 16}},
		{{Name: "inner", Section: ".text", Address: begin + 0x10020, Size: 16}},
		{{Name: "large", Section: ".text", Address: begin, Size: 0x30000}},
	}
	// The digits of these are as near, but an address without its section and object is nothing.
	names = append([][]Record{
		{{Name: "a_module", Object: "m.ko", Section: ".text", Address: begin + 0x10024, Size: 16}},
		{{Name: "a_section", Section: ".x", Address: begin + 0x10024, Size: 16}},
	}, names...)
	for _, records := range names {
		r := &records[0]
		r.Object, r.Type = cmp.Or(r.Object, Vmlinux), 't'
	}
	f := open(t, file(Header{Symbols: 5}, names))
	for offset, want := range map[uint64]string{
		0: "large", 0xfff0: "large", 0x10020: "inner", 0x1002f: "inner", 0x10030: "large",
		0x2ffff: "large", 0x30000: "after",
	} {
		last := Record{}
		for r := range f.At(Vmlinux, ".text", begin+offset) {
			if r.Address >= last.Address {
				last = r
			}
		}
		if last.Name != want {
			t.Errorf("%#x: %s, want %s", offset, last.Name, want)
		}
	}
}
