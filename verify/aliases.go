package verify

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// suffixFree reports whether the alias is the symbol's name without a suffix of link-time
// optimization.
func (r *row) suffixFree() bool {
	return r.alias != r.symbol && baseOf(r.alias, r.symbol)
}

// checkAlias checks ALIAS = NAME SEP T(FILE [":" UNIT] ":" LINE) ["_" ORDINAL], where T is fold.
// The front of FILE may be missing only if the full form is longer than limit, the length of the
// longest alias of the build.
func checkAlias(r *row, sep, line string, limit int) error {
	if r.suffixFree() {
		return nil
	}
	if sep == "" || !strings.Contains(r.alias, sep) {
		return fmt.Errorf("no separator %q", sep)
	}
	// The separator may also occur in NAME and in the rest, so every split is tried.
	err := fmt.Errorf("its name part is not the symbol's")
	for at := 0; ; {
		k := strings.Index(r.alias[at:], sep)
		if k < 0 {
			return err
		}
		at += k
		if name, rest := r.alias[:at], r.alias[at+len(sep):]; baseOf(name, r.symbol) {
			if err = checkRest(r, rest, line, limit); err == nil {
				return nil
			}
		}
		at++
	}
}

// checkRest checks the part of the alias after the separator.
func checkRest(r *row, rest, line string, limit int) error {
	if rest == "" || fold(rest) != rest {
		return fmt.Errorf("%q after the separator is not all letters, digits and _", rest)
	}
	full := []string{r.file}
	if r.unit != r.file {
		full = []string{r.file + ":" + r.unit, r.file + ":" + path.Base(r.unit)}
	}
	bodies := []string{rest} // with and without what may be an ordinal
	cut := strings.TrimRight(rest, "0123456789")
	if body, ok := strings.CutSuffix(cut, "_"); ok && cut != rest && body != "" {
		bodies = append(bodies, body)
	}
	tails := []string{":" + r.line}
	switch {
	case r.line == "0":
		tails = []string{""}
	case line == "none":
		tails = append(tails, "")
	}
	for _, body := range bodies {
		for _, f := range full {
			for _, tail := range tails {
				f := fold(f + tail)
				uncut := len(r.alias) - len(body) + len(f)
				if f == body || strings.HasSuffix(f, body) && uncut > limit {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("%q is not %s, unit %s, line %s", rest, r.file, r.unit, r.line)
}

// fold replaces every byte outside [A-Za-z0-9] by an underscore.
func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			b[i] = '_'
		}
	}
	return string(b)
}

// baseOf reports whether name is symbol without some of its identity suffixes: .llvm.N, .lto_priv.N
// and the bare .N of monolithic LTO.
func baseOf(name, symbol string) bool {
	if name == symbol {
		return true
	}
	k := 0
	for k < len(name) && k < len(symbol) && name[k] == symbol[k] {
		k++
	}
	// The suffix may begin before the first difference: .llvm.1.isra.0 and .isra.0 share a dot.
	for ; k >= 0; k-- {
		if k >= len(symbol) || symbol[k] != '.' || k == 0 {
			continue
		}
		rest := symbol[k:]
		for _, p := range []string{".llvm.", ".lto_priv.", "."} {
			n, ok := strings.CutPrefix(rest, p)
			if !ok {
				continue
			}
			after := strings.TrimLeft(n, "0123456789")
			suffix := after != n && (after == "" || after[0] == '.') && !numbered(symbol[:k])
			if suffix && baseOf(name, symbol[:k]+after) {
				return true
			}
		}
	}
	return false
}

// numbered reports whether a number after s belongs to a suffix that is not an identity suffix.
func numbered(s string) bool {
	words := []string{
		".isra", ".constprop", ".part", ".cold", ".specialized", ".localalias", ".__uniq",
		".__part", ".memprof",
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(s, w) })
}
