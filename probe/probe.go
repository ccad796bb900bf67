// Package probe finds how tracers, livepatches and debuggers can name exactly one function of a
// kernel. It takes a symbol of the registry and looks it up in the kernel at hand. Where the two
// disagree it returns an error, so a wrong function is never named.
package probe

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"kas/registry"
)

// Find returns how to probe the symbol r of a registry in kernel k. A nil kernel means that none is
// at hand: the result is what the registry says. An error means that the kernel contradicts the
// registry, or that no name or offset identifies the function.
func Find(reg *registry.Registry, r registry.Record, k *Kernel) (*Target, error) {
	if k != nil {
		if err := k.mismatch(reg); err != nil {
			return nil, err
		}
	}
	t := &Target{Record: r, Module: r.Module(), Address: r.Address}
	f := finder{Target: t, reg: reg, kernel: k}
	f.count()
	find := f.inVmlinux
	if t.Module != "" {
		find = f.inModule
	}
	if err := cmp.Or(find(), reg.Err()); err != nil {
		return nil, err
	}
	if t.Symbol == "" && !t.Live {
		problem := fmt.Sprintf("neither %s in %s of %s nor a symbol before it has a unique name: "+
			"only its address identifies it, and that is unknown", r.Name, r.Section, r.Object)
		if k == nil || !k.Live {
			problem += " (try --live)"
		}
		return nil, errors.New(strings.Join(append(t.Notes, problem), "\n"))
	}
	t.untraced = t.Live && k.untraced(t.Record.Name, t.Module)
	if t.Live && k.blacklisted(t.Address) {
		t.note("%s cannot be probed: it is in the kernel's kprobe blacklist", r.Name)
	} else if t.untraced {
		t.note("the kernel may refuse a probe of %s: ftrace has no entry in it, as in no function "+
			"in Rust; CONFIG_KPROBE_EVENTS_ON_NOTRACE allows it", r.Name)
	}
	return t, nil
}

// Target is a function and the ways to name it.
type Target struct {
	Record registry.Record
	Module string // "" in vmlinux

	// Symbol+Offset names the function in kprobe_events. If Module is set, Symbol is one of that
	// module. If Symbol is empty, Address names the function.
	Symbol string
	Offset uint64
	Alias  bool // Symbol is the alias

	// Address is where the function is in the checked kernel. Without one it is what the registry
	// says: the link address in vmlinux, the offset in its section in a module.
	Address uint64
	Checked string // path of the kernel's symbols that confirm the registry, "" if none do
	Live    bool   // Address is valid in the running kernel
	Slide   uint64 // in vmlinux: the distance from the link address
	Base    uint64 // in a module: the address of its section, 0 if unknown

	// Position is livepatch's sympos, 0 for a name that its object has once.
	Position int
	Notes    []string // what was not checked, and why

	anchor       string // in vmlinux: _text or _stext, "" if it has neither
	text         uint64 // in vmlinux: offset from anchor
	hasNamesakes bool   // another symbol of the kernel has the name
	uniqueName   string // NAME or MODULE:NAME if that is one function, else ""
	uncertain    bool   // the name would be unique, but the registry is incomplete
	untraced     bool   // the kernel's function tracer does not list it
	oneInFile    bool   // the kernel has one function with this base name and file
}

func (t *Target) note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// finder fills in a Target.
type finder struct {
	*Target
	reg       *registry.Registry
	kernel    *Kernel           // nil if there is none
	namesakes []registry.Record // in all objects, including the symbol itself
}

// count sets what the registry knows about symbols with the same name.
func (f *finder) count() {
	r := &f.Record
	f.namesakes = f.reg.Named(r.Name)
	f.hasNamesakes = len(f.namesakes) > 1 || r.Count > 1
	if own := f.inObject(r.Name); len(own) > 1 {
		f.Position = 1 + slices.IndexFunc(own, func(o registry.Record) bool {
			return o.Section == r.Section && o.Address == r.Address
		})
	}
	f.oneInFile = r.File != ""
	for _, o := range f.reg.Based(r.BaseName()) {
		other := o.Object != r.Object || o.Section != r.Section || o.Address != r.Address
		if other && o.Code() && (o.File == r.File || o.File == "") {
			f.oneInFile = false
		}
	}
}

