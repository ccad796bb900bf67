package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSimilar(t *testing.T) {
	names := [][]Record{
		{inText("kmalloc", "vmlinux", 0x10, 8)},
		{inText("name_show", "a.ko", 0, 8), inText("name_show", "vmlinux", 0x20, 8)},
		{inText("name_show2", "vmlinux", 0x30, 8)},
		{inText("name_shwo", "vmlinux", 0x18, 8)},
		{inText("name_store", "vmlinux", 0x40, 8)},
	}
	r := &Registry{File: open(t, file(Header{Symbols: len(names)}, names))}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"nmae_show", []string{"name_show", "name_show2", "name_shwo"}},
		{"name_sho", []string{"name_show", "name_shwo", "name_show2"}},
		{"kmaloc", []string{"kmalloc"}},
		{"kmallok", []string{"kmalloc"}},
		{"malloc", []string{"kmalloc"}},
		{"km", nil},
		{"kfree", nil},
	} {
		if diff := cmp.Diff(c.want, r.Similar(c.name, 3)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if got := r.Similar("name_sho", 1); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"ab", "abc", 1}, {"abc", "xbc", 1},
		{"abcd", "badc", 2}, {"", "ab", 2}, {"ab", "", 2}, {"kitten", "sitting", 3},
	} {
		if got := newDistanceRows(len(c.a)).distance(c.a, []byte(c.b), 9); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
