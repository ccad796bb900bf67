package verify

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// This file says why a duplicate gets no alias, and what may be said about how its location was
// found. docs/symbols.md and docs/outputs.md have the rules.

// aliasPolicy says which duplicates get an alias.
type aliasPolicy struct {
	*Config
	excluded []*regexp.Regexp
}

func newPolicy(c *Config) (aliasPolicy, error) {
	p := aliasPolicy{Config: c}
	for _, text := range c.Never {
		re, err := regexp.Compile(text)
		if err != nil {
			return p, err
		}
		p.excluded = append(p.excluded, re)
	}
	return p, nil
}

// wanted reports whether a base name gets an alias even if one symbol has it.
func (p *aliasPolicy) wanted(base string) bool {
	return p.NamesAll || slices.ContainsFunc(p.Names, func(glob string) bool {
		ok, _ := path.Match(glob, base)
		return ok
	})
}

// never returns why no symbol of the name gets an alias, "" if one may.
func (p *aliasPolicy) never(name string) string {
	if !p.NeverReplaces {
		if why := byNature(name); why != "" {
			return why
		}
	}
	for _, re := range p.excluded {
		if re.MatchString(name) {
			return "excluded by the configuration"
		}
	}
	return ""
}

// byNature returns why the name repeats by nature, or that no person chose it.
func byNature(name string) string {
	begins := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(name, w) })
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	ends := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(name, w) })
	}
	numbered := func(word string) bool {
		rest, ok := strings.CutPrefix(name, word)
		return ok && digits(rest)
	}
	switch bare := strings.TrimLeft(name, "_"); {
	case slices.Contains([]string{
		"init_module", "cleanup_module", "__this_module", "__module_depends",
	}, name), bare != name && (bare == "versions" || strings.HasPrefix(bare, "modinfo")),
		len(name) >= len("__mod__device_table") && begins("__mod_") && ends("_device_table"):
		return "one per module by nature"
	case begins("__pfx_", "__cfi_", "__kcfi_typeid_"):
		return "padding before a function"
	case begins(".L", "__kvm_nvhe_.L"):
		return "label of the assembler"
	case hasMapping(name):
		return "mapping symbol"
	case begins("__UNIQUE_ID_", "__compound_literal.", ".compoundliteral"), numbered("_note_"),
		numbered("CSWTCH."), outlined(name):
		return "named by the compiler or a macro"
	case begins("__initcall", "__start___", "__stop___", "__ksymtab_", "__kstrtab_", "__kstrtabns_",
		"__crc_", "__export_symbol_"):
		return "table entry of a macro"
	case begins("TRACE_SYSTEM", "__tracepoint_", "__tpstrtab_", "__bpf_trace_tp_map_",
		"__traceiter_", "__SCK__tp_func_", "__SCT__tp_func_", "event_class_", "__event_"):
		return "tracepoint machinery"
	case macroVariable(name):
		return "variable of a macro"
	case ends("_veneer", "_from_arm", "_from_thumb"),
		has(".plt_branch.", ".plt_call.", ".long_branch."), begins("plt_call.", "plt_branch."),
		begins("__AArch64ADRPThunk_", "__ARMV5PILongThunk_", "__ThumbV7PILongThunk_",
			"__AArch64AbsLongThunk_"):
		return "stub of the linker"
	}
	return ""
}

// hasMapping reports whether a mapping symbol is in the name: $ and a letter, then a dot or none.
func hasMapping(name string) bool {
	for {
		at := strings.IndexByte(name, '$')
		if at < 0 || at+1 >= len(name) {
			return false
		}
		letter := strings.IndexByte("adtx", name[at+1]) >= 0
		if name = name[at+1:]; letter && (len(name) == 1 || name[1] == '.') {
			return true
		}
	}
}

// outlined reports whether the compiler moved this code out of functions.
func outlined(name string) bool {
	for _, word := range []string{"OUTLINED_FUNCTION_", "outlined_ir_func_"} {
		if rest, ok := strings.CutPrefix(name, word); ok {
			end := len(rest) - len(strings.TrimLeftFunc(rest, wordByte))
			last := strings.LastIndexAny(rest[:end], "0123456789")
			return last >= 0
		}
	}
	return false
}

