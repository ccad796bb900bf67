package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/kernels"
	"kas/pipeline"
	"kas/registry"
)

// finder finds registries.
type finder struct {
	root   string    // the parent of proc, sys and lib
	stderr io.Writer // for notes about what is fetched; nil means that nothing is
}

// open opens the named registries, or, without names, those that files finds. read is
// registry.OpenAll or OpenForLookup.
func (f *finder) open(
	ctx context.Context, names []string, read func(files []string) ([]*registry.Registry, error),
) ([]*registry.Registry, error) {
	files, err := f.files(ctx, names)
	if err != nil {
		return nil, err
	}
	all, err := read(files)
	if err != nil {
		return nil, failure{err}
	}
	for _, r := range all {
		r.Parallel = func(n int, f func(int)) { pipeline.Parallel(0, n, f) }
	}
	return all, nil
}

// files returns the files of the named registries and folders; a name without a folder may be the
// release or the build ID of a kernel whose registry the user keeps. Without names it looks in
// KAS_REGISTRY, in the output of the configuration here, and for the running kernel's registry.
func (f *finder) files(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		names = filepath.SplitList(os.Getenv("KAS_REGISTRY"))
	}
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			kept, err := f.kept(ctx, name)
			if err != nil {
				return nil, failure{err}
			}
			if len(kept) == 0 {
				kept = []string{name} // opening it reports what is wrong
			}
			files = append(files, kept...)
			continue
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		inside, err := registriesIn(name)
		if err != nil {
			return nil, err
		}
		files = append(files, inside...)
	}
	if len(files) > 0 {
		return files, nil
	}
	if plan, err := configs.Load(defaultConfig); err == nil {
		if files := registriesBelow(plan.Out); len(files) > 0 {
			return files, nil
		}
	}
	if file := registry.InFolder("."); file != "" {
		return []string{file}, nil
	}
	file, err := f.running(ctx)
	if err != nil {
		return nil, err
	}
	return []string{file}, nil
}

// running returns the registry of the running kernel: one that was installed, that the user keeps,
// or that a server publishes.
func (f *finder) running(ctx context.Context) (string, error) {
	none := fmt.Errorf("found no %s: name one with --registry%s, make one with 'kas registry', "+
		"or name a server of them in %s", registry.FileName, keptReleases(), registryURL)
	r, err := kernels.ReadRunning(f.root)
	if err != nil {
		return "", none
	}
	for _, dir := range systemFolders(f.root, r.Release) {
		if file := registry.InFolder(dir); file != "" {
			return file, nil
		}
	}
	if file := keptOf(r); file != "" {
		return file, nil
	}
	switch {
	case f.stderr == nil || os.Getenv(registryURL) == "":
		return "", none
	case r.BuildID == "":
		return "", failure{fmt.Errorf("%w\n%s is set, but sys/kernel/notes shows no build ID "+
			"of the running kernel to ask for", none, registryURL)}
	}
	file, err := f.fetch(ctx, r.BuildID)
	if err != nil {
		return "", failure{fmt.Errorf("found no %s here\n%w", registry.FileName, err)}
	}
	return file, nil
}

// systemFolders returns the folders where the registry of an installed kernel may be.
func systemFolders(root, release string) []string {
	modules := filepath.Join(root, "lib/modules", release)
	return []string{
		filepath.Join(modules, "build"), modules,
		filepath.Join(root, "usr/lib/debug/lib/modules", release),
	}
}

// registriesIn returns what registriesBelow does of a folder that must have some.
func registriesIn(dir string) ([]string, error) {
	all := registriesBelow(dir)
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no %s in this folder", dir, registry.FileName)
	}
	return all, nil
}

// registriesBelow returns the registry of a folder, or else those of its subfolders.
func registriesBelow(dir string) []string {
	if own := registry.InFolder(dir); own != "" {
		return []string{own}
	}
	var all []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if file := registry.InFolder(filepath.Join(dir, e.Name())); file != "" {
			all = append(all, file)
		}
	}
	return all
}

// warnIncomplete names the registries that lack objects of their builds.
func warnIncomplete(stderr io.Writer, all []*registry.Registry) {
	for _, r := range all {
		if r.Incomplete.Objects > 0 {
			fmt.Fprintf(stderr, "kas: %s: %s\n", r.Path, &r.Incomplete)
		}
	}
}

func paths(all []*registry.Registry) []string {
	var paths []string
	for _, r := range all {
		paths = append(paths, r.Path)
	}
	return paths
}

// nameAll names registries in a message.
func nameAll(all []*registry.Registry) string {
	if len(all) > 2 {
		return fmt.Sprintf("%s and %d more registries", all[0].Path, len(all)-1)
	}
	return strings.Join(paths(all), " or ")
}

// labels returns what to call the registries in a table: their folders, else their kernels, else
// their paths, whichever first distinguishes all of them.
func labels(all []*registry.Registry) []string {
	for _, name := range []func(*registry.Registry) string{folderName, kernelName} {
		var labels []string
		for _, r := range all {
			labels = append(labels, name(r))
		}
		if len(slices.Compact(slices.Sorted(slices.Values(labels)))) == len(all) {
			return labels
		}
	}
	return paths(all)
}

func folderName(r *registry.Registry) string {
	return filepath.Base(filepath.Dir(absolute(r.Path)))
}

func kernelName(r *registry.Registry) string {
	words := []string{r.Release, r.Arch, r.Toolchain}
	if r.LTO != "none" {
		words = append(words, r.LTO)
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "-")
}
