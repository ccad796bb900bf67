// Package kallsyms has, for tests, the names that kernels leave out of kallsyms, by release. Its
// rows come from the sources of the kernel and the commits that they name. Only tests import it.
package kallsyms

import (
	"fmt"
	"testing"
)

const never = 9999

// names are dropped from release since to before until; 605 is 6.5.
var names = []struct {
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
	{"f_from_thumb", true, 0, never}, {"f_veneer", true, 0, never},
	{"f_veneer2", true, never, never},
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
	{"L1", false, never, never}, {"__crc_f", false, never, never},
	{"f_veneer", false, never, never},
	{"kallsyms_names", false, never, never}, {"__pi_.L0", false, never, never},
	{"__UNIQUE_ID_modinfo569", false, never, never},
}

// Check calls shown for each name and for releases around each change, and for releases that are
// not known, for which the newest rules hold. shown reports whether a symbol of code with this name
// is in kallsyms, as the tested code has it.
func Check(t *testing.T, shown func(name string, vmlinux bool, release string) bool) {
	t.Helper()
	for _, n := range names {
		check := func(release string, want bool) {
			t.Helper()
			if got := shown(n.name, n.vmlinux, release); got != want {
				t.Errorf("release %q, vmlinux %v: %q is shown: %v", release, n.vmlinux, n.name,
					got)
			}
		}
		for _, r := range []int{
			419, 510, 601, 603, 604, 605, 606, 609, 610, 612, 617, 618, 619, 703,
		} {
			check(fmt.Sprintf("%d.%d.3-cloud", r/100, r%100), r < n.since || r >= n.until)
		}
		for _, release := range []string{"", "x.y", "mine"} {
			check(release, n.until < never || n.since == never)
		}
	}
}
