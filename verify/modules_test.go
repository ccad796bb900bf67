package verify

import (
	"debug/elf"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"
)

// sections returns an object with these sections.
func (l layoutOf) sections(t *testing.T, typ elf.SectionType, data map[string][]byte) *image {
	t.Helper()
	all := []sectionSpec{{}}
	for name, b := range data {
		all = append(all, sectionSpec{elf.SectionHeader{Name: name, Type: typ}, b})
	}
	names := sectionSpec{elf.SectionHeader{Name: ".shstrtab", Type: elf.SHT_STRTAB}, nil}
	m, err := parse(l.link(elf.ET_REL, append(all, names)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestModuleName reads the names of modules of each layout.
func TestModuleName(t *testing.T) {
	for _, l := range layouts {
		struct64 := append(make([]byte, 24), "from_struct\x00"...)
		this := append(struct64, make([]byte, 56)...)
		if !l.is64 {
			this = append(this[12:], 0)
		}
		info := []byte("license=GPL\x00name=from_info\x00")
		for want, sections := range map[string]map[string][]byte{
			"":            {},
			"from_info":   {".gnu.linkonce.this_module": this, ".modinfo": info},
			"from_struct": {".gnu.linkonce.this_module": this, ".modinfo": info[:12]},
		} {
			m := l.sections(t, elf.SHT_PROGBITS, sections)
			if got := m.moduleName(); got != want {
				t.Errorf("%s: %q, want %q", l.name, got, want)
			}
		}
	}
}

// TestBuildID reads a build ID that follows another note.
func TestBuildID(t *testing.T) {
	for _, l := range layouts {
		notes := func(order binary.AppendByteOrder) []byte {
			var b []byte
			b = order.AppendUint32(b, 6)
			b = order.AppendUint32(b, 1)
			b = order.AppendUint32(b, 1)
			b = append(b, "Linux\x00\x00\x00\x01\x00\x00\x00"...)
			b = order.AppendUint32(b, 4)
			b = order.AppendUint32(b, 3)
			b = order.AppendUint32(b, 3)
			return append(b, "GNU\x00\xab\xcd\x0f\x00"...)
		}
		data := notes(binary.LittleEndian)
		if l.order.Uint32([]byte{1, 0, 0, 0}) != 1 {
			data = notes(binary.BigEndian)
		}
		for n, want := range map[int]string{len(data): "abcd0f", len(data) - 2: "", 30: "", 0: ""} {
			m := l.sections(t, elf.SHT_NOTE, map[string][]byte{".note.gnu.build-id": data[:n]})
			if got := m.buildID(); got != want {
				t.Errorf("%s, %d bytes: %q, want %q", l.name, n, got, want)
			}
		}
	}
}

// TestLeftOut has two files of module a.
func TestLeftOut(t *testing.T) {
	e := emit(t, layouts[0], false)
	add := func(name string) {
		file := filepath.Join(filepath.Dir(e.Dir), "in", name)
		write(t, file, layouts[0].object(elf.ET_REL, members()[1].symbols))
		e.Modules = append(e.Modules, Module{name, file})
	}
	for _, c := range []struct {
		name string
		out  LeftOut
		want string
	}{
		{"weak-updates/a.ko", LeftOut{"weak-updates/a.ko", "a", "drivers/a.ko"}, ""},
		{"weak-updates/a.ko", LeftOut{"weak-updates/a.ko", "b", "drivers/a.ko"},
			`was left out as module "b", but is "a"`},
		{"weak-updates/a.ko", LeftOut{}, "are both module a"},
		{"updates/a.ko", LeftOut{"updates/a.ko", "a", "drivers/a.ko"},
			"was left out, but depmod prefers it to drivers/a.ko"},
		{"weak-updates/a.ko", LeftOut{"weak-updates/a.ko", "a", "drivers/c.ko"},
			`was left out as another file of "drivers/c.ko", which is not module a`},
		{"weak-updates/b-b.ko", LeftOut{"weak-updates/b-b.ko", "b_b", "drivers/a.ko"},
			`was left out as another file of "drivers/a.ko", which is not module b_b`},
		{"weak-updates/a.ko", LeftOut{"x.ko", "a", "drivers/a.ko"},
			`no object "x.ko" that could be left out`},
	} {
		modules := e.Modules
		e.LeftOut = nil
		if c.out.Object != "" {
			e.LeftOut = []LeftOut{c.out}
		}
		add(c.name)
		e.record(t)
		sum, problems := verify(t, e.Target)
		if c.want == "" && (problems != "" || sum.LeftOut != 1) ||
			!strings.Contains(problems, c.want) {
			t.Errorf("%s: %+v\n%s", c.name, sum, problems)
		}
		e.Modules = modules
	}
}
