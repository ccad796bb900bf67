package verify

import (
	"fmt"
	"slices"
	"strings"
)

// The rules of this file are those of nm of GNU binutils, written down from
// what it prints: which letter a symbol gets, which symbols it leaves out, what
// address it shows and in which order `nm -n` lists them.

// letter gives nm's type letter of a symbol.
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

// known tells whether nm knows the symbol's section. What it keeps no section
// for (the symbol table itself, its strings, relocations) counts as absolute.
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

// smallCommon: a common symbol mips puts within reach of its global pointer.
func smallCommon(m *image, s *symbol) bool {
	return m.machine == emMIPS && s.raw == shnMIPSSmallCommon
}

func sectionLetter(machine uint16, s *section) byte {
	// Names of the COFF world come before the section's own flags.
	for _, p := range []struct {
		name string
		c    byte
	}{{".drectve", 'i'}, {".edata", 'e'}, {".idata", 'i'}, {".pdata", 'p'}} {
		if rest, ok := strings.CutPrefix(s.name, p.name); ok && (rest == "" || strings.IndexByte(".$0123456789", rest[0]) >= 0) {
			return p.c
		}
	}
	small := machine == emPPC64 && (strings.HasPrefix(s.name, ".sdata") || strings.HasPrefix(s.name, ".sbss"))
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
	for _, p := range []string{".debug", ".gnu.debuglto_.debug_", ".gnu.linkonce.wi.", ".zdebug", ".line", ".stab"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return name == ".gdb_index"
}

// mapping tells whether a name is one of the mapping symbols of its
// architecture, which mark code and data and name nothing.
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

// listed tells whether nm prints a symbol.
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

// localLabel knows the assembler's own labels, which nm hides on mips and where
// objects keep them for pairs of relocations.
func localLabel(name string) bool {
	if strings.HasPrefix(name, ".L") || strings.HasPrefix(name, "..") || strings.HasPrefix(name, "_.L_") {
		return true
	}
	// L, a number, then a control character: the assembler's fake and numbered labels.
	if len(name) < 3 || name[0] != 'L' || name[1] < '0' || name[1] > '9' {
		return false
	}
	i := 1
	for i < len(name) && '0' <= name[i] && name[i] <= '9' {
		i++
	}
	return i < len(name) && (name[i] == 1 || name[i] == 2)
}

// visible tells whether a symbol counts as a name of the kernel: what kallsyms
// shows and what makes another symbol of the same name a duplicate.
func visible(m *image, s *symbol) bool {
	if !s.inSection() || s.name == "" || m.sections[s.sec].flags&shfAlloc == 0 {
		return false
	}
	k := s.kind()
	return k != sttFile && k != sttSection && !mapping(m.machine, s.name)
}

// address is the value of a symbol as every output shows it: without the bit
// that marks Thumb code on arm.
func address(m *image, s *symbol) uint64 {
	if k := s.kind(); m.machine == emARM && (k == sttFunc || k == sttIfunc) {
		return s.value &^ 1
	}
	return s.value
}

// nmAddress is the address nm prints: in a relocatable object plus the
// section's own, for a common symbol its size.
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

// nmOrder gives the symbol indices `LC_ALL=C nm -n` prints, in its order:
// undefined ones first, then by address, then by name, then by index.
func nmOrder(m *image) []int32 {
	type key struct {
		addr  uint64
		index int32
		def   bool
	}
	keys := make([]key, 0, len(m.symbols))
	for i := range m.symbols {
		if s := &m.symbols[i]; i > 0 && listed(m, s) {
			keys = append(keys, key{nmAddress(m, s), int32(i), s.raw != shnUndef})
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		switch {
		case a.def != b.def && a.def:
			return 1
		case a.def != b.def:
			return -1
		case a.addr < b.addr:
			return -1
		case a.addr > b.addr:
			return 1
		}
		if c := strings.Compare(m.symbols[a.index].name, m.symbols[b.index].name); c != 0 {
			return c
		}
		return int(a.index) - int(b.index)
	})
	order := make([]int32, len(keys))
	for i, k := range keys {
		order[i] = k.index
	}
	return order
}

// nmLine appends the line nm prints for symbol s, under the given name.
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

// checkSyms compares vmlinux.syms with nm's list and the alias of each symbol
// standing after it; aliasOf gives "" where there is none.
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
		p.add("vmlinux.syms:%d: %s line %q expected, found %s", line, what, strings.TrimSuffix(string(want), "\n"), have)
		return false
	}
	for _, i := range nmOrder(m) {
		s := &m.symbols[i]
		if !step(s, s.name, "symbol") {
			return
		}
		if a := aliasOf(int(i)); a != "" && !step(s, a, "alias") {
			return
		}
	}
	if len(got) > 0 {
		have, _, _ := strings.Cut(got[:min(len(got), 1024)], "\n")
		p.add("vmlinux.syms:%d: %q after the last symbol", line+1, have)
	}
}
