package main

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"kas/configs"
	"kas/fetch"
	"kas/packages"
	"kas/pipeline"
)

// The kinds of what commands keep outside their output, as kas cache clear names them.
const (
	keptPackages   = "packages"
	keptRegistries = "registries"
	keptRuns       = "runs"
	keptDebuginfod = "debuginfod"
)

// keptKinds are all kinds, in the order of the list. The first is what kas cache clear removes if
// none is named.
var keptKinds = []string{keptPackages, keptRegistries, keptRuns, keptDebuginfod}

// stored is a package, or a file or folder of another kind.
type stored struct {
	Kind    string    `json:"kind"`
	Package string    `json:"package,omitempty"`
	Digest  string    `json:"sha256,omitempty"`
	Path    string    `json:"path,omitempty"`
	Bytes   int64     `json:"bytes"`
	Used    time.Time `json:"used"` // of a registry: when it was made
}

// listStored lists what is kept, by kind. Of each kind comes first what was used last.
func listStored(c *packages.Cache) ([]stored, error) {
	unpacked, err := c.List()
	if err != nil {
		return nil, err
	}
	var all []stored
	for i := range unpacked {
		all = append(all, newStored(&unpacked[i]))
	}
	for kind, paths := range map[string][]string{
		keptRegistries: keptFolders(c.Dir),
		keptRuns:       runFiles(c.Dir),
		keptDebuginfod: sentFolders(),
	} {
		for _, path := range paths {
			s := stored{Kind: kind, Path: path}
			filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return nil // it is gone, or closed to this user
				}
				if info, err := e.Info(); err == nil {
					s.Bytes += info.Size()
					s.Used = later(s.Used, info.ModTime())
				}
				return nil
			})
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b stored) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), b.Used.Compare(a.Used),
			cmp.Compare(a.Digest+a.Path, b.Digest+b.Path))
	})
	return all, nil
}

func newStored(s *packages.Stored) stored {
	return stored{
		Kind: keptPackages, Package: s.Name, Digest: s.Digest, Bytes: s.Size, Used: s.Used.UTC(),
	}
}

// name is what a list shows: of a registry the release and the build ID.
func (s *stored) name() string {
	if s.Kind == keptPackages {
		return s.Package
	}
	return filepath.Join(filepath.Base(filepath.Dir(s.Path)), filepath.Base(s.Path))
}

func rank(kind string) int { return slices.Index(keptKinds, kind) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b.UTC()
	}
	return a
}

// keptFolders returns the folders of the user's registries, and of those that were fetched in part.
func keptFolders(cache string) []string {
	whole, _ := filepath.Glob(filepath.Join(configs.Literal(cache), "registries", "*", "*"))
	return whole
}

// runFiles returns the files with what runs noted: names of hexadecimal digits, and the digests of
// packages.
func runFiles(cache string) []string {
	all, _ := filepath.Glob(filepath.Join(configs.Literal(cache), "*"))
	notes := regexp.MustCompile(`^[0-9a-f]{32,}$`)
	all = slices.DeleteFunc(all, func(path string) bool {
		info, err := os.Lstat(path)
		return err != nil || !info.Mode().IsRegular() || !notes.MatchString(filepath.Base(path))
	})
	digests, _ := filepath.Glob(filepath.Join(configs.Literal(cache), "digests", "*"))
	return append(all, digests...)
}

// sentFolders returns the folders of what debuginfod servers sent. The cache has files of its own,
// which elfutils made, and folders of other clients.
func sentFolders() []string {
	dir, err := fetch.DebuginfodCache(os.Getenv)
	if err != nil {
		return nil
	}
	all, _ := filepath.Glob(filepath.Join(configs.Literal(dir), "*"))
	return slices.DeleteFunc(all, func(path string) bool {
		info, err := os.Lstat(path)
		id := filepath.Base(path)
		return err != nil || !info.IsDir() || len(id) < leastDigits || !fetch.IsBuildID(id)
	})
}

// removeStored removes a folder or a file of a kind other than a package, unless a process writes
// there.
func removeStored(s *stored) (removed bool, err error) {
	if s.Kind == keptRegistries {
		unlock, err := pipeline.Lock(s.Path)
		if err != nil {
			return false, nil
		}
		defer unlock()
	}
	if err := os.RemoveAll(s.Path); err != nil {
		return false, err
	}
	if s.Kind == keptRegistries {
		os.Remove(filepath.Dir(s.Path)) // unless it has another build of the release
	}
	return true, nil
}
