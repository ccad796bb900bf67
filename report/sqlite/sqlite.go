// Package sqlite writes SQLite databases. It only writes whole ones, in a single stream of pages:
// that takes a tenth of the time of inserting rows. A database engine is not linked, because it
// would add 2 ms to the start of each process, also of the hooks in a kernel's build, and 7 MB. The
// format is https://www.sqlite.org/fileformat2.html, and sections below are of it.
package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// pageSize is the size of a page in bytes.
const pageSize = 4096

// Table is a table. Its rows have ascending row IDs.
type Table struct {
	Name    string
	Create  string // the CREATE TABLE statement
	Rows    func(add func(rowID int64, r *Row))
	Indexes []Index
}

// Index is an index of a table. Each entry has the indexed columns and then the row ID; entries
// ascend.
type Index struct {
	Name    string
	Create  string // the CREATE INDEX statement
	Entries func(add func(r *Row))
}

// Write writes a database. The first page depends on all others: if w is an io.WriterAt, it is
// written last, at offset 0 of w. Else Write calls the functions of the tables twice, which must
// give the same rows both times.
func Write(w io.Writer, tables []Table) error {
	if at, ok := w.(io.WriterAt); ok {
		out := &writer{w: w, next: 2}
		out.put(make([]byte, pageSize))
		schema := out.tables(tables)
		if out.err == nil {
			_, out.err = at.WriteAt(firstPage(schema, out.next-1), 0)
		}
		return out.err
	}
	plan := &writer{w: io.Discard, next: 2}
	schema := plan.tables(tables)
	if plan.err != nil {
		return plan.err
	}
	out := &writer{w: w, next: 2}
	out.put(firstPage(schema, plan.next-1))
	again := out.tables(tables)
	if out.err == nil && (out.next != plan.next || len(again) != len(schema)) {
		return errors.New("sqlite: the rows changed while they were written")
	}
	return out.err
}

// object is a row of the schema table.
type object struct {
	kind, name, table string
	root              uint32
	create            string
}

// firstPage returns the header of the database (section 1.3) and the schema table (section 2.6).
func firstPage(schema []object, pages uint32) []byte {
	p := newPage(leafTable, 100)
	for i, o := range schema {
		var r Row
		r.Text(o.kind)
		r.Text(o.name)
		r.Text(o.table)
		r.Int(int64(o.root))
		r.Text(o.create)
		payload := r.record()
		head := appendVarint(nil, uint64(len(payload)))
		p.add(appendVarint(head, uint64(i+1)), payload)
	}
	page := p.finish(0)
	copy(page, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(page[16:], pageSize)
	copy(page[18:], []byte{1, 1, 0, 64, 32, 32})
	for at, value := range map[int]uint32{
		24: 1, // file change counter
		28: pages,
		40: 1, // schema cookie
		44: 4, // schema format
		56: 1, // UTF-8
		92: 1, // change counter for which the next field is valid
		96: 3_040_001,
	} {
		binary.BigEndian.PutUint32(page[at:], value)
	}
	return page
}

// writer writes pages one after the other.
type writer struct {
	w    io.Writer
	next uint32 // number of the next page
	err  error
}

func (w *writer) put(page []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(page)
	}
}

// page writes the next page and returns its number.
func (w *writer) page(page []byte) uint32 {
	w.put(page)
	w.next++
	return w.next - 1
}

// tables writes everything but the first page.
func (w *writer) tables(tables []Table) (schema []object) {
	size := 0
	for _, t := range tables {
		schema = append(schema, object{"table", t.Name, t.Name, w.table(&t), t.Create})
		for _, i := range t.Indexes {
			schema = append(schema, object{"index", i.Name, t.Name, w.index(&i), i.Create})
		}
	}
	for _, o := range schema {
		size += len(o.create) + len(o.name) + len(o.table) + 40
	}
	if size > pageSize-150 && w.err == nil {
		w.err = fmt.Errorf("sqlite: a schema of %d bytes does not fit the first page", size)
	}
	return schema
}

// Kinds of b-tree pages: section 1.6.
const (
	interiorIndex = 2
	interiorTable = 5
	leafIndex     = 10
	leafTable     = 13
)

// page is a b-tree page that is being filled: pointers to cells grow after its header, and cells
// from its end.
type page struct {
	bytes  [pageSize]byte
	header int // offset of the header
	cells  int
	end    int // offset of the last cell
}

func newPage(kind byte, header int) *page {
	p := &page{header: header}
	p.reset(kind)
	return p
}

