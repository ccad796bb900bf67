package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kas/demo"
	"kas/pipeline"
	"kas/report"
)

// demoDir is the default folder of the demo.
const demoDir = "kas-demo"

// demoNames are the base names whose aliases the demo prints: a name that many files use, a
// function of a C file that another file includes, and a function of a header.
var demoNames = []string{"name_show", "load_elf_binary", "copy_from_header"}

// demoBuilds are the builds whose aliases the demo prints: one whose names repeat as they are, and
// one where LTO has renamed the repetitions.
var demoBuilds = []string{"x86_64-gcc", "x86_64-clang-lto"}

func newDemo() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo [DIR]",
		Short: "Run all stages on five small kernels that come with kas",
		Long: `Unpack five small kernels that come with kas into DIR (default ` + demoDir + `), run
all stages on them, and print what became of a few names.`,
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := demoDir
			if len(args) > 0 {
				dir = args[0]
			}
			return runDemo(cmd.Context(), dir, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, as kas run does")
	return cmd
}

func runDemo(
	ctx context.Context, dir string, asJSON bool, stdout, stderr io.Writer,
) error {
	if err := checkDemoDir(dir); err != nil {
		return err
	}
	if err := unpackDemo(dir); err != nil {
		return failure{err}
	}
	plan, err := load(filepath.Join(dir, demo.ConfigFile), runFlags{})
	if err != nil {
		return err
	}
	result, took, err := runPlan(ctx, plan, runFlags{}, stderr)
	if err != nil {
		return err
	}
	if asJSON {
		err = report.JSON(stdout, result, took)
	} else {
		err = explainDemo(stdout, dir, plan.Out, result, took)
	}
	if err != nil {
		return failure{err}
	}
	if len(result.Errors) > 0 {
		return errReported
	}
	return nil
}

// explainDemo prints what the run did, and what to try next.
func explainDemo(
	w io.Writer, dir, out string, result *pipeline.Result, took time.Duration,
) error {
	if err := report.Text(w, result, took); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := showAliases(w, result); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nThe kernels, their sources and the output are in %s. Try\n"+
		"  %s verify %s\n  %[2]s run %[4]s\n", dir, os.Args[0], out,
		filepath.Join(dir, demo.ConfigFile))
	return err
}

// checkDemoDir refuses a folder that is not absent, empty or an earlier demo.
func checkDemoDir(dir string) error {
	if dir == "" {
		return errors.New("the demo needs the name of a folder")
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	config, _ := os.ReadFile(filepath.Join(dir, demo.ConfigFile))
	own, err := demo.FS.ReadFile(demo.ConfigFile)
	if err != nil {
		return err
	}
	if len(entries) > 0 && !bytes.Equal(config, own) {
		return fmt.Errorf("%s is neither empty nor an earlier demo: name another folder", dir)
	}
	return nil
}

// unpackDemo writes the embedded kernels below dir.
func unpackDemo(dir string) error {
	var files pipeline.Files
	err := fs.WalkDir(demo.FS, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := demo.FS.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = files.WriteFile(filepath.Join(dir, path), func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		return err
	})
	failed, settled := files.Settle()
	for _, err := range failed {
		return err
	}
	return cmp.Or(err, settled)
}

// showAliases prints, from the tables, what became of a few names of vmlinux.
func showAliases(w io.Writer, r *pipeline.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range r.Builds {
		if !slices.Contains(demoBuilds, b.Config.Name) {
			continue
		}
		table, err := os.ReadFile(b.Path("aliases.tsv"))
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s\n", b.Config.Name)
		for _, base := range demoNames {
			for line := range strings.Lines(string(table)) {
				alias, rest, _ := strings.Cut(line, "\t")
				symbol, rest, _ := strings.Cut(rest, "\t")
				location, ok := strings.CutPrefix(alias, base+"@")
				if ok && strings.HasPrefix(rest, "vmlinux\t") {
					fmt.Fprintf(t, "  %s\t@%s\n", symbol, location)
				}
			}
		}
	}
	return t.Flush()
}
