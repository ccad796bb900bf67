package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"kas/report"
)

// versionJSON is the version for programs.
type versionJSON struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	Machine string `json:"machine"` // GOOS/GOARCH
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Print the version of kas: a release, or the commit that it was built from.",
		Args:  argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			w := cmd.OutOrStdout()
			if asJSON {
				err = report.WriteJSON(w, versionJSON{
					version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH,
				})
			} else {
				_, err = fmt.Fprintf(w, "kas %s\n", version())
			}
			return asFailure(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
