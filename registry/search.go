package registry

import (
	"bytes"
	"iter"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Named yields the symbols with exactly this name.
func (f *File) Named(name string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for line := range f.from(f.start(name + "\t")) {
			rest, ok := bytes.CutPrefix(line, []byte(name))
			if !ok || len(rest) == 0 || rest[0] != '\t' || !yield(f.record(line)) {
				return
			}
		}
	}
}

// Prefixed yields the symbols whose names begin with prefix, in the order of the file. The prefix
// "" means all.
func (f *File) Prefixed(prefix string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for line := range f.from(f.start(prefix)) {
			if !bytes.HasPrefix(line, []byte(prefix)) || !yield(f.record(line)) {
				return
			}
		}
	}
}

// Based yields the symbols whose name without its identity suffix is base.
func (f *File) Based(base string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for r := range f.Named(base) {
			if r.BaseName() == base && !yield(r) {
				return
			}
		}
		for r := range f.Prefixed(base + ".") {
			if r.BaseName() == base && !yield(r) {
				return
			}
		}
	}
}

// Holding yields the symbols whose lines contain text, in the order of the file. It reads all
// lines.
func (f *File) Holding(text string) iter.Seq[Record] { return f.scan(text, nil) }

// In yields the symbols whose file or unit ends with this path. It reads all lines.
func (f *File) In(file string) iter.Seq[Record] {
	candidates := f.inParts(func(part []byte) (kept [][]byte) {
		for line := range lines(part) {
			// Few symbols have a location. Those have text in the last column.
			if line[len(line)-1] != '\t' && bytes.Contains(line, []byte(file+"\t")) {
				kept = append(kept, line)
			}
		}
		return kept
	})
	return filter(candidates, func(r *Record) bool {
		return PathEndsWith(r.File, file) || PathEndsWith(r.Unit, file)
	})
}

// Of yields the symbols of objects whose path ends with this one. It reads all lines.
func (f *File) Of(object string) iter.Seq[Record] {
	return f.scan(object+"\t", func(line []byte) bool {
		_, rest, _ := bytes.Cut(line, []byte("\t"))
		path, _, _ := bytes.Cut(rest, []byte("\t"))
		return PathEndsWith(string(path), object)
	})
}

// At yields symbols of the object that contain the address; with a section, only symbols in it.
// Where symbols contain each other it yields at least the one that begins last.
func (f *File) At(object, section string, address uint64) iter.Seq[Record] {
	contains := func(r *Record) bool {
		return r.Object == object && (section == "" || r.Section == section) &&
			r.Address <= address && address-r.Address < max(r.Size, 1)
	}
	return func(yield func(Record) bool) {
		for _, text := range near(object, section, address) {
			if found := slices.Collect(filter(f.scan(text, nil), contains)); len(found) > 0 {
				slices.Values(found)(yield)
				return // the next text finds only symbols that begin before these
			}
		}
	}
}

// near returns texts to search for symbols that may contain the address, the best first: the
// leading digits of addresses shortly before it, then what all lines of the object contain.
func near(object, section string, address uint64) []string {
	const digits = 4 // 64 KiB
	var texts []string
	for _, a := range []uint64{address, address - 1<<(4*digits)} {
		// bytes.Index is fastest with eight bytes. Where they are in another column, At drops the
		// line.
		if text := strconv.FormatUint(a, 16); len(text) >= 8+digits {
			texts = append(texts, text[len(text)-digits-8:len(text)-digits])
		}
	}
	all := "\t" + object + "\t"
	if section != "" {
		all += section + "\t"
	}
	return append(texts, all)
}

// start returns the offset of the first line whose name, with the tab after it, is not before key.
func (f *File) start(key string) int {
	before := func(line []byte) bool { return string(line[:bytes.IndexByte(line, '\t')+1]) < key }
	i := sort.Search(len(f.parts), func(i int) bool {
		return !f.need(i) || !before(f.parts[i].text)
	})
	if i == 0 || !f.need(i-1) {
		return 0
	}
	part, begin := f.parts[i-1].text, f.begin(i-1)
	// An offset in the middle of a line stands for that line.
	lineAt := func(i int) int { return bytes.LastIndexByte(part[:i], '\n') + 1 }
	at := sort.Search(len(part), func(i int) bool { return !before(part[lineAt(i):]) })
	if at == len(part) {
		return begin + at
	}
	return begin + lineAt(at)
}

// from yields the lines after an offset, each valid until the file is closed; with f.passing, until
// the next one.
func (f *File) from(offset int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := f.partAt(offset); i < len(f.parts) && f.need(i); i++ {
			for line := range lines(f.parts[i].text[offset-f.begin(i):]) {
				if !yield(line) {
					return
				}
			}
			offset = f.parts[i].end
			if f.passing {
				f.parts[i].text = nil
			}
		}
	}
}

// Names steps through the names of a file's symbols, in their order.
type Names struct {
	file *File
	part int    // the next one
	rest []byte // of the part before it
}

// Names returns the names from the first one on.
func (f *File) Names() *Names { return &Names{file: f} }

