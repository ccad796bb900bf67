package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"kas/registry"
)

// printDiffList prints a line for each alias and each changed name. Several builds have a column of
// their own. Names that only data has are printed if data is true.
func printDiffList(w io.Writer, build string, d *registry.Diff, data, header bool) {
	row := func(columns ...string) { fmt.Fprintln(w, strings.Join(columns, "\t")) }
	columns := []string{
		"kind", "name", "object", "alias_a", "alias_b", "file_a", "line_a", "file_b", "line_b",
	}
	var first []string
	if build != "" {
		first, columns = []string{build}, append([]string{"build"}, columns...)
	}
	if header {
		row(columns...)
	}
	for i := range d.Aliases {
		t := &d.Aliases[i]
		of, aliasA, aliasB := t.A, "", t.To
		if t.Kind == registry.KindNew {
			of = t.B
		} else {
			aliasA = t.A.Alias
		}
		fileA, lineA := locationColumns(t.A)
		fileB, lineB := locationColumns(t.B)
		row(append(first, string(t.Kind), of.BaseName(), of.Object, aliasA, aliasB,
			fileA, lineA, fileB, lineB)...)
	}
	for _, n := range changedNames(d, data) {
		row(append(first, string(n.Kind), n.Name, n.Object, "", "", "", "", "", "")...)
	}
}

// changedNames returns the names of functions whose number of symbols differs, and those of data.
func changedNames(d *registry.Diff, data bool) []registry.Name {
	return slices.DeleteFunc(slices.Clone(d.Names), func(n registry.Name) bool {
		return !data && !n.Code
	})
}

// locationColumns returns the columns of a record that may be missing or have no location.
func locationColumns(r *registry.Record) (file, line string) {
	if r == nil {
		return "", ""
	}
	if r.Line != 0 {
		line = strconv.FormatInt(r.Line, 10)
	}
	return r.File, line
}

// The comparison for programs.
type (
	diffsJSON struct {
		Builds []diffJSON `json:"builds"`
		OnlyA  []string   `json:"only_a,omitempty"` // builds that B does not have
		OnlyB  []string   `json:"only_b,omitempty"`
	}
	diffJSON struct {
		Build     string          `json:"build,omitempty"` // of several
		A         diffSideJSON    `json:"a"`
		B         diffSideJSON    `json:"b"`
		Held      int             `json:"held"` // aliases of A that hold in B
		Count     map[string]int  `json:"count"`
		AliasList []diffAliasJSON `json:"aliases"`
		NameList  []diffNameJSON  `json:"names"`
	}
	diffSideJSON struct {
		Release   string `json:"release,omitempty"`
		Arch      string `json:"arch,omitempty"`
		Toolchain string `json:"toolchain,omitempty"`
		LTO       string `json:"lto,omitempty"`
		BuildID   string `json:"build_id,omitempty"`
		Policy    string `json:"policy,omitempty"`
		Symbols   int    `json:"symbols"`
		Aliases   int    `json:"aliases"`
		Ambiguous int    `json:"ambiguous"` // names with aliases

		Incomplete string `json:"incomplete,omitempty"` // what is missing
	}
	diffAliasJSON struct {
		Kind       registry.Kind `json:"kind"`
		Name       string        `json:"name"`
		AliasA     string        `json:"alias_a,omitempty"`
		AliasB     string        `json:"alias_b,omitempty"` // or the name, if that is unique
		A          *symbolJSON   `json:"a,omitempty"`
		B          *symbolJSON   `json:"b,omitempty"`
		Candidates []symbolJSON  `json:"candidates,omitempty"`
		ReusedBy   []symbolJSON  `json:"reused_by,omitempty"`
	}
	diffNameJSON struct {
		Kind   registry.Kind `json:"kind"`
		Name   string        `json:"name"`
		A      int           `json:"a"` // symbols that carry it
		B      int           `json:"b"`
		Code   bool          `json:"code"`
		Object string        `json:"object,omitempty"`
	}
)

// newDiffJSON converts a comparison. Names that only data has are included if data is true.
func newDiffJSON(d *registry.Diff, data bool) diffJSON {
	out := diffJSON{
		A: newDiffSide(&d.A), B: newDiffSide(&d.B), Held: d.Held(), Count: map[string]int{},
		AliasList: []diffAliasJSON{}, NameList: []diffNameJSON{},
	}
	for _, kind := range slices.Concat(registry.NameKinds, registry.AliasKinds) {
		out.Count[string(kind)] = 0
	}
	for i := range d.Aliases {
		t := &d.Aliases[i]
		out.Count[string(t.Kind)]++
		a := diffAliasJSON{
			Kind: t.Kind, AliasB: t.To, Candidates: symbolsJSON(t.Candidates),
			ReusedBy: symbolsJSON(t.ReusedBy),
		}
		if t.B != nil {
			a.Name, a.B = t.B.BaseName(), &symbolsJSON([]registry.Record{*t.B})[0]
		}
		if t.A != nil {
			a.Name, a.AliasA = t.A.BaseName(), t.A.Alias
			a.A = &symbolsJSON([]registry.Record{*t.A})[0]
		}
		out.AliasList = append(out.AliasList, a)
	}
	for _, n := range changedNames(d, data) {
		out.Count[string(n.Kind)]++
		out.NameList = append(out.NameList, diffNameJSON(n))
	}
	return out
}

func newDiffSide(s *registry.Side) diffSideJSON {
	return diffSideJSON{
		Release: s.Release, Arch: s.Arch, Toolchain: s.Toolchain, LTO: s.LTO, BuildID: s.BuildID,
		Policy: s.Policy, Symbols: s.Symbols, Aliases: s.Aliases, Ambiguous: s.Ambiguous,
		Incomplete: s.Incomplete.String(),
	}
}
