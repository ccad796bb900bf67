// Mutants breaks the program on purpose, one small change at a time, and checks that a test
// notices:
//
//	go run ./bench/mutants [-only NAME,...] [-jobs N] [FILE]
//
// in the project's folder. FILE, bench/mutants/mutants.txt by default, lists the changes. A changed
// file is compiled in place of the original with -overlay; the tree is never written. The exit code
// is 1 if a change survives its tests.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
)

// mutant is a change to one file and the tests that must fail because of it.
type mutant struct {
	name     string
	file     string // the path below the project's folder
	pkg      string // the package of the tests, as go test takes it
	tests    string // the regular expression for -run
	old, new string // old occurs once in the file
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	only := flags.String("only", "", "test only these mutants, `NAME,...`")
	jobs := flags.Int("jobs", runtime.NumCPU(), "test `N` mutants at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	path := cmp.Or(flags.Arg(0), filepath.Join("bench", "mutants", "mutants.txt"))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	mutants, err := parse(path, string(text))
	if err != nil {
		return err
	}
	if *only != "" {
		mutants = slices.DeleteFunc(mutants, func(m mutant) bool {
			return !slices.Contains(strings.Split(*only, ","), m.name)
		})
	}
	if len(mutants) == 0 || *jobs < 1 {
		return errors.New("nothing to do: no mutant has such a name, or -jobs is below 1")
	}
	return testAll(ctx, mutants, *jobs, stdout)
}

// testAll tests all mutants, several at once, and prints a table in the order of the list.
func testAll(ctx context.Context, mutants []mutant, jobs int, stdout io.Writer) error {
	temp, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	failed, errs := make([][]string, len(mutants)), make([]error, len(mutants))
	var group sync.WaitGroup
	slots := make(chan struct{}, jobs)
	for i, m := range mutants {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			failed[i], errs[i] = m.test(ctx, filepath.Join(temp, fmt.Sprint(i)))
			fmt.Fprintf(os.Stderr, "mutants: %s: %s\n", m.name, verdict(failed[i], errs[i]))
		})
	}
	group.Wait()
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tFILE\tTESTS\tVERDICT")
	bad := 0
	for i, m := range mutants {
		tests := cmp.Or(strings.Join(failed[i], " "), m.tests)
		short, _, _ := strings.Cut(verdict(failed[i], errs[i]), "\n")
		fmt.Fprintf(table, "%s\t%s\t%s %s\t%s\n", m.name, m.file, m.pkg, tests, short)
		if errs[i] != nil || len(failed[i]) == 0 {
			bad++
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d mutants were not killed", bad, len(mutants))
	}
	return nil
}

func verdict(failed []string, err error) string {
	switch {
	case err != nil:
		return "error: " + err.Error()
	case len(failed) == 0:
		return "SURVIVED"
	}
	return "killed"
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// test builds the package's tests with the change and runs them. It returns the tests that failed.
// A change that does not compile and a regular expression that matches no test are errors.
func (m *mutant) test(ctx context.Context, temp string) (failed []string, err error) {
	overlay, err := m.overlay(temp)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(temp, "tests")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", program, m.pkg)
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("does not compile: %w\n%s", err, bytes.TrimSpace(out))
	}
	tests := exec.CommandContext(ctx, program,
		"-test.run", m.tests, "-test.v", "-test.timeout", "5m")
	tests.Dir = m.pkg
	// A test that fails because a tool is missing would look like one that notices the change.
	tests.Env = append(os.Environ(), "CI=", "KAS_NO_SKIP=")
	out, err := tests.CombinedOutput()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if !bytes.Contains(out, []byte("=== RUN ")) {
		return nil, fmt.Errorf("%s has no test %s", m.pkg, m.tests)
	}
	if err == nil {
		return nil, nil
	}
	for _, match := range failure.FindAllSubmatch(out, -1) {
		failed = append(failed, string(match[1]))
	}
	if len(failed) == 0 { // a panic outside of the test's goroutine, or the timeout
		failed = []string{m.tests}
	}
	return failed, nil
}

// overlay writes the changed file and the overlay for the go command to a new folder.
func (m *mutant) overlay(temp string) (string, error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return "", fmt.Errorf("the old text occurs %d times in %s, not once", n, m.file)
	}
	if err := os.Mkdir(temp, 0o755); err != nil {
		return "", err
	}
	changed := filepath.Join(temp, filepath.Base(m.file))
	text := strings.Replace(string(source), m.old, m.new, 1)
	if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
		return "", err
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(temp, "overlay.json")
	return path, os.WriteFile(path, replace, 0o644)
}
