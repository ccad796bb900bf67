package packages

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Kernel is where the parts of a kernel are in unpacked packages.
type Kernel struct {
	Release string
	Vmlinux string   // path, "" if there is none
	Modules []string // folders
	Debug   []string // folders: what debug files are looked for below
}

// Layouts of distributions. Each path is that of a folder with one folder or file for each release.
var (
	moduleFolders = []string{"lib/modules/", "usr/lib/modules/"}
	debugFolders  = []string{"usr/lib/debug/lib/modules/", "usr/lib/debug/usr/lib/modules/"}
)

// Find returns the kernel that the packages have together: Debian's and Ubuntu's linux-image-R and
// linux-image-R-dbg (dbgsym), Fedora's kernel-core, kernel-modules and kernel-debuginfo, SUSE's
// kernel-default and kernel-default-debuginfo. The modules are those of lib/modules, which are
// stripped; if there are none, those of usr/lib/debug. It is an error if there is nothing that kas
// reads, or if the packages are of several kernels.
func Find(all []Package) (Kernel, error) {
	var k Kernel
	releases := map[string]string{} // release -> path of a package
	var images []image
	var stripped, whole []string
	for _, p := range all {
		ix, err := readIndex(p.Dir)
		if err != nil {
			return k, fmt.Errorf("%s: %w", p.Path, err)
		}
		k.Debug = append(k.Debug, p.Dir)
		var names []string
		for _, f := range ix.files {
			names = append(names, f.name)
		}
		for _, name := range append(names, ix.links...) {
			if rank, release, ok := vmlinux(name); ok {
				images = append(images, image{rank, filepath.Join(p.Dir, name)})
				if release != "" {
					releases[release] = p.Path
				}
			}
			for i, folders := range [][]string{moduleFolders, debugFolders} {
				dir, release := modulesOf(name, folders)
				if release == "" {
					continue
				}
				releases[release] = p.Path
				to := []*[]string{&stripped, &whole}[i]
				if dir = filepath.Join(p.Dir, dir); !slices.Contains(*to, dir) {
					*to = append(*to, dir)
				}
			}
		}
	}
	slices.SortStableFunc(images, func(a, b image) int { return a.rank - b.rank })
	if len(images) > 0 {
		k.Vmlinux = images[0].path
	}
	if k.Modules = stripped; len(stripped) == 0 {
		k.Modules = whole
	}
	return k, k.settle(releases, all)
}

// image is a vmlinux. The one of the lowest rank counts.
type image struct {
	rank int
	path string
}

// vmlinux reports whether a file is a vmlinux, with its rank: with its debugging information,
// stripped, or only that information. The release is "" if the path does not have it.
func vmlinux(name string) (rank int, release string, ok bool) {
	base := path.Base(name)
	for _, packed := range []string{".xz", ".zst", ".gz"} {
		base = strings.TrimSuffix(base, packed)
	}
	debug := strings.HasPrefix(name, "usr/lib/debug/")
	base, only := strings.CutSuffix(base, ".debug")
	switch {
	case only:
		rank = 2
	case !debug:
		rank = 1
	}
	if base == "vmlinux" {
		for _, folder := range slices.Concat(moduleFolders, debugFolders) {
			if rest, in := strings.CutPrefix(name, folder); in {
				release, _, _ = strings.Cut(rest, "/")
			}
		}
		return rank, release, true
	}
	release, ok = strings.CutPrefix(base, "vmlinux-")
	return rank, release, ok && !strings.Contains(name, "/.build-id/")
}

// modulesOf returns the folder of a module below one of the folders, and its release, "" if the
// file is no module there.
func modulesOf(name string, folders []string) (dir, release string) {
	base := path.Base(name)
	for _, packed := range []string{".xz", ".zst", ".gz"} {
		base = strings.TrimSuffix(base, packed)
	}
	if path.Ext(base) != ".ko" {
		return "", ""
	}
	for _, folder := range folders {
		if rest, ok := strings.CutPrefix(name, folder); ok {
			release, _, _ = strings.Cut(rest, "/")
			return folder + release, release
		}
	}
	return "", ""
}

func (k *Kernel) settle(releases map[string]string, all []Package) error {
	if len(releases) > 1 {
		var list []string
		for release, p := range releases {
			list = append(list, fmt.Sprintf("%s (%s)", release, filepath.Base(p)))
		}
		slices.Sort(list)
		return fmt.Errorf("packages of several kernels: %s", strings.Join(list, ", "))
	}
	for k.Release = range releases {
	}
	if k.Vmlinux == "" && len(k.Modules) == 0 {
		var names []string
		for _, p := range all {
			names = append(names, filepath.Base(p.Path))
		}
		return errors.New(strings.Join(names, ", ") + ": neither vmlinux nor modules inside")
	}
	return nil
}
