package probe

import (
	"encoding/binary"
	"encoding/hex"
	"path/filepath"
	"strings"
	"testing"

	"kas/registry"
)

// TestFindIncomplete has a registry that lacks an object, which may share any name. Only the
// running kernel shows that it does not.
func TestFindIncomplete(t *testing.T) {
	records := late(lab())
	h := header
	h.Incomplete = registry.Missing([]string{"drivers/lab/damaged.ko"})
	reg := book(t, h, records)
	running := live(t, listing(records, true, false, nil))
	file := saved(t, listing(records, true, false, nil))
	const uncertain = "! bpftrace finds functions only by name, and the registry is incomplete"
	for _, c := range []struct {
		what, pattern   string
		k               *Kernel
		where, bpftrace string
	}{
		{"no kernel", "alone", nil, "_text+0x40", uncertain},
		{"a file", "alone", file, "_text+0x40", uncertain},
		{"the running kernel", "alone", running, "alone", "kprobe:alone"},
		{"module, no kernel", "between", nil, "lab_drv:between", "kprobe:lab_drv:between, "},
		{"module, the running kernel", "between", running, "lab_drv:between", "kprobe:between"},
		{"not unique anyway", "name_show@a_c_3", running, "_text+0x1000",
			"! bpftrace finds functions only by name, and others have this one"},
	} {
		target, err := find(reg, c.pattern, c.k)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		point := bpftrace(target, Naming{})
		if target.Where() != c.where || !strings.HasPrefix(point, c.bpftrace) {
			t.Errorf("%s: %s, %s; want %s, %s", c.what, target.Where(), point, c.where, c.bpftrace)
		}
	}
}

// TestModuleBuildID has a loaded module with the build ID of the registry, with another one, and
// without one.
func TestModuleBuildID(t *testing.T) {
	records := late(lab())
	h := header
	h.Modules = []registry.Module{
		{Object: "drivers/lab/lab-drv.ko", Name: "lab_drv", BuildID: "0123456789abcdef"},
		{Object: "drivers/lab/solo.ko", Name: "solo"},
	}
	reg := book(t, h, records)
	for _, c := range []struct{ pattern, module, id, want string }{
		{"name_show@drv_c_5", "lab_drv", "", "lab_drv:name_show 0 ffffffffc0000020"},
		{"name_show@drv_c_5", "lab_drv", "0123456789abcdef", "lab_drv:name_show 0 ffffffffc0000020"},
		{"name_show@drv_c_5", "lab_drv", "fedc", "! module lab_drv has build ID fedc, " +
			"drivers/lab/lab-drv.ko in the registry has 0123456789abcdef: " +
			"not the same build of the module"},
		{"late_one@solo_c_7", "solo", "fedc", "solo:late_one 0 ffffffffc0002000"},
	} {
		k := live(t, listing(records, true, false, nil))
		if id, err := hex.DecodeString(c.id); err != nil {
			t.Fatal(err)
		} else if c.id != "" {
			note := []uint32{4, uint32(len(id)), 3}
			text, err := binary.Append(nil, binary.NativeEndian, note)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(k.root, "sys/module", c.module, "notes/.note.gnu.build-id"),
				string(text)+"GNU\x00"+string(id))
		}
		if got := answer(reg, c.pattern, k); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.pattern, c.id, got, c.want)
		}
	}
}

// TestRenamedModule has a module whose name in the kernel is not that of its file.
func TestRenamedModule(t *testing.T) {
	h := header
	h.Modules = []registry.Module{{Object: "drivers/lab/lab-drv.ko", Name: "other"}}
	reg := book(t, h, lab())
	const want = "other:name_show 0 unchecked"
	if got := answer(reg, "name_show@drv_c_5", nil); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
