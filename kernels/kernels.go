// Package kernels finds the files of kernels: where packages of distributions have them, installed
// or unpacked, in a build tree, and what the running kernel says about itself.
package kernels

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"kas/elf"
)

// Kernel is where the files of one kernel are.
type Kernel struct {
	Release string // "" if no path names it

	// Vmlinux are files that may be its vmlinux, those with debugging information first.
	Vmlinux []string

	// Modules are folders and lists of modules, for configs.Build. Twins says that they are those
	// of debug packages, which are the same modules as the installed ones.
	Modules []string
	Twins   bool

	// Debug are the folders in which the debug files are looked for; none means /usr/lib/debug.
	Debug []string
}

const debugDir = "usr/lib/debug"

// modulesDirs are the folders below a root that have a folder for each release: of modules, and of
// the modules of debug packages. The second is where a link leads on most systems. In debugDir
// itself the first and boot are as below.
var (
	modulesDirs = []string{"lib/modules", "usr/lib/modules"}
	debugDirs   = []string{debugDir + "/lib/modules", debugDir + "/usr/lib/modules"}
	bootDirs    = []string{debugDir + "/boot", "boot"}
)

// Below returns the kernels that have files below roots, sorted by release: / or folders in which
// packages were unpacked. What several roots have of one release is one kernel.
func Below(roots ...string) []Kernel {
	releases := map[string]bool{}
	for _, root := range roots {
		for _, dir := range slices.Concat(modulesDirs, debugDirs) {
			entries, _ := os.ReadDir(filepath.Join(root, dir))
			for _, e := range entries {
				releases[e.Name()] = true
			}
		}
		for _, dir := range bootDirs {
			entries, _ := os.ReadDir(filepath.Join(root, dir))
			for _, e := range entries {
				name, ok := strings.CutPrefix(e.Name(), "vmlinux-")
				if !ok {
					continue
				}
				for _, suffix := range suffixes {
					if n := len(name) - len(suffix); n > 0 && name[n:] == suffix {
						name = name[:n]
					}
				}
				releases[name] = true
			}
		}
	}
	var all []Kernel
	for _, release := range slices.Sorted(maps.Keys(releases)) {
		if k := Of(release, roots...); len(k.Vmlinux)+len(k.Modules) > 0 {
			all = append(all, k)
		}
	}
	return all
}

// suffixes may follow the release in the name of a vmlinux.
var suffixes = slices.Concat([]string{debugSuffix}, elf.Compressions)

const debugSuffix = ".debug"

// Of returns the kernel of a release as Below does. A kernel without files has only its release.
func Of(release string, roots ...string) Kernel {
	k := Kernel{Release: release}
	var last, installed, fromDebug []string
	for _, root := range roots {
		if filepath.Clean(root) != "/" {
			k.Debug = append(k.Debug, root)
		}
		add := func(to *[]string, elements ...string) {
			path := filepath.Join(append([]string{root}, elements...)...)
			if elf.CheckRegular(path) == nil {
				*to = appendNew(*to, path)
			}
		}
		for _, dir := range debugDirs {
			add(&k.Vmlinux, dir, release, "vmlinux")
			add(&last, dir, release, "vmlinux.debug")
		}
		for _, dir := range bootDirs {
			add(&k.Vmlinux, dir, "vmlinux-"+release)
			for _, suffix := range elf.Compressions {
				add(&k.Vmlinux, dir, "vmlinux-"+release+suffix)
			}
			add(&last, dir, "vmlinux-"+release+debugSuffix)
		}
		for _, dir := range modulesDirs {
			add(&k.Vmlinux, dir, release, "vmlinux")
			if filepath.Clean(root) == "/" { // below another root the link would lead out of it
				add(&k.Vmlinux, dir, release, "build/vmlinux")
			}
			add(&last, dir, release, "vmlinux.debug")
			installed = appendModules(installed, filepath.Join(root, dir, release))
		}
		for _, dir := range debugDirs {
			fromDebug = appendModules(fromDebug, filepath.Join(root, dir, release))
		}
	}
	k.Vmlinux = append(k.Vmlinux, last...)
	if k.Modules = installed; len(installed) == 0 {
		k.Modules, k.Twins = fromDebug, len(fromDebug) > 0
	}
	return k
}

