package dwarf

// abbrevs is an abbreviation table.
type abbrevs struct {
	dense  []abbrev       // code n is dense[n-1]
	sparse map[uint64]int // index in others of a code that is not one more than the code before
	others []abbrev
	specs  []spec // memory of all specs
}

// abbrev is an abbreviation declaration (section 7.5.3).
type abbrev struct {
	tag         uint16
	kind        kind
	children    bool
	addressed   bool  // has an attribute that can give an address
	siblingSize int8  // size of the DW_AT_sibling value
	fixed       int32 // size of all attribute values, -1 if it varies
	sibling     int32 // offset of the DW_AT_sibling value, -1 if there is none or it varies
	specs       []spec
}

// spec is an attribute specification.
type spec struct {
	attr, form uint16
	slot       uint8
	implicit   int64 // the value of DW_FORM_implicit_const
}

// kind is what an entry means for the search for declarations.
type kind uint8

const (
	other      kind = iota // declares nothing, and has no child that does
	subprogram             // a function
	variable
	scope      // a namespace
	block      // a part of a function
	imported   // the entries of a partial unit belong here
	recordType // a class, structure, union or enumeration, which has functions in some languages
)

func kindOf(tag uint16) kind {
	switch tag {
	case tagSubprogram:
		return subprogram
	case tagVariable:
		return variable
	case tagNamespace, tagModule:
		return scope
	case tagImportedUnit:
		return imported
	case tagLexicalBlock, tagInlined:
		return block
	case tagClassType, tagStructureType, tagUnionType, tagEnumerationType:
		return recordType
	}
	return other
}

// get returns the abbreviation with a code, nil if there is none.
func (a *abbrevs) get(code uint64) *abbrev {
	if code-1 < uint64(len(a.dense)) {
		return &a.dense[code-1]
	}
	if i, ok := a.sparse[code]; ok {
		return &a.others[i]
	}
	return nil
}

// readAbbrevs reads the abbreviation table of the unit into table and reuses its memory. If only is
// not 0, it reads up to the abbreviation with that code and stores just that one, in others. It
// returns false if the table is damaged.
func (u *Unit) readAbbrevs(table *abbrevs, only uint64) bool {
	r := reader{data: u.d.abbrev.Data, at: u.abbrevOffset, big: u.d.big}
	*table = abbrevs{dense: table.dense[:0], others: table.others[:0], specs: table.specs[:0]}
	for !r.bad {
		code := r.uleb()
		if code == 0 {
			break
		}
		a := u.readAbbrev(&r, table, only == 0 || only == code)
		switch {
		case only == code:
			table.others = append(table.others, a)
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
		if only == code {
			break
		}
	}
	u.d.spend(r.at - u.abbrevOffset + uint64(len(table.dense)+len(table.others))*stepsPerAbbrev +
		uint64(len(table.specs))*stepsPerSpec)
	return !r.bad
}

// readAbbrev reads an abbreviation declaration, after its code. It stores the attributes only if
// they are wanted.
func (u *Unit) readAbbrev(r *reader, table *abbrevs, wanted bool) abbrev {
	a := abbrev{tag: uint16(r.uleb()), children: r.u8() != 0, sibling: -1}
	a.kind = kindOf(a.tag)
	start := len(table.specs)
	for {
		s := spec{attr: uint16(r.uleb()), form: uint16(r.uleb())}
		if s.form == formImplicitConst {
			s.implicit = r.sleb()
		}
		if s.attr == 0 && s.form == 0 {
			break // the end, or the end of the section
		}
		if !wanted {
			continue
		}
		size := u.fixedSize(s.form)
		if s.attr == atSibling && a.fixed >= 0 &&
			(s.form == formRef4 || s.form == formRef2 || s.form == formRef1) {
			a.sibling, a.siblingSize = a.fixed, int8(size)
		}
		if size < 0 {
			a.fixed = -1
		} else if a.fixed >= 0 {
			a.fixed += int32(size)
		}
		s.slot = slot(s.attr)
		switch s.slot {
		case slotLowPC, slotRanges, slotLocation:
			a.addressed = true
		}
		table.specs = append(table.specs, s)
	}
	a.specs = table.specs[start:len(table.specs):len(table.specs)]
	return a
}
