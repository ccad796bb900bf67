package kbuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// KernelDebug is where the kernel's own debugging information lies; "" where it is not known.
type KernelDebug struct {
	Vmlinux string
	Modules string // folder that the registry names modules from
}

// FindDebug returns where the debugging information of a kernel lies: the files that were named, else those that
// distributions' debug packages install or that a build folder holds.
func FindDebug(release, vmlinux, modules string) KernelDebug {
	d := KernelDebug{vmlinux, modules}
	if release == "" {
		return d
	}
	debug, build := "/usr/lib/debug/lib/modules/"+release, "/lib/modules/"+release+"/build"
	first := func(named string, candidates ...string) string {
		if named == "" {
			if i := slices.IndexFunc(candidates, exists); i >= 0 {
				named = candidates[i]
			}
		}
		return named
	}
	d.Vmlinux = first(vmlinux, "/usr/lib/debug/boot/vmlinux-"+release, debug+"/vmlinux", build+"/vmlinux")
	d.Modules = first(modules, debug+"/kernel", debug)
	return d
}

// Ambiguous is a symbol that was alone with its name until now.
type Ambiguous struct {
	registry.Record        // with its late alias
	Why             string // it has none
}

func (a *Ambiguous) String() string {
	if a.Alias == "" {
		return fmt.Sprintf("%s of %s was unique; now it is not, and it has no alias: %s", a.Name, a.Object, a.Why)
	}
	return fmt.Sprintf("%s of %s was unique; it is now also %s", a.Name, a.Object, a.Alias)
}

// ambiguous finds the symbols that were alone with their names until the modules came, and their aliases: those that the
// registry knows, or that the kernel's debugging information tells.
func (k *kernelNames) ambiguous(ctx context.Context, b *pipeline.Build, debug KernelDebug) ([]Ambiguous, error) {
	bases, given := map[string]bool{}, map[string]bool{}
	for i := range b.Objects {
		for j := range b.Objects[i].Duplicates {
			d := &b.Objects[i].Duplicates[j]
			if alias := cmp.Or(d.Alias, d.Has); alias != "" {
				bases[b.Groups[d.Group].Base], given[alias] = true, true
			}
		}
	}
	// A module may be of a file that the kernel has, too.
	taken := func(name string) bool { return given[name] || strings.Contains(name, k.Separator()) && k.taken(name) }
	var all []Ambiguous
	for base := range bases {
		alone := len(k.Based(base)) == 1 // until now
		others := k.others(base)
		shipped := 0 // in the registry itself
		for i := range others {
			if k.Has(&others[i]) {
				shipped++
			}
		}
		for _, o := range others {
			if o.Alias == base {
				o.Alias = "" // it was given back what link-time optimization took, and is not alone with that any more
			}
			missed := o.Alias == "" && shipped == 1 && k.Has(&o) // when an earlier module came
			if (alone || missed) && aliased(b.Config.Alias.Symbols, &o) {
				all = append(all, Ambiguous{Record: o})
			}
		}
	}
	slices.SortFunc(all, func(x, y Ambiguous) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Object, y.Object))
	})
	byObject := map[string][]*Ambiguous{}
	for i := range all {
		if a := &all[i]; a.Alias == "" {
			byObject[a.Object] = append(byObject[a.Object], a)
		}
	}
	for object, list := range byObject {
		path, why := k.debugFile(object, debug)
		if why == "" {
			var err error
			if why, err = k.resolveLate(ctx, b.Config.Alias, object, path, list, taken); err != nil {
				return nil, err
			}
		}
		for _, a := range list {
			if a.Alias == "" {
				a.Why = cmp.Or(a.Why, why)
			}
		}
	}
	return all, nil
}

// aliased says whether a symbol is of those that get aliases.
func aliased(symbols string, r *registry.Record) bool {
	return symbols == "all" || r.Code() == (symbols == "text")
}

// debugFile is the file of an object of the kernel, or why there is none.
func (k *kernelNames) debugFile(object string, debug KernelDebug) (file, why string) {
	var candidates []string
	switch {
	case object == registry.Vmlinux && debug.Vmlinux != "":
		candidates = []string{debug.Vmlinux}
	case object != registry.Vmlinux && debug.Modules != "":
		path := filepath.Join(debug.Modules, configs.Uncompressed(object))
		candidates = []string{path, path + ".xz", path + ".zst", path + ".gz"}
	default:
		return "", "the kernel's debugging information is not at hand"
	}
	for _, c := range candidates {
		if _, err := os.Stat(c); err == nil {
			return c, ""
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err.Error()
		}
	}
	return "", fmt.Sprintf("%s is not there", candidates[0])
}

