package main

import (
	"github.com/spf13/cobra"
)

func newDemo() *cobra.Command {
	return &cobra.Command{Use: "demo [DIR]", Short: "run the pipeline on a miniature build matrix that comes with kas"}
}
