package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kas/kbuild"
)

// hooks stand for tools of a kernel's build. They are called before anything else looks at the arguments: these are the
// tool's, --help among them.
var hooks = map[string]func(kbuild.Hook) (int, error){"nm": kbuild.NM, "ld": kbuild.LD}

// runHook is one call of a hook. It returns only if the hook did not become the real tool.
func runHook(name string, args []string) int {
	status, err := hooks[name](kbuild.Hook{Args: args, Getenv: os.Getenv, Kas: programID})
	if err != nil {
		fmt.Fprintf(os.Stderr, "kas: %s: %v\n", name, err)
		return exitFailed
	}
	return status
}

// newHook is what `kas help` says of a hook; runHook does it.
func newHook(name, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:                name + " [--tool TOOL] [ARGS of the tool]",
		Short:              short,
		Long:               long,
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return nil },
	}
}

const hooksLong = `

TOOL is the real one with its options; by default the one that kbuild takes, by
LLVM and CROSS_COMPILE. KAS=0 in the environment switches the hook off;
KAS_CONFIG names a configuration whose alias: section is the policy. Everything
after --tool TOOL is the tool's, --help too.

  make NM=kas-nm LD=kas-ld

kas-nm and kas-ld are links to kas: some of kbuild's scripts take $(NM) for one
word. NM="kas nm" LD="kas ld" will do where LTO is off.`

func newNM() *cobra.Command {
	return newHook("nm", "stands for $(NM): adds aliases to the list of vmlinux",
		"Kas nm is the real nm, but for the lists of vmlinux from which link-vmlinux.sh\nmakes kallsyms and System.map: each alias stands on a line after its original's."+hooksLong)
}

func newLD() *cobra.Command {
	return newHook("ld", "stands for $(LD): links modules with their aliases",
		"Kas ld is the real ld, but for the final link of a module, X.ko: it is made from\nX.o.kas, the copy of X.o that bears the aliases. The first image whose list kas nm\nis asked for keeps its debugging information."+hooksLong)
}
