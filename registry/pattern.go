package registry

import (
	"strconv"
	"strings"
)

// cut splits NAME@LOCATION.
func (r *Registry) cut(pattern string) (name, tail string, ok bool) {
	name, tail, ok = strings.Cut(pattern, r.Separator())
	return name, tail, ok && name != "" && tail != ""
}

// isAt reports whether tail, the part of a pattern after the separator, matches the symbol's
// location. It may be the location as the alias spells it, whole or cut at an underscore, or FILE
// or FILE:LINE, with or without leading folders.
func isAt(r *Record, name, tail string) bool {
	spelled := strings.TrimPrefix(r.Alias, name)
	for len(spelled) > 0 && !alphanumeric(spelled[0]) {
		spelled = spelled[1:] // the separator
	}
	if rest, ok := strings.CutPrefix(spelled, Fold(tail)); ok && (rest == "" || rest[0] == '_') {
		return true
	}
	file, line, _ := CutLine(tail)
	return (line == 0 || line == r.Line) &&
		(PathEndsWith(r.File, file) || PathEndsWith(r.Unit, file))
}

// Fold spells a location as aliases do: every byte outside [A-Za-z0-9] becomes an underscore.
func Fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !alphanumeric(c) {
			b[i] = '_'
		}
	}
	return string(b)
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// CutLine splits FILE:LINE. Without a line it returns s, 0 and false.
func CutLine(s string) (file string, line int64, ok bool) {
	if i := strings.LastIndexByte(s, ':'); i > 0 {
		if n, err := strconv.ParseInt(s[i+1:], 10, 64); err == nil && n > 0 {
			return s[:i], n, true
		}
	}
	return s, 0, false
}

// PathEndsWith reports whether the last elements of path are those of file.
func PathEndsWith(path, file string) bool {
	rest, ok := strings.CutSuffix(path, file)
	return ok && file != "" && (rest == "" || rest[len(rest)-1] == '/')
}

// parseOffset reads a decimal number, or a hexadecimal number with 0x.
func parseOffset(s string) (uint64, bool) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		n, err := strconv.ParseUint(digits, 16, 64)
		return n, err == nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// parseAddress reads a hexadecimal number with 0x, or with exactly 8 or 16 digits as in kallsyms.
func parseAddress(s string) (uint64, bool) {
	digits, marked := strings.CutPrefix(s, "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && (marked || len(digits) == 8 || len(digits) == 16)
}
