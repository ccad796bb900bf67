// Kas gives every duplicate kernel symbol one unique, true, readable name, for many builds at once.
package main

import (
	"cmp"
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

	"kas/elf"
	"kas/pipeline"
)

// Exit codes. What they mean to each command is in its help.
const (
	exitFailed      = 1   // a problem was reported, or the command failed
	exitUsage       = 2   // wrong usage or configuration
	exitTryAgain    = 75  // what failed may work later: EX_TEMPFAIL of sysexits.h
	exitInterrupted = 130 // as shells count SIGINT
)

func main() { os.Exit(run(arguments(os.Args), os.Stdout, os.Stderr)) }

// arguments returns the command's arguments. A link named kas-nm or kas-ld is that hook, as the
// scripts of these names are.
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
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // else under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	disarm := context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		// A blocked system call does not see the first signal. Ending here leaves no partial file:
		// a file gets its final name only when it is whole.
		time.AfterFunc(5*time.Second, func() { os.Exit(exitInterrupted) })
	})
	defer disarm() // must run before stop, which also cancels ctx
	out := &checked{Writer: screened(stdout, false)}
	stderr = screened(stderr, true)
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = out.err // help and the version do not report it
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "kas: interrupted")
		return exitInterrupted
	case !errors.Is(err, errReported):
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(stderr, "kas:", strings.TrimRight(line, "\n"))
		}
	}
	if out.err != nil {
		return exitFailed // the files that the command wrote are as they should be
	}
	return exitOf(err)
}

// exitOf returns the exit code of a command that ended with an error.
func exitOf(err error) int {
	failed := new(failure)
	switch {
	case tryAgain(err):
		return exitTryAgain
	case errors.Is(err, errReported), errors.As(err, failed):
		return exitFailed
	}
	return exitUsage
}

// tryAgain reports whether what failed may work later with the same files and configuration: a disk
// was full, a file system went away, or an input changed while it was read.
func tryAgain(err error) bool {
	for _, cause := range []error{
		syscall.EIO, syscall.ESTALE, syscall.ENOTCONN, syscall.ECONNABORTED, syscall.ETIMEDOUT,
		syscall.EHOSTDOWN, syscall.ENOSPC, syscall.EDQUOT,
		elf.ErrShrank, pipeline.ErrChanged, pipeline.ErrLocked, errOutage,
		errNoModules,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// checked remembers the first error of a writer.
type checked struct {
	io.Writer
	err error
}

func (c *checked) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.err = cmp.Or(c.err, err)
	return n, err
}

// errReported ends a command that has reported its problems on standard error already.
var errReported = errors.New("problems were reported")

// failure is an error of the command's work, not of its usage.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// extra has the commands of programs that are built with a tag.
var extra []func() *cobra.Command

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "kas",
		Short: "Give duplicate kernel symbols unique, true names",
		Long: `Give every duplicate kernel symbol one unique, true, readable name:

  name_show  ->  name_show@drivers_pnp_card_c_186

Kas reads vmlinux and the modules of many builds at once and finds where the
source declares each duplicate. It writes copies of the modules, and a symbol
list of vmlinux, that carry the aliases. It never changes its inputs.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          onlyCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("kas {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return seeHelp(cmd, flagsLike(cmd, err))
	})
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Alias kernels:", []*cobra.Command{
			newInit(), newCheck(), newSchema(), newRun(), newMerge(), newVerify(), newGate(),
			newReport(), newDemo(), newCache(),
		}},
		{"Use registries:", []*cobra.Command{
			newRegistry(), newLookup(), newProbe(), newModule(), newDiff(), newMatrix(),
		}},
		{"Work in a kernel's build:", []*cobra.Command{newNM(), newLD(), newKbuild(), newInc()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.title
			root.AddCommand(c)
		}
	}
	root.AddCommand(newVersion())
	completeArguments(root)
	finishHelp(root)
	for _, newCommand := range extra {
		root.AddCommand(newCommand())
	}
	return root
}

// release is the version of the next release, or of this one: https://semver.org.
const release = "0.2.0"

// commit is what the program was built from, and made with changes to it if it ends with "+". The
// Makefile sets it.
var commit string

// version returns the release and, if it is known, the commit.
func version() string {
	from := commit
	if info, ok := debug.ReadBuildInfo(); ok && from == "" {
		set := map[string]string{}
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
		from = set["vcs.revision"][:min(12, len(set["vcs.revision"]))]
		if set["vcs.modified"] == "true" {
			from += "+"
		}
	}
	if from == "" {
		return release
	}
	return release + " (" + from + ")"
}
