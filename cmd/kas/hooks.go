package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kas/kbuild"
)

// hooks stand in for tools of a kernel's build. They run before anything else looks at the
// arguments, which are the tool's own, even --help.
var hooks = map[string]func(kbuild.Hook) (int, error){"nm": kbuild.NM, "ld": kbuild.LD}

// runHook calls a hook. It returns only if the hook did not become the real tool.
func runHook(name string, args []string) int {
	status, err := hooks[name](kbuild.Hook{Args: args, Getenv: os.Getenv, Kas: programID})
	if err != nil {
		fmt.Fprintf(screened(os.Stderr, true), "kas: %s: %v\n", name, err)
		return exitFailed
	}
	return status
}

// newHook returns the command that `kas help` shows for a hook; runHook runs it.
func newHook(name, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:                   name + " [--tool TOOL] [--registry FILE] [ARGS of the tool]",
		Short:                 short,
		Long:                  long + hooksLong,
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE:                  func(*cobra.Command, []string) error { return nil },
	}
	cmd.Flags().Bool("help", false, "") // --help is the tool's own
	cmd.Flags().MarkHidden("help")
	return cmd
}

const hooksLong = `

TOOL is the real tool with its options. The default is the one that kbuild takes
by LLVM and CROSS_COMPILE. FILE is the registry of the kernel that modules are
built for; KAS_REGISTRY in the environment names it, too, but make does not see
that. Everything after these two goes to the tool, even --help. KAS=0 in the
environment turns the hook off. KAS_CONFIG names a configuration whose alias:
section is the policy. KAS_VMLINUX and KAS_MODULES name the kernel's files with
debugging information, as the flags of kas module do.

  make NM=kas-nm LD=kas-ld

kas-nm and kas-ld are scripts beside kas that run it only for the calls that it
changes. NM="kas nm" LD="kas ld" is slower, and works only where LTO is off: a
script of kbuild takes $(NM) for one word.`

func newNM() *cobra.Command {
	return newHook("nm", "Run nm for kbuild and add aliases to the list of vmlinux",
		`Run the real nm. In the lists of vmlinux from which link-vmlinux.sh makes
kallsyms and System.map, put each alias on the line after its original.`)
}

func newLD() *cobra.Command {
	return newHook("ld", "Run ld for kbuild and link modules with their aliases",
		`Run the real ld. Make the final link of a module, X.ko, from a copy of X.o
that carries the aliases. Keep the debugging information of the first
image whose list kas nm is asked for.`)
}
