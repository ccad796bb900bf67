package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"kas/configs"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// Resolve finds where the source declares each duplicate that is to get an alias. It opens only the objects that own
// one, in parallel, and reads only the units that hold one; then, alone, it finds the source roots, spells the aliases
// and proves them unique.
func Resolve(ctx context.Context, b *pipeline.Build) error {
	if err := choose(ctx, b); err != nil {
		return err
	}
	needed := b.Every(func(o *pipeline.Object) bool {
		return !o.NoDebug && wants(o)
	})
	found := make(map[*pipeline.Object]*located, len(needed))
	for _, o := range needed {
		found[o] = &located{}
	}
	if err := b.Each(ctx, needed, func(o *pipeline.Object) error { return locate(ctx, b, o, found[o]) }); err != nil {
		return err
	}
	all := newEvidence()
	for _, o := range needed {
		all.merge(&found[o].Evidence)
	}
	source := findRoots(b.Config.Source, b.Roots, all)
	for _, o := range needed {
		for i, l := range found[o].Locations {
			settle(&o.Duplicates[found[o].duplicates[i]], l, source, b.Config.Alias.Line)
		}
	}
	for i := range b.Objects {
		for j := range b.Objects[i].Duplicates {
			d := &b.Objects[i].Duplicates[j]
			if d.Reason == "" && b.Objects[i].NoDebug {
				d.Location = fileSymbol(&b.Objects[i], d)
			}
			if d.Reason == "" && d.Location.File == "" && !d.Plain {
				d.Reason = unlocated(&b.Objects[i])
			}
		}
	}
	if err := nameAll(ctx, b); err != nil {
		return err
	}
	return prove(b)
}

// fileSymbol is what an object without debugging information says of a local symbol: the name of its source file. Its
// folder is known only for a module of one source file, which kbuild names after it and lays beside it.
func fileSymbol(o *pipeline.Object, d *pipeline.Duplicate) pipeline.Location {
	file := o.Files[o.Symbols[d.Symbol].File]
	switch path.Ext(file) {
	case ".c", ".S", ".s", ".rs":
	default: // none, or an object of link-time optimization (ld-temp.o)
		return pipeline.Location{}
	}
	file = path.Base(file)
	if module := strings.TrimPrefix(configs.Uncompressed(o.Name), "kernel/"); !o.Vmlinux && stem(module) == stem(file) && ofOneFile(o) {
		file = path.Join(path.Dir(module), file)
	}
	return pipeline.Location{File: file, Unit: file, Source: "file symbol"}
}

func stem(file string) string { return strings.TrimSuffix(path.Base(file), path.Ext(file)) }

// ofOneFile says whether a module was made of one source file, but for what modpost adds.
func ofOneFile(o *pipeline.Object) bool {
	n := 0
	for _, file := range o.Files[1:] {
		if base := path.Base(file); !strings.HasSuffix(base, ".mod.c") && !strings.HasSuffix(base, "module-common.c") {
			n++
		}
	}
	return n == 1
}

func unlocated(o *pipeline.Object) string {
	switch {
	case o.NoDebug:
		return "no debugging information"
	case o.Failed():
		return "object could not be read"
	}
	return "not in the debugging information"
}

func wants(o *pipeline.Object) bool {
	for i := range o.Duplicates {
		if o.Duplicates[i].Reason == "" {
			return true
		}
	}
	return false
}

// choose writes the reason into each duplicate that the configuration or its nature keeps from getting an alias.
func choose(ctx context.Context, b *pipeline.Build) error {
	filter, err := neverFilter(b.Config.Alias.Never)
	if err != nil {
		return err
	}
	return b.Split(ctx, len(b.Groups), func(_, from, to int) {
		for g := from; g < to; g++ {
			var name, never string // of one group most names are the same
			for _, r := range b.Groups[g].Members {
				o, s := b.Ref(r)
				if s.Name != name {
					name, never = s.Name, filter(s.Name)
				}
				d := &o.Duplicates[s.Duplicate-1]
				section := &o.Sections[s.Section]
				switch {
				case d.Reason != "":
				case never != "":
					d.Reason = never
				case strings.Contains(s.Name, b.Config.Alias.Separator):
					d.Reason = "an alias itself"
				case section.Discarded:
					d.Reason = "in a section that is gone after load"
				default:
					d.Reason = excluded(b.Config.Alias, section.Code)
				}
			}
		}
	})
}

