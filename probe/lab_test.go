package probe

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/registry"
)

const (
	text    = 0xffffffff81000000
	slide   = 0x25800000
	buildID = "0123456789abcdef"
	release = "6.12.0-test"
)

var header = registry.Header{
	Arch: "x86_64", Release: release, BuildID: buildID, Policy: "separator=@",
}

// function returns a function, without an alias if the alias is "".
func function(name, object, section string, address uint64, alias, file string, line int64,
) registry.Record {
	r := registry.Record{Name: name, Object: object, Section: section, Address: address, Size: 16,
		Type: 't', Alias: alias, File: file, Line: line, Unit: file}
	if alias != "" {
		r.Base, r.Method = name, "subprogram"
	}
	return r
}

// book opens a registry of the records. It counts and numbers them as package stages does.
func book(t *testing.T, h registry.Header, records []registry.Record) *registry.Registry {
	t.Helper()
	names := map[string][]registry.Record{}
	position := map[[2]string]int{}
	for _, r := range records {
		position[[2]string{r.Name, r.Object}]++
		r.Position = position[[2]string{r.Name, r.Object}]
		names[r.Name] = append(names[r.Name], r)
	}
	var lines []byte
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for i := range names[name] {
			names[name][i].Count = len(names[name])
		}
		lines = registry.AppendName(lines, names[name])
	}
	h.Symbols = len(records)
	head := registry.NewHead(h)
	head.Add(lines)
	path := filepath.Join(t.TempDir(), "symbols.kas")
	if err := os.WriteFile(path, append(head.Bytes(), lines...), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := registry.OpenAll([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.CloseAll(all) })
	return all[0]
}

// lab is a kernel with namesakes in vmlinux, in modules, within one module and across sections.
func lab() []registry.Record {
	const drv, solo, lto = "drivers/lab/lab-drv.ko", "drivers/lab/solo.ko", "drivers/lab/lto.ko"
	return []registry.Record{
		{Name: "_text", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		{Name: "_stext", Object: "vmlinux", Section: ".text", Address: text, Type: 'T'},
		{Name: "_etext", Object: "vmlinux", Section: ".text", Address: text + 0x7f0000, Type: 'T'},
		{Name: "_einittext", Object: "vmlinux", Section: ".init.text", Address: text + 0x8f0000,
			Type: 'T'},
		{Name: "percpu_thing", Object: "vmlinux", Section: ".data..percpu", Address: 0x100,
			Type: 'd'},
		function("alone", "vmlinux", ".text", text+0x40, "", "", 0),
		function("name_show", "vmlinux", ".text", text+0x1000, "name_show@a_c_3", "lab/a.c", 3),
		function("name_show", "vmlinux", ".text", text+0x2000, "name_show@b_c_4", "lab/b.c", 4),
		function("name_show", drv, ".text", 0x20, "name_show@drv_c_5", "lab/drv.c", 5),
		{Name: "mixed", Object: "vmlinux", Section: ".data", Address: text + 0x900000, Type: 'd',
			Size: 8},
		function("mixed", "vmlinux", ".text", text+0x3000, "mixed@a_c_9", "lab/a.c", 9),
		function("boot", "vmlinux", ".init.text", text+0x800000, "", "", 0),
		function("bye", "vmlinux", ".exit.text", text+0x900100, "", "", 0),
		function("late_one", "vmlinux", ".text", text+0x4000, "late_one@a_c_7", "lab/a.c", 7),
		function("late_one", solo, ".text", 0, "late_one@solo_c_7", "lab/solo.c", 7),
		function("clone.isra.0", "vmlinux", ".text", text+0x5000, "", "", 0),
		function("header", "vmlinux", ".text", text+0x5100, "header@lab_h_2__a_c", "lab/lab.h", 2),
		function("header", "vmlinux", ".text", text+0x5200, "header@lab_h_2__b_c", "lab/lab.h", 2),
		function("early", drv, ".text", 0x0, "", "", 0),
		function("twin", drv, ".text", 0x40, "twin@one_c_1", "lab/one.c", 1),
		function("between", drv, ".text", 0x60, "", "", 0),
		function("twin", drv, ".text", 0x80, "twin@two_c_1", "lab/two.c", 1),
		function("setup", drv, ".init.text", 0, "", "", 0),
		function("driver_init", drv, ".init.text", 0x20, "", "", 0),
		function("setup", drv, ".text", 0xa0, "", "", 0),
		function("leave", drv, ".exit.text", 0, "", "", 0),
		function("part", lto, ".text.part", 0, "part@one_c_2", "lab/one.c", 2),
		function("part", lto, ".text.part", 0, "part@two_c_2", "lab/two.c", 2),
		function("sole", lto, ".text.sole", 0, "", "", 0),
	}
}

// bases are the addresses at which the kernel of lab has loaded the sections of its modules.
var bases = map[string]uint64{
	"lab_drv.text":      0xffffffffc0000000,
	"lab_drv.exit.text": 0xffffffffc0001000,
	"solo.text":         0xffffffffc0002000,
	"lto.text.part":     0xffffffffc0004000,
	"lto.text.sole":     0xffffffffc0005000,
}

// listing returns /proc/kallsyms of the kernel of the records, with its modules, with its aliases
// and changed by edit if wanted.
func listing(records []registry.Record, modules, aliases bool, edit func([]string) []string,
) string {
	var own, theirs []string
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b registry.Record) int {
		if a.Object == "vmlinux" && b.Object == "vmlinux" && a.Address != b.Address {
			return map[bool]int{true: -1, false: 1}[a.Address < b.Address]
		}
		return 0
	})
	parts := uint64(0)
	for _, r := range sorted {
		names := []string{r.Name}
		if aliases && r.Alias != "" && !r.Late() {
			names = append(names, r.Alias)
		}
		shift := uint64(0)
		if r.Section == ".text.part" {
			shift = parts
		}
		for _, name := range names {
			switch module := r.Module(); {
			case module == "":
				address := r.Address + slide
				if r.Section == ".data..percpu" {
					address = r.Address
				}
				own = append(own, fmt.Sprintf("%016x %c %s", address, r.Type, name))
			case modules && !strings.HasPrefix(r.Section, ".init"):
				address := bases[module+r.Section] + r.Address + shift
				theirs = append(theirs,
					fmt.Sprintf("%016x %c %s\t[%s]", address, r.Type, name, module))
			}
		}
		if r.Section == ".text.part" {
			parts += 0x40 // two sections of one name
		}
	}
	lines := append(append(own, theirs...),
		"ffffffffc0ff0000 t name_show\t[bpf]",
		"ffffffffc0ff1000 t ftrace_trampoline\t[__builtin__ftrace]",
		"ffffffffc0ff2000 t alone\t[__builtin__kprobes]")
	if edit != nil {
		lines = edit(lines)
	}
	return strings.Join(lines, "\n") + "\n"
}

