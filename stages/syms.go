package stages

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"

	"kas/elf"
	"kas/pipeline"
)

// symbolList is the file that lists the symbols of vmlinux.
const symbolList = "vmlinux.syms"

// emitVmlinux writes vmlinux.syms: the output of `nm -n`, with each alias on the line after its
// original. It is the input of scripts/kallsyms, which uses the first of two names of an address.
func emitVmlinux(b *pipeline.Build, o *pipeline.Object) error {
	path, list := b.Path(symbolList), carriedAliases(b, o)
	write := func() (int64, error) { return writeSymbolList(b, o, list, path) }
	return b.Make(o, path, aliasKey(list), write)
}

func writeSymbolList(
	b *pipeline.Build, o *pipeline.Object, list []elf.Alias, path string,
) (int64, error) {
	f, err := o.OpenTables()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	symbols, err := nmList(f)
	if err != nil {
		return 0, err
	}
	aliases := make(map[elf.SymID]string, len(list))
	for _, a := range list {
		aliases[a.Original] = a.Name
	}
	width := 8
	if f.Is64 {
		width = 16
	}
	return b.WriteFile(path, func(w io.Writer) error {
		var line []byte
		for i := range symbols {
			s := &symbols[i]
			if s.undefined {
				line = fmt.Appendf(line[:0], "%*s %c %s\n", width, "", s.letter, s.name)
			} else {
				line = appendNM(line[:0], s.value, width, s.letter)
				line = append(append(line, s.name...), '\n')
				if alias, ok := aliases[s.id]; ok {
					letter := elf.AliasType(s.letter, string(s.name), alias)
					line = appendNM(line, s.value, width, letter)
					line = append(append(line, alias...), '\n')
				}
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// appendNM appends the address and the type of a symbol as nm prints them. width is the number of
// digits.
func appendNM(b []byte, value uint64, width int, letter byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		b = append(b, digits[value>>shift&15])
	}
	return append(b, ' ', letter, ' ')
}

// nmSymbol is a line of nm.
type nmSymbol struct {
	name      []byte
	value     uint64
	id        elf.SymID
	letter    byte
	undefined bool
}

// withoutLabel returns a name without the bytes 1 and 2, which GNU as puts into its labels
// (".L14472\x021"). nm prints them, and scripts/kallsyms drops such names by their prefix.
func withoutLabel(name []byte) []byte {
	if bytes.IndexByte(name, 1) < 0 && bytes.IndexByte(name, 2) < 0 {
		return name
	}
	return bytes.Map(func(r rune) rune {
		if r == 1 || r == 2 {
			return -1
		}
		return r
	}, name)
}

// nmList returns the symbols that `nm -n` prints in the C locale, in its order: undefined symbols
// first, the others by address, then by name, then by index.
func nmList(f *elf.File) ([]nmSymbol, error) {
	syms, err := f.Symtab()
	if err != nil {
		return nil, err
	}
	list := make([]nmSymbol, 0, syms.Len())
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			return nil, err
		}
		if !f.NMListed(&s) {
			continue
		}
		if elf.Control(withoutLabel(s.Name)) {
			return nil, badName(f.HeadersOffset(), fmt.Sprintf("symbol %d", id), s.Name)
		}
		undefined := s.Section == elf.Undef
		list = append(list, nmSymbol{s.Name, f.NMValue(&s), id, f.NMType(&s), undefined})
	}
	// Sorting small keys moves less memory.
	type key struct {
		value   uint64
		defined bool
		at      int32
	}
	keys := make([]key, len(list))
	for i := range list {
		keys[i] = key{list[i].value, !list[i].undefined, int32(i)}
	}
	slices.SortFunc(keys, func(x, y key) int {
		switch {
		case x.defined != y.defined:
			if y.defined {
				return -1
			}
			return 1
		case x.value < y.value:
			return -1
		case x.value > y.value:
			return 1
		}
		return cmp.Or(bytes.Compare(list[x.at].name, list[y.at].name), cmp.Compare(x.at, y.at))
	})
	sorted := make([]nmSymbol, len(list))
	for i, k := range keys {
		sorted[i] = list[k.at]
	}
	return sorted, nil
}
