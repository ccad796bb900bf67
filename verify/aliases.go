package verify

import (
	"errors"
	"path"
	"strings"
)

// spelling is how the alias of a row is made.
type spelling struct {
	suffixFree bool // it is the base name
	ordinal    bool
	shortened  bool // the front of the location is cut off
}

// spellingOf checks ALIAS = BASE SEP FOLD(FILE [":" UNIT] [":" LINE]) ["_" ORDINAL]. If that is
// longer than the limit, exactly what is too much is missing at the front of the location. With the
// line "none", the line is there only if the alias needs it to be unique.
func (b *build) spellingOf(r *row, base string) (spelling, error) {
	if r.alias == base && r.alias != r.symbol {
		return spelling{suffixFree: true}, nil
	}
	ordinal := ""
	if k := strings.LastIndexByte(r.alias, '_'); k > 0 {
		if n := r.alias[k+1:]; digits(n) && n[0] != '0' {
			ordinal = r.alias[k:]
		}
	}
	for _, form := range []struct {
		line, ordinal bool
	}{{true, false}, {false, false}, {true, true}} {
		at, number := r.location(form.line), ""
		if !form.line && b.Line != "none" || form.ordinal && ordinal == "" {
			continue
		}
		if form.ordinal {
			number = ordinal
		}
		cut := max(0, len(base)+len(b.Separator)+len(at)+len(number)-b.limit)
		if cut < len(at) && r.alias == base+b.Separator+at[cut:]+number {
			return spelling{ordinal: form.ordinal, shortened: cut > 0}, nil
		}
	}
	return spelling{}, errors.New("not made of " + base + ", " + r.location(true))
}

// location returns the location as an alias has it.
func (r *row) location(line bool) string {
	text := r.file
	switch unit := r.unit; {
	case unit == "" || unit == r.file:
	case path.Dir(unit) == path.Dir(r.file):
		text += ":" + path.Base(unit)
	default:
		text += ":" + unit
	}
	if line && r.line != "0" {
		text += ":" + r.line
	}
	return fold(text)
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
