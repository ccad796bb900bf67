package elf_test

import (
	"bytes"
	stdelf "debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kas/elf"
)

// relocatable returns the fixtures that can be rewritten.
func relocatable(t testing.TB) []string {
	t.Helper()
	return slices.DeleteFunc(
		fixtures(t),
		func(path string) bool { return filepath.Ext(path) != ".o" },
	)
}

func rewrite(t testing.TB, f *elf.File, aliases []elf.Alias) []byte {
	t.Helper()
	plan, err := f.Rewrite(aliases)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := plan.WriteTo(&out)
	if err != nil {
		t.Fatal(err)
	}
	if n != plan.Size() || n != int64(out.Len()) {
		t.Errorf("WriteTo returned %d and wrote %d bytes, Size is %d", n, out.Len(), plan.Size())
	}
	return out.Bytes()
}

func TestRewriteNothing(t *testing.T) {
	for _, path := range relocatable(t) {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rewrite(t, open(t, path), nil), want) {
			t.Errorf("%s: changed", path)
		}
	}
}

// TestRewriteLinked refuses an object that is not relocatable.
func TestRewriteLinked(t *testing.T) {
	_, err := open(
		t,
		"testdata/icf-clang-x86_64.elf",
	).Rewrite([]elf.Alias{{Original: 2, Name: "a"}})
	var format *elf.FormatError
	if !errors.As(err, &format) {
		t.Errorf("got %v, want a FormatError", err)
	}
}

// TestRewriteUnknown refuses an alias of no symbol.
func TestRewriteUnknown(t *testing.T) {
	f := open(t, "testdata/basic-gcc-x86_64.o")
	for _, id := range []elf.SymID{0, 24, 1 << 31} {
		if _, err := f.Rewrite([]elf.Alias{{Original: id, Name: "a"}}); err == nil {
			t.Errorf("symbol %d: no error", id)
		}
	}
}

// chooseAliases returns aliases of the symbols whose renumbering is most likely to go wrong. The
// names contain the separator of kas.
func chooseAliases(t testing.TB, path string) []elf.Alias {
	t.Helper()
	f := open(t, path)
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	var aliases []elf.Alias
	taken := map[elf.SymID]bool{}
	add := func(id elf.SymID, times int) {
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		if taken[id] {
			return
		}
		taken[id] = true
		for range times {
			aliases = append(
				aliases,
				elf.Alias{
					Original: id,
					Name:     fmt.Sprintf("%s@%s_c_%d", s.Name, arch(path), len(aliases)),
				},
			)
		}
	}
	const local, global, object, function = 0, 1, 1, 2
	// A linker may drop a label of the assembler and its alias.
	named := func(s *elf.Symbol) bool {
		return s.Defined() && !s.Marker() && !f.MappingSymbol(s.Name) &&
			!bytes.HasPrefix(s.Name, []byte(".L"))
	}
	first := func(bind, kind byte) elf.SymID {
		return findSymbol(t, syms, 1, 1, func(s *elf.Symbol) bool {
			return named(s) && s.Bind() == bind && s.Type() == kind
		})
	}
	for _, id := range []elf.SymID{
		first(local, function), first(global, function),
		first(local, object), first(global, object),
		findSymbol(t, syms, syms.Locals-1, -1, named),           // the last local
		findSymbol(t, syms, syms.Locals, 1, named),              // the first global
		findSymbol(t, syms, elf.SymID(syms.Len()-1), -1, named), // the last symbol
	} {
		if id != 0 {
			add(id, 1+len(aliases)%2) // two aliases for every other one
		}
	}
	if len(aliases) < 2 {
		t.Fatalf("%s: only %d aliases", path, len(aliases))
	}
	// The order of the aliases need not be that of the table.
	slices.Reverse(aliases)
	return aliases
}

// findSymbol returns the first symbol from id on for which pleases is true, 0 if there is none.
func findSymbol(
	t testing.TB,
	syms *elf.Symtab,
	id elf.SymID,
	step int,
	pleases func(*elf.Symbol) bool,
) elf.SymID {
	t.Helper()
	for ; id > 0 && int(id) < syms.Len(); id = elf.SymID(int(id) + step) {
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		if pleases(&s) {
			return id
		}
	}
	return 0
}

