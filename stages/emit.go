package stages

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
)

// Emit writes a copy of each module that has aliases, with them in its symbol table, and the symbol list of vmlinux.
// The inputs are only read.
func Emit(ctx context.Context, b *pipeline.Build) error { return emit(ctx, b, true) }

// EmitModules is Emit without the list of vmlinux.
func EmitModules(ctx context.Context, b *pipeline.Build) error { return emit(ctx, b, false) }

func emit(ctx context.Context, b *pipeline.Build, vmlinux bool) error {
	objects := b.Every(func(o *pipeline.Object) bool {
		if o.Vmlinux && !vmlinux || !own(b, o) {
			return false
		}
		return o.Readable() && (o.Vmlinux || aliased(b, o) || b.Config.Emit.Unaliased == "link")
	})
	err := b.Each(ctx, objects, func(o *pipeline.Object) error {
		var err error
		switch {
		case o.Vmlinux:
			err = emitVmlinux(b, o)
		case aliased(b, o):
			err = emitModule(b, o)
		default:
			err = linkModule(b, o)
		}
		if err != nil {
			forget(o)
		}
		return err
	})
	if err != nil {
		return err
	}
	return sweep(b)
}

func own(b *pipeline.Build, o *pipeline.Object) bool { return b.Own == nil || b.Own(o) }

func also(b *pipeline.Build, o *pipeline.Object) string {
	if b.Also == nil {
		return ""
	}
	return b.Also(o)
}

// aliased says whether there is to be a copy of an object, with aliases.
func aliased(b *pipeline.Build, o *pipeline.Object) bool {
	return slices.ContainsFunc(o.Duplicates, func(d pipeline.Duplicate) bool { return borne(b, o, &d) }) || also(b, o) != ""
}

// borne says whether the copy of an object bears the alias of its duplicate.
func borne(b *pipeline.Build, o *pipeline.Object, d *pipeline.Duplicate) bool {
	return d.Alias != "" && (b.Bears == nil || b.Bears(o, d))
}

// aliases is what the copy of an object bears.
func aliases(b *pipeline.Build, o *pipeline.Object) []elf.Alias {
	var all []elf.Alias
	for i := range o.Duplicates {
		if d := &o.Duplicates[i]; borne(b, o, d) {
			all = append(all, elf.Alias{Original: o.Symbols[d.Symbol].ID, Name: d.Alias})
		}
	}
	return all
}

// forget takes back the aliases of an object that could not be written: nothing bears them.
func forget(o *pipeline.Object) {
	for i := range o.Duplicates {
		if d := &o.Duplicates[i]; d.Alias != "" {
			d.Alias, d.Reason = "", "object could not be written"
		}
	}
}

// outputPath is where the copy of a module goes: modules/**/X.o.kas, or beside the input.
func outputPath(b *pipeline.Build, o *pipeline.Object) string {
	if b.Config.Emit.Beside {
		return configs.Uncompressed(o.Path) + ".kas"
	}
	return b.Path(filepath.Join("modules", configs.Uncompressed(o.Name)+".kas"))
}

func emitModule(b *pipeline.Build, o *pipeline.Object) error {
	path, list := outputPath(b, o), aliases(b, o)
	return b.Make(o, path, aliasKey(list)+also(b, o), func() (int64, error) { return writeModule(o, list, path) })
}

// writeModule writes the copy of a module that bears the aliases, or, if there are none, is as it was.
func writeModule(o *pipeline.Object, list []elf.Alias, path string) (int64, error) {
	f, err := o.OpenTables()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	plan, err := f.Rewrite(list)
	if err != nil {
		return 0, err
	}
	return pipeline.WriteObject(path, plan)
}

// aliasKey stands for a list of aliases.
func aliasKey(list []elf.Alias) string {
	var text []byte
	for _, a := range list {
		text = fmt.Appendf(text, "%d %s\n", a.Original, a.Name)
	}
	return pipeline.Digest(string(text))
}

// linkModule stands a module without aliases beside the others: a symbolic link to it, or, where it is compressed, a
// plain copy.
func linkModule(b *pipeline.Build, o *pipeline.Object) error {
	target := outputPath(b, o)
	if configs.Uncompressed(o.Path) != o.Path {
		return emitModule(b, o)
	}
	from, err := filepath.Abs(filepath.Dir(target))
	if err != nil {
		return err
	}
	to, err := filepath.Abs(o.Path)
	if err != nil {
		return err
	}
	if to, err = filepath.Rel(from, to); err != nil {
		return err
	}
	err = b.Make(o, target, "link to "+to, func() (int64, error) { return 0, pipeline.Symlink(to, target) })
	o.Emitted = 0 // no bytes of ours
	return err
}

// sweep removes what an earlier run left under the build's folder and this one did not write: copies of modules that
// have no aliases any more, and temporary files of a run that was killed.
func sweep(b *pipeline.Build) error {
	current := map[string]bool{}
	for i := range b.Objects {
		o := &b.Objects[i]
		if o.Vmlinux || !own(b, o) {
			continue
		}
		path := outputPath(b, o)
		if aliased(b, o) || o.Readable() && b.Config.Emit.Unaliased == "link" {
			current[path] = true
		} else if b.Config.Emit.Beside {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if v := b.Vmlinux(); v == nil || v.Emitted == 0 {
		if err := os.Remove(b.Path("vmlinux.syms")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return filepath.WalkDir(b.Path("modules"), func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() || current[path]:
			return nil
		case strings.HasSuffix(path, ".kas"), pipeline.IsTemporary(path):
			return os.Remove(path)
		}
		return nil
	})
}

// emitVmlinux writes vmlinux.syms: what `nm -n` prints, with each alias on a line after its original's. It is the input
// of scripts/kallsyms, which keeps the first of two names of one address.
func emitVmlinux(b *pipeline.Build, o *pipeline.Object) error {
	path, list := b.Path("vmlinux.syms"), aliases(b, o)
	return b.Make(o, path, aliasKey(list), func() (int64, error) { return writeSymbolList(o, list, path) })
}

func writeSymbolList(o *pipeline.Object, list []elf.Alias, path string) (int64, error) {
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
	return pipeline.WriteFile(path, func(w io.Writer) error {
		var line []byte
		for i := range symbols {
			s := &symbols[i]
			if s.undefined {
				line = fmt.Appendf(line[:0], "%*s %c %s\n", width, "", s.letter, s.name)
			} else {
				line = appendNM(line[:0], s.value, width, s.letter)
				address := len(line)
				line = append(append(line, s.name...), '\n')
				if alias, ok := aliases[s.id]; ok {
					line = append(line, line[:address]...)
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

// nmList is the symbols that `nm -n` prints in the C locale, in its order: undefined ones first, then by address, by
// name, by index.
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
		list = append(list, nmSymbol{s.Name, f.NMValue(&s), id, f.NMType(&s), s.Section == elf.Undef})
	}
	// What is moved while sorting is kept small.
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
