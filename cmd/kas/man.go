//go:build man

package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Only the program that make man builds has this command: its library is of no use to others.
func init() {
	extra = append(extra, func() *cobra.Command {
		return &cobra.Command{
			Use:    "man DIR",
			Short:  "Write a manual page of each command",
			Hidden: true,
			Args:   cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return writeMan(cmd.Root(), args[0])
			},
		}
	})
}

// indented matches a line of a table or of an example. The library's Markdown wants four spaces.
var indented = regexp.MustCompile(`(?m)^  +\S.*$`)

// writeMan writes the pages, dated SOURCE_DATE_EPOCH: https://reproducible-builds.org/specs.
func writeMan(root *cobra.Command, dir string) error {
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return failure{fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return failure{err}
	}
	date := time.Unix(epoch, 0).UTC()
	root.DisableAutoGenTag = true
	eachCommand(root, func(cmd *cobra.Command) {
		cmd.Long = indented.ReplaceAllString(cmd.Long, "  $0")
		if codes, ok := cmd.Annotations[exitsKey]; ok {
			cmd.Long += "\n\n# EXIT STATUS\n\n" + indented.ReplaceAllString(codes, "  $0")
		}
	})
	return doc.GenManTree(root, &doc.GenManHeader{
		Section: "1", Date: &date, Source: "kas " + release, Manual: "kas",
	}, dir)
}
