package verify

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// facts is what an object says about its build.
type facts struct {
	arch, release string
	compiler      string // gcc or llvm, "" if .comment names none
	hints         ltoHints
	unloads       bool // the kernel can unload the module, so it keeps .exit sections
	debug         bool // there is debugging information
	signed        bool // a signature follows
	size          int64
	files         []string // names of STT_FILE symbols, after "" for none
	firsts        map[named]int32
	counts        BuildStats
}

// learn reads the facts of an object.
func (o *object) learn(m *image) {
	o.arch, o.release, o.size = m.archName(), m.kernel.release, int64(len(m.data))
	o.compiler = m.compiler()
	o.signed = signed(m.data)
	magic := strings.Fields(m.modinfo("vermagic"))
	o.unloads = len(magic) == 0 || slices.Contains(magic, "mod_unload")
	for i := range m.sections {
		name := m.sections[i].name
		o.debug = o.debug || name == ".debug_info" || name == ".zdebug_info"
	}
}

// settle sets what holds for the whole build: what the configuration says, or else what the objects
// show, vmlinux first.
func (b *build) settle() {
	c := b.Config
	b.arch, b.tools = c.Arch, toolchain{c.Toolchain, c.LTO}
	hints := ltoHints{}
	for i := range b.objects {
		o := &b.objects[i]
		b.arch = cmp.Or(b.arch, o.arch)
		b.release = cmp.Or(b.release, o.release)
		b.tools.compiler = cmp.Or(b.tools.compiler, o.compiler)
		hints.thin = hints.thin || o.hints.thin
		hints.full = hints.full || o.hints.full
		hints.numbered = hints.numbered || o.hints.numbered
	}
	if s := b.Stats; b.tools.compiler == "" && s != nil &&
		(s.Toolchain == "gcc" || s.Toolchain == "llvm") {
		b.tools.compiler = s.Toolchain // from the debugging information
	}
	b.tools.lto = cmp.Or(b.tools.lto, hints.mode(b.tools.compiler))
	if b.limit = c.MaxLength; b.limit == 0 {
		k := kernel{version: versionOf(b.release)}
		b.limit = k.room() - 1
	}
}

// extent is where a symbol is in its object.
type extent struct {
	sec        uint32
	addr, size uint64
}

func (v *visibleSymbol) extent() extent { return extent{v.sec, v.addr, v.size} }

// named is a base name and where a symbol has it.
type named struct {
	base string
	extent
}

// classify sets the base names of an object's symbols, and finds the symbols that are names that an
// earlier run restored: NAME with the extent of NAME.llvm.1.
func (o *object) classify(t toolchain) {
	renamed := map[named]bool{}
	for i := range o.visible {
		v := &o.visible[i]
		if v.base = v.name; strings.IndexByte(v.name, '.') < 0 {
			continue
		}
		if v.base = t.nameOf(v.name, v.code).base; v.base != v.name {
			renamed[named{v.base, v.extent()}] = true
		}
	}
	if len(renamed) == 0 {
		return
	}
	for i := range o.visible {
		v := &o.visible[i]
		v.restored = v.base == v.name && renamed[named{v.name, v.extent()}]
	}
}

// groupUp counts the symbols of each name and of each base name.
func (b *build) groupUp() {
	b.counts, b.members = make(map[string]int32), make(map[string]int32)
	for i := range b.objects {
		for k := range b.objects[i].visible {
			v := &b.objects[i].visible[k]
			b.counts[v.name]++
			switch plain := strings.IndexByte(v.name, '.') < 0; {
			case v.restored && plain:
				b.members[v.name]--
			case v.restored:
			case !plain:
				b.members[v.base]++
			}
		}
	}
}

// group returns the number of symbols with the base name of v.
func (b *build) group(v *visibleSymbol) int {
	n := b.members[v.base]
	switch {
	case strings.IndexByte(v.base, '.') >= 0:
	case v.base == v.name:
		n += v.count
	default:
		n += b.counts[v.base]
	}
	return int(n)
}

// isDuplicate reports whether the symbol belongs in aliases.tsv or unaliased.tsv.
func (b *build) isDuplicate(v *visibleSymbol, n naming) bool {
	switch {
	case v.restored:
		return false
	case b.group(v) > 1, b.policy.wanted(v.base):
		return true
	case strings.IndexByte(v.name, '.') < 0:
		return false
	}
	restores := b.Config.SuffixFree && v.base != v.name && n.meaning != ofFunction
	return restores || v.count > 1
}

