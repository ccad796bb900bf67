package probe

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"kas/registry"
)

// Naming is how the user wants an event to be named.
type Naming struct {
	Group  string
	Event  string // "" means EventName derives it
	Return bool   // the probe is at the function's return, not at its first instruction
}

// Kprobe returns the definition for kprobe_events.
func (t *Target) Kprobe(n Naming) string {
	kind := "p"
	if n.Return {
		kind = "r"
	}
	return fmt.Sprintf("%s:%s/%s %s", kind, n.Group, t.EventName(n), t.Where())
}

// Where returns the function as kprobe_events reads it.
func (t *Target) Where() string {
	if t.Symbol == "" {
		return fmt.Sprintf("%#x", t.Address)
	}
	where := t.Symbol
	if t.Module != "" {
		where = t.Module + ":" + where
	}
	if t.Offset != 0 {
		where += fmt.Sprintf("+%#x", t.Offset)
	}
	return where
}

// Perf returns a command line of perf. In the running vmlinux it passes the address to perf probe,
// the only form that names one location: FUNC and FUNC@SRC include all inlined copies, SRC matches
// every path with the same ending, an offset must stay within its function, an address cannot be in
// a module, and perf takes the @ of an alias for its own. Elsewhere it defines the event without
// perf.
func (t *Target) Perf(n Naming) string {
	event := n.Group + ":" + t.EventName(n)
	define, back := event, ""
	if n.Return {
		define, back = strings.TrimSuffix(event, returnSuffix), "%return"
	}
	if t.Module == "" && t.Live && (!n.Return || define != event) {
		return fmt.Sprintf("perf probe '%s=%#x%s'", define, t.Address, back)
	}
	return fmt.Sprintf("echo '%s' >>/sys/kernel/tracing/kprobe_events && "+
		"perf record -e %s -aR sleep 10", t.Kprobe(n), event)
}

// Bpftrace returns an attach point, and which versions of bpftrace attach to that function, "" for
// all. bpftrace finds functions by name: it attaches nothing to an alias, an offset or an event,
// and an address becomes a name again. MODULE:NAME is known since 0.20; 0.24 and 0.25 pass only
// NAME to the kernel. fentry:MODULE:NAME is no other way: Linux 6.1 attaches to vmlinux's NAME.
func (t *Target) Bpftrace(n Naming) (point, versions string, err error) {
	kind := "kprobe:"
	if n.Return {
		kind = "kretprobe:"
	}
	switch {
	case t.uniqueName == "" && t.uncertain:
		return "", "", errors.New("bpftrace finds functions only by name, and the registry is " +
			"incomplete: another object may have this one")
	case t.uniqueName == "":
		return "", "", errors.New("bpftrace finds functions only by name, and others have this " +
			"one")
	case t.untraced:
		return "", "", errors.New("bpftrace attaches only to available_filter_functions of the " +
			"kernel, which does not list it")
	}
	if strings.Contains(t.uniqueName, ":") {
		versions = "0.20 to 0.23, 0.26 or later"
	}
	return kind + t.uniqueName, versions, nil
}

// Livepatch returns an initializer of a struct klp_object, without the new function.
func (t *Target) Livepatch() string {
	return fmt.Sprintf("{ .name = %s, .funcs = (struct klp_func[]) { %s, { } } }",
		t.LivepatchObject(), t.LivepatchFunction())
}

// LivepatchObject returns the name of a struct klp_object.
func (t *Target) LivepatchObject() string {
	if t.Module == "" {
		return "NULL"
	}
	return `"` + t.Module + `"`
}

// LivepatchFunction returns an initializer of a struct klp_func.
func (t *Target) LivepatchFunction() string {
	return fmt.Sprintf("{ .old_name = %q, .old_sympos = %d }", t.Record.Name, t.Position)
}

// GDB returns a command of gdb. In vmlinux it works in any session that knows the kernel's load
// address.
func (t *Target) GDB() (string, error) {
	switch name := t.sourceName(); {
	case t.anchor != "":
		return fmt.Sprintf("break *((char *)&%s + %#x)", t.anchor, t.text), nil
	case t.Live:
		return fmt.Sprintf("break *%#x", t.Address), nil
	case name != "":
		return fmt.Sprintf("break *&'%s'::%s", t.Record.File, name), nil
	}
	return "", errors.New("gdb cannot name it: --live gives its address in the running kernel")
}

// Drgn returns an expression of drgn.
func (t *Target) Drgn() (string, error) {
	switch name := t.sourceName(); {
	case t.anchor != "":
		return fmt.Sprintf(`prog.symbol(prog.symbol("%s").address + %#x)`, t.anchor, t.text), nil
	case t.Live:
		return fmt.Sprintf("prog.symbol(%#x)", t.Address), nil
	case name != "":
		return fmt.Sprintf("prog.function(%q, %q)", name, t.Record.File), nil
	}
	return "", errors.New("drgn cannot name it: --live gives its address in the running kernel")
}

// sourceName returns the function's name in debugging information, "" if it does not identify the
// function: a clone or a fragment has the name of the whole function there.
func (t *Target) sourceName() string {
	name := t.Record.BaseName()
	method, _, _ := strings.Cut(t.Record.Method, ",")
	if method == "name" {
		return "" // the entry with the name has no address
	}
	if _, owner, ok := strings.Cut(method, " of "); ok {
		name = owner // the symbol is a second name
	}
	if t.oneInFile && !strings.Contains(name, ".") {
		return name
	}
	return ""
}

// EventName returns the name of the event: the alias, or the name and what distinguishes it from
// its namesakes. A name that is too long is cut and ends with a checksum of the whole, so that two
// long names still differ.
func (t *Target) EventName(n Naming) string {
	if n.Event != "" {
		return n.Event
	}
	r := &t.Record
	text := r.Name
	switch {
	case r.Alias != "":
		text = r.Alias
	case t.hasNamesakes && t.Module == "":
		text = fmt.Sprintf("%s_vmlinux_%d", r.Name, max(t.Position, 1))
	case t.hasNamesakes:
		text = fmt.Sprintf("%s_%s_%d", r.Name, t.Module, max(t.Position, 1))
	}
	if n.Return {
		return cut(text, maxEvent-len(returnSuffix)) + returnSuffix
	}
	return cut(text, maxEvent)
}

// maxEvent is the longest name of an event or a group. MAX_EVENT_NAME_LEN of the kernel and of perf
// is 64, with the terminating NUL.
const maxEvent = 63

// returnSuffix ends the names of events at returns. perf appends the same.
const returnSuffix = "__return"

// ValidName reports whether the kernel accepts the text as the name of an event or a group.
func ValidName(name string) bool {
	return name != "" && len(name) <= maxEvent && identifier(name) == name
}

// cut turns text into an identifier of at most the given length.
func cut(text string, most int) string {
	name := identifier(text)
	if len(name) <= most {
		return name
	}
	sum := fmt.Sprintf("_%08x", crc32.ChecksumIEEE([]byte(text)))
	return name[:most-len(sum)] + sum
}

// identifier turns any text into a C identifier.
func identifier(text string) string {
	name := registry.Fold(text)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}
