package dwarf_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/elf"
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
	f, err := elf.Open(object)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := dwarf.New(f)
	if err != nil {
		t.Fatal(err)
	}
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

// TestOneClaim folds functions into another of their unit. A folded entry owns the symbol with its
// name at the address that is left, unless a second entry has that name too.
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
		{Method: dwarf.Subprogram, File: "one.c", Line: 20, Opening: 21, Unit: "one.c"},
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

// TestDefaultAddressBase reads a unit of DWARF 5 without DW_AT_addr_base. Its addresses are after
// the header of .debug_addr (DWARF 5, section 7.27).
func TestDefaultAddressBase(t *testing.T) {
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
	.4byte 2f - 1f
1:	.2byte 5
	.byte 1, 8
	.4byte 0
	.uleb128 1
	.asciz "one.c"
	.2byte 12
	.uleb128 0
	.8byte 2
	.4byte .debug_line
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
	.4byte 2f - 1f
1:	.2byte 5
	.byte 8, 0
	.8byte one, two
2:
	.section .debug_line, "", @progbits
`
	got := locateAssembled(t, source, []dwarf.Target{
		{Name: "one", Address: 0, Size: 1},
		{Name: "two", Address: 1, Size: 1},
	})
	want := []dwarf.Location{
		{Method: dwarf.Subprogram, File: "one.c", Line: 10, Opening: 11, Unit: "one.c"},
		{Method: dwarf.Subprogram, File: "one.c", Line: 20, Opening: 21, Unit: "one.c"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
