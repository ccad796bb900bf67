package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kas/probe"
	"kas/registry"
	"kas/report"
)

const probeLong = `Print how to probe exactly one function: for kprobe_events, perf, bpftrace, a
livepatch, gdb and drgn. PATTERN finds it in a registry (symbols.kas), as in kas
lookup.

--live checks the function in the running kernel, --check in a file about one.
It must be the registry's kernel, and all symbols of the function's name must be
at the addresses that the registry gives. A difference is an error.

  kas probe name_show@drivers/rtc/sysfs.c --live --write
  echo 1 >/sys/kernel/tracing/events/kas/enable`

type probeFlags struct {
	registries []string
	object     string
	live       bool
	check      string
	write      bool
	format     string
	json       bool
	naming     probe.Naming
	sysroot    string
}

func newProbe() *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use:               "probe PATTERN",
		Short:             "Print how tracers and debuggers name exactly one function",
		Long:              probeLong,
		Args:              argCount(1, 1),
		ValidArgsFunction: completeSymbols,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.valid(); err != nil {
				return err
			}
			return printProbe(cmd.Context(), args[0], f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.registries, "registry", "r", nil, registryHelp)
	flags.StringVar(&f.object, "object", "", "find only functions of `OBJECT` (vmlinux, xfs.ko)")
	flags.BoolVar(&f.live, "live", false,
		"check the function in the running kernel (root sees addresses)")
	flags.StringVar(&f.check, "check", "",
		"check the function in `FILE`: a saved kallsyms, a System.map or a vmlinux")
	flags.BoolVar(&f.write, "write", false,
		"check as with --live and add the event to kprobe_events")
	flags.BoolVar(&f.naming.Return, "return", false, "probe where the function returns")
	flags.StringVar(&f.naming.Event, "event", "",
		"`NAME` of the event (default: made from the alias)")
	flags.StringVar(&f.naming.Group, "group", "kas", "`NAME` of the event's group")
	flags.StringVar(&f.format, "format", "",
		"print only the line for `TOOL`: "+strings.Join(probeFormats, ", "))
	flags.BoolVar(&f.json, "json", false, "print JSON")
	addSysroot(cmd, &f.sysroot)
	return cmd
}

func (f *probeFlags) valid() error {
	f.live = f.live || f.write
	switch {
	case f.live && f.check != "":
		return errors.New(
			"--check does not go with --live or --write: they check the running kernel")
	case f.format != "" && f.json:
		return errors.New("--format does not go with --json")
	case f.format != "" && !slices.Contains(probeFormats, f.format):
		return fmt.Errorf("--format %s: must be one of %s",
			f.format, strings.Join(probeFormats, ", "))
	case f.naming.Event != "" && !probe.ValidName(f.naming.Event):
		return fmt.Errorf("--event %q: must be 1 to 63 letters, digits and underscores",
			f.naming.Event)
	case !probe.ValidName(f.naming.Group):
		return fmt.Errorf("--group %q: must be 1 to 63 letters, digits and underscores",
			f.naming.Group)
	}
	return nil
}

// probeFormats are the values of --format, in the order of the output.
var probeFormats = []string{"kprobe", "perf", "bpftrace", "livepatch", "gdb", "drgn"}

// probeLine returns the line for one of probeFormats, and the versions of the tool that take it, ""
// for all.
func probeLine(
	t *probe.Target, format string, n probe.Naming,
) (line, versions string, err error) {
	switch format {
	case "kprobe":
		line = t.Kprobe(n)
	case "perf":
		line = t.Perf(n)
	case "bpftrace":
		return t.Bpftrace(n)
	case "livepatch":
		line = t.Livepatch()
	case "gdb":
		line, err = t.GDB()
	case "drgn":
		line, err = t.Drgn()
	}
	return line, "", err
}

func printProbe(
	ctx context.Context, pattern string, f probeFlags, stdout, stderr io.Writer,
) error {
	all, err := (&finder{f.sysroot, stderr}).open(ctx, f.registries, registry.OpenForLookup)
	if err != nil {
		return err
	}
	defer registry.CloseAll(all)
	t, from, err := findProbe(all, pattern, f)
	if err != nil {
		warnIncomplete(stderr, all)
		return failure{err}
	}
	warnIncomplete(stderr, []*registry.Registry{from})
	for _, note := range t.Notes {
		fmt.Fprintln(stderr, "kas:", note)
	}
	if t.Checked == "" {
		fmt.Fprintln(stderr, "kas: not checked: only the registry was read")
	}
	switch {
	case f.json:
		err = printProbeJSON(stdout, t, from, f.naming)
	case f.format != "":
		var line, versions string
		if line, versions, err = probeLine(t, f.format, f.naming); err == nil {
			_, err = fmt.Fprintln(stdout, line)
		}
		if versions != "" {
			fmt.Fprintf(stderr, "kas: %s %s\n", f.format, versions)
		}
	default:
		err = printProbeBlock(stdout, t, f.naming)
	}
	if err != nil {
		return failure{err}
	}
	if !f.write {
		return nil
	}
	if t.Checked == "" {
		err := errors.New(
			"not written: unchecked, it may be another function in the running kernel")
		return failure{err}
	}
	path, err := probe.Write(f.sysroot, t.Kprobe(f.naming))
	if err != nil {
		return failure{err}
	}
	fmt.Fprintf(stderr, "kas: added to %s\n", path)
	return nil
}

