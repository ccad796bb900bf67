package probe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kas/registry"
)

// inVmlinux names a symbol of vmlinux.
func (f *finder) inVmlinux() error {
	f.findAnchor()
	if f.kernel != nil {
		if err := f.checkVmlinux(); err != nil {
			return err
		}
	}
	r := &f.Record
	if f.isUnique() {
		f.uniqueName = r.Name
	}
	switch {
	case f.kernelHasAlias():
		f.Symbol, f.Alias = r.Alias, true
	case f.uniqueName != "":
		f.Symbol = r.Name
	case f.anchor != "":
		f.Symbol, f.Offset = f.anchor, f.text
	}
	return nil
}

// findAnchor finds the symbol that offsets are counted from. It must be in the kernel, too.
func (f *finder) findAnchor() {
	r, k := &f.Record, f.kernel
	for _, anchor := range []string{"_text", "_stext"} {
		a := f.reg.Named(anchor)
		if len(a) != 1 || a[0].Object != registry.Vmlinux || a[0].Address > r.Address {
			continue
		}
		if k == nil || len(k.Named(anchor)) > 0 {
			f.anchor, f.text = anchor, r.Address-a[0].Address
			return
		}
	}
}

// checkVmlinux compares all functions of the symbol's name in vmlinux with the kernel's, and the
// size of its code.
func (f *finder) checkVmlinux() error {
	r, k := &f.Record, f.kernel
	if f.anchor == "" {
		return fmt.Errorf("%s has neither _text nor _stext to compare addresses with", k.Path)
	}
	base := k.Named(f.anchor)
	if len(base) != 1 || base[0].Module != "" {
		return fmt.Errorf("%s has %d symbols %s, want one in vmlinux", k.Path, len(base), f.anchor)
	}
	if initSection(r) || strings.HasPrefix(r.Section, ".exit") {
		gone := fmt.Sprintf("%s is in %s, which the kernel frees after boot", r.Name, r.Section)
		if k.Live {
			return errors.New(gone)
		}
		f.note("%s", gone)
	}
	f.Slide = base[0].Address - (r.Address - f.text)
	f.Address = r.Address + f.Slide
	if err := f.checkEnds(); err != nil {
		return err
	}
	named := slices.DeleteFunc(k.Named(r.Name), func(s Symbol) bool { return s.Module != "" })
	slices.SortStableFunc(named, func(a, b Symbol) int { return cmp.Compare(a.Address, b.Address) })
	if err := f.checkNamesakes(codeOnly(named)); err != nil {
		return err
	}
	f.confirm(named)
	return f.checkAlias()
}

// checkNamesakes compares the registry's functions of the symbol's name in vmlinux with those that
// the kernel has, sorted by address.
func (f *finder) checkNamesakes(have []Symbol) error {
	r := &f.Record
	var want []uint64
	for _, o := range f.inObject(r.Name) {
		if o.Code() {
			want = append(want, o.Address+f.Slide)
		}
	}
	slices.Sort(want)
	if len(have) != len(want) {
		return fmt.Errorf("%s has %d functions %s in vmlinux, the registry has %d: "+
			"not the same kernel", f.kernel.Path, len(have), r.Name, len(want))
	}
	for i := range want {
		if want[i] != have[i].Address {
			return f.movedError(r.Name, have[i].Address, want[i])
		}
	}
	return nil
}

// checkEnds compares the size of vmlinux's code. It differs in nearly every other kernel, even
// where the function is at the same address.
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
			return f.movedError(end, have[0].Address, want[0].Address+slide)
		}
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
