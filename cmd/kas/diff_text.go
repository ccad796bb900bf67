package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"kas/registry"
)

// diffMeaning is what the table prints beside the number of a kind.
var diffMeaning = map[registry.Kind]string{
	registry.KindSame:      "names the same function",
	registry.KindLine:      "the function is at another line",
	registry.KindSpelling:  "the same location is spelled differently",
	registry.KindSuffix:    "the symbol has another suffix or, in Rust, another hash",
	registry.KindUnit:      "another unit compiles the file",
	registry.KindFile:      "the function is declared in another file",
	registry.KindUnique:    "its name is unique in B",
	registry.KindUnaliased: "has no alias in B",
	registry.KindGone:      "is not in B",
	registry.KindUndecided: "may be one of several, or none",
	registry.KindReused:    "names ANOTHER symbol in B",

	registry.KindBecameAmbiguous: "became ambiguous",
	registry.KindBecameUnique:    "became unique",
	registry.KindAppeared:        "appeared",
	registry.KindVanished:        "vanished",
	registry.KindMore:            "ambiguous, of more symbols",
	registry.KindFewer:           "ambiguous, of fewer symbols",
}

// printDiffText is at most 80 columns wide where names allow it.
func printDiffText(w io.Writer, d *registry.Diff) {
	printSides(w, d)

	fmt.Fprintf(w, "\n%9s  %s\n", "aliases", "of A, in B")
	for _, kind := range registry.AliasKinds {
		if n := d.Count(kind); n > 0 && kind != registry.KindNew {
			fmt.Fprintf(w, "%9d  %-11s%s\n", n, kind, diffMeaning[kind])
		}
	}
	fmt.Fprintf(w, "%9d  in all; %d hold as they are\n", d.A.Aliases, d.Held())
	fmt.Fprintf(w, "%9d  of B are new, of %d\n", d.Count(registry.KindNew), d.B.Aliases)

	fmt.Fprintf(w, "\n%9s%11s\n", "names", "functions")
	for _, kind := range registry.NameKinds {
		all, code := 0, 0
		for _, n := range d.Names {
			if n.Kind == kind {
				all++
				if n.Code {
					code++
				}
			}
		}
		fmt.Fprintf(w, "%9d%11d  %s\n", all, code, diffMeaning[kind])
	}
	fmt.Fprintf(w, "%9s%11d  with aliases are ambiguous in A, %d in B\n", "", d.A.Ambiguous,
		d.B.Ambiguous)

	for _, kind := range []registry.Kind{registry.KindBecameAmbiguous, registry.KindBecameUnique} {
		var lines []string
		for _, n := range d.Names {
			if n.Kind == kind && n.Code {
				lines = append(lines, fmt.Sprintf("%s (%d, was %d)", n.Name, n.B, n.A))
			}
		}
		printFirst(w, "functions whose name "+diffMeaning[kind], lines)
	}
	var reused []string
	for i := range d.Aliases {
		if t := &d.Aliases[i]; t.Kind == registry.KindReused {
			b := t.ReusedBy[0]
			const format = "%s\n    is %s of %s\n    and what it named in A is now %s"
			reused = append(reused, fmt.Sprintf(format, t.A.Alias,
				cmp.Or(b.Location(), b.Name), b.Object, cmp.Or(t.To, "not found")))
		}
	}
	printFirst(w, "REUSED: aliases of A that name ANOTHER symbol in B", reused)
}

// printFirst prints the first ten of a list, if there is one.
func printFirst(w io.Writer, title string, lines []string) {
	const most = 10
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, line := range lines[:min(len(lines), most)] {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if more := len(lines) - most; more > 0 {
		fmt.Fprintf(w, "  and %d more (kas diff --list)\n", more)
	}
}

// printSides describes A and B: what they share once, what differs side by side.
func printSides(w io.Writer, d *registry.Diff) {
	a, b := &d.A, &d.B
	const row = "%-11s%-32s %s\n"
	fmt.Fprintf(w, row, "", "A", "B")
	var both []string
	for _, f := range []struct{ name, a, b string }{
		{"release", a.Release, b.Release}, {"arch", a.Arch, b.Arch},
		{"toolchain", a.Toolchain, b.Toolchain}, {"lto", a.LTO, b.LTO},
	} {
		switch {
		case f.a != f.b:
			fmt.Fprintf(w, row, f.name, cmp.Or(f.a, "-"), cmp.Or(f.b, "-"))
		case f.name == "lto" && f.a != "":
			both = append(both, "lto "+f.a)
		case f.a != "":
			both = append(both, f.a)
		}
	}
	fmt.Fprintf(w, row, "symbols", strconv.Itoa(a.Symbols), strconv.Itoa(b.Symbols))
	fmt.Fprintf(w, row, "aliases", strconv.Itoa(a.Aliases), strconv.Itoa(b.Aliases))
	if len(both) > 0 {
		fmt.Fprintf(w, "%-11s%s\n", "both", strings.Join(both, ", "))
	}
	if a.Policy != b.Policy {
		fmt.Fprint(w, "\nThe policies differ: other rules choose or spell the aliases.\n")
		fmt.Fprintf(w, "  A  %s\n  B  %s\n", cmp.Or(a.Policy, "-"), cmp.Or(b.Policy, "-"))
	}
}
