package sqlite

import (
	"encoding/binary"
	"slices"
)

// Row is the values of a row or of an index entry. The zero value is empty. Record format: section
// 2.1.
type Row struct {
	types, values, whole []byte
}

// Reset removes the values.
func (r *Row) Reset() { r.types, r.values = r.types[:0], r.values[:0] }

// Null adds NULL. It also stands for the column that is the row ID.
func (r *Row) Null() { r.types = append(r.types, 0) }

// Text adds a text.
func (r *Row) Text(s string) {
	r.types = appendVarint(r.types, uint64(13+2*len(s)))
	r.values = append(r.values, s...)
}

// TextOrNull adds a text, or NULL if it is empty.
func (r *Row) TextOrNull(s string) {
	if s == "" {
		r.Null()
		return
	}
	r.Text(s)
}

// Int adds a number.
func (r *Row) Int(n int64) {
	if n == 0 || n == 1 {
		r.types = append(r.types, byte(8+n))
		return
	}
	for i, size := range []int{1, 2, 3, 4, 6} {
		if shift := 64 - 8*size; n<<shift>>shift == n {
			r.types = append(r.types, byte(i+1))
			r.values = append(r.values, binary.BigEndian.AppendUint64(nil, uint64(n))[8-size:]...)
			return
		}
	}
	r.types = append(r.types, 6)
	r.values = binary.BigEndian.AppendUint64(r.values, uint64(n))
}

// record returns the row as it is stored, valid until the next call.
func (r *Row) record() []byte {
	size := len(r.types) + 1 // of the header, with its own size
	if size > 127 {
		size++
	}
	r.whole = appendVarint(r.whole[:0], uint64(size))
	r.whole = append(r.whole, r.types...)
	r.whole = append(r.whole, r.values...)
	return r.whole
}

// appendVarint appends a number below 2^56: section 1.6, the end.
func appendVarint(b []byte, n uint64) []byte {
	start := len(b)
	for more := byte(0); ; more = 0x80 {
		b = append(b, byte(n&0x7f)|more)
		if n >>= 7; n == 0 {
			break
		}
	}
	slices.Reverse(b[start:])
	return b
}
