package configs

import (
	"cmp"
	"path/filepath"
	"strings"
)

// Precedes reports whether depmod chooses a instead of b, if both are files of one module. The
// folders are searched in the order "updates extra built-in weak-updates", where built-in is
// everything else: depmod's own default, "updates built-in", and the folders that distributions
// add (depmod.d(5), "search"). In one of these folders the first path in byte order counts.
func Precedes(a, b ModuleFile) bool {
	x, y := belowRelease(a), belowRelease(b)
	return cmp.Or(searchRank(x)-searchRank(y), strings.Compare(x, y),
		strings.Compare(a.Path, b.Path)) < 0
}

// searchRank returns the position of a module's folder in the search order.
func searchRank(name string) int {
	folder, _, _ := strings.Cut(name, "/")
	switch folder {
	case "updates":
		return 0
	case "extra":
		return 1
	case "weak-updates":
		return 3
	}
	return 2
}

// belowRelease returns the path of a module below lib/modules/RELEASE, which depmod's order is
// about. For a file elsewhere it is the path below the module root.
func belowRelease(m ModuleFile) string {
	const installed = "/lib/modules/"
	if path, err := filepath.Abs(m.Path); err == nil {
		if i := strings.LastIndex(path, installed); i >= 0 {
			if _, below, ok := strings.Cut(path[i+len(installed):], "/"); ok {
				return below
			}
		}
	}
	return m.Name
}
