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
