package stages

import (
	"strings"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// settleToolchain takes toolchain and LTO mode from the configuration, else from the objects: from .comment, which scan
// has read, or where a link left it out, from the producers in the debugging information of the first object.
func settleToolchain(b *pipeline.Build) {
	b.Toolchain, b.LTO = b.Config.Toolchain, b.Config.LTO
	for i := range b.Objects {
		if b.Toolchain == "" {
			b.Toolchain = b.Objects[i].Toolchain
		}
	}
	for i := range b.Objects {
		if o := &b.Objects[i]; b.Toolchain == "" && o.Readable() && !o.NoDebug {
			b.Toolchain, _ = Toolchain(o.Path)
			break
		}
	}
	if b.LTO == "" {
		b.LTO = detectLTO(b)
	}
}

// Toolchain tells which compiler made the object at path: gcc, llvm, or "" if it does not say.
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

// commentToolchain tells the compiler from the strings of .comment, which compilers and linkers leave; lld's is no
// compiler's.
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
