package registry

import (
	"slices"
	"testing"
)

// TestDemangled has the names that llvm-cxxfilt-19 prints, and for the legacy scheme, which it does
// not know, those of the sources in elf/testdata/src/rust.
func TestDemangled(t *testing.T) {
	for _, c := range [][2]string{
		{"_RNvCs1234_7mycrate3foo", "mycrate::foo"},
		{"_RNvCs1234_7mycrate3foo.llvm.123456", "mycrate::foo"},
		{"_RINvNtCsaqxI79rP6oE_5alpha5gauge5scaletEB4_", "alpha::gauge::scale::<u16>"},
		{"_RNCNvCsaqxI79rP6oE_5alpha11alpha_entrys_0B3_", "alpha::alpha_entry::{closure#1}"},
		{"_RNvXs_NtCsaqxI79rP6oE_5alpha5gaugeINtB4_5GaugeyENtB4_4Show4show",
			"<alpha::gauge::Gauge<u64> as alpha::gauge::Show>::show"},
		{"_RNvMCsaqxI79rP6oE_5alphaNtB2_5Level6weight", "<alpha::Level>::weight"},
		{"_RNvMsB_NtCs2lKf6AS60Zg_4core3numx14from_str_radix", "<i64>::from_str_radix"},
		{"_RNvMNtCs2lKf6AS60Zg_4core5sliceSh8is_ascii", "<[u8]>::is_ascii"},
		{"_ZN5alpha7outer_a5inner17h85e766521fe4e1c3E", "alpha::outer_a::inner"},
		{"_ZN5alpha7outer_a5inner17h85e766521fe4e1c3E.llvm.12", "alpha::outer_a::inner"},
		{"_ZN42_$LT$u16$u20$as$u20$alpha..gauge..Show$GT$4show17hcdca096a1c3c09d5E",
			"<u16 as alpha::gauge::Show>::show"},
		{"_ZN4beta6gather28_$u7b$$u7b$closure$u7d$$u7d$17h7574c89c74ed3648E",
			"beta::gather::{{closure}}"},
		// No names of Rust.
		{"name_show", ""},
		{"_RET_IP_", ""},
		{"_R", ""},
		{"_RNv", ""},
		{"_ZN", ""},
		{"_ZN3foo3barEv", ""},
		{"_ZN5alpha7outer_a5inner17h85e766521fe4e1cE", ""},
	} {
		if got := Demangled(c[0]); got != c[1] {
			t.Errorf("%s is %q, want %q", c[0], got, c[1])
		}
	}
}

func TestCutRust(t *testing.T) {
	for _, c := range [][3]string{
		{"_RNvC1a1f", "_RNvC1a1f", ""},
		{"_RNvC1a1f.llvm.1", "_RNvC1a1f", ".llvm.1"},
		{"_RNvC1a1f.cold", "_RNvC1a1f", ".cold"},
		{"_ZN8a..cold.1f17h85e766521fe4e1c3E.cold", "_ZN8a..cold.1f17h85e766521fe4e1c3E", ".cold"},
	} {
		mangled, suffix, ok := CutRust(c[0])
		if !ok || mangled != c[1] || suffix != c[2] {
			t.Errorf("%s is %q and %q, want %q and %q", c[0], mangled, suffix, c[1], c[2])
		}
	}
	if _, _, ok := CutRust("_ZN1f17h85e766521fe4e1c3Efoo"); ok {
		t.Error("a name with text after its hash is one of Rust")
	}
}

// TestImplModule has names of Debian's 7.3 kernel. The modules are those in which its DWARF has
// them.
func TestImplModule(t *testing.T) {
	for _, c := range [][2]string{
		{"_RNvMsB_NtCs2lKf6AS60Zg_4core3numx14from_str_radix", "core::num"},
		{"_RNvMsb_NtNtCsb5MLIFMWygY_6kernel3pci2ioINtB7_6DeviceNtNtB9_6device5BoundE12iomap_region",
			"kernel::pci::io"},
		{"_RNvNvXs4_NtNtCsb5MLIFMWygY_6kernel4sync4srcuNtB7_4SrcuNtCs2s63OvngmLq_8pin_init10PinnedDrop4drop4FILE",
			"kernel::sync::srcu"},
		{"_RNvMCsaqxI79rP6oE_5alphaNtB2_5Level6weight", "alpha"},
		{"_RNvNtCs2lKf6AS60Zg_4core3num20from_str_radix_panic", ""},
		{"_RNvMNvC1a1fNtB2_1T1g", "a::f"},
		{"_RNvMB_NtB2_1T1g", ""},
		{"_RNvMNtB9_9", ""},
		{"_RNvMC99a", ""},
		{"_RNvMCs", ""},
		{"name_show", ""},
	} {
		if got := implModule(c[0]); got != c[1] {
			t.Errorf("%s is in %q, want %q", c[0], got, c[1])
		}
	}
}

