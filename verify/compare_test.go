package verify

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kas/need"
)

func TestBrokenModule(t *testing.T) {
	// poke changes the module from a place on.
	poke := func(at func(*image) int, f func(b []byte)) func(*testing.T, *emission) {
		return func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				f(data[at(m):])
				return data
			})
		}
	}
	symbolAt := func(name string) func(*image) int {
		return func(m *image) int { return m.entry(name) }
	}
	inSection := func(name string, off int) func(*image) int {
		return func(m *image) int { return int(m.sections[m.find(name)].off) + off }
	}
	header := func(name string, off int) func(*image) int {
		return func(m *image) int { return int(m.shoff) + 64*m.find(name) + off }
	}
	flip := func(b []byte) { b[0] ^= 1 }
	broken(t, []spoiled{
		{"not ELF", func(t *testing.T, e *emission) {
			write(t, filepath.Join(e.Dir, "modules/drivers/a.ko.kas"), []byte("MZ"))
		}, "a.ko.kas: offset 0x0"},
		{"the original", func(t *testing.T, e *emission) {
			b, _ := os.ReadFile(e.Modules[0].Path)
			write(t, filepath.Join(e.Dir, "modules/drivers/a.ko.kas"), b)
		}, "does not follow its original"},
		{"signature", func(t *testing.T, e *emission) {
			e.module(t, func(b []byte, _ *image) []byte { return append(b, signatureTrailer...) })
		}, "~Module signature appended~"},
		{"ELF header", poke(func(*image) int { return 48 }, flip), "ELF header differs"},
		{"section byte", poke(inSection(".text", 5), flip),
			"section 2 .text: content differs from its original's at 0x5"},
		{"string table", poke(inSection(".strtab", 3), flip), "symbol 2 "},
		{"section name", poke(inSection(".shstrtab", 3), flip), "is named"},
		{"section flags", poke(header(".data", 8), flip), "sh_flags is"},
		{"section size", poke(header(".bss", 32), flip), "sh_size is"},
		{"section moved into another",
			poke(header(".comment", 24), func(b []byte) { copy(b, []byte{0x50, 0}) }),
			"section .comment: is at 0x50, 0x2e1 expected"},
		{"section offset", poke(header(".data", 24), flip),
			"section .data: is at 0x1a1, 0x1a0 expected"},
		{"offset of a section without bytes", poke(header(".bss", 24), flip),
			".bss: sh_offset is"},
		{"offset of section 0", poke(header("", 24), flip), "section 0 : sh_offset is 0x1"},
		{"bytes before the symbol table", poke(inSection(".symtab", -1), flip),
			"section .symtab: the bytes before it differ"},
		{"padding after the string table", poke(header("", -1), flip),
			"the section header table: the bytes before it differ"},
		{"appended bytes", func(t *testing.T, e *emission) {
			e.module(t, func(b []byte, _ *image) []byte { return append(b, 0) })
		}, "the last part ends at"},
		{"name of symbol 0", poke(func(m *image) int { return int(m.sections[m.symtab].off) }, flip),
			`symbol 0 "": its entry is not that of the original`},
		{"the same name elsewhere", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				// Both symbols are called __key.1.
				at, size := m.entry("__key.1"), m.symsize()
				copy(data[at:], data[at+size:at+size+4])
				return data
			})
		}, `"__key.1": its entry is not that of the original`},
		{"name of an alias", poke(func(m *image) int {
			strtab := m.sections[m.find(".strtab")]
			return int(strtab.off+strtab.size) - 1
		}, flip), "offset"},
		{"outside the file", poke(header(".text", 26), flip), "runs past the end of the file"},
		{"alias size", poke(symbolAt(alias), func(b []byte) { b[16]++ }),
			"st_size is 0x11, that of its original 0x10"},
		{"alias value", poke(symbolAt(alias), func(b []byte) { b[8]++ }), "st_value is 0x11"},
		{"alias bind", poke(symbolAt(alias), func(b []byte) { b[4] |= 0x10 }), "st_info is 0x12"},
		{"alias type", poke(symbolAt(alias), func(b []byte) { b[4] = 0 }), "st_info is 0x0"},
		{"alias section", poke(symbolAt(alias), func(b []byte) { b[6]++ }), "st_shndx is 0x3"},
		{"alias visibility",
			poke(symbolAt("arch_hook@drivers_a_c_44"), func(b []byte) { b[5] = 0 }),
			"st_other is 0x0"},
		{"section type", poke(header(".data", 4), func(b []byte) { b[0] = 7 }),
			".data: sh_type is 0x7"},
		{"section address", poke(header(".data", 16), flip), ".data: sh_addr is 0x1"},
		{"section link", poke(header(".data", 40), flip), ".data: sh_link is 0x1"},
		{"section info", poke(header(".data", 44), flip), ".data: sh_info is 0x1"},
		{"weaker alignment", poke(header(".data", 48), func(b []byte) { b[0] = 16 }),
			".data: sh_addralign is 0x10"},
		{"section entry size", poke(header(".data", 56), flip), ".data: sh_entsize is 0x1"},
		{"section name elsewhere", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				// .text is also the end of .exit.text.
				at := m.sections[m.find(".exit.text")].nameOff + uint32(len(".exit"))
				m.order.PutUint32(data[header(".text", 0)(m):], at)
				return data
			})
		}, ".text: sh_name is"},
		{"one section more", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				data[60]++ // e_shnum
				return append(data, make([]byte, 64)...)
			})
		}, "15 sections, its original has 14"},
		{"section headers out of line", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				table := slices.Clone(data[m.shoff:])
				m.order.PutUint64(data[40:], m.shoff+4)
				return append(data[:m.shoff+4], table...)
			})
		}, "the section header table: is at"},
		{"section in the ELF header",
			poke(header(".comment", 24), func(b []byte) { b[0], b[1] = 16, 0 }),
			"section .comment: is at 0x10, 0x2e1 expected"},
		{"local symbol made global", poke(symbolAt("name_show"), func(b []byte) { b[4] |= 0x10 }),
			`symbol 3 "name_show" is on the wrong side of the last local symbol`},
		{"symbols cut off", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				data[header(".symtab", 32)(m)] -= 24
				data[header(".symtab_shndx", 32)(m)] -= 4
				return data
			})
		}, "the symbol table ends before symbol 10"},
		{"wide index of a narrow alias", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				i := (m.entry(alias) - int(m.sections[m.symtab].off)) / 24
				data[inSection(".symtab_shndx", 4*i)(m)] = 5
				return data
			})
		}, ".symtab_shndx: entry 4 is 5, 0 expected"},
		{"wide indices too short", poke(header(".symtab_shndx", 32), func(b []byte) { b[0] -= 4 }),
			"symbols"},
		{"profile, caller", poke(inSection(".profile", 16), flip), ".profile: edge 1 differs"},
		{"profile, callee", poke(inSection(".profile", 16+4), flip), ".profile: edge 1 differs"},
		{"profile, weight", poke(inSection(".profile", 16+8), flip), ".profile: edge 1 differs"},
		{"relocation missing", poke(header(".rela.text", 32), func(b []byte) { b[0] -= 24 }),
			"bytes of relocations, its original has"},
		{"profile entry missing", poke(header(".profile", 32), func(b []byte) { b[0] -= 16 }),
			".profile: 128 bytes, its original has 144"},
		{"address significance missing",
			poke(header(".llvm_addrsig", 32), func(b []byte) { b[0]-- }),
			".llvm_addrsig: entry 8 is missing or damaged"},
		{"string table content", poke(inSection(".strtab", 3), flip),
			".strtab: does not begin with the bytes of its original"},
		{"added symbol at the end", func(t *testing.T, e *emission) {
			e.edit(t, "aliases.tsv", drop("arch_hook@"))
			e.edit(t, "unaliased.tsv", func(l []string) []string {
				return slices.Insert(l, 5, "arch_hook\tdrivers/a.ko\t.text\t60\tW\tnever")
			})
			e.module(t, func(data []byte, m *image) []byte {
				// Swap the alias with the last symbol, _printk.
				at := m.entry("arch_hook@drivers_a_c_44")
				x := slices.Clone(data[at : at+24])
				copy(data[at:], data[at+24:at+48])
				copy(data[at+24:], x)
				return data
			})
		}, `"arch_hook@drivers_a_c_44" is added here without a row in aliases.tsv`},
		{"original size", poke(symbolAt("a_open"), func(b []byte) { b[16]++ }),
			`"a_open": st_size is 0x11, that of the original`},
		{"symbols swapped", poke(symbolAt("name_show"), func(b []byte) {
			x := slices.Clone(b[:24])
			copy(b, b[24:48])
			copy(b[24:], x)
		}), "is added here without a row in aliases.tsv"},
		{"sh_info", poke(header(".symtab", 44), func(b []byte) { b[0]++ }),
			"sh_info is 12, 11 expected"},
		{"group signature", poke(header(".group", 44), flip), "the group's signature is symbol"},
		{"wide index", poke(inSection(".symtab_shndx", 7*4), func(b []byte) { b[0] ^= 5 }),
			"section 10 .symtab_shndx: entry 7 is"},
		{"alias's wide index", poke(inSection(".symtab_shndx", 8*4), func(b []byte) { b[0] ^= 1 }),
			"the extended section index is 0x2"},
		{"relocation symbol", poke(inSection(".rela.text", 24*6+12), flip), "has symbol"},
		{"relocation type", poke(inSection(".rela.text", 24*6+8), flip),
			"differs from its original in more than the symbol index"},
		{"relocation offset", poke(inSection(".rela.text", 24*6), flip),
			"differs from its original in more than the symbol index"},
		{"relocation addend", poke(inSection(".rela.text", 24*6+16), flip),
			"differs from its original in more than the symbol index"},
		{"relocations not moved", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				o, _ := os.ReadFile(e.Modules[0].Path)
				i, _ := parse(o, nil)
				b, _ := i.content(i.find(".rela.text"))
				copy(data[m.sections[m.find(".rela.text")].off:], b)
				return data
			})
		}, "has symbol"},
		{"address significance", poke(inSection(".llvm_addrsig", 4), flip),
			"section 7 .llvm_addrsig: entry"},
		{"alias at the end of the locals", func(t *testing.T, e *emission) {
			e.module(t, func(data []byte, m *image) []byte {
				// Turn the alias and all locals behind it by one place.
				symtab := m.sections[m.symtab]
				from, to := m.entry(alias), int(symtab.off)+24*int(symtab.info)
				x := slices.Clone(data[from : from+24])
				copy(data[from:], data[from+24:to])
				copy(data[to-24:], x)
				return data
			})
		}, "does not follow its original"},
		{"alias dropped", func(t *testing.T, e *emission) {
			in, _ := os.ReadFile(e.Modules[0].Path)
			in = in[:bytes.Index(in, []byte("signature"+signatureTrailer))]
			write(t, filepath.Join(e.Dir, "modules/drivers/a.ko.kas"),
				rewrite(t, in, map[int]string{3: alias}))
		}, "does not follow its original"},
		{"alias too many", func(t *testing.T, e *emission) {
			e.edit(t, "aliases.tsv", drop(alias))
			e.edit(t, "unaliased.tsv", func(l []string) []string {
				return slices.Insert(l, 2, "name_show\tdrivers/a.ko\t.text\t10\tt\tnever")
			})
		}, "is added here without a row in aliases.tsv"},
	})
}

