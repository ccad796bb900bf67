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
