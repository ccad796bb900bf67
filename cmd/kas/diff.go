package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kas/registry"
	"kas/report"
)

const diffLong = `Kas diff compares the kernels of two registries (symbols.kas): two versions, two
toolchains, two architectures. It finds each alias of A again in B, and tells
which names became ambiguous. With ALIAS it translates these alone:

  ALIAS_IN_A<TAB>NAME_OR_ALIAS_IN_B<TAB>KIND

Of an alias:
  same        it names the same function in B
  line        the function stands at another line
  spelling    it stands where it did; another policy or ordinal spells it
  suffix      the symbol's own name has another suffix
  unit        another unit compiles the same file
  file        the function is declared in another file
  unique      its name is unique in B: that is the translation
  unaliased   it is there, and has no alias
  gone        it is not there: removed, inlined, or another clone of it
  undecided   it may be one of several: kas names them and does not guess
  reused      the same alias names ANOTHER function in B
  new         an alias of B without a counterpart among those of A

Of a name, without its suffix of LTO: became-ambiguous (one symbol carried it in
A, several do in B), became-unique, appeared, vanished; more, fewer (symbols of
a name that is ambiguous in both).

--fail-on ends with exit code 1 if
  growth           more names with aliases are ambiguous in B than in A
  ambiguous        the name of a function became ambiguous
  ambiguous:GLOB   a name is ambiguous in B, and was not in A
  vanished:GLOB    a name vanished
  moved            an alias of A does not hold in B
  reused           an alias of A names another symbol in B
  undecided        an alias of A cannot be followed to B`

type diffFlags struct {
	list   bool
	json   bool
	failOn []string
}

func newDiff() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff A B [ALIAS...]",
		Short: "compare two kernels: ambiguous names, what became of each alias",
		Long:  diffLong,
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return diff(args[0], args[1], args[2:], f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.list, "list", false, "print every alias, and every name that changed, as tab-separated lines")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().StringArrayVar(&f.failOn, "fail-on", nil, "end with exit code 1 if one of these `KINDS` is found, separated by commas; may be repeated")
	cmd.MarkFlagsMutuallyExclusive("list", "json")
	return cmd
}