// inObject returns the symbols with this name in the object, in the order of livepatch's
// positions. It leaves out init sections of modules, which the kernel frees after loading.
func (f *finder) inObject(name string) []registry.Record {
	named := f.namesakes
	if name != f.Record.Name {
		named = f.reg.Named(name)
	}
	var found []registry.Record
	for _, o := range named {
		if o.Object == f.Record.Object && (f.Module == "" || !initSection(&o)) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b registry.Record) int { return a.Position - b.Position })
	return found
}

// initSection reports whether the kernel frees the section after boot or after loading the module.
func initSection(r *registry.Record) bool { return strings.HasPrefix(r.Section, ".init") }

// isUnique reports whether the symbol's name is unique in vmlinux and all modules. An object that
// the registry lacks may have the name, too; the running kernel shows whether it is loaded.
func (f *finder) isUnique() bool {
	name := f.Record.Name
	if !nameable(name) || f.hasNamesakes || f.hasSuffixed(name) {
		return false
	}
	if f.reg.Incomplete.Objects > 0 && !f.Live {
		f.uncertain = true
		return false
	}
	switch {
	case f.kernel == nil:
		return true
	case f.Checked == "": // the symbol is in a module that is not loaded
		return len(f.kernel.Named(name)) == 0
	}
	return len(f.kernel.Named(name)) <= 1
}

// nameable reports whether kprobe_events reads the text as one symbol.
func nameable(name string) bool {
	startsWithDigit := name != "" && name[0] >= '0' && name[0] <= '9'
	return name != "" && !strings.ContainsAny(name, "+-:#% \t") && !startsWithDigit
}

// hasSuffixed reports whether LTO made symbols of this name with a suffix. A kernel may ignore such
// suffixes when it looks a name up.
func (f *finder) hasSuffixed(name string) bool {
	if f.reg.LTO == "" || f.reg.LTO == "none" {
		return false
	}
	return len(f.reg.Find(func(file *registry.File) iter.Seq[registry.Record] {
		return file.Prefixed(name + ".")
	})) > 0
}

// confirm records that the kernel agrees, with its addresses and its list of symbols with the name
// in the object. livepatch counts all of those, code or not.
func (f *finder) confirm(named []Symbol) {
	f.Checked, f.Live = f.kernel.Path, f.kernel.Live
	f.Position = 0
	if len(named) > 1 {
		f.Position = 1 + slices.IndexFunc(named, func(s Symbol) bool {
			return s.Address == f.Address && s.Code()
		})
	}
}

// checkAlias returns an error if the kernel has the alias at another address.
func (f *finder) checkAlias() error {
	r := &f.Record
	if r.Alias == "" || r.Late() {
		return nil
	}
	for _, s := range f.kernel.Named(r.Alias) {
		if s.Address != f.Address || s.Module != f.Module {
			return f.movedError(r.Alias, s.Address, f.Address)
		}
	}
	return nil
}

// kernelHasAlias reports whether the kernel's symbol table has the alias, once and at the symbol's
// address.
func (f *finder) kernelHasAlias() bool {
	r := &f.Record
	if f.Checked == "" || r.Late() || !nameable(r.Alias) {
		return false
	}
	have := f.kernel.Named(r.Alias)
	return len(have) == 1 && have[0].Module == f.Module && have[0].Address == f.Address
}

func (f *finder) movedError(name string, have, want uint64) error {
	return fmt.Errorf("%s has %s at %#x, the registry at %#x: not the same kernel",
		f.kernel.Path, name, have, want)
}
