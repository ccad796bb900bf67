package stages

import (
	"context"

	"kas/configs"
	"kas/pipeline"
)

// Choices returns a stage that takes the place of normalize and resolve. It does what they do with
// each choice of names and symbols in the place of the configuration's, the last one first, and
// calls count for each. The debugging information of an object is read once: the last choice must
// give an alias to every symbol that another one gives one to.
func Choices(all []configs.Alias, count func(choice int, b *pipeline.Build)) pipeline.Stage {
	run := func(ctx context.Context, b *pipeline.Build) error {
		r := reader{}
		for i := range b.Objects {
			r[&b.Objects[i]] = &reading{}
		}
		for i := len(all) - 1; i >= 0; i-- {
			b.Config.Alias.Names, b.Config.Alias.Symbols = all[i].Names, all[i].Symbols
			forget(b)
			if err := Normalize(ctx, b); err != nil {
				return err
			}
			if err := resolve(ctx, b, r.find); err != nil {
				return err
			}
			count(i, b)
		}
		return nil
	}
	return pipeline.Stage{Name: "resolve", Run: run}
}

// forget removes what normalize and resolve set.
func forget(b *pipeline.Build) {
	b.Groups = nil
	for i := range b.Objects {
		o := &b.Objects[i]
		for _, d := range o.Duplicates {
			o.Symbols[d.Symbol].Duplicate = 0
		}
		o.Duplicates = nil
	}
}

// reader has what was read for the last choice.
type reader map[*pipeline.Object]*reading

// reading is what the debugging information of an object gave. Without an error, at has the index
// of each symbol in its lists.
type reading struct {
	found declarations
	at    map[int32]int
	done  bool
	err   error
}

// find is a findDeclarations. An error is returned once, because it is reported then.
func (r reader) find(
	ctx context.Context, b *pipeline.Build, o *pipeline.Object,
) (declarations, error) {
	read := r[o]
	if read.done {
		return read.of(chosen(o)), nil
	}
	read.done = true
	list := chosen(o)
	read.found, read.err = readDeclarations(ctx, b, o, list)
	read.at = make(map[int32]int, len(list))
	for i, d := range list {
		read.at[d.Symbol] = i
	}
	return read.found, read.err
}

// of returns what was found of some of the duplicates, without what was reported.
func (r *reading) of(list []*pipeline.Duplicate) declarations {
	if r.err != nil {
		return declarations{Evidence: *newEvidence()}
	}
	found := declarations{Evidence: r.found.Evidence, Doubtful: r.found.Doubtful}
	if r.found.Twins != nil {
		found.Twins = &twins{Files: r.found.Twins.Files}
	}
	for _, d := range list {
		i := r.at[d.Symbol]
		if found.Twins != nil {
			found.Twins.File = append(found.Twins.File, r.found.Twins.File[i])
		}
		if r.found.Locations != nil {
			found.Locations = append(found.Locations, r.found.Locations[i])
		}
	}
	return found
}