// TestBroken32 has what is different in 32-bit objects.
func TestBroken32(t *testing.T) {
	arm := layouts[3]
	for _, c := range []struct {
		name  string
		spoil func(data []byte, m *image) []byte
		want  string
	}{
		{"relocation type", func(data []byte, m *image) []byte {
			data[m.sections[m.find(".rel.text")].off+4]++ // of r_info, which is SYMBOL<<8 | TYPE
			return data
		}, "differs from its original in more than the symbol index"},
		{"section headers out of line", func(data []byte, m *image) []byte {
			table := slices.Clone(data[m.shoff:])
			m.order.PutUint32(data[32:], uint32(m.shoff)+2)
			return append(data[:m.shoff+2], table...)
		}, "the section header table: is at"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := emit(t, arm, false)
			e.module(t, c.spoil)
			if _, problems := verify(t, e.Target); !strings.Contains(problems, c.want) {
				t.Errorf("want %q in:\n%s", c.want, problems)
			}
		})
	}
}

// TestShndxUnlinked: without its sh_link, nothing is known about the extended section indices.
func TestShndxUnlinked(t *testing.T) {
	l := layouts[0]
	data := l.object(elf.ET_REL, members()[3].symbols) // no symbol needs an extended index
	o, err := parse(slices.Clone(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	shndx := data[int(o.shoff)+64*o.find(".symtab_shndx"):]
	l.order.PutUint64(shndx[32:], 0) // sh_size
	l.order.PutUint32(shndx[40:], 0) // sh_link
	e, err := parse(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &problems{}
	compare(p, o, e, func(int) string { return "" }, &Summary{})
	const want = "the extended section indices of the symbol table are section 0, " +
		"in the original 10"
	if !slices.Contains(p.list, want) {
		t.Errorf("%q", p.list)
	}
}

// TestExtendedNumbering parses a file whose number of sections and string table index are in
// section header 0, as the gABI requires for more than 65,279 sections.
func TestExtendedNumbering(t *testing.T) {
	for _, l := range layouts {
		data := l.object(elf.ET_REL, members()[1].symbols)
		want, err := parse(slices.Clone(data), nil)
		if err != nil {
			t.Fatal(err)
		}
		at, size, link := 48, 20, 24
		if l.is64 {
			at, size, link = 60, 32, 40
		}
		zero := data[want.shoff:]
		n, strndx := l.order.Uint16(data[at:]), l.order.Uint16(data[at+2:])
		if l.is64 {
			l.order.PutUint64(zero[size:], uint64(n))
		} else {
			l.order.PutUint32(zero[size:], uint32(n))
		}
		l.order.PutUint32(zero[link:], uint32(strndx))
		l.order.PutUint16(data[at:], 0)
		l.order.PutUint16(data[at+2:], 0xffff)
		got, err := parse(data, nil)
		if err != nil {
			t.Fatal(l.name, err)
		}
		if len(got.sections) != int(n) || got.sections[2].name != ".text" ||
			!slices.Equal(got.all(), want.all()) {
			t.Errorf("%s: %d sections, %v", l.name, len(got.sections), got.sections)
		}
	}
}

// TestSpanOverflow: offset and size that add up to more than 64 bits are an error.
func TestSpanOverflow(t *testing.T) {
	m := &image{data: make([]byte, 100)}
	const most = 1<<64 - 1
	for _, c := range [][2]uint64{{most, 2}, {2, most}, {most, most}, {99, 2}, {101, 0}} {
		if _, err := m.span(c[0], c[1], "part"); err == nil {
			t.Errorf("span(%#x, %#x): no error", c[0], c[1])
		}
	}
	if b, err := m.span(98, 2, "part"); err != nil || len(b) != 2 {
		t.Error(b, err)
	}
}

// TestVisible: what kallsyms shows. Mapping symbols are those of the ABI supplement of each
// architecture.
func TestVisible(t *testing.T) {
	m := &image{sections: []section{{}, {flags: shfAlloc}, {}}}
	for _, c := range []struct {
		machine uint16
		s       symbol
		want    bool
	}{
		{62, symbol{name: "f", raw: 1, sec: 1, info: sttFunc}, true},
		{62, symbol{name: "f", raw: 2, sec: 2, info: sttFunc}, false}, // not loaded
		{62, symbol{name: "f", raw: shnUndef}, false},
		{62, symbol{name: "f", raw: shnAbs}, false},
		{62, symbol{name: "f", raw: shnCommon}, false},
		{62, symbol{name: "", raw: 1, sec: 1}, false},
		{62, symbol{name: "f.c", raw: 1, sec: 1, info: sttFile}, false},
		{62, symbol{name: ".text", raw: 1, sec: 1, info: sttSection}, false},
		{62, symbol{name: "$d", raw: 1, sec: 1}, false},
		{emARM, symbol{name: "$a", raw: 1, sec: 1}, false},
		{emARM, symbol{name: "$t.1", raw: 1, sec: 1}, false},
		{emARM, symbol{name: "$add", raw: 1, sec: 1}, false},
		{emAArch64, symbol{name: "$x", raw: 1, sec: 1}, false},
		{emAArch64, symbol{name: "$d.12", raw: 1, sec: 1}, false},
		{emAArch64, symbol{name: "$data", raw: 1, sec: 1}, false},
		{emRISCV, symbol{name: "$x", raw: 1, sec: 1}, false},
		{emRISCV, symbol{name: "$d", raw: 1, sec: 1}, false},
		{emRISCV, symbol{name: "$xrv64i2p1", raw: 1, sec: 1}, false},
		{emRISCV, symbol{name: "$s", raw: 1, sec: 1}, false},
	} {
		m.machine = c.machine
		if got := visible(m, &c.s); got != c.want {
			t.Errorf("machine %d, %+v: %t", c.machine, c.s, got)
		}
	}
}

// TestListed: nm hides the assembler's labels on mips, and on architectures that describe
// differences by pairs of relocations, which keep such labels in objects.
func TestListed(t *testing.T) {
	for _, c := range []struct {
		machine uint16
		name    string
		want    bool
	}{
		{62, ".L1", true}, {62, "", true},
		{emMIPS, ".L1", false}, {emMIPS, "f", true}, {emMIPS, "", true},
		{emRISCV, ".L1", false}, {emRISCV, "f", true}, {emRISCV, "", false},
		{emLoong, ".L1", false}, {emLoong, "f", true}, {emLoong, "", false},
	} {
		m := &image{machine: c.machine}
		if got := listed(m, &symbol{name: c.name}); got != c.want {
			t.Errorf("machine %d, %q: %t", c.machine, c.name, got)
		}
	}
}

// TestAddress: nm prints no Thumb bit and the size of a common symbol, also a small one
// of mips, and a symbol in the symbol table is absolute for nm.
func TestAddress(t *testing.T) {
	m := &image{typ: etRel, sections: []section{
		{}, {typ: 1, flags: shfAlloc | shfExec}, {typ: shtSymtab},
	}}
	for _, c := range []struct {
		machine uint16
		s       symbol
		addr    uint64
		letter  byte
	}{
		{emARM, symbol{value: 0x11, raw: 1, sec: 1, info: sttFunc}, 0x10, 't'},
		{emARM, symbol{value: 0x11, raw: 1, sec: 1, info: sttObject}, 0x11, 't'},
		{emAArch64, symbol{value: 0x11, raw: 1, sec: 1, info: sttFunc}, 0x11, 't'},
		{emMIPS, symbol{value: 4, size: 12, raw: shnMIPSSmallCommon, info: 0x11}, 12, 'c'},
		{emMIPS, symbol{value: 4, size: 12, raw: shnCommon, info: 0x11}, 12, 'C'},
		{62, symbol{value: 3, raw: 2, sec: 2}, 3, 'a'},
	} {
		m.machine = c.machine
		if a, l := nmAddress(m, &c.s), letter(m, &c.s); a != c.addr || l != c.letter {
			t.Errorf("machine %d, %+v: %#x %c", c.machine, c.s, a, l)
		}
	}
}

// TestManySymbols compares objects with so many symbols that their pages are given back on the way.
// It takes less memory than a copy of the symbols would, and damage in any place is noticed.
func TestManySymbols(t *testing.T) {
	need.Tools(t, "as")
	const n = 3*forgetEvery + 100
	var text strings.Builder
	for i := range n {
		if i == n/2 {
			text.WriteString("f:\n")
		}
		fmt.Fprintf(&text, "%x:\n", 0xa00000+i)
	}
	path := filepath.Join(t.TempDir(), "l.o")
	as := exec.Command("as", "-o", path, "-")
	as.Stdin = strings.NewReader(text.String())
	if out, err := as.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := load(t, path)
	object := o.data
	chosen := slices.IndexFunc(o.all(), func(s symbol) bool { return s.name == "f" })
	copied := rewrite(t, object, map[int]string{chosen: "f@a_c_1"})
	open := func(data []byte) *image {
		path := filepath.Join(t.TempDir(), "m.ko")
		write(t, path, data)
		raw, unmap, err := mapFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(unmap)
		m, err := parse(raw, raw)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	aliasOf := func(i int) string {
		if i == chosen {
			return "f@a_c_1"
		}
		return ""
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var p problems
	compare(&p, open(object), open(copied), aliasOf, &Summary{})
	runtime.ReadMemStats(&after)
	if len(p.list) > 0 {
		t.Errorf("%q", p.list)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 32*n {
		t.Errorf("%d bytes for %d symbols", took, n)
	}
	table := int(open(copied).sections[o.symtab].off)
	for _, i := range []int{5, forgetEvery, n / 2, n - 5} {
		edited := slices.Clone(copied)
		edited[table+i*o.symsize()+8] ^= 8 // st_value
		p = problems{}
		compare(&p, open(object), open(edited), aliasOf, &Summary{})
		if len(p.list) == 0 || !strings.Contains(p.list[0], "st_value") {
			t.Errorf("symbol %d is damaged: %q", i, p.list)
		}
	}
}
