package dwarf_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf/dwarf"
	"kas/need"
)

// These tests assemble debugging information that compilers seldom write.

// locateAssembled assembles x86-64 source and locates targets, whose addresses are offsets in
// .text.
func locateAssembled(t *testing.T, source string, targets []dwarf.Target) []dwarf.Location {
	t.Helper()
	as := need.Tool(t, "as")
	object := filepath.Join(t.TempDir(), "assembled.o")
	cmd := exec.Command(as, "--64", "-o", object, "-")
	cmd.Stdin = strings.NewReader(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, d := open(t, object)
	text := uint32(f.Section(".text"))
	for i := range targets {
		targets[i].Address = f.Address(text, targets[i].Address)
	}
	got, err := d.Locate(context.Background(), targets)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// units defines abbreviations of DWARF 4, and macros for units and entries. A unit ends with
// ".byte 0" and the label 2.
const units = `
	.section .debug_abbrev, "", @progbits
	.uleb128 1, 0x11	# a unit: name, language, low_pc, high_pc, line table
	.byte 1
	.uleb128 0x03, 0x08, 0x13, 0x05, 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0
	.uleb128 2, 0x2e	# a function: name, file, line, low_pc, high_pc
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x11, 0x01, 0x12, 0x07, 0, 0
	.uleb128 3, 0x2e	# a function without code
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0, 0
	.uleb128 4, 0x2e	# a declaration
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x3c, 0x19, 0, 0
	.uleb128 0
	.macro unit name, from, language=12
	.4byte 2f - 1f
1:	.2byte 4
	.4byte 0
	.byte 8
	.uleb128 1
	.asciz "\name"
	.2byte \language
	.8byte \from, end - \from
	.4byte .debug_line
	.endm
	.macro function name, line, from, size
	.uleb128 2
	.asciz "\name"
	.byte 1, \line
	.8byte \from, \size
	.endm
	.macro folded name, line, abbreviation=3
	.uleb128 \abbreviation
	.asciz "\name"
	.byte 1, \line
	.endm
`

// TestRowsAndUnits checks the choice between rows at one address, between functions at one address,
// and between units of one name. Unit two.c has a function at the address of another in one.c, as
// after identical code folding, and functions without an address.
func TestRowsAndUnits(t *testing.T) {
	const source = units + `
	.file 1 "one.c"
	.text
first:			# two rows that are not statements
	.loc 1 12 0 is_stmt 0
	.loc 1 11 0 is_stmt 0
	nop
second:			# the last row of first, then two statements
	.loc 1 13 0 is_stmt 0
	.loc 1 22 0 is_stmt 1
	.loc 1 24 0 is_stmt 1
	nop
third:			# a statement before the declaration, then one after it
	.loc 1 25 0 is_stmt 1
	.loc 1 33 0 is_stmt 1
	nop
same:
	.loc 1 42 0 is_stmt 1
	nop
end:
	.section .debug_info, "", @progbits
	unit one.c, first
	function first, 10, first, 1
	function second, 20, second, 1
	function third, 30, third, 1
	function other, 40, same, 1
	.byte 0
2:
	unit two.c, same
	function same, 41, same, 1
	folded lone, 51
	folded twice, 52
	folded twice, 53
	folded declared, 54, 4
	folded declared, 55
	folded elsewhere, 56, 4
	.byte 0
2:
	unit a/three.c, end
	folded ambiguous, 61
	.byte 0
2:
	unit b/three.c, end
	folded ambiguous, 62
	.byte 0
2:
	unit dir/four.S, end, 0x31
	.byte 0
2:
	.section .debug_line, "", @progbits
`
	const nowhere = 0x1000
	got := locateAssembled(t, source, []dwarf.Target{
		{Name: "first", Address: 0, Size: 1},
		{Name: "second", Address: 1, Size: 1},
		{Name: "third", Address: 2, Size: 1},
		{Name: "same", Address: 3, Size: 1},
		{Name: "lone.cold", Address: nowhere, Size: 1, File: "two.c"},
		{Name: "lone", Address: nowhere, Size: 1},
		{Name: "lone", Address: nowhere, Size: 1, File: "one.c"},
		{Name: "lone", Address: nowhere, Size: 1, File: "drivers/two.c"},
		{Name: "lone", Address: nowhere, Size: 1, File: "two.c", Data: true},
		{Name: "twice", Address: nowhere, Size: 1, File: "two.c"},
		{Name: "declared", Address: nowhere, Size: 1, File: "two.c"},
		{Name: "elsewhere", Address: nowhere, Size: 1, File: "two.c"},
		{Name: "ambiguous", Address: nowhere, Size: 1, File: "three.c"},
		{Name: "table", Address: nowhere, Size: 1, File: "four.S", Data: true},
		{Name: "same", Address: 3, Size: 1, File: "one.c"},
	})
	want := []dwarf.Location{
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 12, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 20, Opening: 22, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 30, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 41, Opening: 42, Unit: "two.c"},
		{Method: dwarf.ByName, File: "one.c", Line: 51, Unit: "two.c"},
		{}, // no file symbol
		{}, // the symbol of another file
		{Method: dwarf.ByName, File: "one.c", Line: 51, Unit: "two.c"},
		{}, // data, but the entry is a function
		{}, // two functions with the name
		{Method: dwarf.ByName, File: "one.c", Line: 55, Unit: "two.c"},
		{}, // only a declaration
		{}, // two units with the file
		{Method: dwarf.ByFile, File: "dir/four.S", Unit: "dir/four.S"},
		// The entry at the address wins over the file symbol.
		{Method: dwarf.Subprogram, File: "one.c", Line: 41, Opening: 42, Unit: "two.c"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTwins locates equal functions of one name in several files, which a linker folded. ld.lld
// leaves a tombstone as the address of all but one, gold gives each the address. The file symbol
// distinguishes them.
func TestTwins(t *testing.T) {
	const source = units + `
	.file 1 "one.c"
	.file 2 "two.c"
	.text
twin:
	.loc 1 11 0
	nop
gold:
	.loc 1 21 0
	nop
cut:
	.loc 1 31 0
	nop
end:
	.macro two name, line, from, size
	.uleb128 2
	.asciz "\name"
	.byte 2, \line
	.8byte \from, \size
	.endm
	.section .debug_info, "", @progbits
	unit one.c, twin
	function twin, 10, twin, 1
	function gold, 20, gold, 1
	function cut, 30, cut, 1
	.byte 0
2:
	unit two.c, gold
	two twin, 15, 0, 1
	two gold, 25, gold, 1
	two cut, 35, -1, 1
	.byte 0
2:
	unit a/three.c, end
	two twin, 41, 0, 1
	two cut, 43, 1, 1
	two cut, 43, 1, 1	# the same declaration again
	.byte 0
2:
	unit b/three.c, end
	two twin, 42, 0, 1
	.byte 0
2:
	.section .debug_line, "", @progbits
`
	got := locateAssembled(t, source, []dwarf.Target{
		{Name: "twin", Address: 0, Size: 1, File: "one.c"},
		{Name: "twin", Address: 0, Size: 1, File: "dir/two.c"},
		{Name: "twin", Address: 0, Size: 1, File: "three.c"},
		{Name: "twin", Address: 0, Size: 1, File: "other.c"},
		{Name: "twin", Address: 0, Size: 1},
		{Name: "gold", Address: 1, Size: 1, File: "one.c"},
		{Name: "gold", Address: 1, Size: 1, File: "two.c"},
		{Name: "cut", Address: 2, Size: 1, File: "one.c"},
		{Name: "cut", Address: 2, Size: 1, File: "two.c"},
		{Name: "cut", Address: 2, Size: 1, File: "three.c"},
	})
	want := []dwarf.Location{
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 11, Unit: "one.c"},
		{Method: dwarf.ByName, File: "two.c", Line: 15, Unit: "two.c"},
		{}, // two units have that file and that function
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 11, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 11, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 20, Opening: 21, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "two.c", Line: 25, Unit: "two.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 30, Opening: 31, Unit: "one.c"},
		{Method: dwarf.ByName, File: "two.c", Line: 35, Unit: "two.c"},
		{Method: dwarf.ByName, File: "two.c", Line: 43, Unit: "a/three.c"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOneClaim folds functions into another of their unit. A folded entry owns the symbol with its
// name at the address that is left. If a second entry has that name too, the symbol is not located.
func TestOneClaim(t *testing.T) {
	const source = units + `
	.file 1 "one.c"
	.text
kept:
	.loc 1 11 0
	nop
also_kept:
	.loc 1 21 0
	nop
end:
	.section .debug_info, "", @progbits
	unit one.c, kept
	function kept, 10, kept, 1
	function also_kept, 20, also_kept, 1
	folded once, 30
	folded twice, 40
	folded twice, 50
	.byte 0
2:
	.section .debug_line, "", @progbits
`
	got := locateAssembled(t, source, []dwarf.Target{
		{Name: "once", Address: 0, Size: 1},
		{Name: "twice", Address: 1, Size: 1},
		{Name: "kept", Address: 0, Size: 1},
	})
	want := []dwarf.Location{
		{Method: dwarf.ByName, File: "one.c", Line: 30, Unit: "one.c"},
		{},
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 11, Unit: "one.c"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestEndOfSequence puts the end of one sequence of rows at the address where the next begins. The
// row that ends a sequence has the line of the code before it: it neither opens a function nor
// locates assembly.
func TestEndOfSequence(t *testing.T) {
	const source = units + `
	.text
one:	nop
two:	nop
end:
	.section .debug_info, "", @progbits
	ENTRIES
	.section .debug_line, "", @progbits
	.4byte 9f - 1f
1:	.2byte 4
	.4byte 3f - 2f
2:	.byte 1, 1, 1, -5, 14, 13	# header of the program, special opcodes from 13
	.byte 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1
	.byte 0				# no folders
	.asciz "one.c"
	.byte 0, 0, 0, 0
3:	.byte 0, 9, 2			# address of one
	.8byte one
	.byte 3				# line 12
	.sleb128 11
	.byte 1				# row
	.byte 3				# line 29
	.sleb128 17
	.byte 2, 1			# one byte on
	.byte 0, 1, 1			# end of the sequence
	.byte 0, 9, 2			# address of two
	.8byte two
	.byte 3				# line 22
	.sleb128 21
	.byte 1				# row
	.byte 2, 1			# one byte on
	.byte 0, 1, 1			# end of the sequence
9:
`
	const compiled = `
	unit one.c, one
	function one, 10, one, 1
	function two, 20, two, 1
	.byte 0
2:
`
	const assembled = `
	unit one.c, one, 0x8001
	.byte 0
2:
`
	for _, test := range []struct {
		what, entries string
		want          []dwarf.Location
	}{
		{"compiled", compiled, []dwarf.Location{
			{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 12, Unit: "one.c"},
			{Method: dwarf.Subprogram, File: "one.c", Line: 20, Opening: 22, Unit: "one.c"},
		}},
		{"assembled", assembled, []dwarf.Location{
			{Method: dwarf.LineRow, File: "one.c", Line: 12, Unit: "one.c"},
			{Method: dwarf.LineRow, File: "one.c", Line: 22, Unit: "one.c"},
		}},
	} {
		t.Run(test.what, func(t *testing.T) {
			source := strings.Replace(source, "\tENTRIES\n", test.entries, 1)
			got := locateAssembled(t, source, []dwarf.Target{
				{Name: "one", Address: 0, Size: 1},
				{Name: "two", Address: 1, Size: 1},
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDefaultAddressBase reads units of DWARF 5 without DW_AT_addr_base. Their addresses are after
// the header of .debug_addr, which has 8 bytes in 32-bit DWARF and 16 in 64-bit DWARF (DWARF 5,
// section 7.27).
func TestDefaultAddressBase(t *testing.T) {
	const length32 = `
	.macro length
	.4byte 2f - 1f
	.endm
	.macro offset to
	.4byte \to
	.endm
`
	const length64 = `
	.macro length
	.4byte 0xffffffff
	.8byte 2f - 1f
	.endm
	.macro offset to
	.8byte \to
	.endm
`
	const source = `
	.file 1 "one.c"
	.text
one:
	.loc 1 11 0
	nop
two:
	.loc 1 21 0
	nop
end:
	.section .debug_abbrev, "", @progbits
	.uleb128 1, 0x11	# a unit: name, language, low_pc, high_pc, line table
	.byte 1
	.uleb128 0x03, 0x08, 0x13, 0x05, 0x11, 0x1b, 0x12, 0x07, 0x10, 0x17, 0, 0
	.uleb128 2, 0x2e	# a function: name, file, line, low_pc, high_pc
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x11, 0x1b, 0x12, 0x07, 0, 0
	.uleb128 0
	.section .debug_info, "", @progbits
	length
1:	.2byte 5
	.byte 1, 8
	offset 0
	.uleb128 1
	.asciz "one.c"
	.2byte 12
	.uleb128 0
	.8byte 2
	offset .debug_line
	.uleb128 2
	.asciz "one"
	.byte 1, 10
	.uleb128 0
	.8byte 1
	.uleb128 2
	.asciz "two"
	.byte 1, 20
	.uleb128 1
	.8byte 1
	.byte 0
2:
	.section .debug_addr, "", @progbits
	length
1:	.2byte 5
	.byte 8, 0
	.8byte one, two
2:
	.section .debug_line, "", @progbits
`
	want := []dwarf.Location{
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 11, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 20, Opening: 21, Unit: "one.c"},
	}
	for _, length := range []string{length32, length64} {
		got := locateAssembled(t, length+source, []dwarf.Target{
			{Name: "one", Address: 0, Size: 1},
			{Name: "two", Address: 1, Size: 1},
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s(-want +got):\n%s", length, diff)
		}
	}
}

// TestEntryPoint locates the symbols of functions in several ranges. The order of the ranges is not
// that of the code.
func TestEntryPoint(t *testing.T) {
	const source = `
	.file 1 "one.c"
	.text
	.macro code name, line
\name:
	.loc 1 \line 0
	nop
	.endm
	code a.cold, 12		# 0
	code a, 11
	code b.__part.1, 24	# 2
	code b.__part.2, 23
	code b, 22
	code lead.cold, 33	# 5
	code lead, 32
	nop			# the code begins after the symbol
	.loc 1 34 0
lead_code:
	nop
	code d_first.cold, 43	# 9
	code second_name, 42
	code third_name, 44
	code e.cold, 53		# 12
	code unnamed1, 54
	code unnamed2, 52
	code f.cold, 63		# 15
	code unnamed3, 62
	code unnamed4, 64
	code before_g, 73	# 18
	code g, 72
	code h.cold, 83		# 20
	code h, 82
end:
	.size a, 1
	.size lead, 3
	.section .debug_abbrev, "", @progbits
	.uleb128 1, 0x11	# a unit: name, language, low_pc, high_pc, line table
	.byte 1
	.uleb128 0x03, 0x08, 0x13, 0x05, 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0
	.uleb128 2, 0x2e	# a function: name, file, line, ranges
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x55, 0x17, 0, 0
	.uleb128 3, 0x2e	# and entry_pc, an address
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x55, 0x17, 0x52, 0x01, 0, 0
	.uleb128 4, 0x2e	# and entry_pc, an offset
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x55, 0x17, 0x52, 0x0b, 0, 0
	.uleb128 5, 0x2e	# one range and entry_pc
	.byte 0
	.uleb128 0x03, 0x08, 0x3a, 0x0b, 0x3b, 0x0b, 0x11, 0x01, 0x12, 0x07, 0x52, 0x0b, 0, 0
	.uleb128 0
	.macro function name, line, ranges, abbreviation=2
	.uleb128 \abbreviation
	.asciz "\name"
	.byte 1, \line
	.4byte \ranges
	.endm
	.macro range from
	.8byte \from - .text, \from - .text + 1
	.endm
	.section .debug_ranges, "", @progbits
ranges_a:
	range a.cold
	range a
	.8byte 0, 0
ranges_b:
	range b.__part.1
	range b.__part.2
	range b
	.8byte 0, 0
ranges_lead:
	range lead.cold
	range lead_code
	.8byte 0, 0
ranges_d:
	range d_first.cold
	range second_name
	range third_name
	.8byte 0, 0
ranges_e:
	range e.cold
	range unnamed1
	range unnamed2
	.8byte 0, 0
ranges_f:
	range f.cold
	range unnamed3
	range unnamed4
	.8byte 0, 0
ranges_h:
	range h.cold
	range h
	.8byte 0, 0
	.section .debug_info, "", @progbits
	.4byte 2f - 1f
1:	.2byte 4
	.4byte 0
	.byte 8
	.uleb128 1
	.asciz "one.c"
	.2byte 12
	.8byte .text, end - .text
	.4byte .debug_line
	function a, 10, ranges_a
	function b, 20, ranges_b
	function lead, 30, ranges_lead
	function d_first, 40, ranges_d
	function e, 50, ranges_e, 3
	.8byte unnamed2
	function f, 60, ranges_f, 4
	.byte 1
	.uleb128 5
	.asciz "g"
	.byte 1, 70
	.8byte before_g, 2
	.byte 1
	function h, 80, ranges_h, 4
	.byte 0			# the symbol says that this is wrong
	.byte 0
2:
	.section .debug_line, "", @progbits
`
	at := func(line, opening int64, method dwarf.Method) dwarf.Location {
		return dwarf.Location{
			Method:  method,
			File:    "one.c",
			Line:    line,
			Opening: opening,
			Unit:    "one.c",
		}
	}
	// The functions of which these are second names.
	owners := map[string]string{
		"other": "b", "second_name": "d_first", "unnamed2": "e", "unnamed3": "f",
	}
	var targets []dwarf.Target
	var want []dwarf.Location
	for _, test := range []struct {
		name    string
		address uint64
		size    uint64
		want    dwarf.Location
	}{
		{"a.cold", 0, 1, at(10, 11, dwarf.Fragment)},
		{"a", 1, 1, at(10, 11, dwarf.Subprogram)},
		{"b.__part.1", 2, 1, at(20, 22, dwarf.Fragment)},
		{"b.__part.2", 3, 1, at(20, 22, dwarf.Fragment)},
		{"b", 4, 1, at(20, 22, dwarf.Subprogram)},
		{"other", 4, 1, at(20, 22, dwarf.Subprogram)},
		{"lead.cold", 5, 1, at(30, 34, dwarf.Fragment)},
		{"lead", 6, 3, at(30, 34, dwarf.Subprogram)},
		// No symbol has the name of the function: the first range that is not a fragment's.
		{"d_first.cold", 9, 1, at(40, 42, dwarf.Fragment)},
		{"second_name", 10, 1, at(40, 42, dwarf.Subprogram)},
		{"third_name", 11, 1, at(40, 42, dwarf.Fragment)},
		// DW_AT_entry_pc.
		{"e.cold", 12, 1, at(50, 52, dwarf.Fragment)},
		{"unnamed1", 13, 1, at(50, 52, dwarf.Fragment)},
		{"unnamed2", 14, 1, at(50, 52, dwarf.Subprogram)},
		{"f.cold", 15, 1, at(60, 62, dwarf.Fragment)},
		{"unnamed3", 16, 1, at(60, 62, dwarf.Subprogram)},
		{"unnamed4", 17, 1, at(60, 62, dwarf.Fragment)},
		{"before_g", 18, 1, at(70, 72, dwarf.Fragment)},
		{"g", 19, 1, at(70, 72, dwarf.Subprogram)},
		{"h.cold", 20, 1, at(80, 82, dwarf.Fragment)},
		{"h", 21, 1, at(80, 82, dwarf.Subprogram)},
	} {
		targets = append(
			targets,
			dwarf.Target{Name: test.name, Address: test.address, Size: test.size},
		)
		test.want.Owner = owners[test.name]
		want = append(want, test.want)
	}
	if diff := cmp.Diff(want, locateAssembled(t, source, targets)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
