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
	tag      uint16
	children bool
	fixed    int32 // size of the attribute values if every one has a fixed form, else -1
	sibling  int32 // offset of the DW_AT_sibling value when what stands before it is fixed, else -1
	specs    []spec
}

type spec struct {
	attr, form uint16
	implicit   int64 // value of DW_FORM_implicit_const
}

// readAbbrevs decodes the abbreviation table at offset: index is the abbreviation code. A table whose codes are not
// dense is a map.
type abbrevs struct {
	dense  []abbrev // code 1 is dense[0]
	sparse map[uint64]abbrev
}

func (a *abbrevs) get(code uint64) *abbrev {
	if code-1 < uint64(len(a.dense)) {
		return &a.dense[code-1]
	}
	if s, ok := a.sparse[code]; ok {
		return &s
	}
	return nil
}

// only limits reading to one code, 0 for all: the unit's own entry needs no more.
func (u *Unit) readAbbrevs(only uint64) (*abbrevs, bool) {
	r := reader{data: u.d.abbrev.Data, at: u.abbrevOffset, big: u.d.big}
	table := &abbrevs{}
	for !r.bad {
		code := r.uleb()
		if code == 0 {
			break
		}
		a := abbrev{tag: uint16(r.uleb()), children: r.u8() != 0, sibling: -1}
		for !r.bad {
			s := spec{attr: uint16(r.uleb()), form: uint16(r.uleb())}
			if s.form == formImplicitConst {
				s.implicit = r.sleb()
			}
			if s.attr == 0 && s.form == 0 {
				break
			}
			if s.attr == atSibling && a.fixed >= 0 && (s.form == formRef4 || s.form == formRef2 || s.form == formRef1) {
				a.sibling = a.fixed
			}
			if size := u.fixedSize(s.form); size < 0 {
				a.fixed = -1
			} else if a.fixed >= 0 {
				a.fixed += int32(size)
			}
			if only == 0 || only == code {
				a.specs = append(a.specs, s)
			}
		}
		switch {
		case only == code:
			table.sparse = map[uint64]abbrev{code: a}
			return table, !r.bad
		case only != 0:
		case code == uint64(len(table.dense)+1):
			table.dense = append(table.dense, a)
		default:
			if table.sparse == nil {
				table.sparse = map[uint64]abbrev{}
			}
			table.sparse[code] = a
		}
	}
	return table, !r.bad
}

// fixedSize is the size in bytes of a value of the form in this unit, -1 if it varies (DWARF 5, section 7.5.6).
func (u *Unit) fixedSize(form uint16) int {
	switch form {
	case formFlagPresent, formImplicitConst:
		return 0
	case formData1, formFlag, formRef1, formStrx1, formAddrx1:
		return 1
	case formData2, formRef2, formStrx2, formAddrx2:
		return 2
	case formStrx3, formAddrx3:
		return 3
	case formData4, formRef4, formRefSup4, formStrx4, formAddrx4:
		return 4
	case formData8, formRef8, formRefSig8, formRefSup8:
		return 8
	case formData16:
		return 16
	case formAddr:
		return u.addrSize
	case formStrp, formLineStrp, formSecOffset, formStrpSup, formGNURefAlt, formGNUStrpAlt:
		return u.offsetSize
	case formRefAddr:
		if u.version <= 2 {
			return u.addrSize
		}
		return u.offsetSize
	}
	return -1
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
		r.bad = true
	default:
		r.bad = true
	}
}
