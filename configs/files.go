package configs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

	"kas/packages"
)

// buildPaths is what checkFiles looks for.
type buildPaths struct {
	optional bool
	entries  []pathEntry
	folders  []pathEntry
}

type pathEntry struct {
	key, pattern string
	pos          position
}

// pattern expands environment variables in n and resolves it against the folder of the file. The
// values of variables and the folder are quoted, so that they are never read as globs.
func (l *loader) pattern(n *yaml.Node, key string) string {
	s := l.expandEnv(n, key, quote)
	if s == "" {
		return ""
	}
	for c := range strings.SplitSeq(s, "/") {
		if _, err := path.Match(c, ""); err != nil {
			l.errorf(n, "%s: bad glob %q", key, n.Value)
			return ""
		}
	}
	fixed, rest := splitGlob(s)
	relative := !filepath.IsAbs(fixed)
	if relative {
		fixed = filepath.Join(filepath.Dir(l.file), fixed)
	}
	s = joinGlob(filepath.Clean(fixed), rest)
	if relative {
		l.relative[s] = true
	}
	l.entries = append(l.entries, pathEntry{key, s, at(n)})
	return s
}

// folder expands environment variables in n, resolves it against the folder of the file and checks
// that it is there.
func (l *loader) folder(n *yaml.Node, key string) string {
	s := l.expandEnv(n, key, func(value string) string { return value })
	if s == "" {
		return ""
	}
	if s = filepath.Clean(s); !filepath.IsAbs(s) {
		s = filepath.Join(filepath.Dir(l.file), s)
		l.relative[s] = true
	}
	l.folders = append(l.folders, pathEntry{key, s, at(n)})
	return s
}

// checkFolders looks for the folders that a build or all builds name.
func (l *loader) checkFolders(folders []pathEntry) {
	for _, f := range folders {
		fi, err := os.Stat(f.pattern)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			l.errorAt(f.pos, "%s: no such folder: %s", f.key, f.pattern)
		case err != nil:
			l.errorAt(f.pos, "%s: %w", f.key, err)
		case !fi.IsDir():
			l.errorAt(f.pos, "%s: %s is not a folder", f.key, f.pattern)
		}
	}
}

