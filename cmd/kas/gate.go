package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/report"
)

const gateLong = `Check the output of a run by the rules of a configuration, in CI. RULES
(default kas.yaml) is a configuration, or a file that has only these keys; OUT
is the folder to check (default: the configuration's out):

  version: 1
  gate:
    verify: true        kas verify proves OUT
    problems: 0         errors and unreadable objects of a build, at most
    unreadable: 0       unreadable objects of a build, at most
    without_alias: old  duplicates without an alias of a build, at most

and, compared with an earlier run, by --old or --baseline:

    missing: 0          builds that only the earlier run has
    moved: 100          aliases of a build that do not hold
    reused: 0           aliases of a build that name another symbol
    undecided: 0        aliases of a build that cannot be followed
    ambiguous: 0        names of functions that became ambiguous
    fail_on: [growth]   kinds as in kas diff --fail-on

"old" is the number of the earlier run. A rule that is not there is not checked,
but a folder without a finished run and a damaged registry fail. Each failure is
a line.`

type gateFlags struct {
	old    string
	kept   string
	format string
	json   bool
	junit  string
	quiet  bool
}

// gateFormats are the values of --format.
var gateFormats = []string{"text", "json", "github", "gitlab"}

func newGate() *cobra.Command {
	var f gateFlags
	cmd := &cobra.Command{
		Use:   "gate [RULES [OUT]]",
		Short: "Check the output of a run by rules, for CI",
		Long:  gateLong,
		Example: `  kas gate ci.yaml out --old last/out --junit gate.xml
  kas gate --baseline last
  kas gate --format github`,
		Args: argCount(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			rules, err := configArg(args)
			if err != nil {
				return err
			}
			out := ""
			if len(args) == 2 {
				out = args[1]
			}
			return gate(cmd.Context(), rules, out, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.old, "old", "", "compare with `OUT`, the output of an earlier run")
	cmd.Flags().StringVar(&f.kept, "baseline", "",
		"compare with the run that `DIR` has, if any, and keep this one there if all rules hold")
	cmd.Flags().StringVar(&f.format, "format", "text", "print as `FORMAT`: "+
		"text, json, github (annotations of GitHub Actions), gitlab (a code quality report)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, as --format json does")
	cmd.Flags().StringVar(&f.junit, "junit", "", "write the checks to `FILE`, as JUnit XML")
	cmd.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print only failures")
	cmd.MarkFlagsMutuallyExclusive("json", "format")
	cmd.MarkFlagsMutuallyExclusive("old", "baseline")
	return cmd
}

func gate(
	ctx context.Context, rules, out string, f gateFlags, stdout, stderr io.Writer,
) error {
	if f.json {
		f.format = "json"
	}
	if err := oneOf("--format", f.format, gateFormats); err != nil {
		return err
	}
	if f.junit == toStdout {
		return errors.New("--junit: name a file; the results are on standard output")
	}
	g := gateRun{out: out, old: f.old, stderr: stderr}
	var err error
	if g.rules, out, err = configs.ReadGate(rules); err != nil {
		return err
	}
	if g.out == "" {
		g.out = out
	}
	collectLess()
	b := baseline{dir: f.kept}
	if f.kept != "" {
		end, err := b.begin(g.out)
		if err != nil {
			return err
		}
		defer end()
		g.old = b.old
	}
	if err := g.check(ctx); err != nil {
		return err
	}
	if f.kept != "" && g.failed() == 0 {
		if err := b.keep(g.out); err != nil {
			return failure{err}
		}
	}
	if f.junit != "" {
		err := pipeline.WriteNamed(f.junit, func(w io.Writer) error {
			return g.writeJUnit(w)
		})
		if err != nil {
			return failure{err}
		}
	}
	if err := g.print(stdout, rules, f); err != nil {
		return failure{err}
	}
	if g.failed() > 0 {
		return errReported
	}
	return nil
}

// gateRun checks rules.
type gateRun struct {
	rules    configs.Gate
	out, old string
	stderr   io.Writer

	checks []report.Check
}

// add appends the result of a rule for a build. problem is "" if the rule holds.
func (g *gateRun) add(build, rule, problem string) {
	c := report.Check{Build: build, Name: rule}
	if problem != "" {
		c.Problems = []string{problem}
	}
	g.checks = append(g.checks, c)
}

func (g *gateRun) failed() (n int) {
	for i := range g.checks {
		if len(g.checks[i].Problems) > 0 {
			n++
		}
	}
	return n
}

func (g *gateRun) check(ctx context.Context) error {
	failOn, err := parseRules(g.rules.FailOn)
	if err != nil {
		return fmt.Errorf("gate: fail_on: %w", err)
	}
	now, err := summaries(g.out)
	if err != nil {
		return err
	}
	before := map[string]report.Summary{}
	if g.old != "" {
		old, err := summaries(g.old)
		if err != nil {
			return err
		}
		for _, s := range old {
			before[s.Build] = s
		}
	}
	whole := true
	for i := range now {
		s := &now[i]
		g.add(s.Build, "whole", s.Damage)
		whole = whole && s.Damage == ""
		old, known := before[s.Build]
		g.limit(s, "problems", g.rules.Problems, len(s.Problems), len(old.Problems), known)
		g.limit(s, "unreadable", g.rules.Unreadable, s.Unreadable, old.Unreadable, known)
		g.limit(s, "without_alias", g.rules.WithoutAlias, s.WithoutAlias, old.WithoutAlias, known)
	}
	if g.rules.Verify && whole {
		if err := g.verify(ctx); err != nil {
			return err
		}
	}
	if whole {
		err = g.compare(failOn)
	}
	slices.SortStableFunc(g.checks, func(a, b report.Check) int {
		return strings.Compare(a.Build, b.Build)
	})
	return err
}

func summaries(out string) ([]report.Summary, error) {
	o, err := report.Read([]string{out})
	if err != nil {
		return nil, err
	}
	return o.Summaries(), nil
}

// limit checks that a number of a build is not larger than the rule allows. old is the number of
// the earlier run, if that has the build.
func (g *gateRun) limit(
	s *report.Summary, rule string, limit configs.Limit, n, old int, known bool,
) {
	most, what := limit.Most, "at most %d"
	if limit.Old {
		most, what = old, "the earlier run had %d"
	}
	if !limit.Set || limit.Old && !known {
		return
	}
	problem := ""
	if n > most {
		problem = fmt.Sprintf("%d, "+what, n, most)
		if rule == "problems" {
			problem += ": " + s.Problems[0]
		}
	}
	g.add(s.Build, rule, problem)
}

// verify runs kas verify. What that prints about problems goes to standard error.
func (g *gateRun) verify(ctx context.Context) error {
	allow := g.rules.Unreadable.Set && (g.rules.Unreadable.Old || g.rules.Unreadable.Most > 0)
	var text bytes.Buffer
	err := verifyOut(ctx, g.out, verifyFlags{allowIncomplete: allow}, &text, g.stderr)
	problem := ""
	switch failed := new(failure); {
	case errors.Is(err, errReported):
		g.stderr.Write(text.Bytes())
		problem = "kas verify found problems in " + g.out
	case errors.As(err, failed) && ctx.Err() == nil:
		problem = strings.ReplaceAll(err.Error(), "\n", "; ")
	case err != nil:
		return err
	}
	g.add("", "verify", problem)
	return nil
}

// comparing are the rules that compare with an earlier run, those of a number with their limits.
func (g *gateRun) comparing() (rules []string, limits []configs.Limit) {
	r := &g.rules
	for i, l := range []configs.Limit{r.Missing, r.Moved, r.Reused, r.Undecided, r.Ambiguous} {
		if l.Set {
			names := []string{"missing", "moved", "reused", "undecided", "ambiguous"}
			rules, limits = append(rules, names[i]), append(limits, l)
		}
	}
	return rules, limits
}

// compare checks the rules that need the earlier run.
func (g *gateRun) compare(failOn []registry.Rule) error {
	names, limits := g.comparing()
	if g.old == "" {
		if len(names) > 0 || len(failOn) > 0 {
			all := append(names, g.rules.FailOn...)
			fmt.Fprintf(g.stderr, "kas: not checked without --old: %s\n", strings.Join(all, ", "))
		}
		return nil
	}
	p, err := pairBuilds(g.old, g.out)
	if err != nil {
		return err
	}
	for i, name := range names {
		if name != "missing" {
			continue
		}
		problem := ""
		if n := len(p.onlyA); n > limits[i].Most {
			problem = fmt.Sprintf("%d, at most %d: %s", n, limits[i].Most,
				strings.Join(p.onlyA, ", "))
		}
		g.add("", name, problem)
	}
	for _, pair := range p.pairs {
		d, err := compareRegistries(pair, g.stderr)
		if err != nil {
			return err
		}
		for i, name := range names {
			if name == "missing" {
				continue
			}
			rule, err := registry.ParseRule(name)
			if err != nil {
				return err
			}
			g.add(pair.build, name, tooMany(rule.Found(d), limits[i].Most))
		}
		for _, rule := range failOn {
			g.add(pair.build, rule.String(), rule.Broken(d))
		}
	}
	return nil
}

// tooMany returns a problem if there are more names than allowed.
func tooMany(names []string, most int) string {
	const listed = 3
	if len(names) <= most {
		return ""
	}
	text := fmt.Sprintf("%d, at most %d: %s", len(names), most,
		strings.Join(names[:min(len(names), listed)], ", "))
	if len(names) > listed {
		text += ", ..."
	}
	return text
}

// writeJUnit writes the checks as JUnit XML, in which every case belongs to a suite.
func (g *gateRun) writeJUnit(w io.Writer) error {
	checks := slices.Clone(g.checks)
	for i := range checks {
		checks[i].Build = cmp.Or(checks[i].Build, "all builds")
	}
	return report.JUnit(w, "kas gate", checks)
}

// print prints the checks in the chosen format.
func (g *gateRun) print(w io.Writer, rules string, f gateFlags) error {
	switch f.format {
	case "json":
		return g.printJSON(w)
	case "gitlab":
		return g.printGitLab(w, rules)
	}
	for i := range g.checks {
		c := &g.checks[i]
		for _, problem := range c.Problems {
			line := fmt.Sprintf("kas: %s: %s", checkName(c), problem)
			if f.format == "github" {
				line = fmt.Sprintf("::error title=%s::%s",
					githubProperty.Replace("kas gate: "+checkName(c)), githubData.Replace(problem))
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
	}
	if f.quiet {
		return nil
	}
	_, err := fmt.Fprintf(w, "kas: %d checks, %d failed\n", len(g.checks), g.failed())
	return err
}

func checkName(c *report.Check) string {
	if c.Build == "" {
		return c.Name
	}
	return c.Build + ": " + c.Name
}

// Escapes of GitHub's workflow commands: toolkit/packages/core/src/command.ts.
var (
	githubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A",
		",", "%2C")
)

// gateJSON is the result for programs.
type gateJSON struct {
	Failed int             `json:"failed"`
	Checks []gateCheckJSON `json:"checks"`
}

type gateCheckJSON struct {
	Build   string `json:"build,omitempty"` // "" if the check is of the whole output
	Rule    string `json:"rule"`
	Holds   bool   `json:"holds"`
	Problem string `json:"problem,omitempty"`
}

func (g *gateRun) printJSON(w io.Writer) error {
	all := gateJSON{g.failed(), []gateCheckJSON{}}
	for i := range g.checks {
		c := &g.checks[i]
		all.Checks = append(all.Checks, gateCheckJSON{
			c.Build, c.Name, len(c.Problems) == 0, strings.Join(c.Problems, "\n"),
		})
	}
	return report.WriteJSON(w, all)
}

// gitlabIssue is an entry of GitLab's code quality report, a part of Code Climate's format.
type gitlabIssue struct {
	Description string         `json:"description"`
	Check       string         `json:"check_name"`
	Fingerprint string         `json:"fingerprint"`
	Severity    string         `json:"severity"`
	Location    gitlabLocation `json:"location"`
}

type gitlabLocation struct {
	Path  string         `json:"path"`
	Lines map[string]int `json:"lines"`
}

// printGitLab names the rules as the place of each problem: the format wants a file.
func (g *gateRun) printGitLab(w io.Writer, rules string) error {
	line := 1
	if text, err := os.ReadFile(rules); err == nil {
		for i, l := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(l, "gate:") {
				line = i + 1
			}
		}
	}
	issues := []gitlabIssue{}
	for i := range g.checks {
		c := &g.checks[i]
		for _, problem := range c.Problems {
			issues = append(issues, gitlabIssue{
				checkName(c) + ": " + problem, c.Name,
				pipeline.Digest(c.Build + "\x00" + c.Name), "major",
				gitlabLocation{rules, map[string]int{"begin": line}},
			})
		}
	}
	return report.WriteJSON(w, issues)
}
