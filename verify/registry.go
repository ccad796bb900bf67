package verify

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
)

// entry is a line of the registry.
type entry struct {
	name, section, alias, file, line, unit string
	addr, size                             string
	letter, source                         string
	count, position, base                  string
}

// splitRegistry checks the columns and the order of symbols.kas. It returns the offsets of the
// lines of each of the n objects, whose indices are in objects by name.
func splitRegistry(p *problems, data string, objects map[string]int, n int) [][]int {
	lines := make([][]int, n)
	last, header := "", true
	for off := 0; off < len(data); {
		line, _, ended := strings.Cut(data[off:], "\n")
		if !ended {
			p.add("symbols.kas: the last line has no newline")
		}
		start := off
		off += len(line) + 1
		if header && strings.HasPrefix(line, "#") {
			continue
		}
		header = false
		if line < last {
			p.add("symbols.kas: offset %d: %q does not come after %q",
				start, first(line), first(last))
		}
		last = line
		if strings.Count(line, "\t") != 13 {
			p.add("symbols.kas: offset %d: %d columns, 14 expected",
				start, strings.Count(line, "\t")+1)
			continue
		}
		_, rest, _ := strings.Cut(line, "\t")
		object, _, _ := strings.Cut(rest, "\t")
		if i, ok := objects[object]; ok {
			lines[i] = append(lines[i], start)
		} else {
			p.add("symbols.kas: offset %d: no object %q", start, object)
		}
	}
	return lines
}

// checkDigest checks the digest in the header of symbols.kas: the CRC-32 of all other lines and the
// size of the file. It also checks the number of symbols.
func checkDigest(p *problems, data string) {
	crc := crc32.NewIEEE()
	digest, count, symbols := "", "", 0
	for line := range strings.Lines(data) {
		if value, ok := strings.CutPrefix(line, "#digest\t"); ok && digest == "" {
			digest = strings.TrimSuffix(value, "\n")
			continue
		}
		if value, ok := strings.CutPrefix(line, "#symbols\t"); ok {
			count = strings.TrimSuffix(value, "\n")
		}
		if !strings.HasPrefix(line, "#") {
			symbols++
		}
		io.WriteString(crc, line)
	}
	if want := fmt.Sprintf("crc32=%08x bytes=%012d", crc.Sum32(), len(data)); digest != want {
		p.add("symbols.kas: the digest is %q, %q expected", digest, want)
	}
	if count != strconv.Itoa(symbols) {
		p.add("symbols.kas: %d symbols, the header has %q", symbols, count)
	}
}

// checkParts checks the header line about the parts of symbols.kas, 1,024 lines each: the CRC-32 of
// each and its size in bytes. A file of one part has no such line.
func checkParts(p *problems, data string) {
	const lines = 1024
	var have []string
	for strings.HasPrefix(data, "#") {
		var line string
		line, data, _ = strings.Cut(data, "\n")
		if first(line) == "#parts" {
			have = append(have, strings.Split(line, " ")...)
		}
	}
	want := []string{fmt.Sprintf("#parts\t%d", lines)}
	for data != "" {
		size := 0
		for n := 0; n < lines && size < len(data); n++ {
			line, _, ended := strings.Cut(data[size:], "\n")
			if size += len(line); ended {
				size++
			}
		}
		crc := crc32.ChecksumIEEE([]byte(data[:size]))
		want = append(want, fmt.Sprintf("%08x:%08x", crc, size))
		data = data[size:]
	}
	if len(want) <= 2 {
		want = nil
	}
	if len(have) != len(want) {
		p.add("symbols.kas: the parts line has %d words, %d expected", len(have), len(want))
		return
	}
	for i := range want {
		if have[i] != want[i] {
			p.add("symbols.kas: the parts line has %q as word %d, %q expected",
				have[i], i+1, want[i])
			return
		}
	}
}

func first(line string) string {
	s, _, _ := strings.Cut(line, "\t")
	return s
}

func parseEntry(line string) (e entry) {
	var skip string
	for _, f := range [...]*string{
		&e.name, &skip, &e.section, &e.addr, &e.size, &e.letter,
		&e.count, &e.position, &e.base, &e.alias, &e.file, &e.line, &e.unit, &e.source,
	} {
		*f, line, _ = strings.Cut(line, "\t")
	}
	return e
}

type symbolKey struct {
	name, section string
	addr          uint64
}

// claims holds the visible symbols of an object that no line of the registry describes yet: chains
// of the symbols of one key, usually a single one. Indices are + 1, so that 0 ends a chain.
type claims struct {
	heads map[symbolKey]int32
	next  []int32
}

func (o *object) claims() *claims {
	c := &claims{make(map[symbolKey]int32, len(o.visible)), make([]int32, len(o.visible))}
	for i := len(o.visible) - 1; i >= 0; i-- {
		v := &o.visible[i]
		k := symbolKey{v.name, o.sections[v.sec], v.addr}
		c.next[i] = c.heads[k]
		c.heads[k] = int32(i) + 1
	}
	return c
}