// reset makes the page an empty one.
func (p *page) reset(kind byte) {
	p.bytes = [pageSize]byte{}
	p.bytes[p.header] = kind
	p.cells, p.end = 0, pageSize
}

// pointers returns the offset of the pointer to the next cell.
func (p *page) pointers() int {
	size := 8
	if kind := p.bytes[p.header]; kind == interiorIndex || kind == interiorTable {
		size = 12
	}
	return p.header + size + 2*p.cells
}

// add reports whether there was room for a cell of two parts.
func (p *page) add(head, tail []byte) bool {
	at := p.pointers()
	if at+2+len(head)+len(tail) > p.end {
		return false
	}
	p.end -= len(head) + len(tail)
	copy(p.bytes[p.end:], head)
	copy(p.bytes[p.end+len(head):], tail)
	binary.BigEndian.PutUint16(p.bytes[at:], uint16(p.end))
	p.cells++
	return true
}

// pop removes the last cell and returns a copy of it.
func (p *page) pop() []byte {
	p.cells--
	begin := pageSize
	if p.cells > 0 {
		begin = int(binary.BigEndian.Uint16(p.bytes[p.pointers()-2:]))
	}
	cell := bytes.Clone(p.bytes[p.end:begin])
	clear(p.bytes[p.end:begin])
	clear(p.bytes[p.pointers():][:2])
	p.end = begin
	return cell
}

// finish completes the header. right is the last child of an interior page.
func (p *page) finish(right uint32) []byte {
	header := p.bytes[p.header:]
	binary.BigEndian.PutUint16(header[3:], uint16(p.cells))
	binary.BigEndian.PutUint16(header[5:], uint16(p.end))
	if kind := header[0]; kind == interiorIndex || kind == interiorTable {
		binary.BigEndian.PutUint32(header[8:], right)
	}
	return p.bytes[:]
}

// child is a page of a tree, and the last row ID in it.
type child struct {
	page uint32
	last int64
}

// table writes the rows of a table, and returns the root page.
func (w *writer) table(t *Table) uint32 {
	var children []child
	leaf, last := newPage(leafTable, 0), int64(0)
	flush := func() {
		children = append(children, child{w.page(leaf.finish(0)), last})
		leaf.reset(leafTable)
	}
	var head, payload []byte
	t.Rows(func(rowID int64, r *Row) {
		if w.err == nil && rowID <= last && last > 0 {
			w.err = fmt.Errorf("sqlite: %s: row %d after %d", t.Name, rowID, last)
		}
		if w.err != nil {
			return
		}
		record := r.record()
		head = appendVarint(appendVarint(head[:0], uint64(len(record))), uint64(rowID))
		payload = w.appendPayload(payload[:0], record, pageSize-35)
		if !leaf.add(head, payload) {
			flush()
			leaf.add(head, payload)
		}
		last = rowID
	})
	flush()
	for len(children) > 1 {
		children = w.parents(children)
	}
	return children[0].page
}

// parents writes the pages above these children. All get about as many children: a page with a
// single one would have no cell.
func (w *writer) parents(children []child) (parents []child) {
	const most = (pageSize-12)/(4+9+2) + 1
	pages := (len(children) + most - 1) / most
	for i := range pages {
		own := children[len(children)*i/pages : len(children)*(i+1)/pages]
		p := newPage(interiorTable, 0)
		for _, c := range own[:len(own)-1] {
			p.add(binary.BigEndian.AppendUint32(nil, c.page),
				appendVarint(nil, uint64(c.last)))
		}
		last := own[len(own)-1]
		parents = append(parents, child{w.page(p.finish(last.page)), last.last})
	}
	return parents
}

// appendPayload appends what a cell has of a payload. The rest of a payload that is longer than
// most goes to overflow pages: section 1.5, the end.
func (w *writer) appendPayload(cell, payload []byte, most int) []byte {
	if len(payload) <= most {
		return append(cell, payload...)
	}
	const least = (pageSize-12)*32/255 - 23
	local := least + (len(payload)-least)%(pageSize-4)
	if local > most {
		local = least
	}
	cell = append(cell, payload[:local]...)
	cell = binary.BigEndian.AppendUint32(cell, w.next)
	for rest := payload[local:]; len(rest) > 0; {
		page := make([]byte, pageSize)
		n := copy(page[4:], rest)
		if rest = rest[n:]; len(rest) > 0 {
			binary.BigEndian.PutUint32(page, w.next+1)
		}
		w.page(page)
	}
	return cell
}
