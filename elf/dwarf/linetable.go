package dwarf

// lineTable is the header of a line number program (section 6.2.4).
type lineTable struct {
	version    int
	offsetSize int
	addrSize   int
	minInst    uint64
	isStmt     bool // default_is_stmt
	lineBase   int64
	lineRange  uint64
	opcodeBase byte
	lengths    []byte // standard_opcode_lengths
	dirs       [][]byte
	files      []fileEntry
	start, end uint64 // of the program, in .debug_line
}

type fileEntry struct {
	name []byte
	dir  uint64
}

// file returns the path of file i as the compiler wrote it: absolute or relative to CompDir. It
// returns "" if the table has no such file.
func (u *Unit) file(i uint64) string {
	t := u.lineTable()
	if t == nil {
		return ""
	}
	if t.version < 5 {
		if i == 0 {
			return u.Name()
		}
		i--
	}
	if i >= uint64(len(t.files)) {
		return ""
	}
	path := t.path(int(i))
	u.d.spend(uint64(len(path)))
	return path
}

// path returns the path of entry i of a file table.
func (t *lineTable) path(i int) string {
	f := t.files[i]
	dir := f.dir
	if t.version < 5 {
		dir-- // directory 0 is CompDir; the first of the table is 1
	}
	if len(f.name) == 0 || f.name[0] == '/' || f.dir == 0 || dir >= uint64(len(t.dirs)) {
		return string(f.name)
	}
	return string(t.dirs[dir]) + "/" + string(f.name)
}

// lineTable returns the header of the unit's line table, nil if there is none or it is damaged. It
// is read once.
func (u *Unit) lineTable() *lineTable {
	if u.from != nil {
		return u.from.lineTable()
	}
	if u.lines != nil || u.linesUnreadable || u.d.spent() {
		return u.lines
	}
	if u.lines = u.readLineTable(); u.lines == nil {
		u.linesUnreadable = true
	}
	return u.lines
}

func (u *Unit) readLineTable() *lineTable {
	offset, ok := u.number(u.stmtList)
	if !ok {
		return nil
	}
	d := u.d
	r := d.reader(d.line, offset)
	t := &lineTable{addrSize: u.addrSize}
	t.end, t.offsetSize = r.initialLength()
	t.version = int(r.uint(2))
	if r.bad || t.version < 2 || t.version > 5 {
		return nil
	}
	if t.version >= 5 {
		t.addrSize = int(r.u8())
		r.u8() // segment selector size
	}
	length := r.uint(t.offsetSize)
	t.start = r.at + length
	t.minInst = uint64(r.u8())
	if t.version >= 4 {
		r.u8() // operations per instruction: 1 for every machine that kas knows
	}
	t.isStmt = r.u8() != 0
	t.lineBase = int64(int8(r.u8()))
	t.lineRange = uint64(r.u8())
	t.opcodeBase = r.u8()
	if r.bad || t.lineRange == 0 || t.opcodeBase == 0 || t.start < r.at || t.start > t.end ||
		t.addrSize != 4 && t.addrSize != 8 {
		return nil
	}
	if !r.need(uint64(t.opcodeBase) - 1) {
		return nil
	}
	t.lengths = r.data[r.at:][:t.opcodeBase-1]
	r.skip(uint64(t.opcodeBase) - 1)
	if t.version >= 5 {
		dirs := d.lineEntries(&r, t)
		t.dirs = make([][]byte, len(dirs))
		for i, e := range dirs {
			t.dirs[i] = e.name
		}
		t.files = d.lineEntries(&r, t)
	} else {
		t.readOldFiles(&r)
	}
	d.spend(t.start - offset + uint64(len(t.dirs)+len(t.files))*stepsPerFile)
	if r.bad || r.at > t.start {
		return nil
	}
	return t
}

// readOldFiles reads the directory and file tables before DWARF 5 (DWARF 4, section 6.2.4, items 11
// and 12).
func (t *lineTable) readOldFiles(r *reader) {
	for {
		dir := r.cstring()
		if len(dir) == 0 {
			break
		}
		t.dirs = append(t.dirs, dir)
	}
	for {
		name := r.cstring()
		if len(name) == 0 {
			break
		}
		t.files = append(t.files, fileEntry{name: name, dir: r.uleb()})
		r.uleb() // time
		r.uleb() // size
	}
}

// Content types of directory and file tables (section 7.22).
const (
	lnctPath      = 1
	lnctDirectory = 2
)

// lineEntries reads a directory or file table of DWARF 5 (section 6.2.4, items 14 to 21).
func (d *Data) lineEntries(r *reader, t *lineTable) []fileEntry {
	formats := make([][2]uint64, r.u8())
	for i := range formats {
		formats[i] = [2]uint64{r.uleb(), r.uleb()}
	}
	count := r.uleb()
	if len(formats) == 0 && count == 0 {
		return nil
	}
	// An entry has at least one byte. A damaged count must not repeat a form without bytes.
	if r.bad || len(formats) == 0 || r.at > t.end || count > t.end-r.at {
		r.fail()
		return nil
	}
	u := Unit{
		d: d, version: t.version, offsetSize: t.offsetSize, addrSize: t.addrSize,
		sizes: d.sizesOf(t.version, t.addrSize, t.offsetSize),
	}
	all := make([]fileEntry, 0, min(count, 1<<10))
	for i := uint64(0); i < count && !r.bad; i++ {
		var e fileEntry
		if d.spend(uint64(len(formats))); d.spent() {
			r.fail()
		}
		for _, f := range formats {
			form, at := uint16(f[1]), r.at
			switch {
			case f[0] == lnctPath && form == formString:
				e.name = r.cstring()
				continue
			case f[0] == lnctPath && form == formLineStrp:
				e.name = d.stringAt(d.line, at, t.offsetSize, d.lineStr)
			case f[0] == lnctPath && form == formStrp:
				e.name = d.stringAt(d.line, at, t.offsetSize, d.str)
			case f[0] == lnctPath && form == formStrpSup && d.shared != nil:
				e.name = d.stringAt(d.line, at, t.offsetSize, d.shared.str)
			case f[0] == lnctDirectory && form == formUdata:
				e.dir = r.uleb()
				continue
			case f[0] == lnctDirectory && (form == formData1 || form == formData2):
				e.dir = r.uint(u.fixedSize(form))
				continue
			}
			u.skipForm(r, form)
		}
		all = append(all, e)
	}
	return all
}
