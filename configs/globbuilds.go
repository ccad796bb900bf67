package configs

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// valueOf returns the value of a key of an entry of builds, nil if it has none.
func (l *loader) valueOf(n *yaml.Node, key string) *yaml.Node {
	if n = deref(n); n.Kind != yaml.MappingNode {
		return nil
	}
	for _, p := range l.pairs(n, nil) {
		if p.key.Value == key {
			return p.val
		}
	}
	return nil
}

// globBuilds adds a build for each file or folder that the glob matches. In the entry, {0} is the
// path and {1}, {2} and so on what the special characters of the glob matched. If the entry has
// neither vmlinux nor modules, the match is its package.
func (l *loader) globBuilds(p *Plan, n, g *yaml.Node) {
	before := len(l.problems)
	pattern, ok := l.text(g, "glob", "")
	if !ok {
		return
	}
	var matches []match
	if l.glob != nil {
		var err error
		if matches, err = l.glob(pattern); err != nil {
			l.errorf(g, "glob: %s", err)
			return
		}
	}
	parts := globParts(pattern)
	for _, m := range matches {
		path := m.path
		if l.relative[pattern] { // to the folder of the file
			if rel, err := filepath.Rel(filepath.Dir(l.file), path); err == nil {
				path = rel
			}
		}
		c := combination{{"0", textNode(g, quote(path))}}
		found := parts.FindStringSubmatch(filepath.ToSlash(m.path))
		if found == nil {
			continue // a link's own spelling
		}
		for i, text := range found[1:] {
			c = append(c, axisValue{strconv.Itoa(i + 1), textNode(g, text)})
		}
		l.combo = "glob: " + m.path
		entry := l.fillIn(n, c, nil)
		l.build(p, l.withPackage(entry, c), "builds", c)
	}
	l.combo = ""
	if len(matches) == 0 && len(l.problems) == before {
		optional := l.valueOf(n, "optional")
		if l.some.Optional || optional != nil && strings.EqualFold(optional.Value, "true") {
			p.Skipped = append(p.Skipped, g.Value)
			return
		}
		l.errorf(g, "glob: nothing matches %s", pattern)
	}
}

func textNode(at *yaml.Node, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: at.Line,
		Column: at.Column}
}

// withPackage adds the key package, with the path of the match, to an entry that names no objects.
func (l *loader) withPackage(entry *yaml.Node, c combination) *yaml.Node {
	for _, p := range l.pairs(entry, nil) {
		switch p.key.Value {
		case "vmlinux", "modules", "package":
			return entry
		}
	}
	path := c.of("0")
	entry.Content = append(entry.Content, textNode(path, "package"), path)
	return entry
}

// globParts returns a regular expression for the paths that a pattern matches, with a group for
// each special character. Of several ways to match, an earlier * is as short as possible.
func globParts(pattern string) *regexp.Regexp {
	fixed, rest := splitGlob(pattern)
	var b strings.Builder
	b.WriteString("^" + regexp.QuoteMeta(strings.TrimSuffix(filepath.Clean(fixed), "/")) + "/")
	if fixed == "." {
		b.Reset()
		b.WriteString("^")
	}
	for i := 0; i < len(rest); i++ {
		switch ch := rest[i]; ch {
		case '*':
			if strings.HasPrefix(rest[i:], "**/") {
				b.WriteString("((?:[^/]+/)*?)")
				i += 2
			} else if strings.HasPrefix(rest[i:], "**") {
				b.WriteString("(.*)")
				i++
			} else {
				b.WriteString("([^/]*?)")
			}
		case '?':
			b.WriteString("([^/])")
		case '[':
			b.WriteString("([^/])") // the match was found already
			for i++; i < len(rest) && (rest[i] != ']'); i++ {
				if rest[i] == '\\' {
					i++
				}
			}
		case '\\':
			if i++; i < len(rest) {
				b.WriteString(regexp.QuoteMeta(rest[i : i+1]))
			}
		default:
			b.WriteString(regexp.QuoteMeta(rest[i : i+1]))
		}
	}
	r, err := regexp.Compile(b.String() + "$")
	if err != nil {
		panic(fmt.Sprintf("%q: %v", pattern, err)) // every part of it is quoted
	}
	return r
}
