package stages

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"kas/configs"
	"kas/pipeline"
)

// object makes an object in memory; each symbol is "name section address".
func object(name string, symbols ...string) pipeline.Object {
	o := pipeline.Object{
		Name: name, Vmlinux: name == "vmlinux",
		Sections: []pipeline.Section{
			{}, {Name: ".text"}, {Name: ".data"},
			{Name: ".init.text", Discarded: name != "vmlinux"},
		},
	}
	for _, s := range symbols {
		var sym pipeline.Symbol
		if _, err := fmt.Sscanf(s, "%s %d %x", &sym.Name, &sym.Section, &sym.Value); err != nil {
			panic(err)
		}
		sym.ID, sym.Size, sym.Letter = 1, 1, 't'
		if sym.Code = sym.Section != 2; !sym.Code {
			sym.Letter = 'd'
		}
		o.Symbols = append(o.Symbols, sym)
	}
	return o
}

// memory is a build whose objects are in memory.
type memory struct {
	configs.Build
	objects                 []pipeline.Object
	toolchain, lto, release string
	scope                   pipeline.Scope

	dir   string // output folder; "" for a temporary one
	cache string // for the state of the run, "" for none
}

func build(objects ...pipeline.Object) *memory {
	alias := configs.Alias{Separator: "@", Line: "opening", Symbols: "text"}
	return &memory{
		Build: configs.Build{Name: "b", Alias: alias}, objects: objects,
		toolchain: "gcc", lto: "none",
	}
}

// step is a part of a run.
type step func(context.Context, *pipeline.Build) error

// run runs the steps on a copy of the build and returns the errors, without the names of the steps.
func (m *memory) run(t *testing.T, steps ...step) []string {
	t.Helper()
	dir := m.dir
	if dir == "" {
		dir = t.TempDir()
	}
	task := pipeline.Task{Config: m.Build, Dir: dir, Scope: m.scope, Complete: true}
	list := func(_ context.Context, b *pipeline.Build) error {
		b.Objects, b.Toolchain, b.LTO = slices.Clone(m.objects), m.toolchain, m.lto
		for i := range b.Objects {
			b.Objects[i].Symbols = slices.Clone(b.Objects[i].Symbols)
		}
		b.Release = m.release
		return nil
	}
	for i, f := range append([]step{list}, steps...) {
		task.Stages = append(task.Stages, pipeline.Stage{Name: fmt.Sprint("step ", i), Run: f})
	}
	options := pipeline.Options{Jobs: 2, Cache: m.cache, All: true}
	r, err := pipeline.Run(t.Context(), []pipeline.Task{task}, options)
	if err != nil {
		t.Fatal(err)
	}
	var errs []string
	for _, e := range r.Errors {
		text := e.Err.Error()
		if e.Object != "" {
			text = e.Object + ": " + text
		}
		errs = append(errs, text)
	}
	return errs
}

// see is a step that looks at the build.
func see(f func(*pipeline.Build)) step {
	return func(_ context.Context, b *pipeline.Build) error { f(b); return nil }
}

// duplicates runs the stages that find the duplicates, and then f.
func (m *memory) duplicates(t *testing.T, f func(*pipeline.Build)) {
	t.Helper()
	if errs := m.run(t, Dedupe, Normalize, choose, see(f)); len(errs) > 0 {
		t.Fatal(errs)
	}
}

// groups returns the number of symbols of each base name.
func (m *memory) groups(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	m.duplicates(t, func(b *pipeline.Build) {
		for _, g := range b.Groups {
			found[g.Base] = len(g.Members)
		}
	})
	return found
}

// located is a function that returns the location of a symbol.
type located func(object string, s *pipeline.Symbol) pipeline.Location

// locateAt is a step that gives each chosen duplicate a location.
func locateAt(at located) step {
	return see(func(b *pipeline.Build) {
		for i := range b.Objects {
			o := &b.Objects[i]
			for _, d := range chosen(o) {
				d.Location = at(o.Name, &o.Symbols[d.Symbol])
			}
		}
	})
}

// aliases gives each chosen duplicate a location. It returns the aliases, or the reasons after "-:
// ", by "object symbol address".
func (m *memory) aliases(t *testing.T, at located) map[string]string {
	t.Helper()
	found := map[string]string{}
	collect := see(func(b *pipeline.Build) {
		for i := range b.Objects {
			o := &b.Objects[i]
			for _, d := range o.Duplicates {
				s := o.Symbols[d.Symbol]
				text := d.Alias
				if text == "" {
					text = "-: " + d.Reason
				}
				found[fmt.Sprintf("%s %s %x", o.Name, s.Name, s.Value)] = text
			}
		}
	})
	prove := func(_ context.Context, b *pipeline.Build) error { return prove(b) }
	errs := m.run(t, Dedupe, Normalize, choose, locateAt(at), nameAll, collect, prove)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return found
}

// atLine is a location of x.c on the line of the symbol's address.
func atLine(_ string, s *pipeline.Symbol) pipeline.Location {
	return pipeline.Location{File: "x.c", Unit: "x.c", Line: int64(s.Value)}
}

// A second run finds the names that the first gave back.
