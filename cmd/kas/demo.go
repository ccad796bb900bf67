package main

import (
	"bytes"
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

	"github.com/spf13/cobra"

	"kas/demo"
	"kas/pipeline"
	"kas/report"
)

// demoDir is where the demo goes if nobody says otherwise.
const demoDir = "kas-demo"

// demoNames are the base names whose aliases the demo prints: functions of one name in many files, of a C file that
// another includes, and of a header.
var demoNames = []string{"name_show", "load_elf_binary", "copy_from_header"}

// demoBuilds are the builds it prints them of: one whose names repeat as they are, one where link-time optimization hides
// that they do.
var demoBuilds = []string{"x86_64-gcc", "x86_64-clang-lto"}

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo [DIR]",
		Short: "run the pipeline on five small kernels that come with kas",
		Long:  "Kas demo runs the pipeline on five small kernels that come with kas, in DIR\n(default " + demoDir + ").",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := demoDir
			if len(args) > 0 {
				dir = args[0]
			}
			return runDemo(cmd.Context(), dir, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func runDemo(ctx context.Context, dir string, stdout, stderr io.Writer) error {
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
	if err := report.Text(stdout, result, took); err != nil {
		return failure{err}
	}
	fmt.Fprintln(stdout)
	if err := showAliases(stdout, result); err != nil {
		return failure{err}
	}
	fmt.Fprintf(stdout, "\nthe kernels, their sources and the output are in %[1]s; try\n  %[4]s verify %[2]s\n  %[4]s run %[3]s\n",
		dir, plan.Out, filepath.Join(dir, demo.ConfigFile), os.Args[0])
	if len(result.Errors) > 0 {
		return errReported
	}
	return nil
}

// checkDemoDir refuses a folder that is not empty, absent or an earlier demo.
func checkDemoDir(dir string) error {
	if dir == "" {
		return errors.New("name the folder of the demo")
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
		return fmt.Errorf("%s is not empty and no earlier demo: name another folder", dir)
	}
	return nil
}

// unpackDemo writes the embedded kernels below dir.
func unpackDemo(dir string) error {
	return fs.WalkDir(demo.FS, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := demo.FS.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = pipeline.WriteFile(filepath.Join(dir, path), func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		return err
	})
}

// showAliases prints what became of a few names of vmlinux, from the tables.
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
				place, ok := strings.CutPrefix(alias, base+"@")
				if ok && strings.HasPrefix(rest, "vmlinux\t") {
					fmt.Fprintf(t, "  %s\t@%s\n", symbol, place)
				}
			}
		}
	}
	return t.Flush()
}
