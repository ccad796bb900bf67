package stages

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"kas/configs"
)

// Policy returns the policy line of a registry: the settings that decide which symbols get an alias
// and what it looks like. It consists of words KEY=VALUE, separated by blanks.
func Policy(a *configs.Alias) string {
	names := "names=duplicates"
	switch {
	case a.Names.All:
		names = "names=all"
	case len(a.Names.Globs) > 0:
		names = "globs=" + joinWords(a.Names.Globs)
	}
	words := []string{"separator=" + a.Separator, "line=" + a.Line, "symbols=" + a.Symbols, names}
	if a.SuffixFree {
		words = append(words, "suffix_free=true")
	}
	if a.MaxLength > 0 {
		words = append(words, "max_length="+strconv.Itoa(a.MaxLength))
	}
	if a.Never.Replace {
		words = append(words, "never_only="+joinWords(a.Never.Patterns))
	} else if len(a.Never.Patterns) > 0 {
		words = append(words, "never="+joinWords(a.Never.Patterns))
	}
	return strings.Join(words, " ")
}

// ParsePolicy parses the result of Policy. An unknown word is an error, because its setting would
// be ignored.
func ParsePolicy(text string) (a configs.Alias, err error) {
	for _, word := range strings.Fields(text) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "separator":
			a.Separator = value
		case "line":
			a.Line = value
		case "symbols":
			a.Symbols = value
		case "names":
			if a.Names.All = value == "all"; !a.Names.All && value != "duplicates" {
				err = errUnknown
			}
		case "globs":
			a.Names.Globs, err = splitWords(value)
		case "suffix_free":
			a.SuffixFree = value == "true"
		case "max_length":
			a.MaxLength, err = strconv.Atoi(value)
		case "never", "never_only":
			a.Never.Replace = key == "never_only"
			a.Never.Patterns, err = splitWords(value)
		default:
			err = errUnknown
		}
		if err != nil {
			return a, fmt.Errorf("policy %q: %q: %w", text, word, err)
		}
	}
	if a.Separator == "" || a.Line == "" || a.Symbols == "" {
		return a, fmt.Errorf("policy %q is incomplete: it needs separator, line and symbols", text)
	}
	return a, nil
}

var errUnknown = errors.New("unknown word")

// escapes are the bytes that end a word or separate words of a list.
var escapes = strings.NewReplacer("%", "%25", ",", "%2C", " ", "%20", "\t", "%09", "\n", "%0A",
	"\r", "%0D", "\v", "%0B", "\f", "%0C")

// joinWords encodes a list of strings as one word.
func joinWords(words []string) string {
	escaped := make([]string, len(words))
	for i, w := range words {
		escaped[i] = escapes.Replace(w)
	}
	return strings.Join(escaped, ",")
}

// splitWords is the inverse of joinWords.
func splitWords(word string) (words []string, err error) {
	if word == "" {
		return nil, nil
	}
	for _, w := range strings.Split(word, ",") {
		if w, err = url.PathUnescape(w); err != nil {
			return nil, err
		}
		words = append(words, w)
	}
	return words, nil
}
