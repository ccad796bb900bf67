package kbuild

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// Ambiguous is a symbol whose base name was unique until modules with a symbol of that name came.
// Its alias is usually a late one: its object does not have it, only the overlay of the registry
// does.
type Ambiguous struct {
	registry.Record
	Why string // the reason why it has no alias, "" if it has one
}

func (a *Ambiguous) String() string {
	if a.Alias == "" {
		return fmt.Sprintf("%s of %s was unique; now it is not, and it has no alias: %s", a.Name,
			a.Object, a.Why)
	}
	return fmt.Sprintf("%s of %s was unique; it is now also %s", a.Name, a.Object, a.Alias)
}

// ambiguous returns the symbols outside the build's modules that these made ambiguous, with their
// late aliases. A late alias is that of the registry, or the one that the kernel's debugging
// information gives.
func (k *kernelNames) ambiguous(ctx context.Context, b *pipeline.Build,
	debug KernelDebug) ([]Ambiguous, error) {
	if !k.fromRegistry {
		return ambiguousHere(b), nil
	}
	bases, given := aliasesOf(b)
	all := k.ambiguousOf(bases, b.Config.Alias.Symbols)
	// A module may be made from a source file that the kernel has, too. Then its alias could equal
	// the late alias of the kernel's symbol.
	taken := func(name string) bool {
		return given[name] || strings.Contains(name, k.Separator()) && k.taken(name)
	}
	byObject := map[string][]*Ambiguous{}
	for i := range all {
		if a := &all[i]; a.Alias == "" {
			byObject[a.Object] = append(byObject[a.Object], a)
		}
	}
	for object, list := range byObject {
		file, why := debug.file(object)
		if why == "" {
			var err error
			why, err = k.resolveLate(ctx, b.Config.Alias, object, file, list, taken)
			if err != nil {
				return nil, err
			}
		}
		for _, a := range list {
			if a.Alias == "" {
				a.Why = why
			}
		}
	}
	return all, nil
}

// aliasesOf returns the base names of a build that have aliases, and these aliases.
func aliasesOf(b *pipeline.Build) (bases, aliases map[string]bool) {
	bases, aliases = map[string]bool{}, map[string]bool{}
	for i := range b.Objects {
		for j := range b.Objects[i].Duplicates {
			d := &b.Objects[i].Duplicates[j]
			if alias := cmp.Or(d.Alias, d.Has); alias != "" {
				bases[b.Groups[d.Group].Base], aliases[alias] = true, true
			}
		}
	}
	return bases, aliases
}

// ambiguousOf returns the symbols of these base names that are newly ambiguous, in the order of
// their names and objects. symbols is the policy's choice of symbols that get aliases.
func (k *kernelNames) ambiguousOf(bases map[string]bool, symbols string) []Ambiguous {
	var all []Ambiguous
	for base := range bases {
		unique := len(k.Based(base)) == 1 // before this build
		others := k.others(base)
		shipped := 0 // of them, those in the registry itself
		for i := range others {
			if k.Has(&others[i]) {
				shipped++
			}
		}
		for _, o := range others {
			if o.Alias == base {
				o.Alias = "" // its plain name, which more than one symbol has now
			}
			// An earlier module made it ambiguous, but its late alias was not found.
			missed := o.Alias == "" && shipped == 1 && k.Has(&o)
			if (unique || missed) && getsAlias(symbols, &o) {
				all = append(all, Ambiguous{Record: o})
			}
		}
	}
	slices.SortFunc(all, func(x, y Ambiguous) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Object, y.Object))
	})
	return all
}

// getsAlias reports whether the policy gives aliases to symbols of this type.
func getsAlias(symbols string, r *registry.Record) bool {
	return symbols == "all" || r.Code() == (symbols == "text")
}

// resolveLate finds the late aliases of symbols of one object in its file: those that they would
// have got from the start, except that a taken name is never used. why is the reason if a symbol is
// left without one. The error is that of ctx.
func (k *kernelNames) resolveLate(ctx context.Context, policy configs.Alias, object, file string,
	list []*Ambiguous, taken func(string) bool) (why string, err error) {
	policy.Names, policy.SuffixFree = configs.Names{}, false
	escape := strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`)
	for _, a := range list {
		policy.Names.Globs = append(policy.Names.Globs, escape.Replace(a.BaseName()))
	}
	r, err := spec{
		config: configs.Build{Name: "kernel", Alias: policy, Arch: k.Arch, Toolchain: k.Toolchain,
			LTO: k.LTO},
		options: pipeline.Options{Jobs: 1},
		objects: []pipeline.Object{{Name: object, Path: file, Vmlinux: object == registry.Vmlinux}},
		scope:   pipeline.Scope{Taken: taken},
		check: func(b *pipeline.Build) error {
			if b.BuildID != "" && k.BuildID != "" && b.BuildID != k.BuildID {
				return fmt.Errorf("%s has build ID %s, but %s is the registry of %s", file,
					b.BuildID, k.Path, k.BuildID)
			}
			return nil
		},
		collect: func(_ context.Context, b *pipeline.Build) error {
			for _, r := range stages.Records(b) {
				for _, a := range list {
					if a.isSymbol(&r) {
						a.takeAlias(r)
					}
				}
			}
			return nil
		},
	}.run(ctx)
	if err != nil {
		return "", err
	}
	if err := allProblems(r); err != nil {
		return err.Error(), nil
	}
	return fmt.Sprintf("%s does not have it, or not its location", file), nil
}

// isSymbol reports whether r is the same symbol of the same object.
func (a *Ambiguous) isSymbol(r *registry.Record) bool {
	return r.Name == a.Name && r.Section == a.Section && r.Address == a.Address && r.Size == a.Size
}

// takeAlias makes the alias of r, which is the same symbol, the late alias of a, with its location.
func (a *Ambiguous) takeAlias(r registry.Record) {
	if r.Alias == "" {
		return
	}
	a.Base, a.Alias = r.Base, r.Alias
	a.File, a.Line, a.Unit, a.Method = r.File, r.Line, r.Unit, r.Method
	a.MakeLate()
}

// ambiguousHere is ambiguous for a build that holds the kernel itself. The kernel's symbols are
// those of vmlinux and of the modules that make does not build here.
func ambiguousHere(b *pipeline.Build) []Ambiguous {
	var all []Ambiguous
	for g := range b.Groups {
		var others []pipeline.Ref
		named := false
		for _, m := range b.Groups[g].Members {
			o, s := b.Ref(m)
			if o.Vmlinux || !b.Scope.Owns(o) {
				others = append(others, m)
			} else {
				named = named || o.Duplicates[s.Duplicate-1].Alias != ""
			}
		}
		if len(others) == 1 && named {
			o, s := b.Ref(others[0])
			d := &o.Duplicates[s.Duplicate-1]
			r := registry.Record{Name: s.Name, Object: o.Name, Type: s.Letter,
				Alias: cmp.Or(d.Alias, d.Has)}
			r.SetCode(s.Code)
			if getsAlias(b.Config.Alias.Symbols, &r) {
				all = append(all, Ambiguous{r, d.Reason})
			}
		}
	}
	return all
}
