package elf

import (
	"errors"
	"testing"
)

// TestRenumber32 checks the limit of ELF32: r_info has 24 bits for the symbol index.
func TestRenumber32(t *testing.T) {
	const limit = 1 << 24
	f := &File{}
	for _, test := range []struct {
		now uint32
		ok  bool
	}{{2, true}, {limit - 1, true}, {limit, false}, {limit + 1, false}} {
		r := &rewriter{f: f, aliases: []Alias{{Original: 1}}, now: []uint32{0, 1, test.now}}
		entry := []byte{4, 0, 0, 0, 1, 2, 0, 0} // offset 4, type 1, symbol 2
		err := r.renumber32(entry, 100, &relocTable{f: f, entsize: len(entry)})
		var format *FormatError
		switch {
		case test.ok && (err != nil || f.u32(entry[4:]) != test.now<<8|1):
			t.Errorf("index %#x: r_info %#x, error %v", test.now, f.u32(entry[4:]), err)
		case !test.ok && (!errors.As(err, &format) || format.Offset != 100):
			t.Errorf("index %#x: error %v, want a FormatError at offset 100", test.now, err)
		}
	}
}
