package stages

import (
	"fmt"
	"io"
	"os"
	"strings"

	"kas/pipeline"
)

// bootImages are the formats of vmlinuz: what is at an offset of the file, by the kernel's
// Documentation/arch.
var bootImages = []struct {
	at    int
	magic string
	name  string
}{
	{0x202, "HdrS", "bzImage"},               // x86/boot.rst
	{4, "zimg", "EFI zboot"},                 // drivers/firmware/efi/libstub/zboot-header.S
	{56, "ARM\x64", "Image"},                 // arm64/booting.rst
	{56, "RSC\x05", "Image"},                 // riscv/boot-image-header.rst
	{0x24, "\x18\x28\x6f\x01", "zImage"},     // arm/booting.rst
	{0, "\x27\x05\x19\x56", "uImage"},        // U-Boot's image.h
	{0, "\x1f\x8b", "compressed boot image"}, // what elf.Open could not read decompressed
}

// notBootImage returns the error of reading vmlinux, or a better one if the file is vmlinuz: the
// kernel as it is booted, which has no symbols.
func notBootImage(o *pipeline.Object, err error) error {
	f, failed := os.Open(o.Path)
	if failed != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 1<<10)
	n, _ := io.ReadFull(f, head)
	for _, i := range bootImages {
		if i.at < n && strings.HasPrefix(string(head[i.at:n]), i.magic) {
			return fmt.Errorf("%w: this is a kernel to boot (%s), without symbols; vmlinux is in "+
				"Debian's linux-image-RELEASE-dbg, in Fedora's kernel-debuginfo, or in the folder "+
				"where the kernel was built", err, i.name)
		}
	}
	return err
}
