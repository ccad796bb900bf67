package stages

import (
	"testing"

	"kas/pipeline"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name           string
		code           bool
		toolchain, lto string
		base           string
		act            action
	}{
		{"name_show", true, "gcc", "none", "name_show", keep},
		{"name_show.49514", true, "llvm", "full", "name_show", cut},
		{"name_show.49514", true, "llvm", "thin", "name_show.49514", keep},
		{"name_show.49514", true, "gcc", "none", "name_show.49514", keep},
		{"name_show.llvm.1234567890", true, "llvm", "thin", "name_show", cut},
		{"state.llvm.1234567890", false, "llvm", "thin", "state", cut},
		{"name_show.lto_priv.0", true, "gcc", "full", "name_show", cut},
		{"state.lto_priv", false, "gcc", "full", "state", cut},
		{"probe.isra.0", true, "gcc", "none", "probe.isra.0", keep},
		{"probe.isra.0.constprop.0", true, "gcc", "none", "probe.isra.0.constprop.0", keep},
		{"probe.isra.0.cold", true, "gcc", "none", "probe.isra.0.cold", keep},
		{"probe.lto_priv.3.cold", true, "gcc", "full", "probe.cold", cut},
		{"probe.constprop.0.lto_priv.1", true, "gcc", "full", "probe.constprop.0", cut},
		{"probe.cold.7", true, "gcc", "none", "probe.cold.7", keep},
		{"probe.17.cold", true, "llvm", "full", "probe.cold", cut},
		{"probe.localalias", true, "gcc", "none", "probe.localalias", skip},
		{"probe.localalias.4", true, "gcc", "none", "probe.localalias.4", skip},
		{"probe.cfi_jt", true, "llvm", "full", "probe.cfi_jt", skip},
		{"probe.__uniq.331", true, "llvm", "none", "probe.__uniq.331", keep},
		{"probe.__uniq.331.llvm.55", true, "llvm", "thin", "probe.__uniq.331", cut},
		{"probe.specialized.2", true, "llvm", "full", "probe.specialized.2", keep},
		// Basic block sections. The number is not one of full LTO.
		{"work.__part.2", true, "llvm", "full", "work.__part.2", keep},
		{"work.17.__part.2", true, "llvm", "full", "work.__part.2", cut},
		{"work.__part.2.17", true, "llvm", "full", "work.__part.2", cut},
		{"work.__part.2", true, "llvm", "none", "work.__part.2", keep},
		{"work.__part", true, "llvm", "full", "work.__part", keep},
		{"work.llvm.5.__part.2", true, "llvm", "thin", "work.__part.2", cut},
		{"work.cold.1", true, "llvm", "full", "work.cold.1", keep},
		{"work.warm", true, "llvm", "full", "work.warm", keep},
		{"work.eh", true, "llvm", "full", "work.eh", keep},
		{"work.argprom", true, "llvm", "full", "work.argprom", keep},
		{"work.retelim", true, "llvm", "full", "work.retelim", keep},
		{"work.internalized.3", true, "llvm", "full", "work.internalized", cut},
		{"work.memprof.1", true, "llvm", "full", "work.memprof.1", keep},
		{"buf.3", false, "gcc", "none", "buf", cut},
		{"show.buf.3", false, "llvm", "none", "show.buf", cut},
		{"buf.3", true, "gcc", "none", "buf.3", keep},
		{"probe.llvm", true, "llvm", "thin", "probe.llvm", keep},
		{"probe.llvm.x", true, "llvm", "thin", "probe.llvm.x", keep},
		{".LC0", false, "gcc", "none", ".LC0", keep},
		{"a.", true, "llvm", "full", "a.", keep},
		{"a..1", true, "llvm", "full", "a.", cut},
		{"_RNvC1a1f.llvm.1234567890", true, "gcc", "none", "_RNvC1a1f", cut},
		{"_RNvC1a1f.cold", true, "gcc", "none", "_RNvC1a1f.cold", keep},
		{"_ZN1a1f17h85e766521fe4e1c3E", true, "gcc", "none", "_ZN1a1f17h85e766521fe4e1c3E", keep},
		{"_ZN1a1f17h85e766521fe4e1c3E.llvm.5", true, "gcc", "none", "_ZN1a1f17h85e766521fe4e1c3E", cut},
		// The dots of a mangled name are no suffixes.
		{"_ZN20a..localalias..llvm.71f17h85e766521fe4e1c3E", true, "gcc", "none", "_ZN20a..localalias..llvm.71f17h85e766521fe4e1c3E", keep},
		{"_ZN20a..localalias..llvm.71f17h85e766521fe4e1c3E.llvm.5", true, "gcc", "none", "_ZN20a..localalias..llvm.71f17h85e766521fe4e1c3E", cut},
		{"_ZN3a.31f17h85e766521fe4e1c3E", false, "gcc", "none", "_ZN3a.31f17h85e766521fe4e1c3E", keep},
		// Cutting a suffix makes another one.
		{"f.llvm.llvm.1.1", true, "llvm", "thin", "f", cut},
		{"f.lto_priv.llvm.1.2", true, "gcc", "full", "f.2", cut},
		{"f.llvm.lto_priv.3", true, "llvm", "thin", "f.llvm", cut},
	} {
		base, _, act := classify(c.name, c.code, c.toolchain, c.lto)
		if base != c.base || act != c.act {
			t.Errorf(
				"classify(%q, code=%v, %s, %s) = %q, %d; want %q, %d",
				c.name,
				c.code,
				c.toolchain,
				c.lto,
				base,
				act,
				c.base,
				c.act,
			)
		}
	}
}

