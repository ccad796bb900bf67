package dwarf

// Work returns how much work was done so far: bytes of debug sections read, and comparisons with
// targets.
func (d *Data) Work() uint64 { return d.work }

// Limit returns how much work is allowed.
func (d *Data) Limit() uint64 { return d.limit }
