package configs

import "testing"

// TestPrecedes has files in the order in which depmod chooses them.
func TestPrecedes(t *testing.T) {
	order := []ModuleFile{
		{Name: "updates/dkms/x.ko", Path: "/b/updates/dkms/x.ko"},
		{Name: "dkms/y.ko", Path: "/lib/modules/6.1/updates/dkms/y.ko"},
		{Name: "extra/x.ko", Path: "/b/extra/x.ko"},
		{Name: "drivers/x.ko", Path: "/b/drivers/x.ko"},
		{Name: "kernel/updates/x.ko", Path: "/b/kernel/updates/x.ko"},
		{Name: "drivers/a.ko", Path: "/usr/lib/debug/lib/modules/6.1/kernel/x-y.ko"},
		{Name: "drivers/b.ko", Path: "/usr/lib/debug/lib/modules/6.1/kernel/x_y.ko"},
		{Name: "updatesx/x.ko", Path: "/b/updatesx/x.ko"},
		{Name: "x.ko", Path: "/b/x.ko"},
		{Name: "x.ko", Path: "/c/x.ko"},
		{Name: "weak-updates/x.ko", Path: "/b/weak-updates/x.ko"},
	}
	for i, a := range order {
		for j, b := range order {
			if got := Precedes(a, b); got != (i < j) {
				t.Errorf("%v, %v: %t", a, b, got)
			}
		}
	}
}
