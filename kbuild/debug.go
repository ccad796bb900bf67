package kbuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kas/elf"
	"kas/registry"
)

// KernelDebug says where the kernel's own debugging information is. A field is "" if that is not
// known.
type KernelDebug struct {
	Vmlinux string
	Modules string // the folder that the registry's names of modules are relative to
}

// FindDebug returns where the debugging information of a kernel is. vmlinux and modules are used if
// they are not "". Otherwise it looks where distributions' debug packages install them, and in the
// build folder. roots are where those packages are unpacked; none means /usr/lib/debug.
func FindDebug(release, vmlinux, modules string, roots ...string) KernelDebug {
	d := KernelDebug{vmlinux, modules}
	if release == "" {
		return d
	}
	if len(roots) == 0 {
		roots = []string{"/usr/lib/debug"}
	}
	var images, folders []string
	for _, root := range roots {
		for _, root := range []string{root, filepath.Join(root, "usr/lib/debug")} {
			images = append(images, filepath.Join(root, "boot/vmlinux-"+release))
			for _, lib := range []string{"lib/modules", "usr/lib/modules"} {
				dir := filepath.Join(root, lib, release)
				images = append(images, filepath.Join(dir, "vmlinux"))
				folders = append(folders, filepath.Join(dir, "kernel"), dir)
			}
		}
	}
	images = append(images, "/lib/modules/"+release+"/build/vmlinux")
	first := func(named string, candidates ...string) string {
		if named == "" {
			if i := slices.IndexFunc(candidates, exists); i >= 0 {
				named = candidates[i]
			}
		}
		return named
	}
	d.Vmlinux, d.Modules = first(vmlinux, images...), first(modules, folders...)
	return d
}

// file returns the file with the debugging information of an object of the kernel, or why there is
// none.
func (d *KernelDebug) file(object string) (file, why string) {
	var candidates []string
	switch {
	case object == registry.Vmlinux && d.Vmlinux != "":
		candidates = []string{d.Vmlinux}
	case object != registry.Vmlinux && d.Modules != "":
		path := filepath.Join(d.Modules, elf.Uncompressed(object))
		candidates = []string{path}
		for _, suffix := range elf.Compressions {
			candidates = append(candidates, path+suffix)
		}
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
