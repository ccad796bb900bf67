package stages

import (
	"strings"

	"kas/pipeline"
)

// What becomes of a suffix when the base name is formed.
type action uint8

const (
	keep action = iota // other code: it stays in the name
	cut                // identity: the toolchain renamed the symbol, the source did not
	skip               // a second name of an address: no alias
)

// Whether a number follows the word of a suffix.
const (
	noNumber = iota
	maybeNumber
	needsNumber
)

// suffix is a part of a symbol's name that a toolchain added.
type suffix struct {
	word      string // between the dots; "" is a number alone
	number    int
	toolchain string // that makes it, "" for several
	lto       string // the LTO mode it belongs to, "" for any
	data      bool   // stands on variables
	code      bool   // stands on functions
	action    action
	meaning   string
}

// functionVariable is the meaning of a number that is no rename: the compiler tells variables of one name apart that stand
// in different functions.
const functionVariable = "variable of a function"

// suffixes is every suffix kas knows. The first row that fits decides; a part that no row knows is part of the name.
// docs/symbols.md says where each was seen.
var suffixes = []suffix{
	{"llvm", needsNumber, "llvm", "", true, true, cut, "promoted by ThinLTO"},
	{"lto_priv", maybeNumber, "gcc", "", true, true, cut, "made unique by GCC LTO"},
	{"isra", maybeNumber, "gcc", "", false, true, keep, "clone with changed parameters"},
	{"constprop", maybeNumber, "gcc", "", false, true, keep, "clone with constant parameters"},
	{"part", maybeNumber, "gcc", "", false, true, keep, "part of a function"},
	{"cold", maybeNumber, "", "", false, true, keep, "cold part of a function"},
	{"localalias", maybeNumber, "gcc", "", true, true, skip, "second name of one address"},
	{"cfi_jt", noNumber, "llvm", "", false, true, skip, "jump table entry"},
	{"__uniq", needsNumber, "llvm", "", true, true, keep, "unique internal linkage name"},
	{"specialized", maybeNumber, "llvm", "", false, true, keep, "clone with constant parameters"},
	{"argelim", noNumber, "llvm", "", false, true, keep, "clone with fewer parameters"},
	{"", needsNumber, "llvm", "full", false, true, cut, "renamed by full LTO"},
	{"", needsNumber, "", "", true, false, cut, functionVariable},
}

// classify splits a symbol's name into its base name and what its suffix means ("" if it has none that is known). The
// action is the strongest of its parts': skip, cut, keep. Each part is looked at, not the last alone: they stack.
func classify(name string, code bool, toolchain, lto string) (base, meaning string, act action) {
	base, meaning, act = split(name, code, toolchain, lto)
	// What is cut may join parts that make a suffix together.
	for again := base; act == cut; base = again {
		if again, _, _ = split(base, code, toolchain, lto); again == base {
			break
		}
	}
	return base, meaning, act
}

// split goes through the parts of a name once.
func split(name string, code bool, toolchain, lto string) (base, meaning string, act action) {
	// A mangled Rust name has dots only in what LLVM added; a name that begins with a dot has no base to stand before it.
	first := strings.IndexByte(name, '.')
	if first <= 0 {
		return name, "", keep
	}
	var kept strings.Builder
	kept.WriteString(name[:first])
	for rest := name[first+1:]; ; {
		part, after, more := strings.Cut(rest, ".")
		s := suffixOf(part, code, toolchain, lto)
		text := part
		if s != nil && s.word != "" && s.number != noNumber && more {
			if number, afterNumber, moreAfter := strings.Cut(after, "."); isNumber(number) {
				text, after, more = part+"."+number, afterNumber, moreAfter
			} else if s.number == needsNumber {
				s = nil
			}
		} else if s != nil && s.word != "" && s.number == needsNumber {
			s = nil
		}
		if s != nil && (meaning == "" || s.action > act) {
			meaning, act = s.meaning, max(act, s.action)
		}
		if s == nil || s.action != cut {
			kept.WriteByte('.')
			kept.WriteString(text)
		}
		if !more {
			break
		}
		rest = after
	}
	return kept.String(), meaning, act
}

func suffixOf(part string, code bool, toolchain, lto string) *suffix {
	for i := range suffixes {
		s := &suffixes[i]
		switch {
		case code && !s.code, !code && !s.data:
		case s.lto != "" && s.lto != lto:
		case s.word == "" && s.toolchain != "" && toolchain != "" && s.toolchain != toolchain:
			// A number alone means something else to each toolchain; a word means the same wherever it stands.
		case s.word == part && s.word != "", s.word == "" && isNumber(part):
			return s
		}
	}
	return nil
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// detectLTO tells the LTO mode from the names: each mode renames in its own way.
func detectLTO(b *pipeline.Build) string {
	mode := "none"
	for i := range b.Objects {
		o := &b.Objects[i]
		for j := range o.Symbols {
			s := &o.Symbols[j]
			dot := strings.LastIndexByte(s.Name, '.')
			if dot <= 0 {
				continue
			}
			switch tail := s.Name[dot+1:]; {
			case strings.Contains(s.Name, ".lto_priv."), tail == "lto_priv":
				return "full"
			case isNumber(tail) && strings.HasSuffix(s.Name[:dot], ".llvm"):
				mode = "thin"
			case isNumber(tail) && b.Toolchain == "llvm" && o.Sections[s.Section].Code && strings.IndexByte(s.Name, '.') == dot:
				return "full"
			}
		}
	}
	return mode
}
