package dwarf

// formSizes holds the size of a value of each form in bytes, -1 if it varies (section 7.5.6).
type formSizes [formAddrx4 + 1]int8

// fixedSize returns the size of a value of the form in this unit, -1 if it varies.
func (u *Unit) fixedSize(form uint16) int {
	switch {
	case int(form) < len(u.sizes):
		return int(u.sizes[form])
	case form == formGNURefAlt, form == formGNUStrpAlt:
		return u.offsetSize
	}
	return -1
}

// sizesOf returns the sizes for a unit with this version and these sizes of addresses and offsets.
func (d *Data) sizesOf(version, addrSize, offsetSize int) *formSizes {
	refAddr := offsetSize
	if version <= 2 {
		refAddr = addrSize
	}
	key := [3]int{addrSize, offsetSize, refAddr}
	if t, ok := d.sizes[key]; ok {
		return t
	}
	t := &formSizes{}
	for form := range t {
		t[form] = -1
	}
	for size, forms := range map[int][]int{
		0:  {formFlagPresent, formImplicitConst},
		1:  {formData1, formFlag, formRef1, formStrx1, formAddrx1},
		2:  {formData2, formRef2, formStrx2, formAddrx2},
		3:  {formStrx3, formAddrx3},
		4:  {formData4, formRef4, formRefSup4, formStrx4, formAddrx4},
		8:  {formData8, formRef8, formRefSig8, formRefSup8},
		16: {formData16},
	} {
		for _, form := range forms {
			t[form] = int8(size)
		}
	}
	t[formAddr], t[formRefAddr] = int8(addrSize), int8(refAddr)
	for _, form := range [...]int{formStrp, formLineStrp, formSecOffset, formStrpSup} {
		t[form] = int8(offsetSize)
	}
	if d.sizes == nil {
		d.sizes = map[[3]int]*formSizes{}
	}
	d.sizes[key] = t
	return t
}

// skipForm moves r past a value.
func (u *Unit) skipForm(r *reader, form uint16) {
	if n := u.fixedSize(form); n >= 0 {
		r.skip(uint64(n))
		return
	}
	switch form {
	case formBlock1:
		r.skip(uint64(r.u8()))
	case formBlock2:
		r.skip(r.uint(2))
	case formBlock4:
		r.skip(r.uint(4))
	case formBlock, formExprloc:
		r.skip(r.uleb())
	case formString:
		r.cstring()
	case formSdata, formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx,
		formGNUAddrIndex, formGNUStrIndex:
		r.uleb()
	case formIndirect:
		if form := uint16(r.uleb()); form != formIndirect {
			u.skipForm(r, form)
			return
		}
		r.fail()
	default:
		r.fail()
	}
}
