package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	// This import path is frozen. The library is still maintained as go.yaml.in/yaml/v3, which has
	// the same API and two more methods of Encoder.
	"gopkg.in/yaml.v3"
)

// document returns the root node of the document in data, or nil if there is none.
func (l *loader) document(data []byte) *yaml.Node {
	if at, what := badByte(data); what != "" {
		before := data[:at]
		pos := position{bytes.Count(before, []byte("\n")) + 1,
			utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1}
		l.errorAt(pos, "not YAML: %s", what)
		return nil
	}
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
		l.errorf(&second, "a second document starts here; a configuration is one document")
	} else if !errors.Is(err, io.EOF) {
		l.syntaxError(data, err)
	}
	return deref(doc.Content[0])
}

// badByte returns the offset of the first byte that no YAML file has, and what it is. The YAML
// library finds them, too, but names no place.
func badByte(data []byte) (at int, what string) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return 0, "" // UTF-16, which the library reads
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return i, fmt.Sprintf("byte %#02x is not UTF-8", data[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f:
			return i, fmt.Sprintf("control character %#02x", r)
		}
		i += n
	}
	return 0, ""
}

// lazily returns a function that compiles a regular expression when it is called first: every start
// of the program would pay for one in a variable.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var (
	yamlLine = lazily(`^yaml: line (\d+): `)
	// These messages are the YAML parser's, which counts lines from 0; the scanner counts from 1.
	yamlParser = lazily(`^did not find expected (node content|key|'-' indicator|` +
		`',' or '[\]}]'|<)|^found (duplicate|incompatible|undefined) `)
	yamlAnchor = lazily(`^yaml: unknown anchor '(.*)' referenced`)
)

// syntaxError reports an error of the YAML library, which names a line at best.
func (l *loader) syntaxError(data []byte, err error) {
	msg, pos := err.Error(), position{1, 1}
	if m := yamlLine().FindStringSubmatch(msg); m != nil {
		pos.line, _ = strconv.Atoi(m[1])
		if msg = msg[len(m[0]):]; yamlParser().MatchString(msg) {
			pos.line++
		}
	} else if m := yamlAnchor().FindStringSubmatch(msg); m != nil {
		if before, _, ok := bytes.Cut(data, []byte("*"+m[1])); ok {
			pos.line = bytes.Count(before, []byte("\n")) + 1
			pos.column = len(before) - bytes.LastIndexByte(before, '\n')
		}
	}
	l.errorAt(pos, "not YAML: %s", strings.TrimPrefix(msg, "yaml: "))
}

// spend counts a visited node and reports whether the walk may go on.
func (l *loader) spend(n *yaml.Node) bool {
	l.budget--
	if l.budget == 0 {
		l.errorf(n, "the configuration is too large: more than %d nodes with its aliases expanded",
			maxNodes)
	}
	return l.budget > 0
}

// deref follows an alias to its anchor. An anchor may enclose its own alias; decode still ends,
// because the types it decodes into are of finite depth.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

type pair struct{ key, val *yaml.Node }

// pairs returns the keys of a mapping, followed by those of its merges (<<). within holds the
// mappings being merged into.
func (l *loader) pairs(n *yaml.Node, within []*yaml.Node) []pair {
	var own []pair
	var merges []*yaml.Node
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content) && l.spend(n); i += 2 {
		key, val := deref(n.Content[i]), deref(n.Content[i+1])
		switch {
		case key.Kind != yaml.ScalarNode:
			l.errorf(n.Content[i], "a key must be a plain word, got %s", describe(key))
			continue
		case first[key.Value] != nil:
			l.errorf(n.Content[i], "key %q is already set on line %d", key.Value,
				first[key.Value].Line)
			continue
		case key.ShortTag() != "!!merge":
			own = append(own, pair{key, val})
		case val.Kind == yaml.SequenceNode:
			merges = append(merges, val.Content...)
		default:
			merges = append(merges, n.Content[i+1])
		}
		first[key.Value] = n.Content[i]
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
