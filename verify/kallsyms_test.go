package verify

import (
	"debug/elf"
	"fmt"
	"strings"
	"testing"
)

// onlySymbol returns an object with one section of code and a symbol in it.
func onlySymbol(name string, k kernel) (*image, *symbol) {
	m := &image{
		is64: true, machine: uint16(elf.EM_X86_64), kernel: k,
		sections: []section{{}, {typ: 1, flags: shfAlloc | shfExec}},
	}
	return m, &symbol{name: name, raw: 1, sec: 1, info: sttFunc}
}

// TestVisibleByRelease: the names that the kernel drops from release since to before until; 605 is
// 6.5. Expected: the sources of the kernel and the commits that are named.
func TestVisibleByRelease(t *testing.T) {
	const never = 9999
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
			m, s := onlySymbol(c.name, kernel{vmlinux: c.vmlinux, version: versionOf(release)})
			want := r < c.since || r >= c.until
			if got := visible(m, s); got != want {
				t.Errorf("%s, vmlinux %v: %q is visible: %v", release, c.vmlinux, c.name, got)
			}
		}
		// The newest rules hold for an unknown release.
		m, s := onlySymbol(c.name, kernel{vmlinux: c.vmlinux, version: versionOf("mine")})
		if got := visible(m, s); got != (c.until < never || c.since == never) {
			t.Errorf("unknown release, vmlinux %v: %q is visible: %v", c.vmlinux, c.name, got)
		}
	}
}

// TestVisibleLengths: scripts/kallsyms drops names that do not fit KSYM_NAME_LEN, 128 before 6.1
// and 512 from then on. The module loader drops none.
func TestVisibleLengths(t *testing.T) {
	for _, c := range []struct {
		length  int
		release string
		vmlinux bool
		want    bool
	}{
		{127, "6.0.1", true, true}, {128, "6.0.1", true, false}, {128, "6.1.1", true, true},
		{511, "6.1.1", true, true}, {512, "6.1.1", true, false}, {512, "", true, false},
		{512, "6.1.1", false, true},
	} {
		m, s := onlySymbol(strings.Repeat("f", c.length),
			kernel{vmlinux: c.vmlinux, version: versionOf(c.release)})
		if got := visible(m, s); got != c.want {
			t.Errorf("%d bytes, %q, vmlinux %v: %v", c.length, c.release, c.vmlinux, got)
		}
	}
}

// TestCode: the type of a symbol decides, and the bounds of the text or the section only if it has
// none.
func TestCode(t *testing.T) {
	text := [][2]uint64{{0x1000, 0x1fff}, {0x8000, 0x8fff}}
	for _, c := range []struct {
		kind  byte
		flags uint64
		value uint64
		text  [][2]uint64
		want  bool
	}{
		{sttFunc, shfAlloc, 0x5000, text, true},
		{sttIfunc, shfAlloc, 0, nil, true},
		{sttObject, shfAlloc | shfExec, 0x1000, text, false},
		{sttObject, shfAlloc | shfExec, 0, nil, false},
		{sttNone, shfAlloc | shfExec, 0, nil, true},
		{sttNone, shfAlloc | shfExec | shfWrite, 0, nil, false},
		{sttNone, shfAlloc, 0, nil, false},
		{sttNone, shfAlloc | shfExec | shfWrite, 0x1000, text, true},
		{sttNone, shfAlloc | shfExec, 0x1fff, text, true},
		{sttNone, shfAlloc | shfExec, 0x2000, text, false}, // _etext
		{sttNone, shfAlloc | shfExec, 0x8fff, text, true},
		{sttNone, shfAlloc | shfExec, 0x7fff, text, false},
	} {
		m, s := onlySymbol("f", kernel{vmlinux: c.text != nil, text: c.text})
		m.sections[1].flags = c.flags
		s.value, s.info = c.value, c.kind
		if got := code(m, s); got != c.want {
			t.Errorf("type %d at %#x, flags %#x: %v", c.kind, c.value, c.flags, got)
		}
	}
}