func diff(a, b string, aliases []string, f diffFlags, stdout, stderr io.Writer) error {
	var rules []registry.Rule
	for _, text := range f.failOn {
		for part := range strings.SplitSeq(text, ",") {
			rule, err := registry.ParseRule(part)
			if err != nil {
				return fmt.Errorf("--fail-on: %w", err)
			}
			rules = append(rules, rule)
		}
	}
	if len(aliases) > 0 && (f.list || f.json || len(rules) > 0) {
		return errors.New("--list, --json and --fail-on are for the whole: leave out the aliases")
	}
	d, err := compareRegistries(a, b)
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

// compareRegistries opens two registries, each a file or the folder that holds it.
func compareRegistries(a, b string) (*registry.Diff, error) {
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
	return registry.Compare(open[0], open[1]), nil
}

// translateAliases prints what B calls the symbols of aliases of A.
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
			fmt.Fprintf(stderr, "kas: %s: names another symbol in B: %s\n", alias, whereabouts(t.ReusedBy))
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

// diffMeaning is what the table says beside the number of a kind.
var diffMeaning = map[registry.Kind]string{
	registry.KindSame:      "names the same function",
	registry.KindLine:      "the function stands at another line",
	registry.KindSpelling:  "the same place is spelled in another way",
	registry.KindSuffix:    "the symbol has another suffix",
	registry.KindUnit:      "another unit compiles the file",
	registry.KindFile:      "the function is declared in another file",
	registry.KindUnique:    "its name is unique in B",
	registry.KindUnaliased: "has no alias in B",
	registry.KindGone:      "is not in B",
	registry.KindUndecided: "may be one of several, or none",
	registry.KindReused:    "names ANOTHER symbol in B",

	registry.KindBecameAmbiguous: "became ambiguous",
	registry.KindBecameUnique:    "became unique",
	registry.KindAppeared:        "appeared",
	registry.KindVanished:        "vanished",
	registry.KindMore:            "ambiguous, of more symbols",
	registry.KindFewer:           "ambiguous, of fewer symbols",
}

// printDiffText is at most 80 columns wide where names allow it.
func printDiffText(w io.Writer, d *registry.Diff) {
	printSides(w, d)

	fmt.Fprintf(w, "\n%9s  %s\n", "aliases", "of A, in B")
	for _, kind := range registry.AliasKinds {
		if n := d.Count(kind); n > 0 && kind != registry.KindNew {
			fmt.Fprintf(w, "%9d  %-11s%s\n", n, kind, diffMeaning[kind])
		}
	}
	fmt.Fprintf(w, "%9d  in all; %d hold as they are\n", d.A.Aliases, d.Held())
	fmt.Fprintf(w, "%9d  of B are new, of %d\n", d.Count(registry.KindNew), d.B.Aliases)

	fmt.Fprintf(w, "\n%9s%11s\n", "names", "functions")
	for _, kind := range registry.NameKinds {
		all, code := 0, 0
		for _, n := range d.Names {
			if n.Kind == kind {
				all++
				if n.Code {
					code++
				}
			}
		}
		fmt.Fprintf(w, "%9d%11d  %s\n", all, code, diffMeaning[kind])
	}
	fmt.Fprintf(w, "%9s%11d  with aliases are ambiguous in A, %d in B\n", "", d.A.Ambiguous, d.B.Ambiguous)

	for _, kind := range []registry.Kind{registry.KindBecameAmbiguous, registry.KindBecameUnique} {
		var lines []string
		for _, n := range d.Names {
			if n.Kind == kind && n.Code {
				lines = append(lines, fmt.Sprintf("%s (%d, was %d)", n.Name, n.B, n.A))
			}
		}
		printFirst(w, "functions whose name "+diffMeaning[kind], lines)
	}
	var reused []string
	for i := range d.Aliases {
		if t := &d.Aliases[i]; t.Kind == registry.KindReused {
			reused = append(reused, t.A.Alias+"\n    is "+cmp.Or(t.ReusedBy[0].Location(), t.ReusedBy[0].Name)+" of "+t.ReusedBy[0].Object+
				"\n    and what it named in A is now "+cmp.Or(t.To, "nothing that could be found"))
		}
	}
	printFirst(w, "REUSED: aliases of A that name ANOTHER symbol in B", reused)
}

// printFirst prints the first ten of a list, if there is one.
func printFirst(w io.Writer, title string, lines []string) {
	const most = 10
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, line := range lines[:min(len(lines), most)] {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if more := len(lines) - most; more > 0 {
		fmt.Fprintf(w, "  and %d more (kas diff --list)\n", more)
	}
}

// printSides says what A and B are: what both are once, what differs side by side.
func printSides(w io.Writer, d *registry.Diff) {
	a, b := &d.A, &d.B
	const row = "%-11s%-32s %s\n"
	fmt.Fprintf(w, row, "", "A", "B")
	var both []string
	for _, f := range []struct{ name, a, b string }{
		{"release", a.Release, b.Release}, {"arch", a.Arch, b.Arch}, {"toolchain", a.Toolchain, b.Toolchain}, {"lto", a.LTO, b.LTO},
	} {
		switch {
		case f.a != f.b:
			fmt.Fprintf(w, row, f.name, cmp.Or(f.a, "-"), cmp.Or(f.b, "-"))
		case f.name == "lto" && f.a != "":
			both = append(both, "lto "+f.a)
		case f.a != "":
			both = append(both, f.a)
		}
	}
	fmt.Fprintf(w, row, "symbols", strconv.Itoa(a.Symbols), strconv.Itoa(b.Symbols))
	fmt.Fprintf(w, row, "aliases", strconv.Itoa(a.Aliases), strconv.Itoa(b.Aliases))
	if len(both) > 0 {
		fmt.Fprintf(w, "%-11s%s\n", "both", strings.Join(both, ", "))
	}
	if a.Policy != b.Policy {
		fmt.Fprint(w, "\nThe policies differ: aliases are chosen or spelled by other rules.\n")
		fmt.Fprintf(w, "  A  %s\n  B  %s\n", cmp.Or(a.Policy, "-"), cmp.Or(b.Policy, "-"))
	}
}

func printDiffList(w io.Writer, d *registry.Diff) {
	fmt.Fprintln(w, "kind\tname\tobject\talias_a\talias_b\tfile_a\tline_a\tfile_b\tline_b")
	row := func(columns ...string) { fmt.Fprintln(w, strings.Join(columns, "\t")) }
	for i := range d.Aliases {
		t := &d.Aliases[i]
		of, aliasA, aliasB := t.A, "", t.To
		if t.Kind == registry.KindNew {
			of = t.B
		} else {
			aliasA = t.A.Alias
		}
		fileA, lineA := listPlace(t.A)
		fileB, lineB := listPlace(t.B)
		row(string(t.Kind), of.BaseName(), of.Object, aliasA, aliasB, fileA, lineA, fileB, lineB)
	}
	for _, n := range d.Names {
		row(string(n.Kind), n.Name, n.Object, "", "", "", "", "", "")
	}
}

func listPlace(r *registry.Record) (file, line string) {
	if r == nil || r.Line == 0 {
		line = ""
	} else {
		line = strconv.FormatInt(r.Line, 10)
	}
	if r != nil {
		file = r.File
	}
	return file, line
}

// What a program reads.
type (
	diffJSON struct {
		A         diffSideJSON    `json:"a"`
		B         diffSideJSON    `json:"b"`
		Held      int             `json:"held"` // aliases of A that hold in B
		Count     map[string]int  `json:"count"`
		AliasList []diffAliasJSON `json:"aliases"`
		NameList  []diffNameJSON  `json:"names"`
	}
	diffSideJSON struct {
		Release   string `json:"release,omitempty"`
		Arch      string `json:"arch,omitempty"`
		Toolchain string `json:"toolchain,omitempty"`
		LTO       string `json:"lto,omitempty"`
		BuildID   string `json:"build_id,omitempty"`
		Policy    string `json:"policy,omitempty"`
		Symbols   int    `json:"symbols"`
		Aliases   int    `json:"aliases"`
		Ambiguous int    `json:"ambiguous"` // names with aliases
	}
	diffAliasJSON struct {
		Kind       registry.Kind `json:"kind"`
		Name       string        `json:"name"`
		AliasA     string        `json:"alias_a,omitempty"`
		AliasB     string        `json:"alias_b,omitempty"` // or the name, if that is unique
		A          *symbolJSON   `json:"a,omitempty"`
		B          *symbolJSON   `json:"b,omitempty"`
		Candidates []symbolJSON  `json:"candidates,omitempty"`
		ReusedBy   []symbolJSON  `json:"reused_by,omitempty"`
	}
	diffNameJSON struct {
		Kind   registry.Kind `json:"kind"`
		Name   string        `json:"name"`
		A      int           `json:"a"` // symbols that carry it
		B      int           `json:"b"`
		Code   bool          `json:"code"`
		Object string        `json:"object,omitempty"`
	}
)

func printDiffJSON(w io.Writer, d *registry.Diff) error {
	out := diffJSON{
		A: newDiffSide(&d.A), B: newDiffSide(&d.B), Held: d.Held(), Count: map[string]int{},
		AliasList: []diffAliasJSON{}, NameList: []diffNameJSON{},
	}
	for _, kind := range slices.Concat(registry.NameKinds, registry.AliasKinds) {
		out.Count[string(kind)] = 0
	}
	for i := range d.Aliases {
		t := &d.Aliases[i]
		out.Count[string(t.Kind)]++
		a := diffAliasJSON{Kind: t.Kind, AliasB: t.To, Candidates: symbolsJSON(t.Candidates), ReusedBy: symbolsJSON(t.ReusedBy)}
		if t.B != nil {
			a.Name, a.B = t.B.BaseName(), &symbolsJSON([]registry.Record{*t.B})[0]
		}
		if t.A != nil {
			a.Name, a.AliasA, a.A = t.A.BaseName(), t.A.Alias, &symbolsJSON([]registry.Record{*t.A})[0]
		}
		out.AliasList = append(out.AliasList, a)
	}
	for _, n := range d.Names {
		out.Count[string(n.Kind)]++
		out.NameList = append(out.NameList, diffNameJSON(n))
	}
	return report.WriteJSON(w, out)
}

func newDiffSide(s *registry.Side) diffSideJSON {
	return diffSideJSON{
		Release: s.Release, Arch: s.Arch, Toolchain: s.Toolchain, LTO: s.LTO, BuildID: s.BuildID, Policy: s.Policy,
		Symbols: s.Symbols, Aliases: s.Aliases, Ambiguous: s.Ambiguous,
	}
}
