package dwarf

// declares reports whether the entry, or one that it completes, has the line of a declaration.
// Entries of units that have only a line table do not.
func (e *entry) declares() bool {
	for o := range e.origins() {
		if o.vals[slotDeclLine].form != 0 {
			return true
		}
	}
	return false
}

// Declares reports whether the unit declares a function or variable, so that it is more than a line
// table. After Locate, it is also true for a unit whose split unit was not missed.
func (u *Unit) Declares() (declares bool, err error) {
	defer catch(&err)
	if u.skeleton() {
		return !u.noSplit, nil
	}
	err = u.walk(true, false, func(e *entry) { declares = declares || e.declares() })
	u.unload()
	return declares, err
}

// call returns the file and line of the call whose inlined code is at an address of the function e
// (section 3.3.8.2): the outermost call, which the source of the function itself has. It returns
// false if no inlined code is at the address. The unit's abbreviations must still be in memory.
func (e *entry) call(address uint64) (file string, line int64, ok bool) {
	u := e.unit
	if !e.abbrev.children {
		return "", 0, false
	}
	r := u.d.entries(e.offset)
	r.data = r.data[:u.end]
	u.skipEntry(&r, e.abbrev)
	start := r.at
	for depth := 1; depth > 0 && r.at < u.end && !r.bad; {
		code := r.uleb()
		if code == 0 {
			depth--
			continue
		}
		a := u.abbrevs.get(code)
		if a == nil {
			break
		}
		u.d.check()
		switch a.tag {
		case tagInlined:
			inner := r
			var called entry
			u.decode(&inner, a, &called)
			if !called.covers(address) {
				break
			}
			file, line = u.callSite(r, a)
			u.d.spend(r.at - start)
			return file, line, true
		case tagLexicalBlock:
			u.skipEntry(&r, a)
			if a.children {
				depth++
			}
			continue
		}
		// The children of other inlined code are not at the address, either.
		if !a.children {
			u.skipEntry(&r, a)
		} else if !u.skipTree(&r, a) {
			u.skipEntry(&r, a)
			u.skipSiblings(&r)
		}
	}
	u.d.spend(r.at - start)
	return "", 0, false
}

// covers reports whether an address is in a range of the entry.
func (e *entry) covers(address uint64) bool {
	for _, s := range e.unit.entrySpans(e) {
		if address >= s.start && address < s.end {
			return true
		}
	}
	return false
}

// callSite reads DW_AT_call_file and DW_AT_call_line of an entry. r is after its code.
func (u *Unit) callSite(r reader, a *abbrev) (file string, line int64) {
	for i := range a.specs {
		s := &a.specs[i]
		v := value{form: s.form, at: r.at}
		if s.form == formImplicitConst {
			v.at = uint64(s.implicit)
		}
		n, ok := u.number(v)
		switch {
		case s.attr == atCallFile && ok:
			file = u.file(n)
		case s.attr == atCallLine && ok:
			line = int64(n)
		}
		u.skipForm(&r, s.form)
	}
	return file, line
}

// skipSiblings moves r past the rest of a list of siblings and all that is below them.
func (u *Unit) skipSiblings(r *reader) {
	for depth := 1; depth > 0 && r.at < u.end && !r.bad; {
		code := r.uleb()
		if code == 0 {
			depth--
			continue
		}
		a := u.abbrevs.get(code)
		if a == nil {
			r.fail()
			return
		}
		u.d.check()
		u.skipEntry(r, a)
		if a.children {
			depth++
		}
	}
}