// findProbe finds the function that pattern means and checks it in the kernel that the flags name.
func findProbe(
	all []*registry.Registry, pattern string, f probeFlags,
) (t *probe.Target, from *registry.Registry, err error) {
	var k *probe.Kernel
	switch {
	case f.live:
		k, err = probe.ReadLive(f.sysroot)
	case f.check != "":
		k, err = probe.ReadFile(f.check)
	}
	if err != nil {
		return nil, nil, err
	}
	from, record, err := probe.Choose(all, pattern, f.object, k)
	if errors.Is(err, probe.ErrNoFunction) {
		if hint := hint(all, pattern); hint != "" {
			err = fmt.Errorf("%w\n%s", err, hint)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	t, err = probe.Find(from, record, k)
	return t, from, err
}

func printProbeBlock(w io.Writer, t *probe.Target, n probe.Naming) error {
	r := &t.Record
	lines := []string{cmp.Or(r.Alias, r.Name)}
	add := func(label, text string) {
		lines = append(lines, fmt.Sprintf("  %-10s %s", label, text))
	}
	function := r.Name + ", " + r.Object
	if location := r.Location(); location != "" {
		function += ", " + location
	}
	add("function", function)
	switch {
	case t.Checked != "" && t.Module == "":
		add("address", fmt.Sprintf("%#x, %#x from its link address", t.Address, t.Slide))
		add("checked", t.Checked)
	case t.Checked != "":
		add("address", fmt.Sprintf("%#x, %s at %#x", t.Address, r.Section, t.Base))
		add("checked", t.Checked)
	case t.Module == "":
		add("address", fmt.Sprintf("%#x, as linked", t.Address))
	default:
		add("address", fmt.Sprintf("%s+%#x", r.Section, t.Address))
	}
	for _, format := range probeFormats {
		if format == "livepatch" {
			add(format, t.LivepatchFunction()+",")
			add("", "in an object with .name = "+t.LivepatchObject())
			continue
		}
		line, versions, err := probeLine(t, format, n)
		if err != nil {
			line = "- (" + err.Error() + ")"
		}
		add(format, strings.ReplaceAll(line, " && ", " &&\n"+strings.Repeat(" ", 13)))
		if versions != "" {
			add("", "("+format+" "+versions+")")
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// probeJSON is a target for programs. Addresses are hexadecimal strings, since a JSON number may
// lose bits.
type probeJSON struct {
	Registry string     `json:"registry"`
	Release  string     `json:"release,omitempty"`
	BuildID  string     `json:"build_id,omitempty"`
	Symbol   symbolJSON `json:"symbol"`
	Target   string     `json:"target"`
	Event    string     `json:"event"`
	Group    string     `json:"group"`
	Sympos   int        `json:"sympos"`
	// Incomplete says what is missing in the registry; a name that is unique in it may not be.
	Incomplete string `json:"incomplete,omitempty"`

	Checked *checkedJSON      `json:"checked"` // null if not checked
	Formats map[string]string `json:"formats"` // without those that cannot express it
	// Versions are those of a tool that take its line, where not all do.
	Versions map[string]string `json:"versions,omitempty"`
	Notes    []string          `json:"notes"`
}

type checkedJSON struct {
	Against string `json:"against"`
	Live    bool   `json:"live"`
	Address string `json:"address"`
	Slide   string `json:"slide,omitempty"` // of vmlinux
	Base    string `json:"base,omitempty"`  // of a module's section
}

func printProbeJSON(w io.Writer, t *probe.Target, from *registry.Registry, n probe.Naming) error {
	out := probeJSON{
		Registry: from.Path, Release: from.Release, BuildID: from.BuildID,
		Versions: map[string]string{}, Symbol: newSymbolJSON(&t.Record),
		Target: t.Where(), Event: t.EventName(n), Group: n.Group,
		Sympos: t.Position, Formats: map[string]string{}, Notes: append([]string{}, t.Notes...),
		Incomplete: from.Incomplete.String(),
	}
	if t.Checked != "" {
		address := fmt.Sprintf("%x", t.Address)
		out.Checked = &checkedJSON{Against: t.Checked, Live: t.Live, Address: address}
		if t.Module == "" {
			out.Checked.Slide = fmt.Sprintf("%x", t.Slide)
		} else {
			out.Checked.Base = fmt.Sprintf("%x", t.Base)
		}
	}
	for _, format := range probeFormats {
		line, versions, err := probeLine(t, format, n)
		if err == nil {
			out.Formats[format] = line
		}
		if versions != "" {
			out.Versions[format] = versions
		}
	}
	return report.WriteJSON(w, out)
}
