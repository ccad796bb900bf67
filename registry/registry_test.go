package registry

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAppend(t *testing.T) {
	names := [][]Record{
		{{Name: "alone", Object: "vmlinux", Section: ".text", Address: 0xffffffff81000010, Size: 16, Type: 't', Count: 1, Position: 1}},
		{
			{Name: "name_show", Object: "vmlinux", Section: ".text", Address: 0xffffffff81000100, Size: 32, Type: 't', Count: 2, Position: 1,
				Base: "name_show", Alias: "name_show@a_c_3", File: "a.c", Line: 3, Unit: "a.c", Source: "subprogram"},
			{Name: "name_show", Object: "m.ko", Section: ".text", Address: 0, Size: 32, Type: 't', Count: 2, Position: 1, Base: "name_show"},
		},
	}
	h := Header{Arch: "x86_64", Toolchain: "gcc", Release: "6.1.0", Policy: "separator=@"}
	out := AppendHeader(nil, h)
	for _, records := range names {
		out = AppendName(out, records)
	}
	want := strings.Join([]string{
		"#arch\tx86_64",
		"#columns\tname object section address size type count position base alias file line unit source",
		"#format\tkas symbols 1",
		"#policy\tseparator=@",
		"#release\t6.1.0",
		"#toolchain\tgcc",
		"alone\tvmlinux\t.text\tffffffff81000010\t16\tt\t1\t1\t\t\t\t\t\t",
		"name_show\tm.ko\t.text\t0\t32\tt\t2\t1\tname_show\t\t\t\t\t",
		"name_show\tvmlinux\t.text\tffffffff81000100\t32\tt\t2\t1\tname_show\tname_show@a_c_3\ta.c\t3\ta.c\tsubprogram",
	}, "\n") + "\n"
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Error(d)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if !slices.IsSorted(lines) {
		t.Error("not in the order of LC_ALL=C sort")
	}
	for _, line := range lines {
		if n := strings.Count(line, "\t") + 1; line[0] != '#' && n != len(Columns) {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
