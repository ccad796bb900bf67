package configs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kas/elf"
	"kas/kernels"
)

// ModuleFile is a module of a build.
type ModuleFile struct {
	Name string // object name: the slash-separated path below the module root
	Path string

	Absent bool // a list or a symbolic link has the path, and no file is there
}

// ModuleFiles returns the modules that b.Modules selects, sorted bytewise by name, each path once.
// An entry is
//   - a module file; its folder is the module root,
//   - a folder, which is the root. It is searched for .ko files, plain or compressed, and if it
//     has none, for .o files,
//   - a list file such as modules.order; its folder is the root. A listed file that exists neither
//     under its name nor with another suffix of modules is returned as listed. Reading it fails
//     later and affects only that module,
//   - a glob of module files and folders, with ** for any depth. The root of a module file is the
//     folder before the first special character.
//
// It is an error if an entry does not exist or cannot be read, or if two files have one name.
//
// After Load, ModuleFiles returns what Load found.
func (b *Build) ModuleFiles() ([]ModuleFile, error) {
	if b.found != nil {
		return b.found, nil
	}
	var all []ModuleFile
	for _, entry := range b.Modules {
		files, err := entryFiles(entry)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return sortModules(all)
}

// sortModules sorts modules by name and drops repeated paths.
func sortModules(all []ModuleFile) ([]ModuleFile, error) {
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(f ModuleFile) bool {
		dup := seen[f.Path]
		seen[f.Path] = true
		return dup
	})
	slices.SortStableFunc(all, func(a, b ModuleFile) int { return strings.Compare(a.Name, b.Name) })
	paths := map[string]string{}
	for _, f := range all {
		name := elf.Uncompressed(f.Name)
		if other, ok := paths[name]; ok {
			return nil, fmt.Errorf("two modules have the name %s: %s and %s", name, other, f.Path)
		}
		paths[name] = f.Path
	}
	return all, nil
}

// entryFiles returns the modules that one entry selects. If nothing exists there, the error is an
// fs.ErrNotExist.
func entryFiles(entry string) ([]ModuleFile, error) {
	fixed, rest := splitGlob(entry)
	if rest == "" {
		fi, err := os.Stat(fixed)
		switch {
		case err != nil:
			return nil, err
		case fi.IsDir():
			return folderFiles(fixed)
		case isModule(fixed):
			return []ModuleFile{{Name: filepath.Base(fixed), Path: fixed}}, nil
		}
		return listFiles(fixed)
	}
	matches, err := glob(entry)
	if err != nil {
		return nil, err
	}
	var files []ModuleFile
	err = fmt.Errorf("%s: %w", entry, fs.ErrNotExist)
	for _, m := range matches {
		if m.dir {
			below, err := folderFiles(m.path)
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		} else if isModule(m.path) {
			name, err := filepath.Rel(fixed, m.path)
			if err != nil {
				return nil, err
			}
			files = append(files, ModuleFile{
				Name: filepath.ToSlash(name), Path: m.path, Absent: m.absent,
			})
		} else {
			continue
		}
		err = nil
	}
	return files, err
}

// lookFor returns an fs.ErrNotExist if entryFiles would. It does not look into folders of modules.
func lookFor(entry string) error {
	fixed, rest := splitGlob(entry)
	if rest == "" {
		_, err := os.Stat(fixed)
		return err
	}
	matches, err := glob(entry)
	if err == nil && !slices.ContainsFunc(matches, func(m match) bool {
		return m.dir || isModule(m.path)
	}) {
		err = fs.ErrNotExist
	}
	return err
}

// isModule reports whether the file has the name of a module. A .mod.o file holds only what
// modpost adds.
func isModule(file string) bool {
	return Linked(file) || strings.HasSuffix(file, ".o") && !strings.HasSuffix(file, ".mod.o")
}

// Linked reports whether the name is that of a linked module, X.ko, compressed or not.
func Linked(name string) bool { return kernels.IsModule(name) }

// folderFiles returns the modules in and below root. It follows root if it is a symbolic link, but
// no link to a folder below: the build and source links of an installed kernel lead elsewhere. It
// skips hidden files, which are kbuild's temporaries.
func folderFiles(root string) ([]ModuleFile, error) {
	var ko, o []ModuleFile
	var walk func(below string) error
	walk = func(below string) error {
		entries, err := os.ReadDir(filepath.Join(root, below))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name, file := path.Join(below, e.Name()), filepath.Join(root, below, e.Name())
			switch {
			case strings.HasPrefix(e.Name(), "."):
			case e.IsDir():
				if err := walk(name); err != nil {
					return err
				}
			case !isModule(name) || e.Type()&fs.ModeSymlink != 0 && isFolder(file):
			default:
				m := ModuleFile{Name: name, Path: file}
				m.Absent = e.Type()&fs.ModeSymlink != 0 && !exists(file)
				if Linked(name) {
					ko = append(ko, m)
				} else {
					o = append(o, m)
				}
			}
		}
		return nil
	}
	if err := walk(""); err != nil {
		return nil, err
	}
	if len(ko) > 0 {
		return ko, nil
	}
	return o, nil
}

func isFolder(file string) bool {
	fi, err := os.Stat(file)
	return err == nil && fi.IsDir()
}

func listFiles(file string) ([]ModuleFile, error) {
	data, err := readFile(file, maxList)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s is not a list of modules: it contains a zero byte", file)
	}
	root := filepath.Dir(file)
	var files []ModuleFile
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if len(files) == maxModules {
			return nil, fmt.Errorf("%s lists more than %d modules", file, maxModules)
		}
		mod := filepath.Clean(line)
		if !filepath.IsAbs(mod) {
			mod = filepath.Join(root, mod)
		}
		mod, there := existing(mod)
		name, err := nameBelow(root, line)
		if err != nil {
			return nil, err
		}
		files = append(files, ModuleFile{
			Name: path.Join(path.Dir(name), filepath.Base(mod)), Path: mod, Absent: !there,
		})
	}
	return files, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// existing returns the path of a listed module with the suffix that exists here, and whether one
// does. Whatever the state of the build, modules.order lists .ko up to 6.1 and .o later, without
// compression.
func existing(mod string) (file string, there bool) {
	if exists(mod) {
		return mod, true
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(mod, ".o"), ".ko")
	if stem == mod {
		return mod, false
	}
	for _, suffix := range []string{".ko", ".o"} {
		if exists(stem + suffix) {
			return stem + suffix, true
		}
	}
	for _, suffix := range elf.Compressions {
		if file := stem + ".ko" + suffix; exists(file) {
			return file, true
		}
	}
	return mod, false
}

// nameBelow returns the path below root of mod, an entry of a list in root. If mod is outside of
// root, it returns mod without a leading / or ../.
func nameBelow(root, mod string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	full := mod
	if !filepath.IsAbs(mod) {
		full = filepath.Join(root, mod)
	}
	if rel, err := filepath.Rel(root, full); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel), nil
	}
	name := strings.TrimPrefix(filepath.ToSlash(filepath.Clean(mod)), "/")
	for strings.HasPrefix(name, "../") {
		name = name[len("../"):]
	}
	return name, nil
}
