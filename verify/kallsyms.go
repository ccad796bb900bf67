package verify

import (
	"strconv"
	"strings"
)

// This file has the rules of the kernel about an object's symbols: which ones kallsyms shows, and
// which ones are code.

// kernel is what the rules need to know of an object.
type kernel struct {
	vmlinux bool
	release string      // 6.1.0-56-cloud-amd64, "" if unknown
	version int         // 6.1 is 6001; 0 if unknown, then the newest rules hold
	text    [][2]uint64 // first and last address of vmlinux's text, nil if unknown
}

// readKernel reads what the rules need. vmlinux says that the object is not a module. The release
// is the first word of a module's vermagic, or the third of vmlinux's banner.
func (m *image) readKernel(vmlinux bool) {
	m.kernel = kernel{vmlinux: vmlinux}
	if magic := strings.Fields(m.modinfo("vermagic")); len(magic) > 0 {
		m.kernel.release = magic[0]
	}
	if m.typ != etRel {
		m.readBounds()
	}
	m.kernel.version = versionOf(m.kernel.release)
}

// readBounds reads the bounds of the text and the banner.
func (m *image) readBounds() {
	at := map[string]uint64{}
	for i := range m.each() {
		s := m.symbol(i)
		if strings.HasPrefix(s.name, "_s") || strings.HasPrefix(s.name, "_e") {
			at[s.name] = s.value
		}
		if s.name == "linux_banner" && s.inSection() && m.kernel.release == "" {
			words := strings.Fields(m.text(&s))
			if len(words) > 2 && words[0] == "Linux" {
				m.kernel.release = strings.TrimRight(words[2], "\x00")
			}
		}
	}
	for _, part := range []string{"text", "inittext"} {
		first, found := at["_s"+part]
		if end := at["_e"+part]; found && first < end {
			m.kernel.text = append(m.kernel.text, [2]uint64{first, end - 1})
		}
	}
}

// text returns the bytes of a symbol of vmlinux, as far as its section has them.
func (m *image) text(s *symbol) string {
	sec := &m.sections[s.sec]
	data, err := m.content(int(s.sec))
	if skip := address(m, s) - sec.addr; err == nil && skip < uint64(len(data)) {
		return string(data[skip:][:min(s.size, uint64(len(data))-skip)])
	}
	return ""
}

// versionOf returns the version that a release begins with, 0 if there is none.
func versionOf(release string) int {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	x, err := strconv.Atoi(major)
	y, err2 := strconv.Atoi(minor)
	if err != nil || err2 != nil {
		return 0
	}
	return 1000*x + min(y, 999)
}

// room returns KSYM_NAME_LEN, the length of the longest name with its NUL.
func (k *kernel) room() int {
	if k.from(6001) {
		return 512
	}
	return 128
}

// from reports whether the kernel is of this version or newer.
func (k *kernel) from(version int) bool { return k.version == 0 || k.version >= version }

// visible reports whether kallsyms shows a symbol, so that it makes another symbol of the same name
// a duplicate.
func visible(m *image, s *symbol) bool {
	if !s.inSection() || s.name == "" || m.sections[s.sec].flags&shfAlloc == 0 {
		return false
	}
	if k := s.kind(); k == sttFile || k == sttSection || mapping(m.machine, s.name) {
		return false
	}
	if !m.kernel.vmlinux {
		return !m.kernel.moduleLabel(s.name)
	}
	switch letter(m, s) {
	case 'a', 'A', 'n', 'N', 'u', 'U':
		return false
	}
	return len(s.name) < m.kernel.room() && listed(m, s) && !m.kernel.generated(s.name)
}

// moduleLabel reports whether the kernel ignores the name in a module.
func (k *kernel) moduleLabel(name string) bool {
	switch {
	case strings.HasPrefix(name, ".L"):
		return true
	case strings.HasPrefix(name, "L0"):
		return k.from(6004)
	case name[0] != '$':
		return false
	case k.from(6006):
		return true
	}
	return len(name) > 1 && strings.Contains("adtx", name[1:2]) &&
		(len(name) == 2 || name[2] == '.')
}

// generated reports whether the build of vmlinux drops the name from the list of kallsyms, because
// an assembler, a linker or a macro made it.
func (k *kernel) generated(name string) bool {
	for _, end := range []string{"_from_arm", "_from_thumb", "_veneer"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	if strings.Contains(name, ".long_branch.") || strings.Contains(name, ".plt_branch.") {
		return true
	}
	switch name[0] {
	case '$':
		return true
	case '.':
		return strings.HasPrefix(name, ".L")
	case 'L':
		return name == "L0"
	case 'k':
		switch name {
		case "kallsyms_addresses", "kallsyms_offsets", "kallsyms_relative_base",
			"kallsyms_num_syms", "kallsyms_names", "kallsyms_markers", "kallsyms_token_table",
			"kallsyms_token_index", "kallsyms_seqs_of_names":
			return !k.from(6010)
		}
	case '_':
		return k.generatedUnderscore(name)
	}
	return false
}

func (k *kernel) generatedUnderscore(name string) bool {
	if name == "_SDA_BASE_" || name == "_SDA2_BASE_" {
		return true
	}
	rest, ok := strings.CutPrefix(name, "__")
	if !ok {
		return false
	}
	for _, rule := range []struct {
		start string
		since int
	}{
		{"crc_", 0}, {"kstrtab_", 0}, {"kstrtabns_", 0}, {"efistub_", 0}, {"kvm_nvhe_$", 0},
		{"kvm_nvhe_.L", 0}, {"kcfi_typeid_", 0}, {"pi_$", 6005}, {"pi_.L", 6005},
		{"kvm_nvhe___kcfi_typeid_", 6005}, {"pi___kcfi_typeid_", 6005},
		{"mod_device_table__", 6018},
	} {
		if strings.HasPrefix(rest, rule.start) && k.from(rule.since) {
			return true
		}
	}
	if id, ok := strings.CutPrefix(rest, "UNIQUE_ID_modinfo"); ok && k.from(6018) {
		if k.from(6019) {
			id = strings.TrimPrefix(id, "_")
		}
		return strings.Trim(id, "0123456789") == ""
	}
	// A stub of LLVM's linker: __ARMV7PILongThunk_f.
	word, _, found := strings.Cut(rest, "_")
	foreign := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	return found && strings.HasSuffix(word, "Thunk") && !strings.ContainsFunc(word, foreign)
}

// code reports whether a symbol is code: a function, or a label without a type in vmlinux's text.
// Where the bounds of the text are unknown, sections of instructions that are not writable count.
func code(m *image, s *symbol) bool {
	if k := s.kind(); k != sttNone {
		return k == sttFunc || k == sttIfunc
	}
	if m.kernel.text == nil {
		return m.sections[s.sec].flags&(shfExec|shfWrite) == shfExec
	}
	for _, r := range m.kernel.text {
		if r[0] <= s.value && s.value <= r[1] {
			return true
		}
	}
	return false
}

// codeMark returns what the source column of a symbol's line in the registry ends with: nm's letter
// alone is wrong about some symbols.
func codeMark(letter byte, code bool) string {
	looks := strings.IndexByte("tTwW", letter) >= 0
	switch {
	case looks == code:
		return ""
	case code:
		return "code"
	}
	return "not code"
}
