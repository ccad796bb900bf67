package probe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kas/registry"
)

// Choose returns the one function that a pattern matches (registry.Lookup), and its registry. It
// searches only the registries of kernel k, or all if k is nil. A non-empty object, a module's name
// or the end of its path, restricts the search to that object.
func Choose(all []*registry.Registry, pattern, object string, k *Kernel) (
	*registry.Registry, registry.Record, error,
) {
	m, err := search(all, pattern, object, k)
	if err != nil {
		return nil, registry.Record{}, err
	}
	m.narrow(pattern)
	if err := m.refuse(all, pattern, k); err != nil {
		return nil, registry.Record{}, err
	}
	r := m.functions[0]
	if a, ok, _ := m.from.AddressOf(pattern); ok && a.Address != r.Address {
		return nil, registry.Record{}, fmt.Errorf(
			"%s is %s+%#x, but only the start of a function is probed: use %s",
			pattern, r.Name, a.Address-r.Address, cmp.Or(r.Alias, r.Name))
	}
	return m.from, r, nil
}

// ErrNoFunction means that a pattern matches nothing.
var ErrNoFunction = errors.New("no function")

// AmbiguousError means that a pattern matches several functions.
type AmbiguousError struct {
	Pattern string
	Found   []registry.Record
}

func (e *AmbiguousError) Error() string {
	lines := []string{fmt.Sprintf("%s matches %d functions; choose one:", e.Pattern, len(e.Found))}
	for i := range e.Found {
		r := &e.Found[i]
		name := r.Alias
		if name == "" {
			name = fmt.Sprintf("%s (no alias, %s+%#x)", r.Name, r.Section, r.Address)
		}
		line := fmt.Sprintf("  %s  %s  %s", name, r.Object, r.Location())
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.Join(lines, "\n")
}

// matches is what a pattern matches in several registries.
type matches struct {
	functions  []registry.Record
	from       *registry.Registry // of the last function
	several    bool               // functions come from more than one registry
	notCode    string             // the message about the last match that is not code
	mismatches []error            // why registries were not searched
}

func search(all []*registry.Registry, pattern, object string, k *Kernel) (m matches, err error) {
	for _, reg := range all {
		if k != nil {
			if err := k.mismatch(reg); err != nil {
				m.mismatches = append(m.mismatches, err)
				continue
			}
		}
		records, err := reg.Lookup(pattern)
		if err != nil {
			return m, err
		}
		for _, r := range records {
			if object != "" && !registry.PathEndsWith(r.Object, object) && r.Module() != object {
				continue
			}
			if !r.Code() {
				m.notCode = fmt.Sprintf("%s of %s is not code (type %c): only functions are probed",
					r.Name, r.Object, r.Type)
				continue
			}
			m.several = m.several || m.from != nil && m.from != reg
			m.functions, m.from = append(m.functions, r), reg
		}
	}
	return m, nil
}

// narrow drops functions that the pattern matches but hardly means.
func (m *matches) narrow(pattern string) {
	keep := func(wanted func(*registry.Record) bool) {
		kept := slices.DeleteFunc(slices.Clone(m.functions), func(r registry.Record) bool {
			return !wanted(&r)
		})
		if len(kept) > 0 {
			m.functions = kept
		}
	}
	// FILE:LINE also matches a header's function with that LINE in the unit FILE.
	if file, _, ok := registry.CutLine(pattern); ok {
		keep(func(r *registry.Record) bool { return registry.PathEndsWith(r.File, file) })
	}
	// The init sections of a module are freed after loading.
	keep(func(r *registry.Record) bool { return r.Module() == "" || !initSection(r) })
}

// refuse returns an error unless exactly one function is left.
func (m *matches) refuse(all []*registry.Registry, pattern string, k *Kernel) error {
	switch {
	case len(m.mismatches) > 0 && len(m.mismatches) == len(all):
		return errors.Join(m.mismatches...)
	case m.several && k != nil:
		return fmt.Errorf("%s is in several registries, and %s does not say which kernel it is: "+
			"choose one with --registry", pattern, k.Path)
	case m.several:
		return fmt.Errorf("%s is in several registries: choose one with --registry, "+
			"or the kernel with --live or --check", pattern)
	case len(m.functions) > 1:
		return &AmbiguousError{pattern, m.functions}
	case len(m.functions) == 0 && m.notCode != "":
		return errors.New(m.notCode)
	case len(m.functions) == 0:
		var paths []string
		for _, r := range all {
			paths = append(paths, r.Path)
		}
		return fmt.Errorf("%w %s in %s", ErrNoFunction, pattern, strings.Join(paths, ", "))
	}
	return nil
}

// mismatch returns an error if the registry is for another kernel. Fields that either of them
// leaves empty are not compared.
func (k *Kernel) mismatch(reg *registry.Registry) error {
	kernel := registry.Header{Release: k.Release, BuildID: k.BuildID}
	if d := reg.Differs(&kernel); d != "" {
		return fmt.Errorf("%s is from a different kernel than %s: %s", reg.Path, k.Path, d)
	}
	return nil
}
