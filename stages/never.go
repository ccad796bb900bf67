package stages

import (
	"regexp"

	"kas/configs"
)

// never is what gets no alias whatever the configuration says of it: names that repeat by nature, and names that no
// person gave. The configuration extends or replaces it (alias.never).
var never = []struct{ pattern, reason string }{
	{`^(init_module|cleanup_module|__this_module|__module_depends|_+versions|_+modinfo.*|__mod_.*_device_table)$`, "one per module by nature"},
	{`^__(pfx|cfi)_|^__kcfi_typeid_`, "padding before a function"},
	{`^(__kvm_nvhe_)?\.L`, "label of the assembler"},
	{`\$[adtx](\.|$)`, "mapping symbol"},
	{`^__UNIQUE_ID_|^__compound_literal\.|^\.compoundliteral|^_note_\d+$|^CSWTCH\.\d+$`, "named by the compiler or a macro"},
	{`^__initcall|^__(start|stop)___|^__(ksymtab|kstrtab|kstrtabns|crc|export_symbol)_`, "table entry of a macro"},
	{`^TRACE_SYSTEM|^(__tracepoint|__tpstrtab|__bpf_trace_tp_map|__traceiter|__SCK__tp_func|__SCT__tp_func|event_class|__event)_`, "tracepoint machinery"},
	{`(^|\.)(__[wm]?key|___once_key|__already_done|__print_once|___done)(\.\d+)?$`, "variable of a macro"},
	{`(^(__func__|__FUNCTION__|__PRETTY_FUNCTION__|__msg|_rs|___tp_str|__flags|symbols|descriptor|__quirk)\.\d+$)|(\.(__func__|__FUNCTION__|__PRETTY_FUNCTION__|__msg|_rs|___tp_str|__flags|symbols|descriptor|__quirk)(\.\d+)?$)`, "variable of a macro"},
	{`_veneer$|_from_(arm|thumb)$|^__(AArch64ADRPThunk|ARMV5PILongThunk|ThumbV7PILongThunk|AArch64AbsLongThunk)_|\.(plt_branch|plt_call|long_branch)\.|^plt_(call|branch)\.`, "stub of the linker"},
}

// neverFilter returns a function that tells why a name gets no alias, "" if it may have one.
func neverFilter(n configs.Never) (func(name string) string, error) {
	type rule struct {
		re     *regexp.Regexp
		reason string
	}
	var rules []rule
	if !n.Replace {
		for _, p := range never {
			rules = append(rules, rule{regexp.MustCompile(p.pattern), p.reason})
		}
	}
	for _, p := range n.Patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule{re, "excluded by the configuration"})
	}
	return func(name string) string {
		for _, r := range rules {
			if r.re.MatchString(name) {
				return r.reason
			}
		}
		return ""
	}, nil
}
