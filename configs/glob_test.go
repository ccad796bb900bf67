package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGlob holds the cases in which globs differ from those of doublestar alone. bash 5.2 with
// globstar and nullglob set matches the same, except where a comment says otherwise.
func TestGlob(t *testing.T) {
	dir := write(t, "a/x.ko", "", "a/b/x.ko", "", "a/b/c/y.ko", "", "a/.h/x.ko", "", "a/.x.ko", "",
		"{p,q}/x.ko", "", "p/x.ko", "", "!/x.ko", "", "file", "", `back\slash/x.ko`, "")
	for link, target := range map[string]string{
		"up": "a", "a/b/loop": "..", "a/self": "self", "a/dangling.ko": "nowhere",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		// Hidden files match only a component that begins with a dot.
		"a/*":        "a/b/ a/dangling.ko a/self a/x.ko",
		"a/.*":       "a/.h/ a/.x.ko",
		"a/[.]*":     "",
		`a/\.*`:      "", // bash: like .*
		"a/?h/*":     "",
		"a/.h/*":     "a/.h/x.ko",
		"a/**/x.ko":  "a/b/x.ko a/x.ko",
		"a/**/.?.ko": "a/.x.ko",
		// ** does not follow links, * does. In bash, the last folder that ** matches may be a link.
		"*/x.ko":        "!/x.ko a/x.ko back\\slash/x.ko p/x.ko up/x.ko {p,q}/x.ko",
		"up/*.ko":       "up/dangling.ko up/x.ko",
		"up/**/y.ko":    "up/b/c/y.ko",
		"u*/**/y.ko":    "up/b/c/y.ko",
		"a/*/loop/*/c":  "a/b/loop/b/c/",
		"**/c/*":        "a/b/c/y.ko",
		"**/loop/x.ko":  "a/b/loop/x.ko",
		"**/loop/**/c":  "a/b/loop/b/c/",
		"a/**/**/c/**":  "a/b/c/y.ko",
		"a/*/dangling*": "",
		// A link that leads nowhere is a file.
		"**/dangling.ko": "a/dangling.ko",
		"a/**/self":      "a/self",
		// ** is special only as a whole component. As the last one, it matches files only (in bash
		// also folders).
		"a/**.ko": "a/dangling.ko a/x.ko",
		"a/**":    "a/b/c/y.ko a/b/x.ko a/dangling.ko a/self a/x.ko",
		"a/b/**":  "a/b/c/y.ko a/b/x.ko",
		// Braces are letters, and only ^ negates a class (in bash also !).
		"{p,q}/*":          "{p,q}/x.ko",
		"{p,[q]}/x.ko":     "{p,q}/x.ko",
		"[!p]/x.ko":        "!/x.ko p/x.ko",
		"[^p]/x.ko":        "!/x.ko a/x.ko",
		`*/x\.ko`:          "!/x.ko a/x.ko back\\slash/x.ko p/x.ko up/x.ko {p,q}/x.ko",
		`back\\*/x.ko`:     `back\slash/x.ko`,
		`[b]ack\\slash/*`:  `back\slash/x.ko`,
		"**/back\\\\slash": `back\slash/`,
		// Components are not folded, even if they are equal.
		"*/*/*.ko": "a/b/x.ko up/b/x.ko",
		// A missing folder is no error, a file in place of a folder is one (bash: no match).
		"none/*":      "",
		"none/**/x":   "",
		"file/*":      "open D/file: not a directory",
		"file/**/*.o": "open D/file: not a directory",
	} {
		matches, err := glob(quote(dir) + "/" + pattern)
		var names []string
		for _, m := range matches {
			name := strings.TrimPrefix(m.path, dir+"/")
			if m.dir {
				name += "/"
			}
			names = append(names, name)
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if got = strings.ReplaceAll(got, dir, "D"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", pattern, got, want)
		}
	}
}
