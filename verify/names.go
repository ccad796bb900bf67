package verify

import (
	"strings"
)

// This file has what a symbol's name says: the base name and the meaning of its suffixes, as
// docs/symbols.md lists them.

// toolchain is what the meaning of a suffix depends on; "" if it is not known.
type toolchain struct{ compiler, lto string }

// What a suffix does to the base name. The strongest of a name's suffixes decides.
const (
	stays  = iota
	isCut  // the toolchain renamed the symbol
	second // the symbol is a second name, which gets no alias
)

// Whether a number follows the word of a suffix.
const (
	never = iota
	maybe
	always
)

type suffixRule struct {
	number  int
	data    bool // variables have it too
	does    int
	meaning string
}

const ofFunction = "variable of a function"

var suffixWords = map[string]suffixRule{
	"llvm":         {always, true, isCut, "promoted by ThinLTO"},
	"lto_priv":     {maybe, true, isCut, "made unique by GCC LTO"},
	"localalias":   {maybe, true, second, "second name of one address"},
	"cfi_jt":       {never, false, second, "jump table entry"},
	"isra":         {maybe, false, stays, "clone with changed parameters"},
	"argprom":      {never, false, stays, "clone with changed parameters"},
	"constprop":    {maybe, false, stays, "clone with constant parameters"},
	"specialized":  {maybe, false, stays, "clone with constant parameters"},
	"argelim":      {never, false, stays, "clone with fewer parameters"},
	"retelim":      {never, false, stays, "clone without a result"},
	"internalized": {never, false, stays, "copy of a global function"},
	"memprof":      {always, false, stays, "clone for some callers"},
	"part":         {maybe, false, stays, "part of a function"},
	"__part":       {always, false, stays, "part of a function"},
	"cold":         {maybe, false, stays, "cold part of a function"},
	"warm":         {never, false, stays, "warm part of a function"},
	"eh":           {never, false, stays, "landing pads of a function"},
	"__uniq":       {always, true, stays, "unique internal linkage name"},
}

// naming is what the suffixes of a name mean.
type naming struct {
	base    string
	meaning string // of the first suffix of the strongest kind, "" if there is none
	second  bool   // the symbol is a second name of another one
}

// nameOf returns what a name means. code says whether it is that of a function.
func (t toolchain) nameOf(name string, code bool) naming {
	n, does := t.once(name, code)
	for base := n.base; does == isCut; {
		// What is around a cut suffix may be one now.
		next, _ := t.once(base, code)
		if n.base = next.base; next.base == base {
			break
		}
		base = next.base
	}
	n.second = does == second
	return n
}

func (t toolchain) once(name string, code bool) (n naming, does int) {
	stem := rustStem(name)
	from := strings.IndexByte(name[stem:], '.')
	if n.base = name; from < 0 || from == 0 && stem == 0 {
		return n, stays
	}
	parts := strings.Split(name[stem+from+1:], ".")
	base := name[:stem+from]
	for i := 0; i < len(parts); i++ {
		text := parts[i]
		rule, known := suffixWords[text]
		known = known && (code || rule.data)
		switch {
		case known && rule.number != never && i+1 < len(parts) && digits(parts[i+1]):
			i++
			text += "." + parts[i]
		case known && rule.number == always:
			known = false
		case !known && digits(text):
			rule, known = t.number(code)
		}
		if known && (n.meaning == "" || rule.does > does) {
			n.meaning, does = rule.meaning, max(does, rule.does)
		}
		if !known || rule.does != isCut {
			base += "." + text
		}
	}
	n.base = base
	return n, does
}

// number returns what a number alone means.
func (t toolchain) number(code bool) (suffixRule, bool) {
	if !code {
		return suffixRule{does: isCut, meaning: ofFunction}, true
	}
	known := t.lto == "full" && t.compiler != "gcc"
	return suffixRule{does: isCut, meaning: "renamed by full LTO"}, known
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// rustStem returns the length of the mangled Rust name that a name begins with, 0 if it is none.
func rustStem(name string) int {
	if path, ok := strings.CutPrefix(name, "_R"); ok {
		path = strings.TrimLeft(path, "0123456789")
		if path == "" || !strings.Contains("BCIMNXY", path[:1]) {
			return 0
		}
		if end := strings.IndexAny(name, ".$"); end > 0 {
			return end
		}
		return len(name)
	}
	// The legacy scheme ends with a hash: 17h, 16 digits, E.
	at := strings.LastIndex(name, "17h")
	end := at + len("17h") + 17
	if !strings.HasPrefix(name, "_ZN") || at < 0 || end > len(name) || name[end-1] != 'E' ||
		strings.Trim(name[at+3:end-1], "0123456789abcdef") != "" ||
		end < len(name) && name[end] != '.' {
		return 0
	}
	return end
}

// ltoHints collects what names say about link-time optimization.
type ltoHints struct{ thin, full, numbered bool }

func (h *ltoHints) add(name string, code bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 || rustStem(name) > 0 {
		return
	}
	head, tail := name[:dot], name[dot+1:]
	h.full = h.full || tail == "lto_priv" || strings.Contains(name, ".lto_priv.")
	if digits(tail) {
		thin := strings.HasSuffix(head, ".llvm")
		h.thin = h.thin || thin
		h.numbered = h.numbered || !thin && code && !strings.Contains(head, ".")
	}
}

// mode returns the LTO mode that the names of a build show.
func (h *ltoHints) mode(compiler string) string {
	switch {
	case h.full, h.numbered && compiler == "llvm":
		return "full"
	case h.thin:
		return "thin"
	}
	return "none"
}
