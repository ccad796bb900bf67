package kbuild

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/elf"
	"kas/pipeline"
)

// Without the option of Install, make does not know that the aliases of a module depend on all
// others. If another object brings a second function of a name, the module is not linked again, and
// its function has no alias. Removing such a module in the middle of a make could leave it removed,
// so kas reports it.

// moduleKey lists the aliases that a module gets, those of its global symbols too: a digest of
// each, separated by commas. It is noKey if there are none.
func moduleKey(o *pipeline.Object, names *kernelNames) string {
	var all []string
	for i := range o.Duplicates {
		if d := &o.Duplicates[i]; d.Alias != "" && names.needed(d) {
			all = append(all, pipeline.Digest(o.Symbols[d.Symbol].Name, d.Alias)[:12])
		}
	}
	return cmp.Or(strings.Join(all, ","), noKey)
}

const noKey = "-"

// covers reports whether the aliases of one key are among those of another.
func covers(key, part string) bool {
	if part == noKey || part == key {
		return true
	}
	have := map[string]bool{}
	for alias := range strings.SplitSeq(key, ",") {
		have[alias] = true
	}
	for alias := range strings.SplitSeq(part, ",") {
		if !have[alias] {
			return false
		}
	}
	return true
}

// linkedKeys returns the aliases that modules have after this make, by their objects, and the
// objects of those that lack some. keys has the aliases that they get now, and last what was known
// of them before; it may be nil. now is the object whose module is being linked, or "".
func (s *session) linkedKeys(last *emitted, keys map[string]string, now string) (
	linked map[string]string, stale []string,
) {
	linked = maps.Clone(keys)
	if last == nil || s.linked || s.ld == "" {
		return linked, nil
	}
	for line := range bytes.Lines(last.lines) {
		object, m, ok := parseEmitted(line)
		key, found := keys[object]
		if !ok || !found || m.key == key && m.linked == key || object == now ||
			!s.keeps(object) {
			continue
		}
		has := m.key
		if m.copied.Mtime > elf.IdentifyTarget(moduleOf(object)).Mtime {
			has = m.linked // its last link was before the last copy
		}
		if linked[object] = has; !covers(has, key) {
			stale = append(stale, object)
		}
	}
	slices.Sort(stale)
	return linked, stale
}

// keeps reports whether make leaves a module as it is: $(LD) linked it, and nothing that kbuild
// makes it from is newer.
func (s *session) keeps(object string) bool {
	module, stem := moduleOf(object), strings.TrimSuffix(object, ".o")
	command, err := os.ReadFile(filepath.Join(filepath.Dir(module),
		"."+filepath.Base(module)+".cmd"))
	if err != nil || !bytes.Contains(command, []byte(" := "+s.ld+" ")) || !exists(module) {
		return false
	}
	return !slices.ContainsFunc([]string{object, stem + ".mod.c", stem + ".mod.o",
		filepath.Join(s.tree.dir, "scripts/module.lds"),
		filepath.Join(s.tree.dir, ".module-common.o"),
		filepath.Join(s.tree.ext, ".module-common.o"),
	}, func(path string) bool { return newer(path, module) })
}

// moduleOf returns the module that is linked from an object.
func moduleOf(object string) string { return strings.TrimSuffix(object, ".o") + ".ko" }

// newer reports whether a file was changed after another. It is false if one of them is not there.
func newer(path, other string) bool {
	a, err := os.Stat(path)
	b, err2 := os.Stat(other)
	return err == nil && err2 == nil && a.ModTime().After(b.ModTime())
}

// warnStale reports modules that lack aliases, by their objects. byNM says which hook calls: in one
// make, LD does not repeat what NM reported.
func (s *session) warnStale(objects []string, byNM bool) error {
	if len(objects) == 0 {
		return s.memory.forget(staleFile)
	}
	text := s.state() + "\n" + strings.Join(objects, "\n") + "\n"
	if was, err := s.memory.read(staleFile); !byNM && err == nil && string(was) == text {
		return nil
	}
	const most = 10
	var names []string
	for _, o := range objects[:min(most, len(objects))] {
		name := moduleOf(o)
		if rel, err := filepath.Rel(absolute("."), name); err == nil && filepath.IsLocal(rel) {
			name = rel
		}
		names = append(names, name)
	}
	more := ""
	if n := len(objects) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	warn("make does not link %s%s again, which lack new aliases: remove them and run make again",
		strings.Join(names, " "), more)
	return s.memory.write(staleFile, []byte(text))
}
