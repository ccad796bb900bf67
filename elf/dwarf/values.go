package dwarf

import (
	"kas/elf"
)

// number decodes a constant or an offset into another section (section 7.5.5).
func (u *Unit) number(v value) (uint64, bool) {
	switch v.form {
	case formImplicitConst:
		return v.at, true
	case formSdata:
		r := u.d.reader(u.d.info, v.at)
		return uint64(r.sleb()), !r.bad
	case formUdata, formRnglistx, formLoclistx:
		r := u.d.reader(u.d.info, v.at)
		return r.uleb(), !r.bad
	case formData1, formData2, formData4, formData8:
		// Before DWARF 4 the wider forms were also used for offsets (DWARF 4, section 1.4).
		if u.version >= 4 || v.form == formData1 || v.form == formData2 {
			r := u.d.reader(u.d.info, v.at)
			return r.uint(u.fixedSize(v.form)), !r.bad
		}
		fallthrough
	case formSecOffset:
		n, ok := u.d.field(u.d.info, v.at, u.fixedSize(v.form))
		return n, ok && n != elf.NoAddress
	}
	return 0, false
}

// address decodes an address, which may be in .debug_addr. It returns false if there is none or its
// code was discarded.
func (u *Unit) address(v value) (uint64, bool) {
	switch v.form {
	case formAddr:
		n, ok := u.d.field(u.d.info, v.at, u.addrSize)
		return n, ok && n != elf.NoAddress
	case formAddrx, formGNUAddrIndex:
		r := u.d.reader(u.d.info, v.at)
		i := r.uleb()
		if r.bad {
			return 0, false
		}
		return u.indexedAddress(i)
	case formAddrx1, formAddrx2, formAddrx3, formAddrx4:
		r := u.d.reader(u.d.info, v.at)
		i := r.uint(u.fixedSize(v.form))
		if r.bad {
			return 0, false
		}
		return u.indexedAddress(i)
	}
	return 0, false
}

// indexedAddress returns address i of the unit in .debug_addr (section 7.27).
func (u *Unit) indexedAddress(i uint64) (uint64, bool) {
	if i > uint64(len(u.d.addr.Data)) {
		return 0, false
	}
	n, ok := u.d.field(u.d.addr, u.addrBase+i*uint64(u.addrSize), u.addrSize)
	return n, ok && n != elf.NoAddress
}

// staticAddress returns the address of a variable whose location is one fixed address (section
// 2.6.1.1.2).
func (u *Unit) staticAddress(v value) (uint64, bool) {
	const (
		opAddr         = 0x03
		opPlusUconst   = 0x23
		opAddrx        = 0xa1
		opGNUAddrIndex = 0xfb
	)
	r := u.d.reader(u.d.info, v.at)
	var n uint64
	switch v.form {
	case formExprloc, formBlock:
		n = r.uleb()
	case formBlock1:
		n = uint64(r.u8())
	default:
		return 0, false
	}
	end := r.at + n
	if !r.need(n) {
		return 0, false
	}
	var address uint64
	ok := false
	switch r.u8() {
	case opAddr:
		address, ok = u.address(value{form: formAddr, at: r.at})
		r.skip(uint64(u.addrSize))
	case opAddrx, opGNUAddrIndex:
		address, ok = u.indexedAddress(r.uleb())
	}
	if ok && r.at < end && r.u8() == opPlusUconst {
		address += r.uleb()
	}
	return address, ok && !r.bad && r.at == end
}

// str decodes a string, nil if there is none or it is outside its section.
func (u *Unit) str(v value) []byte {
	d := u.d
	switch v.form {
	case formString:
		r := d.reader(d.info, v.at)
		return d.cstring(&r)
	case formStrp:
		return d.stringAt(d.info, v.at, u.offsetSize, d.str)
	case formLineStrp:
		return d.stringAt(d.info, v.at, u.offsetSize, d.lineStr)
	case formStrpSup, formGNUStrpAlt:
		if d.shared != nil {
			return d.stringAt(d.info, v.at, u.offsetSize, d.shared.str)
		}
	case formStrx, formGNUStrIndex, formStrx1, formStrx2, formStrx3, formStrx4:
		r := d.reader(d.info, v.at)
		var i uint64
		if v.form == formStrx || v.form == formGNUStrIndex {
			i = r.uleb()
		} else {
			i = r.uint(u.fixedSize(v.form))
		}
		if r.bad || i > uint64(len(d.strOffsets.Data)) {
			return nil
		}
		at := u.strOffsetsBase + i*uint64(u.offsetSize)
		return d.stringAt(d.strOffsets, at, u.offsetSize, d.str)
	}
	return nil
}

// stringAt reads an offset of size bytes in a section, and the string at this offset of strs.
func (d *Data) stringAt(c *elf.Contents, at uint64, size int, strs *elf.Contents) []byte {
	offset, ok := d.field(c, at, size)
	if !ok {
		return nil
	}
	r := d.reader(strs, offset)
	return d.cstring(&r)
}

// cstring reads a string and adds its length to the work.
func (d *Data) cstring(r *reader) []byte {
	s := r.cstring()
	d.spend(uint64(len(s)) + 1)
	return s
}

// target returns the unit and the offset in its .debug_info that a reference is to, nil if there is
// none. It may be in the supplementary file.
func (u *Unit) target(v value) (*Unit, uint64) {
	d := u.d
	switch v.form {
	case formRefSup4, formRefSup8, formGNURefAlt:
		offset, ok := d.field(d.info, v.at, u.fixedSize(v.form))
		if d.shared == nil || !ok {
			return nil, 0
		}
		return d.shared.unitAt(offset), offset
	}
	offset, ok := u.ref(v)
	if !ok {
		return nil, 0
	}
	return d.unitAt(offset), offset
}

// ref returns the offset in .debug_info that a reference is to.
func (u *Unit) ref(v value) (uint64, bool) {
	switch v.form {
	case formRef1, formRef2, formRef4, formRef8:
		r := u.d.reader(u.d.info, v.at)
		n := r.uint(u.fixedSize(v.form))
		return u.offset + n, !r.bad && n < u.end-u.offset
	case formRefUdata:
		r := u.d.reader(u.d.info, v.at)
		n := r.uleb()
		return u.offset + n, !r.bad && n < u.end-u.offset
	case formRefAddr:
		return u.d.field(u.d.info, v.at, u.fixedSize(v.form))
	}
	return 0, false
}
