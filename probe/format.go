package probe

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Naming is what the user says of an event.
type Naming struct {
	Group  string
	Event  string // "" derives it
	Return bool   // where the function returns, not where it begins
}

// The kernel takes names of events and groups shorter than MAX_EVENT_NAME_LEN, and perf, too.
const maxEvent = 63

// ValidName says whether the kernel takes the text as the name of an event or a group.
func ValidName(name string) bool {
	return name != "" && len(name) <= maxEvent && identifier(name) == name
}

// identifier makes a C identifier of any text.
func identifier(text string) string {
	b := []byte(text)
	for i, c := range b {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			b[i] = '_'
		}
	}
	if len(b) == 0 || b[0] >= '0' && b[0] <= '9' {
		b = append([]byte{'_'}, b...)
	}
	return string(b)
}

// EventName is the name of the event: the alias, or the name and what tells it from its namesakes. One that is too long
// ends with a checksum of the whole, so two of them differ however long they are alike.
func (t *Target) EventName(n Naming) string {
	if n.Event != "" {
		return n.Event
	}
	r := &t.Record
	text := r.Name
	switch {
	case r.Alias != "":
		text = r.Alias
	case t.another && t.Module == "":
		text = fmt.Sprintf("%s_vmlinux_%d", r.Name, max(t.Position, 1))
	case t.another:
		text = fmt.Sprintf("%s_%s_%d", r.Name, t.Module, max(t.Position, 1))
	}
	if n.Return {
		return cut(text, maxEvent-len(atReturn)) + atReturn
	}
	return cut(text, maxEvent)
}

// atReturn ends the names of events at returns. perf appends it, too.
const atReturn = "__return"

func cut(text string, most int) string {
	name := identifier(text)
	if len(name) <= most {
		return name
	}
	sum := fmt.Sprintf("_%08x", crc32.ChecksumIEEE([]byte(text)))
	return name[:most-len(sum)] + sum
}

// Where is the function as kprobe_events reads it.
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

// Kprobe is the definition for kprobe_events.
func (t *Target) Kprobe(n Naming) string {
	kind := "p"
	if n.Return {
		kind = "r"
	}
	return fmt.Sprintf("%s:%s/%s %s", kind, n.Group, t.EventName(n), t.Where())
}

// sourceName is the function's name in debugging information, "" if that does not tell it from others: a clone or a
// fragment bears the name of the whole.
func (t *Target) sourceName() string {
	if name := t.Record.BaseName(); t.alone && !strings.Contains(name, ".") {
		return name
	}
	return ""
}

// Perf is a command line. perf probe itself is told the address, of vmlinux in the running kernel, since that alone is one
// place: of FUNC and FUNC@SRC it takes all inlined copies, too, and every SRC that ends with the same letters; an offset
// may not lead out of a function, an address not into a module, and @ is its own. Else the event is defined without it.
func (t *Target) Perf(n Naming) string {
	event := n.Group + ":" + t.EventName(n)
	define, back := event, ""
	if n.Return {
		define, back = strings.TrimSuffix(event, atReturn), "%return"
	}
	if t.Module == "" && t.Live && (!n.Return || define != event) {
		return fmt.Sprintf("perf probe '%s=%#x%s'", define, t.Address, back)
	}
	return fmt.Sprintf("echo '%s' >>/sys/kernel/tracing/kprobe_events && perf record -e %s -aR sleep 10", t.Kprobe(n), event)
}

// Bpftrace is an attach point. A name that is alone in the whole kernel is the only one that all versions take for one
// function: of an offset, an alias, an address and MODULE:NAME they attach nothing, or make a name of it again.
func (t *Target) Bpftrace(n Naming) (string, error) {
	kind := "kprobe:"
	if n.Return {
		kind = "kretprobe:"
	}
	if t.byName != "" && !strings.Contains(t.byName, ":") {
		return kind + t.byName, nil
	}
	return "", errors.New("bpftrace tells functions by their names alone: use the kprobe event")
}

// Livepatch is an initializer of a struct klp_object, without the function that is to run instead.
func (t *Target) Livepatch() string {
	return fmt.Sprintf("{ .name = %s, .funcs = (struct klp_func[]) { %s, { } } }", t.LivepatchObject(), t.LivepatchFunction())
}

// LivepatchObject is the name of a struct klp_object.
func (t *Target) LivepatchObject() string {
	if t.Module == "" {
		return "NULL"
	}
	return `"` + t.Module + `"`
}

// LivepatchFunction is an initializer of a struct klp_func.
func (t *Target) LivepatchFunction() string {
	return fmt.Sprintf("{ .old_name = %q, .old_sympos = %d }", t.Record.Name, t.Position)
}

// GDB is a command of gdb; of vmlinux it holds wherever gdb was told that the kernel runs.
func (t *Target) GDB() (string, error) {
	switch name := t.sourceName(); {
	case t.anchor != "":
		return fmt.Sprintf("break *((char *)&%s + %#x)", t.anchor, t.text), nil
	case t.Live:
		return fmt.Sprintf("break *%#x", t.Address), nil
	case name != "":
		return fmt.Sprintf("break *&'%s'::%s", t.Record.File, name), nil
	}
	return "", errors.New("gdb cannot name it; its address in the running kernel can be told (--live)")
}

// Drgn is an expression of drgn.
func (t *Target) Drgn() (string, error) {
	switch name := t.sourceName(); {
	case t.anchor != "":
		return fmt.Sprintf(`prog.symbol(prog.symbol("%s").address + %#x)`, t.anchor, t.text), nil
	case t.Live:
		return fmt.Sprintf("prog.symbol(%#x)", t.Address), nil
	case name != "":
		return fmt.Sprintf("prog.function(%q, %q)", name, t.Record.File), nil
	}
	return "", errors.New("drgn cannot name it; its address in the running kernel can be told (--live)")
}
