package kbuild

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/elf"
	"kas/pipeline"
)

// LD stands for $(LD). It links a module from X.o.kas in place of X.o, keeps the debugging information of the first image
// whose list is asked for, and passes every other call through. It returns the exit status, or an error of its own.
func LD(h Hook) (status int, err error) {
	tool := h.tool("ld", "ld.lld")
	if h.off() {
		return 0, pass(tool, h.Args)
	}
	out := output(h.Args)
	if m := image.FindStringSubmatch(filepath.Base(out)); m != nil && m[3] == "1" {
		// NM finds the places of this image's symbols in it.
		return 0, pass(tool, slices.DeleteFunc(slices.Clone(h.Args), func(a string) bool { return a == "--strip-debug" || a == "-S" }))
	}
	object := moduleObject(h.Args, out)
	if object < 0 {
		return 0, pass(tool, h.Args)
	}
	path := h.Args[object]
	t := h.treeHere()
	copied, err := h.copied(t, path)
	if err != nil {
		return 0, err
	}
	args := slices.Clone(h.Args)
	if copied {
		args[object] = path + ".kas"
	}
	globals, err := t.globals(path)
	if err != nil {
		return 0, err
	}
	if len(globals) == 0 {
		return 0, pass(tool, args)
	}
	if status, err = run(tool, args, os.Stdout); err != nil || status != 0 {
		return status, err
	}
	if err := addGlobals(out, globals); err != nil {
		os.Remove(out) // make must not take it for done
		return 0, err
	}
	return 0, nil
}

// output is the file that a call of ld writes.
func output(args []string) string {
	for i, a := range args {
		switch {
		case a == "-o" && i+1 < len(args):
			return args[i+1]
		case strings.HasPrefix(a, "-o") && len(a) > 2 && !strings.HasPrefix(a, "-oformat"):
			return a[2:]
		case strings.HasPrefix(a, "--output="):
			return a[len("--output="):]
		}
	}
	return ""
}

// moduleObject finds X.o among the arguments of a module's final link: `ld -r ... -o X.ko X.o X.mod.o`; -1 if this is none.
func moduleObject(args []string, out string) int {
	stem, ok := strings.CutSuffix(out, ".ko")
	if !ok || !slices.ContainsFunc(args, func(a string) bool { return a == "-r" || a == "--relocatable" }) {
		return -1
	}
	return slices.Index(args, stem+".o")
}

// globalsFile lists the aliases of modules' global symbols: "OBJECT SYMBOL ALIAS". GNU ld writes global symbols in an
// order of its own, and an alias that stands before its original would be taken for it by ftrace and in stack traces. So
// they are added to the linked module.
const globalsFile = "globals"

func (t tree) globals(object string) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(t.state, globalsFile))
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range bytes.Lines(data) {
		c := strings.Split(strings.TrimSuffix(string(line), "\n"), "\t")
		if len(c) == 3 && c[0] == absolute(object) {
			all[c[1]] = c[2]
		}
	}
	return all, nil
}

// addGlobals adds the aliases of global symbols to a linked module.
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
		return fmt.Errorf("%s: %d of %d global symbols that have aliases were linked", path, len(list), len(aliases))
	}
	plan, err := f.Rewrite(list)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	_, err = pipeline.WriteObject(path, plan)
	return err
}