// TestRewrite adds aliases to every fixture and checks the copy with other tools.
func TestRewrite(t *testing.T) {
	for _, path := range relocatable(t) {
		t.Run(fixtureName(path), func(t *testing.T) {
			t.Parallel()
			aliases := chooseAliases(t, path)
			f := open(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data := rewrite(t, f, aliases)
			checkReopened(t, f, data, inTableOrder(aliases))
			copied := filepath.Join(t.TempDir(), filepath.Base(path))
			if err := os.WriteFile(copied, data, 0o666); err != nil {
				t.Fatal(err)
			}
			compareSections(t, before, data)
			compareReadelf(t, path, copied, aliases)
			compareLinked(t, path, copied, aliases)
			compareStripped(t, path, copied, aliases)
			compareLint(t, path, copied)
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the input was written to (%v)", err)
			}
		})
	}
}

// inTableOrder sorts aliases as in the table. Those of one original keep their order.
func inTableOrder(aliases []elf.Alias) []elf.Alias {
	sorted := slices.Clone(aliases)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Original < sorted[j].Original })
	return sorted
}

const (
	shtLLVMAddrsig = 0x6fff4c03
	shtGroup       = 17
	shtSymtabShndx = 18
)

// compareSections reads both objects with the standard library. The headers are the same, except
// what has to move; the bytes are the same, except the symbol table, its strings and sections that
// name symbols by index.
func compareSections(t *testing.T, before, after []byte) {
	t.Helper()
	old, err := stdelf.NewFile(bytes.NewReader(before))
	if err != nil {
		t.Fatal(err)
	}
	now, err := stdelf.NewFile(bytes.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff.Diff(old.FileHeader, now.FileHeader); d != "" {
		t.Errorf("ELF header (-before +after):\n%s", d)
	}
	if len(old.Sections) != len(now.Sections) {
		t.Fatalf("%d sections, want %d", len(now.Sections), len(old.Sections))
	}
	symtab, strings := 0, 0
	for i, s := range old.Sections {
		if s.Type == stdelf.SHT_SYMTAB {
			symtab, strings = i, int(s.Link)
		}
	}
	for i, s := range old.Sections {
		n := now.Sections[i]
		a, b := s.SectionHeader, n.SectionHeader
		linked := int(a.Link) == symtab && a.Type != stdelf.SHT_NULL
		if i == symtab || linked && a.Type == shtGroup {
			b.Info = a.Info
		}
		if i == symtab || i == strings ||
			linked && (a.Type == shtLLVMAddrsig || a.Type == shtSymtabShndx) {
			b.Size, b.FileSize = a.Size, a.FileSize
		}
		if b.Addralign > 1 && a.Offset%a.Addralign == 0 && b.Offset%b.Addralign != 0 &&
			a.Type != stdelf.SHT_NOBITS {
			t.Errorf("section %s at %#x is not aligned to %d", b.Name, b.Offset, b.Addralign)
		}
		b.Offset = a.Offset
		if d := diff.Diff(a, b); d != "" {
			t.Errorf("section header %d (-before +after):\n%s", i, d)
		}
		if i == symtab || i == strings || linked && a.Type != shtGroup ||
			a.Type == stdelf.SHT_NOBITS ||
			a.Type == stdelf.SHT_NULL {
			continue
		}
		was := before[s.Offset : s.Offset+s.FileSize]
		is := after[n.Offset : n.Offset+n.FileSize]
		if !bytes.Equal(was, is) {
			t.Errorf("content of section %s changed", s.Name)
		}
	}
}

// compareReadelf compares the whole output of readelf, except section headers: symbols in order,
// warnings, and the symbol names of relocations, groups and address-significance tables.
func compareReadelf(t *testing.T, path, copied string, aliases []elf.Alias) {
	t.Helper()
	before := readelf(t, "readelf", path)
	after := readelf(t, "readelf", copied)
	if d := diff.Diff(before.comparable(nil), after.comparable(aliases)); d != "" {
		t.Errorf("readelf (-before +after):\n%s", d)
	}
	// An alias comes right after its original, with the same value, size, type, binding, visibility
	// and section.
	var want []string
	for i, s := range before.symbols() {
		want = append(want, s.text+s.name)
		for _, a := range aliases {
			if int(a.Original) == i {
				want = append(want, s.text+a.Name)
			}
		}
	}
	var got []string
	for _, s := range after.symbols() {
		got = append(got, s.text+s.name)
	}
	if d := diff.Diff(want, got); d != "" {
		t.Errorf("symbols (-want +got):\n%s", d)
	}
	if !strings.Contains(path, "-clang-") {
		return
	}
	args := []string{}
	if addrsigLinked(t, path) {
		args = append(args, "--addrsig")
	}
	before = readelf(t, "llvm-readelf-19", path, args...)
	after = readelf(t, "llvm-readelf-19", copied, args...)
	if d := diff.Diff(before.comparable(nil), after.comparable(aliases)); d != "" {
		t.Errorf("llvm-readelf-19 (-before +after):\n%s", d)
	}
}

// addrsigLinked reports whether an address-significance table is linked to the symbol table. ld.lld
// -r joins such sections without renumbering and removes the link.
func addrsigLinked(t *testing.T, path string) bool {
	t.Helper()
	f, err := stdelf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return slices.ContainsFunc(
		f.Sections,
		func(s *stdelf.Section) bool { return s.Type == shtLLVMAddrsig && s.Link != 0 },
	)
}

// dump is the output of readelf for an object.
type dump struct{ path, out, warnings string }

func readelf(t *testing.T, tool, path string, args ...string) dump {
	t.Helper()
	out, warnings, err := run(t, tool, append(args, "-aW", path)...)
	if err != nil {
		t.Fatalf("%s %s: %v: %s", tool, path, err, warnings)
	}
	return dump{path, out, warnings}
}

var (
	symbolLine = regexp.MustCompile(`^ *\d+: `)
	relocLine  = regexp.MustCompile(`^([0-9a-f]{8,16}) +[0-9a-f]{8,16} `)
	counted    = regexp.MustCompile(
		`contains \d+ entries|at offset 0x[0-9a-f]+|Start of section headers:.*`,
	)
	header = regexp.MustCompile(`^  \[[ 0-9]+\] `)
)

// comparable removes what has to change: aliases, symbol indices, counts, offsets, section headers.
func (d dump) comparable(aliases []elf.Alias) string {
	var kept []string
	for line := range strings.Lines(d.out + strings.ReplaceAll(d.warnings, d.path, "OBJECT")) {
		line = strings.TrimSuffix(line, "\n")
		if header.MatchString(line) ||
			symbolLine.MatchString(line) && slices.ContainsFunc(aliases, func(a elf.Alias) bool {
				return strings.HasSuffix(line, " "+a.Name)
			}) {
			continue
		}
		line = symbolLine.ReplaceAllString(line, "")
		line = relocLine.ReplaceAllString(line, "$1 ")
		line = counted.ReplaceAllString(line, "")
		// readelf names addresses in arm's unwind tables by any symbol there.
		for _, a := range aliases {
			original, _, _ := strings.Cut(a.Name, "@")
			line = strings.ReplaceAll(line, "<"+a.Name+">", "<"+original+">")
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\n")
}

// symbolText is a line of the symbol table without its number: the name, and the text before it.
type symbolText struct{ text, name string }

func (d dump) symbols() []symbolText {
	var all []symbolText
	for line := range strings.Lines(d.out) {
		line = strings.TrimSuffix(line, "\n")
		if !symbolLine.MatchString(line) {
			continue
		}
		line = symbolLine.ReplaceAllString(line, "")
		// The order is visibility, other bits of st_other, section, name.
		at := symbolSection.FindStringIndex(line)
		if at == nil {
			continue // the list of address-significant symbols
		}
		all = append(all, symbolText{line[:at[1]], line[at[1]:]})
	}
	return all
}

var symbolSection = regexp.MustCompile(`^\S+ +\S+ +\S+ +\S+ +\S+( \[.*\])? +(UND|ABS|COM|\d+) `)

// emulation returns the arguments of a GNU ld that links for several machines.
func emulation(arch string) []string {
	switch arch {
	case "mips":
		return []string{"-m", "elf32btsmip"}
	case "mips64el":
		return []string{"-m", "elf64ltsmip"}
	case "powerpc64":
		return []string{"-m", "elf64ppc"}
	}
	return nil
}

// linkers returns the linkers for a fixture, with their arguments.
func linkers(path string) [][]string {
	var all [][]string
	if arch(path) != "loongarch64" { // Debian has no GNU ld for it
		all = append(all, append([]string{gnu(arch(path)) + "ld"}, emulation(arch(path))...))
	}
	if strings.Contains(path, "-clang-") {
		all = append(all, []string{"ld.lld-19"})
	}
	return all
}

// compareLinked links both objects with ld -r, like a module. The results differ only by the
// aliases.
func compareLinked(t *testing.T, path, copied string, aliases []elf.Alias) {
	t.Helper()
	for _, ld := range linkers(path) {
		before := filepath.Join(t.TempDir(), "linked.o")
		after := filepath.Join(t.TempDir(), "linked.o")
		_, warnings, err := run(t, ld[0], append(ld[1:], "-r", "-o", before, path)...)
		if err != nil {
			t.Errorf("%s refuses the fixture itself: %s", ld[0], warnings)
			continue
		}
		_, complaints, err := run(t, ld[0], append(ld[1:], "-r", "-o", after, copied)...)
		if err != nil || complaints != strings.ReplaceAll(warnings, path, copied) {
			t.Errorf("%s: %v: %s", ld[0], err, complaints)
			continue
		}
		was, is := readelf(t, "readelf", before), readelf(t, "readelf", after)
		if d := diff.Diff(sorted(was.comparable(nil)), sorted(is.comparable(aliases))); d != "" {
			t.Errorf("linked by %s (-before +after):\n%s", ld[0], d)
		}
		symbols := is.symbols()
		for _, a := range aliases {
			original, _, _ := strings.Cut(a.Name, "@")
			i := slices.IndexFunc(symbols, func(s symbolText) bool { return s.name == a.Name })
			if i < 0 {
				t.Errorf("%s loses alias %s", ld[0], a.Name)
				continue
			}
			// GNU ld sorts global and weak symbols by its hash table.
			from := symbols[:i]
			if ld[0] != "ld.lld-19" && !strings.Contains(symbols[i].text, " LOCAL ") {
				from = symbols
			}
			if !slices.Contains(from, symbolText{symbols[i].text, original}) {
				t.Errorf("%s moves alias %s away from its original or before it", ld[0], a.Name)
			}
		}
	}
}

// sorted sorts the lines of a dump: a linker may put a symbol anywhere.
func sorted(out string) string {
	lines := strings.Split(out, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// compareStripped removes the aliases with objcopy. The result is what objcopy makes of the
// original.
func compareStripped(t *testing.T, path, copied string, aliases []elf.Alias) {
	t.Helper()
	dir := t.TempDir()
	list := filepath.Join(dir, "aliases")
	var names strings.Builder
	for _, a := range aliases {
		names.WriteString(a.Name + "\n")
	}
	if err := os.WriteFile(list, []byte(names.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	objcopy := gnu(arch(path)) + "objcopy"
	if strings.Contains(path, "-clang-") {
		objcopy = "llvm-objcopy-19"
	}
	before, after := filepath.Join(dir, "before.o"), filepath.Join(dir, "after.o")
	// llvm-objcopy unlinks these sections when it changes the symbol table. compareReadelf compares
	// them.
	const (
		addrsig   = "--remove-section=.llvm_addrsig"
		callGraph = "--remove-section=.llvm.call-graph-profile"
	)
	must(t, objcopy, addrsig, callGraph, path, before)
	must(t, objcopy, addrsig, callGraph, "--strip-symbols="+list, copied, after)
	want, err := os.ReadFile(before)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(after)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s --strip-symbols leaves another object than the original", objcopy)
		compareSections(t, want, got)
	}
}

// compareLint runs eu-elflint, which must complain about nothing but what the original has.
func compareLint(t *testing.T, path, copied string) {
	t.Helper()
	number := regexp.MustCompile(`\d+`)
	complaints := func(object string) map[string]bool {
		out, errs, _ := run(t, "eu-elflint", "--gnu-ld", object)
		all := map[string]bool{}
		for line := range strings.Lines(out + errs) {
			all[number.ReplaceAllString(line, "N")] = true
		}
		return all
	}
	known := complaints(path)
	for line := range complaints(copied) {
		if !known[line] {
			t.Errorf("eu-elflint: %s", line)
		}
	}
}

// TestRewriteSigned drops a signature, which would not match any more. A copy without aliases keeps
// it.
func TestRewriteSigned(t *testing.T) {
	const path = "testdata/ko-gcc-x86_64.o"
	object, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// struct module_signature of the kernel: type 2 (PKCS#7), and the length in big-endian order.
	signed := append(
		slices.Clone(object),
		"signature\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x09~Module signature appended~\n"...)
	f, err := elf.New(signed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(rewrite(t, f, nil), signed) {
		t.Error("without aliases: changed")
	}
	aliases := chooseAliases(t, path)
	if !bytes.Equal(rewrite(t, f, aliases), rewrite(t, open(t, path), aliases)) {
		t.Error("with aliases: not the rewritten object without its signature")
	}
}

// TestManySections reads and rewrites an object with more sections than st_shndx can number.
func TestManySections(t *testing.T) {
	const count = 66000
	var source strings.Builder
	for i := range count {
		fmt.Fprintf(&source, "\t.section .t%d, \"ax\"\n\t.type f%d, @function\nf%d: nop\n", i, i, i)
		if i%11000 == 0 {
			fmt.Fprintf(&source, "\t.globl g%d\ng%d: call f%d\n", i, i, (i+60000)%count)
		}
	}
	source.WriteString("\t.set absolute, 42\n\t.comm common, 8, 8\n\t.quad undefined\n")
	dir := t.TempDir()
	path := filepath.Join(dir, "many.o")
	assembly := filepath.Join(dir, "many.s")
	if err := os.WriteFile(assembly, []byte(source.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	must(t, "as", "-o", path, assembly)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	if len(f.Sections) < count {
		t.Fatalf("%d sections", len(f.Sections))
	}
	if d := diff.Diff(must(t, "readelf", "-sW", path), listing(t, f)); d != "" {
		t.Fatalf("symbols (-readelf +kas):\n%s", d)
	}
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]elf.SymID{}
	for id := elf.SymID(1); int(id) < syms.Len(); id++ {
		s, err := syms.At(id)
		if err != nil {
			t.Fatal(err)
		}
		named[string(s.Name)] = id
	}
	// Sections below, among and above the reserved numbers, and symbols without a section.
	var aliases []elf.Alias
	for _, name := range []string{
		"g33000", "f65999", "f7", "f65272", "f65512", "f65513", "absolute", "g0", "common",
	} {
		aliases = append(aliases, elf.Alias{Original: named[name], Name: name + "@alias"})
	}
	data := rewrite(t, f, aliases)
	checkReopened(t, f, data, inTableOrder(aliases))
	copied := filepath.Join(dir, "copied.o")
	if err := os.WriteFile(copied, data, 0o666); err != nil {
		t.Fatal(err)
	}
	compareSections(t, before, data)
	compareReadelf(t, path, copied, aliases)
	checkCopied(t, path, before, aliases, data)
	must(t, "ld", "-r", "-o", filepath.Join(dir, "linked.o"), copied)
}

// rangeCopier copies ranges of the original, as pipeline does with a system call.
type rangeCopier struct {
	bytes.Buffer
	ranges int
}

func (c *rangeCopier) CopyRange(fd int, offset, size int64) error {
	return c.CopyEdited(fd, offset, size, 1, func([]byte, uint64) error { return nil })
}

// CopyEdited edits a few units at a time, so that most sections need several calls.
func (c *rangeCopier) CopyEdited(
	fd int,
	offset, size int64,
	unit int,
	change func([]byte, uint64) error,
) error {
	c.ranges++
	for size > 0 {
		b := make([]byte, min(size, int64(3*unit+1)/int64(unit)*int64(unit)))
		if n, err := unix.Pread(fd, b, offset); err != nil || n < len(b) {
			return fmt.Errorf("%d of %d bytes: %w", n, len(b), err)
		}
		if err := change(b, uint64(offset)); err != nil {
			return err
		}
		c.Write(b)
		offset, size = offset+int64(len(b)), size-int64(len(b))
	}
	return nil
}

// checkCopied writes a plan to a Copier. The bytes are the same; ranges are copied only if the
// object is a file.
func checkCopied(t *testing.T, path string, original []byte, aliases []elf.Alias, want []byte) {
	t.Helper()
	memory, err := elf.New(original)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := elf.OpenTables(path)
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	for _, f := range []*elf.File{open(t, path), tables, memory} {
		plan, err := f.Rewrite(aliases)
		if err != nil {
			t.Fatal(err)
		}
		c := &rangeCopier{}
		if _, err := plan.WriteTo(c); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.Bytes(), want) {
			t.Error("copied ranges make another object")
		}
		if copied := c.ranges > 0; copied != (f != memory) {
			t.Errorf("%d ranges copied", c.ranges)
		}
	}
}

// TestRewriteAlignment does not pad to an alignment that the original does not have.
func TestRewriteAlignment(t *testing.T) {
	object, err := os.ReadFile("testdata/basic-gcc-x86_64.o")
	if err != nil {
		t.Fatal(err)
	}
	headers, err := stdelf.NewFile(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	shoff := binary.LittleEndian.Uint64(object[40:])
	for i, s := range headers.Sections {
		if s.Name == ".shstrtab" { // after the sections that grow
			binary.LittleEndian.PutUint64(object[shoff+uint64(i)*64+48:], 1<<40)
		}
	}
	f, err := elf.New(object)
	if err != nil {
		t.Fatal(err)
	}
	aliases := []elf.Alias{{Original: 6, Name: "name_show@basic_c_23"}}
	data := rewrite(t, f, aliases)
	checkReopened(t, f, data, aliases)
	if len(data) > len(object)+100 {
		t.Errorf("%d bytes became %d", len(object), len(data))
	}
}
