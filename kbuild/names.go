package kbuild

import (
	"errors"
	"fmt"
	"slices"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// kernelNames is what is known of names beyond the objects of a build. There are two cases:
//
//   - buildNames: the build holds the kernel itself, so its objects are all that counts.
//   - registryNames: the build holds only modules, and a registry lists the names of the kernel and
//     of the modules that were registered before.
type kernelNames struct {
	fromRegistry bool // the case; the fields below are set only if it is true

	*registry.Registry
	own    map[string]bool // the build's modules: their former symbols in the registry do not count
	wanted func(base string) bool
	needs  []bool // by group: set by mark
}

// buildNames is for a build that holds the kernel itself.
func buildNames() *kernelNames { return &kernelNames{} }

// registryNames is for a build of modules, given by their paths, of the kernel that r describes. It
// changes the policy: every function of the modules gets its location and alias, so that the
// overlay has them when a later module makes one of them ambiguous. The copies get only those that
// are needed now.
func registryNames(r *registry.Registry, modules []string, policy *configs.Build) *kernelNames {
	k := &kernelNames{
		fromRegistry: true,
		Registry:     r,
		own:          map[string]bool{},
		wanted:       stages.Wanted(policy.Alias.Names),
	}
	policy.Alias.Names = configs.Names{All: true}
	for _, m := range modules {
		k.own[registry.ModuleName(m)] = true
	}
	return k
}

func (k *kernelNames) close() {
	if k.fromRegistry {
		k.Close()
	}
}

// check refuses modules that are built for another kernel than the registry's, and two files of one
// module. It sets the release of the build.
func (k *kernelNames) check(b *pipeline.Build) error {
	if !k.fromRegistry {
		return nil
	}
	if out := b.Stats.LeftOut; len(out) > 0 {
		return errors.New(out[0].String())
	}
	for i := range b.Objects {
		k.own[b.Objects[i].Module] = true
		if o := &b.Objects[i]; o.Release != "" && k.Release != "" && o.Release != k.Release {
			return fmt.Errorf("%s is built for %s, but %s is the registry of %s", o.Path, o.Release,
				k.Path, k.Release)
		}
	}
	b.Release = k.Release // an object X.o has no vermagic
	return nil
}

// mark notes which groups of the build need aliases.
func (k *kernelNames) mark(b *pipeline.Build) {
	if !k.fromRegistry {
		return
	}
	k.needs = make([]bool, len(b.Groups))
	for i := range b.Groups {
		base := b.Groups[i].Base
		k.needs[i] = len(b.Groups[i].Members) > 1 || k.wanted(base) || len(k.others(base)) > 0
	}
}

// needed reports whether the copy of a module gets the alias of d: with a registry, if d shares its
// base name or the policy asks for an alias of every such name. In a build that holds the kernel,
// only such symbols have aliases.
func (k *kernelNames) needed(d *pipeline.Duplicate) bool {
	return !k.fromRegistry || k.needs[d.Group]
}

// others returns the symbols of a base name that are not in the build's modules.
func (k *kernelNames) others(base string) []registry.Record {
	return slices.DeleteFunc(k.Based(base),
		func(r registry.Record) bool { return k.own[r.Module()] })
}

// taken reports whether a symbol or an alias outside the build's modules has this name.
func (k *kernelNames) taken(name string) bool {
	other := func(r registry.Record) bool { return !k.own[r.Module()] }
	return slices.ContainsFunc(k.Named(name), other) || slices.ContainsFunc(k.Aliased(name), other)
}
