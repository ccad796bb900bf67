package configs

import (
	"fmt"
	"math"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/hbollon/go-edlib"
	"gopkg.in/yaml.v3"
)

// enums holds the valid values of each enumeration. The struct tag enum names one of them.
var enums = map[string][]string{
	"arch": {"x86_64", "i386", "arm64", "arm", "s390x", "powerpc64le", "powerpc64", "mips64",
		"mips", "riscv64", "loongarch64"},
	"toolchain": {"gcc", "llvm"},
	"lto":       {"none", "thin", "full"},
	"on_error":  {"continue", "stop"},
	"line":      {"opening", "declaration", "none"},
	"symbols":   {"text", "data", "all"},
	"names":     {"duplicates", "all"},
	"unaliased": {"skip", "link"},
	"limit":     {"old"},
	"stages":    {"scan", "dedupe", "normalize", "resolve", "emit", "stats"},
}

var archNames = map[string]string{
	"amd64": "x86_64", "i686": "i386", "386": "i386", "aarch64": "arm64", "ppc64le": "powerpc64le",
	"mips64el": "mips64", "loong64": "loongarch64",
}

// canonicalArch returns the name that kas uses for an architecture with several names.
func canonicalArch(s string) string {
	if name, ok := archNames[s]; ok {
		return name
	}
	return s
}

// keysOf returns the keys that a mapping may have which is decoded into a struct of this type, in
// the order of its fields.
func keysOf(t reflect.Type) (keys []string, fields map[string]reflect.StructField) {
	fields = map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && !f.Anonymous {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if key == "" {
				key = strings.ToLower(f.Name)
			}
			keys = append(keys, key)
			fields[key] = f
		}
	}
	return keys, fields
}

// mapping decodes the mapping n into the struct that v points to. A field keeps its value if n
// does not set its key, or sets it to something invalid. mapping returns the nodes of the keys
// that n sets, by key, or nil if n is not a mapping.
func (l *loader) mapping(n *yaml.Node, v any, name string) map[string]pair {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		l.errorf(n, "%s: want keys and values, got %s", name, describe(n))
		return nil
	}
	struc := reflect.ValueOf(v).Elem()
	valid, fields := keysOf(struc.Type())
	free, _ := v.(freeKeys)
	set := map[string]pair{}
	for _, p := range l.pairs(n, nil) {
		key := p.key.Value
		f, known := fields[key]
		switch {
		case !known && free != nil && free.take(l, p):
		case !known:
			hint := "valid keys: " + strings.Join(valid, ", ")
			if near := nearest(key, valid); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			l.errorf(p.key, "unknown key %q; %s", key, hint)
		case set[key].key == nil: // otherwise set explicitly or by an earlier merge
			set[key] = p
			l.decode(p.val, struc.FieldByIndex(f.Index).Addr().Interface(), key, f.Tag.Get("enum"))
		}
	}
	return set
}

// decode sets the variable that v points to from n, the value of the key name.
func (l *loader) decode(n *yaml.Node, v any, name, enum string) {
	if !l.spend(n) {
		return
	}
	switch v := v.(type) {
	case *string:
		if s, ok := l.text(n, name, enum); ok {
			*v = s
		}
	case *int:
		if i, ok := l.number(n, name, "a whole number"); ok {
			*v = i
		}
	case *bool:
		if l.scalar(n, name, "!!bool", "true or false") {
			*v, _ = strconv.ParseBool(strings.ToLower(n.Value))
		}
	case *Names:
		if *v = (Names{}); n.Kind == yaml.ScalarNode {
			s, _ := l.text(n, name, name)
			v.All = s == "all"
		} else if v.Globs = l.list(n, name); n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			l.errorf(n, "names: the list is empty; write duplicates, all or globs")
		}
	case *Report:
		l.report = l.mapping(n, v, name)
	case *Gate:
		l.gate = l.mapping(n, v, name)
	case *Limit:
		*v = l.limit(n, name, enum)
	case *Never:
		var never neverKeys
		set := l.mapping(n, &never, name)
		v.Patterns = slices.Concat(never.Add, never.Replace)
		v.Replace = set["replace"].key != nil
		if v.Replace && set["add"].key != nil {
			l.errorf(set["replace"].key, "never: either add or replace, not both")
		}
	case *[]string:
		if enum == "" {
			*v = l.list(n, name)
		} else {
			*v = l.stages(n, name, enum)
		}
	case *[]*yaml.Node:
		*v = l.sequence(n, name, enum)
	case **yaml.Node:
		*v = n
	default:
		l.mapping(n, v, name)
	}
}

