package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
)

// openRegistries opens the named registries, or, without names, those that registryFiles finds.
// open is registry.OpenAll or OpenForLookup.
func openRegistries(
	names []string, open func(files []string) ([]*registry.Registry, error),
) ([]*registry.Registry, error) {
	files, err := registryFiles(names)
	if err != nil {
		return nil, err
	}
	all, err := open(files)
	if err != nil {
		return nil, failure{err}
	}
	for _, r := range all {
		r.Parallel = func(n int, f func(int)) { pipeline.Parallel(0, n, f) }
	}
	return all, nil
}

// registryFiles returns the files of the named registries and folders. Without names it looks in
// KAS_REGISTRY, in the output of the configuration here, and for the running kernel's registry.
func registryFiles(names []string) ([]string, error) {
	if len(names) == 0 {
		names = filepath.SplitList(os.Getenv("KAS_REGISTRY"))
	}
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.IsDir() {
			files = append(files, name) // opening it reports what is wrong
			continue
		}
		inside := registriesBelow(name)
		if len(inside) == 0 {
			return nil, fmt.Errorf("%s: no %s in this folder", name, registry.FileName)
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
	looked := []string{"."}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		modules := "/lib/modules/" + strings.TrimSpace(string(release))
		debug := filepath.Join("/usr/lib/debug", modules)
		looked = append(looked, filepath.Join(modules, "build"), modules, debug)
	}
	for _, dir := range looked {
		if file := registry.InFolder(dir); file != "" {
			return []string{file}, nil
		}
	}
	return nil, fmt.Errorf("found no %s: name one with --registry", registry.FileName)
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
	path, err := filepath.Abs(r.Path)
	if err != nil {
		path = r.Path
	}
	return filepath.Base(filepath.Dir(path))
}

func kernelName(r *registry.Registry) string {
	words := []string{r.Release, r.Arch, r.Toolchain}
	if r.LTO != "none" {
		words = append(words, r.LTO)
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "-")
}
