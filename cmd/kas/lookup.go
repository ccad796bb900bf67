package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/report"
)

const lookupLong = `Kas lookup finds symbols in the registries of kernels (symbols.kas). PATTERN is

  name_show                          a name; its suffix of LTO may be left out
  name_show@drivers_pnp_card_c_186   an alias
  name_show@drivers/pnp/card.c       NAME@FILE, with as many of its folders as
                                     are wanted, and :LINE
  'name_show@drivers*'               a glob over names and aliases
  drivers/pnp/card.c:186             a file, or FILE:LINE
  0xffffffff816807f0                 an address in vmlinux, as it was linked
  _text+0x6807f0                     so many bytes after a symbol
  xfs.ko                             an object

Places are known of symbols that have an alias; with names: all of every
function.`

const registryHelp = "`FILE` of a registry, or a folder that holds some; may be repeated (default: KAS_REGISTRY, the output of kas.yaml here, " +
	"or that of the running kernel: /lib/modules/RELEASE/build/" + registry.FileName + ")"

type lookupFlags struct {
	registries []string
	object     string
	long       bool
	matrix     bool
	json       bool
}

func newLookup() *cobra.Command {
	var f lookupFlags
	cmd := &cobra.Command{
		Use:               "lookup PATTERN...",
		Short:             "find symbols and their aliases by name, place, address or object",
		Long:              lookupLong,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeSymbols,
		RunE: func(cmd *cobra.Command, args []string) error {
			return lookup(args, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringArrayVarP(&f.registries, "registry", "r", nil, registryHelp)
	cmd.Flags().StringVar(&f.object, "object", "", "only symbols of this `OBJECT` (vmlinux, xfs.ko)")
	cmd.Flags().BoolVarP(&f.long, "long", "l", false, "all that the registry says of each symbol")
	cmd.Flags().BoolVar(&f.matrix, "matrix", false, "one function after the other, with its name in each registry")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// match is a symbol that was found, and the registry that has it.
type match struct {
	registry.Record
	build string
}

func lookup(patterns []string, f lookupFlags, stdout, stderr io.Writer) error {
	all, err := openRegistries(f.registries)
	if err != nil {
		return err
	}
	defer registry.CloseAll(all)
	labels := labels(all)
	var found []match
	missing := false
	for _, pattern := range patterns {
		n := len(found)
		for i, r := range all {
			records, err := r.Lookup(pattern)
			if err != nil {
				return err
			}
			for _, record := range records {
				if f.object == "" || registry.PathEndsWith(record.Object, f.object) {
					found = append(found, match{record, labels[i]})
				}
			}
		}
		if len(found) == n {
			missing = true
			fmt.Fprintf(stderr, "kas: nothing is known of %s in %s\n", pattern, strings.Join(paths(all), ", "))
			if hint := hint(all, pattern); hint != "" {
				fmt.Fprintln(stderr, "kas:", hint)
			}
		}
	}
	print := printTable
	switch {
	case f.json:
		print = printJSON
	case f.matrix:
		print = printMatrix
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

// hint helps who asked for what is not known by FILE:LINE or NAME@FILE; "" if there is nothing to say.
func hint(all []*registry.Registry, pattern string) string {
	file, line, byLine := registry.CutLine(pattern)
	for _, r := range all {
		if name, _, ok := strings.Cut(pattern, r.Separator()); ok {
			switch known := r.Based(name); {
			case len(known) == 1 && known[0].File == "":
				return fmt.Sprintf("%s is one symbol, whose place the registry does not know: ask for it without a place", name)
			case len(known) > 0:
				return fmt.Sprintf("%s is %d symbols, none of that place: kas lookup %s lists them", name, len(known), name)
			}
			continue
		}
		if !byLine {
			continue
		}
		records, err := r.Lookup(file)
		records = slices.DeleteFunc(records, func(r registry.Record) bool {
			return r.Line == 0 || !registry.PathEndsWith(r.File, file) && !registry.PathEndsWith(r.Unit, file)
		})
		if err != nil || len(records) == 0 {
			continue
		}
		nearest := slices.MinFunc(records, func(a, b registry.Record) int { return cmp.Compare(distance(a.Line, line), distance(b.Line, line)) })
		return fmt.Sprintf("nearest is %s at line %d; places are known of symbols that have an alias", cmp.Or(nearest.Alias, nearest.Name), nearest.Line)
	}
	return ""
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// openRegistries opens those that are named, or else finds those that are meant.
func openRegistries(names []string) ([]*registry.Registry, error) {
	files, err := registryFiles(names)
	if err != nil {
		return nil, err
	}
	all, err := registry.OpenAll(files)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s: overlays alone: name their registry, too", strings.Join(files, ", "))
	}
	if err != nil {
		return nil, failure{err}
	}
	for _, r := range all {
		r.Parallel = func(n int, f func(int)) { pipeline.Parallel(0, n, f) }
	}
	return all, nil
}

func registryFiles(names []string) ([]string, error) {
	if len(names) == 0 {
		names = filepath.SplitList(os.Getenv("KAS_REGISTRY"))
	}
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.IsDir() {
			files = append(files, name) // what is wrong with it the reader says
			continue
		}
		inside := registriesBelow(name)
		if len(inside) == 0 {
			return nil, fmt.Errorf("%s: no %s in this folder", name, registry.FileName)
		}
		files = append(files, inside...)
	}
	if len(files) > 0 {
		return files, nil
	}
	if plan, err := configs.Load(defaultConfig); err == nil {
		if files := registriesBelow(plan.Out); len(files) > 0 {
			return files, nil
		}
	}
	looked := []string{"."}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		modules := "/lib/modules/" + strings.TrimSpace(string(release))
		looked = append(looked, filepath.Join(modules, "build"), modules, filepath.Join("/usr/lib/debug", modules))
	}
	for _, dir := range looked {
		if file := registry.InFolder(dir); file != "" {
			return []string{file}, nil
		}
	}
	return nil, fmt.Errorf("no %s found: name one with --registry", registry.FileName)
}

// registriesBelow finds the registries of a folder: its own, or those of the builds in it.
func registriesBelow(dir string) []string {
	if own := registry.InFolder(dir); own != "" {
		return []string{own}
	}
	var all []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if file := registry.InFolder(filepath.Join(dir, e.Name())); file != "" {
			all = append(all, file)
		}
	}
	return all
}

func paths(all []*registry.Registry) []string {
	var paths []string
	for _, r := range all {
		paths = append(paths, r.Path)
	}
	return paths
}

// labels are what registries are called in a table: the folder that a run made for the build, else what kernel it is of,
// else its path; the first that tells all of them apart.
func labels(all []*registry.Registry) []string {
	for _, name := range []func(*registry.Registry) string{folderName, kernelName} {
		var labels []string
		for _, r := range all {
			labels = append(labels, name(r))
		}
		if len(slices.Compact(slices.Sorted(slices.Values(labels)))) == len(all) {
			return labels
		}
	}
	return paths(all)
}

func folderName(r *registry.Registry) string {
	path, err := filepath.Abs(r.Path)
	if err != nil {
		path = r.Path
	}
	return filepath.Base(filepath.Dir(path))
}

func kernelName(r *registry.Registry) string {
	words := []string{r.Release, r.Arch, r.Toolchain}
	if r.LTO != "none" {
		words = append(words, r.LTO)
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "-")
}

// printTable prints a line for each symbol that fits a terminal: what to call it, whose it is, where it is.
func printTable(w io.Writer, found []match, labels []string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, m := range found {
		if len(labels) > 1 {
			fmt.Fprintf(t, "%s\t", m.build)
		}
		fmt.Fprintf(t, "%s\t%s\t%s", cmp.Or(m.Alias, m.Name), m.Object, address(&m.Record))
		if remarks := remarks(&m.Record); remarks != "" {
			fmt.Fprintf(t, "\t%s", remarks)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// address is that of a symbol of vmlinux, and of another the place in its section.
func address(r *registry.Record) string {
	if r.Object == registry.Vmlinux {
		return fmt.Sprintf("%x", r.Address)
	}
	return fmt.Sprintf("%s+%#x", r.Section, r.Address)
}

// remarks say what the other columns do not.
func remarks(r *registry.Record) string {
	var all []string
	switch {
	case r.Alias == "" && r.Count > 1:
		all = append(all, fmt.Sprintf("one of %d", r.Count))
	case r.Alias != "" && r.Name != r.BaseName():
		all = append(all, "is "+r.Name)
	}
	if r.Late() {
		all = append(all, "late alias")
	}
	return strings.Join(all, ", ")
}

func printLong(w io.Writer, found []match, _ []string) error {
	for i, m := range found {
		if i > 0 {
			fmt.Fprintln(w)
		}
		for _, f := range [][2]string{
			{"name", m.Name}, {"alias", m.Alias}, {"object", m.Object}, {"section", m.Section}, {"address", fmt.Sprintf("%x", m.Address)},
			{"size", fmt.Sprint(m.Size)}, {"type", string(rune(m.Type))}, {"place", m.Location()}, {"told by", m.Method},
			{"symbols of this name", fmt.Sprint(m.Count)}, {"position in its object", fmt.Sprint(m.Position)}, {"registry", m.build},
		} {
			if f[1] == "" {
				continue
			}
			if _, err := fmt.Fprintf(w, "%-24s%s\n", f[0], f[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// printMatrix prints each function once, by where the source declares it, with what it is called in each registry.
func printMatrix(w io.Writer, found []match, labels []string) error {
	type function struct{ base, file, unit string }
	var order []function
	rows := map[function]map[string][]match{}
	for _, m := range found {
		k := function{m.BaseName(), m.File, m.Unit}
		if rows[k] == nil {
			rows[k] = map[string][]match{}
			order = append(order, k)
		}
		rows[k][m.build] = append(rows[k][m.build], m)
	}
	slices.SortStableFunc(order, func(a, b function) int {
		return cmp.Or(strings.Compare(a.base, b.base), strings.Compare(a.file, b.file), strings.Compare(a.unit, b.unit))
	})
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, k := range order {
		where := "place unknown"
		if k.file != "" {
			where = (&registry.Record{File: k.file, Unit: k.unit}).Location()
		}
		fmt.Fprintf(t, "%s, %s\n", k.base, where)
		for _, label := range labels {
			if rows[k][label] == nil {
				fmt.Fprintf(t, "  %s\t-\n", label)
			}
			for _, m := range rows[k][label] {
				fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", label, m.Name, m.Object, cmp.Or(m.Alias, remarks(&m.Record)))
			}
		}
	}
	return t.Flush()
}

func printJSON(w io.Writer, found []match, _ []string) error {
	all := make([]symbolJSON, len(found))
	for i, m := range found {
		all[i] = newSymbolJSON(&m.Record)
		all[i].Registry = m.build
	}
	return report.WriteJSON(w, all)
}

// completeSymbols completes names and aliases in the shell.
func completeSymbols(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	names, err := cmd.Flags().GetStringArray("registry")
	all, openErr := openRegistries(names)
	if err := errors.Join(err, openErr); err != nil || toComplete == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer registry.CloseAll(all)
	const most = 500
	var words []string
	for _, r := range all {
		words = append(words, r.Complete(toComplete, most)...)
	}
	slices.Sort(words)
	return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp
}
