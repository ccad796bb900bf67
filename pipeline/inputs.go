package pipeline

import (
	"path/filepath"
	"slices"
	"strconv"

	"kas/elf"
)

// input is another file that a note depends on, such as a .dwo file.
type input struct {
	path     string
	identity elf.Identity // the zero value if there was no such file
	content  string       // see content.go
	young    bool         // a change may go unnoticed
}

// Depends notes that what is found in the object depends on another file, with the identity it had
// when it was read: the zero value if there was none. When the file changes, appears or disappears,
// the object counts as changed.
func (o *Object) Depends(path string, id elf.Identity) {
	// The next run may have another working directory.
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	young := !id.Settled(o.opened)
	o.inputs = append(o.inputs, input{path: path, identity: id, young: young})
}

// inputsHold reports whether the other files that the note depends on are as they were.
func (b *Build) inputsHold(n *note) bool {
	return !slices.ContainsFunc(n.inputs, func(in input) bool {
		return !b.same(in.path, in.identity, in.content)
	})
}

// nameInputs names the contents of the other files that objects depend on, for the next run.
func (b *Build) nameInputs() {
	Parallel(0, len(b.Objects), func(i int) {
		for k := range b.Objects[i].inputs {
			in := &b.Objects[i].inputs[k]
			in.young = in.young && b.Config.Origin(in.path) == ""
			if in.content == "" && in.identity != (elf.Identity{}) &&
				in.identity == elf.IdentifyTarget(in.path) {
				in.content = b.contentAt(in.path)
			}
		}
	})
}

// reuse takes over what the last run noted. What this run already found the object to depend on
// stays.
func (n *note) reuse(last note) {
	now := *n
	*n = last
	n.inputs = slices.Clone(now.inputs)
	for _, in := range last.inputs {
		same := func(other input) bool { return other.path == in.path }
		if !slices.ContainsFunc(now.inputs, same) {
			n.inputs = append(n.inputs, in)
		}
	}
}

// appendInputs appends a line of the state file for each file that the note of the object depends
// on.
func (o *Object) appendInputs(line []byte) []byte {
	for _, in := range o.inputs {
		line = strconv.AppendQuote(append(line, "input\t"...), o.Name)
		line = strconv.AppendQuote(append(line, '\t'), in.path)
		line = in.identity.Text(append(line, '\t'))
		line = append(append(append(line, '\t'), in.content...), '\n')
	}
	return line
}

// addInput reads a line that appendInputs wrote, after its first column.
func (s *state) addInput(c *columns) bool {
	o := s.objects[c.quoted()]
	in := input{path: c.quoted(), identity: c.identity(), content: c.text()}
	if o == nil || c.bad {
		return false
	}
	o.inputs = append(o.inputs, in)
	return true
}