// FuzzClassify: a base name has no suffix to cut, so it is its own base name.
func FuzzClassify(f *testing.F) {
	for _, name := range []string{
		"name_show.1.2", "a.llvm.3.lto_priv.4.cold", "x.", "..", ".1", "a..llvm.1",
		"f.llvm.llvm.1.1",
	} {
		f.Add(name, true, true)
	}
	f.Fuzz(func(t *testing.T, name string, code, full bool) {
		toolchain, lto := "gcc", "none"
		if full {
			toolchain, lto = "llvm", "full"
		}
		base, _, _ := classify(name, code, toolchain, lto)
		again, _, _ := classify(base, code, toolchain, lto)
		if again != base {
			t.Errorf("%q -> %q -> %q", name, base, again)
		}
		if name != "" && base == "" {
			t.Errorf("%q has no base name", name)
		}
	})
}

// TestClassifyMeaning: of several suffixes the first with the strongest action gives the meaning.
func TestClassifyMeaning(t *testing.T) {
	for _, c := range []struct {
		name           string
		code           bool
		toolchain, lto string
		meaning        string
	}{
		{"f", true, "gcc", "none", ""},
		{"f.x", true, "gcc", "none", ""},
		{"f.isra.0.cold", true, "gcc", "none", "clone with changed parameters"},
		{"f.cold.isra.0", true, "gcc", "none", "cold part of a function"},
		{"f.lto_priv.0.llvm.1", true, "gcc", "full", "made unique by GCC LTO"},
		{"f.isra.0.lto_priv.1", true, "gcc", "full", "made unique by GCC LTO"},
		{"f.lto_priv.1.cold", true, "gcc", "full", "made unique by GCC LTO"},
		{"f.lto_priv.1.localalias", true, "gcc", "full", "second name of one address"},
		{"f.localalias.lto_priv.1", true, "gcc", "full", "second name of one address"},
		{"f.localalias.cfi_jt", true, "llvm", "full", "second name of one address"},
		{"f.__part.7", true, "llvm", "full", "part of a function"},
		{"f.warm", true, "llvm", "none", "warm part of a function"},
		{"f.eh", true, "llvm", "none", "landing pads of a function"},
		{"f.argprom", true, "llvm", "none", "clone with changed parameters"},
		{"f.retelim", true, "llvm", "none", "clone without a result"},
		{"f.internalized", true, "llvm", "none", "copy of a global function"},
		{"f.memprof.7", true, "llvm", "full", "clone for some callers"},
		{"f.7", true, "llvm", "full", "renamed by full LTO"},
		{"f.7", false, "llvm", "full", functionVariable},
	} {
		if _, meaning, _ := classify(c.name, c.code, c.toolchain, c.lto); meaning != c.meaning {
			t.Errorf("%s: %q, want %q", c.name, meaning, c.meaning)
		}
	}
}

func TestDetectLTO(t *testing.T) {
	for _, c := range []struct {
		toolchain string
		symbols   []string // "name section address": section 1 is code, 2 is data
		want      string
	}{
		{"gcc", []string{"f 1 0", "f.cold 1 4", "buf.3 2 0"}, "none"},
		{"gcc", []string{"f 1 0", "f.3 1 4"}, "none"},
		{"gcc", []string{"f.lto_priv.0 1 0"}, "full"},
		{"gcc", []string{"f.lto_priv.0.cold 1 0"}, "full"},
		{"gcc", []string{"f.lto_priv 2 0"}, "full"},
		{"gcc", []string{"f.x.3 1 0"}, "none"},
		{"llvm", []string{"f.llvm.12 1 0", "g.llvm.13 2 0"}, "thin"},
		{"llvm", []string{"f.llvm 1 0", "f.llvm.x 1 4"}, "none"},
		{"llvm", []string{"f.12 1 0"}, "full"},
		{"llvm", []string{"f.12 2 0"}, "none"},
		{"llvm", []string{"f.x.12 1 0", ".12 1 4"}, "none"},
		{"llvm", []string{"f 1 0", "f.__part.1 1 4"}, "none"},
		{"llvm", []string{"f.llvm.12 1 0", "g.12 1 4"}, "full"},
		{"gcc", []string{"_RNvC1a1f.llvm.12 1 0", "_ZN1a1f17h85e766521fe4e1c3E.llvm.5 1 4"}, "none"},
	} {
		b := build(object("vmlinux", c.symbols...))
		b.toolchain = c.toolchain
		b.run(t, see(func(b *pipeline.Build) {
			if got := detectLTO(b); got != c.want {
				t.Errorf("%s %q: %s, want %s", c.toolchain, c.symbols, got, c.want)
			}
		}))
	}
}
