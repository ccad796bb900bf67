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
// build folder.
func FindDebug(release, vmlinux, modules string) KernelDebug {
	d := KernelDebug{vmlinux, modules}
	if release == "" {
		return d
	}
	debug, build := "/usr/lib/debug/lib/modules/"+release, "/lib/modules/"+release+"/build"
	first := func(named string, candidates ...string) string {
		if named == "" {
			if i := slices.IndexFunc(candidates, exists); i >= 0 {
				named = candidates[i]
			}
		}
		return named
	}
	d.Vmlinux = first(vmlinux, "/usr/lib/debug/boot/vmlinux-"+release, debug+"/vmlinux",
		build+"/vmlinux")
	d.Modules = first(modules, debug+"/kernel", debug)
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
