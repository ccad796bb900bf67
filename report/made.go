package report

import (
	"fmt"
	"io"

	"kas/pipeline"
)

// Made writes one line about a registry that was made: whose it is, what is in it, where it is, and
// the command to try next.
func Made(w io.Writer, b *pipeline.Build, path, next string) error {
	name := b.Release
	if name == "" {
		name = b.Config.Name
	}
	s := &b.Stats
	objects := plural(s.Modules, "module")
	if b.Config.Vmlinux != "" {
		objects = "vmlinux and " + objects
	}
	_, err := fmt.Fprintf(w, "%s: %s symbols of %s, %s aliases: %s; try: %s\n", name,
		comma(s.Symbols), objects, comma(s.Aliases), path, next)
	return err
}
