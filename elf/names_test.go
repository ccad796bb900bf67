package elf_test

import (
	"strconv"
	"testing"

	"kas/elf"
)

// TestEscape escapes what a terminal takes for a command, and what is no character.
func TestEscape(t *testing.T) {
	for _, c := range []struct {
		text, want string
		control    bool
	}{
		{"drivers/pnp/card.c", "drivers/pnp/card.c", false},
		{"a é ✓", "a é ✓", false},
		{"", "", false},
		{"a\tb\nc", `a\tb\nc`, true},
		{"\x1b]0;x\x07", `\x1b]0;x\a`, true},
		{"\x7f", `\x7f`, true},
		{"\x00", `\x00`, true},
		{"\u009b31m", `\u009b31m`, false}, // a command in one character
		{"\u202e", `\u202e`, false},       // turns the direction of the text
		{"\xff\xc3", `\xff\xc3`, false},
	} {
		if got := elf.Escape(c.text); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
		if got := elf.Control(c.text); got != c.control {
			t.Errorf("%q: %t", c.text, got)
		}
		if back, err := strconv.Unquote(`"` + c.want + `"`); err != nil || back != c.text {
			t.Errorf("%s: %q, error %v", c.want, back, err)
		}
	}
}
