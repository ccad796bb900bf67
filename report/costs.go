package report

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
)

// Cost is the number of aliases of a build, and the bytes of kernel memory they take, for one
// choice of names and symbols.
type Cost struct {
	Build     string `json:"build"`
	Names     string `json:"names"`
	Symbols   string `json:"symbols"`
	Own       bool   `json:"configured"` // the choice of the configuration
	InVmlinux int    `json:"aliases_vmlinux"`
	InModules int    `json:"aliases_modules"`
	Kallsyms  int64  `json:"bytes_kallsyms"`
	Modules   int64  `json:"bytes_modules"` // with all modules loaded
}

// Add counts an alias of a symbol, with its length in bytes. In a module an alias is a symbol table
// entry, its name and a byte for its type. In vmlinux's kallsyms, which compresses names, it takes
// about eight bytes and two thirds of its length; docs/registry.md has the measurement.
func (c *Cost) Add(arch string, vmlinux bool, length int) {
	if vmlinux {
		c.InVmlinux++
		c.Kallsyms += int64(8 + (length+1)*2/3)
		return
	}
	entry := 24
	switch arch {
	case "i386", "arm", "mips":
		entry = 16
	}
	c.InModules++
	c.Modules += int64(entry + length + 2)
}

// Costs writes a table of at most 80 columns for each build.
func Costs(w io.Writer, all []Cost) error {
	t := newTable(w)
	for i, c := range all {
		if i == 0 || all[i-1].Build != c.Build {
			if i > 0 {
				fmt.Fprintln(t)
			}
			fmt.Fprintf(t, "%s\tnames\tsymbols\tin vmlinux\tkallsyms\tin modules\tall loaded\t\n",
				c.Build)
		}
		mark := ""
		if c.Own {
			mark = "configured"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", mark, c.Names, c.Symbols,
			comma(c.InVmlinux), humanize.Bytes(uint64(c.Kallsyms)),
			comma(c.InModules), humanize.Bytes(uint64(c.Modules)))
	}
	return t.Flush()
}

// CostsJSON writes the costs for programs.
func CostsJSON(w io.Writer, all []Cost) error { return WriteJSON(w, all) }
