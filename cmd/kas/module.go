package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"kas/elf"
	"kas/kbuild"
	"kas/pipeline"
	"kas/registry"
	"kas/report"
)

const moduleLong = `Give the symbols of modules that are built after their kernel their aliases:
write X.ko.kas beside each X.ko (or X.o.kas beside X.o, before the link). A
symbol gets an alias if another one in the kernel's registry or in these modules
has its name.

Module also reports the kernel's symbols that were unique until now, and their
late aliases: the running kernel does not carry a late alias, kas lookup and kas
probe find it.

--update records the modules in an overlay of the registry, for the modules that
come after them. The registry itself is never written.`

type moduleFlags struct {
	registries []string
	overlay    string
	vmlinux    string
	modules    string
	sources    []string
	dry        bool
	json       bool
}

func newModule() *cobra.Command {
	var f moduleFlags
	cmd := &cobra.Command{
		Use:   "module X.ko...",
		Short: "Give out-of-tree modules their aliases",
		Long:  moduleLong,
		Args:  argCount(1, noLimit),
		RunE: func(cmd *cobra.Command, args []string) error {
			return module(cmd.Context(), args, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringArrayVarP(&f.registries, "registry", "r", nil, registryHelp)
	cmd.Flags().StringVar(&f.overlay, "update", "",
		"overlay `FILE` of the registry: read it, and record the modules in it")
	cmd.Flags().StringVar(&f.vmlinux, "vmlinux", "",
		"vmlinux `FILE` with debugging information, for late aliases "+
			"(default: that of an installed debug package, else that of the build folder)")
	cmd.Flags().StringVar(&f.modules, "modules", "",
		"`DIR` of the kernel's modules with debugging information")
	cmd.Flags().StringArrayVar(&f.sources, "source", nil,
		"another `DIR` that names of source files start from; may be repeated")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "print everything and write nothing")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func module(ctx context.Context, modules []string, f moduleFlags, stdout, stderr io.Writer) error {
	for _, m := range modules {
		if _, err := os.Stat(m); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: no such file or directory", m)
		}
	}
	for _, named := range []string{f.vmlinux, f.modules} {
		if _, err := os.Stat(named); named != "" && err != nil {
			return fmt.Errorf("%s: %w", named, errors.Unwrap(err))
		}
	}
	if f.overlay != "" && !f.dry {
		unlock, err := pipeline.LockWait(filepath.Dir(f.overlay))
		if err != nil {
			return failure{err}
		}
		defer unlock()
	}
	r, err := openKernel(ctx, f.registries, f.overlay, stderr)
	if err != nil {
		return err
	}
	defer r.Close()
	warnIncomplete(stderr, []*registry.Registry{r})
	e := kbuild.External{
		Registry: r, Modules: modules, Sources: f.sources, Emit: !f.dry,
		Debug: kbuild.FindDebug(r.Release, f.vmlinux, f.modules),
	}
	outcome, err := e.Run(ctx)
	if err != nil {
		return failure{err}
	}
	if f.overlay != "" && !f.dry {
		if err := kbuild.UpdateOverlay(f.overlay, r, outcome); err != nil {
			return failure{err}
		}
	}
	return asFailure(printOutcome(stdout, stderr, outcome, f))
}

// openKernel opens the registry of one kernel with its overlay. If the overlay to update exists, it
// is that one.
func openKernel(
	ctx context.Context, names []string, overlay string, stderr io.Writer,
) (*registry.Registry, error) {
	files, err := (&finder{"/", stderr}).files(ctx, names)
	if err != nil {
		return nil, err
	}
	update := elf.Identity{} // the zero value is no file
	if overlay != "" {
		update = elf.IdentifyTarget(overlay)
		same := func(file string) bool { return elf.IdentifyTarget(file) == update }
		if update != (elf.Identity{}) && !slices.ContainsFunc(files, same) {
			files = append(files, overlay)
		}
	}
	all, err := registry.OpenAll(files)
	if err != nil {
		return nil, failure{err}
	}
	if len(all) != 1 {
		registry.CloseAll(all)
		return nil, fmt.Errorf("%d registries: name only that of the modules' kernel", len(all))
	}
	r := all[0]
	switch {
	case overlay == "":
	case update == elf.IdentifyTarget(r.Path):
		err = fmt.Errorf("--update %s: this is a registry, which is never written, not an overlay",
			overlay)
	case r.Overlay != nil && update != elf.IdentifyTarget(r.Overlay.Path):
		err = fmt.Errorf("--update %s: --registry names another overlay, %s",
			overlay, r.Overlay.Path)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func printOutcome(stdout, stderr io.Writer, outcome *kbuild.Outcome, f moduleFlags) error {
	var aliased, ambiguous []registry.Record
	for _, s := range outcome.Symbols {
		if s.Alias != "" && !s.Late() {
			aliased = append(aliased, s)
		}
	}
	for _, a := range outcome.Ambiguous {
		ambiguous = append(ambiguous, a.Record)
	}
	if f.json {
		return report.WriteJSON(stdout, struct {
			Aliases   []symbolJSON `json:"aliases"`
			Ambiguous []symbolJSON `json:"became_ambiguous"`
			Written   []string     `json:"written"`
		}{symbolsJSON(aliased), symbolsJSON(ambiguous), append([]string{}, outcome.Written...)})
	}
	var rows []match
	for _, r := range aliased {
		rows = append(rows, match{Record: r})
	}
	if err := printTable(stdout, rows, nil); err != nil {
		return err
	}
	for _, a := range outcome.Ambiguous {
		fmt.Fprintf(stderr, "kas: %s\n", a.String())
	}
	switch {
	case len(aliased) == 0:
		fmt.Fprintln(stderr, "kas: no name is ambiguous: nothing to write")
	case len(outcome.Written) == 0 && !f.dry:
		fmt.Fprintln(stderr, "kas: the modules have all aliases already: nothing to write")
	case !f.dry:
		for _, w := range outcome.Written {
			fmt.Fprintf(stderr, "kas: wrote %s\n", w)
		}
	}
	return nil
}
