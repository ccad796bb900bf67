package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kas/pipeline"
	"kas/registry"
)

const matrixLong = `Show what each build calls each function: its symbol, its alias, its address.
REGISTRY is a file or a folder with registries (symbols.kas), OUT the output of
a run. PATTERN is as in kas lookup. Without one, the table has each function
that has an alias in a build, or to whose name LTO added a suffix.

A cell of the table is what the build adds to the name: the suffix of its
symbol, and the end of its alias. "unique" is one symbol of the name, which
needs no alias, "no alias" a symbol among several, and "-" none. --long and the
other formats have names, aliases and addresses whole.

Kinds for --only; a function is printed if it is of one of them:
`

type matrixFlags struct {
	differs bool
	only    []string
	totals  bool
	long    bool
	format  string
	json    bool

	object string // keep only symbols of this object; of kas lookup --matrix
}

// matrixFormats are the values of --format.
var matrixFormats = []string{"table", "tsv", "csv", "json"}

func newMatrix() *cobra.Command {
	var f matrixFlags
	long := matrixLong
	for _, kind := range registry.RowKinds {
		long += fmt.Sprintf("  %-11s%s\n", kind[0], kind[1])
	}
	cmd := &cobra.Command{
		Use:   "matrix OUT|REGISTRY... [PATTERN...]",
		Short: "Show what each build calls each function, and where builds differ",
		Long:  strings.TrimSuffix(long, "\n"),
		Example: `  kas matrix out --differs
  kas matrix out/x86_64-gcc out/x86_64-clang --only line
  kas matrix out name_show@pnp/card.c --long`,
		Args: argCount(1, noLimit),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, patterns := splitMatrix(args)
			return matrix(cmd.Context(), names, patterns, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.differs, "differs", false, "print only functions in which builds differ")
	cmd.Flags().StringSliceVar(&f.only, "only", nil,
		"print only functions of these `KINDS` (separated by commas)")
	cmd.Flags().BoolVar(&f.totals, "totals", false,
		"print only the totals of builds and toolchains")
	cmd.Flags().BoolVarP(&f.long, "long", "l", false,
		"print a line for each function and build, with name, alias and address")
	cmd.Flags().StringVar(&f.format, "format", "table", "print as `FORMAT`: "+
		strings.Join(matrixFormats, ", "))
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, as --format json does")
	cmd.MarkFlagsMutuallyExclusive("long", "totals")
	cmd.MarkFlagsMutuallyExclusive("json", "format")
	return cmd
}

// splitMatrix separates the registries, of which there is at least one, from the patterns.
func splitMatrix(args []string) (names, patterns []string) {
	n := 1
	for n < len(args) && isRegistryArg(args[n]) {
		n++
	}
	return args[:n], args[n:]
}

func (f *matrixFlags) check() error {
	for _, kind := range f.only {
		if err := oneOf("--only", kind, rowKinds()); err != nil {
			return err
		}
	}
	if err := oneOf("--format", f.format, matrixFormats); err != nil {
		return err
	}
	switch {
	case f.long && f.format != "table":
		return errors.New("--long is for the table: the other formats have everything")
	case f.totals && (f.format == "tsv" || f.format == "csv"):
		return errors.New("--totals has the formats table and json")
	}
	return nil
}

// oneOf refuses a value of a flag that is none of the known ones.
func oneOf(flag, value string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is none of %s", flag, value, strings.Join(known, ", "))
}

func matrix(
	ctx context.Context, names, patterns []string, f matrixFlags, stdout, stderr io.Writer,
) error {
	if f.json {
		f.format = "json"
	}
	if err := f.check(); err != nil {
		return err
	}
	collectLess()
	all, err := (&finder{"/", stderr}).open(ctx, names, registry.OpenAll)
	if err != nil {
		return err
	}
	defer registry.CloseAll(all)
	warnIncomplete(stderr, all)
	t := matrixTable{
		registries: all, labels: labels(all), surveys: surveys(all), columns: columnsOf(stdout),
	}
	missing, err := t.fill(patterns, f, stderr)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	if err := errors.Join(t.print(out, f), out.Flush()); err != nil {
		return failure{err}
	}
	if missing {
		return errReported
	}
	return nil
}

func surveys(all []*registry.Registry) []*registry.Survey {
	surveys := make([]*registry.Survey, len(all))
	pipeline.Parallel(0, len(all), func(i int) { surveys[i] = all[i].Survey() })
	return surveys
}

// matrixTable is what kas matrix prints.
type matrixTable struct {
	registries []*registry.Registry
	labels     []string
	surveys    []*registry.Survey
	rows       []registry.Row
	columns    int // of the terminal, 0 if it is none
}

// fill makes the rows that the flags choose. It reports patterns that find nothing.
func (t *matrixTable) fill(
	patterns []string, f matrixFlags, stderr io.Writer,
) (missing bool, err error) {
	if f.totals && len(patterns) == 0 {
		return false, nil
	}
	w := wanted{rows: map[rowKey]bool{}, bases: map[string]bool{}}
	for _, pattern := range patterns {
		found, err := w.find(t.registries, pattern, f.object)
		if err != nil {
			return false, err
		}
		if !found {
			missing = true
			noteNotFound(stderr, t.registries, pattern)
		}
	}
	if len(patterns) == 0 {
		for _, s := range t.surveys {
			for _, base := range s.Suffixed {
				w.bases[base] = true
			}
		}
	}
	for _, row := range registry.Matrix(t.surveys) {
		if len(patterns) == 0 || w.rows[rowKey{row.Base, row.File, row.Unit}] || w.bases[row.Base] {
			t.rows = append(t.rows, row)
		}
		delete(w.bases, row.Base)
	}
	for base := range w.bases {
		cells := make([]registry.Cell, len(t.registries))
		t.rows = append(t.rows, registry.Row{Base: base, Cells: cells})
	}
	pipeline.Parallel(0, len(t.rows), func(i int) { t.rows[i].Complete(t.registries) })
	t.rows = slices.DeleteFunc(t.rows, func(r registry.Row) bool {
		of := func(kind string) bool { return r.Is(kind) }
		return f.differs && !r.Differs() ||
			len(f.only) > 0 && !slices.ContainsFunc(f.only, of)
	})
	slices.SortStableFunc(t.rows, func(a, b registry.Row) int {
		return cmp.Or(strings.Compare(a.Base, b.Base), strings.Compare(a.File, b.File),
			strings.Compare(a.Unit, b.Unit))
	})
	return missing, nil
}

type rowKey struct{ base, file, unit string }

// wanted are the rows that patterns find: by location those of symbols with an alias, by base name
// those of other symbols.
type wanted struct {
	rows  map[rowKey]bool
	bases map[string]bool
}

func (w *wanted) find(
	all []*registry.Registry, pattern, object string,
) (found bool, err error) {
	for _, r := range all {
		records, err := r.Lookup(pattern)
		if err != nil {
			return false, err
		}
		for i := range records {
			record := &records[i]
			switch {
			case object != "" && !registry.PathEndsWith(record.Object, object):
				continue
			case record.Alias != "":
				w.rows[rowKey{record.BaseName(), record.File, record.Unit}] = true
			default:
				w.bases[record.BaseName()] = true
			}
			found = true
		}
	}
	return found, nil
}
