package pipeline

import (
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kas/elf"
)

// input is another file that a note depends on, such as a .dwo file.
type input struct {
	path     string
	identity elf.Identity // the zero value if there was no such file
}

// Depends notes that what is found in the object depends on another file, with the identity it had
// when it was read: the zero value if there was none. When the file changes, appears or disappears,
// the object counts as changed.
func (o *Object) Depends(path string, id elf.Identity) {
	// The next run may have another working directory.
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	o.inputs = append(o.inputs, input{path, id})
	if o.opened.Sub(time.Unix(0, max(id.Mtime, id.Ctime))) <= settled {
		o.unsettled = true
	}
}

// inputsHold reports whether the other files that the note depends on are as they were.
func (n *note) inputsHold() bool {
	return !slices.ContainsFunc(n.inputs, func(in input) bool {
		return elf.IdentifyTarget(in.path) != in.identity
	})
}

// reuse takes over what the last run noted. What this run already found the object to depend on
// stays.
func (n *note) reuse(last note) {
	now := *n
	*n = last
	n.unsettled = now.unsettled
	n.inputs = slices.Clone(now.inputs)
	for _, in := range last.inputs {
		if !slices.Contains(now.inputs, in) {
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
		line = append(in.identity.Text(append(line, '\t')), '\n')
	}
	return line
}

// addInput reads a line that appendInputs wrote, after its first column.
func (s *state) addInput(c *columns) bool {
	o := s.objects[c.quoted()]
	in := input{c.quoted(), c.identity()}
	if o == nil || c.bad {
		return false
	}
	o.inputs = append(o.inputs, in)
	return true
}
