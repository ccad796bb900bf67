package registry

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// symbols parses symbols, one per line: NAME OBJECT [ALIAS FILE:LINE [UNIT]] [data]. The default
// UNIT is the file. The base name is the alias up to the @, or NAME without .llvm.N. Addresses
// follow the order of the lines.
func symbols(text string) []Record {
	var all []Record
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		r := Record{Name: f[0], Object: f[1], Section: ".text",
			Address: uint64(0x1000 + 16*len(all)), Size: 16, Type: 't', Position: 1}
		if f[len(f)-1] == "data" {
			r.Section, r.Type = ".data", 'd'
			f = f[:len(f)-1]
		}
		r.Base, _, _ = strings.Cut(r.Name, ".llvm.")
		if len(f) > 2 {
			r.Alias = f[2]
			r.Base, _, _ = strings.Cut(r.Alias, "@")
			r.File, r.Line, _ = CutLine(f[3])
			if r.File == "" {
				r.File = f[3]
			}
			r.Unit, r.Method = r.File, "subprogram"
		}
		if len(f) > 4 {
			r.Unit = f[4]
		}
		all = append(all, r)
	}
	return all
}

// registryOf returns a registry of the records, in memory.
func registryOf(t testing.TB, h Header, records []Record) *Registry {
	t.Helper()
	count := map[string]int{}
	for _, r := range records {
		count[r.Name]++
	}
	byName := map[string][]Record{}
	for _, r := range records {
		r.Count = count[r.Name]
		byName[r.Name] = append(byName[r.Name], r)
	}
	var names [][]Record
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		names = append(names, byName[name])
	}
	h.Symbols = len(records)
	f := new(File)
	if err := f.parse(file(h, names)); err != nil {
		t.Fatal(err)
	}
	return &Registry{File: f}
}

var diffHeader = Header{Arch: "x86_64", Toolchain: "gcc", LTO: "none", Release: "6.1.0",
	Policy: "separator=@ line=opening symbols=text names=duplicates"}

func compareText(t testing.TB, a, b string) *Diff {
	t.Helper()
	return Compare(registryOf(t, diffHeader, symbols(a)), registryOf(t, diffHeader, symbols(b)))
}

// aliasLines returns a line for each alias, ALIAS_A -> TO KIND, followed by the candidates and the
// symbols that reuse it.
func aliasLines(d *Diff) []string {
	var all []string
	for _, t := range d.Aliases {
		alias := "-"
		if t.Kind != KindNew {
			alias = t.A.Alias
		}
		line := fmt.Sprintf("%s -> %s %s", alias, orMinus(t.To), t.Kind)
		for _, r := range slices.Concat(t.Candidates, t.ReusedBy) {
			line += " | " + r.Object + " " + orMinus(r.Alias)
		}
		all = append(all, line)
	}
	return all
}

