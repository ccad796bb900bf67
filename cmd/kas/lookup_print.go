package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"kas/registry"
	"kas/report"
)

// printTable prints a line for each symbol: its alias or name, its object, its address. The line
// fits a terminal where names allow it.
func printTable(w io.Writer, found []match, labels []string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, m := range found {
		if len(labels) > 1 {
			fmt.Fprintf(t, "%s\t", m.registry)
		}
		name := cmp.Or(m.Alias, m.Name) + offset(&m.Record)
		fmt.Fprintf(t, "%s\t%s\t%s", name, m.Object, address(&m.Record))
		if remarks := remarks(&m.Record); remarks != "" {
			fmt.Fprintf(t, "\t%s", remarks)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// address returns the address of a symbol of vmlinux, and SECTION+OFFSET of a module's.
func address(r *registry.Record) string {
	if r.Object == registry.Vmlinux {
		return fmt.Sprintf("%x", r.Address)
	}
	return fmt.Sprintf("%s+%#x", r.Section, r.Address)
}

// offset returns where in the symbol the address is that was looked up, "" if it is its beginning.
func offset(r *registry.Record) string {
	if r.Offset == 0 {
		return ""
	}
	return fmt.Sprintf("+%#x", r.Offset)
}

// remarks returns what the other columns do not show.
func remarks(r *registry.Record) string {
	var all []string
	switch {
	case r.Alias == "" && r.Count > 1:
		all = append(all, fmt.Sprintf("one of %d", r.Count))
	case r.Alias != "" && r.Name != r.BaseName():
		all = append(all, "is "+r.Name)
	}
	if text := registry.Demangled(r.Name); text != "" {
		all = append(all, text)
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
			{"name", m.Name}, {"demangled", registry.Demangled(m.Name)}, {"alias", m.Alias},
			{"object", m.Object}, {"section", m.Section},
			{"address", fmt.Sprintf("%x", m.Address)}, {"offset", offset(&m.Record)},
			{"size", fmt.Sprint(m.Size)},
			{"type", string(rune(m.Type))}, {"location", m.Location()}, {"source", m.Method},
			{"symbols of this name", fmt.Sprint(m.Count)},
			{"position in its object", fmt.Sprint(m.Position)},
			{"BTF id", btfText(m.btf)},
			{"registry", m.registry},
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

func btfText(id uint32) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprint(id)
}

func printJSON(w io.Writer, found []match, _ []string) error {
	all := make([]symbolJSON, len(found))
	for i, m := range found {
		all[i] = newSymbolJSON(&m.Record)
		all[i].Registry, all[i].BTF = m.registry, m.btf
	}
	return report.WriteJSON(w, all)
}
