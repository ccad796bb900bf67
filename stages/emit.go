package stages

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
)

// Emit writes vmlinux.syms and a copy of each module that has aliases, with the aliases in its
// symbol table. The inputs are only read.
func Emit(ctx context.Context, b *pipeline.Build) error { return emit(ctx, b, true) }

// EmitModules is Emit without vmlinux.syms.
func EmitModules(ctx context.Context, b *pipeline.Build) error { return emit(ctx, b, false) }

func emit(ctx context.Context, b *pipeline.Build, vmlinux bool) error {
	objects := b.Every(func(o *pipeline.Object) bool {
		if o.Vmlinux && !vmlinux || !b.Scope.Owns(o) {
			return false
		}
		return o.Readable() && (o.Vmlinux || hasCopy(b, o) || b.Config.Emit.Unaliased == "link")
	})
	foreign, err := claim(b, objects, vmlinux)
	if err != nil {
		return err
	}
	err = b.Each(ctx, objects, func(o *pipeline.Object) error {
		err := foreign[o.Name]
		switch {
		case err != nil:
		case o.Vmlinux:
			err = emitVmlinux(b, o)
		case hasCopy(b, o):
			err = emitModule(b, o)
		default:
			err = linkModule(b, o)
		}
		if err != nil {
			dropAliases(o)
		}
		return err
	})
	if err == nil {
		err = b.Settle(ctx, dropAliases)
	}
	if err != nil {
		return err
	}
	return sweep(b)
}

// claim makes sure that the build may write its files. It returns the errors of the objects for
// which it may not, by their names. It claims the tables, too, so that the record is saved once;
// Stats reports what is in their way.
func claim(
	b *pipeline.Build, objects []*pipeline.Object, tables bool,
) (map[string]error, error) {
	var paths []string
	if tables {
		paths = tablePaths(b)
	}
	owner := map[string]string{}
	for _, o := range objects {
		path := b.Path(symbolList)
		if !o.Vmlinux {
			path = outputPath(b, o)
		}
		paths = append(paths, path)
		owner[path] = o.Name
	}
	foreign, err := b.Claim(paths)
	errs := map[string]error{}
	for path, there := range foreign {
		errs[owner[path]] = pipeline.Foreign(there)
	}
	return errs, err
}

// hasCopy reports whether a module gets a copy because of its aliases or of what is added to it
// later.
func hasCopy(b *pipeline.Build, o *pipeline.Object) bool {
	carried := func(d pipeline.Duplicate) bool { return b.Scope.Carries(o, &d) }
	return slices.ContainsFunc(o.Duplicates, carried) || b.Scope.LaterKey(o) != ""
}

// carriedAliases returns the aliases that the copy of an object has.
func carriedAliases(b *pipeline.Build, o *pipeline.Object) []elf.Alias {
	var all []elf.Alias
	for i := range o.Duplicates {
		if d := &o.Duplicates[i]; b.Scope.Carries(o, d) {
			all = append(all, elf.Alias{Original: o.Symbols[d.Symbol].ID, Name: d.Alias})
		}
	}
	return all
}

// dropAliases removes the aliases of an object whose output could not be written.
func dropAliases(o *pipeline.Object) {
	for i := range o.Duplicates {
		if d := &o.Duplicates[i]; d.Alias != "" {
			d.Alias, d.Reason = "", "object could not be written"
		}
	}
}

// outputPath returns the path of a module's copy: modules/**/X.ko.kas in the build's folder, or
// beside the input.
func outputPath(b *pipeline.Build, o *pipeline.Object) string {
	if b.Config.Emit.Beside {
		return b.Scope.CopyOf(o.Path)
	}
	return filepath.Join(b.CopiesDir(), elf.Uncompressed(o.Name)+".kas")
}

// emitModule writes the copy of a module, unless the last run wrote the same.
func emitModule(b *pipeline.Build, o *pipeline.Object) error {
	path, list := outputPath(b, o), carriedAliases(b, o)
	key := aliasKey(list) + b.Scope.LaterKey(o)
	return b.Make(o, path, key, func() (int64, error) { return writeModule(b, o, list, path) })
}

// writeModule writes a copy of a module with the aliases added.
func writeModule(
	b *pipeline.Build, o *pipeline.Object, list []elf.Alias, path string,
) (int64, error) {
	f, err := o.OpenTables()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	plan, err := f.Rewrite(list)
	if err != nil {
		return 0, err
	}
	return b.WriteObject(path, plan)
}

// aliasKey returns a digest of a list of aliases.
func aliasKey(list []elf.Alias) string {
	var text []byte
	for _, a := range list {
		text = fmt.Appendf(text, "%d %s\n", a.Original, a.Name)
	}
	return pipeline.Digest(string(text))
}

// linkModule makes a symbolic link to a module without aliases where its copy would be. If the
// module is compressed, it writes an uncompressed copy instead.
func linkModule(b *pipeline.Build, o *pipeline.Object) error {
	target := outputPath(b, o)
	if elf.Uncompressed(o.Path) != o.Path {
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
	link := func() (int64, error) { return 0, b.Symlink(to, target) }
	err = b.Make(o, target, "link to "+to, link)
	o.Emitted = 0 // a link counts no bytes
	return err
}

// sweep removes what earlier runs left and this one does not write: copies of modules that no
// longer have aliases, and temporary files of killed runs.
func sweep(b *pipeline.Build) error {
	outputs := map[string]bool{}
	link := b.Config.Emit.Unaliased == "link"
	for i := range b.Objects {
		if o := &b.Objects[i]; !o.Vmlinux && b.Scope.Owns(o) {
			outputs[outputPath(b, o)] = hasCopy(b, o) || link && o.Readable()
		}
	}
	for _, path := range tablePaths(b) {
		outputs[path] = true
	}
	vmlinux := b.Vmlinux()
	outputs[b.Path(symbolList)] = vmlinux != nil && vmlinux.Emitted > 0
	left, err := b.Leftovers(outputs)
	if err != nil {
		return err
	}
	if err := b.Remove(left); err != nil {
		return err
	}
	return b.Keep(outputs)
}

// Adopt makes a record of what an older kas, which kept none, wrote to the folder of a build. It
// leaves a folder alone that has a record or is not there.
func Adopt(c *configs.Build, dir string) error {
	r, err := pipeline.OpenRecord(dir)
	if err != nil || !r.Empty() {
		return err
	}
	b := &pipeline.Build{Config: *c, Dir: dir}
	paths := append(tablePaths(b), b.Path(symbolList))
	if c.Emit.Beside {
		modules, err := c.ModuleFiles()
		if err != nil {
			return err
		}
		for _, m := range modules {
			paths = append(paths, outputPath(b, &pipeline.Object{Name: m.Name, Path: m.Path}))
		}
	}
	return r.AdoptFolder(dir, b.CopiesDir(), paths)
}
