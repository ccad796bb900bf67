package stages

import (
	"regexp"
	"strings"
	"testing"

	"kas/configs"
)

func TestNeverFilter(t *testing.T) {
	filter, err := neverFilter(configs.Never{Patterns: []string{"^secret_"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"__compound_literal.3", "__key.12", "foo.__key", "__wkey.1", "__mkey.2", "TRACE_SYSTEM_X", "__already_done.5", "__msg.7", "__func__.9",
		"CSWTCH.33", "OUTLINED_FUNCTION_0", "OUTLINED_FUNCTION_3_1", "OUTLINED_FUNCTION_PROLOG_FRAME32_x30", "outlined_ir_func_2", "_rs.4", "___tp_str.1", "__flags.2", "___done.3", "__print_once.6", "___once_key.8", "__pfx_name_show", "__cfi_name_show",
		".LC5", ".L12.3", "__UNIQUE_ID_license123", "symbols.4", "_note_7", "$x", "$d.1", "__pi_$x", "descriptor.2", "foo.descriptor",
		"__quirk.1", "__initcall__kmod_x", "__kstrtab_foo", "__ksymtab_foo", "foo_veneer", "init_module", "cleanup_module", "__this_module", "secret_name",
	} {
		if filter(name) == "" {
			t.Errorf("%s may have an alias", name)
		}
	}
	for _, name := range []string{
		"name_show", "descriptor", "symbols", "key", "probe.cold", "flags", "init_module_x",
		"x_init_module", "__pi_memcpy",
	} {
		if reason := filter(name); reason != "" {
			t.Errorf("%s: %s", name, reason)
		}
	}
	if filter, _ := neverFilter(configs.Never{Replace: true}); filter("__key.1") != "" {
		t.Error("replaced filters still filter")
	}
}

// FuzzNeverWords: a name that matches a pattern contains one of its words. The names are made of
// the pieces of the patterns.
func FuzzNeverWords(f *testing.F) {
	for _, n := range never {
		f.Add(strings.Trim(n.pattern, "^$"))
		syntax := func(r rune) bool { return strings.ContainsRune("^$()|?", r) }
		example := strings.NewReplacer(`\d+`, "12", `\.`, ".", `\$`, "$", ".*", "x", "_+", "__",
			"[adtx]", "x", "[wm]", "")
		for _, piece := range strings.FieldsFunc(n.pattern, syntax) {
			f.Add(example.Replace(piece))
		}
	}
	for _, name := range []string{
		"init_module", "__versions", "____versions", "_modinfo", "__mod_pci__ids_device_table", "__pfx_f", "__kvm_nvhe_.L3", "$x", "__pi_$d.4",
		".compoundliteral.3", "_note_12", "CSWTCH.9", "__stop___bug_table", "__crc_f", "TRACE_SYSTEM_X", "event_class_x", "__SCT__tp_func_x",
		"f.__key.3", "__wkey", "__mkey.1", "___done.2", "probe.__func__", "symbols.7", "_rs.1", "f_veneer", "f_from_thumb", "__AArch64ADRPThunk_f", "plt_call.f",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, n := range never {
			if regexp.MustCompile(n.pattern).MatchString(name) && !containsOne(name, n.words) {
				t.Errorf("%q matches %s and holds none of %q", name, n.pattern, n.words)
			}
		}
	})
}
