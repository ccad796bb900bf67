package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kas/configs"
	"kas/fetch"
	"kas/kernels"
	"kas/pipeline"
	"kas/registry"
)

// The registries that a user makes and fetches are in the user's cache, in a folder for each
// kernel: RELEASE/BUILDID/symbols.kas.

// registryURL is the environment variable with the servers that publish registries.
const registryURL = "KAS_REGISTRY_URL"

// keepDir returns the folder of the user's registries.
func keepDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "kas", "registries"), nil
}

// keepPath returns where the user's registry of a kernel is. The names come from an object.
func keepPath(release, id string) (string, error) {
	dir, err := keepDir()
	if err != nil {
		return "", err
	}
	if !isFolderName(release) {
		release = "unknown"
	}
	return filepath.Join(dir, release, cmp.Or(id, "no-build-id"), registry.FileName), nil
}

// isFolderName reports whether a name from outside may be that of a folder of the user's
// registries.
func isFolderName(name string) bool {
	return name != "" && name[0] != '.' && filepath.Base(name) == name
}

// leastDigits is the length of the shortest name that counts as a build ID.
const leastDigits = 16

// kept returns the user's registries of a release or a build ID. A build ID that the user has none
// of is asked for.
func (f *finder) kept(ctx context.Context, name string) ([]string, error) {
	dir, err := keepDir()
	if err != nil || !isFolderName(name) {
		return nil, nil
	}
	if all := registriesBelow(filepath.Join(dir, name)); len(all) > 0 {
		return all, nil
	}
	if len(name) < leastDigits || !fetch.IsBuildID(name) {
		return nil, nil
	}
	folders, _ := filepath.Glob(filepath.Join(configs.Literal(dir), "*", name))
	for _, folder := range folders {
		if file := registry.InFolder(folder); file != "" {
			return []string{file}, nil
		}
	}
	if f.stderr == nil || os.Getenv(registryURL) == "" {
		return nil, nil
	}
	file, err := f.fetch(ctx, name)
	return []string{file}, err
}

// keptOf returns the user's registry of the running kernel, "" if there is none. If the kernel does
// not show its build ID, it is the only one of its release.
func keptOf(r *kernels.Running) string {
	path, err := keepPath(r.Release, r.BuildID)
	if err != nil {
		return ""
	}
	if r.BuildID != "" {
		return registry.InFolder(filepath.Dir(path))
	}
	if all := registriesBelow(filepath.Dir(filepath.Dir(path))); len(all) == 1 {
		return all[0]
	}
	return ""
}

// keptReleases names the kernels whose registries the user keeps, for a message.
func keptReleases() string {
	dir, err := keepDir()
	if err != nil {
		return ""
	}
	var releases []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name()[0] != '.' {
			releases = append(releases, e.Name())
		}
	}
	if len(releases) == 0 {
		return ""
	}
	return " (kept: " + strings.Join(releases, ", ") + ")"
}

// Limits of a published registry that is fetched. That of a whole distribution kernel has 4 MB.
const (
	registryTimeout = 30 * time.Second
	registrySize    = 256 << 20
)

// fetch asks the servers of KAS_REGISTRY_URL for the registry of a kernel and keeps it.
func (f *finder) fetch(ctx context.Context, id string) (string, error) {
	dir, err := keepDir()
	if err != nil {
		return "", err
	}
	check := func(path string) error {
		r, err := openOf(path, id)
		if err == nil {
			r.Close()
		}
		return err
	}
	const packed = registry.FileName + ".zst"
	came := filepath.Join(dir, ".new", id, packed)
	client := fetch.Client{Timeout: registryTimeout, Retries: 1, MaxSize: registrySize}
	var errs []error
	for _, server := range strings.Fields(os.Getenv(registryURL)) {
		from := strings.TrimRight(server, "/") + "/" + fetch.Path(id, packed)
		if err := client.Get(ctx, from, came, check); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(f.stderr, "kas: fetched %s\n", fetch.Redacted(from))
		return keep(came, id)
	}
	os.Remove(filepath.Dir(came)) // unless it has a part that the next request continues
	return "", errors.Join(errs...)
}

// openOf opens the registry of the kernel with a build ID.
func openOf(path, id string) (*registry.File, error) {
	r, err := registry.Open(path)
	if err == nil && (r.BuildID != id || r.OverlayOf != "") {
		err = fmt.Errorf("the registry of another kernel, build ID %q", r.BuildID)
		r.Close()
	}
	return r, err
}

// keep unpacks what was fetched to the user's registries: a look-up reads only parts of a file that
// is not compressed.
func keep(came, id string) (string, error) {
	r, err := openOf(came, id)
	if err != nil {
		return "", err
	}
	defer r.Close()
	path, err := keepPath(r.Release, id)
	if err != nil {
		return "", err
	}
	unlock, err := pipeline.LockWait(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := pipeline.WriteFile(path, r.Copy); err != nil {
		return "", err
	}
	return path, os.RemoveAll(filepath.Dir(came))
}
