package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ModuleFile is a module of a build.
type ModuleFile struct {
	Name string // object name: the slash-separated path below the module root
	Path string
}

// ModuleFiles finds the modules that b.Modules stands for, sorted bytewise by name, each path once. An entry is
//   - a module file; its root is its folder,
//   - a folder, searched for .ko files, plain or compressed, and only if there is none for .o files; it is the root,
//   - a list file such as modules.order; its folder is the root. A listed file that does not exist, nor under the
//     other suffixes a module can have, is returned as listed: reading it will fail, and cost that module alone,
//   - a glob, with ** for any depth, of module files (the root is the glob's fixed leading folder) and folders as above.
//
// It is an error if an entry does not exist, cannot be read, or if two files have one name.
//
// What Load found is not looked for again.
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
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(f ModuleFile) bool {
		dup := seen[f.Path]
		seen[f.Path] = true
		return dup
	})
	slices.SortStableFunc(all, func(a, b ModuleFile) int { return strings.Compare(a.Name, b.Name) })
	paths := map[string]string{}
	for _, f := range all {
		name := Uncompressed(f.Name)
		if other, ok := paths[name]; ok {
			return nil, fmt.Errorf("two modules have the name %s: %s and %s", name, other, f.Path)
		}
		paths[name] = f.Path
	}
	return all, nil
}

// Uncompressed takes the suffix of a compression from a module's name: what is written for it bears none.
func Uncompressed(name string) string {
	if ext := path.Ext(name); ext == ".xz" || ext == ".zst" || ext == ".gz" {
		return strings.TrimSuffix(name, ext)
	}
	return name
}

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
			return []ModuleFile{{filepath.Base(fixed), fixed}}, nil
		}
		return listFiles(fixed)
	}
	matches, err := moduleGlob(entry)
	if err != nil {
		return nil, err
	}
	var files []ModuleFile
	for _, m := range matches {
		if !m.dir {
			name, err := filepath.Rel(fixed, m.path)
			if err != nil {
				return nil, err
			}
			files = append(files, ModuleFile{filepath.ToSlash(name), m.path})
			continue
		}
		below, err := folderFiles(m.path)
		if err != nil {
			return nil, err
		}
		files = append(files, below...)
	}
	return files, nil
}

// moduleGlob returns the matches that are folders or module files.
func moduleGlob(pattern string) ([]match, error) {
	matches, err := glob(pattern)
	return slices.DeleteFunc(matches, func(m match) bool { return !m.dir && !isModule(m.path) }), err
}

// modulesHere reports whether there is anything where the entry points to.
func modulesHere(entry string) (bool, error) {
	if _, rest := splitGlob(entry); rest != "" {
		matches, err := moduleGlob(entry)
		return len(matches) > 0, err
	}
	return here(unquote(entry))
}

func here(file string) (bool, error) {
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isModule reports whether the file's name is that of a module. The .mod.o files hold only what modpost adds.
func isModule(file string) bool {
	name := path.Base(file)
	return isLinked(name) || strings.HasSuffix(name, ".o") && !strings.HasSuffix(name, ".mod.o")
}

// linked lists the suffixes of a linked module.
func linked() []string { return []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} }

func isLinked(name string) bool {
	return slices.ContainsFunc(linked(), func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// folderFiles walks the folder. It may be a symbolic link itself, but those below it are not followed to folders: the
// build and source links of an installed kernel lead out of it. Hidden files are kbuild's temporaries.
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
			case isLinked(name):
				ko = append(ko, ModuleFile{name, file})
			default:
				o = append(o, ModuleFile{name, file})
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
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s is no list of modules: it holds a zero byte", file)
	}
	root := filepath.Dir(file)
	var files []ModuleFile
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		mod := filepath.Clean(line)
		if !filepath.IsAbs(mod) {
			mod = filepath.Join(root, mod)
		}
		mod = existing(mod)
		name, err := nameBelow(root, line)
		if err != nil {
			return nil, err
		}
		files = append(files, ModuleFile{path.Join(path.Dir(name), filepath.Base(mod)), mod})
	}
	return files, nil
}

