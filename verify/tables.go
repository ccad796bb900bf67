package verify

import (
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	aliasHeader     = "alias\tsymbol\tobject\tsection\taddress\ttype\tfile\tline\tunit\tsource"
	unaliasedHeader = "symbol\tobject\tsection\taddress\ttype\treason"

	longest = 511 // KSYM_NAME_LEN - 1, from Linux 6.1
)

// row is a line of aliases.tsv, or of unaliased.tsv without an alias.
type row struct {
	alias, symbol, object, section, letter string
	addr                                   uint64
	file, line, unit                       string
	source, reason                         string
	at                                     int // line number in the table
}

// readRows parses aliases.tsv or unaliased.tsv. ok is false if the table has another header.
func readRows(p *problems, name, data, header string) (rows []row, ok bool) {
	head, body, _ := strings.Cut(data, "\n")
	if head != header {
		p.add("%s:1: the header is %q, %q expected", name, head, header)
		return nil, false
	}
	if body != "" && !strings.HasSuffix(body, "\n") {
		p.add("%s: the last line has no newline", name)
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
		r := row{at: at}
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
		} else if r.reason = next(); r.reason == "" {
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
	n, err := strconv.ParseUint(s, 16, 64)
	if err == nil && strconv.FormatUint(n, 16) != s {
		err = strconv.ErrSyntax
	}
	return n, err
}

// checkRows checks what the rows of aliases.tsv say without the objects, and fills byAlias with the
// index of the row of each alias.
func checkRows(p *problems, rows []row, byAlias map[string]int) {
	for i := range rows {
		r := &rows[i]
		if k, ok := byAlias[r.alias]; ok {
			p.add("aliases.tsv:%d: alias %q is also that of line %d", r.at, r.alias, rows[k].at)
		} else {
			byAlias[r.alias] = i
		}
		for _, c := range []struct{ name, path string }{{"file", r.file}, {"unit", r.unit}} {
			if c.path == "" && strings.HasPrefix(r.source, "suffix") {
				continue // this alias has no location
			}
			if !filepath.IsLocal(c.path) || path.Clean(c.path) != c.path || c.path == "." {
				p.add("aliases.tsv:%d: %s %q is not a clean relative path", r.at, c.name, c.path)
			}
		}
		if n, err := strconv.Atoi(r.line); err != nil || n < 0 || strconv.Itoa(n) != r.line {
			p.add("aliases.tsv:%d: line %q is not a number", r.at, r.line)
		}
		if len(r.alias) > longest {
			p.add("aliases.tsv:%d: alias %q has %d characters, more than %d",
				r.at, r.alias, len(r.alias), longest)
		}
	}
	for i := range rows {
		if k, ok := byAlias[rows[i].symbol]; ok {
			p.add("aliases.tsv:%d: %q is the alias of line %d and has an alias itself",
				rows[i].at, rows[i].symbol, rows[k].at)
		}
	}
}

// matchRows finds the symbol of each row of the object m; mine holds their indices. It sets taken
// of that symbol to the index of the row + 1. Rows are in symbol table order, so one walk is
// enough.
func matchRows(p *problems, file string, m *image, rows []row, mine, taken []int32) {
	fits := func(i int, r *row) bool {
		if taken[i] != 0 || m.name(i) != r.symbol {
			return false
		}
		s := m.symbol(i)
		return address(m, &s) == r.addr && m.sectionName(&s) == r.section
	}
	next := 0
	for _, k := range mine {
		r := &rows[k]
		i := next
		for i < m.count && !fits(i, r) {
			i++
		}
		if i == m.count {
			for i = 0; i < next && !fits(i, r); i++ {
			}
			if i == next {
				p.add("%s:%d: no symbol %q at %s+%#x, or one row too many",
					file, r.at, r.symbol, r.section, r.addr)
				continue
			}
			p.add("%s:%d: %q is not in symbol table order", file, r.at, r.symbol)
		}
		next = max(next, i+1)
		taken[i] = k + 1
		s := m.symbol(i)
		if c := letter(m, &s); r.letter != string(rune(c)) {
			p.add("%s:%d: %q has type %q, that of nm is %q", file, r.at, r.symbol, r.letter, c)
		}
		if !visible(m, &s) {
			p.add("%s:%d: %q is a symbol that kallsyms does not show", file, r.at, r.symbol)
		}
	}
}

// checkFrequencies compares modules.symbfreq with the number of symbols of each name.
func checkFrequencies(p *problems, counts map[string]int32, data string) {
	const file = "modules.symbfreq"
	seen, last := 0, ""
	for at := 1; data != ""; at++ {
		var line string
		var ended bool
		line, data, ended = strings.Cut(data, "\n")
		if !ended {
			p.add("%s: the last line has no newline", file)
		}
		k := strings.LastIndexByte(line, ':')
		if k <= 0 {
			p.add("%s:%d: %q is not NAME:COUNT", file, at, line)
			continue
		}
		name := line[:k]
		if at > 1 && name+"\t" <= last+"\t" { // as the lines of symbols.kas
			p.add("%s:%d: %q does not come after %q", file, at, name, last)
		}
		last = name
		n, ok := counts[name]
		switch {
		case !ok:
			p.add("%s:%d: no object has a symbol %q", file, at, name)
		case line[k+1:] != strconv.Itoa(int(n)):
			p.add("%s:%d: %d symbols are named %q, not %s", file, at, n, name, line[k+1:])
		}
		if ok {
			seen++
		}
	}
	if seen < len(counts) {
		p.add("%s: %d of %d names", file, seen, len(counts))
	}
}
