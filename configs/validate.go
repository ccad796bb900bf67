package configs

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// parse makes a plan of data without looking at the file system. With problems found, the plan holds what could be made out.
func (l *loader) parse(data []byte) *Plan {
	p := &Plan{File: l.file, Out: "out", OnError: "continue", relative: map[string]bool{}}
	root := l.document(data)
	if root == nil {
		return p
	}
	f := &l.top
	l.mapping(deref(root), valueOf(f), "the configuration")
	if f.node.Kind != yaml.MappingNode || l.budget <= 0 {
		return p
	}
	switch {
	case !f.has("version"):
		l.errorf(f.node, "version is missing; write `version: 1`")
	case f.Version.node != nil && f.Version.n != 1:
		l.errorf(f.Version.node, "version %d is not supported; this kas reads version 1", f.Version.n)
	}
	if !f.has("builds") && !f.has("matrix") && !l.policyOnly {
		l.errorf(f.node, "nothing to do: builds or matrix is missing")
	}
	for _, key := range []string{"builds", "matrix"} {
		if n := f.vals[key]; n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			l.errorf(n, "%s: the list is empty", key)
		}
	}
	p.Jobs = f.Jobs.n
	set(&p.OnError, f.OnError)
	l.out(p, f.Out)

	base := defaults()
	base.file = l.file
	l.options(&base, &f.place, f.Alias, f.Emit, f.Stages)
	if l.base = base; l.policyOnly {
		return p
	}
	for i := range f.Builds {
		l.build(p, base, &f.Builds[i])
	}
	for i := range f.Matrix {
		l.matrix(p, base, &f.Matrix[i])
	}
	l.uniqueNames(p)
	return p
}

// defaults is a build for which a configuration says nothing.
func defaults() Build {
	return Build{
		Alias:  Alias{Separator: "@", Line: "opening", Symbols: "text"},
		Emit:   Emit{Unaliased: "skip"},
		Stages: choices("stages"),
	}
}

// build checks a raw build and adds it to the plan, with base giving the values it does not set.
func (l *loader) build(p *Plan, base Build, r *rawBuild) {
	if r.node.Kind != yaml.MappingNode {
		return
	}
	b, bp := base, buildPaths{optional: r.Optional.b}
	b.combo = l.combo
	b.at = map[string]position{"": at(r.node)}
	for key, n := range r.vals {
		b.at[key] = at(n)
	}
	if !r.has("name") {
		l.errorf(r.node, "a build has no name")
	} else if r.Name.node != nil {
		b.Name = r.Name.s
		l.buildName(r.Name)
	}
	b.Arch = canonicalArch(r.Arch.s)
	b.Toolchain, b.LTO, b.Source = r.Toolchain.s, r.LTO.s, r.Source.strings()
	if !r.has("vmlinux") && (!r.has("modules") || r.Modules.node.Kind == yaml.SequenceNode && len(r.Modules.node.Content) == 0) {
		l.errorf(r.node, "a build needs vmlinux or modules, at least one")
	}
	if pattern, ok := l.pattern(p, r.Vmlinux, "vmlinux"); ok {
		b.Vmlinux = pattern // checkFiles makes a path of it
		bp.vmlinux = &pathEntry{pattern, at(r.Vmlinux.node)}
	}
	for _, t := range r.Modules.items {
		if pattern, ok := l.pattern(p, t, "modules"); ok {
			b.Modules = append(b.Modules, pattern)
			bp.modules = append(bp.modules, pathEntry{pattern, at(t.node)})
		}
	}
	l.options(&b, &r.place, r.Alias, r.Emit, r.Stages)
	p.Builds, l.paths = append(p.Builds, b), append(l.paths, bp)
}

