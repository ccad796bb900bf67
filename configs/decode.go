package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// The raw types mirror the file. Every value keeps its node, for the position of an error; a nil node means: not given.
// The tag enum names the values that choices lists.

type rawFile struct {
	place
	Version number      `yaml:"version"`
	Out     text        `yaml:"out"`
	Jobs    number      `yaml:"jobs"`
	OnError text        `yaml:"on_error" enum:"on_error"`
	Alias   rawAlias    `yaml:"alias"`
	Stages  []text      `yaml:"stages" enum:"stages"`
	Emit    rawEmit     `yaml:"emit"`
	Builds  []rawBuild  `yaml:"builds"`
	Matrix  []rawMatrix `yaml:"matrix"`
}

type rawBuild struct {
	place
	Name      text     `yaml:"name"`
	Arch      text     `yaml:"arch" enum:"arch"`
	Toolchain text     `yaml:"toolchain" enum:"toolchain"`
	LTO       text     `yaml:"lto" enum:"lto"`
	Vmlinux   text     `yaml:"vmlinux"`
	Modules   list     `yaml:"modules"`
	Source    list     `yaml:"source"`
	Optional  boolean  `yaml:"optional"`
	Alias     rawAlias `yaml:"alias"`
	Stages    []text   `yaml:"stages" enum:"stages"`
	Emit      rawEmit  `yaml:"emit"`
}

type rawMatrix struct {
	place
	Arch      []text       `yaml:"arch" enum:"arch"`
	Toolchain []text       `yaml:"toolchain" enum:"toolchain"`
	LTO       []text       `yaml:"lto" enum:"lto"`
	Exclude   []rawExclude `yaml:"exclude"`
	Build     *yaml.Node   `yaml:"build"` // decoded once per combination
}

type rawExclude struct {
	place
	Arch      text `yaml:"arch" enum:"arch"`
	Toolchain text `yaml:"toolchain" enum:"toolchain"`
	LTO       text `yaml:"lto" enum:"lto"`
}

type rawAlias struct {
	place
	Separator text     `yaml:"separator"`
	Line      text     `yaml:"line" enum:"line"`
	Symbols   text     `yaml:"symbols" enum:"symbols"`
	Names     list     `yaml:"names"`
	MaxLength number   `yaml:"max_length"`
	Never     rawNever `yaml:"never"`

	SuffixFree boolean `yaml:"suffix_free"`
}

type rawNever struct {
	place
	Add     list `yaml:"add"`
	Replace list `yaml:"replace"`
}

type rawEmit struct {
	place
	Beside    boolean `yaml:"beside"`
	Unaliased text    `yaml:"unaliased" enum:"unaliased"`
}

// place is the first field of every raw mapping: where it and its keys and values stand.
type place struct {
	node       *yaml.Node
	keys, vals map[string]*yaml.Node
}

func (p *place) self() *place { return p }

// has reports whether the key was given.
func (p *place) has(key string) bool { return p.keys[key] != nil }

type text struct {
	s    string
	node *yaml.Node
}

type number struct {
	n    int
	node *yaml.Node
}

type boolean struct {
	b    bool
	node *yaml.Node
}

// list is written as one string or as a list of strings.
type list struct {
	items []text
	node  *yaml.Node
}

func (l list) strings() []string {
	var s []string
	for _, t := range l.items {
		s = append(s, t.s)
	}
	return s
}

// choices returns the values an enumeration allows.
func choices(enum string) []string {
	switch enum {
	case "arch":
		return []string{"x86_64", "i386", "arm64", "arm", "s390x", "powerpc64le", "powerpc64", "mips64", "mips", "riscv64", "loongarch64"}
	case "toolchain":
		return []string{"gcc", "llvm"}
	case "lto":
		return []string{"none", "thin", "full"}
	case "on_error":
		return []string{"continue", "stop"}
	case "line":
		return []string{"opening", "declaration", "none"}
	case "symbols":
		return []string{"text", "data", "all"}
	case "names":
		return []string{"duplicates", "all"}
	case "unaliased":
		return []string{"skip", "link"}
	case "stages":
		return []string{"scan", "dedupe", "normalize", "resolve", "emit", "stats"}
	}
	panic("configs: no enumeration " + enum)
}

// canonicalArch returns the name kas uses for an architecture that goes by several.
func canonicalArch(s string) string {
	switch s {
	case "amd64":
		return "x86_64"
	case "i686", "386":
		return "i386"
	case "aarch64":
		return "arm64"
	case "ppc64le":
		return "powerpc64le"
	case "mips64el":
		return "mips64"
	case "loong64":
		return "loongarch64"
	}
	return s
}

