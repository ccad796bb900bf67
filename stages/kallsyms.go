package stages

import (
	"strconv"
	"strings"

	"kas/elf"
)

// This file decides which symbols kallsyms shows and which of them are code. The rules are those of
// scripts/mksysmap and scripts/kallsyms for vmlinux, and of the module loader for modules.
// docs/symbols.md lists them.

// match is how a rule compares its text with a name.
type match uint8

const (
	nameIs       match = iota // the name is the text
	nameBegins                // the name begins with it
	nameEnds                  // the name ends with it
	nameHas                   // the name contains it
	nameNumbered              // the name is the text and then only digits, maybe none
	nameThunk                 // two underscores, letters and digits, then the text
)

// hidden is a rule for names that kallsyms does not show. It holds in releases from since to before
// until; a zero release is no limit.
type hidden struct {
	match        match
	text         string
	since, until release
}

// release is a kernel release: version and patch level.
type release [2]int

func (r release) before(o release) bool { return r[0] < o[0] || r[0] == o[0] && r[1] < o[1] }

// newest stands for an unknown release: the newest rules hold.
var newest = release{1 << 30}

// maxName returns the limit on the length of a symbol's name without the NUL: KSYM_NAME_LEN - 1.
func (r release) maxName() int {
	if r.before(release{6, 1}) {
		return 127
	}
	return 511
}

