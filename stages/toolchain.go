package stages

import (
	"cmp"
	"strings"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// settleToolchain sets the toolchain and the LTO mode of a build: those of the configuration, else
// those that the objects show. The toolchain is in .comment, or in DW_AT_producer if a linker left
// .comment out.
func settleToolchain(b *pipeline.Build) {
	b.Toolchain, b.LTO = b.Config.Toolchain, b.Config.LTO
	for i := range b.Objects {
		if b.Toolchain == "" {
			b.Toolchain = b.Objects[i].Toolchain
		}
	}
	for i := range b.Objects {
		if o := &b.Objects[i]; b.Toolchain == "" && o.Readable() && !o.NoDebug {
			b.Toolchain, _ = Toolchain(cmp.Or(o.Debug.Path, o.Path))
			break
		}
	}
	if b.LTO == "" {
		b.LTO = detectLTO(b)
	}
}

// Toolchain returns the compiler of the object at path: gcc, llvm, or "" if the object does not
// name it.
func Toolchain(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if t := commentToolchain(f.Comments()); t != "" {
		return t, nil
	}
	d, err := dwarf.New(f)
	if err != nil || d == nil {
		return "", err
	}
	for i := range d.Units() {
		switch producer := d.Units()[i].Producer(); {
		case strings.Contains(producer, "clang version"):
			return "llvm", nil
		case strings.HasPrefix(producer, "GNU C"), strings.HasPrefix(producer, "GNU GIMPLE"):
			return "gcc", nil
		}
	}
	return "", nil
}

// commentToolchain returns the compiler that the strings of .comment name. Linkers leave strings
// there, too; lld's is not that of a compiler.
func commentToolchain(comments []string) string {
	found := ""
	for _, c := range comments {
		switch {
		case strings.Contains(c, "clang version"):
			return "llvm"
		case strings.HasPrefix(c, "GCC:"):
			found = "gcc"
		}
	}
	return found
}