// existing returns the module under the suffix it has here: modules.order lists .ko up to 6.1 and .o later, whatever
// the state of the build, and never the suffix of compression.
func existing(mod string) string {
	if ok, _ := here(mod); ok {
		return mod
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(mod, ".o"), ".ko")
	if stem == mod {
		return mod
	}
	for _, suffix := range append([]string{".ko", ".o"}, linked()...) {
		if ok, _ := here(stem + suffix); ok {
			return stem + suffix
		}
	}
	return mod
}

// nameBelow returns the path below root of what a list in root calls mod; if it lies outside, mod without what leads there.
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

// findVmlinux returns the one file the pattern matches, "" if there is none.
func findVmlinux(pattern string) (string, error) {
	fixed, rest := splitGlob(pattern)
	if rest == "" {
		fi, err := os.Stat(fixed)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", err
		case fi.IsDir():
			return "", fmt.Errorf("%s is a folder", fixed)
		}
		return fixed, nil
	}
	matches, err := glob(pattern)
	if err != nil {
		return "", err
	}
	var found []string
	files := map[string]bool{} // a distribution's vmlinux has several names
	for _, m := range matches {
		if m.dir {
			continue
		}
		target, err := filepath.EvalSymlinks(m.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		if !files[target] {
			found = append(found, m.path)
		}
		files[target] = true
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s matches %d files, not one: %s", pattern, len(found), strings.Join(found, ", "))
}

type match struct {
	path string
	dir  bool
}

// glob returns what the pattern matches, sorted: path.Match within a name, ** for any number of folders. As in the
// shell, ** does not follow symbolic links, and only a pattern that begins with a dot matches a hidden file.
func glob(pattern string) ([]match, error) {
	fixed, rest := splitGlob(pattern)
	filesOnly := rest == "**" || strings.HasSuffix(rest, "/**") // as the last part: the files at any depth
	if filesOnly {
		rest += "/*"
	}
	var found []match
	done := map[string]bool{} // with several ** there are many ways to one place
	var expand func(dir, rest string) error
	expand = func(dir, rest string) error {
		key := dir + "\x00" + rest
		if done[key] {
			return nil
		}
		done[key] = true
		comp, rest, more := strings.Cut(rest, "/")
		if comp == "**" && more {
			if err := expand(dir, rest); err != nil {
				return err
			}
		}
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		for _, e := range entries {
			name := e.Name()
			if ok, err := path.Match(comp, name); err != nil || !ok || name[0] == '.' && comp[0] != '.' {
				continue
			}
			file := filepath.Join(dir, name)
			link := e.Type()&fs.ModeSymlink != 0
			folder := e.IsDir() || link && isFolder(file)
			switch {
			case comp == "**" && more:
				if folder && !link {
					err = expand(file, "**/"+rest)
				}
			case !more && !done[file] && !(filesOnly && folder):
				done[file] = true
				found = append(found, match{file, folder})
			case more && folder:
				err = expand(file, rest)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	err := expand(fixed, rest)
	slices.SortFunc(found, func(a, b match) int { return strings.Compare(a.path, b.path) })
	return found, err
}

// splitGlob cuts a pattern into the folders before its first special character, unquoted, and the rest, which is empty
// if the pattern is a plain path.
func splitGlob(pattern string) (fixed, rest string) {
	comps := strings.Split(pattern, "/")
	i := slices.IndexFunc(comps, isGlob)
	if i < 0 {
		return unquote(pattern), ""
	}
	fixed = unquote(strings.Join(comps[:i], "/"))
	if i > 0 && fixed == "" {
		fixed = "/"
	}
	if fixed == "" {
		fixed = "."
	}
	special := slices.DeleteFunc(comps[i:], func(c string) bool { return c == "" || c == "." })
	return fixed, strings.Join(special, "/")
}

// joinGlob is the reverse of splitGlob.
func joinGlob(fixed, rest string) string {
	switch {
	case rest == "":
		return quote(fixed)
	case fixed == ".":
		return rest
	case fixed == "/":
		return "/" + rest
	}
	return quote(fixed) + "/" + rest
}

func isGlob(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

var quoter = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func quote(s string) string { return quoter.Replace(s) }

func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
