package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kas/registry"
	"kas/report"
)

// splitDiff separates the registries of kas diff, which are at least two, from the aliases.
func splitDiff(args []string) (names, aliases []string) {
	n := min(2, len(args))
	for n < len(args) && isRegistryArg(args[n]) {
		n++
	}
	return args[:n], args[n:]
}

// isRegistryArg reports whether an argument that may be something else names registries: a folder
// or a file *.kas or *.kas.zst.
func isRegistryArg(arg string) bool {
	return isFolder(arg) || strings.HasSuffix(strings.TrimSuffix(arg, ".zst"), ".kas")
}

// series is one build over several registries, the oldest first.
type series struct {
	build string // "" if the arguments are registries
	files []string
}

// findSeries returns the series of registries, or one for each build that at least two outputs
// have. It names the builds that an output does not have.
func findSeries(names []string, stderr io.Writer) ([]series, error) {
	builds := make([]map[string]string, len(names))
	several := 0
	files := slices.Clone(names)
	for i, name := range names {
		inside, found, err := buildsIn(name)
		if err != nil {
			return nil, err
		}
		files[i] = inside
		if builds[i] = found; found != nil {
			several++
		}
	}
	if several == 0 {
		return []series{{"", files}}, nil
	}
	if several < len(names) {
		return nil, errors.New("some arguments have several builds, and others are one build")
	}
	all := map[string][]string{}
	for _, found := range builds {
		for name, file := range found {
			all[name] = append(all[name], file)
		}
	}
	var list []series
	for _, build := range slices.Sorted(maps.Keys(all)) {
		for i, found := range builds {
			if found[build] == "" {
				fmt.Fprintf(stderr, "kas: %s: not in %s\n", build, names[i])
			}
		}
		if len(all[build]) > 1 {
			list = append(list, series{build, all[build]})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no two arguments have a build of the same name")
	}
	return list, nil
}

// buildsIn returns the registry that a name stands for, or the registries of an output by build.
func buildsIn(name string) (file string, builds map[string]string, err error) {
	if !isFolder(name) {
		return name, nil, nil // opening it reports what is wrong
	}
	if inside := registry.InFolder(name); inside != "" {
		return inside, nil, nil
	}
	files, err := registriesIn(name)
	if err != nil {
		return "", nil, err
	}
	builds = map[string]string{}
	for _, file := range files {
		builds[filepath.Base(filepath.Dir(file))] = file
	}
	return "", builds, nil
}

// diffSeries prints since when names are ambiguous.
func diffSeries(names []string, f diffFlags, stdout, stderr io.Writer) (result error) {
	if f.quiet || len(f.failOn) > 0 {
		return errors.New("--fail-on and --quiet compare two: name the last two")
	}
	list, err := findSeries(names, stderr)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	var all []seriesJSON
	for i, s := range list {
		one, err := readSeries(s, f.data, stderr)
		if err != nil && len(list) == 1 {
			return err
		}
		if err != nil {
			fmt.Fprintf(stderr, "kas: %v\n", err)
			result = errReported
			continue
		}
		switch {
		case f.json:
			all = append(all, one)
		case f.list:
			one.printList(out, i == 0)
		default:
			if i > 0 {
				fmt.Fprintln(out)
			}
			one.printText(out)
		}
	}
	if f.json && list[0].build == "" {
		err = report.WriteJSON(out, all[0])
	} else if f.json {
		err = report.WriteJSON(out, struct {
			Builds []seriesJSON `json:"builds"`
		}{all})
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return failure{err}
	}
	return result
}

// The series for programs.
type (
	seriesJSON struct {
		Build      string           `json:"build,omitempty"` // of several
		Registries []seriesSideJSON `json:"registries"`
		Names      []seriesNameJSON `json:"names"`
	}
	seriesSideJSON struct {
		Label     string `json:"label"`
		Release   string `json:"release,omitempty"`
		Arch      string `json:"arch,omitempty"`
		Toolchain string `json:"toolchain,omitempty"`
		LTO       string `json:"lto,omitempty"`
		Ambiguous int    `json:"ambiguous"` // names

		Incomplete string `json:"incomplete,omitempty"` // what is missing
	}
	seriesNameJSON struct {
		Name      string `json:"name"`
		Ambiguous bool   `json:"ambiguous"` // in the last registry
		Since     string `json:"since"`     // label of the registry since which that is so
		Counts    []int  `json:"counts"`    // symbols of the name in each registry
		Code      bool   `json:"code"`

		since int
	}
)

// readSeries reads the registries of a series. Names that only data has are included if data is
// true.
func readSeries(s series, data bool, stderr io.Writer) (out seriesJSON, err error) {
	open, err := registry.OpenAll(s.files)
	if err != nil {
		return out, failure{err}
	}
	defer registry.CloseAll(open)
	if len(open) < 2 {
		return out, errors.New("an overlay is no build of its own")
	}
	warnIncomplete(stderr, open)
	out = seriesJSON{Build: s.build, Names: []seriesNameJSON{}}
	labels := labels(open)
	for i, r := range open {
		out.Registries = append(out.Registries, seriesSideJSON{
			Label: labels[i], Release: r.Release, Arch: r.Arch, Toolchain: r.Toolchain, LTO: r.LTO,
			Incomplete: r.Incomplete.String(),
		})
	}
	for _, h := range registry.Ambiguous(open) {
		if !h.Code && !data {
			continue
		}
		since, ambiguous := h.Since()
		out.Names = append(out.Names, seriesNameJSON{
			h.Name, ambiguous, labels[since], h.Counts, h.Code, since,
		})
		for i, n := range h.Counts {
			if n > 1 {
				out.Registries[i].Ambiguous++
			}
		}
	}
	return out, nil
}

// printText prints the registries, and the names that became ambiguous or are no longer so.
func (s *seriesJSON) printText(w io.Writer) {
	if s.Build != "" {
		fmt.Fprintf(w, "build %s\n\n", s.Build)
	}
	rows := [][]string{{"registry", "release", "toolchain", "ambiguous names"}}
	for i := range s.Registries {
		r := &s.Registries[i]
		rows = append(rows, []string{
			r.Label, r.Release, toolchainText(r.Toolchain, r.LTO), strconv.Itoa(r.Ambiguous),
		})
	}
	writeAligned(w, rows, 3)
	for _, ambiguous := range []bool{true, false} {
		title := "no longer ambiguous since "
		if ambiguous {
			title = "ambiguous since "
		}
		for since := 1; since < len(s.Registries); since++ {
			var lines []string
			for i := range s.Names {
				n := &s.Names[i]
				if n.since == since && n.Ambiguous == ambiguous {
					lines = append(lines, fmt.Sprintf("%s (%s)", n.Name, countsText(n.Counts)))
				}
			}
			printFirst(w, title+s.Registries[since].Label, lines)
		}
	}
}

// countsText returns numbers with commas.
func countsText(counts []int) string {
	var all []string
	for _, n := range counts {
		all = append(all, strconv.Itoa(n))
	}
	return strings.Join(all, ", ")
}

// printList prints a line for each name that is ambiguous in a registry.
func (s *seriesJSON) printList(w io.Writer, header bool) {
	if header {
		columns := "name\tambiguous\tsince\tcounts"
		if s.Build != "" {
			columns = "build\t" + columns
		}
		fmt.Fprintln(w, columns)
	}
	for i := range s.Names {
		n := &s.Names[i]
		if s.Build != "" {
			fmt.Fprintf(w, "%s\t", s.Build)
		}
		counts := strings.ReplaceAll(countsText(n.Counts), " ", "")
		fmt.Fprintf(w, "%s\t%t\t%s\t%s\n", n.Name, n.Ambiguous, n.Since, counts)
	}
}
