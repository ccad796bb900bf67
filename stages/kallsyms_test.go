package stages

import (
	"testing"

	"kas/elf"
	"kas/need/kallsyms"
)

// Machines, and values of sh_flags and st_info (gABI).
const (
	emX86     = 62
	emRISCV   = 243
	shfWrite  = 1
	shfAlloc  = 2
	shfExec   = 4
	sttNotype = 0x00
	sttObject = 0x01
	sttFunc   = 0x02
	sttIfunc  = 0x0a
)

// TestShown: the names that the kernel drops, by its release.
func TestShown(t *testing.T) {
	f := &elf.File{
		Is64:     true,
		Machine:  emX86,
		Sections: []elf.Section{{}, {Type: 1, Flags: shfAlloc}},
	}
	kallsyms.Check(t, func(name string, vmlinux bool, release string) bool {
		s := newShown(f, vmlinux, release, nil)
		return s.shows(&elf.Symbol{Name: []byte(name), Section: 1})
	})
}

// TestShownKinds: symbols that are no code and data in memory, and names that do not fit.
func TestShownKinds(t *testing.T) {
	long := make([]byte, 512)
	for i := range long {
		long[i] = 'f'
	}
	f := &elf.File{
		Is64:     true,
		Machine:  emX86,
		Sections: []elf.Section{{}, {Type: 1, Flags: shfAlloc}, {Type: 1}},
	}
	for _, c := range []struct {
		what    string
		release string
		s       elf.Symbol
		want    bool
	}{
		{"a function", "6.1", elf.Symbol{Name: []byte("f"), Section: 1}, true},
		{"no name", "6.1", elf.Symbol{Section: 1}, false},
		{"undefined", "6.1", elf.Symbol{Name: []byte("f")}, false},
		{"absolute", "6.1", elf.Symbol{Name: []byte("f"), Section: elf.Abs}, false},
		{"common", "6.1", elf.Symbol{Name: []byte("f"), Section: elf.Common}, false},
		{"not loaded", "6.1", elf.Symbol{Name: []byte("f"), Section: 2}, false},
		{"a section", "6.1", elf.Symbol{Name: []byte("f"), Section: 1, Info: 3}, false},
		{"a unique symbol", "6.1", elf.Symbol{Name: []byte("f"), Section: 1, Info: 10 << 4}, false},
		{"512 bytes", "6.1", elf.Symbol{Name: long, Section: 1}, false},
		{"511 bytes", "6.1", elf.Symbol{Name: long[:511], Section: 1}, true},
		{"128 bytes", "6.0", elf.Symbol{Name: long[:128], Section: 1}, false},
		{"127 bytes", "5.10.0", elf.Symbol{Name: long[:127], Section: 1}, true},
	} {
		if got := newShown(f, true, c.release, nil).shows(&c.s); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	f.Machine = emRISCV // nm hides all labels
	for _, name := range []string{"L0\x01", "..x"} {
		if newShown(f, true, "7.2", nil).shows(&elf.Symbol{Name: []byte(name), Section: 1}) {
			t.Errorf("%q of riscv64 is shown", name)
		}
	}
}

// TestCode: the type of a symbol decides, and the section or the bounds of the text only if it has
// none.
func TestCode(t *testing.T) {
	f := &elf.File{Is64: true, Machine: emX86, Sections: []elf.Section{
		{}, {Flags: shfAlloc | shfExec}, {Flags: shfAlloc | shfExec | shfWrite}, {Flags: shfAlloc}}}
	text := [][2]uint64{{0x1000, 0x2000}, {0x8000, 0x9000}}
	for _, c := range []struct {
		info    byte
		section uint32
		value   uint64
		linked  bool // with bounds of the text
		want    bool
	}{
		{sttFunc, 1, 0, false, true},
		{sttFunc, 3, 0x5000, true, true},
		{sttIfunc, 1, 0, false, true},
		{sttObject, 1, 0x1000, true, false},
		{sttObject, 1, 0, false, false},
		{sttNotype, 1, 0, false, true},
		{sttNotype, 2, 0, false, false}, // .data of an executable segment
		{sttNotype, 3, 0, false, false},
		{sttNotype, 1, 0x1000, true, true},
		{sttNotype, 1, 0x1fff, true, true},
		{sttNotype, 1, 0x2000, true, false}, // _etext
		{sttNotype, 1, 0x8000, true, true},
		{sttNotype, 1, 0x7fff, true, false},
	} {
		s := shown{f: f, vmlinux: c.linked}
		if c.linked {
			s.text = text
		}
		sym := elf.Symbol{Info: c.info, Section: c.section, Value: c.value}
		if got := s.code(&sym); got != c.want {
			t.Errorf("%+v, linked %v: %v", sym, c.linked, got)
		}
	}
}