// take removes the first symbol of the key that fits, or else the first one. It returns -1 if there
// is none.
func (c *claims) take(k symbolKey, fits func(i int32) bool) int32 {
	chosen, before := c.heads[k], int32(0)
	if chosen == 0 {
		return -1
	}
	for prev, i := int32(0), chosen; i != 0; prev, i = i, c.next[i-1] {
		if fits(i - 1) {
			chosen, before = i, prev
			break
		}
	}
	if before == 0 {
		c.heads[k] = c.next[chosen-1]
	} else {
		c.next[before-1] = c.next[chosen-1]
	}
	return chosen - 1
}

// checkRegistry compares the lines of one object with its visible symbols and its aliases.
func (b *build) checkRegistry(o *object, data string, starts []int) {
	left := o.claims()
	for _, start := range starts {
		line, _, _ := strings.Cut(data[start:], "\n")
		e := parseEntry(line)
		addr, err := parseHex(e.addr)
		if err != nil {
			o.add("symbols.kas: %q: address %q is not lower-case hexadecimal", e.name, e.addr)
			continue
		}
		wrong := "" // with the last symbol that was compared
		i := left.take(symbolKey{e.name, e.section, addr}, func(i int32) bool {
			want := b.describe(o, i, &e)
			wrong = want.differs(&e)
			return wrong == ""
		})
		if i < 0 {
			o.add("symbols.kas: no symbol %q at %s+%s, or one line too many",
				e.name, e.section, e.addr)
			continue
		}
		if wrong != "" {
			o.add("symbols.kas: %q at %s+%s: wrong %s", e.name, e.section, e.addr, wrong)
		}
	}
	b.checkMissing(o, left)
}

// checkMissing reports the symbols without a line.
func (b *build) checkMissing(o *object, left *claims) {
	var missing []string
	for k, i := range left.heads {
		for ; i != 0; i = left.next[i-1] {
			missing = append(missing, fmt.Sprintf("%q at %s+%#x", k.name, k.section, k.addr))
		}
	}
	slices.Sort(missing)
	for _, s := range missing {
		o.add("symbols.kas: no line for %s", s)
	}
}

// describe returns the line that visible symbol i should have. got is the line it has: the location
// of a symbol that has one but gets no alias is in no other table, so got says it.
func (b *build) describe(o *object, i int32, got *entry) entry {
	v := &o.visible[i]
	e := entry{
		size: strconv.FormatUint(v.size, 10), letter: string(rune(v.letter)),
		count: strconv.Itoa(int(v.count)), position: strconv.Itoa(int(v.position)),
	}
	if v.row > 0 || v.without > 0 || v.base != v.name {
		e.base = v.base
	}
	found := row{line: "0"}
	switch {
	case v.row > 0:
		found = b.aliases[v.row-1]
	case v.without > 0 && keepsLocation(b.unaliased[v.without-1].reason):
		found = b.located(o, i, got)
	}
	e.alias, e.file, e.unit, e.source = found.alias, found.file, found.unit, found.source
	if found.line != "0" {
		e.line = found.line
	}
	if mark := codeMark(v.letter, v.code); mark != "" {
		e.source = strings.TrimPrefix(e.source+", "+mark, ", ")
	}
	return e
}

// located returns what a line says about a symbol that has a location but no alias of this run, as
// far as it can be true.
func (b *build) located(o *object, i int32, got *entry) row {
	v := &o.visible[i]
	none := row{line: "0"}
	has := b.unaliased[v.without-1].reason == "has its alias already"
	r := row{
		alias: got.alias, symbol: v.name, file: got.file, line: cmp.Or(got.line, "0"),
		unit: got.unit, source: strings.TrimSuffix(got.source, codeMark(v.letter, v.code)),
	}
	r.source = strings.TrimSuffix(r.source, ", ")
	n := b.tools.nameOf(v.name, v.code)
	inTable := slices.ContainsFunc(o.visible, func(x visibleSymbol) bool {
		return x.name == r.alias && x.sec == v.sec && x.addr == v.addr
	})
	if has != (r.alias != "") || has && !inTable {
		return none
	}
	if r.file != "" && o.checkSource(v, n, &r) != "" {
		return none
	}
	if has {
		if _, err := b.spellingOf(&r, n.base); err != nil {
			return none
		}
	}
	return r
}

// differs returns the first column of got that differs from e, or "".
func (e entry) differs(got *entry) string {
	for _, c := range [...]struct{ name, want, is string }{
		{"size", e.size, got.size}, {"type", e.letter, got.letter}, {"count", e.count, got.count},
		{"position", e.position, got.position}, {"base", e.base, got.base},
		{"alias", e.alias, got.alias}, {"file", e.file, got.file}, {"line", e.line, got.line},
		{"unit", e.unit, got.unit}, {"source", e.source, got.source},
	} {
		if c.want != c.is {
			return fmt.Sprintf("%s %q, %q expected", c.name, c.is, c.want)
		}
	}
	return ""
}
