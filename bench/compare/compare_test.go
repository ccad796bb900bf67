package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/need"
)

func TestReport(t *testing.T) {
	type values = []float64
	all := []comparison{
		{row: "a", ours: values{1, 3, 2}, theirs: values{2, 3, 8}, show: wall, target: atMost(0.4)},
		{row: "b", ours: values{1, 1}, theirs: values{4, 8}, show: cpu, target: atLeast(5, "less")},
		{row: "c", ours: values{0.001}, theirs: values{0.002}, show: millis},
		{row: "c", ours: values{0.001}, theirs: values{0.002}, show: millis,
			target: informs("faster")},
		{row: "d", ours: values{2e9}, show: megabytes, target: atMost(1e9)},
	}
	for i := range all {
		all[i].work, all[i].kas, all[i].peer = "w", "kas", "peer"
	}
	var text strings.Builder
	writeReport(&text, []string{"a machine"}, all, []string{"a note"})
	for _, want := range []string{
		"- a machine\n",
		"| a | w | kas: 2 s | peer: 3 s | 0.5 (0.25 to 1) | ≤ 0.4 | **missed** |\n",
		"| b | w | kas: 1 s of CPU | peer: 6 s of CPU | 6 times less (4 to 8) | " +
			"≥ 5 times less | met |\n",
		"| c | w | kas: 1 ms | peer: 2 ms | 0.5 |  |  |\n",
		"| c | w | kas: 1 ms | peer: 2 ms | 2 times faster |  |  |\n",
		"| d | w | kas: 2000 MB |  |  | < 1000 MB | **missed** |\n",
		"- a note\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

func TestStageTimes(t *testing.T) {
	const text = `goos: linux
pkg: kas
BenchmarkStage/build=a/stage=scan/modules=3/jobs=2	1	1500000000 ns/op
BenchmarkStage/build=a/stage=emit/modules=3/jobs=2	1	2000000 ns/op
BenchmarkStage/build=b/stage=scan/modules=3/jobs=2	1	500000000 ns/op
BenchmarkRun/builds=2/jobs=2	1	9 ns/op
`
	got, err := stageTimes(text)
	if err != nil || len(got) != 2 || got["scan"] != 2 || got["emit"] != 0.002 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{
		"", "BenchmarkStage/stage=scan 1 x ns/op\n", "BenchmarkStage/stage=scan 1 2 MB/s\n",
	} {
		if got, err := stageTimes(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestMeasureCountsChildren(t *testing.T) {
	const script = `echo said; { i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; } | cat`
	c, err := measure(exec.Command("sh", "-c", script))
	if err != nil || c.output != "said\n" || c.cpu <= 0 || c.memory <= 0 || c.wall <= 0 {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = measure(exec.Command("sh", "-c", "echo why >&2; exit 3"))
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("error %v", err)
	}
}

func TestChoose(t *testing.T) {
	got, err := choose("growth,emit-xfs")
	if err != nil || len(got) != 2 || got[0].name != "growth" || got[1].name != "emit-xfs" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := choose("emit"); err == nil {
		t.Error("there is no row emit")
	}
}

// A missing kernel skips its rows; with a gate, it fails.
func TestWithoutKernels(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KAS_CACHE", filepath.Join(dir, "cache"))
	kas := filepath.Join(dir, "kas")
	if err := os.WriteFile(kas, []byte("#!/bin/sh\necho kas 1.0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	need.Tools(t, tools...)
	var text strings.Builder
	file := filepath.Join(dir, "results", "here.md")
	args := []string{"-kas", kas, "-only", "run-amd64,emit-all"}
	if err := run(t.Context(), append(args, "-o", file), &text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- kas 1.0",
		"run-amd64: skipped; `make corpus-amd64`",
		"emit-all: skipped; `make corpus-cloud-amd64`",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	if strings.Contains(text.String(), dir) {
		t.Errorf("a path of this machine in\n%s", &text)
	}
	if written, err := os.ReadFile(file); err != nil || string(written) != text.String() {
		t.Errorf("%q, %v", written, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "cache", "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if err := run(t.Context(), append(args, "-gate", "2"), &strings.Builder{}); err == nil {
		t.Error("nothing was measured, and the gate lets it pass")
	}
}

func TestNeeds(t *testing.T) {
	for only, want := range map[string]string{
		"again,emit-xfs": "cloud-amd64\n",
		"growth":         "amd64\n",
		"":               "cloud-amd64\namd64\npackage\n",
	} {
		var text strings.Builder
		err := run(t.Context(), []string{"-needs", "-only", only}, &text)
		if err != nil || text.String() != want {
			t.Errorf("%s: %q, %v", only, &text, err)
		}
	}
}

func TestGate(t *testing.T) {
	ours, theirs := []float64{1, 2, 9}, []float64{4, 8, 9} // kas takes a quarter, is 4 times faster
	ratio := func(row string, target target) comparison {
		return comparison{
			row: row, kas: "kas", peer: "cp", ours: ours, theirs: theirs, target: target,
		}
	}
	for _, c := range []struct {
		comparison
		want string
	}{
		{ratio("a", atMost(1)), ""},
		{ratio("a", atMost(0.13)), ""},
		{ratio("a", atMost(0.1)), "a: kas beside cp misses its target by a factor of 2.5"},
		{ratio("a", atLeast(7, "faster")), ""},
		{ratio("a", atLeast(12, "faster")), "a: kas beside cp misses its target by a factor of 3"},
		{ratio("a", informs("faster")), "a: no ratio to check"},
		{ratio("b", atMost(1)), "a: no ratio to check"},
		{comparison{row: "a", ours: ours, target: atMost(0.01)}, "a: no ratio to check"},
	} {
		err := checkGate([]row{{name: "a"}}, []comparison{c.comparison}, 2)
		if got := fmt.Sprint(err); got != cmp.Or(c.want, "<nil>") {
			t.Errorf("%+v: %s, want %q", c.target, got, c.want)
		}
	}
}

// TestPeers runs the pipeline of other tools on the demo's kernel: it must do the work that it is
// measured for.
func TestPeers(t *testing.T) {
	need.Tools(t, tools...)
	kernel, err := filepath.Abs("../../demo/matrix/x86_64-gcc")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	c, err := measure(exec.Command("sh", "-c", peersScript, "peers.sh",
		filepath.Join(kernel, "vmlinux"), filepath.Join(kernel, "modules"), out))
	if err != nil {
		t.Fatal(err)
	}
	var aliases, objects, modules int
	_, err = fmt.Sscanf(c.output, "%d aliases, %d objects, %d modules written",
		&aliases, &objects, &modules)
	if err != nil {
		t.Fatalf("%q: %v", c.output, err)
	}
	const script = `llvm-nm-19 "$0"/vmlinux; find "$1"/modules -name '*.kas' | xargs llvm-nm-19`
	list, err := exec.Command("sh", "-c", script, kernel, out).Output()
	if err != nil {
		t.Fatal(err)
	}
	syms, err := os.ReadFile(filepath.Join(out, "vmlinux.syms"))
	if err != nil {
		t.Fatal(err)
	}
	in := strings.Count(string(list), "@") + strings.Count(string(syms), "@")
	written, _ := emitted(filepath.Join(out, "modules"))
	if aliases < 20 || in != aliases || len(written) != modules ||
		!slices.Contains(written, "kernel/drivers/hwmon/lm75.ko") {
		t.Errorf("%s: %d aliases found in %q", c.output, in, written)
	}
}
