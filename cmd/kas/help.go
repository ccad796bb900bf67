package main

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// exitCode is a row of a command's table of exit codes: what code n means.
type exitCode struct {
	n    int
	when string
}

// exitCodes has the table of each command, by its path without "kas". exitsText adds the row of an
// interrupted command. TestExitCodes compares the tables with what the scripts in testdata run.
var exitCodes = map[string][]exitCode{
	"": {
		{0, "success"}, {1, "the command found a problem or failed"},
		{2, "wrong usage or configuration"},
	},
	"run": {
		{0, "success"}, {1, "the run failed, or had problems with some objects"},
		{2, "wrong usage or configuration"}, {75, whenAgain},
	},
	"merge": {
		{0, "success"},
		{1, "a build is not there or of another kas or configuration, or had\n" +
			"problems with some objects"},
		{2, "wrong usage or configuration"}, {75, whenAgain},
	},
	"init": {
		{0, "success"}, {1, "the file could not be written"},
		{2, "wrong usage, no kernel found, or the file exists"},
	},
	"check":  {{0, "the configuration is valid"}, {2, "wrong usage or configuration"}},
	"schema": {{0, "success"}, {2, "wrong usage"}},
	"verify": {
		{0, "everything in OUT is proved"}, {1, "something is wrong in OUT"},
		{2, "wrong usage, or OUT is not the output of a finished run"},
	},
	"version": {{0, "success"}, {2, "wrong usage"}},
	"gate": {
		{0, "all rules hold"}, {1, "a rule fails, or a registry is unreadable"},
		{2, "wrong usage or configuration, or OUT is missing"},
	},
	"report": {
		{0, "success"},
		{1, "a folder has no finished run, a registry is damaged, or a write failed"},
		{2, "wrong usage, or a folder is missing"},
	},
	"demo": {
		{0, "success"}, {1, "the run failed"},
		{2, "wrong usage, or DIR is in use for something else"},
	},
	"cache": {{0, "success"}, {1, "the cache is unreadable"}, {2, "wrong usage"}},
	"cache clear": {
		{0, "success"}, {1, "the cache could not be changed"}, {2, "wrong usage"},
	},
	"registry": {
		{0, "success"},
		{1, "the kernel's files are not here, a registry lacks some of them, or a\nwrite failed"},
		{2, "wrong usage, or a file that is named is missing"},
	},
	"registry publish": {
		{0, "success"}, {1, "a registry cannot be published, or a write failed"},
		{2, "wrong usage, or OUT is missing"},
	},
	"lookup": {
		{0, "each PATTERN found something"},
		{1, "a PATTERN found nothing, or a registry is unreadable"}, {2, "wrong usage"},
	},
	"probe": {
		{0, "success"},
		{1, "PATTERN is not one function that can be probed, a check failed,\n" +
			"or the event was not added"},
		{2, "wrong usage"},
	},
	"module": {
		{0, "success"}, {1, "a module or the registry is unreadable, or a write failed"},
		{2, "wrong usage, or a file that it names is missing"},
	},
	"diff": {
		{0, "success"},
		{1, "--fail-on found something, an ALIAS has no translation, or a\nregistry is unreadable"},
		{2, "wrong usage"},
	},
	"matrix": {
		{0, "success"}, {1, "a PATTERN found nothing, or a registry is unreadable"},
		{2, "wrong usage"},
	},
	"nm":     {{0, "success"}, {1, "the hook or TOOL failed"}, {toolsOwn, "other code is TOOL's"}},
	"ld":     {{0, "success"}, {1, "the hook or TOOL failed"}, {toolsOwn, "other code is TOOL's"}},
	"kbuild": {{0, "success"}, {2, "wrong usage"}},
	"kbuild install": {
		{0, "the tree has the option"}, {1, "TREE is not as expected; nothing was written"},
		{2, "wrong usage"},
	},
	"kbuild remove": {
		{0, "the tree has no option"}, {1, "TREE was edited since; nothing was written"},
		{2, "wrong usage"},
	},
	"kbuild registry": {{0, "success"}, {1, "the registry could not be made"}, {2, "wrong usage"}},
	"kbuild object":   {{0, "success"}, {1, "X.o.kas could not be made"}, {2, "wrong usage"}},
	"kbuild finish":   {{0, "success"}, {1, "X.ko could not be finished"}, {2, "wrong usage"}},
	"inc": {
		{0, "success"}, {1, "the header could not be written"},
		{2, "wrong usage, or a file is missing"},
	},
}

