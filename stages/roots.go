package stages

import (
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
)

// evidence is what the units of an object say about the location of the source tree.
type evidence struct {
	Dirs  set // compilation folders (DW_AT_comp_dir)
	Files set // absolute paths of primary source files
	Roots set // source roots that follow from a single unit
}

type set map[string]bool

// topLevel lists the folders in the root of the kernel's source tree.
var topLevel = set{
	"arch": true, "block": true, "certs": true, "crypto": true, "drivers": true, "fs": true,
	"include": true, "init": true, "io_uring": true, "ipc": true, "kernel": true, "lib": true,
	"mm": true, "net": true, "rust": true, "samples": true, "scripts": true, "security": true,
	"sound": true, "tools": true, "usr": true, "virt": true,
}

func newEvidence() *evidence {
	return &evidence{Dirs: set{}, Files: set{}, Roots: set{}}
}

// add adds a unit: its primary source file and DW_AT_comp_dir.
func (e *evidence) add(name, compDir string) {
	if path.IsAbs(compDir) {
		e.Dirs[path.Clean(compDir)] = true
	}
	full := path.Clean(name)
	if !path.IsAbs(full) {
		full = path.Join(compDir, full)
	}
	if !path.IsAbs(full) || inRustSource(full) {
		return
	}
	if root, ok := strings.CutSuffix(full, "/init/main.c"); ok {
		e.Roots[root] = true
	}
	// If the unit was compiled in the source tree, the root is the common part of both paths.
	if path.IsAbs(name) && path.IsAbs(compDir) {
		if root := commonDir(full, path.Clean(compDir)+"/"); inTopLevel(full, root) {
			e.Roots[root] = true
		}
		e.Files[full] = true
	}
}

func (e *evidence) merge(o *evidence) {
	maps.Copy(e.Dirs, o.Dirs)
	maps.Copy(e.Files, o.Files)
	maps.Copy(e.Roots, o.Roots)
}

// commonDir returns the deepest folder that contains both paths.
func commonDir(a, b string) string {
	dir := 0
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '/' {
			dir = i
		}
	}
	return a[:dir]
}

// inTopLevel reports whether a file is in a top-level folder of the kernel if the source tree has
// this root.
func inTopLevel(file, root string) bool {
	rest, ok := strings.CutPrefix(file, root+"/")
	first, _, deeper := strings.Cut(rest, "/")
	return ok && root != "" && deeper && topLevel[first]
}

// roots are the folders that source paths are made relative to, each with a slash at its end, in
// the order of their bytes. above has the index of the next folder above each, -1 if there is none.
// An object may name another folder in every unit.
type roots struct {
	dirs  []string
	above []int
}

// of returns the longest root that a file is in, with a slash at its end, "" if it is in none.
func (r *roots) of(file string) string {
	i := sort.Search(len(r.dirs), func(i int) bool { return r.dirs[i] > file }) - 1
	if i < 0 {
		return ""
	}
	// The file has with no root more in common than with the last one before it.
	dir, common := r.dirs[i], 0
	for common < min(len(file), len(dir)) && file[common] == dir[common] {
		common++
	}
	for ; i >= 0; i = r.above[i] {
		if len(r.dirs[i]) <= common {
			return r.dirs[i]
		}
	}
	return ""
}

// findRoots returns the source roots: those of the configuration and more, and the compilation
// folders, which contain generated files. If the configuration has none, it adds those that the
// evidence shows.
func findRoots(configured, more []string, e *evidence) *roots {
	all := set{}
	for _, r := range slices.Concat(configured, more) {
		all[path.Clean(r)] = true
	}
	if len(configured) == 0 {
		for r := range e.Roots {
			all[r] = true
		}
		// A build of modules alone has no init/main.c.
		if len(e.Roots) == 0 {
			if r := deepestRoot(e.Files); r != "" {
				all[r] = true
			}
		}
	}
	for d := range e.Dirs {
		all[d] = true
	}
	found := &roots{}
	for r := range all {
		if r != "/" && r != "." && r != "" {
			found.dirs = append(found.dirs, r+"/")
		}
	}
	slices.Sort(found.dirs)
	found.above = make([]int, len(found.dirs))
	for i, dir := range found.dirs {
		above := i - 1
		for above >= 0 && !strings.HasPrefix(dir, found.dirs[above]) {
			above = found.above[above]
		}
		found.above[i] = above
	}
	return found
}

