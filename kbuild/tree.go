package kbuild

import (
	"bytes"
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
	"kas/stages"
)

// tree is a kernel's build folder, or that of a module out of it.
type tree struct {
	dir   string // where the link commands run: their paths are relative to it
	ext   string // folder of the modules that are built out of the tree (make M=), "" if they are the tree's own
	state string // folder for what the hooks remember
}

// treeHere is the tree that a link command runs in.
func (h *Hook) treeHere() tree {
	t := tree{dir: "."}
	if objtree := h.Getenv("objtree"); objtree != "" && objtree != "." {
		t.dir = objtree
	}
	t.ext = h.Getenv("KBUILD_EXTMOD")
	if out := h.Getenv("KBUILD_EXTMOD_OUTPUT"); out != "" {
		t.ext = out
	}
	t.state = filepath.Join(t.dir, ".kas")
	if t.ext != "" {
		t.state = filepath.Join(t.ext, ".kas")
	}
	return t
}

// order is the file in which kbuild lists a folder's modules. It is made anew whenever one of them is.
func order(dir string) string { return filepath.Join(dir, "modules.order") }

// modules lists the modules' own objects, X.o, of a folder's modules.order, which names X.ko up to 6.1. Those that are not
// built are left out: make was asked for something else.
func (t tree) modules(dir string) ([]string, error) {
	data, err := os.ReadFile(order(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		object := strings.TrimSuffix(strings.TrimSuffix(line, ".ko"), ".o") + ".o"
		candidates := []string{object}
		if !filepath.IsAbs(object) {
			// Of a folder given by M= the paths are relative to it from 6.13 on, before to the tree.
			candidates = []string{filepath.Join(dir, object), filepath.Join(t.dir, object)}
		}
		for _, path := range candidates {
			if _, err := os.Stat(path); err == nil {
				all = append(all, absolute(path))
				break
			}
		}
	}
	return all, nil
}

// objects lists what counts: vmlinux, the tree's modules if they are to, and those out of it, in the order of their names.
// A module of the tree is named as modules.order does, whatever M= calls its folder.
func (t tree) objects(vmlinux string, all bool) ([]pipeline.Object, error) {
	var paths []string
	var err error
	if all {
		paths, err = t.modules(t.dir)
	}
	if err != nil {
		return nil, err
	}
	if t.ext != "" {
		more, err := t.modules(t.ext)
		if err != nil {
			return nil, err
		}
		paths = append(paths, more...)
	}
	var objects []pipeline.Object
	for _, path := range paths {
		name := path
		if rel, err := filepath.Rel(absolute(t.dir), path); err == nil && filepath.IsLocal(rel) {
			name = rel
		}
		objects = append(objects, pipeline.Object{Name: name, Path: path})
	}
	slices.SortFunc(objects, func(a, b pipeline.Object) int { return strings.Compare(a.Name, b.Name) })
	objects = slices.CompactFunc(objects, func(a, b pipeline.Object) bool { return a.Name == b.Name })
	if vmlinux != "" {
		objects = append([]pipeline.Object{{Name: "vmlinux", Path: vmlinux, Vmlinux: true}}, objects...)
	}
	return objects, nil
}

// vmlinuxObject is what tells the names of vmlinux before it is linked, and the places of its symbols; after a build it
// may be vmlinux alone that is left. "" if there is neither.
func (t tree) vmlinuxObject() string {
	for _, name := range []string{"vmlinux.o", "vmlinux"} {
		path := filepath.Join(t.dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// aliases runs the stages on a build of the tree's; do sees it with all aliases, before or after modules are written.
func (h *Hook) aliases(t tree, name, vmlinux string, emit bool, do func(*pipeline.Build, *kernelNames) error) error {
	policy, err := configs.Policy(h.Getenv("KAS_CONFIG"))
	if err != nil {
		return err
	}
	names, err := h.kernelNames(t, &policy)
	if err != nil {
		return err
	}
	if names != nil {
		defer names.Close()
		vmlinux = ""
	}
	policy.Name, policy.Vmlinux, policy.Emit = name, vmlinux, beside
	list := func(ctx context.Context, b *pipeline.Build) error {
		objects, err := t.objects(vmlinux, names == nil)
		if err != nil {
			return err
		}
		b.Objects = objects
		b.Own = func(o *pipeline.Object) bool { return o.Vmlinux || t.ext == "" || below(t.ext, o.Path) }
		if t.ext != "" {
			b.Roots = append(b.Roots, absolute(t.ext))
		}
		if names != nil {
			b.Taken = names.taken
			if srctree := h.Getenv("srctree"); srctree != "" {
				b.Roots = append(b.Roots, absolute(srctree))
			}
		}
		b.Bears = func(o *pipeline.Object, d *pipeline.Duplicate) bool {
			return o.Symbols[d.Symbol].Local && names.needed(d) // of the others see globalsFile
		}
		b.Also = func(o *pipeline.Object) string {
			if text := globalsOf(o, names); len(text) > 0 {
				return pipeline.Digest(string(text))
			}
			return ""
		}
		return names.read(ctx, b)
	}
	plan := []pipeline.Stage{
		{Name: "scan", Run: list}, {Name: "dedupe", Run: stages.Dedupe}, {Name: "normalize", Run: names.normalize}, {Name: "resolve", Run: stages.Resolve},
	}
	if emit {
		plan = append(plan, pipeline.Stage{Name: "emit", Run: stages.EmitModules})
	}
	plan = append(plan, pipeline.Stage{Name: "stats", Run: func(ctx context.Context, b *pipeline.Build) error {
		if err := do(b, names); err != nil || t.ext == "" || names == nil && below(t.dir, t.ext) {
			return err
		}
		return tellAmbiguous(ctx, t, b, names)
	}})
	options, release := h.options(t)
	defer release()
	r, err := pipeline.Run(context.Background(), &configs.Plan{Out: t.state, OnError: "continue", Builds: []configs.Build{policy}}, plan, options)
	if err != nil {
		return err
	}
	return problems(r)
}

// problems are the errors of a run. That an object has no debugging information costs its aliases their folders, not
// their truth.
func problems(r *pipeline.Result) error {
	without := map[string]bool{}
	for _, b := range r.Builds {
		for i := range b.Objects {
			without[b.Objects[i].Name] = b.Objects[i].NoDebug
		}
	}
	for _, e := range r.Errors {
		if !without[e.Object] {
			return e
		}
	}
	return nil
}

// absolute names a file in the same way whoever names it from wherever.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func below(dir, path string) bool {
	rel, err := filepath.Rel(absolute(dir), absolute(path))
	return err == nil && filepath.IsLocal(rel)
}

// token says of which state of the tree the copies are that lie beside its modules. kbuild makes modules.order anew when
// a module is, and vmlinux.o when something built in is; so these two stand for all, as they do for modpost.
func (h *Hook) token(t tree) string {
	var text []byte
	for _, path := range append([]string{order(t.dir), order(t.ext), t.vmlinuxObject(), h.Getenv("KAS_CONFIG")}, h.registryFiles(t)...) {
		text = append(elf.IdentifyTarget(path).Text(text), '\n')
	}
	return pipeline.Digest(h.Kas(), string(text))
}

// emitted are the copies of a tree's modules as the hooks made them last.
type emitted struct {
	lines []byte // "OBJECT'S IDENTITY COPY'S IDENTITY OBJECT"; the copy's is that of no file if there is none
}

const emittedFile = "emitted"

// globalsOf is the lines of globalsFile for one module.
func globalsOf(o *pipeline.Object, names *kernelNames) []byte {
	var lines []byte
	for i := range o.Duplicates {
		d := &o.Duplicates[i]
		if s := &o.Symbols[d.Symbol]; d.Alias != "" && !s.Local && !o.Vmlinux && names.needed(d) {
			lines = fmt.Appendf(lines, "%s\t%s\t%s\n", absolute(o.Path), s.Name, d.Alias)
		}
	}
	return lines
}

// copies brings the copies of the tree's modules up to date, if object or the tree is not as it was when they were made.
// It is done once for all of them: whoever comes first does it, the others wait.
func (h *Hook) copies(t tree, object string) (*emitted, error) {
	if e := h.lastCopies(t, object); e != nil {
		return e, nil
	}
	unlock, err := pipeline.LockWait(t.state)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if e := h.lastCopies(t, object); e != nil {
		return e, nil
	}
	path := filepath.Join(t.state, emittedFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	token := h.token(t)
	var e emitted
	err = h.aliases(t, "modules", t.vmlinuxObject(), true, func(b *pipeline.Build, names *kernelNames) error {
		globals := []byte{}
		for i := range b.Objects {
			o := &b.Objects[i]
			if o.Vmlinux {
				continue
			}
			copied := elf.Identity{}
			if o.Emitted > 0 {
				copied = elf.IdentifyTarget(o.Path + ".kas")
			}
			e.lines = fmt.Appendf(e.lines, "%v %v %s\n", o.Identity, copied, absolute(o.Path))
			globals = append(globals, globalsOf(o, names)...)
		}
		_, err := pipeline.WriteFile(filepath.Join(t.state, globalsFile), func(w io.Writer) error { _, err := w.Write(globals); return err })
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = pipeline.WriteFile(path, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%s", token, e.lines)
		return err
	})
	return &e, err
}

// copied brings the copies of the tree's modules up to date and says whether this object has one.
func (h *Hook) copied(t tree, object string) (bool, error) {
	copies, err := h.copies(t, object)
	if err != nil {
		return false, err
	}
	_, copied, ok := copies.find(object)
	if !ok {
		where := order(t.dir)
		if t.ext != "" {
			where += " or " + order(t.ext)
		}
		return false, fmt.Errorf("%s is not in %s: no aliases are known for it", object, where)
	}
	return copied != none, nil
}

// lastCopies are the copies of the last time, nil if they are not of the tree as it is.
func (h *Hook) lastCopies(t tree, object string) *emitted {
	data, err := os.ReadFile(filepath.Join(t.state, emittedFile))
	if err != nil {
		return nil
	}
	token, lines, _ := bytes.Cut(data, []byte("\n"))
	if string(token) != h.token(t) {
		return nil
	}
	e := &emitted{lines}
	was, copied, ok := e.find(object)
	if !ok || was != elf.IdentifyTarget(object) || copied != none && copied != elf.IdentifyTarget(object+".kas") {
		return nil
	}
	return e
}

// none is the identity of no file.
var none elf.Identity

// find returns the identities of an object and its copy, as they were.
func (e *emitted) find(object string) (was, copied elf.Identity, ok bool) {
	suffix := []byte(" " + absolute(object))
	for line := range bytes.Lines(e.lines) {
		if rest, found := bytes.CutSuffix(bytes.TrimSuffix(line, []byte("\n")), suffix); found {
			first, second, _ := strings.Cut(string(rest), " ")
			was, ok := elf.ParseIdentity(first)
			copied, ok2 := elf.ParseIdentity(second)
			return was, copied, ok && ok2
		}
	}
	return none, none, false
}
