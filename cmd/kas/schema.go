package main

import (
	"github.com/spf13/cobra"

	"kas/configs"
	"kas/report"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration, for editors",
		Long: `Print a JSON Schema of the configuration. Editors with the YAML language server
complete and check a file that begins with

  # yaml-language-server: $schema=kas.schema.json

Kas check finds more: what depends on several keys or on files.`,
		Example: "  kas schema >kas.schema.json",
		Args:    argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return asFailure(report.WriteJSON(cmd.OutOrStdout(), configs.Schema()))
		},
	}
}
