package registry

import (
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// CutRust splits the name of a Rust symbol into the mangled name and what LLVM added to it, such as
// ".llvm.123". It returns false for a name that rustc did not mangle.
func CutRust(name string) (mangled, suffix string, ok bool) {
	end := 0
	switch {
	case strings.HasPrefix(name, "_R"):
		path := strings.TrimLeft(name[2:], "0123456789")
		if path == "" || strings.IndexByte("BCIMNXY", path[0]) < 0 {
			return "", "", false
		}
		if end = strings.IndexAny(name, ".$"); end < 0 {
			end = len(name)
		}
	case strings.HasPrefix(name, "_ZN"):
		// The legacy scheme has dots in names, but ends with a hash.
		hash := strings.LastIndex(name, legacyHash)
		end = hash + len(legacyHash) + legacyDigits + 1
		if hash < 0 || end > len(name) || name[end-1] != 'E' ||
			!isHex(name[end-1-legacyDigits:end-1]) || end < len(name) && name[end] != '.' {
			return "", "", false
		}
	default:
		return "", "", false
	}
	return name[:end], name[end:], true
}

// A name of the legacy scheme ends with these three bytes, 16 digits and E: the hash is an element
// of the path, 17 bytes long.
const (
	legacyHash   = "17h"
	legacyDigits = 16
)

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// Demangled returns the name of a Rust symbol as the source spells it, "" for other symbols. It has
// no hashes and no suffix of LLVM, so different symbols may have the same: <i64>::from_str_radix.
func Demangled(name string) string {
	mangled, _, ok := CutRust(name)
	if !ok {
		return ""
	}
	text, err := demangle.ToString(mangled)
	if err != nil {
		return ""
	}
	return text
}

// spellings returns the names under which a lookup finds a Rust symbol. A symbol in an
// implementation has two, because its name begins with a type: <i64>::from_str_radix, and, with the
// module of the implementation, core::num::<i64>::from_str_radix.
func spellings(name string) []string {
	text := Demangled(name)
	if text == "" {
		return nil
	}
	if module := implModule(name); module != "" {
		return []string{text, module + "::" + text}
	}
	return []string{text}
}

// implModule returns the module of the implementation that a symbol is in, "" if it is in none. The
// grammar is that of Rust RFC 2603: the path of the implementation follows M and X.
func implModule(name string) string {
	mangled, _, _ := CutRust(name)
	text, ok := strings.CutPrefix(mangled, "_R")
	if !ok {
		return ""
	}
	p := rustPath{text: text}
	for p.at < len(p.text) {
		switch c := p.next(); c {
		case 'I':
		case 'N':
			p.next()
		case 'M', 'X':
			p.disambiguator()
			module := p.path(0)
			if p.bad {
				return ""
			}
			return module
		default:
			return ""
		}
	}
	return ""
}

// rustPath reads a path of crates and modules in a mangled name.
type rustPath struct {
	text string // after _R
	at   int
	bad  bool // the text is no such path
}

// next returns the next byte, 0 at the end.
func (p *rustPath) next() byte {
	c := p.peek()
	p.at++
	return c
}

func (p *rustPath) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// path reads a crate, an element of a path, or a reference to a path that was before.
func (p *rustPath) path(depth int) string {
	switch p.next() {
	case 'C':
		return p.identifier()
	case 'N':
		if space := p.next(); space < 'a' || space > 'z' {
			break // a closure or a shim
		}
		outer := p.path(depth + 1)
		return outer + "::" + p.identifier()
	case 'B':
		to := p.base62()
		if depth > 100 || to >= p.at {
			break
		}
		from := rustPath{text: p.text, at: to}
		path := from.path(depth + 1)
		p.bad = p.bad || from.bad
		return path
	}
	p.bad = true
	return ""
}

// identifier reads a name with its length in front. It fails for names in Punycode.
func (p *rustPath) identifier() string {
	p.disambiguator()
	n := 0
	for p.peek() >= '0' && p.peek() <= '9' && n < len(p.text) {
		n = 10*n + int(p.next()-'0')
	}
	if p.peek() == '_' {
		p.at++
	}
	if n == 0 || n > len(p.text)-p.at {
		p.bad = true
		return ""
	}
	p.at += n
	return p.text[p.at-n : p.at]
}

// disambiguator skips a number that distinguishes equal names.
func (p *rustPath) disambiguator() {
	if p.peek() == 's' {
		p.at++
		p.base62()
	}
}

// base62 reads a number to the base 62 and the underscore that ends it: _ is 0, 0_ is 1.
func (p *rustPath) base62() int {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	n := 0
	for first := true; ; first = false {
		c := p.next()
		if c == '_' && first {
			return 0
		}
		if c == '_' {
			return n + 1
		}
		digit := strings.IndexByte(digits, c)
		if digit < 0 {
			p.bad = true
			return len(p.text)
		}
		n = min(62*n+digit, 1<<40)
	}
}
