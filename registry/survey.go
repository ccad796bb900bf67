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

	// The names up to their first dots, each after its kind. That joins a function with its clones
	// and parts, and with the names that LTO gave it.
	text  []byte
	names []uint32 // where each begins in text, which is smaller than maxFile; sorted, none twice

	unsorted bool // names are not yet
}

// kind says what symbols have a name: bits.
type kind byte

const (
	one       kind = 1 << iota // of any type; no clone or part
	several                    // symbols
	function                   // of the symbols, a function
	functions                  // more than one
	unaliased                  // of the symbols, one without an alias
	clone                      // of a function, or a part: .cold, .isra.0
)

// with returns the kind of the symbols of both.
func (k kind) with(o kind) kind { return k | o | k&o&(one|function)<<1 }

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
	// The names are a quarter to a third of a kernel's registry. What is not used costs nothing.
	// One symbol in a hundred has an alias.
	s := &Survey{
		text: make([]byte, 0, r.size/3), names: make([]uint32, 0, r.lineCount()),
		Aliased: make([]Record, 0, r.lineCount()/64),
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
		s.sort()
	}
	return s
}

// add counts a symbol.
func (s *Survey) add(c *columns) {
	isFunction, base := c.function(), c.baseName()
	if isFunction {
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
	var k kind
	switch {
	case len(base) == len(name):
		k = one
		if len(c.alias) == 0 {
			k |= unaliased
		}
		if isFunction {
			k |= function
		}
	case isFunction:
		k = clone
	}
	s.put(name, k)
}

// put adds symbols of a name.
func (s *Survey) put(name []byte, k kind) {
	if last := len(s.names) - 1; last >= 0 {
		at := s.names[last]
		switch order := bytes.Compare(s.text[at+1:], name); {
		case order == 0:
			s.text[at] = byte(kind(s.text[at]).with(k))
			return
		case order > 0: // seldom: few bytes sort between the end of a name and a dot
			s.unsorted = true
		}
	}
	s.names = append(s.names, uint32(len(s.text)))
	s.text = append(append(s.text, byte(k)), name...)
}

// sort sorts the names, and joins those that are equal.
func (s *Survey) sort() {
	order := make([]int, len(s.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return bytes.Compare(s.name(i), s.name(j)) })
	var sorted Survey
	for _, i := range order {
		sorted.put(s.name(i), s.kind(i))
	}
	s.text, s.names = sorted.text, sorted.names
}

func (s *Survey) name(i int) []byte {
	end := len(s.text)
	if i+1 < len(s.names) {
		end = int(s.names[i+1])
	}
	return s.text[s.names[i]+1 : end]
}

func (s *Survey) kind(i int) kind { return kind(s.text[s.names[i]]) }

// Change says how the functions of one build differ from those of another, by their names up to the
// first dot.
type Change struct {
	Gone    int // names that only the first build has: removed, inlined or folded functions
	New     int // names that only the second build has
	Settled int // names of several functions in the first build, and of at most one in the second
}

// Against compares the functions of a build with those of build a.
func (s *Survey) Against(a *Survey) (c Change) {
	for i, j := 0, 0; i < len(a.names) || j < len(s.names); {
		order := 0
		switch {
		case i == len(a.names):
			order = 1
		case j == len(s.names):
			order = -1
		default:
			order = bytes.Compare(a.name(i), s.name(j))
		}
		var old, now kind
		if order <= 0 {
			old = a.kind(i)
			i++
		}
		if order >= 0 {
			now = s.kind(j)
			j++
		}
		had, has := old&(function|clone) != 0, now&(function|clone) != 0
		if had && !has {
			c.Gone++
		}
		if has && !had {
			c.New++
		}
		if old&functions != 0 && now&functions == 0 {
			c.Settled++
		}
	}
	return c
}