// radix is a function of the Rust library that two crates of a kernel have, and its neighbours.
const radix = `
_RNvMsB_NtCsA_4core3numx14from_str_radix vmlinux _RNvMsB_NtCsA_4core3numx14from_str_radix@library_core_src_num_mod_rs_library_core_src_lib_rs_1399 library/core/src/num/mod.rs:1399 library/core/src/lib.rs
_RNvMsB_NtCsA_4core3numx14from_str_radix vmlinux _RNvMsB_NtCsA_4core3numx14from_str_radix@library_core_src_num_mod_rs_rust_kernel_lib_rs_1399 library/core/src/num/mod.rs:1399 rust/kernel/lib.rs
_RNvMsw_NtCsA_4core3numy14from_str_radix vmlinux
_RNvNtCsA_4core3num20from_str_radix_panic.llvm.77 vmlinux
_RNvMNtCsA_4core5sliceSh8is_ascii vmlinux
_ZN5alpha7outer_a5inner17h85e766521fe4e1c3E vmlinux
name_show vmlinux
`

func TestLookupDemangled(t *testing.T) {
	r := registryOf(t, diffHeader, symbols(radix))
	const (
		signed   = "_RNvMsB_NtCsA_4core3numx14from_str_radix"
		unsigned = "_RNvMsw_NtCsA_4core3numy14from_str_radix"
		ends     = "_RNvNtCsA_4core3num20from_str_radix_panic.llvm.77"
	)
	for _, c := range []struct {
		pattern string
		want    []string
	}{
		{"<i64>::from_str_radix", []string{signed, signed}},
		{"core::num::<i64>::from_str_radix", []string{signed, signed}},
		{"core::num::*from_str_radix", []string{signed, signed, unsigned}},
		{"core::num::*", []string{signed, signed, unsigned, ends}},
		{"core::num::from_str_radix_panic", []string{ends}},
		{"<i64>::from_str_radix@rust/kernel/lib.rs", []string{signed}},
		{"<i64>::from_str_radix@num/mod.rs:1399", []string{signed, signed}},
		{"<i64>::from_str_radix@num/mod.rs:1", nil},
		{"<[iu]64>::from*@*rust/kernel/lib.rs*", []string{signed}},
		{"<[u8]>::is_ascii", []string{"_RNvMNtCsA_4core5sliceSh8is_ascii"}},
		{"alpha::*::inner", []string{"_ZN5alpha7outer_a5inner17h85e766521fe4e1c3E"}},
		{"from_str_radix", nil},
		{"num::from_str_radix", nil},
		{"::", nil},
		{signed, []string{signed, signed}},
	} {
		found, err := r.Lookup(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s finds %q, want %q", c.pattern, got, c.want)
		}
	}
	if a, ok, err := r.AddressOf("core::num::from_str_radix_panic+4"); !ok || err != nil ||
		a.Address == 0 {
		t.Errorf("an offset from a name of Rust: %+v %v %v", a, ok, err)
	}
}

