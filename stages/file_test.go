package stages

import (
	"testing"

	"kas/pipeline"
)

func TestFileSymbol(t *testing.T) {
	for _, c := range []struct {
		object string
		files  []string // the symbol is under the first
		want   string
	}{
		{"drivers/uio/uio.ko", []string{"uio.c", "uio.mod.c"}, "drivers/uio/uio.c"},
		{"kernel/drivers/uio/uio.ko.xz", []string{"uio.c", "uio.mod.c", ".module-common.c"}, "drivers/uio/uio.c"},
		{"lib/zstd/zstd_compress.ko", []string{"zstd_compress.c", "fse_compress.c"}, "zstd_compress.c"}, // it is lib/zstd/compress/zstd_compress.c
		{"drivers/misc/mei/mei.ko", []string{"bus.c"}, "bus.c"},
		{"vmlinux", []string{"card.c"}, "card.c"},
		{"arch/x86/crypto/x.ko", []string{"x.S"}, "arch/x86/crypto/x.S"},
		{"drivers/uio/uio.ko", []string{"ld-temp.o"}, ""},
		{"drivers/uio/uio.ko", []string{""}, ""},
	} {
		o := object(c.object, "f 1 10")
		o.Files = append([]string{""}, c.files...)
		o.Symbols[0].File = 1
		got := fileSymbol(&o, &pipeline.Duplicate{})
		if got.File != c.want || got.Unit != c.want {
			t.Errorf("%s of %v: %+v, want %q", c.object, c.files, got, c.want)
		}
	}
}
