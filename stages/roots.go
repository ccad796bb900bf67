package stages

import (
	"path"
	"slices"
	"strings"
)

// evidence is what one object's units say about where the source lies.
type evidence struct {
	Dirs  set // folders of compilation
	Files set // absolute paths of primary source files
	Roots set // source roots that a unit gives away by itself
}

type set map[string]bool

// topLevel is the folders of the kernel's source root.
var topLevel = map[string]bool{
	"arch": true, "block": true, "certs": true, "crypto": true, "drivers": true, "fs": true, "include": true, "init": true,
	"io_uring": true, "ipc": true, "kernel": true, "lib": true, "mm": true, "net": true, "rust": true, "samples": true,
	"scripts": true, "security": true, "sound": true, "tools": true, "usr": true, "virt": true,
}

func newEvidence() *evidence {
	return &evidence{Dirs: set{}, Files: set{}, Roots: set{}}
}

// add takes the name and the folder of a unit, as its compiler wrote them.
func (e *evidence) add(name, compDir string) {
	if path.IsAbs(compDir) {
		e.Dirs[path.Clean(compDir)] = true
	}
	full := path.Clean(name)
	if !path.IsAbs(full) {
		full = path.Join(compDir, full)
	}
	if !path.IsAbs(full) {
		return
	}
	if root, ok := strings.CutSuffix(full, "/init/main.c"); ok {
		e.Roots[root] = true
	}
	// Compiled in the source tree or in a folder below its root: the root is what both paths share.
	if path.IsAbs(name) && path.IsAbs(compDir) {
		if root := commonDir(full, path.Clean(compDir)+"/"); startsTopLevel(full, root) {
			e.Roots[root] = true
		}
		e.Files[full] = true
	}
}

func (e *evidence) merge(o *evidence) {
	for _, m := range []struct{ to, from set }{{e.Dirs, o.Dirs}, {e.Files, o.Files}, {e.Roots, o.Roots}} {
		for k := range m.from {
			m.to[k] = true
		}
	}
}

// commonDir is the deepest folder that both paths lie in.
func commonDir(a, b string) string {
	dir := 0
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '/' {
			dir = i
		}
	}
	return a[:dir]
}

func startsTopLevel(file, root string) bool {
	rest, ok := strings.CutPrefix(file, root+"/")
	first, _, deeper := strings.Cut(rest, "/")
	return ok && root != "" && deeper && topLevel[first]
}

// roots are the prefixes that turn a path into one relative to the source root, the longest first.
type roots []string

// findRoots takes the roots of the configuration, what more are known, and those the units give away: of the unit init/main.c, of units
// compiled below the root, and the folders of compilation, which hold generated files.
func findRoots(configured, more []string, e *evidence) roots {
	all := set{}
	for _, r := range slices.Concat(configured, more) {
		all[path.Clean(r)] = true
	}
	if len(configured) == 0 {
		for r := range e.Roots {
			all[r] = true
		}
		// Without init/main.c, as in a build of modules alone: the deepest folder below which every file stands in one
		// of the kernel's folders.
		if len(e.Roots) == 0 {
			if r := votedRoot(e.Files); r != "" {
				all[r] = true
			}
		}
	}
	for d := range e.Dirs {
		all[d] = true
	}
	var found roots
	for r := range all {
		if r != "/" && r != "." && r != "" {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return found
}

func votedRoot(files set) string {
	common, first := "", true
	for f := range files {
		if first {
			common, first = path.Dir(f), false
		} else {
			common = commonDir(f, common+"/")
		}
	}
	for ; len(common) > 1; common = path.Dir(common) {
		fits := true
		for f := range files {
			fits = fits && startsTopLevel(f, common)
		}
		if fits {
			return common
		}
	}
	return ""
}

// relative turns a path of a unit compiled in compDir into one relative to the source root, or to the build folder for
// a generated file. Of a path outside both only the file's name is left: no host's path reaches an alias.
func (r roots) relative(file, compDir string) string {
	file = path.Clean(file)
	if strings.HasPrefix(file, "../") {
		file = path.Join(compDir, file)
	}
	if !path.IsAbs(file) {
		// A prefix map took the root away; what the compiler wrote relative to a mapped build folder still bears it.
		if !path.IsAbs(compDir) && compDir != "" {
			if rest, ok := strings.CutPrefix(file, path.Clean(compDir)+"/"); ok {
				file = rest
			}
		}
		if strings.HasPrefix(file, "../") {
			return path.Base(file)
		}
		return file
	}
	for _, root := range r {
		if rest, ok := strings.CutPrefix(file, root+"/"); ok {
			return rest
		}
	}
	return path.Base(file)
}
