package stages

import (
	"context"
	"testing"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// TestDamagedSize gives a symbol a size that covers every section. It must not get the location of
// a function with its name in a later section.
func TestDamagedSize(t *testing.T) {
	const path = "../elf/testdata/funcsect-gcc-x86_64.o"
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first, later := f.Section(".text.name_show"), f.Section(".text.type_show")
	if first == 0 || later <= first {
		t.Fatalf("sections %d and %d of %s, want type_show after name_show", first, later, path)
	}
	o := &pipeline.Object{
		Path: path, Identity: f.Identity(), Files: []string{""},
		Sections: make([]pipeline.Section, len(f.Sections)),
		Symbols: []pipeline.Symbol{
			// No function begins at value 1 or after it in this section.
			{Name: "type_show", Section: uint32(first), Value: 1, Size: 1 << 62, Code: true},
			{Name: "type_show", Section: uint32(later), Value: 0, Size: 1 << 62, Code: true},
		},
		Duplicates: []pipeline.Duplicate{{Symbol: 0}, {Symbol: 1}},
	}
	list := []*pipeline.Duplicate{&o.Duplicates[0], &o.Duplicates[1]}
	found, err := readDeclarations(context.Background(), &pipeline.Build{}, o, list)
	if err != nil {
		t.Fatal(err)
	}
	if l := found.Locations[0]; l.Method != dwarf.None {
		t.Errorf("symbol in .text.name_show: %+v, want no location", l)
	}
	if l := found.Locations[1]; l.Method != dwarf.Subprogram || l.Line != 30 {
		t.Errorf("symbol in .text.type_show: %+v, want the subprogram of line 30", l)
	}
}
