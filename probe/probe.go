// Package probe tells how tools name one function to probe, in a form that can mean no other: of the registry's symbol
// it looks up what the kernel at hand says of the same, and nothing is told that the two do not agree on.
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

// Target is a function and how kprobe_events can be told it.
type Target struct {
	Record registry.Record
	Module string // "" of vmlinux

	// Symbol+Offset is the function, of the module's symbols if Module is set. Symbol "" stands for the address alone.
	Symbol string
	Offset uint64
	Alias  bool // Symbol is the alias

	// Address is where the function runs; where that is not known, what the registry says: of vmlinux its link address, of a
	// module the offset in its section.
	Address uint64
	Checked string // what says so, too: the kernel that runs or a file; "" if nothing was asked
	Live    bool   // Address holds in the kernel that runs here
	Slide   uint64 // of vmlinux: how far that runs from where it was linked
	Base    uint64 // of a module: where its section lies, 0 if not known

	// Position is livepatch's sympos, 0 for a name that its object has once.
	Position int
	Notes    []string // what was not asked, and why

	text    uint64 // of vmlinux: offset from anchor
	anchor  string // _text or _stext, "" if there is none
	another bool   // the name has namesakes somewhere in the kernel
	byName  string // NAME or MODULE:NAME if that is one function, "" if it is not
	alone   bool   // the object has one function of this name and file
}

// ErrNoFunction is a pattern that means nothing.
var ErrNoFunction = errors.New("no function")

// AmbiguousError is a pattern that means several functions.
type AmbiguousError struct {
	Pattern string
	Found   []registry.Record
}

