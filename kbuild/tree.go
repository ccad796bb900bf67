package kbuild

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/elf"
	"kas/pipeline"
)

// tree is the folder that a kernel is built in, or the headers of one that is installed. It only
// describes what is there: nothing in this file depends on the hooks or on the stages.
type tree struct {
	dir string // the build folder, relative to where the link commands run
	ext string // with make M=, the folder of the modules; else ""
}

// treeOf returns the tree of a link command, from the variables that kbuild exports.
func treeOf(getenv func(string) string) tree {
	t := tree{dir: ".", ext: getenv("KBUILD_EXTMOD")}
	if objtree := getenv("objtree"); objtree != "" {
		t.dir = objtree
	}
	if out := getenv("KBUILD_EXTMOD_OUTPUT"); out != "" {
		t.ext = out
	}
	return t
}

// order returns the file in which kbuild lists the modules of a folder. kbuild writes it again
// whenever one of them changes.
func order(dir string) string { return filepath.Join(dir, "modules.order") }

// modules returns the objects X.o of the modules in the modules.order of dir. Up to 6.1, that names
// X.ko. A module that is listed but not built is left out, since make may build only a part of the
// tree.
func (t tree) modules(dir string) ([]string, error) {
	data, err := os.ReadFile(order(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		object := strings.TrimSuffix(strings.TrimSuffix(line, ".ko"), ".o") + ".o"
		candidates := []string{object}
		if !filepath.IsAbs(object) {
			// In the folder of M=, paths are relative to that folder from 6.13 on, and to the tree
			// before.
			candidates = []string{filepath.Join(dir, object), filepath.Join(t.dir, object)}
		}
		if i := slices.IndexFunc(candidates, exists); i >= 0 {
			all = append(all, absolute(candidates[i]))
		}
	}
	return all, nil
}

// objects returns what a name is counted over: vmlinux unless it is "", the modules of the tree if
// own is set, and those in the folder of M=. The modules are in the order of their names. A module
// below the tree has the name that the tree's modules.order gives it, however M= names its folder.
func (t tree) objects(vmlinux string, own bool) ([]pipeline.Object, error) {
	var paths []string
	if own {
		modules, err := t.modules(t.dir)
		if err != nil {
			return nil, err
		}
		paths = modules
	}
	if t.ext != "" {
		modules, err := t.modules(t.ext)
		if err != nil {
			return nil, err
		}
		paths = append(paths, modules...)
	}
	var objects []pipeline.Object
	for _, path := range paths {
		name := path
		if rel, err := filepath.Rel(absolute(t.dir), path); err == nil && filepath.IsLocal(rel) {
			name = rel
		}
		objects = append(objects, pipeline.Object{Name: name, Path: path})
	}
	slices.SortFunc(objects,
		func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
	objects = slices.CompactFunc(objects,
		func(a, b pipeline.Object) bool { return a.Name == b.Name })
	if vmlinux != "" {
		objects = append([]pipeline.Object{{Name: "vmlinux", Path: vmlinux, Vmlinux: true}},
			objects...)
	}
	return objects, nil
}

// owns reports whether a module's object is one of those that make builds here: with M=, only those
// in that folder.
func (t tree) owns(object string) bool { return t.ext == "" || below(t.ext, object) }

// vmlinuxObject returns the file that has the symbols of vmlinux and their debugging information
// before vmlinux is linked. After a build, only vmlinux itself may be left. It returns "" if there
// is neither.
func (t tree) vmlinuxObject() string {
	for _, name := range []string{"vmlinux.o", "vmlinux"} {
		if path := filepath.Join(t.dir, name); exists(path) {
			return path
		}
	}
	return ""
}

// vmlinuxDebug reports whether what vmlinux is linked from has debugging information.
func (t tree) vmlinuxDebug() bool {
	f, err := elf.OpenTables(filepath.Join(t.dir, "vmlinux.o"))
	if err != nil {
		return false
	}
	defer f.Close()
	return f.DebugSection(".debug_info") > 0
}

// built reports whether the kernel was built in this folder. A vmlinux does not prove it: some
// distributions ship one with the headers.
func (t tree) built() bool {
	modules, err := t.modules(t.dir)
	return len(modules) > 0 || err != nil || exists(filepath.Join(t.dir, "vmlinux.o"))
}

// release returns the kernel release that the vermagic of modules built here has, or "" if it is
// unknown. It does not read include/config/kernel.release, which may differ: Debian's headers have
// another release there.
func (t tree) release() string {
	text, err := os.ReadFile(filepath.Join(t.dir, "include/generated/utsrelease.h"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), `UTS_RELEASE "`)
	release, _, _ := strings.Cut(rest, `"`)
	return release
}

// absolute returns one name for a file, wherever make runs and however it names the file.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func below(dir, path string) bool {
	rel, err := filepath.Rel(absolute(dir), absolute(path))
	return err == nil && filepath.IsLocal(rel)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