// TestDiffRust has a kernel twice, made by two versions of rustc. The crate's disambiguator has
// another value and length, so references in the names differ, too.
func TestDiffRust(t *testing.T) {
	a := `
_RNvMsB_NtCsAA_4core3numx14from_str_radix vmlinux _RNvMsB_NtCsAA_4core3numx14from_str_radix@library_core_src_num_mod_rs_library_core_src_lib_rs_1399 library/core/src/num/mod.rs:1399 library/core/src/lib.rs
_RNvMsB_NtCsAA_4core3numx14from_str_radix vmlinux _RNvMsB_NtCsAA_4core3numx14from_str_radix@library_core_src_num_mod_rs_rust_kernel_lib_rs_1399 library/core/src/num/mod.rs:1399 rust/kernel/lib.rs
_RINvCsAA_5alpha1fNtB2_1TBf_E vmlinux
_RNvCsAA_4core4gone vmlinux
_RNvCsAA_4core4both vmlinux
_ZN5alpha5apply17h7d4da0b5a14d1476E vmlinux
_ZN5alpha5apply17ha03a90c50821b084E vmlinux
_ZN5alpha5other17ha03a90c50821b084E vmlinux
_ZN5alpha5scale17h63edb0afc086a7d6E vmlinux _ZN5alpha5scale17h63edb0afc086a7d6E@a_rs_1 a.rs:1
_ZN5alpha5scale17had928f64ff63ca73E vmlinux _ZN5alpha5scale17had928f64ff63ca73E@b_rs_1 b.rs:1
_RNvCsAA_4core4kind vmlinux
`
	b := `
_RNvMs1_NtCsBBBB_4core3numx14from_str_radix vmlinux _RNvMs1_NtCsBBBB_4core3numx14from_str_radix@library_core_src_num_mod_rs_library_core_src_lib_rs_1400 library/core/src/num/mod.rs:1400 library/core/src/lib.rs
_RNvMs1_NtCsBBBB_4core3numx14from_str_radix vmlinux _RNvMs1_NtCsBBBB_4core3numx14from_str_radix@library_core_src_num_mod_rs_rust_kernel_lib_rs_1400 library/core/src/num/mod.rs:1400 rust/kernel/lib.rs
_RINvCsBBBB_5alpha1fNtB2_1TBh_E vmlinux
_RNvCsBBBB_4core3new vmlinux
_RNvCsAA_4core4both vmlinux
_ZN5alpha5apply17h7d4da0b5a14d1477E vmlinux
_ZN5alpha5apply17ha03a90c50821b085E vmlinux
_ZN5alpha5other17ha03a90c50821b085E vmlinux
_ZN5alpha5scale17h58663bbf2ceed327E vmlinux _ZN5alpha5scale17h58663bbf2ceed327E@a_rs_1 a.rs:1
_ZN5alpha5scale17h8e075a38675094faE vmlinux _ZN5alpha5scale17h8e075a38675094faE@b_rs_1 b.rs:1
_RNvCsBBBB_4core4kind vmlinux data
`
	d := compareText(t, a, b)
	wantAliases := []string{
		"_RNvMsB_NtCsAA_4core3numx14from_str_radix@library_core_src_num_mod_rs_library_core_src_lib_rs_1399 -> " +
			"_RNvMs1_NtCsBBBB_4core3numx14from_str_radix@library_core_src_num_mod_rs_library_core_src_lib_rs_1400 suffix",
		"_RNvMsB_NtCsAA_4core3numx14from_str_radix@library_core_src_num_mod_rs_rust_kernel_lib_rs_1399 -> " +
			"_RNvMs1_NtCsBBBB_4core3numx14from_str_radix@library_core_src_num_mod_rs_rust_kernel_lib_rs_1400 suffix",
		"_ZN5alpha5scale17h63edb0afc086a7d6E@a_rs_1 -> _ZN5alpha5scale17h58663bbf2ceed327E@a_rs_1 suffix",
		"_ZN5alpha5scale17had928f64ff63ca73E@b_rs_1 -> _ZN5alpha5scale17h8e075a38675094faE@b_rs_1 suffix",
	}
	got := aliasLines(d)
	slices.Sort(got)
	if !slices.Equal(got, wantAliases) {
		t.Errorf("aliases are\n%q\nwant\n%q", got, wantAliases)
	}
	var names []string
	for _, n := range d.Names {
		names = append(names, string(n.Kind)+" "+n.Name)
	}
	slices.Sort(names)
	// Which of the two instances of apply is which is unknown. kind is code in A only.
	wantNames := []string{
		"appeared _RNvCsBBBB_4core3new", "appeared _RNvCsBBBB_4core4kind",
		"appeared _ZN5alpha5apply17h7d4da0b5a14d1477E",
		"appeared _ZN5alpha5apply17ha03a90c50821b085E",
		"vanished _RNvCsAA_4core4gone", "vanished _RNvCsAA_4core4kind",
		"vanished _ZN5alpha5apply17h7d4da0b5a14d1476E",
		"vanished _ZN5alpha5apply17ha03a90c50821b084E",
	}
	if !slices.Equal(names, wantNames) {
		t.Errorf("names are\n%q\nwant\n%q", names, wantNames)
	}
}
