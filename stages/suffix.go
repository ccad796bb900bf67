package stages

import (
	"bytes"
	"strings"

	"kas/elf"
	"kas/pipeline"
	"kas/registry"
)

// action is what happens to a suffix when the base name is formed.
type action uint8

const (
	keep action = iota // it stays in the name: other code than that of the base name
	cut                // it is removed: the toolchain renamed the symbol
	skip               // it stays, and the symbol gets no alias: a second name of an address
)

// Values of suffix.number: whether a number follows the word.
const (
	noNumber = iota
	maybeNumber
	needsNumber
)

// suffix is a part of a symbol's name that a toolchain adds.
type suffix struct {
	word      string // text between the dots; "" if the part is a number
	number    int
	toolchain string // that adds it, "" if several do
	lto       string // LTO mode that adds it, "" for any
	data      bool   // added to variables
	code      bool   // added to functions
	action    action
	meaning   string
}

// functionVariable is the meaning of a number on a static variable of a function. The compiler adds
// it to distinguish variables of different functions.
const functionVariable = "variable of a function"

// suffixes lists the suffixes that kas knows. The first row that matches decides; a part that no
// row matches belongs to the name. docs/symbols.md says where each was seen.
var suffixes = []suffix{
	{"llvm", needsNumber, "llvm", "", true, true, cut, "promoted by ThinLTO"},
	{"lto_priv", maybeNumber, "gcc", "", true, true, cut, "made unique by GCC LTO"},
	{"isra", maybeNumber, "gcc", "", false, true, keep, "clone with changed parameters"},
	{"constprop", maybeNumber, "gcc", "", false, true, keep, "clone with constant parameters"},
	{"part", maybeNumber, "gcc", "", false, true, keep, "part of a function"},
	{"cold", maybeNumber, "", "", false, true, keep, "cold part of a function"},
	{"warm", noNumber, "llvm", "", false, true, keep, "warm part of a function"},
	{"__part", needsNumber, "llvm", "", false, true, keep, "part of a function"},
	{"eh", noNumber, "llvm", "", false, true, keep, "landing pads of a function"},
	{"localalias", maybeNumber, "gcc", "", true, true, skip, "second name of one address"},
	{"cfi_jt", noNumber, "llvm", "", false, true, skip, "jump table entry"},
	{"__uniq", needsNumber, "llvm", "", true, true, keep, "unique internal linkage name"},
	{"specialized", maybeNumber, "llvm", "", false, true, keep, "clone with constant parameters"},
	{"argelim", noNumber, "llvm", "", false, true, keep, "clone with fewer parameters"},
	{"argprom", noNumber, "llvm", "", false, true, keep, "clone with changed parameters"},
	{"retelim", noNumber, "llvm", "", false, true, keep, "clone without a result"},
	{"internalized", noNumber, "llvm", "", false, true, keep, "copy of a global function"},
	{"memprof", needsNumber, "llvm", "", false, true, keep, "clone for some callers"},
	{"", needsNumber, "llvm", "full", false, true, cut, "renamed by full LTO"},
	{"", needsNumber, "", "", true, false, cut, functionVariable},
}

// classify returns the base name of a symbol's name and the meaning of its suffix, "" if no suffix
// is known. A name may have several suffixes. The action is the strongest of theirs (skip, cut,
// keep); the meaning is that of the first suffix with this action.
func classify(name string, code bool, toolchain, lto string) (base, meaning string, act action) {
	base, meaning, act = split(name, code, toolchain, lto)
	// Cutting a suffix may make a suffix of the parts around it.
	for again := base; act == cut; base = again {
		if again, _, _ = split(base, code, toolchain, lto); again == base {
			break
		}
	}
	return base, meaning, act
}

// split is one pass of classify over the parts of a name.
func split(name string, code bool, toolchain, lto string) (base, meaning string, act action) {
	// A mangled name of Rust may have dots; suffixes follow it. A name that begins with a dot has
	// no base name.
	mangled, _, _ := registry.CutRust(name)
	first := strings.IndexByte(name[len(mangled):], '.')
	if first < 0 || first == 0 && mangled == "" {
		return name, "", keep
	}
	first += len(mangled)
	var kept strings.Builder
	kept.WriteString(name[:first])
	for rest, more := name[first+1:], true; more; {
		var text string
		var s *suffix
		text, s, rest, more = cutPart(rest, code, toolchain, lto)
		if s != nil && (meaning == "" || s.action > act) {
			meaning, act = s.meaning, max(act, s.action)
		}
		if s == nil || s.action != cut {
			kept.WriteByte('.')
			kept.WriteString(text)
		}
	}
	return kept.String(), meaning, act
}

// cutPart cuts the first part off, with its number if it has one. s is nil if the part is not a
// suffix. more reports whether a dot follows.
func cutPart(name string, code bool, toolchain, lto string) (
	text string, s *suffix, rest string, more bool,
) {
	text, rest, more = strings.Cut(name, ".")
	s = suffixOf(text, code, toolchain, lto)
	if s == nil || s.word == "" || s.number == noNumber {
		return text, s, rest, more
	}
	number, afterNumber, moreAfter := strings.Cut(rest, ".")
	switch {
	case isNumber(number):
		return text + "." + number, s, afterNumber, moreAfter
	case s.number == needsNumber:
		return text, nil, rest, more
	}
	return text, s, rest, more
}

// suffixOf returns the suffix that a part of a name is, nil if it is none.
func suffixOf(part string, code bool, toolchain, lto string) *suffix {
	for i := range suffixes {
		s := &suffixes[i]
		switch {
		case code && !s.code, !code && !s.data:
		case s.lto != "" && s.lto != lto:
		case s.word == "" && s.toolchain != "" && toolchain != "" && s.toolchain != toolchain:
			// A number alone means something else to each toolchain; a word means the same wherever
			// it is.
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

// detectLTO returns the LTO mode of a build from the names of its symbols, because each mode adds
// other suffixes.
func detectLTO(b *pipeline.Build) string {
	mode := "none"
	for i := range b.Objects {
		o := &b.Objects[i]
		for j := range o.Symbols {
			s := &o.Symbols[j]
			switch of := ltoOf(s.Name, s.Code, b.Toolchain); of {
			case "full":
				return of
			case "thin":
				mode = of
			}
		}
	}
	return mode
}

// ltoOf returns the LTO mode that a name shows, "" if it shows none.
func ltoOf(name string, code bool, toolchain string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 {
		return ""
	}
	if _, _, rust := registry.CutRust(name); rust {
		return "" // rustc has a ThinLTO of its own, within a crate
	}
	head, tail := name[:dot], name[dot+1:]
	switch {
	case strings.Contains(name, ".lto_priv."), tail == "lto_priv":
		return "full"
	case !isNumber(tail):
	case strings.HasSuffix(head, ".llvm"):
		return "thin"
	case toolchain == "llvm" && code && !strings.Contains(head, "."):
		return "full"
	}
	return ""
}

// LTO returns the LTO mode that the names of the functions in the object at path show: thin, full,
// or "" if they show none. A small object may show none with any mode.
func LTO(path, toolchain string) (mode string, err error) {
	f, err := elf.OpenTables(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	syms, err := f.Symtab()
	if err != nil {
		return "", err
	}
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			return "", err
		}
		if !s.Function() || bytes.IndexByte(s.Name, '.') < 0 {
			continue
		}
		switch of := ltoOf(string(s.Name), true, toolchain); {
		case of == "full":
			return of, nil
		case of != "":
			mode = of
		}
	}
	return mode, nil
}
