package stages

import (
	"fmt"
	"testing"

	"kas/elf"
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

// TestShown: the names that the kernel drops from release since to before until; 605 is 6.5.
// Expected: the sources of the kernel and the commits that are named.
func TestShown(t *testing.T) {
	const never = 9999
	f := &elf.File{
		Is64:     true,
		Machine:  emX86,
		Sections: []elf.Section{{}, {Type: 1, Flags: shfAlloc}},
	}
	for _, c := range []struct {
		name         string
		vmlinux      bool
		since, until int
	}{
		// Of vmlinux: scripts/kallsyms.c of 6.1 and scripts/mksysmap of 6.12.
		{"$d", true, 0, never}, {".Lanchor", true, 0, never}, {"L0", true, 0, never},
		{"L0\x01", true, never, never}, {"__crc_f", true, 0, never}, {"__kstrtab_f", true, 0, never},
		{"__kstrtabns_f", true, 0, never}, {"__efistub_f", true, 0, never},
		{"__kvm_nvhe_$x", true, 0, never}, {"__kvm_nvhe_.L2", true, 0, never},
		{"__kvm_nvhe_f", true, never, never}, {"__kcfi_typeid_f", true, 0, never},
		{"_SDA_BASE_", true, 0, never}, {"_SDA2_BASE_", true, 0, never},
		{"_SDA_BASE_1", true, never, never}, {"f_from_arm", true, 0, never},
		{"f_from_thumb", true, 0, never}, {"f_veneer", true, 0, never}, {"f_veneer2", true, never, never},
		{"1.long_branch.f", true, 0, never}, {"1.plt_branch.f", true, 0, never},
		{"__ARMV7PILongThunk_f", true, 0, never}, {"__AArch64ADRPThunk_f", true, 0, never},
		{"__microLA25Thunk_f", true, 0, never},
		{"__a.Thunk_f", true, never, never}, {"x__LA25Thunk_f", true, never, never},
		{"__a_Thunk_f", true, never, never}, {"start_kernel", true, never, never},
		// Linux 6.5: 200dd957a7a7, 71025b8565a3.
		{"__pi_$d", true, 605, never}, {"__pi_.L0", true, 605, never}, {"__pi_f", true, never, never},
		{"__pi___kcfi_typeid_f", true, 605, never},
		{"__kvm_nvhe___kcfi_typeid_f", true, 605, never},
		// Linux 6.10: 951bcae6c5a0 and what follows it.
		{"kallsyms_names", true, 0, 610}, {"kallsyms_seqs_of_names", true, 0, 610},
		{"kallsyms_offsets", true, 0, 610}, {"kallsyms_lookup", true, never, never},
		// Linux 6.18: 5ab23c7923a1 and the rule for MODULE_INFO; 6.19 puts a _ before numbers.
		{"__mod_device_table__kmod_a__pci__b", true, 618, never},
		{"__UNIQUE_ID_modinfo569", true, 618, never}, {"__UNIQUE_ID_modinfo_569", true, 619, never},
		{"__UNIQUE_ID_modinfo_5x", true, never, never}, {"__UNIQUE_ID_license569", true, never, never},
		// Of modules: is_arm_mapping_symbol of 6.1, is_mapping_symbol from 6.4 (0a3bf86092c3) and
		// 6.6 (ff09f6fd2972) on.
		{"$a", false, 0, never}, {"$d.7", false, 0, never}, {"$t", false, 0, never},
		{"$x", false, 0, never},
		{"$dx", false, 606, never}, {"$xrv64i2p1", false, 606, never}, {"$b", false, 606, never},
		{".L2", false, 0, never}, {"L0", false, 604, never}, {"L0f", false, 604, never},
		{"L1", false, never, never}, {"__crc_f", false, never, never}, {"f_veneer", false, never, never},
		{"kallsyms_names", false, never, never}, {"__pi_.L0", false, never, never},
		{"__UNIQUE_ID_modinfo569", false, never, never},
	} {
		for _, r := range []int{
			419, 510, 601, 603, 604, 605, 606, 609, 610, 612, 617, 618, 619, 703,
		} {
			release := fmt.Sprintf("%d.%d.3-cloud", r/100, r%100)
			s := newShown(f, c.vmlinux, release, nil)
			want := r < c.since || r >= c.until
			if got := s.shows(&elf.Symbol{Name: []byte(c.name), Section: 1}); got != want {
				t.Errorf("%s, vmlinux %v: %q is shown: %v", release, c.vmlinux, c.name, got)
			}
		}
		for _, release := range []string{"", "x.y"} { // unknown: the newest rules hold
			s := newShown(f, c.vmlinux, release, nil)
			want := c.until < never || c.since == never
			if got := s.shows(&elf.Symbol{Name: []byte(c.name), Section: 1}); got != want {
				t.Errorf("%q, vmlinux %v: %q is shown: %v", release, c.vmlinux, c.name, got)
			}
		}
	}
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
