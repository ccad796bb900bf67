package sqlite

import (
	"bytes"
	"encoding/binary"
)

// mostIndex is the size of a payload from which an index continues it on overflow pages.
const mostIndex = (pageSize-12)*64/255 - 23

// indexTree writes the leaves of an index. An entry between two leaves is in no leaf, but in a page
// above them.
type indexTree struct {
	w        *writer
	leaf     *page
	children []uint32
	between  [][]byte // the entries between the children
	full     bool     // the leaf is full, and the last of between follows it
}

// index writes the entries of an index, and returns the root page.
func (w *writer) index(i *Index) uint32 {
	t := indexTree{w: w, leaf: newPage(leafIndex, 0)}
	var entry []byte
	i.Entries(func(r *Row) {
		if w.err == nil {
			record := r.record()
			entry = appendVarint(entry[:0], uint64(len(record)))
			entry = w.appendPayload(entry, record, mostIndex)
			t.add(entry)
		}
	})
	if t.full { // nothing follows the entry after the leaf, so it moves into a leaf of its own
		end := len(t.between) - 1
		last := t.between[end]
		t.between[end] = t.leaf.pop()
		t.flush()
		t.leaf.add(last, nil)
	}
	t.flush()
	children, between := t.children, t.between
	for len(children) > 1 {
		children, between = w.indexParents(children, between)
	}
	return children[0]
}

func (t *indexTree) add(entry []byte) {
	if t.full {
		t.flush()
	}
	if !t.leaf.add(entry, nil) {
		t.between = append(t.between, bytes.Clone(entry))
		t.full = true
	}
}

func (t *indexTree) flush() {
	t.children = append(t.children, t.w.page(t.leaf.finish(0)))
	t.leaf.reset(leafIndex)
	t.full = false
}

// indexParents writes the pages above these children. It returns them and the entries between them.
func (w *writer) indexParents(children []uint32, between [][]byte) (
	parents []uint32, rest [][]byte,
) {
	for len(children) > 0 {
		p := newPage(interiorIndex, 0)
		n := 0 // children before the last one
		for n < len(children)-1 {
			if !p.add(binary.BigEndian.AppendUint32(nil, children[n]), between[n]) {
				break
			}
			n++
		}
		if n == len(children)-2 { // the last child must not be alone in a page
			n--
			p.pop()
		}
		parents = append(parents, w.page(p.finish(children[n])))
		if n < len(between) {
			rest = append(rest, between[n])
			between = between[n+1:]
		}
		children = children[n+1:]
	}
	return parents, rest
}
