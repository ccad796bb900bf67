package registry

import (
	"bytes"
	"slices"
)

// Survey is what one pass over all lines of a registry finds. It refers to nothing in the registry.
type Survey struct {
	Functions int      // symbols that are code, without the padding before functions
	Repeated  int      // functions that share their exact name with another symbol of the build
	Renamed   int      // functions with an identity suffix in their name: LTO renamed them
	Aliased   []Record // symbols that have an alias, in the order of the file
	Suffixed  []string // base names of renamed functions that have no alias; may repeat

	text  []byte       // the names
	names []sourceName // sorted, no name twice

	unsorted bool // names are not yet
}

// sourceName is a name up to its first dot, and the symbols that have it. It joins a function with
// its clones and parts, and with the names that LTO gave it.
type sourceName struct {
	at      uint32 // offset of the name in Survey.text, which is smaller than maxFile
	size    int32  // of the name, in bytes
	symbols int32  // of any type, without clones and parts
	aliased int32  // of symbols, those that have an alias
	code    int32  // of symbols, the functions
	clones  int32  // of functions, and their parts: .cold, .isra.0
}

// SurveyFile reads and checks all of a registry, of which it has only a part in memory at a time.
// The file that it returns is closed. The error does not include the path.
func SurveyFile(path string) (*File, *Survey, error) {
	f, err := openParts(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	f.passing = f.file != nil
	s := (&Registry{File: f}).Survey()
	if f.err != nil {
		return nil, nil, f.err
	}
	return f, s, nil
}

// Survey reads all lines of the registry and of its overlay.
func (r *Registry) Survey() *Survey {
	// The names are a fifth of a kernel's registry.
	s := &Survey{
		text: make([]byte, 0, r.size/4), names: make([]sourceName, 0, r.lineCount()),
	}
	aliases, separator := map[string]bool{}, []byte(r.Separator())
	var maybe []columns // symbols that may be aliases: the symbol tables of a later build have them
	for line := range r.all() {
		c := cutColumns(line)
		if len(c.alias) > 0 {
			record := parseRecord(line)
			record.Renamed = r.renamedTo(record.Object)
			s.Aliased = append(s.Aliased, record)
			aliases[string(c.alias)] = true
		}
		if bytes.Contains(c.name, separator) {
			maybe = append(maybe, cutColumns(bytes.Clone(line)))
			continue
		}
		s.add(&c)
	}
	for i := range maybe {
		if !aliases[string(maybe[i].name)] {
			s.add(&maybe[i])
		}
	}
	if s.unsorted {
		slices.SortFunc(s.names, func(a, b sourceName) int {
			return bytes.Compare(s.name(&a), s.name(&b))
		})
		s.join()
	}
	return s
}

// add counts a symbol.
func (s *Survey) add(c *columns) {
	function, base := c.function(), c.baseName()
	if function {
		s.Functions++
		if string(c.count) != "1" {
			s.Repeated++
		}
		if !bytes.Equal(base, c.name) {
			s.Renamed++
			if len(c.alias) == 0 {
				s.Suffixed = append(s.Suffixed, string(base))
			}
		}
	}
	name := c.name
	if dot := bytes.IndexByte(name, '.'); dot > 0 {
		name = name[:dot]
	}
	n := sourceName{at: uint32(len(s.text)), size: int32(len(name))}
	switch {
	case len(base) == len(name):
		n.symbols = 1
		if len(c.alias) > 0 {
			n.aliased = 1
		}
		if function {
			n.code = 1
		}
	case function:
		n.clones = 1
	}
	if last := len(s.names) - 1; last >= 0 {
		switch order := bytes.Compare(s.name(&s.names[last]), name); {
		case order == 0:
			s.names[last].join(&n)
			return
		case order > 0: // seldom: few bytes sort between the end of a name and a dot
			s.unsorted = true
		}
	}
	s.text = append(s.text, name...)
	s.names = append(s.names, n)
}

func (n *sourceName) join(o *sourceName) {
	n.symbols += o.symbols
	n.aliased += o.aliased
	n.code += o.code
	n.clones += o.clones
}

// join adds up equal names, which must be neighbours.
func (s *Survey) join() {
	joined := s.names[:0]
	for i := range s.names {
		n := &s.names[i]
		if last := len(joined) - 1; last >= 0 && bytes.Equal(s.name(&joined[last]), s.name(n)) {
			joined[last].join(n)
			continue
		}
		joined = append(joined, *n)
	}
	s.names = joined
}

func (s *Survey) name(n *sourceName) []byte { return s.text[n.at:][:n.size] }

// Change says how the functions of one build differ from those of another, by their names up to the
// first dot.
type Change struct {
	Gone    int // names that only the first build has: removed, inlined or folded functions
	New     int // names that only the second build has
	Settled int // names of several functions in the first build, and of at most one in the second
}

// Against compares the functions of a build with those of build a.
func (s *Survey) Against(a *Survey) (c Change) {
	old, now := a.names, s.names
	for len(old) > 0 || len(now) > 0 {
		order := 0
		switch {
		case len(old) == 0:
			order = 1
		case len(now) == 0:
			order = -1
		default:
			order = bytes.Compare(a.name(&old[0]), s.name(&now[0]))
		}
		var x, y sourceName
		if order <= 0 {
			x, old = old[0], old[1:]
		}
		if order >= 0 {
			y, now = now[0], now[1:]
		}
		had, has := x.code+x.clones > 0, y.code+y.clones > 0
		if had && !has {
			c.Gone++
		}
		if has && !had {
			c.New++
		}
		if x.code > 1 && y.code < 2 {
			c.Settled++
		}
	}
	return c
}
