package registry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestOverlay looks symbols up that only the overlay has, and symbols that it has newer records of.
func TestOverlay(t *testing.T) {
	late := aliased(inText("alone", "vmlinux", 0x1010, 16), "alone@lib_alone_c_3", "lib/alone.c", 3)
	late.MakeLate()
	late.MakeLate()
	if want := "subprogram, late"; late.Method != want {
		t.Errorf("%q, want %q", late.Method, want)
	}
	later := aliased(inText("alone", "later.ko", 0x40, 16), "alone@later_c_9", "later.c", 9)
	shown := aliased(inText("name_show", "later.ko", 0, 16), "name_show@later_c_2", "later.c", 2)
	r := queryRegistry(t, shown, late, later)
	for _, c := range []struct{ pattern, want string }{
		{"alone", "alone/later.ko+40, alone/vmlinux+1010 late"},
		{"alone@lib/alone.c:3", "alone/vmlinux+1010 late"},
		{"lib/alone.c", "alone/vmlinux+1010 late"},
		{"0x1010", "alone/vmlinux+1010 late"},
		{"later.ko", "alone/later.ko+40, name_show/later.ko+0"},
		{"name_show", "name_show/drivers/led-x.ko+0, name_show/later.ko+0, " +
			"name_show/vmlinux+1100, name_show.7/vmlinux+1200"},
	} {
		found, err := r.Lookup(c.pattern)
		if got := briefly(found); err != nil || got != c.want {
			t.Errorf("%s: %s %v, want %s", c.pattern, got, err, c.want)
		}
	}
	for name, want := range map[string]int{
		"alone": 2, "name_show": 3, "copy": 2, "name_show.7": 1,
	} {
		for _, f := range r.Named(name) {
			if f.Count != want {
				t.Errorf("%s of %s: count %d, want %d", name, f.Object, f.Count, want)
			}
		}
	}
	if !r.Has(&late) || r.Has(&later) {
		t.Error("Has must not look into the overlay")
	}
}

// TestOverlayInnermost checks an address in two symbols, of which the overlay has the outer one.
func TestOverlayInnermost(t *testing.T) {
	outer := queryNames[5][1]
	r := queryRegistry(t, outer)
	if found, err := r.Lookup("0x1109"); err != nil || briefly(found) != "within/vmlinux+1108" {
		t.Errorf("%s %v", briefly(found), err)
	}
}

// TestOverlayReplacesModule checks that a module built again hides all symbols of the kernel's.
func TestOverlayReplacesModule(t *testing.T) {
	r := queryRegistry(t, inText("name_show", "led_x.ko", 0x70, 8))
	found, err := r.Lookup("name_show")
	want := "name_show/led_x.ko+70, name_show/vmlinux+1100, name_show.7/vmlinux+1200"
	if got := briefly(found); err != nil || got != want || found[0].Count != 2 {
		t.Errorf("%s %v", got, err)
	}
	for o := range r.Overlay.Named("name_show") {
		if o.Count != 2 {
			t.Errorf("the overlay's own count is %d", o.Count)
		}
	}
	if found, _ := r.Lookup("size"); len(found) != 0 {
		t.Errorf("the kernel's module is still found: %s", briefly(found))
	}
}

// TestWriteOverlay checks the header, the order of the lines and the counts.
func TestWriteOverlay(t *testing.T) {
	r := queryRegistry(t,
		inText("name_show", "z.ko", 0x20, 8), inText("name_show", "a.ko", 0x30, 8),
		inText("alone", "a.ko", 0, 8), inText("new", "a.ko", 0x40, 8))
	if r.Overlay.OverlayOf != r.Digest || r.Overlay.Release != "6.1" || r.Overlay.Symbols != 4 {
		t.Errorf("%+v", r.Overlay.Header)
	}
	var got []string
	for o := range r.Overlay.Prefixed("") {
		got = append(got, fmt.Sprintf("%s %s %d", o.Name, o.Object, o.Count))
	}
	want := []string{"alone a.ko 2", "name_show a.ko 4", "name_show z.ko 4", "new a.ko 1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !slices.IsSorted(strings.Split(string(r.Overlay.lines), "\n")[:4]) {
		t.Error("not in the order of LC_ALL=C sort")
	}
}

func TestWriteOverlayRefuses(t *testing.T) {
	base := open(t, file(Header{Symbols: 12}, queryNames))
	for _, name := range []string{"a\tb", "a\nb", "#a"} {
		err := WriteOverlay(&bytes.Buffer{}, base, nil, []Record{{Name: name, Object: "x.ko"}})
		want := fmt.Sprintf("x.ko: symbol %q cannot be written in a registry", name)
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestOpenAllRefuses(t *testing.T) {
	h := Header{Release: "6.1", Symbols: 12}
	data := file(h, queryNames)
	base := open(t, data)
	var b bytes.Buffer
	if err := WriteOverlay(&b, base, nil, nil); err != nil {
		t.Fatal(err)
	}
	overlay, second, registry := write(t, b.Bytes()), write(t, b.Bytes()), write(t, data)
	other := write(t, file(Header{Release: "6.2", Symbols: 12}, queryNames))
	sameRelease := write(t, file(Header{Release: "6.1", Arch: "arm64", Symbols: 12}, queryNames))
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{overlay, registry}, ""},
		{[]string{other, overlay, registry}, ""},
		{[]string{sameRelease, overlay}, overlay + ": overlay of another registry (6.1, " +
			base.Digest + "): pass that registry, too"},
		{[]string{other, overlay}, overlay + ": overlay of another registry (6.1, " + base.Digest +
			"): pass that registry, too"},
		{[]string{registry, overlay, second},
			second + ": " + registry + " already has an overlay: " + overlay},
		{[]string{registry, "/nonexistent"}, "/nonexistent: no such file or directory"},
	} {
		all, err := OpenAll(c.paths)
		CloseAll(all)
		if got := fmt.Sprint(err); got != c.want && !(err == nil && c.want == "") {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}
