package verify

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	aliasHeader     = "alias\tsymbol\tobject\tsection\taddress\ttype\tfile\tline\tunit\tsource"
	unaliasedHeader = "symbol\tobject\tsection\taddress\ttype\treason"

	// longest is the longest name any kernel's symbol table takes.
	longest = 511
)

// row is a line of aliases.tsv, or of unaliased.tsv with alias empty.
type row struct {
	alias, symbol, object, section, letter string
	addr                                   uint64
	file, line, unit, source               string
	at                                     int // line number in the file
	index                                  int // the symbol it names, -1 if there is none
}

// readRows parses aliases.tsv or unaliased.tsv. ok is false when nothing can
// be said about it.
func readRows(p *problems, name, data, header string) (rows []row, ok bool) {
	head, body, _ := strings.Cut(data, "\n")
	if head != header {
		p.add("%s:1: the header is %q, %q expected", name, head, header)
		return nil, false
	}
	if body != "" && !strings.HasSuffix(body, "\n") {
		p.add("%s: the last line has no end", name)
	}
	columns := strings.Count(header, "\t") + 1
	aliases := header == aliasHeader
	for at := 2; body != ""; at++ {
		var line string
		line, body, _ = strings.Cut(body, "\n")
		if n := strings.Count(line, "\t") + 1; n != columns {
			p.add("%s:%d: %d columns, %d expected", name, at, n, columns)
			continue
		}
		r := row{at: at, index: -1}
		next := func() (s string) {
			s, line, _ = strings.Cut(line, "\t")
			return s
		}
		if aliases {
			r.alias = next()
		}
		r.symbol, r.object, r.section = next(), next(), next()
		address := next()
		r.letter = next()
		if aliases {
			r.file, r.line, r.unit, r.source = next(), next(), next(), next()
		} else if next() == "" {
			p.add("%s:%d: %q has no reason", name, at, r.symbol)
		}
		var err error
		if r.addr, err = parseHex(address); err != nil {
			p.add("%s:%d: address %q is not lower-case hexadecimal", name, at, address)
			continue
		}
		rows = append(rows, r)
	}
	return rows, true
}

func parseHex(s string) (uint64, error) {
	if strings.ContainsAny(s, "ABCDEF+_") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, 16, 64)
}

// checkRows checks what can be said of aliases.tsv without an object: form,
// uniqueness, paths.
func checkRows(p *problems, rows []row, sep, line string, byAlias map[string]int) {
	limit := 0
	for i := range rows {
		limit = max(limit, len(rows[i].alias))
	}
	for i := range rows {
		r := &rows[i]
		if k, ok := byAlias[r.alias]; ok {
			p.add("aliases.tsv:%d: alias %q is that of line %d as well", r.at, r.alias, rows[k].at)
		} else {
			byAlias[r.alias] = i
		}
		for _, c := range []struct{ name, path string }{{"file", r.file}, {"unit", r.unit}} {
			if c.path == "" && r.plain() {
				continue // its alias names no place
			}
			if c.path == "" || path.IsAbs(c.path) || path.Clean(c.path) != c.path || c.path == "." || c.path == ".." || strings.HasPrefix(c.path, "../") {
				p.add("aliases.tsv:%d: %s %q is no clean relative path", r.at, c.name, c.path)
			}
		}
		if n, err := strconv.Atoi(r.line); err != nil || n < 0 || strconv.Itoa(n) != r.line {
			p.add("aliases.tsv:%d: line %q is no number", r.at, r.line)
		}
		if len(r.alias) > longest {
			p.add("aliases.tsv:%d: alias %q has %d characters, a kernel takes %d", r.at, r.alias, len(r.alias), longest)
		}
		if err := checkAlias(r, sep, line, limit); err != nil {
			p.add("aliases.tsv:%d: alias %q of %q: %v", r.at, r.alias, r.symbol, err)
		}
	}
	for i := range rows {
		if k, ok := byAlias[rows[i].symbol]; ok {
			p.add("aliases.tsv:%d: %q is the alias of line %d, and has an alias itself", rows[i].at, rows[i].symbol, rows[k].at)
		}
	}
}

// plain tells whether the alias is the symbol's own name, which a suffix of
// link-time optimization hid.
func (r *row) plain() bool {
	return r.alias != r.symbol && baseOf(r.alias, r.symbol)
}

