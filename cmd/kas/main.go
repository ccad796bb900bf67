// Kas gives every duplicate kernel symbol one unique, true, readable name, for many kernel builds at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed      = 1   // some objects failed, or verify found a problem
	exitUsage       = 2   // wrong usage or configuration
	exitInterrupted = 130 // as shells count SIGINT
)

func main() { os.Exit(run(arguments(os.Args), os.Stdout, os.Stderr)) }

// arguments are those of the command. Called as kas-nm or kas-ld it is that hook: kbuild's scripts for LTO take $(NM) for a
// single word.
func arguments(argv []string) []string {
	if name, ok := strings.CutPrefix(filepath.Base(argv[0]), "kas-"); ok && hooks[name] != nil {
		return append([]string{name}, argv[1:]...)
	}
	return argv[1:]
}

// run is the whole tool: arguments in, exit code out.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && hooks[args[0]] != nil {
		return runHook(args[0], args[1:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		// What waits for something else does not see the first. No file has its final name before it is whole.
		time.AfterFunc(5*time.Second, func() { os.Exit(exitInterrupted) })
	})
	defer ended() // before stop, which is no signal
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "kas: interrupted")
		return exitInterrupted
	case errors.Is(err, errReported):
		return exitFailed
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(stderr, "kas:", strings.TrimRight(line, "\n"))
	}
	if failed := new(failure); errors.As(err, failed) {
		return exitFailed
	}
	return exitUsage
}

// errReported ends a command whose problems are on standard error already.
var errReported = errors.New("problems were reported")

// failure is an error of the run itself, not of its usage.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "kas",
		Short: "unique, true names for duplicate kernel symbols",
		Long: `kas gives every duplicate kernel symbol one unique, true, readable name:

  name_show  ->  name_show@drivers_pnp_card_c_186

It reads vmlinux and modules of many builds at once, finds where each duplicate
is declared, and writes copies of the modules and a symbol list of vmlinux that
bear the aliases. The inputs are never changed.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("kas {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee '%s --help'", err, cmd.CommandPath())
	})
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Kernels that are built:", []*cobra.Command{newRun(), newCheck(), newVerify(), newDemo()}},
		{"Their registries:", []*cobra.Command{newLookup(), newProbe(), newModule(), newDiff()}},
		{"Within a kernel's build:", []*cobra.Command{newNM(), newLD(), newKbuild(), newInc()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.title
			root.AddCommand(c)
		}
	}
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80"))
	sayHelp(root)
	return root
}

// sayHelp has each command point to its help when its arguments are not as many as they should be.
func sayHelp(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		sayHelp(c)
		if count := c.Args; count != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				if err := count(cmd, args); err != nil {
					return fmt.Errorf("%w\nsee '%s --help'", err, cmd.CommandPath())
				}
				return nil
			}
		}
	}
}

// version is the module's, or the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v
}
