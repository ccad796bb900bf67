package main

import (
	"slices"
	"testing"
)

// TestArguments calls the program by different names, which may be those of hooks.
func TestArguments(t *testing.T) {
	for _, c := range []struct{ argv, want []string }{
		{[]string{"kas", "run", "x"}, []string{"run", "x"}},
		{[]string{"bin/kas", "nm", "-n", "x"}, []string{"nm", "-n", "x"}},
		{[]string{"kas-nm", "-n", "x"}, []string{"nm", "-n", "x"}},
		{[]string{"/usr/bin/kas-ld", "-v"}, []string{"ld", "-v"}},
		{[]string{"kas-run", "x"}, []string{"x"}},
		{[]string{"nm", "x"}, []string{"x"}},
	} {
		if got := arguments(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.argv, got, c.want)
		}
	}
}