// Next returns the next name, or false after the last one. The name is valid until the file is
// closed.
func (n *Names) Next() (name []byte, ok bool) {
	for {
		if end := bytes.IndexByte(n.rest, '\n'); end > 0 {
			line := n.rest[:end]
			n.rest = n.rest[end+1:]
			return line[:max(bytes.IndexByte(line, '\t'), 0)], true
		}
		if n.part == len(n.file.parts) || !n.file.need(n.part) {
			return nil, false
		}
		n.rest = n.file.parts[n.part].text
		n.part++
	}
}

func lines(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := text; len(rest) > 0; {
			n := bytes.IndexByte(rest, '\n')
			if n <= 0 || !yield(rest[:n]) {
				return
			}
			rest = rest[n+1:]
		}
	}
}

// scan yields the symbols whose lines contain text and for which keep returns true; nil means all.
func (f *File) scan(text string, keep func(line []byte) bool) iter.Seq[Record] {
	return f.inParts(func(part []byte) (kept [][]byte) {
		for at := 0; at < len(part); at++ {
			n := bytes.Index(part[at:], []byte(text))
			if n < 0 {
				break
			}
			begin := bytes.LastIndexByte(part[:at+n], '\n') + 1
			at += n + bytes.IndexByte(part[at+n:], '\n')
			if line := part[begin:at]; keep == nil || keep(line) {
				kept = append(kept, line)
			}
		}
		return kept
	})
}

// inParts calls find for parts of the file, in parallel, and yields the symbols of the lines that
// it returns, in the order of the file.
func (f *File) inParts(find func(part []byte) [][]byte) iter.Seq[Record] {
	const parts = 16
	return func(yield func(Record) bool) {
		if !f.load() {
			return
		}
		var found [parts][][]byte
		f.spread(parts, func(i int) {
			begin, end := f.lineEnd(len(f.lines)*i/parts), f.lineEnd(len(f.lines)*(i+1)/parts)
			found[i] = find(f.lines[begin:end])
		})
		for _, part := range found {
			for _, line := range part {
				if !yield(f.record(line)) {
					return
				}
			}
		}
	}
}

// lineEnd returns where the line that contains the byte before offset ends.
func (f *File) lineEnd(offset int) int {
	if offset == 0 {
		return 0
	}
	return offset + bytes.IndexByte(f.lines[offset-1:], '\n')
}

// filter yields the records for which keep returns true.
func filter(seq iter.Seq[Record], keep func(*Record) bool) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for r := range seq {
			if keep(&r) && !yield(r) {
				return
			}
		}
	}
}

// record reads a line of the file.
func (f *File) record(line []byte) Record {
	r := parseRecord(line)
	if len(f.renamed) > 0 {
		r.Renamed = f.renamed[r.Object]
	}
	return r
}

// parseRecord reads a line. It reports no errors: the digest proves that kas wrote the line.
func parseRecord(line []byte) Record {
	var c [14]string
	rest := string(line)
	for i := range c {
		n := strings.IndexByte(rest, '\t')
		if n < 0 {
			c[i] = rest
			break
		}
		c[i], rest = rest[:n], rest[n+1:]
	}
	r := Record{Name: c[0], Object: c[1], Section: c[2], Base: c[8], Alias: c[9], File: c[10],
		Unit: c[12], Method: c[13]}
	r.Address, _ = strconv.ParseUint(c[3], 16, 64)
	r.Size, _ = strconv.ParseUint(c[4], 10, 64)
	if c[5] != "" {
		r.Type = c[5][0]
	}
	r.Count, _ = strconv.Atoi(c[6])
	r.Position, _ = strconv.Atoi(c[7])
	if c[11] != "" { // most symbols have none, and an error takes as long as all the rest
		r.Line, _ = strconv.ParseInt(c[11], 10, 64)
	}
	return r
}

// columns are those of a line that a pass over all lines needs.
type columns struct {
	name, others, count, base, alias, source []byte // others are those after the name

	letter byte // 0 if there is none
}

// cutColumns cuts a line without making a record of it.
func cutColumns(line []byte) (c columns) {
	c.name, c.others = cutFirst(line)
	// Of most symbols a registry knows nothing after the position.
	if rest, ok := bytes.CutSuffix(c.others, []byte("\t\t\t\t\t\t")); ok {
		rest, _ = cutLast(rest)
		rest, c.count = cutLast(rest)
		if last := len(rest) - 1; last >= 0 && rest[last] != '\t' {
			c.letter = rest[last]
		}
		return c
	}
	var all [9][]byte
	rest := c.others
	for i := range all {
		all[i], rest = cutFirst(rest)
	}
	if len(all[4]) > 0 {
		c.letter = all[4][0]
	}
	c.count, c.base, c.alias = all[5], all[7], all[8]
	_, c.source = cutLast(rest)
	return c
}

func (c *columns) object() []byte {
	object, _ := cutFirst(c.others)
	return object
}

// cutFirst cuts at the first tab. bytes.Cut takes longer.
func cutFirst(b []byte) (before, after []byte) {
	at := bytes.IndexByte(b, '\t')
	return b[:max(at, 0)], b[at+1:]
}

// cutLast cuts at the last tab.
func cutLast(b []byte) (before, after []byte) {
	at := bytes.LastIndexByte(b, '\t')
	return b[:max(at, 0)], b[at+1:]
}