var (
	variable     = lazily(`\$\{([^}]*)(\}?)`)
	variableName = lazily(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// expandEnv replaces ${NAME} and ${NAME:-default} in n as the shell does: the default is used if
// NAME is unset or empty. Without a default, an unset NAME is an error. Values pass through quote.
// After an error, expandEnv returns "".
func (l *loader) expandEnv(n *yaml.Node, key string, quote func(string) string) string {
	before := len(l.problems)
	fail := func(format string, args ...any) string {
		l.errorf(n, key+": "+format, args...)
		return ""
	}
	s := variable().ReplaceAllStringFunc(n.Value, func(ref string) string {
		body, closed := strings.CutSuffix(ref[2:], "}")
		name, def, hasDef := strings.Cut(body, ":-")
		if !closed || !variableName().MatchString(name) {
			return fail("%q is neither ${NAME} nor ${NAME:-default}", ref)
		}
		value, isSet := l.env(name)
		switch {
		case hasDef && value == "":
			return def
		case !isSet:
			return fail("the environment variable %s is not set; ${%s:-default} gives it a default",
				name, name)
		}
		return quote(value)
	})
	switch {
	case len(l.problems) > before:
		return ""
	case s == "":
		fail("empty")
	}
	return s
}

// checkFiles looks for every file of the plan, resolves the vmlinux globs and drops the optional
// builds that have no file.
func (l *loader) checkFiles(p *Plan) {
	if fi, err := os.Stat(p.Out); err == nil && !fi.IsDir() && l.top["out"].val != nil {
		l.errorf(l.top["out"].val, "out: %s is not a folder", p.Out)
	}
	l.checkFolders(l.common)
	var builds []Build
	beside := map[string]string{} // path of a module -> build that writes beside it
	for i := range p.Builds {
		b, before := &p.Builds[i], len(l.problems)
		l.combo = b.combo
		if absent := l.findFiles(p, b, l.paths[i]); absent {
			l.problems = l.problems[:before]
			p.Skipped = append(p.Skipped, b.Name)
			continue
		}
		l.checkFolders(l.paths[i].folders)
		if len(l.problems) == before && !l.some.Unlisted {
			l.checkModules(b, beside)
		}
		builds = append(builds, *b)
	}
	l.combo = ""
	if len(builds) == 0 && len(p.Skipped) > 0 && l.some.Shards == 0 {
		key := cmp.Or(l.top["builds"].key, l.top["matrix"].key)
		needs := p.Skipped[0] // of a glob
		if len(l.paths) > 0 {
			needs = l.paths[0].entries[0].pattern
		}
		l.errorf(key, "all builds are optional and none has files here; the first, %s, needs %s",
			p.Skipped[0], needs)
	}
	p.Builds = builds
}

// findFiles looks for the entries of a build. It reports whether the build is optional and none of
// them exists.
func (l *loader) findFiles(p *Plan, b *Build, paths buildPaths) (absent bool) {
	missing := 0
	for _, e := range paths.entries {
		var err error
		switch {
		case e.key == "package" || e.key == "modules" && packages.Is(unquote(e.pattern)):
			var files []string
			files, err = findPackages(e.pattern)
			for _, file := range files {
				b.packages = append(b.packages, packageFile{e.key, file, e.pos})
			}
		case e.key == "vmlinux":
			b.Vmlinux, err = findVmlinux(e.pattern)
			if p.relative[e.pattern] {
				p.relative[b.Vmlinux] = true
			}
			if err == nil && packages.Is(b.Vmlinux) {
				b.packages = append(b.packages, packageFile{e.key, b.Vmlinux, e.pos})
			}
		case l.some.Unlisted:
			err = lookFor(e.pattern)
		default:
			var files []ModuleFile
			files, err = entryFiles(e.pattern)
			b.found = append(b.found, files...)
		}
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			err = fmt.Errorf("no such file: %s", unquote(e.pattern))
			if _, rest := splitGlob(e.pattern); rest != "" {
				err = fmt.Errorf("nothing matches %s", e.pattern)
			}
			if paths.optional {
				const only = "; an optional build is skipped only if none of its files exists"
				err = fmt.Errorf("%w"+only, err)
			}
		}
		if err != nil {
			l.errorAt(e.pos, "%s: %w", e.key, err)
		}
	}
	return paths.optional && missing > 0 && missing == len(paths.entries)
}

// checkModules sorts the modules of b and checks that no other build writes beside one of them.
func (l *loader) checkModules(b *Build, beside map[string]string) {
	var err error
	if b.found, err = sortModules(b.found); err != nil {
		l.errorAt(b.at["modules"], "modules: %s", err)
	}
	if !b.Emit.Beside {
		return
	}
	for _, m := range b.found {
		if other, ok := beside[m.Path]; ok {
			l.errorAt(b.at["modules"], "modules: build %q also writes beside %s", other, m.Path)
			return
		}
		beside[m.Path] = b.Name
	}
}

// findVmlinux returns the only file that the pattern matches. If there is none, the error is an
// fs.ErrNotExist.
func findVmlinux(pattern string) (string, error) {
	fixed, rest := splitGlob(pattern)
	if rest == "" {
		fi, err := os.Stat(fixed)
		if err == nil && fi.IsDir() {
			err = fmt.Errorf("%s is a folder", fixed)
		}
		if err != nil {
			return "", err
		}
		return fixed, nil
	}
	matches, err := glob(pattern)
	if err != nil {
		return "", err
	}
	var found []string
	seen := map[string]bool{} // distributions give their vmlinux several names
	for _, m := range matches {
		if m.dir {
			continue
		}
		target, err := filepath.EvalSymlinks(m.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", err
		case !seen[target]:
			found = append(found, m.path)
		}
		seen[target] = true
	}
	switch len(found) {
	case 0:
		return "", fs.ErrNotExist
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s matches %d files, not one: %s", pattern, len(found),
		strings.Join(found, ", "))
}
