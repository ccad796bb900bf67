package kbuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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

// External is modules that are built after their kernel. Their names are held against the registry that the kernel's build
// left, and against each other.
type External struct {
	Registry *registry.Registry // of the kernel; its overlay knows the modules that were registered before
	Modules  []string           // paths of X.o or X.ko
	Sources  []string           // folders that their source files are named from, beside those of the modules
	Emit     bool               // write X.ko.kas beside each X.ko that has aliases
	Debug    KernelDebug
	Options  pipeline.Options
}

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
			i := slices.IndexFunc(candidates, func(path string) bool { _, err := os.Stat(path); return err == nil })
			if i >= 0 {
				named = candidates[i]
			}
		}
		return named
	}
	d.Vmlinux = first(vmlinux, "/usr/lib/debug/boot/vmlinux-"+release, debug+"/vmlinux", build+"/vmlinux")
	d.Modules = first(modules, debug+"/kernel", debug)
	return d
}

// Outcome is what External found.
type Outcome struct {
	Symbols   []registry.Record // of the modules, in the order of their names
	Ambiguous []Ambiguous
	Written   []string // copies
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

// Run gives the modules' symbols their aliases.
func (e *External) Run(ctx context.Context) (*Outcome, error) {
	policy, err := policyOf(&e.Registry.Header)
	if err != nil {
		return nil, err
	}
	var objects []pipeline.Object
	for _, path := range e.Modules {
		objects = append(objects, pipeline.Object{Name: strings.TrimSuffix(filepath.Base(path), ".kas"), Path: path})
	}
	slices.SortFunc(objects, func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
	for i := range objects {
		if i > 0 && registry.ModuleName(objects[i].Name) == registry.ModuleName(objects[i-1].Name) {
			return nil, fmt.Errorf("%s and %s are both module %s", objects[i-1].Path, objects[i].Path, registry.ModuleName(objects[i].Name))
		}
	}
	known := newKernelNames(e.Registry, e.Modules, &policy)
	plan := []pipeline.Stage{
		{Name: "scan", Run: func(ctx context.Context, b *pipeline.Build) error {
			b.Objects = objects
			b.Taken = known.taken
			b.Bears = func(_ *pipeline.Object, d *pipeline.Duplicate) bool { return known.needed(b, d) }
			for _, m := range e.Modules {
				b.Roots = append(b.Roots, absolute(filepath.Dir(m)))
			}
			b.Roots = append(b.Roots, e.Sources...)
			if err := stages.Read(ctx, b); err != nil {
				return err
			}
			return sameKernel(b, &e.Registry.Header)
		}},
		{Name: "dedupe", Run: stages.Dedupe}, {Name: "normalize", Run: stages.Normalize}, {Name: "resolve", Run: stages.Resolve},
	}
	if e.Emit {
		plan = append(plan, pipeline.Stage{Name: "emit", Run: stages.EmitModules})
	}
	outcome := &Outcome{}
	plan = append(plan, pipeline.Stage{Name: "stats", Run: func(ctx context.Context, b *pipeline.Build) error {
		outcome.Symbols = stages.Records(b)
		for i := range b.Objects {
			if b.Objects[i].Emitted > 0 {
				outcome.Written = append(outcome.Written, b.Objects[i].Path+".kas")
			}
		}
		var err error
		outcome.Ambiguous, err = known.ambiguous(ctx, b, e.Debug)
		return err
	}})
	policy.Name, policy.Emit = "module", beside
	policy.Arch = e.Registry.Arch
	out := filepath.Join(filepath.Dir(e.Modules[0]), ".kas") // nothing is written there
	r, err := pipeline.Run(ctx, &configs.Plan{Out: out, OnError: "continue", Builds: []configs.Build{policy}}, plan, e.Options)
	if err != nil {
		return nil, err
	}
	return outcome, failures(r)
}

// failures are all errors of a run as one.
func failures(r *pipeline.Result) error {
	var all []error
	for _, e := range r.Errors {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// policyOf is what a registry says of how its aliases are made: those of later modules are made likewise.
func policyOf(h *registry.Header) (configs.Build, error) {
	b, err := configs.Policy("")
	if err != nil {
		return b, err
	}
	for _, word := range strings.Fields(h.Policy) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "separator":
			b.Alias.Separator = value
		case "line":
			b.Alias.Line = value
		case "symbols":
			b.Alias.Symbols = value
		case "names":
			switch value {
			case "duplicates":
			case "all":
				b.Alias.Names.All = true
			default:
				b.Alias.Names.Globs = strings.Split(value, ",")
			}
		default:
			return b, fmt.Errorf("the registry's policy says %q, which this kas does not know", word)
		}
	}
	return b, nil
}

// sameKernel refuses modules that were built for another kernel.
func sameKernel(b *pipeline.Build, h *registry.Header) error {
	for i := range b.Objects {
		if o := &b.Objects[i]; o.Release != "" && h.Release != "" && o.Release != h.Release {
			return fmt.Errorf("%s is built for %s, the registry is of %s", o.Path, o.Release, h.Release)
		}
	}
	return nil
}

// kernelNames is what a registry knows of names, but for the modules that are looked at.
type kernelNames struct {
	*registry.Registry
	own     map[string]bool // names of these modules
	wanted  func(base string) bool
	carried map[string]bool // by base name
}

// newKernelNames prepares the policy, too: places and aliases are found of all functions of the modules, so that they are
// known when another module makes one of them ambiguous; those are borne that are needed now.
func newKernelNames(r *registry.Registry, modules []string, policy *configs.Build) *kernelNames {
	k := &kernelNames{Registry: r, own: map[string]bool{}, wanted: stages.Wanted(policy.Alias.Names), carried: map[string]bool{}}
	policy.Alias.Names = configs.Names{All: true}
	for _, m := range modules {
		k.own[registry.ModuleName(m)] = true
	}
	return k
}

// others are the symbols of a base name that are not of these modules.
func (k *kernelNames) others(base string) []registry.Record {
	return slices.DeleteFunc(k.Based(base), func(r registry.Record) bool { return k.own[r.Module()] })
}

// needed says whether a symbol of the modules is not alone with its base name, or gets an alias in any case; where the
// build holds the kernel itself, all that have one need it.
func (k *kernelNames) needed(b *pipeline.Build, d *pipeline.Duplicate) bool {
	if k == nil {
		return true
	}
	group := &b.Groups[d.Group]
	if len(group.Members) > 1 || k.wanted(group.Base) {
		return true
	}
	carried, asked := k.carried[group.Base]
	if !asked {
		carried = len(k.others(group.Base)) > 0
		k.carried[group.Base] = carried
	}
	return carried
}

// taken says whether a name is that of a symbol or an alias that is not of these modules.
func (k *kernelNames) taken(name string) bool {
	ofOthers := func(r registry.Record) bool { return !k.own[r.Module()] }
	if slices.ContainsFunc(k.Named(name), ofOthers) {
		return true
	}
	base, _, ok := strings.Cut(name, k.Separator())
	return ok && slices.ContainsFunc(k.Based(base), func(r registry.Record) bool { return r.Alias == name && ofOthers(r) })
}

// ambiguous finds the symbols that were alone with their names until the modules came, and their aliases: those that the
// registry knows, or that the kernel's debugging information tells.
func (k *kernelNames) ambiguous(ctx context.Context, b *pipeline.Build, debug KernelDebug) ([]Ambiguous, error) {
	bases := map[string]bool{}
	for i := range b.Objects {
		for j := range b.Objects[i].Duplicates {
			if d := &b.Objects[i].Duplicates[j]; d.Alias != "" || d.Has != "" {
				bases[b.Groups[d.Group].Base] = true
			}
		}
	}
	var all []Ambiguous
	for base := range bases {
		if others := k.others(base); len(others) == 1 && others[0].Code() {
			all = append(all, Ambiguous{Record: others[0]})
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
			if why, err = k.resolveLate(ctx, b.Config.Alias, object, path, list); err != nil {
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

// resolveLate finds the aliases that symbols of one object would have got, had they not been alone with their names. why
// says what is wrong with the file; the error is that of ctx.
func (k *kernelNames) resolveLate(ctx context.Context, policy configs.Alias, object, file string, list []*Ambiguous) (why string, err error) {
	policy.Names = configs.Names{}
	escape := strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`)
	for _, a := range list {
		policy.Names.Globs = append(policy.Names.Globs, escape.Replace(a.BaseName()))
	}
	build := configs.Build{Name: "kernel", Alias: policy, Arch: k.Arch, Toolchain: k.Toolchain, LTO: k.LTO}
	plan := []pipeline.Stage{
		{Name: "scan", Run: func(ctx context.Context, b *pipeline.Build) error {
			b.Objects = []pipeline.Object{{Name: object, Path: file, Vmlinux: object == registry.Vmlinux}}
			b.Taken = k.takenAsAlias
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
	r, err := pipeline.Run(ctx, &configs.Plan{OnError: "continue", Builds: []configs.Build{build}}, plan, pipeline.Options{})
	if err != nil {
		return "", err
	}
	if err := failures(r); err != nil {
		return err.Error(), nil
	}
	return fmt.Sprintf("%s does not have it, or not its place", file), nil
}

// takenAsAlias is taken for symbols of the kernel itself, whose own names the registry has.
func (k *kernelNames) takenAsAlias(name string) bool {
	return strings.Contains(name, k.Separator()) && k.taken(name)
}

// takePlace takes the place that r has in the source, and the alias of it.
func (a *Ambiguous) takePlace(r registry.Record) {
	if r.Alias == "" {
		return
	}
	a.Base, a.Alias, a.File, a.Line, a.Unit, a.Source = r.Base, r.Alias, r.File, r.Line, r.Unit, r.Source
	a.MakeLate()
}

// UpdateOverlay writes the overlay of a registry anew: with these modules in place of what it said of modules of their
// names, and with the late aliases of what they made ambiguous.
func UpdateOverlay(path string, r *registry.Registry, outcome *Outcome) error {
	own, bases := map[string]bool{}, map[string]bool{}
	all := slices.Clone(outcome.Symbols)
	for i := range outcome.Symbols {
		own[outcome.Symbols[i].Module()] = true
	}
	late := map[string]bool{}
	for _, a := range outcome.Ambiguous {
		if a.Alias != "" {
			all = append(all, a.Record)
			late[a.Object+"\t"+a.Name] = true
		}
	}
	if r.Overlay != nil {
		for old := range r.Overlay.Prefixed("") {
			if !own[old.Module()] && !late[old.Object+"\t"+old.Name] {
				all = append(all, old)
			}
		}
	}
	// A symbol of the registry is told of here as long as a module shares its name.
	for i := range all {
		if !r.Has(&all[i]) {
			bases[all[i].BaseName()] = true
		}
	}
	all = slices.DeleteFunc(all, func(x registry.Record) bool { return r.Has(&x) && !bases[x.BaseName()] })
	_, err := pipeline.WriteFile(path, func(w io.Writer) error { return registry.WriteOverlay(w, r.File, all) })
	return err
}

// registryFiles are the registry of the kernel that modules out of the tree are built for, and the overlay with those that
// were registered before: KAS_REGISTRY and KAS_OVERLAY. By default it is what ships beside Module.symvers; a folder in
// which the kernel itself was built needs none.
func (h *Hook) registryFiles(t tree) []string {
	if t.ext == "" {
		return nil
	}
	files := filepath.SplitList(h.Getenv("KAS_REGISTRY"))
	if len(files) == 0 && t.vmlinuxObject() == "" {
		for _, name := range []string{"symbols.kas", "symbols.kas.zst"} {
			if file := filepath.Join(t.dir, name); len(files) == 0 && exists(file) {
				files = append(files, file)
			}
		}
	}
	if overlay := h.Getenv("KAS_OVERLAY"); len(files) > 0 && overlay != "" && exists(overlay) {
		files = append(files, overlay)
	}
	return files
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// kernelNames opens the registry of the kernel, nil if the build folder tells itself, and takes its policy.
func (h *Hook) kernelNames(t tree, policy *configs.Build) (*kernelNames, error) {
	files := h.registryFiles(t)
	if len(files) == 0 {
		return nil, nil
	}
	all, err := registry.OpenAll(files)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		registry.CloseAll(all)
		return nil, fmt.Errorf("%s: %d registries: a module belongs to one kernel", strings.Join(files, ", "), len(all))
	}
	r := all[0]
	if err := h.fits(t, r, policy); err != nil {
		r.Close()
		return nil, err
	}
	policy.Arch = r.Arch
	modules, err := t.modules(t.ext)
	if err != nil {
		r.Close()
		return nil, err
	}
	return newKernelNames(r, modules, policy), nil
}

// fits refuses a registry of another kernel than the folder's, and takes its policy if there is no other.
func (h *Hook) fits(t tree, r *registry.Registry, policy *configs.Build) error {
	if here := t.release(); here != "" && r.Release != "" && here != r.Release {
		return fmt.Errorf("%s is of %s, and %s is for modules of %s", r.Path, r.Release, absolute(t.dir), here)
	}
	its, err := policyOf(&r.Header)
	if err != nil {
		return err
	}
	if h.Getenv("KAS_CONFIG") == "" {
		policy.Alias = its.Alias
	} else if ours := stages.Policy(&policy.Alias); ours != stages.Policy(&its.Alias) {
		return fmt.Errorf("%s was made by the policy %s, and KAS_CONFIG says %s", r.Path, r.Policy, ours)
	}
	return nil
}

// release is that of the kernel whose modules are built here, as their vermagic will have it; "" if nothing says it.
// include/config/kernel.release may be another: Debian's is not that of its kernel.
func (t tree) release() string {
	text, err := os.ReadFile(filepath.Join(t.dir, "include/generated/utsrelease.h"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), `UTS_RELEASE "`)
	release, _, _ := strings.Cut(rest, `"`)
	return release
}

// tellAmbiguous says which symbols were alone with their names until the modules out of the tree came.
func tellAmbiguous(ctx context.Context, b *pipeline.Build, names *kernelNames) error {
	var all []Ambiguous
	var err error
	if names != nil {
		all, err = names.ambiguous(ctx, b, FindDebug(names.Release, "", ""))
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
			if r.Code() {
				all = append(all, Ambiguous{r, d.Reason})
			}
		}
	}
	return all
}