// nested lists folders of the kernel's source tree that are named like a folder in its root, by the
// folder they are in, for those with code (Linux 6.12). An architecture is *.
var nested = map[string]set{
	"arch/*": {
		"crypto": true, "drivers": true, "include": true, "kernel": true, "lib": true,
		"mm": true, "net": true, "tools": true, "virt": true,
	},
	"arch/*/boot":          {"lib": true, "tools": true},
	"arch/*/cavium-octeon": {"crypto": true},
	"arch/*/fw":            {"lib": true},
	"arch/*/os-Linux":      {"drivers": true},
	"drivers": {
		"block": true, "crypto": true, "net": true, "virt": true,
	},
	"drivers/comedi":                          {"drivers": true},
	"drivers/comedi/drivers/ni_routing":       {"tools": true},
	"drivers/hid/intel-ish-hid":               {"ipc": true},
	"drivers/net/ethernet/mellanox/mlx5/core": {"lib": true},
	"drivers/net/ethernet/netronome/nfp":      {"crypto": true},
	"drivers/s390":                            {"block": true, "crypto": true, "net": true},
	"drivers/staging/most":                    {"net": true},
	"drivers/vdpa/mlx5":                       {"net": true},
	"fs":                                      {"crypto": true},
	"fs/ntfs3":                                {"lib": true},
	"lib":                                     {"crypto": true},
	"net/dccp/ccids":                          {"lib": true},
	"rust":                                    {"kernel": true},
	"rust/kernel":                             {"block": true, "init": true, "net": true},
	"samples":                                 {"rust": true},
	"sound":                                   {"drivers": true},
	"virt":                                    {"lib": true},
}

// deepestRoot returns the deepest folder from which every file is in one of the kernel's top-level
// folders, "" if there is none. If that folder and those below it are nested in a kernel's tree,
// it returns the root of the tree: samples/rust is no rust.
func deepestRoot(files set) string {
	common, first := "", true
	for f := range files {
		if first {
			common, first = path.Dir(f), false
		} else {
			common = commonDir(f, common+"/")
		}
	}
	root := ""
	for ; len(common) > 1; common = path.Dir(common) {
		fits := true
		for f := range files {
			fits = inTopLevel(f, common) && (root == "" || isNested(f, root, common))
			if !fits {
				break
			}
		}
		if fits {
			root = common
		}
	}
	return root
}

// isNested reports whether the folder below folder that a file is in is nested in a kernel's tree
// with this root.
func isNested(file, folder, root string) bool {
	parts := strings.Split(strings.TrimPrefix(folder, root+"/"), "/")
	if len(parts) > 1 && parts[0] == "arch" {
		parts[1] = "*"
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(file, folder+"/"), "/")
	return nested[strings.Join(parts, "/")][name]
}

// rustCrates lists the crates of the Rust library: the folders below library/ in Rust's source
// tree.
var rustCrates = set{
	"alloc": true, "backtrace": true, "compiler-builtins": true, "core": true,
	"panic_abort": true, "panic_unwind": true, "portable-simd": true, "proc_macro": true,
	"std": true, "std_detect": true, "stdarch": true, "sysroot": true, "test": true, "unwind": true,
}

// rustSource returns the path of a file of the Rust library relative to the root of Rust's source
// tree: library/core/src/num/mod.rs. That root is /usr/lib/rustlib/src/rust, the same folder in a
// toolchain of rustup, /rustc/HASH in a library that the Rust project built,
// /usr/src/rustc-VERSION, or any folder with library/CRATE in it. It returns false for all other
// files.
func rustSource(file string) (string, bool) {
	if path.Ext(file) != ".rs" {
		return "", false
	}
	if _, rest, ok := strings.Cut("/"+file, "/rustlib/src/rust/"); ok {
		return rest, true
	}
	if !path.IsAbs(file) && !strings.HasPrefix(file, "../") {
		return "", false
	}
	if rest, ok := strings.CutPrefix(file, "/rustc/"); ok {
		_, rest, ok = strings.Cut(rest, "/")
		return rest, ok
	}
	for rest := file; ; {
		folder, below, deeper := strings.Cut(rest, "/")
		if !deeper {
			return "", false
		}
		version, ok := strings.CutPrefix(folder, "rustc-")
		if ok && version != "" && isNumber(version[:1]) {
			return below, true
		}
		crate, _, _ := strings.Cut(below, "/")
		if folder == "library" && rustCrates[crate] {
			return rest, true
		}
		rest = below
	}
}

// inRustSource reports whether the file is one of the Rust library, which is not in the kernel's
// source tree.
func inRustSource(file string) bool {
	_, ok := rustSource(file)
	return ok
}

// relative returns the path of a file relative to the source root, or to the compilation folder for
// a generated file. Files of the Rust library are relative to the root of Rust's source tree.
// compDir is the compilation folder of the unit that names the file. Of a file outside these
// folders it returns only the base name, so that no path of a build host gets into an alias.
func (r *roots) relative(file, compDir string) string {
	file = path.Clean(file)
	if strings.HasPrefix(file, "../") {
		file = path.Join(compDir, file)
	}
	if rest, ok := rustSource(file); ok {
		return rest
	}
	if !path.IsAbs(file) {
		// With a prefix map (-ffile-prefix-map) compDir may be relative, too, and the path may
		// start with it.
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
	if root := r.of(file); root != "" {
		return file[len(root):]
	}
	return path.Base(file)
}
