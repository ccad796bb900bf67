package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// This file has the rules of GNU nm, derived from its output: which type letter a symbol gets,
// which symbols nm leaves out, which address it prints and how `nm -n` sorts.

// letter returns nm's type letter of a symbol.
func letter(m *image, s *symbol) byte {
	object := s.kind() == sttObject || s.kind() == sttCommon
	pick := func(o, other byte) byte {
		if object {
			return o
		}
		return other
	}
	switch {
	case s.raw == shnCommon:
		return 'C'
	case smallCommon(m, s):
		return 'c'
	case s.raw == shnUndef && s.bind() == stbWeak:
		return pick('v', 'w')
	case s.raw == shnUndef:
		return 'U'
	case s.kind() == sttIfunc:
		return 'i'
	case s.bind() == stbWeak:
		return pick('V', 'W')
	case s.bind() == stbUnique:
		return 'u'
	case s.bind() != stbLocal && s.bind() != stbGlobal:
		return '?'
	}
	c := byte('a')
	if known(m, s) {
		c = sectionLetter(m.machine, &m.sections[s.sec])
	}
	if s.bind() == stbGlobal && 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// known reports whether nm knows the symbol's section. Symbols in the symbol table, string tables
// and relocations count as absolute.
func known(m *image, s *symbol) bool {
	if !s.inSection() || int(s.sec) >= len(m.sections) {
		return false
	}
	switch sec := &m.sections[s.sec]; sec.typ {
	case shtNull, shtSymtabShndx:
		return false
	case shtSymtab, shtStrtab, shtRel, shtRela:
		return sec.flags&shfAlloc != 0
	}
	return true
}

// smallCommon reports whether s is a common symbol within reach of the global pointer
// (SHN_MIPS_SCOMMON).
func smallCommon(m *image, s *symbol) bool {
	return m.machine == emMIPS && s.raw == shnMIPSSmallCommon
}

func sectionLetter(machine uint16, s *section) byte {
	// For names of COFF, nm ignores the section's flags.
	for _, p := range []struct {
		name string
		c    byte
	}{{".drectve", 'i'}, {".edata", 'e'}, {".idata", 'i'}, {".pdata", 'p'}} {
		rest, ok := strings.CutPrefix(s.name, p.name)
		if ok && (rest == "" || strings.IndexByte(".$0123456789", rest[0]) >= 0) {
			return p.c
		}
	}
	small := machine == emPPC64 &&
		(strings.HasPrefix(s.name, ".sdata") || strings.HasPrefix(s.name, ".sbss"))
	switch {
	case s.flags&shfExec != 0:
		return 't'
	case s.flags&shfAlloc != 0 && s.typ != shtNobits:
		if s.flags&shfWrite == 0 {
			return 'r'
		}
		if small {
			return 'g'
		}
		return 'd'
	case s.typ == shtNobits && small:
		return 's'
	case s.typ == shtNobits:
		return 'b'
	case s.flags&shfAlloc == 0 && debugName(s.name):
		return 'N'
	case s.flags&shfWrite == 0:
		return 'n'
	}
	return '?'
}

func debugName(name string) bool {
	for _, prefix := range []string{
		".debug", ".gnu.debuglto_.debug_", ".gnu.linkonce.wi.", ".zdebug", ".line", ".stab",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == ".gdb_index"
}

// mapping reports whether the name is that of a mapping symbol, which marks code or data.
func mapping(machine uint16, name string) bool {
	if len(name) < 2 || name[0] != '$' {
		return false
	}
	switch c, end := name[1], len(name) == 2 || name[2] == '.'; machine {
	case emARM:
		return 'a' <= c && c <= 'z' && end
	case emAArch64:
		return strings.IndexByte("xdmfp", c) >= 0 && end
	case emRISCV:
		return c == 'x' || c == 'd'
	}
	return false
}

// listed reports whether nm prints a symbol.
func listed(m *image, s *symbol) bool {
	if k := s.kind(); k == sttFile || k == sttSection || mapping(m.machine, s.name) {
		return false
	}
	switch m.machine {
	case emRISCV, emLoong:
		return s.name != "" && !localLabel(s.name)
	case emMIPS:
		return !localLabel(s.name)
	}
	return true
}

// localLabel reports whether the name is a label of the assembler. nm hides these on mips, and on
// architectures where objects keep them for pairs of relocations.
func localLabel(name string) bool {
	if strings.HasPrefix(name, ".L") || strings.HasPrefix(name, "..") ||
		strings.HasPrefix(name, "_.L_") {
		return true
	}
	// Fake and numbered labels are an L, a number and a control character.
	if len(name) < 3 || name[0] != 'L' || name[1] < '0' || name[1] > '9' {
		return false
	}
	i := 1
	for i < len(name) && '0' <= name[i] && name[i] <= '9' {
		i++
	}
	return i < len(name) && (name[i] == 1 || name[i] == 2)
}

// address returns the value of a symbol as the outputs have it: without the bit that marks Thumb
// code on arm.
func address(m *image, s *symbol) uint64 {
	if k := s.kind(); m.machine == emARM && (k == sttFunc || k == sttIfunc) {
		return s.value &^ 1
	}
	return s.value
}

// nmAddress returns the address nm prints. In a relocatable object it includes that of the section.
// For a common symbol it is the size.
func nmAddress(m *image, s *symbol) uint64 {
	switch {
	case s.raw == shnUndef:
		return 0
	case s.raw == shnCommon, smallCommon(m, s):
		return s.size
	case m.typ == etRel && known(m, s):
		return address(m, s) + m.sections[s.sec].addr
	}
	return address(m, s)
}

// nmOrder returns the indices of the symbols that `LC_ALL=C nm -n` prints, in its order: undefined
// ones first, then by address, name and index.
func nmOrder(m *image) []int32 {
	type key struct {
		addr  uint64
		index int32
		def   bool
	}
	keys := make([]key, 0, m.count)
	for i := range m.each() {
		if s := m.symbol(i); i > 0 && listed(m, &s) {
			keys = append(keys, key{nmAddress(m, &s), int32(i), s.raw != shnUndef})
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		switch {
		case a.def && !b.def:
			return 1
		case b.def && !a.def:
			return -1
		case a.addr != b.addr:
			return cmp.Compare(a.addr, b.addr)
		}
		return cmp.Or(strings.Compare(m.name(int(a.index)), m.name(int(b.index))),
			cmp.Compare(a.index, b.index))
	})
	order := make([]int32, len(keys))
	for i, k := range keys {
		order[i] = k.index
	}
	return order
}

// nmLine appends the line that nm prints for symbol s, with another name.
func nmLine(b []byte, m *image, s *symbol, name string) []byte {
	width := 16
	if !m.is64 {
		width = 8
	}
	if s.raw == shnUndef {
		b = append(b, "                "[:width]...)
	} else {
		const digits = "0123456789abcdef"
		v := nmAddress(m, s)
		for i := width - 1; i >= 0; i-- {
			b = append(b, digits[v>>(4*i)&15])
		}
	}
	b = append(b, ' ', letter(m, s), ' ')
	b = append(b, name...)
	return append(b, '\n')
}

// checkSyms compares vmlinux.syms with nm's list, in which the line of a symbol is followed by that
// of its alias. aliasOf returns "" for a symbol without alias.
func checkSyms(p *problems, m *image, aliasOf func(int) string, got string) {
	var want []byte
	line := 0
	step := func(s *symbol, name, what string) bool {
		line++
		want = nmLine(want[:0], m, s, name)
		if len(got) >= len(want) && got[:len(want)] == string(want) {
			got = got[len(want):]
			return true
		}
		have := "the end of the file"
		if len(got) > 0 {
			have, _, _ = strings.Cut(got[:min(len(got), 1024)], "\n")
			have = fmt.Sprintf("%q", have)
		}
		p.add("vmlinux.syms:%d: %s line %q expected, found %s",
			line, what, strings.TrimSuffix(string(want), "\n"), have)
		return false
	}
	for _, i := range nmOrder(m) {
		s := m.symbol(int(i))
		if !step(&s, s.name, "symbol") {
			return
		}
		if a := aliasOf(int(i)); a != "" && !step(&s, a, "alias") {
			return
		}
	}
	if len(got) > 0 {
		have, _, _ := strings.Cut(got[:min(len(got), 1024)], "\n")
		p.add("vmlinux.syms:%d: %q after the last symbol", line+1, have)
	}
}
