package stages

import (
	"regexp"
	"strings"

	"kas/configs"
)

// never lists names that get no alias: names that every module has, and names that a compiler, an
// assembler, a linker or a macro makes. The configuration extends or replaces the list
// (alias.never). Each name that matches a pattern contains one of the words. They are looked for
// first, because almost no name contains one and that search takes a tenth of the time.
var never = []struct {
	pattern string
	words   []string
	reason  string
}{
	{
		`^(init_module|cleanup_module|__this_module|__module_depends|_+versions|_+modinfo.*|` +
			`__mod_.*_device_table)$`,
		[]string{"_mod", "_versions"}, "one per module by nature",
	},
	{
		`^__(pfx|cfi)_|^__kcfi_typeid_`,
		[]string{"__pfx_", "__cfi_", "__kcfi_"}, "padding before a function",
	},
	{
		`^(__kvm_nvhe_)?\.L`,
		[]string{".L"}, "label of the assembler",
	},
	{
		`\$[adtx](\.|$)`,
		[]string{"$"}, "mapping symbol",
	},
	{
		`^__UNIQUE_ID_|^__compound_literal\.|^\.compoundliteral|^_note_\d+$|^CSWTCH\.\d+$|` +
			`^(OUTLINED_FUNCTION|outlined_ir_func)_\w*\d`,
		[]string{"__UNIQUE_", "compound", "_note_", "CSWTCH", "OUTLINED_", "outlined_"},
		"named by the compiler or a macro",
	},
	{
		`^__initcall|^__(start|stop)___|^__(ksymtab|kstrtab|kstrtabns|crc|export_symbol)_`,
		[]string{
			"__initcall", "__start_", "__stop_", "__ksymtab", "__kstrtab", "__crc", "__export",
		},
		"table entry of a macro",
	},
	{
		`^TRACE_SYSTEM|^(__tracepoint|__tpstrtab|__bpf_trace_tp_map|__traceiter|__SCK__tp_func|` +
			`__SCT__tp_func|event_class|__event)_`,
		[]string{
			"TRACE_", "__tracepoint", "__tpstrtab", "__bpf_trace", "__traceiter", "__tp_func",
			"event_",
		},
		"tracepoint machinery",
	},
	{
		`(^|\.)(__[wm]?key|___once_key|__already_done|__print_once|___done)(\.\d+)?$`,
		[]string{"key", "__already_done", "__print_once", "___done"}, "variable of a macro",
	},
	{
		`^` + macroVariable + `\.\d+$|\.` + macroVariable + `(\.\d+)?$`,
		[]string{
			"__func__", "FUNCTION__", "__msg", "_rs", "___tp_str", "__flags", "symbols",
			"descriptor", "__quirk",
		},
		"variable of a macro",
	},
	{
		`_veneer$|_from_(arm|thumb)$|` +
			`^__(AArch64ADRPThunk|ARMV5PILongThunk|ThumbV7PILongThunk|AArch64AbsLongThunk)_|` +
			`\.(plt_branch|plt_call|long_branch)\.|^plt_(call|branch)\.`,
		[]string{"_veneer", "_from_", "Thunk", "plt_", "long_branch"}, "stub of the linker",
	},
}

// macroVariable matches static variables that the compiler or a macro defines in a function.
const macroVariable = `(__func__|__FUNCTION__|__PRETTY_FUNCTION__|__msg|_rs|___tp_str|__flags|` +
	`symbols|descriptor|__quirk)`

// neverFilter returns a function that returns why a name gets no alias, "" if it may get one.
func neverFilter(n configs.Never) (func(name string) string, error) {
	type rule struct {
		re     *regexp.Regexp
		words  []string // nil if any name may match
		reason string
	}
	var rules []rule
	if !n.Replace {
		for _, p := range never {
			rules = append(rules, rule{regexp.MustCompile(p.pattern), p.words, p.reason})
		}
	}
	for _, p := range n.Patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule{re, nil, "excluded by the configuration"})
	}
	return func(name string) string {
		for _, r := range rules {
			if (r.words == nil || containsOne(name, r.words)) && r.re.MatchString(name) {
				return r.reason
			}
		}
		return ""
	}, nil
}

func containsOne(name string, words []string) bool {
	for _, word := range words {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
