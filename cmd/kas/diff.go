package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kas/registry"
	"kas/report"
)

const diffLong = `Compare the kernels of two registries (symbols.kas): two versions, two
toolchains, two architectures. Diff finds each alias of A again in B, and
reports which names became ambiguous. If A and B are the outputs of two runs,
diff compares the builds of the same name, and names those that only one has.
With more than two, the oldest first, it prints since when each name of
functions has been ambiguous. With ALIAS it only translates these:

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
ambiguous because of them. --allow-incomplete compares what is there. A build of
A that B does not have makes it 1, too.`

type diffFlags struct {
	list   bool
	json   bool
	data   bool
	quiet  bool
	failOn []string

	allowIncomplete bool
}

func newDiff() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff A B [C...|ALIAS...]",
		Short: "Compare two kernels: names, and what became of each alias",
		Long:  diffLong,
		Args:  argCount(2, noLimit),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, aliases := splitDiff(args)
			if len(names) == 2 {
				return diff(names[0], names[1], aliases, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if len(aliases) > 0 {
				return fmt.Errorf("%s: aliases are translated from one registry to another, "+
					"and there are %d", aliases[0], len(names))
			}
			return diffSeries(names, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.list, "list", false,
		"print every alias and every changed name, as tab-separated lines")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&f.data, "data", false,
		"list changed names of data, too, not only of functions")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false,
		"print only what --fail-on found")
	cmd.Flags().StringArrayVar(&f.failOn, "fail-on", nil,
		"make the exit code 1 if one of `KINDS` is found (separated by commas); may be repeated")
	cmd.Flags().BoolVar(&f.allowIncomplete, "allow-incomplete", false,
		"with --fail-on: accept registries that lack unreadable objects")
	cmd.MarkFlagsMutuallyExclusive("list", "json", "quiet")
	return cmd
}

func diff(a, b string, aliases []string, f diffFlags, stdout, stderr io.Writer) error {
	rules, err := parseRules(f.failOn)
	if err != nil {
		return fmt.Errorf("--fail-on: %w", err)
	}
	if len(aliases) > 0 && (f.list || f.json || f.quiet || len(rules) > 0) {
		return errors.New(
			"--list, --json, --quiet and --fail-on are for whole kernels: leave out the aliases")
	}
	p, err := pairBuilds(a, b)
	if err != nil {
		return err
	}
	if len(aliases) > 0 && p.several {
		return fmt.Errorf("%s and %s have several builds: name one of each to translate aliases",
			a, b)
	}
	if f.quiet {
		stdout = io.Discard
	}
	out := bufio.NewWriter(stdout)
	if len(aliases) > 0 {
		d, err := compareRegistries(p.pairs[0], stderr)
		if err != nil {
			return err
		}
		err = translateAliases(out, stderr, d, aliases)
		if err := out.Flush(); err != nil {
			return failure{err}
		}
		return err
	}
	result := p.noteUnpaired(a, b, len(rules) > 0, stderr)
	print := diffPrinter{w: out, flags: f, pairs: p}
	for _, pair := range p.pairs {
		d, err := compareRegistries(pair, stderr)
		if err != nil && !p.several {
			return err
		}
		if err != nil {
			fmt.Fprintf(stderr, "kas: %v\n", err)
			result = errReported
			continue
		}
		print.build(pair.build, d)
		if !checkRules(rules, pair.build, d, f.allowIncomplete, stderr) {
			result = errReported
		}
	}
	if err := errors.Join(print.finish(), out.Flush()); err != nil {
		return failure{err}
	}
	return result
}

// diffPrinter prints the comparison of each build in the form that the flags choose.
type diffPrinter struct {
	w     io.Writer
	flags diffFlags
	pairs pairs

	started bool
	all     []diffJSON // for finish
}

func (p *diffPrinter) build(name string, d *registry.Diff) {
	switch {
	case p.flags.json:
		one := newDiffJSON(d, p.flags.data)
		one.Build = name
		p.all = append(p.all, one)
	case p.flags.list:
		printDiffList(p.w, name, d, p.flags.data, !p.started)
	default:
		if p.started {
			fmt.Fprintln(p.w)
		}
		if name != "" {
			fmt.Fprintf(p.w, "build %s\n\n", name)
		}
		printDiffText(p.w, d)
	}
	p.started = true
}

