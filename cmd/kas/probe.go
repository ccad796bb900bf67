package main

import (
	"cmp"
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

const probeLong = `Kas probe finds one function in a registry (symbols.kas), as kas lookup does,
and prints how to probe exactly that one: for kprobe_events, perf, bpftrace, a
livepatch, gdb and drgn.

With --live the running kernel is asked, with --check a file about one: it must
be the registry's kernel and have the function's name as often, and at the very
addresses, as the registry says. What does not agree is an error.

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
		Short:             "tell tracers, livepatch and debuggers exactly one function",
		Long:              probeLong,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeSymbols,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.valid(); err != nil {
				return err
			}
			return printProbe(args[0], f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.registries, "registry", "r", nil, registryHelp)
	flags.StringVar(&f.object, "object", "", "a function of this `OBJECT` (vmlinux, xfs.ko)")
	flags.BoolVar(&f.live, "live", false, "check it in the running kernel (as root, who sees addresses)")
	flags.StringVar(&f.check, "check", "", "check it in `FILE`: a saved kallsyms, a System.map or a vmlinux")
	flags.BoolVar(&f.write, "write", false, "with --live: add the event to kprobe_events")
	flags.BoolVar(&f.naming.Return, "return", false, "where the function returns")
	flags.StringVar(&f.naming.Event, "event", "", "`NAME` of the event (default: made of the alias)")
	flags.StringVar(&f.naming.Group, "group", "kas", "`NAME` of the event's group")
	flags.StringVar(&f.format, "format", "", "print the line for this `TOOL` alone: "+strings.Join(probeFormats, ", "))
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.StringVar(&f.sysroot, "sysroot", "/", "where /proc and /sys are")
	flags.MarkHidden("sysroot")
	return cmd
}

func (f *probeFlags) valid() error {
	f.live = f.live || f.write
	switch {
	case f.live && f.check != "":
		return errors.New("--check FILE is not for the kernel that --live and --write ask")
	case f.format != "" && f.json:
		return errors.New("either --format or --json")
	case f.format != "" && !slices.Contains(probeFormats, f.format):
		return fmt.Errorf("--format %s: there are %s", f.format, strings.Join(probeFormats, ", "))
	case f.naming.Event != "" && !probe.ValidName(f.naming.Event):
		return fmt.Errorf("--event %s: letters, digits and underscores, at most 63", f.naming.Event)
	case !probe.ValidName(f.naming.Group):
		return fmt.Errorf("--group %s: letters, digits and underscores, at most 63", f.naming.Group)
	}
	return nil
}

// probeFormats are the values of --format, in the order in which all are printed.
var probeFormats = []string{"kprobe", "perf", "bpftrace", "livepatch", "gdb", "drgn"}

// probeLine is one of them.
func probeLine(t *probe.Target, format string, n probe.Naming) (string, error) {
	switch format {
	case "kprobe":
		return t.Kprobe(n), nil
	case "perf":
		return t.Perf(n), nil
	case "bpftrace":
		return t.Bpftrace(n)
	case "livepatch":
		return t.Livepatch(), nil
	case "gdb":
		return t.GDB()
	}
	return t.Drgn()
}

func printProbe(pattern string, f probeFlags, stdout, stderr io.Writer) error {
	all, err := openRegistries(f.registries)
	if err != nil {
		return err
	}
	defer registry.CloseAll(all)
	t, from, err := findProbe(all, pattern, f)
	if err != nil {
		return failure{err}
	}
	for _, note := range t.Notes {
		fmt.Fprintln(stderr, "kas:", note)
	}
	if t.Checked == "" {
		fmt.Fprintln(stderr, "kas: not checked: this is what the registry says")
	}
	switch {
	case f.json:
		err = printProbeJSON(stdout, t, from, f.naming)
	case f.format != "":
		var line string
		if line, err = probeLine(t, f.format, f.naming); err == nil {
			_, err = fmt.Fprintln(stdout, line)
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
		return failure{errors.New("not written: what was not checked in the running kernel may be another function there")}
	}
	path, err := probe.Write(f.sysroot, t.Kprobe(f.naming))
	if err != nil {
		return failure{err}
	}
	fmt.Fprintf(stderr, "kas: added to %s\n", path)
	return nil
}

// findProbe finds the one function that is meant, as the kernel has it that is to be asked.
func findProbe(all []*registry.Registry, pattern string, f probeFlags) (t *probe.Target, from *registry.Registry, err error) {
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
	add := func(label, text string) { lines = append(lines, fmt.Sprintf("  %-10s %s", label, text)) }
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
		line, err := probeLine(t, format, n)
		if err != nil {
			line = "- (" + err.Error() + ")"
		}
		add(format, strings.ReplaceAll(line, " && ", " &&\n"+strings.Repeat(" ", 13)))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// probeJSON is a target as programs read it. Addresses are hexadecimal texts: a number of JSON may lose bits.
type probeJSON struct {
	Registry string            `json:"registry"`
	Release  string            `json:"release,omitempty"`
	BuildID  string            `json:"build_id,omitempty"`
	Symbol   symbolJSON        `json:"symbol"`
	Target   string            `json:"target"`
	Event    string            `json:"event"`
	Group    string            `json:"group"`
	Sympos   int               `json:"sympos"`
	Checked  *checkedJSON      `json:"checked"` // null: not checked
	Formats  map[string]string `json:"formats"` // those that can be expressed
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
		Registry: from.Path, Release: from.Release, BuildID: from.BuildID, Symbol: newSymbolJSON(&t.Record),
		Target: t.Where(), Event: t.EventName(n), Group: n.Group, Sympos: t.Position, Formats: map[string]string{},
		Notes: append([]string{}, t.Notes...),
	}
	if t.Checked != "" {
		out.Checked = &checkedJSON{Against: t.Checked, Live: t.Live, Address: fmt.Sprintf("%x", t.Address)}
		if t.Module == "" {
			out.Checked.Slide = fmt.Sprintf("%x", t.Slide)
		} else {
			out.Checked.Base = fmt.Sprintf("%x", t.Base)
		}
	}
	for _, format := range probeFormats {
		if line, err := probeLine(t, format, n); err == nil {
			out.Formats[format] = line
		}
	}
	return report.WriteJSON(w, out)
}