// sysroot makes a folder with proc and sys of a running kernel.
func sysroot(t *testing.T, kallsyms string) string {
	t.Helper()
	id, err := hex.DecodeString(buildID)
	if err != nil {
		t.Fatal(err)
	}
	var notes []byte
	for _, word := range []int{4, len(id), 3} {
		notes = binary.NativeEndian.AppendUint32(notes, uint32(word))
	}
	notes = append(append(notes, "GNU\x00"...), id...)
	root := t.TempDir()
	for path, text := range map[string]string{
		"proc/kallsyms":                    kallsyms,
		"proc/sys/kernel/osrelease":        release + "\n",
		"sys/kernel/notes":                 string(notes),
		"sys/kernel/tracing/kprobe_events": "p:old/one two\n",
	} {
		write(t, filepath.Join(root, path), text)
	}
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func live(t *testing.T, kallsyms string) *Kernel {
	t.Helper()
	k, err := ReadLive(sysroot(t, kallsyms))
	if err != nil {
		t.Fatal(err)
	}
	k.Path = "kallsyms"
	return k
}

func saved(t *testing.T, text string) *Kernel {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saved")
	write(t, path, text)
	k, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k.Path = "saved"
	return k
}

// find does what kas probe does: it chooses the function and finds it in the kernel.
func find(reg *registry.Registry, pattern string, k *Kernel) (*Target, error) {
	from, r, err := Choose([]*registry.Registry{reg}, pattern, "", k)
	if err != nil {
		return nil, err
	}
	return Find(from, r, k)
}

// answer returns WHERE POSITION ADDRESS, or "! " and the error.
func answer(reg *registry.Registry, pattern string, k *Kernel) string {
	t, err := find(reg, pattern, k)
	if err != nil {
		return "! " + err.Error()
	}
	checked := "unchecked"
	if t.Checked != "" {
		checked = fmt.Sprintf("%x", t.Address)
	}
	return fmt.Sprintf("%s %d %s", t.Where(), t.Position, checked)
}

func late(records []registry.Record) []registry.Record {
	for i := range records {
		if records[i].Name == "late_one" {
			records[i].MakeLate()
		}
	}
	return records
}
