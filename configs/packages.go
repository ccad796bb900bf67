package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/kernels"
	"kas/packages"
)

// packageFile is a package that a build names.
type packageFile struct {
	key  string // package, vmlinux or modules
	path string
	pos  position
}

// given is what a build has in its configuration and Unpack replaces.
type given struct {
	vmlinux        string
	modules, debug []string
}

// findPackages returns the packages that an entry of the key package selects. If there are none,
// the error is an fs.ErrNotExist.
func findPackages(pattern string) (files []string, err error) {
	fixed, rest := splitGlob(pattern)
	if rest == "" {
		fi, err := os.Stat(fixed)
		if err == nil && (fi.IsDir() || !packages.Is(fixed)) {
			err = fmt.Errorf("%s is no package: want a .deb or .rpm file", fixed)
		}
		return []string{fixed}, err
	}
	matches, err := glob(pattern)
	for _, m := range matches {
		if !m.dir && packages.Is(m.path) {
			files = append(files, m.path)
		}
	}
	if err == nil && len(files) == 0 {
		err = os.ErrNotExist
	}
	return files, err
}

// Unpack calls unpack for each package of the plan and completes the builds: vmlinux, modules and
// the folders with debug files are those in the packages, unless the build names others. The error
// is nil or of type Errors. A build without packages stays as it is.
func (p *Plan) Unpack(unpack func(path string) (packages.Package, error)) error {
	done := map[string]packages.Package{}
	var errs Errors
	for i := range p.Builds {
		b := &p.Builds[i]
		all := map[string][]packages.Package{} // by key
		for _, f := range b.packages {
			u, ok := done[f.path]
			if !ok {
				var err error
				if u, err = unpack(f.path); err != nil {
					errs = append(errs, Error{b.file, f.pos.line, f.pos.column,
						withCombo(f.key+": "+err.Error(), b.combo, 0), err})
					continue
				}
				done[f.path] = u
			}
			all[f.key] = append(all[f.key], u)
		}
		if len(all) > 0 && len(errs) == 0 {
			errs = append(errs, b.fill(all)...)
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// Origin names a file that came from a package: the digest of the package and the path in it. It is
// "" for other files.
func (b *Build) Origin(path string) string {
	for _, p := range b.origins {
		if rest, ok := strings.CutPrefix(path, p.Dir+"/"); ok {
			return p.Digest + "/" + rest
		}
	}
	return ""
}

// kernelOf returns the kernel that packages have together. It is an error if they have none, or
// several.
func kernelOf(all []packages.Package) (kernels.Kernel, error) {
	var dirs, names []string
	for _, p := range all {
		dirs, names = append(dirs, p.Dir), append(names, filepath.Base(p.Path))
	}
	found := kernels.Below(dirs...)
	switch len(found) {
	case 0:
		return kernels.Kernel{}, errors.New(
			strings.Join(names, ", ") + ": neither vmlinux nor modules inside")
	case 1:
		return found[0], nil
	}
	var releases []string
	for _, k := range found {
		releases = append(releases, k.Release)
	}
	return kernels.Kernel{}, fmt.Errorf("%s: packages of several kernels: %s",
		strings.Join(names, ", "), strings.Join(releases, ", "))
}

// fill sets what is in the packages of a build. Debug files may be in any of them.
func (b *Build) fill(all map[string][]packages.Package) (errs Errors) {
	b.given = &given{b.Vmlinux, slices.Clone(b.Modules), slices.Clone(b.Debug)}
	fail := func(key string, err error) {
		errs = append(errs, b.At(key, key+": "+err.Error()))
	}
	for _, key := range []string{"vmlinux", "modules", "package"} {
		if len(all[key]) == 0 {
			continue
		}
		k, err := kernelOf(all[key])
		if err != nil {
			fail(key, err)
			continue
		}
		b.Debug = append(b.Debug, k.Debug...)
		b.origins = append(b.origins, all[key]...)
		if key == "vmlinux" || key == "package" && b.given.vmlinux == "" {
			b.Vmlinux = ""
			if len(k.Vmlinux) > 0 {
				b.Vmlinux = k.Vmlinux[0]
			} else if key == "vmlinux" {
				fail(key, errors.New("no vmlinux in the package"))
			}
		}
		if key == "modules" || key == "package" && len(b.given.modules) == 0 {
			if len(k.Modules) == 0 && key == "modules" {
				fail(key, errors.New("no modules in the package"))
			}
			b.Modules = slices.DeleteFunc(b.Modules, func(m string) bool {
				return packages.Is(unquote(m))
			})
			for _, m := range k.Modules {
				b.Modules = append(b.Modules, quote(m))
			}
			if len(k.Modules) > 0 && (b.Emit.Beside || b.Emit.Unaliased == "link") {
				fail(key, errors.New("the modules of a package are in the cache: neither "+
					"`beside: true` nor `unaliased: link` goes with them"))
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	b.found = nil
	var err error
	if b.found, err = b.ModuleFiles(); err != nil {
		fail("package", err)
	}
	return errs
}
