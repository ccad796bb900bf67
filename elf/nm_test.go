package elf_test

import (
	stdelf "debug/elf"
	"testing"

	"kas/elf"
)

// TestMappingSymbol lists names that the assemblers use for changes between code and data, and
// names that only look like them. TestNMLetters compares such names with nm.
func TestMappingSymbol(t *testing.T) {
	for _, test := range []struct {
		machine  stdelf.Machine
		yes, not []string
	}{
		{stdelf.EM_ARM, []string{"$a", "$t", "$d", "$d.realdata", "$m"}, []string{"$", "$ax", "a", "$1", "$D"}},
		{stdelf.EM_AARCH64, []string{"$x", "$d", "$x.1", "$m", "$f", "$p"}, []string{"$a", "$b", "$xa", "x"}},
		{stdelf.EM_RISCV, []string{"$x", "$d", "$xrv64i2p1_m2p0", "$d.1"}, []string{"$a", "$", "x", ".L0"}},
		{stdelf.EM_X86_64, nil, []string{"$x", "$d", "$a"}},
	} {
		f := &elf.File{Machine: uint16(test.machine)}
		for _, name := range test.yes {
			if !f.MappingSymbol([]byte(name)) {
				t.Errorf("%v: %s is not a mapping symbol", test.machine, name)
			}
		}
		for _, name := range test.not {
			if f.MappingSymbol([]byte(name)) {
				t.Errorf("%v: %s is a mapping symbol", test.machine, name)
			}
		}
	}
}

// scripts/kallsyms sorts the names of one address: see AliasType.
func TestAliasType(t *testing.T) {
	for _, c := range []struct {
		letter          byte
		original, alias string
		want            byte
	}{
		{'t', "name_show", "name_show@a_c_1", 't'},
		{'W', "name_show", "name_show@a_c_1", 'W'},
		{'t', "__do_trace_x_end", "__do_trace_x_end@a_c_1", 'W'},
		{'T', "__x_start", "__x_start@a_c_1", 'W'},
		{'t', "__x_start", "__x_start@a_c_start", 't'},
		{'t', "x__start", "x__start@a_c_1", 't'},
		{'t', "_x_start", "_x_start@a_c_1", 't'},
		{'t', "__start_x", "__start_x@a_c_1", 't'},
		{'t', "__stop_x", "__stop_x@a_c_1", 't'},
		{'t', "__end_x", "__end_x@a_c_1", 't'},
		{'t', "__x_end", "__x_end@a_c_1", 't'}, // shorter than eight bytes
		{'t', "__x_end.1", "__x_end@a_c_1", 't'},
	} {
		if have := elf.AliasType(c.letter, c.original, c.alias); have != c.want {
			t.Errorf("%s: %c, want %c", c.alias, have, c.want)
		}
	}
}
