package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// Cost is what the aliases of a build would take by one choice of symbols; bytes are those of the running kernel's memory.
type Cost struct {
	Build     string `json:"build"`
	Names     string `json:"names"`
	Symbols   string `json:"symbols"`
	Own       bool   `json:"configured"` // the configuration's choice
	InVmlinux int    `json:"aliases_vmlinux"`
	InModules int    `json:"aliases_modules"`
	Kallsyms  int64  `json:"bytes_kallsyms"`
	Modules   int64  `json:"bytes_modules"` // if all were loaded
}

// Costs writes them as a table of 80 columns, a part for each build.
func Costs(w io.Writer, all []Cost) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, c := range all {
		if i == 0 || all[i-1].Build != c.Build {
			if i > 0 {
				fmt.Fprintln(t)
			}
			fmt.Fprintf(t, "%s\tnames\tsymbols\tin vmlinux\tkallsyms\tin modules\tall loaded\t\n", c.Build)
		}
		mark := ""
		if c.Own {
			mark = "configured"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", mark, c.Names, c.Symbols, comma(c.InVmlinux), humanize.Bytes(uint64(c.Kallsyms)),
			comma(c.InModules), humanize.Bytes(uint64(c.Modules)))
	}
	return t.Flush()
}

// CostsJSON writes them for programs.
func CostsJSON(w io.Writer, all []Cost) error { return WriteJSON(w, all) }