// document returns the root node of the only document in data; nil if there is none to go on with.
func (l *loader) document(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		l.errorAt(position{1, 1}, "the file is empty")
		return nil
	} else if err != nil {
		l.syntaxError(data, err)
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		l.errorf(&second, "a second document begins here; a configuration is one document")
	} else if !errors.Is(err, io.EOF) {
		l.syntaxError(data, err)
	}
	return doc.Content[0]
}

var (
	yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)
	// The parser, unlike the scanner below it, counts lines from 0.
	yamlParser = regexp.MustCompile(`^did not find expected (node content|key|'-' indicator|',' or '[\]}]'|<)|^found (duplicate|incompatible|undefined) `)
	yamlAnchor = regexp.MustCompile(`^yaml: unknown anchor '(.*)' referenced`)
)

// syntaxError reports what the YAML parser says; it knows the line at best.
func (l *loader) syntaxError(data []byte, err error) {
	msg, pos := err.Error(), position{1, 1}
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		pos.line, _ = strconv.Atoi(m[1])
		if msg = msg[len(m[0]):]; yamlParser.MatchString(msg) {
			pos.line++
		}
	} else if m := yamlAnchor.FindStringSubmatch(msg); m != nil {
		if before, _, ok := bytes.Cut(data, []byte("*"+m[1])); ok {
			pos.line = bytes.Count(before, []byte("\n")) + 1
			pos.column = len(before) - bytes.LastIndexByte(before, '\n')
		}
	}
	l.errorAt(pos, "not YAML: %s", strings.TrimPrefix(msg, "yaml: "))
}

func (l *loader) errorf(n *yaml.Node, format string, args ...any) {
	l.errorAt(at(n), format, args...)
}

func at(n *yaml.Node) position {
	if n == nil {
		return position{}
	}
	return position{n.Line, n.Column}
}

// spend counts a visited node and reports whether the walk may go on.
func (l *loader) spend(n *yaml.Node) bool {
	l.budget--
	if l.budget == 0 {
		l.errorf(n, "the configuration is too large: more than %d nodes with its aliases expanded", maxNodes)
	}
	return l.budget > 0
}

// deref follows an alias to its anchor. An anchor can stand around its own alias, but the raw types are of finite depth.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// decode fills v, a raw type, from n. name is the key n is the value of.
func (l *loader) decode(n *yaml.Node, v reflect.Value, name, enum string) {
	n = deref(n)
	if !l.spend(n) {
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *text:
		if !l.scalar(n, name, "!!str", "a string") {
			return
		}
		if n.Value == "" {
			l.errorf(n, "%s: empty", name)
		} else if enum == "" || l.choice(n, name, enum) {
			*p = text{n.Value, n}
		}
	case *number:
		if !l.scalar(n, name, "!!int", "a whole number") {
			return
		}
		if err := n.Decode(&p.n); err != nil || p.n < 0 || p.n > math.MaxInt32 {
			l.errorf(n, "%s: %s is out of range", name, n.Value)
		} else {
			p.node = n
		}
	case *boolean:
		if l.scalar(n, name, "!!bool", "true or false") {
			p.node = n
			p.b, _ = strconv.ParseBool(strings.ToLower(n.Value))
		}
	case *list:
		p.node = n
		switch n.Kind {
		case yaml.SequenceNode:
			l.decode(n, valueOf(&p.items), name, enum)
		case yaml.ScalarNode:
			var t text
			l.decode(n, valueOf(&t), name, enum)
			if t.node != nil {
				p.items = []text{t}
			}
		default:
			l.errorf(n, "%s: want a string or a list of strings, got %s", name, describe(n))
		}
	case **yaml.Node:
		*p = n
	default:
		if v.Kind() == reflect.Slice {
			l.sequence(n, v, name, enum)
		} else {
			l.mapping(n, v, name)
		}
	}
}

// valueOf returns what decode fills in: the raw value itself.
func valueOf(raw any) reflect.Value { return reflect.ValueOf(raw).Elem() }

func (l *loader) scalar(n *yaml.Node, name, tag, want string) bool {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == tag {
		return true
	}
	hint, got := "", n.ShortTag()
	braces := n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[1].ShortTag() == "!!null" // {arch}
	if tag == "!!str" && (braces || n.Kind == yaml.ScalarNode && strings.HasPrefix(got, "!!") && got != "!!null") {
		hint = "; quote it"
	}
	l.errorf(n, "%s: want %s, got %s%s", name, want, describe(n), hint)
	return false
}