// whenAgain is when a command may succeed if it is run again.
const whenAgain = "try again: a disk was full, a file system went away, an input\n" +
	"changed, or another run is writing there"

// toolsOwn stands for the exit codes that a hook passes on from the real tool.
const toolsOwn = -1

// exitsKey is the annotation that holds a command's table as text, for the help template.
const exitsKey = "exit codes"

// finishHelp completes the help of a whole tree of commands: 80 columns, exit codes, and a pointer
// to the help from every error about arguments.
func finishHelp(root *cobra.Command) {
	root.SetHelpCommand(newHelp())
	template := strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 80")
	template += `{{with index .Annotations "` + exitsKey + `"}}` + "\nExit codes:\n{{.}}{{end}}"
	root.SetUsageTemplate(template)
	eachCommand(root, func(cmd *cobra.Command) {
		cmd.Annotations = map[string]string{exitsKey: exitsText(exitCodes[commandKey(cmd)])}
		if count := cmd.Args; count != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if err := count(cmd, args); err != nil {
					return seeHelp(cmd, err)
				}
				return nil
			}
		}
	})
}

// newHelp is cobra's help command, but an unknown topic is an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Long:  "Explain COMMAND, or list all commands.",
		ValidArgsFunction: func(
			cmd *cobra.Command, args []string, toComplete string,
		) (names []string, _ cobra.ShellCompDirective) {
			of, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) == 0 {
				for _, c := range of.Commands() {
					if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), toComplete) {
						names = append(names, c.Name()+"\t"+c.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				err := fmt.Errorf("unknown help topic %q", strings.Join(args, " "))
				if of == cmd.Root() {
					err = didYouMean(of, args[0], err)
				}
				return seeHelp(of, err)
			}
			of.InitDefaultHelpFlag() // the flag --help is in the text, too
			return of.Help()
		},
	}
}

// onlyCommands refuses arguments of a command that has others below it.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return didYouMean(cmd, args[0], err)
	}
	return nil
}

// flagsLike adds the flags to the error about an unknown one whose names are like it.
func flagsLike(cmd *cobra.Command, err error) error {
	unknown := new(pflag.NotExistError)
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	words := &cobra.Command{} // only commands can be compared
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			nothing := func(*cobra.Command, []string) {}
			words.AddCommand(&cobra.Command{Use: "--" + f.Name, Run: nothing})
		}
	})
	return didYouMean(words, "--"+unknown.GetSpecifiedName(), err)
}

// didYouMean adds the commands to err whose names are like the unknown word.
func didYouMean(root *cobra.Command, word string, err error) error {
	root.SuggestionsMinimumDistance = min(2, len(word)/3)
	if like := root.SuggestionsFor(word); len(like) > 0 {
		return fmt.Errorf("%w; did you mean %s?", err, strings.Join(like, " or "))
	}
	return err
}

func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, f)
	}
}

// commandKey names a command in exitCodes.
func commandKey(cmd *cobra.Command) string {
	_, key, _ := strings.Cut(cmd.CommandPath(), " ")
	return key
}

func exitsText(table []exitCode) string {
	var text strings.Builder
	if table[len(table)-1].n != toolsOwn {
		table = append(table[:len(table):len(table)], exitCode{exitInterrupted, "interrupted"})
	}
	for _, c := range table {
		number := fmt.Sprint(c.n)
		if c.n == toolsOwn {
			number = "any"
		}
		fmt.Fprintf(&text, "%5s  %s\n", number, strings.ReplaceAll(c.when, "\n", "\n       "))
	}
	return text.String()
}

// noLimit is argCount's most for a command that takes any number of arguments.
const noLimit = math.MaxInt

// argCount refuses fewer than least arguments and more than most.
func argCount(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch n := len(args); {
		case n >= least && n <= most:
			return nil
		case n == 0:
			return fmt.Errorf("no arguments; usage: %s", cmd.UseLine())
		default:
			return fmt.Errorf("wrong number of arguments (%d); usage: %s", n, cmd.UseLine())
		}
	}
}

func seeHelp(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\nsee '%s --help'", err, cmd.CommandPath())
}
