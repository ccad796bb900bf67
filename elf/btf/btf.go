// Package btf finds the functions in BTF, the type information that a kernel has about itself
// (Documentation/bpf/btf.rst in the kernel's source).
package btf

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Types are the types of one BTF: that of vmlinux, or that of a module, which is split BTF and goes
// on where the types of vmlinux end.
type Types struct {
	base    *Types // of split BTF
	strings []byte // own ones, and
	before  uint64 // how many bytes of strings the bases have
	first   uint32 // ID of the first own type
	kinds   []byte // of the own types
	funcs   map[string]uint32
}

// Kinds of types ("2.2 Type Encoding").
const (
	kindInt       = 1
	kindArray     = 3
	kindStruct    = 4
	kindUnion     = 5
	kindEnum      = 6
	kindFunc      = 12
	kindFuncProto = 13
	kindVar       = 14
	kindDatasec   = 15
	kindDeclTag   = 17
	kindEnum64    = 19
)

// sizes has the bytes behind the twelve that every type has: once, and for each of its members. It
// has all kinds that are known.
var sizes = [...]struct{ once, each uint64 }{
	kindInt: {4, 0}, kindArray: {12, 0}, kindStruct: {0, 12}, kindUnion: {0, 12},
	kindEnum: {0, 8}, kindFuncProto: {0, 8}, kindVar: {4, 0}, kindDatasec: {0, 12},
	kindDeclTag: {4, 0}, kindEnum64: {0, 12},
}

const (
	headerSize = 24 // struct btf_header
	typeSize   = 12 // struct btf_type
	magic      = 0xeb9f
	version    = 1
)

// Parse reads BTF: the content of a section .BTF, or of a file in /sys/kernel/btf. base is the BTF
// of vmlinux if data is that of a module, else nil. The result refers to data. An error names the
// offset in data.
func Parse(data []byte, base *Types) (*Types, error) {
	if len(data) < headerSize {
		return nil, errorf(0, "%d bytes, too few for a header", len(data))
	}
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint16(data) != magic {
		order = binary.BigEndian
	}
	if got := order.Uint16(data); got != magic {
		return nil, errorf(0, "magic %#x, want %#x", got, magic)
	}
	if data[2] != version {
		return nil, errorf(2, "version %d, want %d", data[2], version)
	}
	at := uint64(order.Uint32(data[4:])) // hdr_len
	if at < headerSize || at > uint64(len(data)) {
		return nil, errorf(4, "header of %d bytes", at)
	}
	part := func(field uint64) ([]byte, uint64, error) {
		offset, size := uint64(order.Uint32(data[field:])), uint64(order.Uint32(data[field+4:]))
		if offset > uint64(len(data))-at || size > uint64(len(data))-at-offset {
			return nil, 0, errorf(field, "%d bytes from %d on are outside", size, offset)
		}
		return data[at+offset:][:size:size], at + offset, nil
	}
	types, offset, err := part(8)
	if err != nil {
		return nil, err
	}
	t := &Types{base: base, first: 1, funcs: map[string]uint32{}}
	if base != nil {
		t.first = base.first + uint32(len(base.kinds))
		t.before = base.before + uint64(len(base.strings))
	}
	if t.strings, _, err = part(16); err != nil {
		return nil, err
	}
	return t, t.read(types, offset, order)
}

// read reads the types, which begin at an offset in the data.
func (t *Types) read(types []byte, offset uint64, order binary.ByteOrder) error {
	type function struct{ proto, at uint64 }
	var functions []function
	for at := uint64(0); at < uint64(len(types)); {
		left := uint64(len(types)) - at
		if left < typeSize {
			return errorf(offset+at, "a type that is cut")
		}
		name, info := order.Uint32(types[at:]), order.Uint32(types[at+4:])
		kind, members := byte(info>>24&0x1f), uint64(info&0xffff)
		if kind == 0 || int(kind) >= len(sizes) {
			return errorf(offset+at, "type of unknown kind %d", kind)
		}
		size := typeSize + sizes[kind].once + members*sizes[kind].each
		if size > left {
			return errorf(offset+at, "a type of %d bytes that is cut", size)
		}
		id := t.first + uint32(len(t.kinds))
		t.kinds = append(t.kinds, kind)
		if kind == kindFunc {
			text, ok := t.text(uint64(name))
			if !ok {
				return errorf(offset+at, "function with a name outside the strings")
			}
			if _, again := t.funcs[text]; again {
				id = 0 // a type ID that means void
			}
			t.funcs[text] = id
			functions = append(functions, function{uint64(order.Uint32(types[at+8:])), at})
		}
		at += size
	}
	// Split BTF on another base has other IDs. Then hardly every function refers to a prototype.
	for _, f := range functions {
		if t.kind(f.proto) != kindFuncProto {
			return errorf(offset+f.at, "function whose type %d is no prototype", f.proto)
		}
	}
	return nil
}

// text returns a string. Offsets count on from those of the base.
func (t *Types) text(offset uint64) (string, bool) {
	for offset < t.before {
		t = t.base
	}
	offset -= t.before
	if offset >= uint64(len(t.strings)) {
		return "", false
	}
	text, _, ended := bytes.Cut(t.strings[offset:], []byte{0})
	return string(text), ended
}

// kind returns the kind of a type, 0 if there is none.
func (t *Types) kind(id uint64) byte {
	for t.base != nil && id < uint64(t.first) {
		t = t.base
	}
	if id -= uint64(t.first); id < uint64(len(t.kinds)) {
		return t.kinds[id]
	}
	return 0
}

// Func returns the ID of the function with a name, and false if there is none or more than one.
// Those of the base do not count: split BTF leaves out a function that has its name and type there.
func (t *Types) Func(name string) (id uint32, ok bool) {
	id = t.funcs[name]
	return id, id != 0
}

// errorf returns an error about the bytes at an offset.
func errorf(offset uint64, format string, args ...any) error {
	return fmt.Errorf("BTF: %s (offset %#x)", fmt.Sprintf(format, args...), offset)
}