// hiddenInVmlinux has the rules for vmlinux. Linux 6.4 moved most of them from scripts/kallsyms to
// scripts/mksysmap, so that System.map lacks the names too. Before 6.8 there were rules for six
// thunks, which are those that the linkers of then made.
var hiddenInVmlinux = []hidden{
	{match: nameBegins, text: "$"},
	{match: nameBegins, text: ".L"},
	{match: nameBegins, text: "__crc_"},
	{match: nameBegins, text: "__kstrtab_"},
	{match: nameBegins, text: "__kstrtabns_"},
	{match: nameIs, text: "L0"},
	{match: nameBegins, text: "__efistub_"},
	{match: nameBegins, text: "__kvm_nvhe_$"},
	{match: nameBegins, text: "__kvm_nvhe_.L"},
	{match: nameBegins, text: "__kcfi_typeid_"},
	{match: nameIs, text: "_SDA_BASE_"},
	{match: nameIs, text: "_SDA2_BASE_"},
	{match: nameEnds, text: "_from_arm"},
	{match: nameEnds, text: "_from_thumb"},
	{match: nameEnds, text: "_veneer"},
	{match: nameHas, text: ".long_branch."},
	{match: nameHas, text: ".plt_branch."},
	{match: nameThunk, text: "Thunk_"},

	{match: nameBegins, text: "__pi_$", since: release{6, 5}},
	{match: nameBegins, text: "__pi_.L", since: release{6, 5}},
	{match: nameBegins, text: "__kvm_nvhe___kcfi_typeid_", since: release{6, 5}},
	{match: nameBegins, text: "__pi___kcfi_typeid_", since: release{6, 5}},
	{match: nameBegins, text: "__mod_device_table__", since: release{6, 18}},
	{match: nameNumbered, text: "__UNIQUE_ID_modinfo", since: release{6, 18}},
	{match: nameNumbered, text: "__UNIQUE_ID_modinfo_", since: release{6, 19}},

	// The tables of kallsyms itself. From 6.10 on, all links have them.
	{match: nameIs, text: "kallsyms_addresses", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_offsets", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_relative_base", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_num_syms", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_names", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_markers", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_token_table", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_token_index", until: release{6, 10}},
	{match: nameIs, text: "kallsyms_seqs_of_names", until: release{6, 10}},
}

// hiddenInModules has the rules for modules: the labels and mapping symbols that the kernel never
// uses as the name of an address.
var hiddenInModules = []hidden{
	{match: nameBegins, text: ".L"},
	{match: nameBegins, text: "L0", since: release{6, 4}},
	{match: nameBegins, text: "$", since: release{6, 6}},
	{match: nameIs, text: "$a", until: release{6, 6}},
	{match: nameIs, text: "$d", until: release{6, 6}},
	{match: nameIs, text: "$t", until: release{6, 6}},
	{match: nameIs, text: "$x", until: release{6, 6}},
	{match: nameBegins, text: "$a.", until: release{6, 6}},
	{match: nameBegins, text: "$d.", until: release{6, 6}},
	{match: nameBegins, text: "$t.", until: release{6, 6}},
	{match: nameBegins, text: "$x.", until: release{6, 6}},
}

func (h *hidden) matches(name []byte) bool {
	n := len(h.text)
	switch h.match {
	case nameIs:
		return string(name) == h.text
	case nameBegins:
		return len(name) >= n && string(name[:n]) == h.text
	case nameEnds:
		return len(name) >= n && string(name[len(name)-n:]) == h.text
	case nameHas:
		return strings.Contains(string(name), h.text)
	case nameNumbered:
		return len(name) >= n && string(name[:n]) == h.text &&
			(len(name) == n || isNumber(string(name[n:])))
	case nameThunk:
		rest, ok := strings.CutPrefix(string(name), "__")
		word := strings.IndexFunc(rest, func(r rune) bool { return !alphanumeric(r) }) + 1
		return ok && word > 0 && strings.HasSuffix(rest[:word], h.text)
	}
	return false
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

// shown decides which symbols of one object kallsyms shows, and which of them are code.
type shown struct {
	f       *elf.File
	vmlinux bool
	first   [256][]hidden // rules for a whole name or a prefix, by the first byte
	others  []hidden
	longest int         // the length of the longest name that fits
	text    [][2]uint64 // the ranges of vmlinux's text, nil if unknown
}

func newShown(f *elf.File, vmlinux bool, name string, text [][2]uint64) *shown {
	s := &shown{f: f, vmlinux: vmlinux, text: text, longest: 1<<31 - 1}
	r := parseRelease(name)
	rules := hiddenInModules
	if vmlinux {
		// scripts/kallsyms leaves out longer names.
		rules, s.longest = hiddenInVmlinux, r.maxName()
	}
	for _, h := range rules {
		switch {
		case r.before(h.since), h.until != release{} && !r.before(h.until):
		case h.match == nameIs, h.match == nameBegins, h.match == nameNumbered:
			s.first[h.text[0]] = append(s.first[h.text[0]], h)
		default:
			s.others = append(s.others, h)
		}
	}
	return s
}

// parseRelease returns the release that a text like 6.1.0-56-cloud-amd64 begins with, or newest.
func parseRelease(text string) release {
	major, rest, _ := strings.Cut(text, ".")
	minor := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	x, err := strconv.Atoi(major)
	if err != nil {
		return newest
	}
	y, err := strconv.Atoi(minor)
	if err != nil {
		return newest
	}
	return release{x, y}
}

// shows reports whether kallsyms shows the symbol. It does not show absolute symbols.
func (s *shown) shows(sym *elf.Symbol) bool {
	if len(sym.Name) == 0 || !sym.Defined() || !s.f.Sections[sym.Section].Alloc() || sym.Marker() ||
		s.f.MappingSymbol(sym.Name) || len(sym.Name) > s.longest {
		return false
	}
	if s.vmlinux {
		// nm leaves the labels of some machines out. scripts/kallsyms drops types that are not of
		// code or data.
		if !s.f.NMListed(sym) || strings.IndexByte("aAuUnN", s.f.NMType(sym)) >= 0 {
			return false
		}
	}
	for i := range s.first[sym.Name[0]] {
		if s.first[sym.Name[0]][i].matches(sym.Name) {
			return false
		}
	}
	for i := range s.others {
		if s.others[i].matches(sym.Name) {
			return false
		}
	}
	return true
}

// code reports whether the symbol is code: a function, or a symbol without a type between the
// bounds of vmlinux's text. Without bounds, as in a module, that is one in a section of
// instructions that is not written.
func (s *shown) code(sym *elf.Symbol) bool {
	switch {
	case sym.Function():
		return true
	case !sym.Untyped():
		return false
	case s.text != nil:
		for _, r := range s.text {
			if sym.Value >= r[0] && sym.Value < r[1] {
				return true
			}
		}
		return false
	}
	section := &s.f.Sections[sym.Section]
	return section.Exec() && !section.Writable()
}

// longestBanner is how many bytes of linux_banner are read. The release is among the first.
const longestBanner = 1 << 10

// kernelOf returns the release that an object was built for, and in vmlinux the ranges of its text.
// The release is the first word of a module's vermagic, or the third of vmlinux's banner ("Linux
// version 6.1.0-56-cloud-amd64 ...").
func kernelOf(f *elf.File, syms *elf.Symtab, magic []string) (name string, text [][2]uint64) {
	if len(magic) > 0 {
		name = magic[0]
	}
	if f.Type == elf.Relocatable {
		return name, nil
	}
	bounds := map[string]uint64{}
	wanted := []string{"linux_banner", "_stext", "_etext", "_sinittext", "_einittext"}
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		i := syms.Named(id, wanted...)
		if i < 0 {
			continue
		}
		s, err := syms.At(id)
		switch {
		case err != nil: // scan reports it
		case i > 0:
			bounds[wanted[i]] = s.Value
		case name == "":
			s.Size = min(s.Size, longestBanner)
			words := strings.Fields(string(f.Bytes(&s)))
			if len(words) > 2 && words[0] == "Linux" {
				name = strings.TrimRight(words[2], "\x00")
			}
		}
	}
	for _, r := range [][2]string{{"_stext", "_etext"}, {"_sinittext", "_einittext"}} {
		start, ok := bounds[r[0]]
		if end := bounds[r[1]]; ok && start < end {
			text = append(text, [2]uint64{start, end})
		}
	}
	return name, text
}
