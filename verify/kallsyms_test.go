package verify

import (
	"debug/elf"
	"strings"
	"testing"

	"kas/need/kallsyms"
)

// onlySymbol returns an object with one section of code and a symbol in it.
func onlySymbol(name string, k kernel) (*image, *symbol) {
	m := &image{
		is64: true, machine: uint16(elf.EM_X86_64), kernel: k,
		sections: []section{{}, {typ: 1, flags: shfAlloc | shfExec}},
	}
	return m, &symbol{name: name, raw: 1, sec: 1, info: sttFunc}
}

// TestVisibleByRelease: the names that the kernel drops, by its release.
func TestVisibleByRelease(t *testing.T) {
	kallsyms.Check(t, func(name string, vmlinux bool, release string) bool {
		return visible(onlySymbol(name, kernel{vmlinux: vmlinux, version: versionOf(release)}))
	})
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