// text returns the string that n sets the key name to, and reports whether it is valid.
func (l *loader) text(n *yaml.Node, name, enum string) (string, bool) {
	before := len(l.problems)
	s := n.Value
	switch {
	case !l.scalar(n, name, "!!str", "a string"):
	case s == "":
		l.errorf(n, "%s: empty", name)
	case enum != "":
		l.choice(n, name, enum)
	case name == "out":
		s = l.expandEnv(n, name, func(value string) string { return value })
	case slices.ContainsFunc(new(Report).keys(), func(k reportKey) bool { return k.name == name }):
		s = l.reportPath(n, name)
	case name == "debug":
		s = l.folder(n, name)
	case name == "vmlinux" || name == "modules" || name == "package" || name == "glob":
		s = l.pattern(n, name)
	case name == "name":
		s = l.expandEnv(n, name, func(value string) string { return value })
		l.buildName(n, s)
	case name == "separator":
		l.separator(n)
	case name == "names":
		if _, err := path.Match(s, ""); err != nil {
			l.errorf(n, "names: bad glob %q", s)
		}
	case name == "add" || name == "replace":
		if _, err := regexp.Compile(s); err != nil {
			msg := strings.TrimPrefix(err.Error(), "error parsing regexp")
			l.errorf(n, "never: bad regular expression%s", msg)
		}
	}
	return s, len(l.problems) == before
}

// choice checks that n is a value of the enumeration.
func (l *loader) choice(n *yaml.Node, name, enum string) {
	valid, got := enums[enum], n.Value
	if enum == "arch" {
		got = canonicalArch(got)
	}
	if slices.Contains(valid, got) {
		return
	}
	hint := ""
	if near := nearest(n.Value, valid); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	l.errorf(n, "%s: %q is not one of %s%s", name, n.Value, strings.Join(valid, ", "), hint)
}

// scalar reports whether n is a scalar with the given tag.
func (l *loader) scalar(n *yaml.Node, name, tag, want string) bool {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == tag {
		return true
	}
	hint, got := "", n.ShortTag()
	// An unquoted {arch} is a mapping of the key arch to null.
	braces := n.Kind == yaml.MappingNode && len(n.Content) == 2 &&
		n.Content[1].ShortTag() == "!!null"
	standard := n.Kind == yaml.ScalarNode && strings.HasPrefix(got, "!!") && got != "!!null"
	if tag == "!!str" && (braces || standard) {
		hint = "; quote it"
	}
	l.errorf(n, "%s: want %s, got %s%s", name, want, describe(n), hint)
	return false
}

// number returns the whole number that n sets the key name to, and reports whether it is valid.
// want says what is.
func (l *loader) number(n *yaml.Node, name, want string) (i int, ok bool) {
	if !l.scalar(n, name, "!!int", want) {
		return 0, false
	}
	if err := n.Decode(&i); err != nil || i < 0 || i > math.MaxInt32 {
		l.errorf(n, "%s: %s is out of range", name, n.Value)
		return 0, false
	}
	return i, true
}

// list returns the valid strings of n, which is one string or a list.
func (l *loader) list(n *yaml.Node, name string) (s []string) {
	items := []*yaml.Node{n}
	switch n.Kind {
	case yaml.SequenceNode:
		items = n.Content
	case yaml.MappingNode:
		l.errorf(n, "%s: want a string or a list of strings, got %s", name, describe(n))
		return nil
	}
	for _, item := range items {
		item = deref(item)
		if !l.spend(item) {
			break
		}
		if value, ok := l.text(item, name, ""); ok {
			s = append(s, value)
		}
	}
	return s
}

