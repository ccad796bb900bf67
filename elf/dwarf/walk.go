package dwarf

import "slices"

// walkAll is walk for entries with and without an address. If imports is set, it also visits those
// of the partial units that the unit imports (section 3.2.5), directly or not.
func (u *Unit) walkAll(variables, imports bool, visit func(*entry)) error {
	units := []*Unit{u}
	for i := 0; i < len(units); i++ {
		err := units[i].walk(variables, false, func(e *entry) {
			if i > 0 {
				e.into = u
			}
			if e.tag != tagImportedUnit {
				visit(e)
				return
			}
			u.d.spend(uint64(len(units)))
			to, _ := e.unit.target(e.vals[slotImport])
			if imports && to != nil && to.partial && !slices.Contains(units, to) {
				units = append(units, to)
			}
		})
		if i > 0 {
			units[i].unload()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// walk calls visit for each subprogram of the unit and, if variables is set, each variable. If
// addressed is set, it visits only entries that have an address; else also entries that import a
// unit. visit may copy the entry but must not keep the pointer.
func (u *Unit) walk(variables, addressed bool, visit func(*entry)) error {
	if err := u.load(); err != nil {
		return err
	}
	if !u.hasChildren {
		return nil
	}
	r := u.d.entries(u.firstChild)
	r.data = r.data[:u.end]
	var e entry
	for depth := 1; depth > 0 && r.at < u.end; {
		at := r.at
		code := r.uleb()
		if code == 0 {
			if r.bad {
				break
			}
			depth--
			continue
		}
		a := u.abbrevs.get(code)
		if a == nil {
			return u.d.damaged(".debug_info", at, "abbreviation code")
		}
		u.d.check()
		wanted := a.kind == subprogram || a.kind == variable && variables || a.kind == imported
		if wanted && (a.addressed || !addressed) {
			u.decode(&r, a, &e)
			e.outer = depth == 1
			visit(&e)
			if a.children && (variables || !u.skipChildren(&r, &e)) {
				depth++
			}
			continue
		}
		if !a.children {
			if a.fixed >= 0 {
				r.at += uint64(a.fixed)
			} else {
				u.skipEntry(&r, a)
			}
			continue
		}
		if u.enter(a, variables) || !u.skipTree(&r, a) {
			u.skipEntry(&r, a)
			depth++
		}
	}
	u.d.spend(min(r.at, u.end) - u.firstChild)
	if r.bad || r.at > u.end {
		return u.d.damaged(".debug_info", u.offset, "unit")
	}
	return nil
}

// enter reports whether the children of an entry that is not visited may have to be.
func (u *Unit) enter(a *abbrev, variables bool) bool {
	switch a.kind {
	case scope:
		return true
	case subprogram, block:
		// The static variables of an inlined function are in its abstract instance.
		return variables
	case recordType:
		return u.nestsFunctions()
	}
	return false
}

// nestsFunctions reports whether the unit's language has functions inside record types, as C++ and
// Rust do.
func (u *Unit) nestsFunctions() bool {
	switch u.language {
	case langCPlusPlus:
		return true
	case langC11, langC17:
		return false
	}
	return u.language >= langCPlusPlus11 && u.language < langLoUser
}

// skipEntry moves r past the attribute values of an entry.
func (u *Unit) skipEntry(r *reader, a *abbrev) {
	if a.fixed >= 0 {
		r.at += uint64(a.fixed)
		return
	}
	u.d.spend(uint64(len(a.specs)))
	for i := range a.specs {
		u.skipForm(r, a.specs[i].form)
	}
}

// skipTree moves r past an entry and its children, if the entry says where its sibling is.
func (u *Unit) skipTree(r *reader, a *abbrev) bool {
	if a.sibling < 0 {
		return false
	}
	form := *r
	form.skip(uint64(a.sibling))
	next := u.offset + form.uint(int(a.siblingSize))
	if form.bad || next <= r.at || next > u.end {
		return false
	}
	r.at = next
	return true
}

// skipChildren moves r past the children of a decoded entry, if the entry says where its sibling
// is.
func (u *Unit) skipChildren(r *reader, e *entry) bool {
	if r.bad {
		return false
	}
	next, ok := u.ref(e.vals[slotSibling])
	if !ok || next <= r.at {
		return false
	}
	r.at = next
	return true
}
