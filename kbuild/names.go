package kbuild

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// kernelNames is what a registry knows of names, but for the modules that are looked at.
type kernelNames struct {
	*registry.Registry
	own    map[string]bool // names of these modules
	wanted func(base string) bool
	needs  []bool // by group
}

// newKernelNames prepares the policy, too: places and aliases are found of all functions of the modules, so that they are
// known when another module makes one of them ambiguous; those are borne that are needed now.
func newKernelNames(r *registry.Registry, modules []string, policy *configs.Build) *kernelNames {
	k := &kernelNames{Registry: r, own: map[string]bool{}, wanted: stages.Wanted(policy.Alias.Names)}
	policy.Alias.Names = configs.Names{All: true}
	for _, m := range modules {
		k.own[registry.ModuleName(m)] = true
	}
	return k
}

// read reads the objects of a build; modules must be for this kernel.
func (k *kernelNames) read(ctx context.Context, b *pipeline.Build) error {
	if err := stages.Read(ctx, b); err != nil || k == nil {
		return err
	}
	for i := range b.Objects {
		if o := &b.Objects[i]; o.Release != "" && k.Release != "" && o.Release != k.Release {
			return fmt.Errorf("%s is built for %s, and %s is of %s", o.Path, o.Release, k.Path, k.Release)
		}
	}
	b.Release = k.Release // before it is linked a module does not tell its own
	return nil
}

// others are the symbols of a base name that are not of these modules.
func (k *kernelNames) others(base string) []registry.Record {
	return slices.DeleteFunc(k.Based(base), func(r registry.Record) bool { return k.own[r.Module()] })
}

// normalize marks the base names that need aliases, beside what the stage does.
func (k *kernelNames) normalize(ctx context.Context, b *pipeline.Build) error {
	if err := stages.Normalize(ctx, b); err != nil || k == nil {
		return err
	}
	k.needs = make([]bool, len(b.Groups))
	for i := range b.Groups {
		base := b.Groups[i].Base
		k.needs[i] = len(b.Groups[i].Members) > 1 || k.wanted(base) || len(k.others(base)) > 0
	}
	return nil
}

// needed says whether a symbol of the modules is not alone with its base name, or gets an alias in any case; where the
// build holds the kernel itself, all that have one need it.
func (k *kernelNames) needed(d *pipeline.Duplicate) bool { return k == nil || k.needs[d.Group] }

// taken says whether a name is that of a symbol or an alias that is not of these modules.
func (k *kernelNames) taken(name string) bool {
	ofOthers := func(r registry.Record) bool { return !k.own[r.Module()] }
	return slices.ContainsFunc(k.Named(name), ofOthers) || slices.ContainsFunc(k.Aliased(name), ofOthers)
}

// registryFiles are the registry of the kernel that modules out of the tree are built for, and the overlay with those
// that were registered before: KAS_REGISTRY and KAS_OVERLAY. By default it is what ships beside Module.symvers; a folder
// in which the kernel itself was built needs none.
func (h *Hook) registryFiles(t tree) []string {
	if t.ext == "" {
		return nil
	}
	var files []string
	for _, file := range filepath.SplitList(h.Getenv("KAS_REGISTRY")) {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			file = cmp.Or(registry.InFolder(file), file)
		}
		files = append(files, file)
	}
	if file := registry.InFolder(t.dir); len(files) == 0 && file != "" && !t.built() {
		files = append(files, file)
	}
	if overlay := h.Getenv("KAS_OVERLAY"); len(files) > 0 && overlay != "" && exists(overlay) {
		files = append(files, overlay)
	}
	return files
}

// built says whether the kernel was built in the tree's folder. A vmlinux alone says nothing: some distributions ship one.
func (t tree) built() bool {
	modules, err := t.modules(t.dir)
	return len(modules) > 0 || err != nil || exists(filepath.Join(t.dir, "vmlinux.o"))
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
	if overlay := h.Getenv("KAS_OVERLAY"); overlay != "" && !exists(overlay) {
		fmt.Fprintf(os.Stderr, "kas: KAS_OVERLAY names %s, which is not there: no module was registered before\n", overlay)
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
	its, err := stages.ParsePolicy(r.Policy)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Path, err)
	}
	if h.Getenv("KAS_CONFIG") == "" {
		policy.Alias = its
	} else if ours := stages.Policy(&policy.Alias); ours != r.Policy {
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