func (e *AmbiguousError) Error() string {
	lines := []string{fmt.Sprintf("%s is %d functions; say which:", e.Pattern, len(e.Found))}
	for i := range e.Found {
		r := &e.Found[i]
		name := r.Alias
		if name == "" {
			name = fmt.Sprintf("%s (no alias, %s+%#x)", r.Name, r.Section, r.Address)
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %s  %s  %s", name, r.Object, r.Location()), " "))
	}
	return strings.Join(lines, "\n")
}

// Choose finds the one function that a pattern means (registry.Lookup) in the registries of the same kernel as k; nil stands
// for any kernel. With an object, as much of its path as is wanted, it is one of that.
func Choose(all []*registry.Registry, pattern, object string, k *Kernel) (*registry.Registry, registry.Record, error) {
	var found []registry.Record
	var from *registry.Registry
	several := false
	var differ []error
	other := ""
	for _, reg := range all {
		if k != nil {
			if d := k.differs(&reg.Header); d != "" {
				differ = append(differ, fmt.Errorf("%s is of another kernel than %s: %s", reg.Path, k.Path, d))
				continue
			}
		}
		records, err := reg.Lookup(pattern)
		if err != nil {
			return nil, registry.Record{}, err
		}
		for _, r := range records {
			if object != "" && !registry.PathEndsWith(r.Object, object) && r.Module() != object {
				continue
			}
			if !r.Code() {
				other = fmt.Sprintf("%s of %s is no code (type %c): only functions are probed", r.Name, r.Object, r.Type)
				continue
			}
			several = several || from != nil && from != reg
			found, from = append(found, r), reg
		}
	}
	if file, _, ok := registry.CutLine(pattern); ok {
		// A function of a header that was compiled in FILE may have the same LINE there.
		inFile := func(r registry.Record) bool { return registry.PathEndsWith(r.File, file) }
		if slices.ContainsFunc(found, inFile) {
			found = slices.DeleteFunc(found, func(r registry.Record) bool { return !inFile(r) })
		}
	}
	if len(found) > 1 {
		// What a module gives back after it was loaded is not meant if there is anything else.
		gone := func(r registry.Record) bool { return r.Module() != "" && initSection(&r) }
		if kept := slices.DeleteFunc(slices.Clone(found), gone); len(kept) > 0 {
			found = kept
		}
	}
	switch {
	case len(differ) > 0 && len(differ) == len(all):
		return nil, registry.Record{}, errors.Join(differ...)
	case several && k != nil:
		return nil, registry.Record{}, fmt.Errorf("%s is in several registries, and %s does not tell its release: name one with --registry", pattern, k.Path)
	case several:
		return nil, registry.Record{}, fmt.Errorf("%s is in several registries: name one with --registry, or let --live or --check tell the kernel", pattern)
	case len(found) > 1:
		return nil, registry.Record{}, &AmbiguousError{pattern, found}
	case len(found) == 0 && other != "":
		return nil, registry.Record{}, errors.New(other)
	case len(found) == 0:
		return nil, registry.Record{}, fmt.Errorf("%w %s in %s", ErrNoFunction, pattern, paths(all))
	}
	if t, ok, _ := from.AddressOf(pattern); ok && t.Address != found[0].Address {
		return nil, registry.Record{}, fmt.Errorf("%s is %s+%#x: functions are probed where they begin; ask for %s",
			pattern, found[0].Name, t.Address-found[0].Address, cmp.Or(found[0].Alias, found[0].Name))
	}
	return from, found[0], nil
}

func paths(all []*registry.Registry) string {
	var list []string
	for _, r := range all {
		list = append(list, r.Path)
	}
	return strings.Join(list, ", ")
}

// differs says in what the kernel is not the registry's, "" if in nothing that both of them tell.
func (k *Kernel) differs(h *registry.Header) string {
	theirs := registry.Header{Release: k.Release, BuildID: k.BuildID}
	return h.Differs(&theirs)
}

// Find says how to probe the symbol r of a registry in kernel k; nil stands for a kernel that cannot be asked. An error
// means that the kernel contradicts the registry, or that no form of naming the function is safe.
func Find(reg *registry.Registry, r registry.Record, k *Kernel) (*Target, error) {
	if k != nil {
		if d := k.differs(&reg.Header); d != "" {
			return nil, fmt.Errorf("%s is of another kernel than %s: %s", reg.Path, k.Path, d)
		}
	}
	t := &Target{Record: r, Module: r.Module(), Address: r.Address}
	f := finder{Target: t, reg: reg, kernel: k}
	f.namesakes = reg.Named(r.Name)
	f.count()
	var err error
	if t.Module == "" {
		err = f.vmlinux()
	} else {
		err = f.module()
	}
	if err != nil {
		return nil, err
	}
	if t.Symbol == "" && !t.Live {
		problem := fmt.Sprintf("no symbol to count from that is alone with its name before %s in %s of %s: its address alone says it, and that is not known",
			r.Name, r.Section, r.Object)
		if k == nil || !k.Live {
			problem += " but in the running kernel (--live)"
		}
		return nil, errors.New(strings.Join(append(t.Notes, problem), "\n"))
	}
	if t.Live && k.blacklisted(t.Address) {
		t.Notes = append(t.Notes, fmt.Sprintf("%s may bear no kprobe: it is in the kernel's blacklist", r.Name))
	}
	return t, nil
}

type finder struct {
	*Target
	reg       *registry.Registry
	kernel    *Kernel
	namesakes []registry.Record // of all objects, r included
}

// count finds what the registry says of namesakes.
func (f *finder) count() {
	r := &f.Record
	f.another = len(f.namesakes) > 1 || r.Count > 1
	f.Position = 0
	if own := f.inObject(r.Name); len(own) > 1 {
		f.Position = 1 + slices.IndexFunc(own, func(o registry.Record) bool { return o.Section == r.Section && o.Address == r.Address })
	}
	f.alone = r.File != ""
	for _, o := range f.reg.Based(r.BaseName()) {
		if o.Code() && (o.File == r.File || o.File == "") && (o.Object != r.Object || o.Section != r.Section || o.Address != r.Address) {
			f.alone = false
		}
	}
}

// inObject returns the symbols of the record's object with this name, in the order of livepatch's positions. Those of a
// module's init sections are gone once it is loaded.
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

// initSection says whether the section is given back after boot or load.
func initSection(r *registry.Record) bool { return strings.HasPrefix(r.Section, ".init") }

// nameable says whether kprobe_events reads the text as one symbol.
func nameable(name string) bool {
	return name != "" && !strings.ContainsAny(name, "+-:#% \t") && !startsLikeNumber(name)
}

func startsLikeNumber(name string) bool { return name[0] >= '0' && name[0] <= '9' }

// vmlinux places a symbol of vmlinux.
func (f *finder) vmlinux() error {
	r, k := &f.Record, f.kernel
	for _, anchor := range []string{"_text", "_stext"} {
		if a := f.reg.Named(anchor); len(a) == 1 && a[0].Object == registry.Vmlinux && a[0].Address <= r.Address {
			if k != nil && len(k.Named(anchor)) == 0 {
				continue
			}
			f.anchor, f.text = anchor, r.Address-a[0].Address
			break
		}
	}
	if k != nil {
		if err := f.checkVmlinux(); err != nil {
			return err
		}
	}
	if f.single() {
		f.byName = r.Name
	}
	switch {
	case f.aliasIsBorne():
		f.Symbol, f.Alias = r.Alias, true
	case f.byName != "":
		f.Symbol = r.Name
	case f.anchor != "":
		f.Symbol, f.Offset = f.anchor, f.text
	}
	return nil
}

// single says whether the whole kernel has the name once. Kernels of link-time optimization may leave suffixes out when
// they look for a name.
func (f *finder) single() bool {
	name := f.Record.Name
	if !nameable(name) || f.another || f.hasSuffixed(name) {
		return false
	}
	switch {
	case f.kernel == nil:
		return true
	case f.Checked == "": // it is in a module that is not loaded
		return len(f.kernel.Named(name)) == 0
	}
	return len(f.kernel.Named(name)) <= 1
}

// hasSuffixed says whether link-time optimization made another symbol of the name by a suffix.
func (f *finder) hasSuffixed(name string) bool {
	if f.reg.LTO == "" || f.reg.LTO == "none" {
		return false
	}
	return len(f.reg.Find(func(file *registry.File) iter.Seq[registry.Record] { return file.Prefixed(name + ".") })) > 0
}

// checkVmlinux holds the list of the symbol's namesakes in vmlinux against the kernel's.
func (f *finder) checkVmlinux() error {
	r, k := &f.Record, f.kernel
	if f.anchor == "" {
		return fmt.Errorf("%s: neither _text nor _stext to compare addresses by", k.Path)
	}
	base := k.Named(f.anchor)
	if len(base) != 1 || base[0].Module != "" {
		return fmt.Errorf("%s has %s %d times, want it once", k.Path, f.anchor, len(base))
	}
	if initSection(r) || strings.HasPrefix(r.Section, ".exit") {
		gone := fmt.Sprintf("%s lies in %s: its memory is given back when the kernel has booted", r.Name, r.Section)
		if k.Live {
			return errors.New(gone)
		}
		f.Notes = append(f.Notes, gone)
	}
	f.Slide = base[0].Address - (r.Address - f.text)
	f.Address = r.Address + f.Slide
	if err := f.checkEnds(); err != nil {
		return err
	}
	var want, have []uint64
	for _, o := range f.inObject(r.Name) {
		if o.Code() {
			want = append(want, o.Address+f.Slide)
		}
	}
	named := slices.DeleteFunc(k.Named(r.Name), func(s Symbol) bool { return s.Module != "" })
	slices.SortStableFunc(named, func(a, b Symbol) int { return cmp.Compare(a.Address, b.Address) })
	for _, s := range named {
		if s.Code() {
			have = append(have, s.Address)
		}
	}
	slices.Sort(want)
	if len(have) != len(want) {
		return fmt.Errorf("%s has %d functions %s in vmlinux, the registry %d: not the same kernel", k.Path, len(have), r.Name, len(want))
	}
	for i := range want {
		if want[i] != have[i] {
			return fmt.Errorf("%s has %s at %#x, by the registry it is at %#x: not the same kernel", k.Path, r.Name, have[i], want[i])
		}
	}
	f.confirm(named)
	return f.checkAlias()
}

// checkEnds compares how long the code of vmlinux is: its ends are elsewhere in nearly every other kernel, even where one
// function is not.
func (f *finder) checkEnds() error {
	var slide uint64
	from := ""
	for _, end := range []string{"_text", "_etext", "_einittext"} {
		want, have := f.reg.Named(end), f.kernel.Named(end)
		switch {
		case len(want) != 1 || len(have) != 1 || want[0].Object != registry.Vmlinux:
		case from == "":
			slide, from = have[0].Address-want[0].Address, end
		case want[0].Address+slide != have[0].Address:
			return fmt.Errorf("%s has %s at %#x, by the registry it is at %#x: not the same kernel", f.kernel.Path, end, have[0].Address, want[0].Address+slide)
		}
	}
	return nil
}

// confirm takes over what the kernel lists of the name in the object: livepatch counts all of them, code or not.
func (f *finder) confirm(named []Symbol) {
	f.Checked, f.Live = f.kernel.Path, f.kernel.Live
	f.Position = 0
	if len(named) > 1 {
		f.Position = 1 + slices.IndexFunc(named, func(s Symbol) bool { return s.Address == f.Address && s.Code() })
	}
}

// checkAlias refuses a kernel in which the alias is something else.
func (f *finder) checkAlias() error {
	r := &f.Record
	if r.Alias == "" || r.Late() {
		return nil
	}
	for _, s := range f.kernel.Named(r.Alias) {
		if s.Address != f.Address || s.Module != f.Module {
			return fmt.Errorf("%s has %s at %#x, by the registry it is at %#x: not the same kernel", f.kernel.Path, r.Alias, s.Address, f.Address)
		}
	}
	return nil
}

// aliasIsBorne says whether the kernel's own table has the alias, once and at the address.
func (f *finder) aliasIsBorne() bool {
	r := &f.Record
	if f.Checked == "" || r.Late() || !nameable(r.Alias) {
		return false
	}
	have := f.kernel.Named(r.Alias)
	return len(have) == 1 && have[0].Module == f.Module && have[0].Address == f.Address
}

// module places a symbol of a module.
func (f *finder) module() error {
	r, k := &f.Record, f.kernel
	if initSection(r) {
		return fmt.Errorf("%s lies in %s of %s: it is gone once the module is loaded", r.Name, r.Section, r.Object)
	}
	section := f.reg.Find(func(file *registry.File) iter.Seq[registry.Record] { return file.Of(r.Object) })
	section = slices.DeleteFunc(section, func(o registry.Record) bool { return o.Object != r.Object })
	counts := map[string]int{}
	for i := range section {
		counts[section[i].Name]++
	}
	section = slices.DeleteFunc(section, func(o registry.Record) bool { return o.Section != r.Section || !o.Code() })

	var loaded map[string][]Symbol
	switch {
	case k == nil:
	case !k.HasModules():
		f.Notes = append(f.Notes, k.Path+" tells nothing of modules")
	default:
		symbols := k.Module(f.Module)
		if len(symbols) == 0 {
			f.Notes = append(f.Notes, fmt.Sprintf("module %s is not loaded in %s", f.Module, k.Path))
			break
		}
		loaded = map[string][]Symbol{}
		for _, s := range symbols {
			loaded[s.Name] = append(loaded[s.Name], s)
		}
		if err := cmp.Or(f.checkEnds(), f.checkModule(section, loaded)); err != nil {
			return err
		}
	}
	alone := func(name string) bool {
		return nameable(name) && counts[name] == 1 && (loaded == nil || len(loaded[name]) == 1) && !f.hasSuffixed(name)
	}
	switch {
	case f.single():
		f.byName = r.Name
	case alone(r.Name):
		f.byName = f.Module + ":" + r.Name
	}
	switch {
	case f.aliasIsBorne():
		f.Symbol, f.Alias = r.Alias, true
	case f.byName != "":
		f.Symbol = r.Name
	default:
		var best *registry.Record
		for i := range section {
			a := &section[i]
			if a.Address <= r.Address && alone(a.Name) && (best == nil || a.Address > best.Address || a.Address == best.Address && a.Name < best.Name) {
				best = a
			}
		}
		if best != nil {
			f.Symbol, f.Offset = best.Name, r.Address-best.Address
		}
	}
	return nil
}

// checkModule holds the symbols of the record's section against those of the loaded module: all that it shows must tell
// the same begin of the section.
func (f *finder) checkModule(section []registry.Record, loaded map[string][]Symbol) error {
	r, k := &f.Record, f.kernel
	seen, compared := map[string]bool{}, map[string]bool{}
	var base uint64
	var by string
	for i := range section {
		name := section[i].Name
		if seen[name] {
			continue
		}
		seen[name] = true
		have := codeOnly(loaded[name])
		if len(have) == 0 && name != r.Name {
			continue // kallsyms does not show all
		}
		want := slices.DeleteFunc(f.inObject(name), func(o registry.Record) bool { return !o.Code() })
		if len(want) != len(have) {
			// A kernel that unloads no modules keeps no exit sections.
			want = slices.DeleteFunc(want, func(o registry.Record) bool { return strings.HasPrefix(o.Section, ".exit") })
		}
		if len(want) != len(have) || len(have) == 0 {
			return fmt.Errorf("%s has %d functions %s in module %s, the registry %d: not the same build of it", k.Path, len(have), name, f.Module, len(f.inObject(name)))
		}
		for j, o := range want {
			if o.Section != r.Section {
				continue
			}
			compared[name] = true
			begin := have[j].Address - o.Address
			if by == "" {
				base, by = begin, name
			}
			if begin != base {
				return fmt.Errorf("%s has %s of module %s at %#x, by the registry and the place of %s it is at %#x: not the same build of it",
					k.Path, name, f.Module, have[j].Address, by, base+o.Address)
			}
		}
	}
	told, ok := k.sectionAddress(f.Module, r.Section)
	if ok && told != base {
		return fmt.Errorf("module %s has its %s at %#x, by its symbols and the registry it is at %#x: not the same build of it", f.Module, r.Section, told, base)
	}
	f.Base, f.Address = base, base+r.Address
	f.confirm(loaded[r.Name])
	if err := f.checkAlias(); err != nil {
		return err
	}
	if !ok && len(compared) == 1 && len(codeOnly(loaded[r.Name])) > 1 && !f.aliasIsBorne() {
		return fmt.Errorf("%s of module %s: nothing but the order of its symbols tells which of %d it is", r.Name, f.Module, len(codeOnly(loaded[r.Name])))
	}
	return nil
}

func codeOnly(symbols []Symbol) []Symbol {
	var code []Symbol
	for _, s := range symbols {
		if s.Code() {
			code = append(code, s)
		}
	}
	return code
}
