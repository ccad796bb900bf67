package kbuild

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"kas/pipeline"
)

// NM takes the place of $(NM). It adds alias lines to the list of a vmlinux image that
// link-vmlinux.sh requests by `nm -n FILE`, and passes every other call through. It returns the
// exit status, or an error of its own.
//
// The aliases of the first image are those of vmlinux.o, or read from its own debugging
// information: see linkFirst. Those of the last image, vmlinux, are always its own. The images
// between have no debugging information. Their duplicates are those of the first image, one after
// the other. checkFirst compares the aliases of the first image and the last. link-vmlinux.sh of
// 6.x compares the last two lists, too.
func NM(h Hook) (status int, err error) {
	tool, args := h.tool("nm")
	file := listed(args)
	if err := h.oneWord(file); err != nil {
		return 0, err
	}
	if h.off() || file == "" {
		return 0, pass(tool, args)
	}
	list, err := os.CreateTemp("", "kas-nm-")
	if err != nil {
		return 0, err
	}
	defer list.Close()
	os.Remove(list.Name())
	if status, err = run(tool, args, list); err != nil || status != 0 {
		return status, err
	}
	aliases, err := h.session().imageAliases(file)
	if err != nil {
		return 0, err
	}
	if _, err := list.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return 0, aliases.write(list, os.Stdout)
}

// image matches the images of vmlinux whose lists link-vmlinux.sh requests. The number is that of
// the pass, from 1 on. 6.1 has .tmp_vmlinux.kallsyms1, later versions have .tmp_vmlinux1.
var image = lazily(`^(\.tmp_vmlinux(\.kallsyms)?([0-9]+)|vmlinux|vmlinux\.unstripped)$`)

// listed returns the image whose list a call of nm requests, "" for any other call.
func listed(args []string) string {
	if len(args) != 2 || args[0] != "-n" && args[0] != "--numeric-sort" ||
		!image().MatchString(filepath.Base(args[1])) {
		return ""
	}
	return args[1]
}

// passOf returns the number of the pass that makes an image, 0 for vmlinux itself and for any other
// file.
func passOf(file string) int {
	m := image().FindStringSubmatch(filepath.Base(file))
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[3])
	return n
}

// imageAliases returns the duplicates of an image with their aliases.
func (s *session) imageAliases(file string) (duplicates, error) {
	switch passOf(file) {
	case 0:
		all, err := s.ownAliases(file)
		if err == nil {
			err = s.checkFirst(all, file)
		}
		return all, err
	case 1:
		if first, err := s.memory.recallFirst(); err == nil {
			return aliasesOfFirst(file, first)
		}
		// If this fails, the images after it must not follow that of an earlier link.
		if err := s.memory.forget(firstFile); err != nil {
			return nil, err
		}
		all, err := s.ownAliases(file)
		if err == nil {
			err = s.memory.rememberFirst(all, file)
		}
		return all, err
	}
	first, err := s.memory.recallFirst()
	if err != nil {
		return nil, fmt.Errorf(
			"%s: no aliases from the first image: %w: remove .tmp_vmlinux* and run make again",
			file, err)
	}
	return aliasesOfFirst(file, first)
}

// aliasesOfFirst returns the duplicates of an image with the aliases of the first.
func aliasesOfFirst(file string, first duplicates) (duplicates, error) {
	all, err := listDuplicates(file, first)
	if err != nil {
		return nil, err
	}
	return all, all.follow(first, file)
}

// matchObject finds the aliases of vmlinux.o and matches them with those of the first image, which
// is linked from it. If all match, it remembers them for NM.
func (s *session) matchObject(file string) (bool, error) {
	object := filepath.Join(s.tree.dir, "vmlinux.o")
	if !exists(object) {
		return false, nil
	}
	inObject, _, err := s.duplicatesOf("vmlinux.o", object)
	if err != nil {
		return false, err
	}
	// The linker discards sections with data that has no alias, and gives the others new names.
	inObject = inObject.named(inObject)
	for i := range inObject {
		inObject[i].section = ""
	}
	all, err := aliasesOfFirst(file, inObject)
	if err != nil {
		return false, nil
	}
	return true, s.memory.rememberFirst(all, file)
}

// checkFirst refuses aliases of vmlinux that are not those of the first image. If those were the
// aliases of vmlinux.o, the next make reads them from the first image's own debugging information.
func (s *session) checkFirst(all duplicates, file string) error {
	first, err := s.memory.recallFirst()
	if err != nil {
		return nil // vmlinux was linked alone
	}
	followed := slices.Clone(all.named(first))
	err = followed.follow(first.named(first), file)
	if err == nil {
		if slices.Equal(followed, all.named(all)) {
			return nil
		}
		err = fmt.Errorf("%s does not have the aliases of the first image", file)
	}
	if s.memory.exists(slowFile) {
		return err
	}
	return errors.Join(fmt.Errorf("%w: run make again", err), s.memory.write(slowFile, nil))
}

// ownAliases reads the aliases of an image from its own debugging information.
func (s *session) ownAliases(file string) (duplicates, error) {
	all, keys, err := s.duplicatesOf("vmlinux", file)
	if err == nil && passOf(file) == 0 {
		_, stale := s.linkedKeys(s.recallEmitted(), keys, "")
		err = s.warnStale(stale, true)
	}
	return all, err
}

// duplicatesOf returns the duplicates of an image, or of the object that it is linked from, with
// their aliases, and the keys of the modules: see moduleKey. name is that of the run.
func (s *session) duplicatesOf(name, file string) (
	all duplicates, keys map[string]string, err error,
) {
	keys = map[string]string{}
	err = s.aliases(name, file, false, func(b *pipeline.Build, names *kernelNames) error {
		o := b.Vmlinux()
		if o.NoDebug && s.hasDebug(b) {
			return fmt.Errorf("%s has no debugging information, but its objects have: "+
				"run make with LD=kas-ld, too", file)
		}
		for i := range o.Duplicates {
			d := &o.Duplicates[i]
			s := &o.Symbols[d.Symbol]
			all = append(all, duplicate{s.Name, o.Sections[s.Section].Name, s.Value, s.Size,
				s.Local, d.Alias})
		}
		for i := range b.Objects {
			m := &b.Objects[i]
			keys[absolute(m.Path)] = moduleKey(m, names)
		}
		return nil
	})
	return all, keys, err
}

// hasDebug reports whether the kernel is compiled with debugging information: its modules, or what
// vmlinux is linked from.
func (s *session) hasDebug(b *pipeline.Build) bool {
	for i := range b.Objects {
		if !b.Objects[i].Vmlinux && !b.Objects[i].NoDebug {
			return true
		}
	}
	return s.tree.vmlinuxDebug()
}
