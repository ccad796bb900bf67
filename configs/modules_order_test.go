package configs

import "testing"

// TestPrecedes has files in the order in which depmod chooses them.
func TestPrecedes(t *testing.T) {
	order := []ModuleFile{
		{"updates/dkms/x.ko", "/b/updates/dkms/x.ko"},
		{"dkms/y.ko", "/lib/modules/6.1/updates/dkms/y.ko"},
		{"extra/x.ko", "/b/extra/x.ko"},
		{"drivers/x.ko", "/b/drivers/x.ko"},
		{"kernel/updates/x.ko", "/b/kernel/updates/x.ko"},
		{"drivers/a.ko", "/usr/lib/debug/lib/modules/6.1/kernel/x-y.ko"},
		{"drivers/b.ko", "/usr/lib/debug/lib/modules/6.1/kernel/x_y.ko"},
		{"updatesx/x.ko", "/b/updatesx/x.ko"},
		{"x.ko", "/b/x.ko"},
		{"x.ko", "/c/x.ko"},
		{"weak-updates/x.ko", "/b/weak-updates/x.ko"},
	}
	for i, a := range order {
		for j, b := range order {
			if got := Precedes(a, b); got != (i < j) {
				t.Errorf("%v, %v: %t", a, b, got)
			}
		}
	}
}
