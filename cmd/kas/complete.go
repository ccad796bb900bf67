package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/registry"
)

// completer completes arguments, or the value of a flag.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeArguments sets what the shell completes, beyond the names of commands and flags.
func completeArguments(root *cobra.Command) {
	for command, complete := range map[string]completer{
		"run": completeConfig, "check": completeConfig, "verify": completeFolders,
		"report": completeFolders,
		"gate":   completeConfigOut, "merge": completeConfigOut,
		"diff": completeAliases, "matrix": completePatterns,
	} {
		find(root, command).ValidArgsFunction = complete
	}
	for _, f := range []struct {
		command, flag string
		complete      completer
	}{
		{"run", "build", completeBuilds}, {"run", "out", completeFolders},
		{"gate", "old", completeFolders},
		{"gate", "baseline", completeFolders}, {"report", "history", completeFolders},
		{"lookup", "object", completeObjects}, {"probe", "object", completeObjects},
		{"diff", "fail-on", listOf(registry.RuleForms)}, {"matrix", "only", listOf(rowKinds())},
		{"matrix", "format", listOf(matrixFormats)}, {"gate", "format", listOf(gateFormats)},
		{"probe", "format", listOf(probeFormats)},
	} {
		// The error is that of a flag that is not there.
		if err := find(root, f.command).RegisterFlagCompletionFunc(f.flag, f.complete); err != nil {
			panic(err)
		}
	}
}

func find(root *cobra.Command, name string) *cobra.Command {
	cmd, _, err := root.Find([]string{name})
	if err != nil {
		panic(err)
	}
	return cmd
}

// completeConfig completes a YAML file, of which there is at most one.
func completeConfig(
	_ *cobra.Command, args []string, _ string,
) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeConfigOut completes a YAML file and then a folder.
func completeConfigOut(
	cmd *cobra.Command, args []string, word string,
) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeConfig(cmd, args, word)
	}
	return completeFolders(cmd, args, word)
}

func completeFolders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// listOf completes one of some words, or the last of a list with commas.
func listOf(words []string) completer {
	return func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		before := word[:strings.LastIndexByte(word, ',')+1]
		var all []string
		for _, w := range words {
			w, _, globbed := strings.Cut(w, "GLOB")
			if strings.HasPrefix(before+w, word) && !(globbed && w == "") {
				all = append(all, before+w)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

func rowKinds() (kinds []string) {
	for _, kind := range registry.RowKinds {
		kinds = append(kinds, kind[0])
	}
	return kinds
}

// completeBuilds completes the builds of the configuration.
func completeBuilds(
	_ *cobra.Command, args []string, word string,
) (names []string, _ cobra.ShellCompDirective) {
	path, err := configArg(args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	plan, err := configs.LoadSome(path, configs.Choice{Unlisted: true, Optional: true})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, name := range buildNames(plan) {
		if strings.HasPrefix(name, word) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeObjects completes the objects of the registries.
func completeObjects(
	cmd *cobra.Command, _ []string, word string,
) (objects []string, _ cobra.ShellCompDirective) {
	names, err := cmd.Flags().GetStringArray("registry")
	all, openErr := (&finder{root: "/"}).open(cmd.Context(), names, registry.OpenForLookup)
	if err := errors.Join(err, openErr); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer registry.CloseAll(all)
	add := func(object string) {
		if strings.HasPrefix(object, word) {
			objects = append(objects, object)
		}
	}
	add(registry.Vmlinux)
	for _, r := range all {
		for _, m := range r.Modules {
			add(m.Object)
			add(m.Object[strings.LastIndexByte(m.Object, '/')+1:])
		}
	}
	slices.Sort(objects)
	return slices.Compact(objects), cobra.ShellCompDirectiveNoFileComp
}

// completeAliases completes the aliases of A after two registries.
func completeAliases(
	cmd *cobra.Command, args []string, word string,
) ([]string, cobra.ShellCompDirective) {
	if len(args) < 2 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	words, directive := completeIn(cmd, args[:1], word)
	return slices.DeleteFunc(words, func(w string) bool { return !strings.Contains(w, "@") }),
		directive
}

// completePatterns completes the patterns of kas matrix after its registries.
func completePatterns(
	cmd *cobra.Command, args []string, word string,
) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	names, _ := splitMatrix(args)
	words, _ := completeIn(cmd, names, word)
	return words, cobra.ShellCompDirectiveDefault // there may be more registries
}

// completeIn completes names and aliases of some registries.
func completeIn(
	cmd *cobra.Command, names []string, word string,
) (words []string, _ cobra.ShellCompDirective) {
	const most = 500
	all, err := (&finder{root: "/"}).open(cmd.Context(), names, registry.OpenForLookup)
	if err != nil || word == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer registry.CloseAll(all)
	for _, r := range all {
		words = append(words, r.Complete(word, most)...)
	}
	slices.Sort(words)
	return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp
}

// completeSymbols completes names and aliases of the registries that --registry names.
func completeSymbols(
	cmd *cobra.Command, _ []string, word string,
) ([]string, cobra.ShellCompDirective) {
	names, err := cmd.Flags().GetStringArray("registry")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeIn(cmd, names, word)
}
