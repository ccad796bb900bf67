// Compare runs kas and its peers in turn on Debian's kernels, several rounds, and prints the ratios as a table:
//
//	go run ./bench/compare [-rounds N] [-only ROW,...] [-work DIR] [-o FILE]
//
// in the project's folder, after make build, corpus-cloud-amd64 and corpus-amd64. It starts whole processes and measures each from outside: time on the clock, CPU time of the process and all its children,
// peak memory. What is compared runs side by side, A B A B, after one warm-up of each, so the files are in the page cache;
// the ratio is the median of the rounds' ratios. Output goes to the disk that holds the kernels, or where -work says, to a
// new folder each time, which is removed before the next measurement begins.
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

// row is a part of the work that can be asked for by its name.
type row struct {
	name  string
	needs string // the kernel it runs on
	run   func(*bench) ([]comparison, error)
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
	only := flags.String("only", "", "measure these `ROWS` alone: "+strings.Join(names(), ","))
	output := flags.String("o", "", "write the table to `FILE`, too")
	flags.StringVar(&b.kas, "kas", filepath.Join("bin", "kas"), "the kas `PROGRAM` to measure")
	flags.StringVar(&b.work, "work", "", "write below `DIR` (default: beside the kernels)")
	flags.IntVar(&b.rounds, "rounds", 5, "measure so often, in turn")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if b.rounds < 1 || flags.NArg() > 0 {
		return errors.New("-rounds must be at least 1, and there are no arguments beside the flags")
	}
	end, err := b.begin()
	if err != nil {
		return err
	}
	defer end()
	machine, err := b.machine()
	if err != nil {
		return err
	}
	var all []comparison
	for _, r := range chosen {
		if _, err := os.Stat(filepath.Join(b.cache, "corpus", r.needs, "complete")); err != nil {
			b.note("%s: skipped; `make corpus-%s` fetches its kernel", r.name, r.needs)
			continue
		}
		found, err := r.run(b)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		for _, c := range found {
			c.row = r.name
			all = append(all, c)
		}
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
	_, err = stdout.Write(text.Bytes())
	return err
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
			return nil, fmt.Errorf("-only %s: no such row; there are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

// begin makes the paths absolute, since some processes run in folders of their own, and the folder of this run.
func (b *bench) begin() (end func(), err error) {
	b.work = cmp.Or(b.work, b.cache)
	for _, path := range []*string{&b.kas, &b.cache, &b.work} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(b.kas); err != nil {
		return nil, fmt.Errorf("%w: make build", err)
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

// path is in the folder of this run.
func (b *bench) path(name string) string { return filepath.Join(b.work, name) }
