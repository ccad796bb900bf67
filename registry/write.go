package registry

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteOverlay writes an overlay of a registry: the symbols of modules that were built later, and symbols of the registry
// of which more is known by now. Names are counted over both; the records may come in any order.
func WriteOverlay(w io.Writer, base *File, records []Record) error {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Object, b.Object), strings.Compare(a.Section, b.Section),
			cmp.Compare(a.Address, b.Address), cmp.Compare(a.Position, b.Position))
	})
	for i := range records {
		// A line of the file begins with the name, and a header line with "#".
		if r := &records[i]; strings.ContainsAny(r.Name, "\t\n") || strings.HasPrefix(r.Name, "#") {
			return fmt.Errorf("%s: symbol %q cannot be written in a registry", r.Object, r.Name)
		}
	}
	both := &Registry{File: base}
	both.know(slices.Values(records))
	var lines []byte
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Name == records[0].Name {
			n++
		}
		count := n
		for b := range base.Named(records[0].Name) {
			if !both.hides(&b) {
				count++
			}
		}
		for i := range records[:n] {
			records[i].Count = count
		}
		lines = AppendName(lines, records[:n])
		records = records[n:]
	}
	h := base.Header
	h.OverlayOf = base.Digest
	h.Symbols = strings.Count(string(lines), "\n")
	head := NewHead(h)
	head.Add(lines)
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	_, err := w.Write(lines)
	return err
}
