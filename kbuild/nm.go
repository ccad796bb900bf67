package kbuild

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
	"kas/stages"
)

// NM stands for $(NM). It adds alias lines to the list of a vmlinux that link-vmlinux.sh asks for (`nm -n FILE`) and passes
// every other call through. It returns the exit status, or an error of its own.
//
// The list of the first link is made from that image's own debugging information, which LD has kept; that of the last
// image, vmlinux, likewise. The images between have none: their duplicates are those of the first, one after the other.
// link-vmlinux.sh compares the last two lists, so no kernel is built in which they differ.
func NM(h Hook) (status int, err error) {
	tool := h.tool("nm", "llvm-nm")
	file := listed(h.Args)
	if h.off() || file == "" {
		return 0, pass(tool, h.Args)
	}
	list, err := os.CreateTemp("", "kas-nm-")
	if err != nil {
		return 0, err
	}
	defer list.Close()
	os.Remove(list.Name())
	if status, err = run(tool, h.Args, list); err != nil || status != 0 {
		return status, err
	}
	aliases, err := h.vmlinuxAliases(file)
	if err != nil {
		return 0, err
	}
	if _, err := list.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return 0, aliases.write(list, os.Stdout)
}

// image is the names that link-vmlinux.sh gives to the images whose lists it asks for. The number is that of the pass, the
// first of which is 1: 6.1 has .tmp_vmlinux.kallsyms1, later ones .tmp_vmlinux1.
var image = regexp.MustCompile(`^(\.tmp_vmlinux(\.kallsyms)?([0-9]+)|vmlinux|vmlinux\.unstripped)$`)

// listed returns the file of a call that asks for the list of a vmlinux, else "".
func listed(args []string) string {
	if len(args) != 2 || args[0] != "-n" && args[0] != "--numeric-sort" || !image.MatchString(filepath.Base(args[1])) {
		return ""
	}
	return args[1]
}

// passOf is the number of a temporary image's pass, 0 for vmlinux itself.
func passOf(file string) int {
	n, _ := strconv.Atoi(image.FindStringSubmatch(filepath.Base(file))[3])
	return n
}

// duplicate is a symbol of vmlinux that shares its name.
type duplicate struct {
	name, section string
	value, size   uint64
	local         bool
	alias         string // "" if it has none
}

type duplicates []duplicate

