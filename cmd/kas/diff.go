package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kas/registry"
)

const diffLong = `Compare the kernels of two registries (symbols.kas): two versions, two
toolchains, two architectures. Diff finds each alias of A again in B, and
reports which names became ambiguous. With ALIAS it only translates these:

  ALIAS_IN_A<TAB>NAME_OR_ALIAS_IN_B<TAB>KIND

Kinds of an alias:
  same        it names the same function in B
  line        the function is at another line
  spelling    same location; another policy or ordinal spells it
  suffix      the symbol's own name has another suffix or, in Rust, another hash
  unit        another unit compiles the same file
  file        the function is declared in another file
  unique      its name is unique in B, and is the translation
  unaliased   the function is in B and has no alias
  gone        the function is not in B: removed, inlined, or another clone
  undecided   it may be one of several: kas lists them and does not guess
  reused      the same alias names ANOTHER function in B
  new         an alias of B without a counterpart in A

Kinds of a name, without its LTO suffix: became-ambiguous (one symbol in A,
several in B), became-unique, appeared, vanished; more, fewer (symbols of a name
that is ambiguous in both).

--fail-on makes the exit code 1 if
  growth           more names with aliases are ambiguous in B than in A
  ambiguous        the name of a function became ambiguous
  ambiguous:GLOB   a name is ambiguous in B, and was not in A
  vanished:GLOB    a name vanished
  moved            an alias of A does not hold in B
  reused           an alias of A names another symbol in B
  undecided        an alias of A cannot be followed to B
or if a registry lacks objects that the run could not read, since a name may be
ambiguous because of them. --allow-incomplete compares what is there.`

type diffFlags struct {
	list   bool
	json   bool
	failOn []string

	allowIncomplete bool
}

func newDiff() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff A B [ALIAS...]",
		Short: "Compare two kernels: names, and what became of each alias",
		Long:  diffLong,
		Args:  argCount(2, noLimit),
		RunE: func(cmd *cobra.Command, args []string) error {
			return diff(args[0], args[1], args[2:], f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.list, "list", false,
		"print every alias and every changed name, as tab-separated lines")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().StringArrayVar(&f.failOn, "fail-on", nil,
		"make the exit code 1 if one of `KINDS` is found (separated by commas); may be repeated")
	cmd.Flags().BoolVar(&f.allowIncomplete, "allow-incomplete", false,
		"with --fail-on: accept registries that lack unreadable objects")
	cmd.MarkFlagsMutuallyExclusive("list", "json")
	return cmd
}

func diff(a, b string, aliases []string, f diffFlags, stdout, stderr io.Writer) error {
	rules, err := parseRules(f.failOn)
	if err != nil {
		return err
	}
	if len(aliases) > 0 && (f.list || f.json || len(rules) > 0) {
		return errors.New(
			"--list, --json and --fail-on are for whole kernels: leave out the aliases")
	}
	d, err := compareRegistries(a, b, stderr)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	if len(aliases) > 0 {
		err = translateAliases(out, stderr, d, aliases)
	} else {
		switch {
		case f.list:
			printDiffList(out, d)
		case f.json:
			err = printDiffJSON(out, d)
		default:
			printDiffText(out, d)
		}
		if err != nil {
			return failure{err}
		}
		if len(rules) > 0 && !f.allowIncomplete && (d.A.Incomplete.Objects > 0 ||
			d.B.Incomplete.Objects > 0) {
			fmt.Fprintln(stderr, "kas: --fail-on: an incomplete registry proves nothing "+
				"(--allow-incomplete accepts it)")
			err = errReported
		}
		for _, rule := range rules {
			if broken := rule.Broken(d); broken != "" {
				fmt.Fprintf(stderr, "kas: %s: %s\n", rule, broken)
				err = errReported
			}
		}
	}
	if err := out.Flush(); err != nil {
		return failure{err}
	}
	return err
}

// parseRules reads the values of --fail-on.
func parseRules(texts []string) (rules []registry.Rule, err error) {
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			rule, err := registry.ParseRule(part)
			if err != nil {
				return nil, fmt.Errorf("--fail-on: %w", err)
			}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// compareRegistries opens two registries, each a file or the folder that holds it.
func compareRegistries(a, b string, stderr io.Writer) (*registry.Diff, error) {
	var open [2]*registry.Registry
	for i, name := range []string{a, b} {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			inside := registry.InFolder(name)
			if inside == "" {
				return nil, fmt.Errorf("%s: no %s in this folder", name, registry.FileName)
			}
			name = inside
		}
		all, err := registry.OpenAll([]string{name})
		if err != nil {
			return nil, failure{err}
		}
		defer registry.CloseAll(all)
		open[i] = all[0]
	}
	warnIncomplete(stderr, open[:])
	return registry.Compare(open[0], open[1]), nil
}

// translateAliases prints what B calls the symbols that have these aliases in A.
func translateAliases(stdout, stderr io.Writer, d *registry.Diff, aliases []string) (err error) {
	for _, alias := range aliases {
		t, ok := d.Translate(alias)
		if !ok {
			fmt.Fprintf(stdout, "%s\t\tunknown\n", alias)
			fmt.Fprintf(stderr, "kas: %s: A has no such alias\n", alias)
			err = errReported
			continue
		}
		fmt.Fprintf(stdout, "%s\t%s\t%s\n", alias, t.To, t.Kind)
		if t.Kind == registry.KindReused {
			fmt.Fprintf(stderr, "kas: %s: names another symbol in B: %s\n", alias,
				whereabouts(t.ReusedBy))
		}
		if len(t.Candidates) > 0 {
			fmt.Fprintf(stderr, "kas: %s: may be %s\n", alias, whereabouts(t.Candidates))
		}
		if t.To == "" {
			err = errReported
		}
	}
	return err
}

func whereabouts(records []registry.Record) string {
	var all []string
	for i := range records {
		all = append(all, cmp.Or(records[i].Alias, records[i].Name)+" in "+records[i].Object)
	}
	return strings.Join(all, ", ")
}
