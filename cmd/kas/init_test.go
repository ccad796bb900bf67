package main

import "testing"

// TestPackagedKernels groups packages by the names that distributions give them.
func TestPackagedKernels(t *testing.T) {
	for _, c := range []struct{ file, name string }{
		{"p/linux-image-6.1.0-56-cloud-amd64-dbg_6.1.192-2_amd64.deb", "6.1.0-56-cloud-amd64"},
		{"linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb", "6.1.0-56-cloud-amd64"},
		{"linux-image-unsigned-6.8.0-31-generic-dbgsym_6.8.0-31.31_amd64.ddeb", "6.8.0-31-generic"},
		{"linux-modules-6.8.0-31-generic_6.8.0-31.31_amd64.deb", "6.8.0-31-generic"},
		{"kernel-debuginfo-6.8.5-301.fc40.x86_64.rpm", "6.8.5-301.fc40.x86_64"},
		{"kernel-core-6.8.5-301.fc40.x86_64.rpm", "6.8.5-301.fc40.x86_64"},
		{"kernel.rpm", "kernel.rpm"},
	} {
		got := packagedKernels([]string{c.file, c.file})
		if len(got) != 1 || got[0].name != c.name || len(got[0].packages) != 2 {
			t.Errorf("%s: %+v", c.file, got)
		}
	}
}
