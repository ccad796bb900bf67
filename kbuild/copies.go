package kbuild

import (
	"bytes"
	"fmt"
	"strings"

	"kas/elf"
	"kas/pipeline"
)

// emitted is the content of the file of that name: which copies the modules had when they were last
// made.
type emitted struct {
	state   string
	globals []byte // content of the file of that name: see globalLines

	// Each line is "OBJECT'S IDENTITY COPY'S IDENTITY OBJECT". The identity of no copy is none.
	lines []byte
}

// head returns the first line of the file. It binds everything else to the state.
func (e *emitted) head() string {
	return e.state + " " + pipeline.Digest(e.state, string(e.lines), string(e.globals))
}

// none is the identity of no file.
var none elf.Identity

// copied brings the copies of the tree's modules up to date. It reports whether this object has
// one, and returns the aliases of its global symbols by their names.
func (s *session) copied(object string) (copied bool, globals map[string]string, err error) {
	copies, err := s.copies(object)
	if err != nil {
		return false, nil, err
	}
	_, id, ok := copies.find(object)
	if !ok {
		where := order(s.tree.dir)
		if s.tree.ext != "" {
			where += " or " + order(s.tree.ext)
		}
		return false, nil, fmt.Errorf("%s is not in %s: only the modules listed there get aliases",
			object, where)
	}
	return id != none, copies.globalsOf(object), nil
}

// copies makes the copies of all modules, unless they are up to date. Of many calls at once the
// first makes them, and the others wait for it.
func (s *session) copies(object string) (*emitted, error) {
	if e := s.lastCopies(object); e != nil {
		return e, nil
	}
	unlock, err := pipeline.LockWait(s.memory.dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if e := s.lastCopies(object); e != nil {
		return e, nil
	}
	return s.makeCopies()
}

// makeCopies makes the copies of all modules and what memory has of them.
func (s *session) makeCopies() (*emitted, error) {
	if err := s.memory.forget(emittedFile); err != nil {
		return nil, err
	}
	e := &emitted{state: s.state()}
	collect := func(b *pipeline.Build, names *kernelNames) error {
		for i := range b.Objects {
			o := &b.Objects[i]
			if o.Vmlinux {
				continue
			}
			id := none
			if o.Emitted > 0 {
				id = elf.IdentifyTarget(s.copyOf(o.Path))
			}
			e.lines = fmt.Appendf(e.lines, "%v %v %s\n", o.Identity, id, absolute(o.Path))
			e.globals = append(e.globals, globalLines(o, names)...)
		}
		return s.memory.write(globalsFile, e.globals)
	}
	if err := s.aliases("modules", s.tree.vmlinuxObject(), true, collect); err != nil {
		return nil, err
	}
	return e, s.memory.write(emittedFile, fmt.Appendf(nil, "%s\n%s", e.head(), e.lines))
}

// lastCopies returns the copies as they were last made, or nil if they are not those of the tree as
// it is now, or if the object or its copy has changed since.
func (s *session) lastCopies(object string) *emitted {
	data, err := s.memory.read(emittedFile)
	if err != nil {
		return nil
	}
	globals, err := s.memory.read(globalsFile)
	if err != nil {
		return nil
	}
	head, lines, _ := bytes.Cut(data, []byte("\n"))
	e := &emitted{state: s.state(), globals: globals, lines: lines}
	if e.head() != string(head) {
		return nil // of another state of the tree, or damaged
	}
	was, id, ok := e.find(object)
	if !ok || was != elf.IdentifyTarget(object) ||
		id != none && id != elf.IdentifyTarget(s.copyOf(object)) {
		return nil
	}
	return e
}

// find returns the identities that an object and its copy had.
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

// state identifies what the copies are made from: the objects of the tree, the policy, the
// registry, and this program. kbuild writes modules.order again whenever a module has changed, and
// vmlinux.o whenever something built in has; so these two files stand for all objects, as they do
// for modpost.
func (s *session) state() string {
	files := []string{order(s.tree.dir), order(s.tree.ext), s.tree.vmlinuxObject(), s.config}
	var text []byte
	for _, path := range append(files, s.registryFiles()...) {
		text = append(elf.IdentifyTarget(path).Text(text), '\n')
	}
	return pipeline.Digest(s.kas(), string(text))
}