// buildName refuses what cannot be the name of a folder in the output.
func (l *loader) buildName(t text) {
	switch {
	case strings.ContainsAny(t.s, `/\`):
		l.errorf(t.node, "name: %q holds a path separator; a build's name is a folder of the output", t.s)
	case t.s == "." || t.s == "..":
		l.errorf(t.node, "name: %q names a folder that exists already; a build's name is a folder of the output", t.s)
	case t.s == "stats.json" || t.s == "kas.effective.yaml":
		l.errorf(t.node, "name: %q is a file of the output; a build's name is a folder beside it", t.s)
	case strings.ContainsFunc(t.s, unicode.IsControl):
		l.errorf(t.node, "name: %q holds a control character", t.s)
	}
}

func (l *loader) uniqueNames(p *Plan) {
	first := map[string]int{}
	for _, b := range p.Builds {
		if b.Name == "" {
			continue
		}
		l.combo = b.combo
		if line, ok := first[b.Name]; ok {
			l.errorAt(b.at["name"], "build %q is already defined on line %d", b.Name, line)
		} else {
			first[b.Name] = b.at["name"].line
		}
	}
	l.combo = ""
}

// options checks what can be set for all builds and for one, and puts it into b key by key.
func (l *loader) options(b *Build, of *place, a rawAlias, e rawEmit, stages []text) {
	if l.separator(a.Separator) {
		b.Alias.Separator = a.Separator.s
	}
	set(&b.Alias.Line, a.Line)
	set(&b.Alias.Symbols, a.Symbols)
	if a.MaxLength.node != nil {
		b.Alias.MaxLength = a.MaxLength.n
	}
	if n := a.Names.node; n != nil {
		b.Alias.Names = l.names(a.Names)
	}
	if a.Never.node != nil {
		b.Alias.Never = l.never(a.Never)
	}
	if a.SuffixFree.node != nil {
		b.Alias.SuffixFree = a.SuffixFree.b
	}
	if e.Beside.node != nil {
		b.Emit.Beside = e.Beside.b
	}
	set(&b.Emit.Unaliased, e.Unaliased)
	if n := of.vals["stages"]; n != nil && n.Kind == yaml.SequenceNode {
		if len(n.Content) == 0 {
			l.errorf(n, "stages: the list is empty")
		}
		if len(stages) == len(n.Content) {
			l.stages(stages)
		}
		b.Stages = nil
		for _, t := range stages {
			b.Stages = append(b.Stages, t.s)
		}
	}
}

func set(to *string, t text) {
	if t.node != nil {
		*to = t.s
	}
}

// separator reports whether t is given and can be told from the name before it and the location behind it.
func (l *loader) separator(t text) bool {
	plain := func(r rune) bool {
		return r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	switch {
	case t.node == nil:
		return false
	case strings.ContainsFunc(t.s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		l.errorf(t.node, "separator: %q holds white space or a control character; nothing could read the alias back", t.s)
	case !strings.ContainsFunc(t.s, func(r rune) bool { return !plain(r) }):
		l.errorf(t.node, "separator: %q could be part of a symbol's name; one character other than letters, digits, _ and . is needed", t.s)
	case strings.Contains(t.s, "@@"):
		l.errorf(t.node, "separator: %q marks the default version of a symbol; linkers would rename the original", t.s)
	default:
		return true
	}
	return false
}

func (l *loader) names(r list) Names {
	switch r.node.Kind {
	case yaml.ScalarNode:
		if len(r.items) == 1 {
			return Names{All: l.choice(r.node, "names", "names") && r.items[0].s == "all"}
		}
	case yaml.SequenceNode:
		if len(r.node.Content) == 0 {
			l.errorf(r.node, "names: the list is empty; write duplicates, all or globs")
		}
		for _, t := range r.items {
			if _, err := path.Match(t.s, ""); err != nil {
				l.errorf(t.node, "names: bad glob %q", t.s)
			}
		}
		return Names{Globs: r.strings()}
	}
	return Names{}
}

func (l *loader) never(r rawNever) Never {
	patterns, replace := r.Add, r.has("replace")
	if replace {
		patterns = r.Replace
		if r.has("add") {
			l.errorf(r.keys["replace"], "never: either add or replace, not both")
		}
	}
	for _, t := range slices.Concat(r.Add.items, r.Replace.items) {
		if _, err := regexp.Compile(t.s); err != nil {
			l.errorf(t.node, "never: %s", strings.Replace(err.Error(), "error parsing regexp", "bad regular expression", 1))
		}
	}
	return Never{Replace: replace, Patterns: patterns.strings()}
}

// stages checks that every stage stands behind all it needs: those before it in the full list, but stats can do without emit.
func (l *loader) stages(given []text) {
	all := choices("stages")
	rank := func(t text) int { return slices.Index(all, t.s) }
	for i, t := range given {
		if j := slices.IndexFunc(given[:i], func(o text) bool { return o.s == t.s }); j >= 0 {
			l.errorf(t.node, "stages: %s stands twice", t.s)
			continue
		}
		if j := slices.IndexFunc(given[:i], func(o text) bool { return rank(o) > rank(t) }); j >= 0 {
			l.errorf(t.node, "stages: %s must stand before %s", t.s, given[j].s)
		}
		var missing []string
		for _, need := range all[:rank(t)] {
			if need != "emit" && !slices.ContainsFunc(given, func(o text) bool { return o.s == need }) {
				missing = append(missing, need)
			}
		}
		if len(missing) > 0 {
			l.errorf(t.node, "stages: %s needs %s before it", t.s, strings.Join(missing, ", "))
		}
	}
}

// matrix expands a template into a build for every combination of the axes that is not excluded.
func (l *loader) matrix(p *Plan, base Build, m *rawMatrix) {
	if m.node.Kind != yaml.MappingNode {
		return
	}
	if m.Build == nil {
		l.errorf(m.node, "a matrix has no build: the template of its builds")
		return
	}
	names, axes := []string{"arch", "toolchain", "lto"}, [][]text{m.Arch, m.Toolchain, m.LTO}
	given, bad := 0, false
	for i, key := range names {
		if n := m.vals[key]; n != nil {
			given++
			bad = bad || len(axes[i]) == 0
			if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
				l.errorf(n, "%s: the list is empty", key)
			}
		}
		for j, t := range axes[i] {
			if slices.ContainsFunc(axes[i][:j], func(o text) bool { return canonicalArch(o.s) == canonicalArch(t.s) }) {
				l.errorf(t.node, "%s: %q stands twice", key, t.s)
				bad = true
			}
		}
	}
	if given == 0 {
		l.errorf(m.node, "a matrix needs arch, toolchain or lto, at least one")
	}
	if given == 0 || bad {
		return
	}
	used, left := make([]bool, len(m.Exclude)), 0
	for _, c := range combinations(axes) {
		if m.excludes(c, used) {
			continue
		}
		left++
		l.expand(p, base, m.Build, names, c)
	}
	for i, x := range m.Exclude {
		if x.valid() && !used[i] {
			l.errorf(x.node, "exclude: matches no combination")
		}
	}
	if left == 0 {
		l.errorf(m.node, "every combination of the matrix is excluded")
	}
}

// combinations returns the product of the axes, the last one turning fastest; an axis that is not given is the zero text.
func combinations(axes [][]text) [][]text {
	all := [][]text{nil}
	for _, axis := range axes {
		if len(axis) == 0 {
			axis = []text{{}}
		}
		var next [][]text
		for _, c := range all {
			for _, t := range axis {
				next = append(next, append(slices.Clip(c), t))
			}
		}
		all = next
	}
	return all
}

// excludes reports whether an entry of exclude matches the combination, and notes in used which did.
func (m *rawMatrix) excludes(c []text, used []bool) bool {
	found := false
	for i, x := range m.Exclude {
		match := x.valid()
		for j, want := range []text{x.Arch, x.Toolchain, x.LTO} {
			match = match && (want.node == nil || canonicalArch(want.s) == canonicalArch(c[j].s))
		}
		used[i] = used[i] || match
		found = found || match
	}
	return found
}

// valid reports whether the entry can be taken at its word: all it names was understood.
func (x *rawExclude) valid() bool {
	return x.node.Kind == yaml.MappingNode && x.has("arch") == (x.Arch.node != nil) &&
		x.has("toolchain") == (x.Toolchain.node != nil) && x.has("lto") == (x.LTO.node != nil)
}

// expand adds the build that the template makes of one combination.
func (l *loader) expand(p *Plan, base Build, template *yaml.Node, names []string, c []text) {
	var combo []string
	for i, t := range c {
		if t.node != nil {
			combo = append(combo, names[i]+" "+t.s)
		}
	}
	l.combo = strings.Join(combo, ", ")
	defer func() { l.combo = "" }()

	fill := func(n *yaml.Node) string {
		s := n.Value
		for i, t := range c {
			placeholder := "{" + names[i] + "}"
			if t.node == nil && strings.Contains(s, placeholder) {
				l.errorf(n, "%s: the matrix has no %s", placeholder, names[i])
			}
			if t.node != nil {
				s = strings.ReplaceAll(s, placeholder, t.s)
			}
		}
		return s
	}
	var r rawBuild
	l.decode(l.fillIn(template, fill, nil), valueOf(&r), "build", "")
	if l.budget <= 0 {
		return
	}
	for i, to := range []*text{&r.Arch, &r.Toolchain, &r.LTO} {
		if c[i].node == nil {
			continue
		}
		if to.node != nil && canonicalArch(to.s) != canonicalArch(c[i].s) {
			l.errorf(to.node, "%s: the matrix sets it already", names[i])
		}
		*to = c[i]
		r.vals[names[i]] = c[i].node
	}
	l.build(p, base, &r)
}

// fillIn copies the node, aliases expanded, with every string value passed through fill. Positions stay.
func (l *loader) fillIn(n *yaml.Node, fill func(*yaml.Node) string, within []*yaml.Node) *yaml.Node {
	n = deref(n)
	c := *n
	if !l.spend(n) {
		return &c
	}
	if slices.Contains(within, n) {
		l.errorf(n, "an anchor holds its own alias")
		c.Content = nil
		return &c
	}
	within = append(within, n)
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			c.Content[i] = item
		} else {
			c.Content[i] = l.fillIn(item, fill, within)
		}
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		c.Value = fill(n)
	}
	return &c
}

func (l *loader) out(p *Plan, t text) {
	set(&p.Out, t)
	if t.node != nil {
		var ok bool
		if p.Out, ok = l.expandEnv(t, "out", func(s string) string { return s }); !ok {
			return
		}
	}
	relative := !filepath.IsAbs(p.Out)
	if relative {
		p.Out = filepath.Join(filepath.Dir(l.file), p.Out)
	}
	p.Out = filepath.Clean(p.Out)
	if relative {
		p.relative[p.Out] = true
	}
}

// pattern expands the environment in t and resolves it against the file's folder. What comes from outside the text, a
// variable's value or the folder, is no glob even if it looks like one.
func (l *loader) pattern(p *Plan, t text, key string) (string, bool) {
	if t.node == nil {
		return "", false
	}
	s, ok := l.expandEnv(t, key, quote)
	if !ok {
		return "", false
	}
	for c := range strings.SplitSeq(s, "/") {
		if _, err := path.Match(c, ""); err != nil {
			l.errorf(t.node, "%s: bad glob %q", key, t.s)
			return "", false
		}
	}
	fixed, rest := splitGlob(s)
	relative := !filepath.IsAbs(fixed)
	if relative {
		fixed = filepath.Join(filepath.Dir(l.file), fixed)
	}
	s = joinGlob(filepath.Clean(fixed), rest)
	if relative {
		p.relative[s] = true
	}
	return s, true
}

var variable = regexp.MustCompile(`\$\{([^}]*)(\}?)`)
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expandEnv replaces ${NAME} and ${NAME:-default}, the first an error if NAME is not set, the second using the default
// also if it is empty, as in the shell.
func (l *loader) expandEnv(t text, key string, quote func(string) string) (string, bool) {
	ok := true
	fail := func(format string, args ...any) string {
		l.errorf(t.node, key+": "+format, args...)
		ok = false
		return ""
	}
	s := variable.ReplaceAllStringFunc(t.s, func(ref string) string {
		body, closed := strings.CutSuffix(ref[2:], "}")
		name, def, hasDef := strings.Cut(body, ":-")
		if !closed || !variableName.MatchString(name) {
			return fail("%q is neither ${NAME} nor ${NAME:-default}", ref)
		}
		value, isSet := l.env(name)
		switch {
		case hasDef && value == "":
			return def
		case !isSet:
			return fail("the environment variable %s is not set; ${%s:-default} gives it a default", name, name)
		}
		return quote(value)
	})
	if ok && s == "" {
		fail("empty")
	}
	return s, ok
}

// buildPaths is what checkFiles looks for.
type buildPaths struct {
	optional bool
	vmlinux  *pathEntry
	modules  []pathEntry
}

type pathEntry struct {
	pattern string
	position
}

// checkFiles looks for every file of the plan, resolves the vmlinux globs and drops the optional builds that are absent.
func (l *loader) checkFiles(p *Plan) {
	if fi, err := os.Stat(p.Out); err == nil && !fi.IsDir() && l.top.Out.node != nil {
		l.errorf(l.top.Out.node, "out: %s is not a folder", p.Out)
	}
	var builds []Build
	beside := map[string]string{} // module to the build that writes beside it
	for i := range p.Builds {
		b, bp := &p.Builds[i], l.paths[i]
		l.combo = b.combo
		absent := 0
		var problems []problem
		note := func(pos position, format string, args ...any) {
			problems = append(problems, problem{pos, fmt.Sprintf(format, args...), b.combo})
		}
		missing := func(e pathEntry, key string) {
			absent++
			note(e.position, "%s: %s", key, nothing(e.pattern, bp.optional))
		}
		if e := bp.vmlinux; e != nil {
			file, err := findVmlinux(e.pattern)
			if file == "" && err == nil {
				missing(*e, "vmlinux")
			} else if err != nil {
				note(e.position, "vmlinux: %s", err)
			}
			b.Vmlinux = file
			if p.relative[e.pattern] {
				p.relative[file] = true
			}
		}
		for _, e := range bp.modules {
			if here, err := modulesHere(e.pattern); err != nil {
				note(e.position, "modules: %s", err)
			} else if !here {
				missing(e, "modules")
			}
		}
		total := len(bp.modules)
		if bp.vmlinux != nil {
			total++
		}
		if bp.optional && absent == total && total > 0 {
			p.Skipped = append(p.Skipped, b.Name)
			continue
		}
		if len(problems) == 0 {
			modules, err := b.ModuleFiles()
			if err != nil {
				note(b.at["modules"], "modules: %s", err)
			}
			b.found = modules
			for _, m := range modules {
				if other, ok := beside[m.Path]; ok && b.Emit.Beside {
					note(b.at["modules"], "modules: %s is written beside by build %q, too", m.Path, other)
					break
				} else if b.Emit.Beside {
					beside[m.Path] = b.Name
				}
			}
		}
		l.problems = append(l.problems, problems...)
		builds = append(builds, *b)
	}
	l.combo = ""
	if len(builds) == 0 && len(p.Skipped) > 0 {
		key := l.top.keys["builds"]
		if key == nil {
			key = l.top.keys["matrix"]
		}
		first := l.paths[0].vmlinux
		if first == nil {
			first = &l.paths[0].modules[0]
		}
		l.errorf(key, "no build of this configuration is here: all are optional and absent; the first, %s, was looked for at %s",
			p.Skipped[0], first.pattern)
	}
	p.Builds = builds
}

func nothing(pattern string, optional bool) string {
	msg := "no such file: " + unquote(pattern)
	if _, rest := splitGlob(pattern); rest != "" {
		msg = "nothing matches " + pattern
	}
	if optional {
		msg += "; an optional build is left out only if nothing of it is here"
	}
	return msg
}