func excluded(a configs.Alias, code bool) string {
	switch {
	case code && a.Symbols == "data":
		return "not data"
	case !code && a.Symbols == "text":
		return "not text"
	}
	return ""
}

// located is what resolve reads of one object.
type located struct {
	duplicates []int // indices into the object's Duplicates
	Locations  []dwarf.Location
	Evidence   evidence
}

// locate finds the declarations of one object's duplicates: in its debugging information, or in what the last run noted
// if that asked for the same ones.
func locate(ctx context.Context, b *pipeline.Build, o *pipeline.Object, l *located) error {
	var key []byte
	for i := range o.Duplicates {
		if o.Duplicates[i].Reason == "" {
			l.duplicates = append(l.duplicates, i)
			key = fmt.Appendf(key, "%d ", o.Symbols[o.Duplicates[i].Symbol].ID)
		}
	}
	fresh := false
	note, err := b.Note(o, pipeline.Digest(string(key)), func() ([]byte, error) {
		fresh = true
		if err := readDeclarations(ctx, o, l); err != nil {
			return nil, err
		}
		note, err := json.Marshal(l)
		if bytes.Contains(note, []byte(`\ufffd`)) {
			return nil, nil // a path that is no UTF-8: JSON would lose it
		}
		return note, err
	})
	if err != nil || fresh {
		return err
	}
	if err := json.Unmarshal(note, l); err != nil || len(l.Locations) != 0 && len(l.Locations) != len(l.duplicates) {
		return readDeclarations(ctx, o, l)
	}
	return nil
}

// readDeclarations reads the debugging information of one object.
func readDeclarations(ctx context.Context, o *pipeline.Object, l *located) error {
	l.Locations, l.Evidence = nil, *newEvidence()
	f, err := o.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	d, err := dwarf.New(f)
	if err != nil || d == nil {
		return err
	}
	for _, u := range d.Units() {
		l.Evidence.add(u.Name(), u.CompDir())
	}
	targets := make([]dwarf.Target, 0, len(l.duplicates))
	for _, i := range l.duplicates {
		s := &o.Symbols[o.Duplicates[i].Symbol]
		// A damaged size must not reach into the next section.
		section := &f.Sections[s.Section]
		targets = append(targets, dwarf.Target{
			Name: s.Name, Address: f.Address(s.Section, s.Value), Size: min(s.Size, section.Size), Data: !o.Sections[s.Section].Code, File: o.Files[s.File],
		})
	}
	locations, err := d.Locate(ctx, targets)
	if err == nil {
		l.Locations = locations
	}
	return err
}

// settle turns what the debugging information says into the location of a duplicate.
func settle(d *pipeline.Duplicate, l dwarf.Location, source roots, line string) {
	if l.Method == dwarf.None || l.File == "" {
		return
	}
	d.Location = pipeline.Location{
		File:   source.relative(l.File, l.CompDir),
		Line:   l.Line,
		Unit:   source.relative(l.Unit, l.CompDir),
		Source: methodNames[l.Method],
	}
	// A tree may say by a #line directive what the unit says anyway: "fs/binfmt_elf.c:compat_binfmt_elf.c" (kas inc).
	if file, unit, ok := strings.Cut(d.Location.File, ":"); ok && path.Base(unit) == path.Base(d.Location.Unit) {
		d.Location.File = file
	}
	if line != "declaration" && l.Opening > 0 {
		d.Location.Line = l.Opening
	}
}

// methodNames is the source column of aliases.tsv.
var methodNames = map[dwarf.Method]string{
	dwarf.Subprogram: "subprogram",
	dwarf.Fragment:   "fragment",
	dwarf.Variable:   "variable",
	dwarf.LineRow:    "line",
	dwarf.ByName:     "name",
	dwarf.ByFile:     "file",
}