// number sets the count of each symbol, and its position among those of its name in the object, as
// livepatch counts it: in vmlinux by address, in a module by the order of the symbol table.
func (o *object) number(counts map[string]int32) {
	last := make(map[string]int32)
	order := make([]int32, 0, len(o.visible))
	for i := range o.visible {
		v := &o.visible[i]
		v.position, v.count = 1, counts[v.name]
		if v.count > 1 {
			order = append(order, int32(i))
		}
	}
	if o.emitted == "" {
		slices.SortStableFunc(order, func(x, y int32) int {
			return cmp.Compare(o.visible[x].addr, o.visible[y].addr)
		})
	}
	for _, i := range order {
		v := &o.visible[i]
		last[v.name]++
		v.position = last[v.name]
	}
}

// checkDuplicates checks for each symbol that it is in the right table, and with a right reason or
// alias.
func (b *build) checkDuplicates(o *object) {
	for i := range o.visible {
		v := &o.visible[i]
		if plain := strings.IndexByte(v.name, '.') < 0; plain && v.row == 0 && v.without == 0 &&
			!b.isDuplicate(v, naming{base: v.base}) {
			continue // most symbols
		}
		n := b.tools.nameOf(v.name, v.code)
		wanted := b.isDuplicate(v, n)
		switch has := v.row > 0 || v.without > 0; {
		case wanted && !has:
			o.add("%q at %s+%#x is one of %d symbols with this base name, and is in neither "+
				"aliases.tsv nor unaliased.tsv",
				v.name, o.sections[v.sec], v.addr, b.group(v))
			continue
		case !wanted && has:
			o.add("%q at %s+%#x is in a table, but no other symbol has its name",
				v.name, o.sections[v.sec], v.addr)
		}
		if v.without > 0 {
			b.checkReason(o, i, n, &b.unaliased[v.without-1])
		}
		if v.row > 0 {
			b.checkAliased(o, i, n, &b.aliases[v.row-1])
		}
	}
}

// checkAliased checks and counts a row of aliases.tsv.
func (b *build) checkAliased(o *object, i int, n naming, r *row) {
	v := &o.visible[i]
	if why := b.ruledOut(o, i, n); why != "" {
		o.add("aliases.tsv:%d: %q must not have an alias: %s", r.at, v.name, why)
	}
	if why := o.checkSource(v, n, r); why != "" {
		o.add("aliases.tsv:%d: %q has the source %q: %s", r.at, v.name, r.source, why)
	}
	s, err := b.spellingOf(r, n.base)
	if err != nil {
		o.add("aliases.tsv:%d: alias %q of %q: %v", r.at, r.alias, r.symbol, err)
	}
	c := &o.counts
	if o.emitted == "" {
		c.InVmlinux++
	} else {
		c.InModules++
	}
	for _, x := range []struct {
		holds bool
		n     *int
	}{
		{r.unit != r.file, &c.ByUnit}, {s.ordinal, &c.ByOrdinal}, {s.shortened, &c.Shortened},
		{s.suffixFree, &c.SuffixFree},
	} {
		if x.holds {
			*x.n++
		}
	}
}

// archName returns the name that kas has for the machine.
func (m *image) archName() string {
	big := m.order.Uint16([]byte{0, 1}) == 1
	switch m.machine {
	case 62:
		return "x86_64"
	case 3:
		return "i386"
	case emAArch64:
		return "arm64"
	case emARM:
		return "arm"
	case 22:
		return "s390x"
	case emPPC64:
		if big {
			return "powerpc64"
		}
		return "powerpc64le"
	case emMIPS:
		if m.is64 {
			return "mips64"
		}
		return "mips"
	case emRISCV:
		return "riscv64"
	case emLoong:
		return "loongarch64"
	}
	return "machine " + strconv.Itoa(int(m.machine))
}

// compiler returns the compiler that .comment names: one string of clang decides.
func (m *image) compiler() (found string) {
	for _, text := range m.texts(".comment") {
		if strings.Contains(text, "clang version") {
			return "llvm"
		}
		if strings.HasPrefix(text, "GCC:") {
			found = "gcc"
		}
	}
	return found
}

// modinfo returns the first value of a key in .modinfo.
func (m *image) modinfo(key string) string {
	for _, entry := range m.texts(".modinfo") {
		if value, ok := strings.CutPrefix(entry, key+"="); ok {
			return value
		}
	}
	return ""
}

// texts returns the strings of the first section of a name. What does not end in a NUL is none.
func (m *image) texts(section string) (all []string) {
	for i := 1; i < len(m.sections); i++ {
		if m.sections[i].name != section {
			continue
		}
		data, _ := m.content(i)
		for {
			text, rest, ended := bytes.Cut(data, []byte{0})
			if !ended {
				return all
			}
			all, data = append(all, string(text)), rest
		}
	}
	return nil
}