func orMinus(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func TestDiffKinds(t *testing.T) {
	for _, c := range []struct {
		what, a, b string
		want       []string
	}{
		{"the same, and only the line differs", `
			foo vmlinux foo@a_c_10 a.c:10
			foo m.ko foo@m_c_20 m.c:20`, `
			foo vmlinux foo@a_c_10 a.c:10
			foo kernel/m.ko.xz foo@m_c_21 m.c:21`, []string{
			"foo@m_c_20 -> foo@m_c_21 line",
			"foo@a_c_10 -> foo@a_c_10 same",
		}},
		{"a module is built in: file and unit identify its function", `
			foo vmlinux foo@a_c_10 a.c:10
			foo m.ko foo@m_c_20 m.c:20`, `
			foo vmlinux foo@a_c_10 a.c:10
			foo vmlinux foo@m_c_20 m.c:20`, []string{
			"foo@m_c_20 -> foo@m_c_20 same",
			"foo@a_c_10 -> foo@a_c_10 same",
		}},
		{"an alias without a line stays the same when the line moves", `
			foo vmlinux foo@a_c a.c:10
			foo vmlinux foo@b_c b.c:20`, `
			foo vmlinux foo@a_c a.c:11
			foo vmlinux foo@b_c b.c:22`, []string{
			"foo@a_c -> foo@a_c same",
			"foo@b_c -> foo@b_c same",
		}},
		{"another spelling of the same location", `
			foo vmlinux foo@a_c_10 a.c:10
			foo vmlinux foo@b_c_20 b.c:20`, `
			foo vmlinux foo@a_c a.c:10
			foo vmlinux foo@b_c b.c:20`, []string{
			"foo@a_c_10 -> foo@a_c spelling",
			"foo@b_c_20 -> foo@b_c spelling",
		}},
		{"a file that was a unit is included by another file", `
			foo vmlinux foo@sched_clock_c_10 sched/clock.c:10
			foo vmlinux foo@b_c_20 b.c:20`, `
			foo vmlinux foo@sched_clock_c_build_c_10 sched/clock.c:10 sched/build.c
			foo vmlinux foo@b_c_20 b.c:20`, []string{
			"foo@b_c_20 -> foo@b_c_20 same",
			"foo@sched_clock_c_10 -> foo@sched_clock_c_build_c_10 unit",
		}},
		{"copies of a header's function: that of x.c is gone, that of y.c is new", `
			foo vmlinux foo@h_h_x_c_10 h.h:10 x.c
			foo vmlinux foo@h_h_z_c_10 h.h:10 z.c
			bar vmlinux bar@x_c_5 x.c:5
			bar vmlinux bar@z_c_5 z.c:5`, `
			foo vmlinux foo@h_h_y_c_10 h.h:10 y.c
			foo vmlinux foo@h_h_z_c_10 h.h:10 z.c
			bar vmlinux bar@x_c_5 x.c:5
			bar vmlinux bar@z_c_5 z.c:5`, []string{
			"bar@x_c_5 -> bar@x_c_5 same",
			"bar@z_c_5 -> bar@z_c_5 same",
			"- -> foo@h_h_y_c_10 new",
			"foo@h_h_x_c_10 -> - gone",
			"foo@h_h_z_c_10 -> foo@h_h_z_c_10 same",
		}},
		{"copies of a header's function: x.c may have been renamed to y.c", `
			foo vmlinux foo@h_h_x_c_10 h.h:10 x.c
			foo vmlinux foo@h_h_z_c_10 h.h:10 z.c`, `
			foo vmlinux foo@h_h_y_c_10 h.h:10 y.c
			foo vmlinux foo@h_h_z_c_10 h.h:10 z.c`, []string{
			"foo@h_h_x_c_10 -> - undecided | vmlinux foo@h_h_y_c_10",
			"foo@h_h_z_c_10 -> foo@h_h_z_c_10 same",
		}},
		{"a file moved: in the same module, or in a folder of the same name", `
			foo fs/cifs/cifs.ko foo@fs_cifs_misc_c_10 fs/cifs/misc.c:10
			foo vmlinux foo@drivers_efi_map_c_20 drivers/efi/map.c:20`, `
			foo fs/smb/client/cifs.ko foo@fs_smb_client_misc_c_10 fs/smb/client/misc.c:10
			foo vmlinux foo@platform_efi_map_c_20 platform/efi/map.c:20`, []string{
			"foo@fs_cifs_misc_c_10 -> foo@fs_smb_client_misc_c_10 file",
			"foo@drivers_efi_map_c_20 -> foo@platform_efi_map_c_20 file",
		}},
		{"a function moved to another header of its unit", `
			foo vmlinux foo@multicalls_h_mmu_c_24 multicalls.h:24 mmu.c
			foo vmlinux foo@multicalls_h_pv_c_24 multicalls.h:24 pv.c`, `
			foo vmlinux foo@ops_h_mmu_c_219 ops.h:219 mmu.c
			foo vmlinux foo@ops_h_pv_c_219 ops.h:219 pv.c`, []string{
			"foo@multicalls_h_mmu_c_24 -> foo@ops_h_mmu_c_219 file",
			"foo@multicalls_h_pv_c_24 -> foo@ops_h_pv_c_219 file",
		}},
		{"a function moved to another file of its folder; its old file is still there", `
			foo vmlinux foo@host_core_c_10 host/core.c:10
			foo vmlinux foo@b_c_20 b.c:20
			bar vmlinux bar@host_core_c_5 host/core.c:5
			bar vmlinux bar@b_c_5 b.c:5`, `
			foo vmlinux foo@host_sysfs_c_3 host/sysfs.c:3
			foo vmlinux foo@b_c_20 b.c:20
			bar vmlinux bar@host_core_c_5 host/core.c:5
			bar vmlinux bar@b_c_5 b.c:5`, []string{
			"bar@b_c_5 -> bar@b_c_5 same",
			"bar@host_core_c_5 -> bar@host_core_c_5 same",
			"foo@b_c_20 -> foo@b_c_20 same",
			"foo@host_core_c_10 -> foo@host_sysfs_c_3 file",
		}},
		{"one driver of a folder is gone and one is new: they may be unrelated", `
			foo vmlinux foo@gpio_x_c_10 gpio/x.c:10
			foo vmlinux foo@b_c_20 b.c:20`, `
			foo vmlinux foo@gpio_y_c_10 gpio/y.c:10
			foo vmlinux foo@b_c_20 b.c:20`, []string{
			"foo@b_c_20 -> foo@b_c_20 same",
			"foo@gpio_x_c_10 -> - undecided | vmlinux foo@gpio_y_c_10",
		}},
		{"one symbol on each side is not enough: name_show of another driver", `
			name_show drivers/mei.ko name_show@drivers_mei_bus_c_968 drivers/mei/bus.c:968
			name_show vmlinux name_show@b_c_20 b.c:20`, `
			name_show fs/virtiofs.ko name_show@fs_virtio_fs_c_10 fs/virtio_fs.c:10
			name_show vmlinux name_show@b_c_20 b.c:20`, []string{
			"name_show@drivers_mei_bus_c_968 -> - gone",
			"- -> name_show@fs_virtio_fs_c_10 new",
			"name_show@b_c_20 -> name_show@b_c_20 same",
		}},
		{"the symbol's suffix changes, with or without the line", `
			foo.123 vmlinux foo@a_c_10 a.c:10
			foo.456 vmlinux foo@b_c_20 b.c:20
			foo vmlinux foo@c_c_30 c.c:30`, `
			foo.124 vmlinux foo@a_c_10 a.c:10
			foo.llvm.7 vmlinux foo@b_c_21 b.c:21
			foo vmlinux foo@c_c_30 c.c:30`, []string{
			"foo@a_c_10 -> foo@a_c_10 suffix",
			"foo@b_c_20 -> foo@b_c_21 suffix",
			"foo@c_c_30 -> foo@c_c_30 same",
		}},
		{"unique now: one of two modules has it", `
			foo net/m-x.ko foo@net_m_c_29 net/m.c:29
			foo net/n.ko foo@net_n_c_31 net/n.c:31
			other net/n.ko`, `
			foo kernel/net/m_x.ko.zst
			other kernel/net/n.ko.zst`, []string{
			"foo@net_m_c_29 -> foo unique",
			"foo@net_n_c_31 -> - gone",
		}},
		{"unique now, with its suffix", `
			foo.llvm.1 vmlinux foo@a_c_10 a.c:10
			foo.llvm.2 vmlinux foo@b_c_10 b.c:10
			foo m.ko foo@m_c_10 m.c:10`, `
			foo.llvm.9 m.ko`, []string{
			"foo@m_c_10 -> foo.llvm.9 unique",
			"foo@a_c_10 -> - gone",
			"foo@b_c_10 -> - gone",
		}},
		{"unique now, with its suffix, although others have its base name", `
			foo.llvm.1 n.ko foo@n_c_10 n.c:10
			foo.llvm.2 m.ko foo@m_c_10 m.c:10`, `
			foo.llvm.8 n.ko
			foo.llvm.9 m.ko`, []string{
			"foo@m_c_10 -> foo.llvm.9 unique",
			"foo@n_c_10 -> foo.llvm.8 unique",
		}},
		{"unique now, but two in vmlinux are equally likely", `
			foo vmlinux foo@a_c_10 a.c:10
			foo vmlinux foo@b_c_10 b.c:10`, `
			foo vmlinux`, []string{
			"foo@a_c_10 -> - undecided | vmlinux -",
			"foo@b_c_10 -> - undecided | vmlinux -",
		}},
		{"unique now, but from a header: any unit of the module may include it", `
			foo m.ko foo@h_h_m_c_10 h.h:10 m.c
			foo vmlinux foo@b_c_10 b.c:10
			other m.ko`, `
			foo m.ko
			other vmlinux`, []string{
			"foo@h_h_m_c_10 -> - undecided | m.ko -",
			"foo@b_c_10 -> - gone",
		}},
		{"unique now, but the other one's module may be built in", `
			suspend vmlinux suspend@guest_c_721 guest.c:721
			suspend kvm.ko suspend@host_c_5781 host.c:5781`, `
			suspend vmlinux`, []string{
			"suspend@host_c_5781 -> - undecided | vmlinux -",
			"suspend@guest_c_721 -> - undecided | vmlinux -",
		}},
		{"code does not match data", `
			foo m.ko foo@m_c_10 m.c:10
			foo vmlinux data`, `
			foo m.ko data
			other m.ko`, []string{
			"foo@m_c_10 -> - gone",
		}},
		{"no alias in B, although the name is ambiguous", `
			foo m.ko foo@m_c_10 m.c:10
			foo n.ko foo@n_c_10 n.c:10`, `
			foo m.ko
			foo n.ko foo@n_c_10 n.c:10`, []string{
			"foo@m_c_10 -> - unaliased",
			"foo@n_c_10 -> foo@n_c_10 same",
		}},
		{"no alias in A: the alias is new", `
			foo m.ko`, `
			foo m.ko foo@m_c_10 m.c:10
			foo n.ko foo@n_c_10 n.c:10`, []string{
			"- -> foo@m_c_10 new",
			"- -> foo@n_c_10 new",
		}},
		{"reused: it names another file's function, and the symbol is gone", `
			foo vmlinux foo@x_a_b_c_10 x/a-b.c:10
			foo vmlinux foo@b_c_20 b.c:20`, `
			foo m.ko foo@x_a_b_c_10 x/a/b.c:10
			foo vmlinux foo@b_c_20 b.c:20`, []string{
			"- -> foo@x_a_b_c_10 new",
			"foo@b_c_20 -> foo@b_c_20 same",
			"foo@x_a_b_c_10 -> - reused | m.ko foo@x_a_b_c_10",
		}},
		{"reused: another variable has its line now (msr_last in intel_powerclamp.c of 6.12)", `
			last.15 m.ko last@m_c_324 m.c:324 m.c data
			last.13 m.ko last@m_c_434 m.c:434 m.c data`, `
			last.20 m.ko last@m_c_434 m.c:434 m.c data
			last.18 m.ko last@m_c_501 m.c:501 m.c data`, []string{
			"last@m_c_324 -> last@m_c_434 suffix",
			"last@m_c_434 -> last@m_c_501 reused | m.ko last@m_c_434",
		}},
		{"reused: ordinals shift when an earlier module is new", `
			foo b.ko foo@t_c_10_1 t.c:10
			foo c.ko foo@t_c_10_2 t.c:10`, `
			foo a.ko foo@t_c_10_1 t.c:10
			foo b.ko foo@t_c_10_2 t.c:10
			foo c.ko foo@t_c_10_3 t.c:10`, []string{
			"- -> foo@t_c_10_1 new",
			"foo@t_c_10_1 -> foo@t_c_10_2 reused | a.ko foo@t_c_10_1",
			"foo@t_c_10_2 -> foo@t_c_10_3 reused | b.ko foo@t_c_10_2",
		}},
		{"reused: an alias that is a plain name, which other symbols now have", `
			foo.llvm.1 vmlinux foo a.c:10
			bar vmlinux`, `
			foo.llvm.2 vmlinux foo@a_c_10 a.c:10
			foo m.ko foo@m_c_5 m.c:5`, []string{
			"- -> foo@m_c_5 new",
			"foo -> foo@a_c_10 reused | m.ko foo@m_c_5",
		}},
		{"reused: an alias that is a plain name holds, but another symbol has it, too", `
			foo.llvm.1 vmlinux foo a.c:10
			bar vmlinux`, `
			foo.llvm.2 vmlinux foo a.c:10
			foo m.ko`, []string{
			"foo -> foo reused | m.ko -",
		}},
		{"ordinals within one object follow the addresses", `
			foo vmlinux foo@t_c_10_1 t.c:10
			foo vmlinux foo@t_c_10_2 t.c:10`, `
			foo vmlinux foo@t_c_12_1 t.c:12
			foo vmlinux foo@t_c_12_2 t.c:12`, []string{
			"foo@t_c_10_1 -> foo@t_c_12_1 line",
			"foo@t_c_10_2 -> foo@t_c_12_2 line",
		}},
		{"undecided: only the order distinguishes two, and there are three now", `
			foo vmlinux foo@t_c_10_1 t.c:10
			foo vmlinux foo@t_c_10_2 t.c:10`, `
			foo vmlinux foo@t_c_10_1 t.c:10
			foo vmlinux foo@t_c_10_2 t.c:10
			foo vmlinux foo@t_c_10_3 t.c:10`, []string{
			"foo@t_c_10_1 -> - undecided" +
				" | vmlinux foo@t_c_10_1 | vmlinux foo@t_c_10_2 | vmlinux foo@t_c_10_3",
			"foo@t_c_10_2 -> - undecided" +
				" | vmlinux foo@t_c_10_1 | vmlinux foo@t_c_10_2 | vmlinux foo@t_c_10_3",
		}},
		{"undecided: two on one line are on two lines now", `
			foo vmlinux foo@t_c_10_1 t.c:10
			foo vmlinux foo@t_c_10_2 t.c:10`, `
			foo vmlinux foo@t_c_10 t.c:10
			foo vmlinux foo@t_c_20 t.c:20`, []string{
			"foo@t_c_10_1 -> - undecided | vmlinux foo@t_c_10 | vmlinux foo@t_c_20",
			"foo@t_c_10_2 -> - undecided | vmlinux foo@t_c_10 | vmlinux foo@t_c_20",
		}},
		{"a function may have moved within its folder, but another of its name is new", `
			foo vmlinux foo@host_core_c_10 host/core.c:10
			bar vmlinux bar@host_core_c_5 host/core.c:5`, `
			foo vmlinux foo@host_sysfs_c_3 host/sysfs.c:3
			foo vmlinux foo@other_x_c_1 other/x.c:1
			bar vmlinux bar@host_core_c_5 host/core.c:5`, []string{
			"bar@host_core_c_5 -> bar@host_core_c_5 same",
			"- -> foo@other_x_c_1 new",
			"foo@host_core_c_10 -> - undecided | vmlinux foo@host_sysfs_c_3",
		}},
		{"a file of the same name in a folder of another name", `
			foo vmlinux foo@drivers_efi_map_c_20 drivers/efi/map.c:20`, `
			foo vmlinux foo@platform_new_map_c_20 platform/new/map.c:20`, []string{
			"foo@drivers_efi_map_c_20 -> - undecided | vmlinux foo@platform_new_map_c_20",
		}},
		{"code does not match data at the same location", `
			foo m.ko foo@m_c_10 m.c:10`, `
			foo m.ko foo@m_c_10_1 m.c:10 m.c data`, []string{
			"- -> foo@m_c_10_1 new",
			"foo@m_c_10 -> - gone",
		}},
		{"headers of one folder, but the unit is still there without the function", `
			foo vmlinux foo@d_h_h_x_c_10 d/h.h:10 x.c
			bar vmlinux bar@x_c_5 x.c:5`, `
			foo vmlinux foo@d_k_h_y_c_10 d/k.h:10 y.c
			bar vmlinux bar@x_c_5 x.c:5`, []string{
			"bar@x_c_5 -> bar@x_c_5 same",
			"- -> foo@d_k_h_y_c_10 new",
			"foo@d_h_h_x_c_10 -> - gone",
		}},
		{"a header's function does not match that of a C file in its folder", `
			foo vmlinux foo@d_h_h_x_c_10 d/h.h:10 x.c`, `
			foo vmlinux foo@d_y_c_3 d/y.c:3`, []string{
			"- -> foo@d_y_c_3 new",
			"foo@d_h_h_x_c_10 -> - gone",
		}},
		{"a new module has one of two that were built in", `
			foo vmlinux foo@a_c_10 a.c:10
			foo vmlinux foo@b_c_10 b.c:10`, `
			foo new.ko
			other vmlinux`, []string{
			"foo@a_c_10 -> - undecided | new.ko -",
			"foo@b_c_10 -> - undecided | new.ko -",
		}},
		{"the module may have another name now", `
			foo m.ko foo@m_c_10 m.c:10
			other vmlinux`, `
			foo n.ko
			other vmlinux`, []string{
			"foo@m_c_10 -> - undecided | n.ko -",
		}},
		{"local variables of several functions follow their lines", `
			buf.2 vmlinux buf@t_c_10 t.c:10 t.c data
			buf.1 vmlinux buf@t_c_30 t.c:30 t.c data`, `
			buf.5 vmlinux buf@t_c_33 t.c:33 t.c data
			buf.6 vmlinux buf@t_c_13 t.c:13 t.c data`, []string{
			"buf@t_c_10 -> buf@t_c_13 suffix",
			"buf@t_c_30 -> buf@t_c_33 suffix",
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := compareText(t, c.a, c.b)
			if diff := cmp.Diff(c.want, aliasLines(d)); diff != "" {
				t.Error(diff)
			}
			held := 0
			for _, line := range c.want {
				f := strings.Fields(line) // ALIAS_A -> TO KIND
				if f[0] == f[2] && f[3] != "reused" {
					held++
				}
			}
			if d.Held() != held {
				t.Errorf("%d aliases hold, want %d", d.Held(), held)
			}
		})
	}
}

// TestDiffOtherBuild compares builds of two compilers, whose addresses are in different orders, and
// of two architectures.
func TestDiffOtherBuild(t *testing.T) {
	clang, arm := diffHeader, diffHeader
	clang.Toolchain, arm.Arch = "llvm", "arm64"
	for _, c := range []struct {
		what, a, b string
		other      Header
		want       []string
	}{
		{"another compiler orders addresses differently", `
			foo vmlinux foo@t_c_10_1 t.c:10
			foo vmlinux foo@t_c_10_2 t.c:10`, `
			foo vmlinux foo@t_c_10_1 t.c:10
			foo vmlinux foo@t_c_10_2 t.c:10`, clang, []string{
			"foo@t_c_10_1 -> - undecided | vmlinux foo@t_c_10_1 | vmlinux foo@t_c_10_2",
			"foo@t_c_10_2 -> - undecided | vmlinux foo@t_c_10_1 | vmlinux foo@t_c_10_2",
		}},
		{"lines identify symbols for every compiler", `
			foo vmlinux foo@t_c_10 t.c:10
			foo vmlinux foo@t_c_20 t.c:20`, `
			foo vmlinux foo@t_c_20 t.c:20
			foo vmlinux foo@t_c_10 t.c:10`, clang, []string{
			"foo@t_c_10 -> foo@t_c_10 same",
			"foo@t_c_20 -> foo@t_c_20 same",
		}},
		{"a function may have moved within its folder, or each architecture has its own", `
			foo vmlinux foo@host_core_c_10 host/core.c:10
			bar vmlinux bar@host_core_c_5 host/core.c:5`, `
			foo vmlinux foo@host_sysfs_c_3 host/sysfs.c:3
			bar vmlinux bar@host_core_c_5 host/core.c:5`, arm, []string{
			"bar@host_core_c_5 -> bar@host_core_c_5 same",
			"foo@host_core_c_10 -> - undecided | vmlinux foo@host_sysfs_c_3",
		}},
		{"a file of one architecture", `
			foo vmlinux foo@arch_x86_mm_ioremap_c_10 arch/x86/mm/ioremap.c:10
			foo m.ko foo@m_c_10 m.c:10`, `
			foo vmlinux foo@mm_ioremap_c_20 mm/ioremap.c:20
			foo m.ko foo@m_c_10 m.c:10`, arm, []string{
			"foo@m_c_10 -> foo@m_c_10 same",
			"- -> foo@mm_ioremap_c_20 new",
			"foo@arch_x86_mm_ioremap_c_10 -> - gone",
		}},
		{"a file of one architecture, and an unknown file", `
			foo vmlinux foo@arch_x86_kernel_kvm_c_10 arch/x86/kernel/kvm.c:10
			foo m.ko foo@m_c_10 m.c:10
			other m.ko`, `
			foo vmlinux
			other m.ko`, arm, []string{
			"foo@m_c_10 -> - gone",
			"foo@arch_x86_kernel_kvm_c_10 -> - undecided | vmlinux -",
		}},
	} {
		d := Compare(registryOf(t, diffHeader, symbols(c.a)), registryOf(t, c.other, symbols(c.b)))
		if diff := cmp.Diff(c.want, aliasLines(d)); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}

// TestDiffLocalVariables has two variables of one name in one unit whose lines move. Equal sizes
// mean that they are the same; otherwise one may be gone and another new.
func TestDiffLocalVariables(t *testing.T) {
	a := symbols(`
		buf.1 vmlinux buf@t_c_10 t.c:10 t.c data
		buf.2 vmlinux buf@t_c_30 t.c:30 t.c data`)
	b := symbols(`
		buf.1 vmlinux buf@t_c_13 t.c:13 t.c data
		buf.2 vmlinux buf@t_c_33 t.c:33 t.c data`)
	for size, want := range map[uint64][]string{
		a[0].Size: {
			"buf@t_c_10 -> buf@t_c_13 line",
			"buf@t_c_30 -> buf@t_c_33 line",
		},
		a[0].Size + 8: {
			"buf@t_c_10 -> - undecided | vmlinux buf@t_c_13 | vmlinux buf@t_c_33",
			"buf@t_c_30 -> - undecided | vmlinux buf@t_c_13 | vmlinux buf@t_c_33",
		},
	} {
		b[1].Size = size
		d := Compare(registryOf(t, diffHeader, a), registryOf(t, diffHeader, b))
		if diff := cmp.Diff(want, aliasLines(d)); diff != "" {
			t.Errorf("size %d: %s", size, diff)
		}
	}
}

func TestDiffNames(t *testing.T) {
	d := compareText(t, `
		came_twice vmlinux
		went_once vmlinux
		went_once m.ko
		gone vmlinux
		grew vmlinux
		grew m.ko
		shrank a.ko
		shrank b.ko
		shrank c.ko
		stayed vmlinux
		variable vmlinux data
		promoted.llvm.1 vmlinux
		__pfx_x vmlinux`, `
		came_twice vmlinux
		came_twice m.ko
		went_once m.ko
		appeared n.ko
		grew vmlinux
		grew m.ko
		grew n.ko
		shrank a.ko
		shrank b.ko
		stayed vmlinux
		variable vmlinux data
		variable m.ko data
		promoted.llvm.2 vmlinux
		promoted vmlinux
		__pfx_x vmlinux
		__pfx_x m.ko`)
	want := []Name{
		{KindBecameAmbiguous, "__pfx_x", 1, 2, false, "vmlinux"},
		{KindAppeared, "appeared", 0, 1, true, "n.ko"},
		{KindBecameAmbiguous, "came_twice", 1, 2, true, "vmlinux"},
		{KindVanished, "gone", 1, 0, true, "vmlinux"},
		{KindMore, "grew", 2, 3, true, ""},
		{KindBecameAmbiguous, "promoted", 1, 2, true, "vmlinux"},
		{KindFewer, "shrank", 3, 2, true, ""},
		{KindBecameAmbiguous, "variable", 1, 2, false, "vmlinux"},
		{KindBecameUnique, "went_once", 2, 1, true, "m.ko"},
	}
	if diff := cmp.Diff(want, d.Names); diff != "" {
		t.Error(diff)
	}
	if d.A.Symbols != 13 || d.B.Symbols != 16 || d.A.Aliases != 0 {
		t.Errorf("%+v %+v", d.A, d.B)
	}
}

func TestDiffRules(t *testing.T) {
	a := `
		came vmlinux
		variable vmlinux data
		gone vmlinux
		foo vmlinux foo@a_c_10 a.c:10
		foo m.ko foo@m_c_10 m.c:10
		bar vmlinux bar@x_a_b_c_10 x/a-b.c:10
		bar m.ko bar@t_c_1_1 t.c:1
		bar m.ko bar@t_c_1_2 t.c:1`
	b := `
		came vmlinux came@c_c_1 c.c:1
		came m.ko came@m_c_1 m.c:1
		variable vmlinux data
		variable vmlinux data
		fresh m.ko
		fresh m.ko
		foo vmlinux foo@a_c_10 a.c:10
		foo m.ko foo@m_c_11 m.c:11
		bar vmlinux bar@x_a_b_c_10 x/a/b.c:10
		bar m.ko bar@t_c_1_1 t.c:1
		bar m.ko bar@t_c_1_2 t.c:1
		bar m.ko bar@t_c_1_3 t.c:1`
	d := compareText(t, a, b)
	same := compareText(t, a, a)
	if d.A.Ambiguous != 2 || d.B.Ambiguous != 3 || d.Held() != 1 ||
		d.Count(KindUndecided) != 2 || d.Count(KindReused) != 1 {
		t.Errorf("%+v %+v %d", d.A, d.B, d.Held())
	}
	for rule, want := range map[string]string{
		"growth":           "3 names with aliases are ambiguous, up from 2",
		"ambiguous":        "names that became ambiguous: came",
		"ambiguous:came":   "names that became ambiguous: came",
		"ambiguous:*":      "names that became ambiguous: came, fresh, variable",
		"ambiguous:fresh":  "names that became ambiguous: fresh",
		"ambiguous:f[aeo]": "",
		"ambiguous:foo":    "", // it was ambiguous in A, too
		"vanished:g*":      "names that vanished: gone",
		"vanished:came":    "",
		"moved": "aliases of A that do not hold in B: " +
			"bar@t_c_1_1, bar@t_c_1_2, bar@x_a_b_c_10, foo@m_c_10",
		"reused":    "aliases of A that name other symbols in B: bar@x_a_b_c_10",
		"undecided": "aliases of A that cannot be followed to B: bar@t_c_1_1, bar@t_c_1_2",
	} {
		r, err := ParseRule(rule)
		if err != nil {
			t.Fatal(err)
		}
		if r.String() != rule {
			t.Errorf("%s: String returns %s", rule, r)
		}
		if got := r.Broken(d); got != want {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
		if got := r.Broken(same); got != "" {
			t.Errorf("%s, a build and itself: %q", rule, got)
		}
	}
	const known = " is none of growth, ambiguous, ambiguous:GLOB, vanished:GLOB, moved, reused, " +
		"undecided"
	for rule, want := range map[string]string{
		"":             `""` + known,
		"all":          `"all"` + known,
		"vanished":     `"vanished"` + known,
		"moved:x":      `"moved:x"` + known,
		"ambiguous:":   `"ambiguous:": invalid glob`,
		"vanished:[a-": `"vanished:[a-": invalid glob`,
	} {
		if _, err := ParseRule(rule); err == nil || err.Error() != want {
			t.Errorf("%s: %v", rule, err)
		}
	}
	six := compareText(t, `
		a vmlinux
		b vmlinux
		c vmlinux
		d vmlinux
		e vmlinux
		f vmlinux`, `
		x vmlinux`)
	r, _ := ParseRule("vanished:*")
	if got := r.Broken(six); got != "names that vanished: a, b, c, d, e and 1 more" {
		t.Error(got)
	}
}

func TestDiffTranslate(t *testing.T) {
	d := compareText(t, `
		foo vmlinux foo@a_c_10 a.c:10
		foo m.ko foo@m_c_10 m.c:10`, `
		foo vmlinux foo@a_c_12 a.c:12
		foo n.ko foo@n_c_1 n.c:1`)
	tr, ok := d.Translate("foo@a_c_10")
	if !ok || tr.To != "foo@a_c_12" || tr.Kind != KindLine || tr.Holds() {
		t.Errorf("%+v", tr)
	}
	for _, alias := range []string{"foo", "foo@n_c_1", ""} {
		if tr, ok := d.Translate(alias); ok {
			t.Errorf("%s: %+v", alias, tr)
		}
	}
}

// TestDiffOverlay checks that symbols of the overlay are counted, and that its records replace
// those of the registry.
func TestDiffOverlay(t *testing.T) {
	base := registryOf(t, diffHeader, symbols("foo vmlinux\nbar vmlinux"))
	var b bytes.Buffer
	records := symbols("foo vmlinux foo@a_c_10 a.c:10\nfoo extra.ko foo@e_c_5 e.c:5")
	if err := WriteOverlay(&b, base.File, nil, records); err != nil {
		t.Fatal(err)
	}
	overlay := new(File)
	if err := overlay.parse(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	both := &Registry{File: base.File, Overlay: overlay}
	both.setOverlay(overlay.Prefixed(""))
	d := Compare(base, both)
	names := []Name{{KindBecameAmbiguous, "foo", 1, 2, true, "vmlinux"}}
	if diff := cmp.Diff(names, d.Names); diff != "" {
		t.Error(diff)
	}
	aliases := []string{"- -> foo@e_c_5 new", "- -> foo@a_c_10 new"}
	if diff := cmp.Diff(aliases, aliasLines(d)); diff != "" {
		t.Error(diff)
	}
	if d.A.Symbols != 2 || d.B.Symbols != 3 || d.B.Aliases != 2 {
		t.Errorf("%+v %+v", d.A, d.B)
	}
}

// randomSymbols makes a build whose names, files and modules repeat, so that every round of
// matching has work.
func randomSymbols(rnd *rand.Rand) []Record {
	var records []Record
	taken := map[string]bool{}
	for i := range 2 + rnd.IntN(40) {
		name := string(rune('a' + rnd.IntN(5)))
		r := Record{
			Name: name, Base: name, Section: ".text", Type: "tTd"[rnd.IntN(3)], Position: 1,
			Object:  []string{Vmlinux, "m.ko", "n.ko", "d/n.ko"}[rnd.IntN(4)],
			Address: uint64(0x1000 + 16*i), Size: uint64(16 * (1 + rnd.IntN(2))),
		}
		if rnd.IntN(4) == 0 {
			r.Name += ".llvm." + strconv.Itoa(rnd.IntN(9))
		}
		if rnd.IntN(4) > 0 {
			r.File = []string{
				"x.c", "d/x.c", "e/d/x.c", "d/y.c", "h.h", "d/h.h", "d/a-b.c", "d/a_b.c",
			}[rnd.IntN(8)]
			r.Unit, r.Line, r.Method = r.File, int64(1+rnd.IntN(4)), "subprogram"
			if strings.HasSuffix(r.File, ".h") || rnd.IntN(5) == 0 {
				r.Unit = []string{"x.c", "d/x.c", "d/z.c"}[rnd.IntN(3)]
			}
			path := r.File
			if r.Unit != r.File {
				path += "_" + r.Unit
			}
			r.Alias = name + "@" + Fold(path) + "_" + strconv.FormatInt(r.Line, 10)
			for n := 1; taken[r.Alias]; n++ {
				before := strings.TrimSuffix(r.Alias, fmt.Sprintf("_%d", n-1))
				r.Alias = fmt.Sprintf("%s_%d", before, n)
			}
			taken[r.Alias] = true
		}
		records = append(records, r)
	}
	return records
}

// TestDiffOfItself compares builds with themselves: every alias is the same, and no name differs.
func TestDiffOfItself(t *testing.T) {
	check := func(r *Registry) {
		d := Compare(r, r)
		aliases := 0
		for f := range r.Prefixed("") {
			if f.Alias != "" {
				aliases++
			}
		}
		if len(d.Names) > 0 || len(d.Aliases) != aliases || d.Held() != aliases {
			t.Errorf("%d names, %d of %d aliases, %d hold",
				len(d.Names), len(d.Aliases), aliases, d.Held())
		}
		for _, tr := range d.Aliases {
			if tr.Kind != KindSame || tr.A.Alias != tr.To || tr.A.key() != tr.B.key() {
				t.Errorf("%s -> %s %s", tr.A.Alias, tr.To, tr.Kind)
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		check(registryOf(t, diffHeader, randomSymbols(rnd)))
	}
	if path := os.Getenv("KAS_REGISTRY"); path != "" {
		all, err := OpenAll([]string{path})
		if err != nil {
			t.Fatal(err)
		}
		defer CloseAll(all)
		check(all[0])
	}
}

// TestDiffSymmetry compares random builds in both directions: kinds of names are reversed, and
// counterparts are each other's. Every alias of A is listed once, and no symbol of B is the
// counterpart of two.
func TestDiffSymmetry(t *testing.T) {
	reverse := map[Kind]Kind{
		KindBecameAmbiguous: KindBecameUnique, KindBecameUnique: KindBecameAmbiguous,
		KindAppeared: KindVanished, KindVanished: KindAppeared,
		KindMore: KindFewer, KindFewer: KindMore,
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		ra, rb := randomSymbols(rnd), randomSymbols(rnd)
		a, b := registryOf(t, diffHeader, ra), registryOf(t, diffHeader, rb)
		there, back := Compare(a, b), Compare(b, a)
		for i := range back.Names {
			n := &back.Names[i]
			n.Kind, n.A, n.B = reverse[n.Kind], n.B, n.A
			if n.A != 1 || n.B != 1 {
				n.Object = ""
			}
		}
		for i := range there.Names {
			there.Names[i].Object = ""
		}
		if diff := cmp.Diff(there.Names, back.Names); diff != "" {
			t.Fatal(diff)
		}
		listed, counterparts := 0, map[symbolKey]bool{}
		for _, tr := range there.Aliases {
			if tr.Kind == KindNew {
				continue
			}
			listed++
			if tr.B == nil {
				continue
			}
			if counterparts[tr.B.key()] {
				t.Errorf("%s is the counterpart of two", tr.B.Alias)
			}
			counterparts[tr.B.key()] = true
			if tr.B.Alias == "" {
				continue
			}
			other, ok := back.Translate(tr.B.Alias)
			if !ok || other.B == nil || other.B.key() != tr.A.key() {
				t.Errorf("%s -> %s, but back: %+v", tr.A.Alias, tr.B.Alias, other)
			}
		}
		if listed != there.A.Aliases {
			t.Errorf("%d aliases, %d listed", there.A.Aliases, listed)
		}
		for _, tr := range there.Aliases {
			if tr.Kind == KindNew && counterparts[tr.B.key()] {
				t.Errorf("%s is new, and the counterpart of an alias", tr.B.Alias)
			}
		}
	}
}

// TestDiffAliasesInSymbolTable compares a kernel whose symbol tables have its aliases with the same
// kernel without: no name differs.
func TestDiffAliasesInSymbolTable(t *testing.T) {
	with := queryRegistry(t)
	without := slices.DeleteFunc(slices.Clone(queryNames), func(records []Record) bool {
		return strings.Contains(records[0].Name, "@")
	})
	all, err := OpenAll([]string{write(t, file(Header{Policy: with.Policy, Symbols: 11}, without))})
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(all)
	for _, d := range []*Diff{Compare(with, all[0]), Compare(all[0], with)} {
		if len(d.Names) > 0 || d.Held() != 5 || len(d.Aliases) != 5 {
			t.Errorf("names %v, %d of %d aliases hold", d.Names, d.Held(), len(d.Aliases))
		}
	}
}
