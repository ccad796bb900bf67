package kbuild

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
)

// duplicate is a symbol of an image of vmlinux that shares its name.
type duplicate struct {
	name, section string
	value, size   uint64
	local         bool
	alias         string // "" if it has none
}

// duplicates are those of one image, in the order of its symbol table.
type duplicates []duplicate

// rememberFirst writes the duplicates of the first image, for the images after it. The first line
// has a digest of everything else and identifies the image. Each other line is a duplicate: name,
// section, size in hexadecimal, whether it is local, and alias, separated by tabs.
func (m memory) rememberFirst(all duplicates, file string) error {
	var text []byte
	for _, d := range all {
		text = fmt.Appendf(text, "%s\t%s\t%x\t%t\t%s\n", d.name, d.section, d.size, d.local,
			d.alias)
	}
	head := fmt.Sprintf("%v %s", elf.IdentifyTarget(file), file)
	digest := pipeline.Digest(head, string(text))
	return m.write(firstFile, fmt.Appendf(nil, "%s %s\n%s", digest, head, text))
}

// recallFirst reads what rememberFirst wrote. The image must be unchanged since.
func (m memory) recallFirst() (duplicates, error) {
	data, err := m.read(firstFile)
	if err != nil {
		return nil, err
	}
	head, rest, _ := strings.Cut(string(data), "\n")
	digest, head, _ := strings.Cut(head, " ")
	if digest != pipeline.Digest(head, rest) {
		return nil, fmt.Errorf("%s is damaged", m.path(firstFile))
	}
	word, file, _ := strings.Cut(head, " ")
	if id, ok := elf.ParseIdentity(word); !ok || id == none || id != elf.IdentifyTarget(file) {
		return nil, fmt.Errorf("%s was removed or linked again", file)
	}
	var all duplicates
	for line := range strings.Lines(rest) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(c) != 5 {
			return nil, fmt.Errorf("%s is damaged", m.path(firstFile))
		}
		size, err := strconv.ParseUint(c[2], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", m.path(firstFile), err)
		}
		all = append(all, duplicate{name: c[0], section: c[1], size: size, local: c[3] == "true",
			alias: c[4]})
	}
	return all, nil
}

// listDuplicates returns the symbols of an image that have a name of one of first. They have no
// aliases yet.
func listDuplicates(file string, first duplicates) (duplicates, error) {
	names := map[string]bool{}
	for _, d := range first {
		names[d.name] = true
	}
	var all duplicates
	r, err := spec{
		config:  configs.Build{Name: "later"},
		options: pipeline.Options{Jobs: 1},
		objects: []pipeline.Object{{Name: "vmlinux", Path: file, Vmlinux: true}},
		list:    true,
		collect: func(_ context.Context, b *pipeline.Build) error {
			o := b.Vmlinux()
			for i := range o.Symbols {
				if s := &o.Symbols[i]; names[s.Name] {
					all = append(all, duplicate{s.Name, o.Sections[s.Section].Name, s.Value, s.Size,
						s.Local, ""})
				}
			}
			return nil
		},
	}.run(context.Background())
	if err != nil {
		return nil, err
	}
	return all, firstProblem(r)
}

// named returns those with a name that has an alias in other.
func (all duplicates) named(other duplicates) duplicates {
	names := map[string]bool{}
	for _, d := range other {
		names[d.name] = names[d.name] || d.alias != ""
	}
	return slices.DeleteFunc(slices.Clone(all), func(d duplicate) bool { return !names[d.name] })
}

// follow gives the duplicates of an image the aliases of the first image's. A linker writes the
// local symbols of the same objects in the same order, so they correspond one by one. A global
// symbol is the only one of its name. Names, sections, sizes and numbers must all match; any
// mismatch fails the link.
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
		if f == nil || f.name != d.name || f.section != "" && f.section != d.section ||
			f.size != d.size {
			return fmt.Errorf("%s does not match the first image: no %s of %d bytes in %s there",
				file, d.name, d.size, d.section)
		}
		d.alias = f.alias
	}
	if n := len(locals) + len(globals); n > 0 {
		return fmt.Errorf("%s does not match the first image: %d duplicates are missing", file, n)
	}
	return nil
}

// write copies the list of the real nm and puts each alias on a line after its original's, with the
// type of elf.AliasType. It fails if an original is not in the list.
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
		if !ok || !ok2 || err != nil || len(letter) != 1 {
			continue // an undefined symbol
		}
		key := line{value, string(name)}
		if names := aliases[key]; len(names) > 0 {
			fmt.Fprintf(out, "%s %c %s\n", address,
				elf.AliasType(letter[0], string(name), names[0]), names[0])
			aliases[key] = names[1:]
			missing--
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("%d symbols that have aliases are not in the list of the real nm",
			missing)
	}
	return out.Flush()
}