// checkAlias checks ALIAS = NAME SEP T(FILE [":" UNIT] ":" LINE) ["_" ORDINAL].
// Only an alias whose full form is longer than limit, the length of the longest
// alias there is, may have its path cut at the front.
func checkAlias(r *row, sep, line string, limit int) error {
	if r.plain() {
		return nil
	}
	if sep == "" || !strings.Contains(r.alias, sep) {
		return fmt.Errorf("no separator %q", sep)
	}
	// A separator of letters may occur in NAME and in the rest: any cut that fits will do.
	err := fmt.Errorf("its name part is not the symbol's")
	for at := 0; ; {
		k := strings.Index(r.alias[at:], sep)
		if k < 0 {
			return err
		}
		at += k
		if name, rest := r.alias[:at], r.alias[at+len(sep):]; baseOf(name, r.symbol) {
			if err = checkRest(r, rest, line, limit); err == nil {
				return nil
			}
		}
		at++
	}
}

func checkRest(r *row, rest, line string, limit int) error {
	if rest == "" || fold(rest) != rest {
		return fmt.Errorf("%q after the separator is not all letters, digits and _", rest)
	}
	full := []string{r.file}
	if r.unit != r.file {
		full = []string{r.file + ":" + r.unit, r.file + ":" + path.Base(r.unit)}
	}
	// The rest as it stands, and without what may be an ordinal.
	bodies := []string{rest}
	if cut := strings.TrimRight(rest, "0123456789"); cut != rest && len(cut) > 1 && cut[len(cut)-1] == '_' {
		bodies = append(bodies, cut[:len(cut)-1])
	}
	tails := []string{":" + r.line}
	switch {
	case r.line == "0":
		tails = []string{""}
	case line == "none":
		tails = append(tails, "")
	}
	for _, body := range bodies {
		for _, f := range full {
			for _, tail := range tails {
				f := fold(f + tail)
				if f == body || strings.HasSuffix(f, body) && len(r.alias)-len(body)+len(f) > limit {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("%q does not name %s, unit %s, line %s", rest, r.file, r.unit, r.line)
}

// fold maps every byte outside [A-Za-z0-9] to an underscore.
func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			b[i] = '_'
		}
	}
	return string(b)
}

// baseOf tells whether name is symbol with nothing but identity suffixes taken
// out: .llvm.N, .lto_priv.N and the bare .N of monolithic LTO.
func baseOf(name, symbol string) bool {
	if name == symbol {
		return true
	}
	k := 0
	for k < len(name) && k < len(symbol) && name[k] == symbol[k] {
		k++
	}
	// The cut may lie before the first difference: .llvm.1.isra.0 and .isra.0 share a dot.
	for ; k >= 0; k-- {
		if k >= len(symbol) || symbol[k] != '.' || k == 0 {
			continue
		}
		rest := symbol[k:]
		for _, p := range []string{".llvm.", ".lto_priv.", "."} {
			n, ok := strings.CutPrefix(rest, p)
			if !ok {
				continue
			}
			after := strings.TrimLeft(n, "0123456789")
			if after != n && (after == "" || after[0] == '.') && !numbered(symbol[:k]) && baseOf(name, symbol[:k]+after) {
				return true
			}
		}
	}
	return false
}

// numbered tells whether a number after s belongs to a word that is kept.
func numbered(s string) bool {
	for _, w := range []string{".isra", ".constprop", ".part", ".cold", ".specialized", ".localalias", ".__uniq"} {
		if strings.HasSuffix(s, w) {
			return true
		}
	}
	return false
}

// matchRows finds the symbol each row of an object names and enters it; rows
// stand in symbol table order, so one walk is enough. taken holds, per symbol,
// what named it before: row number + 1.
func matchRows(p *problems, file string, m *image, rows []row, mine, taken []int32) {
	fits := func(i int, r *row) bool {
		s := &m.symbols[i]
		return s.name == r.symbol && address(m, s) == r.addr && m.sectionName(s) == r.section && taken[i] == 0
	}
	next := 0
	for _, k := range mine {
		r := &rows[k]
		i := next
		for i < len(m.symbols) && !fits(i, r) {
			i++
		}
		if i == len(m.symbols) {
			for i = 0; i < next && !fits(i, r); i++ {
			}
			if i == next {
				p.add("%s:%d: no symbol %q at %s+%#x that has no other row", file, r.at, r.symbol, r.section, r.addr)
				continue
			}
			p.add("%s:%d: %q stands out of symbol table order", file, r.at, r.symbol)
		}
		next = max(next, i+1)
		r.index = i
		taken[i] = k + 1
		if c := letter(m, &m.symbols[i]); r.letter != string(rune(c)) {
			p.add("%s:%d: %q has type %q, nm says %q", file, r.at, r.symbol, r.letter, c)
		}
		if !visible(m, &m.symbols[i]) {
			p.add("%s:%d: %q is a symbol kallsyms does not show", file, r.at, r.symbol)
		}
	}
}

// checkFrequencies compares modules.symbfreq with a recount.
func checkFrequencies(p *problems, counts map[string]int32, data string) {
	const file = "modules.symbfreq"
	seen, last := 0, ""
	for at := 1; data != ""; at++ {
		var line string
		var ended bool
		line, data, ended = strings.Cut(data, "\n")
		if !ended {
			p.add("%s: the last line has no end", file)
		}
		k := strings.LastIndexByte(line, ':')
		if k <= 0 {
			p.add("%s:%d: %q is not name:count", file, at, line)
			continue
		}
		name := line[:k]
		if at > 1 && name <= last {
			p.add("%s:%d: %q does not come after %q", file, at, name, last)
		}
		last = name
		n, ok := counts[name]
		switch {
		case !ok:
			p.add("%s:%d: no object has a symbol %q", file, at, name)
		case line[k+1:] != strconv.Itoa(int(n)):
			p.add("%s:%d: %q occurs %d times, not %s", file, at, name, n, line[k+1:])
		}
		if ok {
			seen++
		}
	}
	if seen < len(counts) {
		p.add("%s: %d names where %d occur", file, seen, len(counts))
	}
}

// entry is a line of the registry, cut into what is checked of it.
type entry struct {
	name, section, alias, file, line, unit string
	addr, size                             string
	letter                                 string
}

// splitRegistry checks the form and the order of symbols.kas and returns the
// start of each line, by object.
func splitRegistry(p *problems, data string, objects map[string]int) [][]int {
	lines := make([][]int, len(objects))
	last, header := "", true
	for off := 0; off < len(data); {
		n := strings.IndexByte(data[off:], '\n')
		if n < 0 {
			p.add("symbols.kas: the last line has no end")
			n = len(data) - off
		}
		line := data[off : off+n]
		start := off
		off += n + 1
		if header && strings.HasPrefix(line, "#") {
			continue
		}
		header = false
		if line < last {
			p.add("symbols.kas: offset %d: %q does not come after %q", start, first(line), first(last))
		}
		last = line
		if strings.Count(line, "\t") != 13 {
			p.add("symbols.kas: offset %d: %d columns, 14 expected", start, strings.Count(line, "\t")+1)
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

// checkDigest recomputes the CRC-32 of symbols.kas, which leaves out the line
// that holds it, and compares the file's size and its count of symbols.
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
		p.add("symbols.kas: the digest is %q, want %q", digest, want)
	}
	if count != strconv.Itoa(symbols) {
		p.add("symbols.kas: %d symbols, and the header says %q", symbols, count)
	}
}

func first(line string) string {
	s, _, _ := strings.Cut(line, "\t")
	return s
}

func parseEntry(line string) (e entry) {
	var skip string
	for _, f := range [...]*string{&e.name, &skip, &e.section, &e.addr, &e.size, &e.letter, &skip, &skip, &skip, &e.alias, &e.file, &e.line, &e.unit} {
		*f, line, _ = strings.Cut(line, "\t")
	}
	if e.line == "" {
		e.line = "0"
	}
	return e
}

// checkRegistry compares the lines of one object with its visible symbols and
// its aliases. An alias may have a line of its own, stand in the alias column
// of its original, or both.
func (o *object) checkRegistry(p *problems, data string, starts []int, rows []row, byAlias map[string]int) {
	type key struct {
		name, section string
		addr          uint64
	}
	// The symbols of one key, chained: usually a single one.
	heads := make(map[key]int32, len(o.visible))
	next := make([]int32, len(o.visible))
	for i := len(o.visible) - 1; i >= 0; i-- {
		v := &o.visible[i]
		k := key{v.name, o.sections[v.sec], v.addr}
		next[i] = heads[k]
		heads[k] = int32(i) + 1
	}
	const own, column = 1, 2
	found := make(map[string]byte, len(o.aliases))
	for _, start := range starts {
		n := strings.IndexByte(data[start:], '\n')
		if n < 0 {
			n = len(data) - start
		}
		e := parseEntry(data[start : start+n])
		addr, err := parseHex(e.addr)
		if err != nil {
			p.add("symbols.kas: %q: address %q is not lower-case hexadecimal", e.name, e.addr)
			continue
		}
		if i, ok := byAlias[e.name]; ok {
			if r := &rows[i]; r.object != o.name || r.section != e.section || r.addr != addr || r.letter != e.letter {
				p.add("symbols.kas: alias %q is not where aliases.tsv has it", e.name)
			}
			if found[e.name]&own != 0 {
				p.add("symbols.kas: alias %q has two lines", e.name)
			}
			found[e.name] |= own
			continue
		}
		k := key{e.name, e.section, addr}
		at := heads[k]
		if at == 0 {
			p.add("symbols.kas: no symbol %q at %s+%s, or one line too many", e.name, e.section, e.addr)
			continue
		}
		// Of several symbols in one place take the one the line describes.
		chosen, before := at, int32(0)
		for prev, i := int32(0), at; i != 0; prev, i = i, next[i-1] {
			if o.describe(i-1, rows, &e).differs(&e) == "" {
				chosen, before = i, prev
				break
			}
		}
		if before == 0 {
			heads[k] = next[chosen-1]
		} else {
			next[before-1] = next[chosen-1]
		}
		want := o.describe(chosen-1, rows, &e)
		if f := want.differs(&e); f != "" {
			p.add("symbols.kas: %q at %s+%s: wrong %s", e.name, e.section, e.addr, f)
		}
		if e.alias != "" {
			found[want.alias] |= column
		}
	}
	var missing []string
	for k, i := range heads {
		for ; i != 0; i = next[i-1] {
			missing = append(missing, fmt.Sprintf("symbols.kas: no line for %q at %s+%#x", k.name, k.section, k.addr))
		}
	}
	for _, i := range o.aliases {
		if a := rows[i].alias; found[a] == 0 {
			missing = append(missing, fmt.Sprintf("symbols.kas: no line for the alias %q", a))
		}
	}
	slices.SortFunc(missing, cmp.Compare[string])
	for _, s := range missing {
		p.add("%s", s)
	}
}

// stem is the name without suffixes.
func stem(name string) string {
	s, _, _ := strings.Cut(name, ".")
	return s
}

// describe returns the line that a symbol should have. One that bears an
// alias from its build has no row; its line may name that alias, which then
// is a symbol of the same place.
func (o *object) describe(i int32, rows []row, got *entry) entry {
	v := &o.visible[i]
	e := entry{size: strconv.FormatUint(v.size, 10), letter: string(rune(v.letter))}
	if v.row > 0 {
		r := &rows[v.row-1]
		e.alias, e.file, e.line, e.unit = r.alias, r.file, r.line, r.unit
	} else if got.alias != "" && got.alias != v.name && strings.HasPrefix(got.alias, stem(v.name)) && slices.ContainsFunc(o.visible, func(x visibleSymbol) bool {
		return x.name == got.alias && x.sec == v.sec && x.addr == v.addr
	}) {
		e.alias, e.file, e.line, e.unit = got.alias, got.file, got.line, got.unit
	}
	return e
}

// differs names the first column of got that is not as e has it. Where the
// symbol lies in the source is known only for aliases.
func (e entry) differs(got *entry) string {
	switch {
	case got.size != e.size:
		return "size " + got.size
	case got.letter != e.letter:
		return "type " + got.letter
	case got.alias != e.alias:
		return "alias " + strconv.Quote(got.alias)
	case e.alias != "" && (got.file != e.file || got.line != e.line || got.unit != e.unit):
		return "location"
	}
	return ""
}