// appendModules appends a folder if it has modules.
func appendModules(all []string, dir string) []string {
	if !HasModules(dir) {
		return all
	}
	return appendNew(all, dir)
}

// appendNew appends a path unless it leads to a file or folder that is there already.
func appendNew(all []string, path string) []string {
	info, err := os.Stat(path)
	same := func(other string) bool {
		there, otherErr := os.Stat(other)
		return err == nil && otherErr == nil && os.SameFile(info, there)
	}
	if slices.ContainsFunc(all, same) {
		return all
	}
	return append(all, path)
}

// HasModules reports whether a linked module is in a folder or below it.
func HasModules(dir string) bool {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	found := errors.New("found")
	return found == filepath.WalkDir(real, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && IsModule(path) {
			return found
		}
		return nil
	})
}

// IsModule reports whether a name is that of a linked module, which may be compressed.
func IsModule(name string) bool { return strings.HasSuffix(elf.Uncompressed(name), ".ko") }

// ofRelease matches the folder of a release's modules, installed or below a root.
var ofRelease = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(.*?)(/usr/lib/debug)?(/usr)?/lib/modules/([^/]+)$`)
})

// In returns the kernels in a folder: a build tree, a folder of the modules of a release, or one
// with what packages have. It returns none if there is neither vmlinux nor a module.
func In(dir string) []Kernel {
	vmlinux := filepath.Join(dir, "vmlinux")
	if elf.CheckRegular(vmlinux) == nil {
		k := Kernel{Vmlinux: []string{vmlinux}}
		list := filepath.Join(dir, "modules.order")
		if _, err := os.Stat(filepath.Join(dir, "Module.symvers")); err == nil {
			// A build tree: what is below it need not be of this build.
			if _, err := os.Stat(list); err == nil {
				k.Modules = []string{list}
			}
		} else if HasModules(dir) {
			k.Modules = []string{dir}
		}
		return []Kernel{k}
	}
	if abs, err := filepath.Abs(dir); err == nil {
		if m := ofRelease().FindStringSubmatch(abs); m != nil && HasModules(dir) {
			k := Of(m[4], rootOf(dir, abs, len(m[1])))
			k.Modules, k.Twins = []string{dir}, m[2] != ""
			return []Kernel{k}
		}
	}
	if all := Below(dir); len(all) > 0 {
		return all
	}
	if HasModules(dir) {
		return []Kernel{{Modules: []string{dir}}}
	}
	return nil
}

// rootOf returns the first n bytes of an absolute path, relative if the folder was given so.
func rootOf(dir, abs string, n int) string {
	rest := abs[n:]
	if root, ok := strings.CutSuffix(filepath.Clean(dir), rest); ok && root != "" {
		return root
	}
	if filepath.Clean(dir) == rest[1:] {
		return "."
	}
	return abs[:max(n, 1)]
}

// Add adds the files of another folder or package of the kernel.
func (k *Kernel) Add(other Kernel) {
	k.Release = cmp.Or(k.Release, other.Release)
	k.Vmlinux = append(k.Vmlinux, other.Vmlinux...)
	k.Debug = append(k.Debug, other.Debug...)
	switch {
	case len(k.Modules) == 0 || k.Twins && !other.Twins && len(other.Modules) > 0:
		k.Modules, k.Twins = other.Modules, other.Twins
	case k.Twins || !other.Twins:
		k.Modules = append(k.Modules, other.Modules...)
	}
}

// Choose returns the first vmlinux that has a build ID; any, if the ID is "". other describes one
// of another build if none is returned, "" if there is none.
func (k *Kernel) Choose(id string) (path, other string) {
	for _, path := range k.Vmlinux {
		if id == "" {
			return path, ""
		}
		f, err := elf.OpenTables(path)
		if err != nil {
			other = path + ": " + err.Error()
			continue
		}
		got := f.BuildID()
		f.Close()
		if got == id {
			return path, ""
		}
		other = path + " has build ID " + got
	}
	return "", other
}
