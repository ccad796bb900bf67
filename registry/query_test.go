package registry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A kernel with two name_show in vmlinux, one in a module, a renamed one, a header's function in two units, and a module
// beside it.
var queryNames = [][]Record{
	{{Name: "_text", Object: "vmlinux", Section: ".text", Address: 0x1000, Type: 'T', Count: 1, Position: 1}},
	{{Name: "alone", Object: "vmlinux", Section: ".text", Address: 0x1010, Size: 16, Type: 't', Count: 1, Position: 1}},
	{
		{Name: "copy", Object: "vmlinux", Section: ".text", Address: 0x1020, Size: 16, Type: 't', Count: 2, Position: 1,
			Base: "copy", Alias: "copy@include_linux_x_h_fs_a_c_5", File: "include/linux/x.h", Line: 5, Unit: "fs/a.c", Method: "subprogram"},
		{Name: "copy", Object: "vmlinux", Section: ".text", Address: 0x1030, Size: 16, Type: 't', Count: 2, Position: 2,
			Base: "copy", Alias: "copy@include_linux_x_h_fs_b_c_5", File: "include/linux/x.h", Line: 5, Unit: "fs/b.c", Method: "subprogram"},
	},
	{{Name: "inlined.constprop.0", Object: "vmlinux", Section: ".text", Address: 0x1040, Size: 16, Type: 't', Count: 1, Position: 1}},
	{
		{Name: "name_show", Object: "drivers/led-x.ko", Section: ".text", Address: 0, Size: 32, Type: 't', Count: 2, Position: 1,
			Base: "name_show", Alias: "name_show@drivers_led_x_c_12", File: "drivers/led-x.c", Line: 12, Unit: "drivers/led-x.c", Method: "subprogram"},
		{Name: "name_show", Object: "vmlinux", Section: ".text", Address: 0x1100, Size: 32, Type: 't', Count: 2, Position: 1,
			Base: "name_show", Alias: "name_show@drivers_pnp_card_c_186", File: "drivers/pnp/card.c", Line: 186, Unit: "drivers/pnp/card.c", Method: "subprogram"},
	},
	{{Name: "name_show.7", Object: "vmlinux", Section: ".text", Address: 0x1200, Size: 32, Type: 't', Count: 1, Position: 1,
		Base: "name_show", Alias: "name_show@drivers_pnp_card_c_18", File: "drivers/pnp/card.c", Line: 18, Unit: "drivers/pnp/card.c", Method: "subprogram, renamed by full LTO"}},
	// This symbol table bears the alias of the module's.
	{{Name: "name_show@drivers_led_x_c_12", Object: "drivers/led-x.ko", Section: ".text", Address: 0, Size: 32, Type: 't', Count: 1, Position: 1}},
	{{Name: "size", Object: "drivers/led-x.ko", Section: ".data", Address: 8, Size: 8, Type: 'd', Count: 1, Position: 1}},
	{{Name: "within", Object: "vmlinux", Section: ".text", Address: 0x1108, Size: 4, Type: 't', Count: 1, Position: 1}},
}

func queryRegistry(t *testing.T, overlay ...[]Record) *Registry {
	t.Helper()
	h := Header{Arch: "x86_64", Release: "6.1", Policy: "separator=@ line=opening symbols=text names=duplicates", Symbols: 11}
	paths := []string{write(t, file(h, queryNames))}
	if len(overlay) > 0 {
		base := open(t, file(h, queryNames))
		var b bytes.Buffer
		if err := WriteOverlay(&b, base, slices.Concat(overlay...)); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, write(t, b.Bytes()))
	}
	all, err := OpenAll(paths)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { CloseAll(all) })
	return all[0]
}

