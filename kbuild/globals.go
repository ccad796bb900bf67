package kbuild

import (
	"bytes"
	"fmt"
	"strings"

	"kas/elf"
	"kas/pipeline"
)

// GNU ld -r writes global symbols in an order of its own, so an alias in X.o.kas could come before
// its original in X.ko. ftrace and stack traces would then show the alias. Therefore the aliases of
// global symbols are not in X.o.kas: they are added to X.ko after its link.

// globalLines returns the lines of a module in the file globals: "OBJECT SYMBOL ALIAS", separated
// by tabs.
func globalLines(o *pipeline.Object, names *kernelNames) []byte {
	var lines []byte
	for i := range o.Duplicates {
		d := &o.Duplicates[i]
		if s := &o.Symbols[d.Symbol]; d.Alias != "" && !s.Local && !o.Vmlinux && names.needed(d) {
			lines = fmt.Appendf(lines, "%s\t%s\t%s\n", absolute(o.Path), s.Name, d.Alias)
		}
	}
	return lines
}

// globalsOf returns the aliases of a module's global symbols by their names.
func (e *emitted) globalsOf(object string) map[string]string {
	all := map[string]string{}
	for line := range bytes.Lines(e.globals) {
		c := strings.Split(strings.TrimSuffix(string(line), "\n"), "\t")
		if len(c) == 3 && c[0] == absolute(object) {
			all[c[1]] = c[2]
		}
	}
	return all
}

// addGlobals adds the aliases of global symbols to a linked module. All of these symbols must be in
// it.
func addGlobals(path string, aliases map[string]string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	syms, err := f.Symtab()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var list []elf.Alias
	for id := syms.Locals; int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if alias, ok := aliases[string(s.Name)]; ok && s.Defined() {
			list = append(list, elf.Alias{Original: id, Name: alias})
		}
	}
	if len(list) != len(aliases) {
		return fmt.Errorf("%s has only %d of the %d global symbols that have aliases",
			path, len(list), len(aliases))
	}
	plan, err := f.Rewrite(list)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return pipeline.ReplaceObject(path, plan)
}