// vmlinuxAliases finds the aliases of an image.
func (h *Hook) vmlinuxAliases(file string) (duplicates, error) {
	t := h.treeHere()
	if err := os.MkdirAll(t.state, 0o755); err != nil {
		return nil, err
	}
	if passOf(file) > 1 {
		return h.followed(t, file)
	}
	// Should this fail, nothing of another link is to be taken for it.
	memory := filepath.Join(t.state, firstFile)
	if passOf(file) == 1 {
		if err := os.Remove(memory); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var all duplicates
	err := h.aliases(t, "vmlinux", file, false, func(b *pipeline.Build, _ *kernelNames) error {
		o := b.Vmlinux()
		if o.NoDebug && t.hasDebug(b) {
			return fmt.Errorf("%s was linked without the debugging information that its objects have: give make LD=\"kas ld\", too", file)
		}
		for i := range o.Duplicates {
			d := &o.Duplicates[i]
			s := &o.Symbols[d.Symbol]
			all = append(all, duplicate{s.Name, o.Sections[s.Section].Name, s.Value, s.Size, s.Local, d.Alias})
		}
		return nil
	})
	if err == nil && passOf(file) == 1 {
		err = all.remember(memory, file)
	}
	return all, err
}

// hasDebug says whether the kernel was compiled with debugging information: its modules, or what vmlinux is linked of.
func (t tree) hasDebug(b *pipeline.Build) bool {
	for i := range b.Objects {
		if !b.Objects[i].Vmlinux && !b.Objects[i].NoDebug {
			return true
		}
	}
	f, err := elf.OpenTables(filepath.Join(t.dir, "vmlinux.o"))
	if err != nil {
		return false
	}
	defer f.Close()
	return f.DebugSection(".debug_info") > 0
}

// firstFile holds the duplicates of the first image, for the passes after it.
const firstFile = "first"

func (all duplicates) remember(path, file string) error {
	_, err := pipeline.WriteFile(path, func(w io.Writer) error {
		text := fmt.Appendf(nil, "%v %s\n", elf.IdentifyTarget(file), file)
		for _, d := range all {
			text = fmt.Appendf(text, "%s\t%s\t%x\t%t\t%s\n", d.name, d.section, d.size, d.local, d.alias)
		}
		_, err := w.Write(text)
		return err
	})
	return err
}

// followed gives the duplicates of a later image the aliases that the first one's have. A linker writes the same objects'
// symbols in the same order, so the local ones correspond one by one, and a global one is alone with its name; that name,
// section, size and number of all agree is asked for, and what does not ends the link.
func (h *Hook) followed(t tree, file string) (duplicates, error) {
	first, err := recall(filepath.Join(t.state, firstFile))
	if err != nil {
		return nil, fmt.Errorf("%s follows an image that is not known: %w", file, err)
	}
	names := map[string]bool{}
	for _, d := range first {
		names[d.name] = true
	}
	var now duplicates
	b := configs.Build{Name: "later", Stages: []string{"scan", "list"}}
	plan := &configs.Plan{Out: t.state, OnError: "continue", Builds: []configs.Build{b}}
	r, err := pipeline.Run(context.Background(), plan, []pipeline.Stage{
		{Name: "scan", Run: func(ctx context.Context, b *pipeline.Build) error {
			b.Objects = []pipeline.Object{{Name: "vmlinux", Path: file, Vmlinux: true}}
			return stages.Read(ctx, b)
		}},
		{Name: "list", Run: func(_ context.Context, b *pipeline.Build) error {
			o := b.Vmlinux()
			for i := range o.Symbols {
				if s := &o.Symbols[i]; names[s.Name] {
					now = append(now, duplicate{s.Name, o.Sections[s.Section].Name, s.Value, s.Size, s.Local, ""})
				}
			}
			return nil
		}},
	}, pipeline.Options{Jobs: 1})
	if err != nil {
		return nil, err
	}
	if err := problems(r); err != nil {
		return nil, err
	}
	return now, now.follow(first, file)
}

// follow takes the aliases of first, whose symbols are the same in another image.
func (all duplicates) follow(first duplicates, file string) error {
	globals := map[string]*duplicate{}
	var locals duplicates
	for i := range first {
		if d := &first[i]; !d.local {
			globals[d.name] = d
		} else {
			locals = append(locals, *d)
		}
	}
	for i := range all {
		d := &all[i]
		var f *duplicate
		if !d.local {
			f = globals[d.name]
			delete(globals, d.name)
		} else if len(locals) > 0 {
			f, locals = &locals[0], locals[1:]
		}
		if f == nil || f.name != d.name || f.section != d.section || f.size != d.size {
			return fmt.Errorf("%s does not hold the symbols of the first image: %s of %d bytes in %s has no counterpart there", file, d.name, d.size, d.section)
		}
		d.alias = f.alias
	}
	if len(locals)+len(globals) > 0 {
		return fmt.Errorf("%s does not hold the symbols of the first image: %d of those that share a name are missing", file, len(locals)+len(globals))
	}
	return nil
}

// recall reads what remember wrote, of an image that is still there as it was.
func recall(path string) (duplicates, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, rest, _ := strings.Cut(string(data), "\n")
	word, file, _ := strings.Cut(head, " ")
	if id, ok := elf.ParseIdentity(word); !ok || id == none || id != elf.IdentifyTarget(file) {
		return nil, fmt.Errorf("%s is gone or was linked again", file)
	}
	var all duplicates
	for line := range strings.Lines(rest) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(c) != 5 {
			return nil, fmt.Errorf("%s is damaged", path)
		}
		size, err := strconv.ParseUint(c[2], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", path, err)
		}
		all = append(all, duplicate{name: c[0], section: c[1], size: size, local: c[3] == "true", alias: c[4]})
	}
	return all, nil
}

// write copies the list that the real nm made, with each alias on a line after that of its original. An alias whose
// original is not there is an error.
func (all duplicates) write(list io.Reader, to io.Writer) error {
	type line struct {
		value uint64
		name  string
	}
	aliases := map[line][]string{}
	missing := 0
	for _, d := range all {
		if d.alias != "" {
			key := line{d.value, d.name}
			aliases[key] = append(aliases[key], d.alias)
			missing++
		}
	}
	in, out := bufio.NewScanner(list), bufio.NewWriterSize(to, 64<<10)
	in.Buffer(make([]byte, 64<<10), 1<<20)
	for in.Scan() {
		text := in.Bytes()
		out.Write(text)
		out.WriteByte('\n')
		address, rest, ok := bytes.Cut(text, []byte(" "))
		letter, name, ok2 := bytes.Cut(rest, []byte(" "))
		value, err := strconv.ParseUint(string(address), 16, 64)
		if !ok || !ok2 || err != nil {
			continue // an undefined symbol
		}
		key := line{value, string(name)}
		if names := aliases[key]; len(names) > 0 {
			fmt.Fprintf(out, "%s %s %s\n", address, letter, names[0])
			aliases[key] = names[1:]
			missing--
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("%d symbols that have aliases are not in the list of the real nm", missing)
	}
	return out.Flush()
}
