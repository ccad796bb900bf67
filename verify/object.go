package verify

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// object reads one input and runs the checks that need no other object.
func (b *build) object(o *object) {
	if o.skipped {
		why := "unreadable"
		o.sum.Unreadable = 1
		if o.leftOut {
			why = "left out"
			o.sum.Unreadable, o.sum.LeftOut = 0, 1
			o.readName()
		}
		if n := len(o.aliases) + len(o.unaliased); n > 0 {
			o.add("has %d rows, but is %s according to stats.json", n, why)
		}
		b.unaliasedModule(o, nil, nil)
		return
	}
	raw, unmap, err := mapFile(o.path)
	var data []byte
	var m *image
	if err == nil {
		defer unmap()
		err = guard(func() (err error) {
			if data, err = decompress(raw); err == nil {
				m, err = parse(data, raw)
			}
			if err == nil && o.emitted != "" && m.typ != etRel {
				err = fmt.Errorf("offset 0x10: not a relocatable object")
			}
			return err
		})
	}
	if err != nil {
		o.add("cannot be read, but is readable according to stats.json: %v", err)
		return
	}
	o.sum.Objects = 1
	o.identify(m)
	m.readKernel(o.emitted == "")
	o.learn(m)
	aliased, unaliased := make([]int32, m.count), make([]int32, m.count)
	matchRows(&o.problems, "unaliased.tsv", m, b.unaliased, o.unaliased, unaliased)
	matchRows(&o.problems, "aliases.tsv", m, b.aliases, o.aliases, aliased)
	b.gather(o, m, aliased, unaliased)
	o.countCopy()
	aliasOf := func(i int) string {
		if aliased[i] == 0 {
			return ""
		}
		return b.aliases[aliased[i]-1].alias
	}
	switch {
	case o.emitted == "":
		if b.hasSyms {
			checkSyms(&o.problems, m, aliasOf, b.syms)
		}
	case len(o.aliases) == 0:
		b.unaliasedModule(o, raw, data)
	default:
		b.rewritten(o, m, aliasOf)
	}
}

// readName reads the name of a module that was left out.
func (o *object) readName() {
	raw, unmap, err := mapFile(o.path)
	if err == nil {
		defer unmap()
		err = guard(func() error {
			data, err := decompress(raw)
			if err != nil {
				return err
			}
			m, err := parse(data, raw)
			if err == nil {
				o.identify(m)
				m.readKernel(false)
				o.learn(m)
				o.size = 0
			}
			return err
		})
	}
	if err != nil {
		o.add("cannot be read, but is readable according to stats.json: %v", err)
	}
}

// gather keeps the visible symbols and checks that no symbol has the name of an alias. aliased and
// unaliased hold the index of the row of each symbol in aliases.tsv and unaliased.tsv, plus 1.
func (b *build) gather(o *object, m *image, aliased, unaliased []int32) {
	o.sections = make([]string, len(m.sections))
	for i := range m.sections {
		o.sections[i] = m.sections[i].name
	}
	o.files = []string{""}
	file := int32(0)
	locals := int(m.sections[m.symtab].info)
	for i := range m.each() {
		symbol := m.symbol(i)
		s := &symbol
		if i == locals {
			file = 0 // only local symbols belong to the file symbol before them
		}
		if s.kind() == sttFile && i > 0 {
			if file = 0; s.name != "" {
				file = int32(len(o.files))
				o.files = append(o.files, s.name)
			}
		}
		if aliased[i] != 0 && unaliased[i] != 0 {
			o.add("%q at %s+%#x is in aliases.tsv and in unaliased.tsv",
				s.name, m.sectionName(s), s.value)
		}
		if strings.Contains(s.name, b.Separator) {
			if k, ok := b.byAlias[s.name]; ok {
				o.add("symbol %d has the name of an alias: %q, aliases.tsv:%d",
					i, s.name, b.aliases[k].at)
			}
		}
		if visible(m, s) {
			v := visibleSymbol{
				name: s.name, addr: address(m, s), size: s.size, sec: s.sec, file: file,
				row: aliased[i], without: unaliased[i], letter: letter(m, s), code: code(m, s),
			}
			o.visible = append(o.visible, v)
			o.hints.add(v.name, v.code)
		}
	}
	o.sum.Visible = int64(len(o.visible))
}

// rewritten compares the emitted form of a module with its original.
func (b *build) rewritten(o *object, m *image, aliasOf func(int) string) {
	data, unmap, err := mapFile(o.emitted)
	if errors.Is(err, fs.ErrNotExist) {
		o.add("has aliases, but %s is missing", filepath.Base(o.emitted))
		return
	} else if err != nil {
		o.add("%v", err)
		return
	}
	defer unmap()
	err = guard(func() error {
		e, err := parse(data, data)
		if err == nil {
			o.sum.Rewritten = 1
			compare(&o.problems, m, e, aliasOf, &o.sum)
		}
		return err
	})
	if err != nil {
		o.add("%s: %v", filepath.Base(o.emitted), err)
	}
}

// unaliasedModule checks that a module without aliases has the output that the configuration asks
// for: none, or a link to the module, or an uncompressed copy of a compressed one. raw and data are
// nil if the run did not use the module; then there is none.
func (b *build) unaliasedModule(o *object, raw, data []byte) {
	if o.emitted == "" {
		return
	}
	base := filepath.Base(o.emitted)
	info, err := os.Lstat(o.emitted)
	wanted := b.Config.Link && raw != nil
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if wanted {
			o.add("%s is missing", base)
		}
		return
	case err != nil:
		o.add("%v", err)
		return
	case !wanted:
		o.add("has no aliases, but there is %s", base)
		return
	case uncompressed(o.path) == o.path:
		to, err := os.Stat(o.emitted)
		from, err2 := os.Stat(o.path)
		if info.Mode()&fs.ModeSymlink == 0 || err != nil || err2 != nil || !os.SameFile(to, from) {
			o.add("has no aliases, but %s is not a link to the module", base)
		}
		return
	}
	out, unmap, err := mapFile(o.emitted)
	if err != nil {
		o.add("%v", err)
		return
	}
	defer unmap()
	if !info.Mode().IsRegular() || !bytes.Equal(out, data) {
		o.add("has no aliases, but %s is not the module itself", base)
	}
}

// guard runs f and turns a panic into an error, also that of a mapped file that was truncated.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading failed: %v", r)
		}
	}()
	return f()
}

// mapFile maps a file. The caller calls unmap when it no longer needs the data.
func mapFile(name string) (data []byte, unmap func(), err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is not a regular file", name)
	case info.Size() == 0:
		return nil, func() {}, nil
	}
	data, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ,
		syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "mmap", Path: name, Err: err}
	}
	return data, func() { _ = syscall.Munmap(data) }, nil
}

// decompress returns the content of a gzip, xz or zstd file, and any other data unchanged.
func decompress(data []byte) ([]byte, error) {
	var r io.Reader
	var err error
	in := bytes.NewReader(data)
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		r, err = gzip.NewReader(in)
	case bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")):
		r, err = xz.NewReader(in, 0)
	case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
			r = z
		}
	default:
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = out.ReadFrom(r)
	return out.Bytes(), err
}
