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

	// Each line is "OBJECT'S IDENTITY COPY'S IDENTITY KEY LINKED OBJECT". The identity of no copy
	// is none. KEY lists the aliases that the module gets, and LINKED those that it has after this
	// make: see moduleKey.
	lines []byte
}

// emittedModule is what a line of emitted says of a module.
type emittedModule struct {
	object, copied elf.Identity
	key, linked    string
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
	m, ok := copies.find(object)
	if !ok {
		where := order(s.tree.dir)
		if s.tree.ext != "" {
			where += " or " + order(s.tree.ext)
		}
		return false, nil, fmt.Errorf("%s is not in %s: only the modules listed there get aliases",
			object, where)
	}
	return m.copied != none, copies.globalsOf(object), nil
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
	return s.makeCopies(object)
}

// makeCopies makes the copies of all modules and what memory has of them. object is that of the
// module that is being linked.
func (s *session) makeCopies(object string) (*emitted, error) {
	last := s.recallEmitted()
	if err := s.memory.forget(emittedFile); err != nil {
		return nil, err
	}
	e := &emitted{state: s.state()}
	var stale []string
	collect := func(b *pipeline.Build, names *kernelNames) error {
		modules := b.Every(func(o *pipeline.Object) bool { return !o.Vmlinux })
		keys := map[string]string{}
		for _, o := range modules {
			keys[absolute(o.Path)] = moduleKey(o, names)
			e.globals = append(e.globals, globalLines(o, names)...)
		}
		var linked map[string]string
		linked, stale = s.linkedKeys(last, keys, absolute(object))
		for _, o := range modules {
			id := none
			if o.Emitted > 0 {
				id = elf.IdentifyTarget(s.copyOf(o.Path))
			}
			path := absolute(o.Path)
			e.lines = fmt.Appendf(e.lines, "%v %v %s %s %s\n", o.Identity, id, keys[path],
				linked[path], path)
		}
		return s.memory.write(globalsFile, e.globals)
	}
	if err := s.aliases("modules", s.tree.vmlinuxObject(), true, collect); err != nil {
		return nil, err
	}
	if err := s.warnStale(stale, false); err != nil {
		return nil, err
	}
	return e, s.memory.write(emittedFile, fmt.Appendf(nil, "%s\n%s", e.head(), e.lines))
}

// recallEmitted returns what the last call that made copies remembers, nil if there is nothing or
// it is damaged. The tree may have changed since.
func (s *session) recallEmitted() *emitted {
	data, err := s.memory.read(emittedFile)
	if err != nil {
		return nil
	}
	globals, err := s.memory.read(globalsFile)
	if err != nil {
		return nil
	}
	head, lines, _ := bytes.Cut(data, []byte("\n"))
	state, _, _ := bytes.Cut(head, []byte(" "))
	e := &emitted{state: string(state), globals: globals, lines: lines}
	if e.head() != string(head) {
		return nil
	}
	return e
}

// lastCopies returns the copies as they were last made, or nil if they are not those of the tree as
// it is now, or if the object or its copy has changed since.
func (s *session) lastCopies(object string) *emitted {
	e := s.recallEmitted()
	if e == nil || e.state != s.state() {
		return nil
	}
	m, ok := e.find(object)
	if !ok || m.object != elf.IdentifyTarget(object) ||
		m.copied != none && m.copied != elf.IdentifyTarget(s.copyOf(object)) {
		return nil
	}
	return e
}

// find returns what is known of an object.
func (e *emitted) find(object string) (emittedModule, bool) {
	suffix := []byte(" " + absolute(object) + "\n")
	for line := range bytes.Lines(e.lines) {
		if bytes.HasSuffix(line, suffix) {
			if _, m, ok := parseEmitted(line); ok {
				return m, true
			}
		}
	}
	return emittedModule{}, false
}

// parseEmitted reads one line of emitted.
func parseEmitted(line []byte) (object string, m emittedModule, ok bool) {
	c := strings.SplitN(strings.TrimSuffix(string(line), "\n"), " ", 5)
	if len(c) != 5 {
		return "", m, false
	}
	was, ok := elf.ParseIdentity(c[0])
	copied, ok2 := elf.ParseIdentity(c[1])
	return c[4], emittedModule{was, copied, c[2], c[3]}, ok && ok2
}

// state identifies what the copies and their warnings are made from: the objects of the tree, the
// policy, the registry, the debug files that are named, and this program. kbuild writes
// modules.order again whenever a module has changed, and vmlinux.o whenever something built in has;
// so these two files stand for all objects, as they do for modpost.
func (s *session) state() string {
	files := []string{order(s.tree.dir), order(s.tree.ext), s.tree.vmlinuxObject(), s.config,
		s.vmlinux, s.modules}
	var text []byte
	for _, path := range append(files, s.registryFiles()...) {
		text = append(elf.IdentifyTarget(path).Text(text), '\n')
	}
	return pipeline.Digest(s.kas(), string(text))
}
