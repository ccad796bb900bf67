package dwarf

// Tags, attributes and forms that decide where a symbol was declared (DWARF 5, section 7.5).
const (
	tagClassType      = 0x02
	tagLexicalBlock   = 0x0b
	tagCompileUnit    = 0x11
	tagStructureType  = 0x13
	tagInlined        = 0x1d
	tagModule         = 0x1e
	tagSubprogram     = 0x2e
	tagVariable       = 0x34
	tagNamespace      = 0x39
	tagPartialUnit    = 0x3c
	tagTypeUnit       = 0x41
	tagSkeletonUnit   = 0x4a
	atSibling         = 0x01
	atLocation        = 0x02
	atName            = 0x03
	atStmtList        = 0x10
	atLowPC           = 0x11
	atHighPC          = 0x12
	atLanguage        = 0x13
	atCompDir         = 0x1b
	atProducer        = 0x25
	atAbstractOrigin  = 0x31
	atDeclFile        = 0x3a
	atDeclLine        = 0x3b
	atDeclaration     = 0x3c
	atSpecification   = 0x47
	atEntryPC         = 0x52
	atRanges          = 0x55
	atLinkageName     = 0x6e
	atStrOffsetsBase  = 0x72
	atAddrBase        = 0x73
	atRnglistsBase    = 0x74
	atMIPSLinkageName = 0x2007

	formAddr          = 0x01
	formBlock2        = 0x03
	formBlock4        = 0x04
	formData2         = 0x05
	formData4         = 0x06
	formData8         = 0x07
	formString        = 0x08
	formBlock         = 0x09
	formBlock1        = 0x0a
	formData1         = 0x0b
	formFlag          = 0x0c
	formSdata         = 0x0d
	formStrp          = 0x0e
	formUdata         = 0x0f
	formRefAddr       = 0x10
	formRef1          = 0x11
	formRef2          = 0x12
	formRef4          = 0x13
	formRef8          = 0x14
	formRefUdata      = 0x15
	formIndirect      = 0x16
	formSecOffset     = 0x17
	formExprloc       = 0x18
	formFlagPresent   = 0x19
	formStrx          = 0x1a
	formAddrx         = 0x1b
	formRefSup4       = 0x1c
	formStrpSup       = 0x1d
	formData16        = 0x1e
	formLineStrp      = 0x1f
	formRefSig8       = 0x20
	formImplicitConst = 0x21
	formLoclistx      = 0x22
	formRnglistx      = 0x23
	formRefSup8       = 0x24
	formStrx1         = 0x25
	formStrx2         = 0x26
	formStrx3         = 0x27
	formStrx4         = 0x28
	formAddrx1        = 0x29
	formAddrx2        = 0x2a
	formAddrx3        = 0x2b
	formAddrx4        = 0x2c
	formGNURefAlt     = 0x1f20
	formGNUStrpAlt    = 0x1f21

	langMipsAssembler = 0x8001
	langAssembly      = 0x0031
)

// abbrev is one abbreviation declaration (DWARF 5, section 7.5.3).
type abbrev struct {
	tag         uint16
	kind        kind
	children    bool
	placed      bool  // has an attribute that can tell an address
	siblingSize int8  // of the DW_AT_sibling value
	fixed       int32 // size of the attribute values if every one has a fixed form, else -1
	sibling     int32 // offset of the DW_AT_sibling value when what stands before it is fixed, else -1
	specs       []spec
}

type spec struct {
	attr, form uint16
	slot       uint8
	implicit   int64 // value of DW_FORM_implicit_const
}

// kind is what an entry means for the search for declarations.
type kind uint8

const (
	other      kind = iota // neither it nor what it holds declares a symbol
	subprogram             // a function
	variable
	scope      // a namespace
	block      // a part of a function
	recordType // a class, which in some languages holds functions
)

func kindOf(tag uint16) kind {
	switch tag {
	case tagSubprogram:
		return subprogram
	case tagVariable:
		return variable
	case tagNamespace, tagModule:
		return scope
	case tagLexicalBlock, tagInlined:
		return block
	case tagClassType, tagStructureType:
		return recordType
	}
	return other
}

// abbrevs is an abbreviation table.
type abbrevs struct {
	dense  []abbrev       // code 1 is dense[0]
	sparse map[uint64]int // where in others a code stands that does not follow the one before it
	others []abbrev
	specs  []spec // memory of all the abbreviations' specs
}

func (a *abbrevs) get(code uint64) *abbrev {
	if code-1 < uint64(len(a.dense)) {
		return &a.dense[code-1]
	}
	if i, ok := a.sparse[code]; ok {
		return &a.others[i]
	}
	return nil
}

// readAbbrevs decodes the unit's abbreviation table into table, whose memory is used again. If only is not 0 it stops at
// that code and leaves it alone in others: the unit's own entry needs no more.
func (u *Unit) readAbbrevs(table *abbrevs, only uint64) bool {
	r := reader{data: u.d.abbrev.Data, at: u.abbrevOffset, big: u.d.big}
	*table = abbrevs{dense: table.dense[:0], others: table.others[:0], specs: table.specs[:0]}
	for !r.bad {
		code := r.uleb()
		if code == 0 {
			break
		}
		wanted := only == 0 || only == code
		a := abbrev{tag: uint16(r.uleb()), children: r.u8() != 0, sibling: -1}
		a.kind = kindOf(a.tag)
		start := len(table.specs)
		for {
			s := spec{attr: uint16(r.uleb()), form: uint16(r.uleb())}
			if s.form == formImplicitConst {
				s.implicit = r.sleb()
			}
			if s.attr == 0 && s.form == 0 {
				break // a reader that failed ends here, too
			}
			if !wanted {
				continue
			}
			size := u.fixedSize(s.form)
			if s.attr == atSibling && a.fixed >= 0 && (s.form == formRef4 || s.form == formRef2 || s.form == formRef1) {
				a.sibling, a.siblingSize = a.fixed, int8(size)
			}
			if size < 0 {
				a.fixed = -1
			} else if a.fixed >= 0 {
				a.fixed += int32(size)
			}
			s.slot = uint8(slot(s.attr))
			switch s.slot {
			case slotLowPC, slotRanges, slotLocation:
				a.placed = true
			}
			table.specs = append(table.specs, s)
		}
		a.specs = table.specs[start:len(table.specs):len(table.specs)]
		switch {
		case only == code:
			table.others = append(table.others, a)
			return !r.bad
		case only != 0:
		case code == uint64(len(table.dense)+1):
			table.dense = append(table.dense, a)
		default:
			if table.sparse == nil {
				table.sparse = map[uint64]int{}
			}
			table.sparse[code] = len(table.others)
			table.others = append(table.others, a)
		}
	}
	return !r.bad
}

// fixedSize is the size in bytes of a value of the form in this unit, -1 if it varies.
func (u *Unit) fixedSize(form uint16) int {
	switch {
	case int(form) < len(u.sizes):
		return int(u.sizes[form])
	case form == formGNURefAlt, form == formGNUStrpAlt:
		return u.offsetSize
	}
	return -1
}

// formSizes is the size of a value of each form, -1 if it varies (DWARF 5, section 7.5.6).
type formSizes [formAddrx4 + 1]int8

// sizesOf returns the sizes that hold for a unit's version and widths.
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
	case formSdata, formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx:
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
