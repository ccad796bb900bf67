package stages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kas/pipeline"
)

// TestBootImage: the error about a vmlinuz says what it is and where vmlinux is. The headers are
// those that the kernel's documentation describes.
func TestBootImage(t *testing.T) {
	for want, header := range map[string]string{
		"bzImage":   "MZ" + strings.Repeat("\x00", 0x200) + "HdrS\x0f\x02",
		"Image":     "MZ\x00\x91" + strings.Repeat("\x00", 52) + "ARM\x64",
		"EFI zboot": "MZ\x00\x00zimg",
		"":          "text",
	} {
		o := pipeline.Object{Vmlinux: true, Path: filepath.Join(t.TempDir(), "vmlinuz")}
		data := header + strings.Repeat("\x00", 2048)
		if err := os.WriteFile(o.Path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		err := scanObject(&pipeline.Build{}, &o)
		if err == nil || !strings.HasPrefix(err.Error(), "not an ELF file (offset 0x0)") ||
			strings.Contains(err.Error(), "a kernel to boot ("+want+"), ") != (want != "") {
			t.Errorf("%s: %v", want, err)
		}
	}
}