func wordByte(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

// macroVariable reports whether the name is that of a static variable that a macro or the compiler
// defines in each function that uses it.
func macroVariable(name string) bool {
	parts := strings.Split(name, ".")
	n := len(parts)
	number := n > 1 && digits(parts[n-1])
	if number {
		n--
	}
	inFunction := n > 1
	switch word := parts[n-1]; word {
	case "__key", "__wkey", "__mkey", "___once_key", "__already_done", "__print_once", "___done":
		return true
	case "__func__", "__FUNCTION__", "__PRETTY_FUNCTION__", "__msg", "_rs", "___tp_str", "__flags",
		"symbols", "descriptor", "__quirk":
		return number || inFunction
	}
	return false
}

// ruledOut returns why the duplicate gets no alias, whatever the debugging information has; "" if
// it may get one.
func (b *build) ruledOut(o *object, i int, n naming) string {
	v := &o.visible[i]
	section := o.sections[v.sec]
	gone := strings.HasPrefix(section, ".init") ||
		strings.HasPrefix(section, ".exit") && !o.unloads
	switch {
	case n.second:
		return n.meaning
	case b.Config.NotResolved:
		return "not resolved"
	}
	if why := b.policy.never(v.name); why != "" {
		return why
	}
	switch {
	case b.madeBefore(o, i):
		return "an alias itself"
	case o.emitted != "" && gone:
		return "in a section that is gone after load"
	case v.code && b.Config.Symbols == "data":
		return "not data"
	case !v.code && b.Config.Symbols == "text":
		return "not text"
	}
	return ""
}

// madeBefore reports whether the symbol is an alias that is in the input: it is spelled like one,
// and a symbol before it has its base name and extent.
func (b *build) madeBefore(o *object, i int) bool {
	v := &o.visible[i]
	for at := strings.Index(v.name, b.Separator); at > 0; {
		base, rest := v.name[:at], v.name[at+len(b.Separator):]
		spelled := rest != "" && strings.TrimLeftFunc(rest, wordByte) == ""
		if first, ok := o.first(named{base, v.extent()}); spelled && ok && first < int32(i) {
			return true
		}
		next := strings.Index(v.name[at+1:], b.Separator)
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return false
}

// first returns the first symbol with a base name and extent.
func (o *object) first(n named) (int32, bool) {
	if o.firsts == nil {
		o.firsts = make(map[named]int32, len(o.visible))
		for i := len(o.visible) - 1; i >= 0; i-- {
			v := &o.visible[i]
			o.firsts[named{v.base, v.extent()}] = int32(i)
		}
	}
	i, ok := o.firsts[n]
	return i, ok
}

// checkReason checks why a duplicate has no alias, as far as that follows from other files.
func (b *build) checkReason(o *object, i int, n naming, r *row) {
	v := &o.visible[i]
	if why := b.ruledOut(o, i, n); why != "" {
		if r.reason != why {
			o.add("unaliased.tsv:%d: %q has the reason %q, not %q", r.at, v.name, r.reason, why)
		}
		return
	}
	holds := false
	switch r.reason {
	case "not in the debugging information", "no split debugging information":
		holds = true // says the debugging information
	case "no debugging information", "not among the symbols of the debug file":
		holds = !o.debug
	case "object could not be read":
		holds = b.Stats == nil || b.failed[o.name] != 0
	case "object could not be written":
		holds = b.Stats == nil || b.failed[o.name]&inEmit != 0
	case "has its alias already":
		holds = slices.ContainsFunc(o.visible, func(x visibleSymbol) bool {
			return x.sec == v.sec && x.addr == v.addr && x.name != v.name &&
				(x.name == n.base || strings.HasPrefix(x.name, n.base+b.Separator))
		})
	case "name as long as the kernel's limit":
		const ordinal = 12 // _ and a number
		holds = len(n.base)+len(b.Separator)+ordinal >= b.limit
	}
	if !holds {
		o.add("unaliased.tsv:%d: %q has the reason %q, which does not hold",
			r.at, v.name, r.reason)
	}
}

// keepsLocation reports whether the registry has the location of a symbol without an alias.
func keepsLocation(reason string) bool {
	return reason == "has its alias already" || reason == "object could not be written" ||
		reason == "name as long as the kernel's limit"
}

// checkSource checks how a location was found: the method, and after a comma what the suffix of the
// name means.
func (o *object) checkSource(v *visibleSymbol, n naming, r *row) (problem string) {
	method, meaning, _ := strings.Cut(r.source, ", ")
	if meaning != n.meaning || r.source != strings.TrimSuffix(method+", "+meaning, ", ") {
		return "the suffix means " + n.meaning
	}
	holds := false
	switch word, owner, second := strings.Cut(method, " of "); {
	case second:
		holds = word == "subprogram" && owner != "" && owner != v.name && v.code &&
			!strings.ContainsAny(owner, " ,")
	case word == "subprogram", word == "fragment", word == "line":
		holds = v.code
	case word == "variable":
		holds = !v.code
	case word == "name":
		holds = true
	case word == "file":
		holds = r.line == "0"
	case word == "file symbol":
		// The file symbols of a stripped object may be in its debug file.
		named := v.file > 0 && path.Base(o.files[v.file]) == path.Base(r.file)
		holds = r.line == "0" && r.unit == r.file && (named || !o.debug)
	case word == "suffix":
		holds = r.alias == n.base && r.file == ""
	}
	if !holds {
		return "it is none of those in docs/outputs.md, or does not hold"
	}
	return ""
}
