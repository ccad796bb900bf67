// Compare measures kas beside its peers on Debian's kernels and prints the ratios as a table:
//
//	go run ./bench/compare [-rounds N] [-only ROW,...] [-gate FACTOR] [-work DIR] [-o FILE]
//
// in the project's folder, after make build; -needs prints the corpora to fetch first. It starts
// whole processes and measures each from outside: elapsed time, CPU time including all children,
// and peak memory. The sides of a comparison run in turn, A B A B, after one warm-up of each, so
// that the files are in the page cache. The ratio is the median of the rounds' ratios. Output goes
// to the disk that holds the kernels, or to DIR: each time to a new folder, which is removed before
// the next measurement begins.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// row is a part of the work, measured when its name is asked for.
type row struct {
	name   string
	corpus string // the kernel it runs on
	run    func(*bench) ([]comparison, error)
}

var rows = []row{
	{"run-cloud", "cloud-amd64", runCloud},
	{"run-peers", "cloud-amd64", runPeers},
	{"run-amd64", "amd64", runAMD64},
	{"scan-dedupe", "cloud-amd64", scanDedupe},
	{"resolve-vmlinux", "cloud-amd64", resolveVmlinux},
	{"emit-all", "cloud-amd64", emitAll},
	{"emit-xfs", "cloud-amd64", emitXFS},
	{"memory", "cloud-amd64", memory},
	{"again", "cloud-amd64", again},
	{"again-one", "cloud-amd64", againOne},
	{"growth", "amd64", growth},
	{"lookup", "cloud-amd64", lookup},
	{"package", "package", packaged},
}

// bench is what all rows share.
type bench struct {
	ctx    context.Context
	kas    string // the program
	cache  string // holds corpus/FLAVOUR
	work   string // a folder of this run, removed at its end
	rounds int

	notes []string // lines below the table
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	b := &bench{ctx: ctx, cache: cmp.Or(os.Getenv("KAS_CACHE"), ".cache")}
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	only := flags.String("only", "", "measure only these `ROWS`: "+strings.Join(names(), ","))
	needs := flags.Bool("needs", false, "print the corpora that the rows run on, and end")
	gate := flags.Float64("gate", 0,
		"fail if a ratio misses its target by more than this `FACTOR`, or a kernel is missing")
	output := flags.String("o", "", "write the table to `FILE` too")
	flags.StringVar(&b.kas, "kas", filepath.Join("bin", "kas"), "measure this kas `PROGRAM`")
	flags.StringVar(&b.work, "work", "", "write below `DIR` (default: beside the kernels)")
	flags.IntVar(&b.rounds, "rounds", 5, "measure `N` rounds")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if b.rounds < 1 || flags.NArg() > 0 || *gate != 0 && *gate < 1 {
		return errors.New("-rounds and -gate must be at least 1, and there are only flags")
	}
	if *needs {
		return printCorpora(stdout, chosen)
	}
	machine, all, err := b.measureRows(chosen)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	writeReport(&text, machine, all, b.notes)
	if *output != "" {
		if err := os.MkdirAll(filepath.Dir(*output), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(*output, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if _, err := stdout.Write(text.Bytes()); err != nil || *gate == 0 {
		return err
	}
	return checkGate(chosen, all, *gate)
}

// measureRows returns what was measured on, and the comparisons of the rows whose kernel is in the
// cache.
func (b *bench) measureRows(chosen []row) (machine []string, all []comparison, err error) {
	end, err := b.begin()
	if err != nil {
		return nil, nil, err
	}
	defer end()
	if machine, err = b.machine(); err != nil {
		return nil, nil, err
	}
	for _, r := range chosen {
		if _, err := os.Stat(filepath.Join(b.cache, "corpus", r.corpus, "complete")); err != nil {
			b.note("%s: skipped; `make corpus-%s` fetches its kernel", r.name, r.corpus)
			continue
		}
		found, err := r.run(b)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", r.name, err)
		}
		for _, c := range found {
			c.row = r.name
			all = append(all, c)
		}
	}
	return machine, all, nil
}

// printCorpora prints the corpora of the rows, one a line, each once.
func printCorpora(w io.Writer, chosen []row) error {
	var printed []string
	for _, r := range chosen {
		if slices.Contains(printed, r.corpus) {
			continue
		}
		printed = append(printed, r.corpus)
		if _, err := fmt.Fprintln(w, r.corpus); err != nil {
			return err
		}
	}
	return nil
}

// checkGate fails if a ratio misses its target by more than the factor. Limits in seconds or bytes
// do not count: they depend on the machine. A row without any ratio to check fails too.
func checkGate(chosen []row, all []comparison, factor float64) error {
	var missed []error
	for _, r := range chosen {
		checked := 0
		for _, c := range all {
			if c.row != r.name || len(c.theirs) == 0 || c.target.limit == 0 {
				continue
			}
			checked++
			if miss := c.missedBy(); miss > factor {
				missed = append(missed, fmt.Errorf(
					"%s: %s beside %s misses its target by a factor of %.3g",
					r.name, c.kas, c.peer, miss))
			}
		}
		if checked == 0 {
			missed = append(missed, fmt.Errorf("%s: no ratio to check", r.name))
		}
	}
	return errors.Join(missed...)
}

func names() []string {
	var all []string
	for _, r := range rows {
		all = append(all, r.name)
	}
	return all
}

func choose(only string) ([]row, error) {
	if only == "" {
		return rows, nil
	}
	var chosen []row
	for _, name := range strings.Split(only, ",") {
		i := slices.Index(names(), name)
		if i < 0 {
			return nil, fmt.Errorf("-only %s: no such row; there are %s",
				name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

// begin makes a folder for this run, and the paths absolute, since some processes run in their own
// folders.
func (b *bench) begin() (end func(), err error) {
	b.work = cmp.Or(b.work, b.cache)
	for _, path := range []*string{&b.kas, &b.cache, &b.work} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(b.kas); err != nil {
		return nil, fmt.Errorf("%w: run make build", err)
	}
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return nil, err
	}
	if b.work, err = os.MkdirTemp(b.work, "compare-"); err != nil {
		return nil, err
	}
	return func() { os.RemoveAll(b.work) }, nil
}

// note adds a line below the table.
func (b *bench) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !slices.Contains(b.notes, line) {
		b.notes = append(b.notes, line)
	}
}

// path is the path of a name in the folder of this run.
func (b *bench) path(name string) string { return filepath.Join(b.work, name) }