// briefly is what a test compares of symbols.
func briefly(found []Record) string {
	var all []string
	for _, f := range found {
		s := fmt.Sprintf("%s/%s+%x", f.Name, f.Object, f.Address)
		if f.Late() {
			s += " late"
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

func TestLookup(t *testing.T) {
	r := queryRegistry(t)
	const (
		led, card, lto = "name_show/drivers/led-x.ko+0", "name_show/vmlinux+1100", "name_show.7/vmlinux+1200"
		copyA, copyB   = "copy/vmlinux+1020", "copy/vmlinux+1030"
	)
	for _, c := range []struct{ pattern, want string }{
		{"alone", "alone/vmlinux+1010"},
		{"name_show", led + ", " + card + ", " + lto},
		{"name_show.7", lto},
		{"name_show@drivers_pnp_card_c_186", card},
		{"name_show@drivers_pnp_card_c_18", lto}, // not the one whose line begins so
		{"name_show@drivers_pnp_card_c", card + ", " + lto},
		{"name_show@drivers_pnp", card + ", " + lto},
		{"name_show@drivers_pn", ""},
		{"name_show@drivers/pnp/card.c:186", card},
		{"name_show@pnp/card.c", card + ", " + lto},
		{"name_show@card.c:18", lto},
		{"name_show@card.c:1", ""},
		{"name_show@ard.c", ""},
		{"name_show@led-x.c", led},
		{"copy@x.h", copyA + ", " + copyB},
		{"copy@fs/b.c", copyB}, // by its unit
		{"copy@include_linux_x_h_fs_a_c", copyA},
		{"inlined", "inlined.constprop.0/vmlinux+1040"}, // none has that name, a clone of it is there
		{"inline", ""},
		{"name_show@drivers*", led + ", " + card + ", " + lto},
		{"name_show@drivers/pnp/*", card + ", " + lto},
		{"*@*led-x*", led},
		{"*show*", led + ", " + card + ", " + lto},
		{"[ac]*", "alone/vmlinux+1010, " + copyA + ", " + copyB},
		{"?lone", "alone/vmlinux+1010"},
		{"nosuch*", ""},
		{"drivers/pnp/card.c:186", card},
		{"card.c:186", card},
		{"./drivers/pnp/card.c:186", card},
		{"card.c:187", ""},
		{"drivers/pnp/card.c", card + ", " + lto},
		{"fs/a.c", copyA},
		{"0x1015", "alone/vmlinux+1010"},
		{"0000000000001010", "alone/vmlinux+1010"},
		{"0x1100", card},
		{"0x1109", "within/vmlinux+1108"}, // the innermost
		{"0x110d", card},
		{"0x1020+0x10", copyB},
		{"0x2000", ""},
		{"_text+0x100", card},
		{"_text+16", "alone/vmlinux+1010"},
		{"name_show@led-x.c+0x1f", led},
		{"name_show@led-x.c+0x20", ""},
		{"size+4", "size/drivers/led-x.ko+8"},
		{"led-x.ko", led + ", size/drivers/led-x.ko+8"},
		{"drivers/led-x.ko", led + ", size/drivers/led-x.ko+8"},
		{"x.ko", ""},
	} {
		found, err := r.Lookup(c.pattern)
		if got := briefly(found); err != nil || got != c.want {
			t.Errorf("%s: %s %v, want %s", c.pattern, got, err, c.want)
		}
	}
	for pattern, want := range map[string]string{
		"name_show+4": "name_show is 3 symbols: name_show+0x4 says of none of them what lies there",
		"a[":          "a[: syntax error in pattern",
		"":            "an empty pattern",
	} {
		if found, err := r.Lookup(pattern); err == nil || err.Error() != want {
			t.Errorf("%q: %v %v, want %s", pattern, found, err, want)
		}
	}
	if got := r.Complete("name_show@drivers_p", 10); !slices.Equal(got, []string{"name_show@drivers_pnp_card_c_18", "name_show@drivers_pnp_card_c_186"}) {
		t.Error(got)
	}
}

// An overlay adds symbols, and says more of the registry's own.
func TestOverlay(t *testing.T) {
	late := Record{Name: "alone", Object: "vmlinux", Section: ".text", Address: 0x1010, Size: 16, Type: 't', Position: 1,
		Base: "alone", Alias: "alone@lib_alone_c_3", File: "lib/alone.c", Line: 3, Unit: "lib/alone.c", Method: "subprogram"}
	late.MakeLate()
	late.MakeLate()
	later := Record{Name: "alone", Object: "later.ko", Section: ".text", Address: 0x40, Size: 16, Type: 't', Position: 1,
		Base: "alone", Alias: "alone@later_c_9", File: "later.c", Line: 9, Unit: "later.c", Method: "subprogram"}
	shown := Record{Name: "name_show", Object: "later.ko", Section: ".text", Address: 0, Size: 16, Type: 't', Position: 1,
		Base: "name_show", Alias: "name_show@later_c_2", File: "later.c", Line: 2, Unit: "later.c", Method: "subprogram"}
	r := queryRegistry(t, []Record{shown, late, later})
	for _, c := range []struct{ pattern, want string }{
		{"alone", "alone/later.ko+40, alone/vmlinux+1010 late"},
		{"alone@lib/alone.c:3", "alone/vmlinux+1010 late"},
		{"lib/alone.c", "alone/vmlinux+1010 late"},
		{"0x1010", "alone/vmlinux+1010 late"},
		{"later.ko", "alone/later.ko+40, name_show/later.ko+0"},
		{"name_show", "name_show/drivers/led-x.ko+0, name_show/later.ko+0, name_show/vmlinux+1100, name_show.7/vmlinux+1200"},
	} {
		found, err := r.Lookup(c.pattern)
		if got := briefly(found); err != nil || got != c.want {
			t.Errorf("%s: %s %v, want %s", c.pattern, got, err, c.want)
		}
	}
	// A symbol within another, of which the overlay tells: the inner one is meant.
	card := queryNames[4][1]
	inner := queryRegistry(t, []Record{card})
	if found, err := inner.Lookup("0x1109"); err != nil || briefly(found) != "within/vmlinux+1108" {
		t.Errorf("%s %v", briefly(found), err)
	}
	// A module that was built again stands in place of the kernel's.
	again := Record{Name: "name_show", Object: "led_x.ko", Section: ".text", Address: 0x70, Size: 8, Type: 't', Position: 1, Base: "name_show"}
	replaced := queryRegistry(t, []Record{again})
	found, err := replaced.Lookup("name_show")
	if got := briefly(found); err != nil || got != "name_show/led_x.ko+70, name_show/vmlinux+1100, name_show.7/vmlinux+1200" || found[0].Count != 2 {
		t.Errorf("%s %v", got, err)
	}
	if found, _ := replaced.Lookup("size"); len(found) != 0 {
		t.Errorf("what the module had before: %s", briefly(found))
	}
	for name, want := range map[string]int{"alone": 2, "name_show": 3, "copy": 2, "name_show.7": 1} {
		for _, f := range r.Named(name) {
			if f.Count != want {
				t.Errorf("%s of %s: %d of this name, want %d", name, f.Object, f.Count, want)
			}
		}
	}
	for o := range r.Overlay.Prefixed("alone") {
		if o.Count != 2 {
			t.Errorf("the overlay's own count: %+v", o)
		}
	}
	if !r.Has(&late) || r.Has(&later) {
		t.Error("what the registry itself has")
	}
}

func TestWriteOverlayRefuses(t *testing.T) {
	base := open(t, file(Header{Symbols: 11}, queryNames))
	for _, name := range []string{"a\tb", "a\nb", "#a"} {
		if err := WriteOverlay(&bytes.Buffer{}, base, []Record{{Name: name, Object: "x.ko"}}); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}

func TestOpenAllRefuses(t *testing.T) {
	h := Header{Release: "6.1", Symbols: 11}
	data := file(h, queryNames)
	base := open(t, data)
	var b bytes.Buffer
	if err := WriteOverlay(&b, base, nil); err != nil {
		t.Fatal(err)
	}
	overlay, second, registry := write(t, b.Bytes()), write(t, b.Bytes()), write(t, data)
	other := write(t, file(Header{Release: "6.2", Symbols: 11}, queryNames))
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{overlay, registry}, ""},
		{[]string{other, overlay, registry}, ""},
		{[]string{other, overlay}, overlay + ": overlay of another registry (6.1, " + base.Digest + "): name that one, too"},
		{[]string{registry, overlay, second}, second + ": " + registry + " has an overlay already: " + overlay},
		{[]string{registry, "/nonexistent"}, "/nonexistent: no such file or directory"},
	} {
		all, err := OpenAll(c.paths)
		CloseAll(all)
		if got := fmt.Sprint(err); got != c.want && !(err == nil && c.want == "") {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

// Whatever bytes it gets, as a file or as the lines of one that is whole, the reader ends.
func FuzzOpen(f *testing.F) {
	data := file(testHeader, testNames)
	lines := bytes.SplitAfterN(data, []byte("\n"), 10)
	f.Add(data, true)
	f.Add(data[:200], true)
	f.Add(lines[9], false)
	f.Add([]byte("\n\t\n\nvmlinux\n\tvmlinux\t"), false)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		if !whole {
			head := NewHead(testHeader)
			head.Add(data)
			data = append(head.Bytes(), data...)
		}
		r := &File{}
		if r.parse(data) != nil {
			return
		}
		for record := range r.Prefixed("") {
			r.start(record.Name)
		}
		both := &Registry{File: r}
		for _, pattern := range []string{"name_show", "*", "a.c:3", "0x10", "x.ko", "a+1"} {
			both.Lookup(pattern)
		}
	})
}

// A kernel whose symbol tables bear its aliases, and the same one without: no name differs.
func TestDiffOfBorneAliases(t *testing.T) {
	with := queryRegistry(t)
	plain := slices.DeleteFunc(slices.Clone(queryNames), func(records []Record) bool { return strings.Contains(records[0].Name, "@") })
	all, err := OpenAll([]string{write(t, file(Header{Policy: with.Policy, Symbols: 10}, plain))})
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(all)
	for _, d := range []*Diff{Compare(with, all[0]), Compare(all[0], with)} {
		if len(d.Names) > 0 || d.Held() != 5 || len(d.Aliases) != 5 {
			t.Errorf("names %v, %d of %d aliases hold", d.Names, d.Held(), len(d.Aliases))
		}
	}
}
