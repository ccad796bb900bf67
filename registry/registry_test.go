package registry

import "testing"

func TestDiffers(t *testing.T) {
	h := Header{Arch: "x86_64", Toolchain: "gcc", LTO: "none", Release: "6.1.0",
		BuildID: "0123abcd", Policy: "separator=@", OverlayOf: "x", Symbols: 5}
	if d := h.Differs(&Header{}); d != "" {
		t.Errorf("an empty header differs: %s", d)
	}
	if d := (&Header{}).Differs(&h); d != "" {
		t.Errorf("differs from an empty header: %s", d)
	}
	for want, change := range map[string]func(o *Header){
		"":                              func(o *Header) { o.OverlayOf, o.Symbols = "y", 6 },
		"arch x86_64, not arm64":        func(o *Header) { o.Arch = "arm64" },
		"kernel release 6.1.0, not 6.2": func(o *Header) { o.Release = "6.2" },
		"build ID 0123abcd, not ff":     func(o *Header) { o.BuildID = "ff" },
		"toolchain gcc, not llvm":       func(o *Header) { o.Toolchain = "llvm" },
		"LTO none, not thin":            func(o *Header) { o.LTO = "thin" },
		"policy separator=@, not separator=~": func(o *Header) {
			o.Policy = "separator=~"
		},
	} {
		o := h
		change(&o)
		if d := h.Differs(&o); d != want {
			t.Errorf("%q, want %q", d, want)
		}
	}
}

func TestModuleName(t *testing.T) {
	for object, want := range map[string]string{
		"vmlinux":                             "",
		"fs/xfs/xfs.ko":                       "xfs",
		"kernel/drivers/leds/led-class.ko.xz": "led_class",
		"led-class.ko.kas":                    "led_class",
		"a.ko.gz":                             "a",
		"drivers/a-b.o":                       "a_b",
	} {
		if got := ModuleName(object); got != want {
			t.Errorf("%s: %s, want %s", object, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	for letter, want := range map[byte]bool{
		't': true, 'T': true, 'w': true, 'W': true, 'd': false, 'D': false, 'b': false, 'r': false,
		'a': false, 'A': false, 'v': false, 0: false,
	} {
		if got := (&Record{Type: letter}).Code(); got != want {
			t.Errorf("%c: %t", letter, got)
		}
	}
}

func TestRecordLocation(t *testing.T) {
	for want, r := range map[string]Record{
		"":                {},
		"a.c":             {File: "a.c", Unit: "a.c"},
		"a.c:3":           {File: "a.c", Line: 3, Unit: "a.c"},
		"h.h:3 in fs/a.c": {File: "h.h", Line: 3, Unit: "fs/a.c"},
	} {
		if got := r.Location(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSeparator(t *testing.T) {
	for policy, want := range map[string]string{
		"":                        "@",
		"line=opening":            "@",
		"line=none separator=..x": "..x",
		"separator=":              "@",
	} {
		if got := (&Header{Policy: policy}).Separator(); got != want {
			t.Errorf("%q: %q, want %q", policy, got, want)
		}
	}
}
