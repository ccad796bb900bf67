package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kas/registry"
)

const lookupLong = `Find symbols in the registries of kernels (symbols.kas). PATTERN is

  name_show                          a name, with or without its LTO suffix
  name_show@drivers_pnp_card_c_186   an alias
  name_show@drivers/pnp/card.c       NAME@FILE or NAME@FILE:LINE; the first
                                     folders may be left out
  'name_show@drivers*'               a glob over names and aliases
  drivers/pnp/card.c:186             FILE or FILE:LINE
  'core::num::*from_str_radix'       a name of Rust as the source spells it
  0xffffffff816807f0                 an address in vmlinux, as linked
  _text+0x6807f0                     an offset from a symbol
  xfs.ko                             an object
  -                                  the lines of standard input, each a PATTERN

A registry knows the location of each symbol that has an alias. With names: all
in the configuration it knows that of each function.`

const registryHelp = "registry `FILE`, a folder with registries, or the release of a kernel " +
	"whose registry 'kas registry' made; may be repeated (default: KAS_REGISTRY, else the " +
	"output of kas.yaml here, else that of the running kernel)"

type lookupFlags struct {
	registries []string
	object     string
	long       bool
	matrix     bool
	json       bool
	sysroot    string
}

func newLookup() *cobra.Command {
	var f lookupFlags
	cmd := &cobra.Command{
		Use:               "lookup PATTERN...",
		Short:             "Find symbols and aliases by name, location, address or object",
		Long:              lookupLong,
		Args:              argCount(1, noLimit),
		ValidArgsFunction: completeSymbols,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := linesForDash(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if f.matrix {
				m := matrixFlags{long: !f.json, format: "table", json: f.json, object: f.object}
				return matrix(cmd.Context(), f.registries, args, m, cmd.OutOrStdout(),
					cmd.ErrOrStderr())
			}
			return lookup(cmd.Context(), args, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringArrayVarP(&f.registries, "registry", "r", nil, registryHelp)
	cmd.Flags().StringVar(&f.object, "object", "",
		"find only symbols of `OBJECT` (vmlinux, xfs.ko)")
	cmd.Flags().BoolVarP(&f.long, "long", "l", false,
		"print everything that is known of each symbol, with the BTF ID of a function\n"+
			"if vmlinux is here; goes with --json, too")
	cmd.Flags().BoolVar(&f.matrix, "matrix", false,
		"print each function once, with what each registry has, as kas matrix --long does")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	addSysroot(cmd, &f.sysroot)
	return cmd
}

// linesForDash puts the lines of stdin, without empty ones, in the place of the argument -.
func linesForDash(args []string, stdin io.Reader) ([]string, error) {
	at := slices.Index(args, toStdout)
	if at < 0 {
		return args, nil
	}
	text, err := io.ReadAll(stdin)
	if err != nil {
		return nil, failure{fmt.Errorf("standard input: %w", err)}
	}
	var patterns []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			patterns = append(patterns, line)
		}
	}
	return slices.Replace(slices.Clone(args), at, at+1, patterns...), nil
}

// addSysroot adds the hidden flag that tests use.
func addSysroot(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "sysroot", "/", "`DIR` with /proc and /sys")
	cmd.Flags().MarkHidden("sysroot")
}

// match is a symbol that was found, and the label of the registry that has it.
type match struct {
	registry.Record
	registry string
	btf      uint32 // the function's BTF ID, 0 if it is not known or not asked for
}

func lookup(
	ctx context.Context, patterns []string, f lookupFlags, stdout, stderr io.Writer,
) error {
	all, err := (&finder{f.sysroot, stderr}).open(ctx, f.registries, registry.OpenForLookup)
	if err != nil {
		return err
	}
	defer registry.CloseAll(all)
	warnIncomplete(stderr, all)
	labels := labels(all)
	var found []match
	ids := btfIDs{sysroot: f.sysroot, of: map[*registry.Registry]*kernelBTF{}}
	missing := false
	for _, pattern := range patterns {
		n := len(found)
		for i, r := range all {
			records, err := r.Lookup(pattern)
			if err := r.Err(); err != nil {
				return failure{err}
			}
			if err != nil {
				return err
			}
			for _, record := range records {
				if f.object != "" && !registry.PathEndsWith(record.Object, f.object) {
					continue
				}
				m := match{Record: record, registry: labels[i]}
				if f.long {
					m.btf = ids.id(r, &record)
				}
				found = append(found, m)
			}
		}
		if len(found) == n {
			missing = true
			noteNotFound(stderr, all, pattern)
		}
	}
	print := printTable
	switch {
	case f.json:
		print = printJSON
	case f.long:
		print = printLong
	}
	if err := print(stdout, found, labels); err != nil {
		return failure{err}
	}
	if missing {
		return errReported
	}
	return nil
}

// noteNotFound says that no registry has the pattern.
func noteNotFound(stderr io.Writer, all []*registry.Registry, pattern string) {
	fmt.Fprintf(stderr, "kas: %s: not found in %s\n", pattern, nameAll(all))
	if hint := hint(all, pattern); hint != "" {
		fmt.Fprintln(stderr, "kas:", hint)
	}
}

// hint returns advice about a pattern NAME@FILE or FILE:LINE that was not found, or "".
func hint(all []*registry.Registry, pattern string) string {
	file, line, byLine := registry.CutLine(pattern)
	for _, r := range all {
		name, _, located := strings.Cut(pattern, r.Separator())
		if located {
			switch known := r.Based(name); {
			case len(known) == 1 && known[0].File == "":
				return fmt.Sprintf("%s is one symbol, and the registry does not know its "+
					"location: ask for %[1]s", name)
			case len(known) > 0:
				return fmt.Sprintf("%s is %d symbols, none at that location: "+
					"kas lookup %[1]s lists them", name, len(known))
			}
		}
		if located || !byLine {
			if like := r.Similar(name, 3); len(like) > 0 {
				return fmt.Sprintf("did you mean %s?", strings.Join(like, " or "))
			}
			continue
		}
		records, err := r.Lookup(file)
		records = slices.DeleteFunc(records, func(r registry.Record) bool {
			return r.Line == 0 || !registry.PathEndsWith(r.File, file) &&
				!registry.PathEndsWith(r.Unit, file)
		})
		if err != nil || len(records) == 0 {
			continue
		}
		nearest := slices.MinFunc(records, func(a, b registry.Record) int {
			return cmp.Compare(distance(a.Line, line), distance(b.Line, line))
		})
		return fmt.Sprintf("the nearest that the registry knows is %s at line %d",
			cmp.Or(nearest.Alias, nearest.Name), nearest.Line)
	}
	return ""
}

func distance(a, b int64) int64 { return max(a-b, b-a) }