// finish prints what has to come last.
func (p *diffPrinter) finish() error {
	switch {
	case !p.flags.json:
		return nil
	case !p.pairs.several:
		return report.WriteJSON(p.w, p.all[0])
	}
	return report.WriteJSON(p.w, diffsJSON{p.all, p.pairs.onlyA, p.pairs.onlyB})
}

// checkRules reports the rules that the differences break, and whether none is broken.
func checkRules(
	rules []registry.Rule, build string, d *registry.Diff, allowIncomplete bool, stderr io.Writer,
) bool {
	if build != "" {
		build += ": "
	}
	hold := true
	if len(rules) > 0 && !allowIncomplete && (d.A.Incomplete.Objects > 0 ||
		d.B.Incomplete.Objects > 0) {
		fmt.Fprintf(stderr, "kas: %s--fail-on: an incomplete registry proves nothing "+
			"(--allow-incomplete accepts it)\n", build)
		hold = false
	}
	for _, rule := range rules {
		if broken := rule.Broken(d); broken != "" {
			fmt.Fprintf(stderr, "kas: %s%s: %s\n", build, rule, broken)
			hold = false
		}
	}
	return hold
}

// parseRules reads the values of --fail-on.
func parseRules(texts []string) (rules []registry.Rule, err error) {
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			rule, err := registry.ParseRule(part)
			if err != nil {
				return nil, err
			}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// pairs are the builds that diff compares.
type pairs struct {
	several      bool // A and B are outputs of runs
	pairs        []pair
	onlyA, onlyB []string // builds that the other run does not have
}

// pair names the registries of a build in A and in B. The build is "" if A and B are registries.
type pair struct{ build, a, b string }

// pairBuilds returns the pair of two registries, each a file or the folder that holds it, or the
// builds that two outputs have in common.
func pairBuilds(a, b string) (pairs, error) {
	var builds [2]map[string]string
	for i, name := range []*string{&a, &b} {
		inside, found, err := buildsIn(*name)
		if err != nil {
			return pairs{}, err
		}
		if builds[i] = found; found == nil {
			*name = inside
		}
	}
	if builds[0] == nil && builds[1] == nil {
		return pairs{pairs: []pair{{"", a, b}}}, nil
	}
	if builds[0] == nil || builds[1] == nil {
		one, all := a, b
		if builds[0] != nil {
			one, all = b, a
		}
		return pairs{}, fmt.Errorf("%s is one build, and %s has several: name one of them",
			one, all)
	}
	p := pairs{several: true}
	for _, name := range slices.Sorted(maps.Keys(builds[0])) {
		if file := builds[1][name]; file != "" {
			p.pairs = append(p.pairs, pair{name, builds[0][name], file})
		} else {
			p.onlyA = append(p.onlyA, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(builds[1])) {
		if builds[0][name] == "" {
			p.onlyB = append(p.onlyB, name)
		}
	}
	if len(p.pairs) == 0 {
		return p, fmt.Errorf("%s and %s have no build of the same name", a, b)
	}
	return p, nil
}

// noteUnpaired names the builds that only one side has. For a gate, a build that B lacks is an
// error.
func (p *pairs) noteUnpaired(a, b string, gate bool, stderr io.Writer) (err error) {
	for _, name := range p.onlyA {
		fmt.Fprintf(stderr, "kas: %s: only in %s\n", name, a)
		if gate {
			err = errReported
		}
	}
	for _, name := range p.onlyB {
		fmt.Fprintf(stderr, "kas: %s: only in %s\n", name, b)
	}
	return err
}

// compareRegistries opens the registries of a pair and compares them.
func compareRegistries(p pair, stderr io.Writer) (*registry.Diff, error) {
	var open [2]*registry.Registry
	for i, name := range []string{p.a, p.b} {
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
