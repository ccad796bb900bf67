package registry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// inText returns a function of vmlinux or a module that has no alias.
func inText(name, object string, address, size uint64) Record {
	return Record{Name: name, Object: object, Section: ".text", Address: address, Size: size,
		Type: 't', Count: 1, Position: 1}
}

// aliased gives a record an alias at a location; the unit is the file.
func aliased(r Record, alias, file string, line int64) Record {
	r.Base, _, _ = strings.Cut(alias, "@")
	r.Alias, r.File, r.Line, r.Unit, r.Method = alias, file, line, file, "subprogram"
	return r
}

// inUnit sets a unit that is not the file.
func inUnit(r Record, unit string) Record {
	r.Unit = unit
	return r
}

// queryNames is a kernel with name_show twice in vmlinux, once of them renamed, and once in a
// module; with a header's function in two units; and with the alias of the module's name_show in
// the module's symbol table.
var queryNames = [][]Record{
	{{Name: "_text", Object: "vmlinux", Section: ".text", Address: 0x1000, Type: 'T', Count: 1,
		Position: 1}},
	{inText("alone", "vmlinux", 0x1010, 16)},
	{{Name: "boot", Object: "vmlinux", Section: ".init.text", Address: 0x1300, Size: 16, Type: 't',
		Count: 1, Position: 1}},
	{
		inUnit(aliased(inText("copy", "vmlinux", 0x1020, 16),
			"copy@include_linux_x_h_fs_a_c_5", "include/linux/x.h", 5), "fs/a.c"),
		inUnit(aliased(inText("copy", "vmlinux", 0x1030, 16),
			"copy@include_linux_x_h_fs_b_c_5", "include/linux/x.h", 5), "fs/b.c"),
	},
	{inText("inlined.constprop.0", "vmlinux", 0x1040, 16)},
	{
		aliased(inText("name_show", "drivers/led-x.ko", 0, 32),
			"name_show@drivers_led_x_c_12", "drivers/led-x.c", 12),
		aliased(inText("name_show", "vmlinux", 0x1100, 32),
			"name_show@drivers_pnp_card_c_186", "drivers/pnp/card.c", 186),
	},
	{aliased(inText("name_show.7", "vmlinux", 0x1200, 32),
		"name_show@drivers_pnp_card_c_18", "drivers/pnp/card.c", 18)},
	{inText("name_show@drivers_led_x_c_12", "drivers/led-x.ko", 0, 32)},
	{{Name: "size", Object: "drivers/led-x.ko", Section: ".data", Address: 8, Size: 8, Type: 'd',
		Count: 1, Position: 1}},
	{inText("within", "vmlinux", 0x1108, 4)},
}

// queryRegistry opens the registry of queryNames, with an overlay of the records if there are any.
func queryRegistry(t *testing.T, overlay ...Record) *Registry {
	t.Helper()
	h := Header{Arch: "x86_64", Release: "6.1", Symbols: 12,
		Policy: "separator=@ line=opening symbols=text names=duplicates"}
	paths := []string{write(t, file(h, queryNames))}
	if len(overlay) > 0 {
		base := open(t, file(h, queryNames))
		var b bytes.Buffer
		if err := WriteOverlay(&b, base, nil, overlay); err != nil {
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

// briefly returns NAME/OBJECT+ADDRESS of each symbol, and whether its alias is late.
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
		led, card    = "name_show/drivers/led-x.ko+0", "name_show/vmlinux+1100"
		lto          = "name_show.7/vmlinux+1200"
		copyA, copyB = "copy/vmlinux+1020", "copy/vmlinux+1030"
	)
	for _, c := range []struct{ pattern, want string }{
		{"alone", "alone/vmlinux+1010"},
		{"name_show", led + ", " + card + ", " + lto},
		{"name_show.7", lto},
		{"name_show@drivers_pnp_card_c_186", card},
		{"name_show@drivers_pnp_card_c_18", lto}, // not line 186
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
		{"copy@fs/b.c", copyB}, // the unit
		{"copy@include_linux_x_h_fs_a_c", copyA},
		{"inlined", "inlined.constprop.0/vmlinux+1040"}, // the function itself has no symbol
		{"inline", ""},
		{"name_show@drivers*", led + ", " + card + ", " + lto},
		{"name_show@drivers/pnp/*", card + ", " + lto},
		{"*@*led-x*", led},
		{"name_show@drivers_[m-q]*", card + ", " + lto},
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
		{"linux/x.h:5", copyA + ", " + copyB},
		{"0x1015", "alone/vmlinux+1010"},
		{"0000000000001010", "alone/vmlinux+1010"},
		{"00001010", "alone/vmlinux+1010"},
		{"1010", ""},                     // not as long as an address, and no name
		{"0x1000", "_text/vmlinux+1000"}, // a symbol without a size
		{"0x1001", ""},
		{"0x1100", card},
		{"0x1109", "within/vmlinux+1108"}, // the innermost
		{"0x110d", card},
		{"0x1020+0x10", copyB},
		{"0x2000", ""},
		{"_text+0x100", card},
		{"_text+16", "alone/vmlinux+1010"},
		{"_text+0x300", "boot/vmlinux+1300"}, // in another section
		{"nowhere+4", ""},
		{"alone+x", ""},
		{"name_show@led-x.c+0x1f", led},
		{"name_show@led-x.c+8", led}, // not size, which has offset 8 in another section
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
		"name_show+4": "name_show+4 is ambiguous: 3 symbols match name_show",
		"a[":          "a[: syntax error in pattern",
		"":            "empty pattern",
	} {
		if found, err := r.Lookup(pattern); err == nil || err.Error() != want {
			t.Errorf("%q: %v %v, want %s", pattern, found, err, want)
		}
	}
}

func TestComplete(t *testing.T) {
	r := queryRegistry(t)
	for _, c := range []struct {
		prefix string
		most   int
		want   []string
	}{
		{"name_show@drivers_p", 10,
			[]string{"name_show@drivers_pnp_card_c_18", "name_show@drivers_pnp_card_c_186"}},
		{"al", 10, []string{"alone"}},
		{"copy", 1, []string{"copy", "copy@include_linux_x_h_fs_a_c_5"}},
		{"zz", 10, nil},
	} {
		if got := r.Complete(c.prefix, c.most); !slices.Equal(got, c.want) {
			t.Errorf("%s, %d: %q, want %q", c.prefix, c.most, got, c.want)
		}
	}
}

func TestFold(t *testing.T) {
	if got := Fold("/09:AZ@az[`{-é"); got != "_09_AZ_az______" {
		t.Error(got)
	}
}

func TestCutLine(t *testing.T) {
	for s, want := range map[string]string{
		"a.c:3": "a.c 3 true", "a.c": "a.c 0 false", "a.c:0": "a.c:0 0 false",
		"a.c:-1": "a.c:-1 0 false", ":3": ":3 0 false", "a:b:3": "a:b 3 true",
		"a.c:": "a.c: 0 false",
	} {
		file, line, ok := CutLine(s)
		if got := fmt.Sprint(file, " ", line, " ", ok); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}

func TestPathEndsWith(t *testing.T) {
	for _, c := range []struct {
		path, file string
		want       bool
	}{
		{"fs/a.c", "a.c", true}, {"fs/a.c", "fs/a.c", true}, {"fs/aa.c", "a.c", false},
		{"a.c", "fs/a.c", false}, {"fs/a.c", "", false}, {"fs/", "", false},
	} {
		if got := PathEndsWith(c.path, c.file); got != c.want {
			t.Errorf("%s, %s: %t", c.path, c.file, got)
		}
	}
}
