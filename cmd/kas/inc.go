package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kas/pipeline"
)

func newInc() *cobra.Command {
	var header string
	var lines int
	cmd := &cobra.Command{
		Use:   "inc INCLUDED INCLUDER",
		Short: "Write a header that shows in a line table who includes a C file",
		Long: `Write a header for a C file that is compiled by itself and also included by
another, such as fs/binfmt_elf.c by fs/compat_binfmt_elf.c. Debugging
information then has two functions with the same file and line. Kas
distinguishes them by their unit. For tools that see only the line table, a
#line directive can name both files:

  #line N "fs/binfmt_elf.c:compat_binfmt_elf.c"

N must be the number of the next line, which the preprocessor cannot compute.
The header counts up to --lines. Inc also prints what to add to both files. Kas
makes the same aliases with and without the directive.`,
		Args: argCount(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lines < 1 || lines > 1e6 {
				return fmt.Errorf("--lines %d: must be from 1 to 1000000", lines)
			}
			return inc(args[0], args[1], header, lines, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&header, "header", "",
		"write the header to `FILE` (default: INCLUDED with _inc.h for .c)")
	cmd.Flags().IntVar(&lines, "lines", 1000, "allow the directive up to line `N`")
	return cmd
}

// incComment begins every header that inc writes.
const incComment = "/* INC_LINE is the number of the line after the one it stands on"

func inc(included, includer, header string, lines int, stdout io.Writer) error {
	included, includer = path.Clean(included), path.Clean(includer)
	stem := strings.TrimSuffix(included, path.Ext(included))
	if header == "" {
		header = stem + "_inc.h"
	}
	for _, file := range []string{included, includer} {
		if info, err := os.Stat(file); err != nil {
			return err
		} else if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", file)
		}
	}
	if included == includer {
		return fmt.Errorf("%s cannot include itself", included)
	}
	// Replace only a header that inc wrote.
	old, err := os.ReadFile(header)
	if err == nil && !strings.HasPrefix(string(old), incComment) ||
		err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure{fmt.Errorf("%s exists and is not a header of kas inc", header)}
	}
	macro := "_" + strings.ToUpper(identifier(path.Base(stem))) + "_INC"
	_, err = pipeline.WriteFile(header, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		fmt.Fprintf(b, "%s, up to line %d. */\n", incComment, lines)
		fmt.Fprintf(b, "#ifndef %s_H\n#define %s_H\n", macro, macro)
		fmt.Fprintf(b, "#define %[1]s_PASTE(n) %[1]s_##n\n#define %[1]s_AFTER(n) %[1]s_PASTE(n)\n",
			macro)
		fmt.Fprintf(b, "#define INC_LINE %s_AFTER(__LINE__)\n", macro)
		for i := 1; i <= lines; i++ {
			fmt.Fprintf(b, "#define %s_%d %d\n", macro, i, i+1)
		}
		fmt.Fprint(b, "#endif\n")
		return b.Flush()
	})
	if err != nil {
		return failure{err}
	}
	unit := includer
	if path.Dir(includer) == path.Dir(included) {
		unit = path.Base(includer)
	}
	include, err := filepath.Rel(filepath.Dir(included), header)
	if err != nil {
		include = header
	}
	_, err = fmt.Fprintf(stdout, `Wrote %[7]s. Add to %[1]s, before it includes %[2]s:

#define %[3]s_BY "%[2]s:%[4]s"

Add to %[2]s, before its first function, at line %[5]d or before:

#ifdef %[3]s_BY
#include "%[6]s"
#line INC_LINE %[3]s_BY
#endif
`, includer, included, macro, unit, lines, include, header)
	return err
}

// identifier replaces each character that a C identifier cannot have by an underscore.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, s)
}
