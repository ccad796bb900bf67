package elf

import (
	"io"
)

// Plan is an object to write, as a list of parts.
type Plan struct {
	f     *File
	parts []part
}

// part is new bytes, or size bytes at offset of the original. If edit is set, it changes them.
type part struct {
	bytes  []byte
	offset uint64
	size   uint64
	edit   *edit
}

// edit changes bytes while they are copied. change gets whole units and their offset in the
// original.
type edit struct {
	unit   int
	change func(b []byte, at uint64) error
}

// Copier is a writer that can copy ranges of the original file itself.
type Copier interface {
	io.Writer
	// CopyRange copies size bytes from the given offset of the file fd.
	CopyRange(fd int, offset, size int64) error
	// CopyEdited copies like CopyRange and calls change before it writes. change gets whole units
	// of unit bytes and their offset in the file.
	CopyEdited(
		fd int, offset, size int64, unit int, change func(b []byte, at uint64) error,
	) error
}

// WriteTo writes the object and returns the number of bytes. If w is a Copier, it copies the parts
// that do not change. Relocations are checked only here: one that names no symbol is a
// *FormatError.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	c, _ := w.(Copier)
	if s := p.f.source; s == nil || s.expanded {
		c = nil // the object is only in memory
	}
	var n int64
	for i := range p.parts {
		part := &p.parts[i]
		offset, size := int64(part.offset), int64(part.size)
		var err error
		switch {
		case part.bytes != nil:
			_, err = w.Write(part.bytes)
		case c != nil && part.edit != nil:
			err = c.CopyEdited(p.f.source.fd, offset, size, part.edit.unit, part.edit.change)
		case c != nil:
			err = c.CopyRange(p.f.source.fd, offset, size)
		default:
			err = p.copy(w, part)
		}
		if err != nil {
			return n, err
		}
		n += size
	}
	return n, nil
}

// copy writes a part of the original through memory.
func (p *Plan) copy(w io.Writer, part *part) error {
	b, err := p.f.bytes(part.offset, part.size)
	if err != nil {
		return err
	}
	if part.edit == nil {
		_, err = w.Write(b)
		return err
	}
	buf := make([]byte, min(len(b), 4096*part.edit.unit))
	for at := part.offset; len(b) > 0; {
		n := copy(buf, b)
		if err := part.edit.change(buf[:n], at); err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		b, at = b[n:], at+uint64(n)
	}
	return nil
}

// Size returns the size of the object in bytes.
func (p *Plan) Size() int64 {
	var n uint64
	for _, s := range p.parts {
		n += s.size
	}
	return int64(n)
}

// original appends a range of the original. It extends the last part if the range continues it.
func (p *Plan) original(offset, size uint64) {
	if size == 0 {
		return
	}
	last := &p.parts[len(p.parts)-1]
	if last.bytes == nil && last.edit == nil && last.offset+last.size == offset {
		last.size += size
		return
	}
	p.parts = append(p.parts, part{offset: offset, size: size})
}