// resolveLate finds the aliases that symbols of one object would have got, had they not been alone with their names; none
// is taken. why says what is wrong with the file; the error is that of ctx.
func (k *kernelNames) resolveLate(ctx context.Context, policy configs.Alias, object, file string, list []*Ambiguous, taken func(string) bool) (why string, err error) {
	policy.Names, policy.SuffixFree = configs.Names{}, false
	escape := strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`)
	for _, a := range list {
		policy.Names.Globs = append(policy.Names.Globs, escape.Replace(a.BaseName()))
	}
	build := configs.Build{Name: "kernel", Alias: policy, Arch: k.Arch, Toolchain: k.Toolchain, LTO: k.LTO}
	plan := []pipeline.Stage{
		{Name: "scan", Run: func(ctx context.Context, b *pipeline.Build) error {
			b.Objects = []pipeline.Object{{Name: object, Path: file, Vmlinux: object == registry.Vmlinux}}
			b.Taken = taken
			if err := stages.Read(ctx, b); err != nil {
				return err
			}
			if b.BuildID != "" && k.BuildID != "" && b.BuildID != k.BuildID {
				return fmt.Errorf("%s has build ID %s, the registry's kernel %s", file, b.BuildID, k.BuildID)
			}
			return nil
		}},
		{Name: "dedupe", Run: stages.Dedupe}, {Name: "normalize", Run: stages.Normalize}, {Name: "resolve", Run: stages.Resolve},
		{Name: "stats", Run: func(_ context.Context, b *pipeline.Build) error {
			for _, r := range stages.Records(b) {
				for _, a := range list {
					if r.Name == a.Name && r.Section == a.Section && r.Address == a.Address && r.Size == a.Size {
						a.takePlace(r)
					}
				}
			}
			return nil
		}},
	}
	for _, s := range plan {
		build.Stages = append(build.Stages, s.Name)
	}
	r, err := pipeline.Run(ctx, &configs.Plan{OnError: "continue", Builds: []configs.Build{build}}, plan, pipeline.Options{Jobs: 1})
	if err != nil {
		return "", err
	}
	if err := failures(r); err != nil {
		return err.Error(), nil
	}
	return fmt.Sprintf("%s does not have it, or not its place", file), nil
}

// takePlace takes the place that r has in the source, and the alias of it.
func (a *Ambiguous) takePlace(r registry.Record) {
	if r.Alias == "" {
		return
	}
	a.Base, a.Alias, a.File, a.Line, a.Unit, a.Method = r.Base, r.Alias, r.File, r.Line, r.Unit, r.Method
	a.MakeLate()
}

// tellAmbiguous says which symbols were alone with their names until the modules out of the tree came.
func tellAmbiguous(ctx context.Context, t tree, b *pipeline.Build, names *kernelNames) error {
	var all []Ambiguous
	var err error
	if names != nil {
		vmlinux := ""
		if here := filepath.Join(t.dir, "vmlinux"); exists(here) {
			vmlinux = here
		}
		all, err = names.ambiguous(ctx, b, FindDebug(names.Release, vmlinux, ""))
	} else {
		all = ambiguousHere(b)
	}
	for i := range all {
		fmt.Fprintf(os.Stderr, "kas: %s\n", &all[i])
	}
	return err
}

// ambiguousHere is ambiguous for a build that holds the kernel, too.
func ambiguousHere(b *pipeline.Build) []Ambiguous {
	var all []Ambiguous
	for g := range b.Groups {
		var others []pipeline.Ref
		named := false
		for _, m := range b.Groups[g].Members {
			o, s := b.Ref(m)
			if o.Vmlinux || !b.Own(o) {
				others = append(others, m)
			} else {
				named = named || o.Duplicates[s.Duplicate-1].Alias != ""
			}
		}
		if len(others) == 1 && named {
			o, s := b.Ref(others[0])
			d := &o.Duplicates[s.Duplicate-1]
			r := registry.Record{Name: s.Name, Object: o.Name, Type: s.Letter, Alias: cmp.Or(d.Alias, d.Has)}
			if aliased(b.Config.Alias.Symbols, &r) {
				all = append(all, Ambiguous{r, d.Reason})
			}
		}
	}
	return all
}