// choice reports whether n's value is one of the enumeration's.
func (l *loader) choice(n *yaml.Node, name, enum string) bool {
	valid, got := choices(enum), n.Value
	if enum == "arch" {
		got = canonicalArch(got)
	}
	if slices.Contains(valid, got) {
		return true
	}
	hint := ""
	if near := nearest(n.Value, valid); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	l.errorf(n, "%s: %q is not one of %s%s", name, n.Value, strings.Join(valid, ", "), hint)
	return false
}

func (l *loader) sequence(n *yaml.Node, v reflect.Value, name, enum string) {
	if n.Kind != yaml.SequenceNode {
		l.errorf(n, "%s: want a list, got %s", name, describe(n))
		return
	}
	for _, item := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		l.decode(item, e, name, enum)
		// A bad string would only bring follow-up errors. A bad mapping still has keys worth checking.
		if t, ok := e.Interface().(text); !ok || t.node != nil {
			v.Set(reflect.Append(v, e))
		}
	}
}

func (l *loader) mapping(n *yaml.Node, v reflect.Value, name string) {
	pl := v.Addr().Interface().(interface{ self() *place }).self()
	*pl = place{node: n, keys: map[string]*yaml.Node{}, vals: map[string]*yaml.Node{}}
	if n.Kind != yaml.MappingNode {
		l.errorf(n, "%s: want keys and values, got %s", name, describe(n))
		return
	}
	var valid []string
	field := map[string]int{}
	for i := 1; i < v.NumField(); i++ {
		key := v.Type().Field(i).Tag.Get("yaml")
		valid, field[key] = append(valid, key), i
	}
	for _, p := range l.pairs(n, nil) {
		i, ok := field[p.key.Value]
		if !ok {
			hint := "valid keys: " + strings.Join(valid, ", ")
			if near := nearest(p.key.Value, valid); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			l.errorf(p.key, "unknown key %q; %s", p.key.Value, hint)
			continue
		}
		if pl.keys[p.key.Value] != nil {
			continue // an explicit key or an earlier merge has it
		}
		pl.keys[p.key.Value], pl.vals[p.key.Value] = p.key, deref(p.val)
		l.decode(p.val, v.Field(i), p.key.Value, v.Type().Field(i).Tag.Get("enum"))
	}
}

type pair struct{ key, val *yaml.Node }

// pairs lists the keys of a mapping, those of its merges (<<) last. within holds the mappings being merged into.
func (l *loader) pairs(n *yaml.Node, within []*yaml.Node) []pair {
	var own []pair
	var merges []*yaml.Node
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content) && l.spend(n); i += 2 {
		key, val := deref(n.Content[i]), n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			l.errorf(n.Content[i], "a key must be a plain word, got %s", describe(key))
		case first[key.Value] != nil:
			l.errorf(n.Content[i], "key %q is already set on line %d", key.Value, first[key.Value].Line)
		case key.ShortTag() == "!!merge":
			first[key.Value] = n.Content[i]
			if m := deref(val); m.Kind == yaml.SequenceNode {
				merges = append(merges, m.Content...)
			} else {
				merges = append(merges, val)
			}
		default:
			first[key.Value] = n.Content[i]
			own = append(own, pair{key, val})
		}
	}
	within = append(within, n)
	for _, m := range merges {
		switch t := deref(m); {
		case t.Kind != yaml.MappingNode:
			l.errorf(m, "<<: want keys and values, got %s", describe(t))
		case slices.Contains(within, t):
			l.errorf(m, "<<: merges a mapping into itself")
		default:
			own = append(own, l.pairs(t, within)...)
		}
	}
	return own
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch tag := n.ShortTag(); tag {
	case "!!str":
		return fmt.Sprintf("%q", n.Value)
	case "!!null":
		return "nothing"
	default:
		return fmt.Sprintf("%s (%s)", n.Value, strings.TrimLeft(tag, "!"))
	}
}

// nearest returns the word that got is probably a misspelling of, or "".
func nearest(got string, words []string) string {
	if len(got) > 40 {
		return ""
	}
	best, limit := "", max(1, len(got)/3)
	for _, w := range words {
		if d := distance(strings.ToLower(got), w); d <= limit {
			best, limit = w, d-1
		}
	}
	return best
}

// distance is the number of bytes to insert, delete, replace or swap with their neighbour to make a into b.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			if i == 0 || j == 0 {
				d[i][j] = i + j
				continue
			}
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