// sequence returns the items of the list n; of an enumeration, those that are valid.
func (l *loader) sequence(n *yaml.Node, name, enum string) (items []*yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		l.errorf(n, "%s: want a list, got %s", name, describe(n))
		return nil
	}
	if len(n.Content) == 0 && name != "exclude" {
		l.errorf(n, "%s: the list is empty", name)
	}
	for _, item := range n.Content {
		item = deref(item)
		if !l.spend(item) {
			break
		}
		same := func(o *yaml.Node) bool {
			return canonicalArch(o.Value) == canonicalArch(item.Value)
		}
		if enum != "" {
			if _, ok := l.text(item, name, enum); !ok {
				continue
			}
			if slices.ContainsFunc(items, same) {
				l.errorf(item, "%s: %q is listed twice", name, item.Value)
				continue
			}
		}
		items = append(items, item)
	}
	return items
}

// stages returns the stages that n lists. Each must come after all stages it needs: those before
// it in the full list, except that stats does not need emit.
func (l *loader) stages(n *yaml.Node, name, enum string) (names []string) {
	items := l.sequence(n, name, enum)
	for _, item := range items {
		names = append(names, item.Value)
	}
	if len(names) < len(n.Content) {
		return names // reported already
	}
	for i, s := range names {
		rank := slices.Index(enums[enum], s)
		later := func(o string) bool { return slices.Index(enums[enum], o) > rank }
		if j := slices.IndexFunc(names[:i], later); j >= 0 {
			l.errorf(items[i], "stages: %s must come before %s", s, names[j])
		}
		missing := slices.DeleteFunc(slices.Clone(enums[enum][:rank]), func(o string) bool {
			return o == "emit" || slices.Contains(names, o)
		})
		if len(missing) > 0 {
			l.errorf(items[i], "stages: %s needs %s before it", s, strings.Join(missing, ", "))
		}
	}
	return names
}

// separator checks that a reader can find the separator between name and location.
func (l *loader) separator(n *yaml.Node) {
	inNames := func(r rune) bool {
		return r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' ||
			'A' <= r && r <= 'Z'
	}
	blank := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	switch s := n.Value; {
	case strings.ContainsFunc(s, blank):
		l.errorf(n, "separator: %q contains white space or a control character; "+
			"nothing could read the alias back", s)
	case strings.TrimFunc(s, inNames) == "":
		l.errorf(n, "separator: %q could be part of a symbol's name; "+
			"it needs a character other than letters, digits, _ and .", s)
	case strings.Contains(s, "@@"):
		l.errorf(n, "separator: %q marks the default version of a symbol; "+
			"linkers would rename the original", s)
	}
}

// maxName is the number of bytes that the name of a folder may have on Linux's file systems.
const maxName = 255

// buildName checks that the name can be a folder of the output.
func (l *loader) buildName(n *yaml.Node, s string) {
	const folder = "; the name of a build is a folder of the output"
	switch found := placeholders().FindString(s); {
	case s == "": // reported already
	case found != "" && l.combo == "":
		l.errorf(n, "name: unknown placeholder %s; a matrix and a glob have placeholders", found)
	case strings.ContainsAny(s, `/\`):
		l.errorf(n, "name: %q contains a path separator"+folder, s)
	case s == "." || s == "..":
		l.errorf(n, "name: %q is an existing folder"+folder, s)
	case s == "stats.json" || s == "kas.effective.yaml" || s == "kas.files":
		l.errorf(n, "name: %q is a file of the output"+folder, s)
	case s[0] == '.':
		l.errorf(n, "name: %q begins with a dot, as temporary files do"+folder, s)
	case len(s) > maxName:
		l.errorf(n, "name: longer than %d bytes"+folder, maxName)
	case strings.ContainsFunc(s, unicode.IsControl):
		l.errorf(n, "name: %q contains a control character", s)
	}
}

// nearest returns the word that got is probably a misspelling of, or "". Swapping two neighbouring
// letters counts as one edit.
func nearest(got string, words []string) string {
	if len(got) > 40 {
		return ""
	}
	best, limit := "", max(1, len(got)/3)
	for _, w := range words {
		if d := edlib.OSADamerauLevenshteinDistance(strings.ToLower(got), w); d <= limit {
			best, limit = w, d-1
		}
	}
	return best
}
