package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"kas/kbuild"
	"kas/report"
)

func newKbuild() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kbuild",
		Short: "Make aliases an option of a kernel's configuration",
		Long: `Add ` + kbuild.Option + ` to a kernel's source tree, or take it out again. With
the option on, the kernel's build gives vmlinux and the modules their aliases.
If you cannot change the tree, make NM=kas-nm LD=kas-ld does the same.`,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKbuildInstall(), newKbuildRemove(), newKbuildRegistry(), newKbuildObject(),
		newKbuildFinish())
	return cmd
}

func newKbuildInstall() *cobra.Command {
	return newKbuildChange(kbuild.Install, warnUnproved, "has "+kbuild.Option, "install TREE",
		"Add the option to a kernel's source tree",
		`Add `+kbuild.Option+` to a source tree of Linux 6.1 or later: an entry in
init/Kconfig, a rule for X.o.kas in scripts/Makefile.modfinal, the hooks in
scripts/link-vmlinux.sh, and the files that make clean removes in Makefile. With
the option off, the tree builds as before, without kas. Install writes nothing
if one of these files is not as expected, or if the tree has the option already.
On a version on which the option was not proved it prints a warning.`)
}

func newKbuildRemove() *cobra.Command {
	nothing := func(string, io.Writer) error { return nil }
	return newKbuildChange(kbuild.Remove, nothing, "has no "+kbuild.Option, "remove TREE",
		"Restore a source tree to what it was before install",
		`Take out what install added. Every file is again what it was, byte for byte. If
such a part was edited since, remove reports it and writes nothing.`)
}

// warnUnproved says that the option is not proved on a tree's version, if it is not.
func warnUnproved(tree string, stderr io.Writer) error {
	version, err := kbuild.KernelVersion(tree)
	if why := kbuild.Unproved(version); err == nil && why != "" {
		fmt.Fprintln(stderr, "kas: warning:", why)
	}
	return err
}

// newKbuildChange returns a command that makes the changes of plan. has says what the tree then
// has, and after is called at the end.
func newKbuildChange(
	plan func(string) (kbuild.Changes, error), after func(tree string, stderr io.Writer) error,
	has, use, short, long string,
) *cobra.Command {
	var f treeFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.dry && f.json {
				return errors.New("--json does not go with --dry-run, which prints a patch")
			}
			if err := changeTree(args[0], plan, has, f, cmd.OutOrStdout()); err != nil {
				return err
			}
			return after(args[0], cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.dry, "dry-run", false,
		"print the changes as a patch for patch -p1 and write nothing")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

type treeFlags struct{ dry, json bool }

// changeTree makes the changes of plan, or prints them as a patch.
func changeTree(
	tree string, plan func(string) (kbuild.Changes, error), has string, f treeFlags,
	stdout io.Writer,
) error {
	list, err := plan(tree)
	if err != nil {
		return failure{err}
	}
	if f.dry {
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
	changed := []string{}
	for _, c := range list {
		already = ""
		changed = append(changed, c.File)
	}
	if f.json {
		return asFailure(report.WriteJSON(stdout, struct {
			Version string   `json:"version"`
			Changed []string `json:"changed"`
		}{version, changed}))
	}
	for _, file := range changed {
		fmt.Fprintln(stdout, "changed", file)
	}
	_, err = fmt.Fprintf(stdout, "Linux %s in %s %s%s\n", version, tree, has, already)
	return err
}

func newKbuildRegistry() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "registry [TREE]",
		Short: "Write the registry of a built kernel where packages take it along",
		Long: `Write TREE/include/generated/symbols.kas, the registry of the kernel that was
built in TREE (default: the current folder). Packages of headers take all of
include/generated along, so the hooks and kas module find the registry when they
give out-of-tree modules their aliases. KAS_CONFIG names the configuration that
the kernel was built with. With the option of kas kbuild install, make calls
this.`,
		Example: "  make NM=kas-nm LD=kas-ld && kas kbuild registry",
		Args:    argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tree := append(args, ".")[0]
			return inBuild(func(h kbuild.Hook) error {
				path, symbols, err := kbuild.Registry(h, tree)
				if err != nil {
					return err
				}
				return printRegistry(cmd.OutOrStdout(), path, symbols, json)
			})
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func printRegistry(stdout io.Writer, path string, symbols int, json bool) error {
	if json {
		return report.WriteJSON(stdout, struct {
			Path    string `json:"path"`
			Symbols int    `json:"symbols"`
		}{path, symbols})
	}
	_, err := fmt.Fprintf(stdout, "%s: %d symbols\n", path, symbols)
	return err
}

func newKbuildObject() *cobra.Command {
	return &cobra.Command{
		Use:   "object X.o",
		Short: "Make X.o.kas (for scripts/Makefile.modfinal)",
		Long: `Make X.o.kas, the copy of X.o that carries the aliases. The rule that install
adds to scripts/Makefile.modfinal calls this.`,
		Args: argCount(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			return inBuild(func(h kbuild.Hook) error { return kbuild.Object(h, args[0]) })
		},
	}
}

func newKbuildFinish() *cobra.Command {
	return &cobra.Command{
		Use:   "finish X.ko X.o",
		Short: "Add aliases of globals to X.ko (for scripts/Makefile.modfinal)",
		Long: `Add the aliases of global symbols of X.o to X.ko. The rule that install adds to
scripts/Makefile.modfinal calls this.`,
		Args: argCount(2, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			return inBuild(func(h kbuild.Hook) error { return kbuild.Finish(h, args[0], args[1]) })
		},
	}
}

// inBuild runs a step of a kernel's build.
func inBuild(do func(kbuild.Hook) error) error {
	if err := do(kbuild.Hook{Getenv: os.Getenv, Kas: programID}); err != nil {
		return failure{err}
	}
	return nil
}
