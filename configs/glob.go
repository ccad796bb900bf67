package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"
)

type match struct {
	path   string
	dir    bool // a folder, or a symbolic link to one
	absent bool // a symbolic link that leads nowhere
}

// glob returns what the pattern matches, sorted by path. Within a path component the syntax is
// that of path.Match, and only a component that begins with a dot matches hidden files. **
// matches any number of folders, and as the last component all files below. ** does not follow
// symbolic links, * does.
//
// The components are expanded one by one, since doublestar either follows links everywhere or
// nowhere.
func glob(pattern string) ([]match, error) {
	fixed, rest := splitGlob(pattern)
	if fi, err := os.Stat(fixed); err == nil && !fi.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: fixed, Err: syscall.ENOTDIR}
	}
	components := slices.CompactFunc(strings.Split(rest, "/"), func(a, b string) bool {
		return a == "**" && b == "**"
	})
	last := len(components) - 1
	filesOnly := components[last] == "**"
	if filesOnly {
		components = append(components, "*")
	}
	found := []match{{path: fixed, dir: true}}
	for _, c := range components {
		var next []match
		for _, m := range found {
			if !m.dir {
				continue
			}
			below, err := expand(m.path, c)
			if err != nil {
				return nil, err
			}
			next = append(next, below...)
		}
		slices.SortFunc(next, func(a, b match) int { return strings.Compare(a.path, b.path) })
		found = slices.Compact(next)
	}
	if filesOnly {
		found = slices.DeleteFunc(found, func(m match) bool { return m.dir })
	}
	return found, nil
}

// literal escapes what doublestar reads as special and path.Match does not: {a,b} and [!a].
var literal = strings.NewReplacer(`\\`, `\\`, `\{`, `\{`, `\}`, `\}`, `{`, `\{`,
	`}`, `\}`, `[!`, `[\!`)

// expand returns what one component of a pattern matches in dir. A component ** matches dir and
// all folders below it.
func expand(dir, component string) (found []match, err error) {
	add := func(name string, d fs.DirEntry) error {
		// For doublestar, [.]x may match a hidden file; for the shell, it may not.
		if name != "." && name[0] == '.' && component[0] != '.' {
			return nil
		}
		file := filepath.Join(dir, name)
		m := match{path: file, dir: d.IsDir()}
		if d.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(file)
			m.dir, m.absent = err == nil && info.IsDir(), err != nil
		}
		found = append(found, m)
		return nil
	}
	options := []doublestar.GlobOption{doublestar.WithFailOnIOErrors(), doublestar.WithNoHidden()}
	switch {
	case component == "**":
		options = append(options, doublestar.WithNoFollow())
		err = doublestar.GlobWalk(os.DirFS(dir), "**/", add, options...)
	case isGlob(component):
		err = doublestar.GlobWalk(os.DirFS(dir), literal.Replace(component), add, options...)
	default: // may be a link that leads nowhere, which doublestar does not return
		name := unquote(component)
		if fi, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			_ = add(name, fs.FileInfoToDirEntry(fi))
		}
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		pe.Path = filepath.Join(dir, pe.Path) // DirFS leaves out dir
	}
	return found, err
}

// splitGlob splits a pattern into the folders before its first special character, unquoted, and
// the rest. The rest is empty if the pattern is a plain path.
func splitGlob(pattern string) (fixed, rest string) {
	comps := strings.Split(pattern, "/")
	i := slices.IndexFunc(comps, isGlob)
	if i < 0 {
		return unquote(pattern), ""
	}
	fixed = unquote(strings.Join(comps[:i], "/"))
	switch {
	case fixed == "" && i > 0:
		fixed = "/"
	case fixed == "":
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

// Literal returns a path as an entry of Build.Modules that means this path, whatever it is called.
func Literal(path string) string { return quote(path) }

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
