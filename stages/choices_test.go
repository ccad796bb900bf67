package stages

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/configs"
	"kas/pipeline"
)

// TestChoices: each choice has the aliases of a run of its own, and no object is read again, since
// the files are gone after the first.
func TestChoices(t *testing.T) {
	var all []configs.Alias
	for _, names := range []configs.Names{{Globs: []string{"probe*"}}, {}, {All: true}} {
		for _, symbols := range []string{"data", "text", "all"} {
			all = append(all, configs.Alias{Names: names, Symbols: symbols})
		}
	}
	for _, kernel := range []string{"x86_64-gcc", "x86_64-clang-lto", "arm64-gcc"} {
		dir := filepath.Join("../demo/matrix", kernel)
		want := make([][]string, len(all))
		for i := range all {
			b := build()
			b.Vmlinux = filepath.Join(dir, "vmlinux")
			b.Modules = []string{filepath.Join(dir, "modules")}
			b.Alias.Names, b.Alias.Symbols = all[i].Names, all[i].Symbols
			errs := b.run(t, Scan, Dedupe, Normalize, Resolve,
				see(func(b *pipeline.Build) { want[i] = aliasesOf(b) }))
			if len(errs) > 0 {
				t.Error(errs)
			}
		}
		b, here := build(), t.TempDir()
		if err := os.CopyFS(here, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		b.Vmlinux = filepath.Join(here, "vmlinux")
		b.Modules = []string{filepath.Join(here, "modules")}
		got := make([][]string, len(all))
		choices := Choices(all, func(i int, b *pipeline.Build) {
			got[i] = aliasesOf(b)
			if err := os.RemoveAll(here); err != nil {
				t.Error(err)
			}
		})
		run := func(ctx context.Context, b *pipeline.Build) error { return choices.Run(ctx, b) }
		if errs := b.run(t, Scan, Dedupe, run); len(errs) > 0 {
			t.Error(errs)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", kernel, d)
		}
		if len(got[0]) == 0 || len(got[len(got)-1]) <= len(got[0]) {
			t.Errorf("%s: %d and %d aliases", kernel, len(got[0]), len(got[len(got)-1]))
		}
	}
}

func aliasesOf(b *pipeline.Build) (all []string) {
	for i := range b.Objects {
		o := &b.Objects[i]
		for _, d := range o.Duplicates {
			all = append(all, fmt.Sprintf("%s %s %q %q", o.Name, o.Symbols[d.Symbol].Name, d.Alias,
				d.Reason))
		}
	}
	return all
}
