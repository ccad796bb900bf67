package dwarf

import (
	"strings"
)

// entry is a debugging information entry with the attributes that kas needs.
type entry struct {
	unit   *Unit
	offset uint64  // of the attributes
	abbrev *abbrev // valid until the unit is unloaded
	tag    uint16
	outer  bool  // a child of the unit entry
	into   *Unit // the unit that imports the partial unit of this entry, nil if it is in its own
	vals   [slots]value
}

// home returns the unit that the entry belongs to.
func (e *entry) home() *Unit {
	if e.into != nil {
		return e.into
	}
	return e.unit
}

// value is an attribute value, decoded when it is needed. The zero value is an absent attribute.
type value struct {
	form uint16
	at   uint64 // offset in .debug_info; for DW_FORM_implicit_const the value
}

// Slots are the indices in entry.vals.
const (
	slotNone = iota // every other attribute
	slotName
	slotLinkageName
	slotDeclFile
	slotDeclLine
	slotLowPC
	slotHighPC
	slotRanges
	slotEntryPC
	slotAbstractOrigin
	slotSpecification
	slotLocation
	slotDeclaration
	slotExternal
	slotInline
	slotSibling
	slotCompDir
	slotProducer
	slotLanguage
	slotStmtList
	slotStrOffsetsBase
	slotAddrBase
	slotRnglistsBase
	slotDwoName
	slotDwoID
	slotRangesBase
	slotImport
	slots
)

var slotOf = [...]uint8{
	atName:           slotName,
	atLinkageName:    slotLinkageName,
	atDeclFile:       slotDeclFile,
	atDeclLine:       slotDeclLine,
	atLowPC:          slotLowPC,
	atHighPC:         slotHighPC,
	atRanges:         slotRanges,
	atEntryPC:        slotEntryPC,
	atAbstractOrigin: slotAbstractOrigin,
	atSpecification:  slotSpecification,
	atLocation:       slotLocation,
	atDeclaration:    slotDeclaration,
	atExternal:       slotExternal,
	atInline:         slotInline,
	atSibling:        slotSibling,
	atCompDir:        slotCompDir,
	atProducer:       slotProducer,
	atLanguage:       slotLanguage,
	atImport:         slotImport,
	atStmtList:       slotStmtList,
	atStrOffsetsBase: slotStrOffsetsBase,
	atAddrBase:       slotAddrBase,
	atRnglistsBase:   slotRnglistsBase,
	atDwoName:        slotDwoName,
}

func slot(attr uint16) uint8 {
	switch {
	case int(attr) < len(slotOf):
		return slotOf[attr]
	case attr == atMIPSLinkageName:
		return slotLinkageName
	case attr == atGNUDwoName:
		return slotDwoName
	case attr == atGNUDwoID:
		return slotDwoID
	case attr == atGNURangesBase:
		return slotRangesBase
	case attr == atGNUAddrBase:
		return slotAddrBase
	}
	return slotNone
}

// decode reads an entry. r is after the abbreviation code and ends after the entry.
func (u *Unit) decode(r *reader, a *abbrev, e *entry) {
	*e = entry{unit: u, offset: r.at, abbrev: a, tag: a.tag}
	u.d.spend(stepsPerEntry + uint64(len(a.specs)))
	for i := range a.specs {
		s := &a.specs[i]
		form := s.form
		for form == formIndirect && !r.bad {
			form = uint16(r.uleb())
		}
		v := value{form: form, at: r.at}
		if form == formImplicitConst {
			v.at = uint64(s.implicit)
		}
		e.vals[s.slot] = v
		if size := u.fixedSize(form); size >= 0 {
			r.skip(uint64(size))
		} else {
			u.skipForm(r, form)
		}
	}
}

// entryAt reads the entry at an offset of .debug_info, which must be in this unit.
func (u *Unit) entryAt(offset uint64) (entry, bool) {
	if u.load() != nil {
		return entry{}, false
	}
	r := u.d.entries(offset)
	a := u.abbrevs.get(r.uleb())
	if a == nil || r.bad {
		return entry{}, false
	}
	var e entry
	u.decode(&r, a, &e)
	u.d.spend(r.at - offset)
	return e, !r.bad && r.at <= u.end
}

// maxOrigins limits a chain of references. Damage can make it a ring.
const maxOrigins = 8

// origins yields the entry and then the entries that it completes: its abstract instance (section
// 3.3.8) or its declaration (section 2.13.2). They may be in other units.
func (e *entry) origins() func(yield func(*entry) bool) {
	return func(yield func(*entry) bool) {
		at := *e
		for range maxOrigins {
			if !yield(&at) {
				return
			}
			v := at.vals[slotAbstractOrigin]
			if v.form == 0 {
				v = at.vals[slotSpecification]
			}
			u, offset := at.unit.target(v)
			if u == nil {
				return
			}
			var ok bool
			if at, ok = u.entryAt(offset); !ok {
				return
			}
		}
	}
}

// hasName reports whether the entry's name is the symbol's, apart from suffixes that the compiler
// adds to symbols. Clang also puts the name of the function before a variable inside it
// ("function.variable").
func (e *entry) hasName(symbol string) bool {
	for o := range e.origins() {
		for _, slot := range [...]int{slotLinkageName, slotName} {
			name := o.unit.str(o.vals[slot])
			if len(name) == 0 {
				continue
			}
			rest, ok := strings.CutPrefix(symbol, string(name))
			if ok && (rest == "" || rest[0] == '.') {
				return true
			}
			if e.tag != tagVariable {
				continue
			}
			o.unit.d.spend(uint64(len(symbol)))
			_, rest, ok = strings.Cut(symbol, "."+string(name))
			if ok && (rest == "" || rest[0] == '.') {
				return true
			}
		}
	}
	return false
}
