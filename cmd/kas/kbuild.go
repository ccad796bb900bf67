package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"kas/kbuild"
)

func newKbuild() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kbuild",
		Short: "make aliases an option of a kernel's configuration",
		Long: `A kernel's source tree gets ` + kbuild.Option + `, with which its build gives the
aliases to vmlinux and to the modules, as make NM=kas-nm LD=kas-ld does for a tree
that is not to be changed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKbuildInstall(), newKbuildRemove(), newKbuildObject(), newKbuildFinish())
	return cmd
}

func newKbuildInstall() *cobra.Command {
	return newKbuildChange(kbuild.Install, "has "+kbuild.Option, "install TREE", "add the option to a kernel's source tree",
		`Kas kbuild install adds `+kbuild.Option+` to a source tree, 6.1 or later: an
entry in init/Kconfig, a rule for X.o.kas in scripts/Makefile.modfinal, the hooks
in scripts/link-vmlinux.sh, and what make clean has to remove in Makefile. With
the option off, the tree builds as before, without kas. It writes nothing if one
of these files is not as it is known. To repeat it changes nothing.`)
}

func newKbuildRemove() *cobra.Command {
	return newKbuildChange(kbuild.Remove, "has no "+kbuild.Option, "remove TREE", "restore a source tree as it was before install",
		`Kas kbuild remove takes out what install put in: every file is again what it was,
byte for byte. What was edited meanwhile is told and left alone.`)
}

// newKbuildChange is a command that makes the changes of plan, after which the tree has or has no option.
func newKbuildChange(plan func(string) (kbuild.Changes, error), has, use, short, long string) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeTree(args[0], plan, has, dry, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the changes for patch -p1 and write nothing")
	return cmd
}

// changeTree makes the changes of Install or Remove and says what the tree has then.
func changeTree(tree string, plan func(string) (kbuild.Changes, error), has string, dry bool, stdout io.Writer) error {
	list, err := plan(tree)
	if err != nil {
		return failure{err}
	}
	if dry {
		return list.Diff(stdout)
	}
	if err := list.Write(); err != nil {
		return failure{err}
	}
	version, err := kbuild.KernelVersion(tree)
	if err != nil {
		return failure{err}
	}
	already := " already"
	for _, c := range list {
		already = ""
		fmt.Fprintln(stdout, "changed", c.File)
	}
	_, err = fmt.Fprintf(stdout, "Linux %s in %s %s%s\n", version, tree, has, already)
	return err
}

func newKbuildObject() *cobra.Command {
	return &cobra.Command{
		Use:   "object X.o",
		Short: "make X.o.kas; scripts/Makefile.modfinal does it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return inBuild(func(h kbuild.Hook) error { return kbuild.Object(h, args[0]) })
		},
	}
}

func newKbuildFinish() *cobra.Command {
	return &cobra.Command{
		Use:   "finish X.ko X.o",
		Short: "add the aliases of global symbols to X.ko; scripts/Makefile.modfinal does it",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return inBuild(func(h kbuild.Hook) error { return kbuild.Finish(h, args[0], args[1]) })
		},
	}
}

// inBuild does a part of a kernel's build.
func inBuild(do func(kbuild.Hook) error) error {
	if err := do(kbuild.Hook{Getenv: os.Getenv, Kas: programID}); err != nil {
		return failure{err}
	}
	return nil
}
