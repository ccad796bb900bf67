//go:build kernel

package main

import (
	"debug/dwarf"
	stdelf "debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestKernelRust gives an alias to every mangled function of Rust in Debian's 7.3 kernel and checks
// file, line and unit against llvm-dwarfdump.
func TestKernelRust(t *testing.T) {
	complete := filepath.Join(cacheDir(), "corpus", "next-cloud-amd64", "complete")
	if _, err := os.Stat(complete); err != nil {
		t.Skip("make corpus-next-cloud-amd64 brings this kernel")
	}
	vmlinux := only(t, filepath.Join(corpus(t, "next-cloud-amd64"), "boot", "vmlinux-*"))
	dir := t.TempDir()
	config := filepath.Join(dir, "kas.yaml")
	text := fmt.Sprintf("version: 1\nout: out\nalias: {line: declaration, names: [\"_R*\"]}\n"+
		"builds:\n  - {name: rust, vmlinux: %q}\n", vmlinux)
	if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	kas(t, "run", config)
	aliases := map[uint64]aliasRow{}
	for _, row := range readAliases(t, filepath.Join(dir, "out", "rust", "aliases.tsv")) {
		if strings.HasPrefix(row.symbol, "_R") {
			address, err := strconv.ParseUint(row.address, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			aliases[address] = row
		}
	}
	declared := map[uint64]rustFunction{}
	for _, offset := range rustUnits(t, vmlinux) {
		readRustUnit(t, vmlinux, offset, declared)
	}
	functions, wrong, unknown := 0, 0, 0
	hash := regexp.MustCompile(`cgu|rustlib|_rustc_|[0-9a-f]{16}`)
	for line := range strings.Lines(string(tool(t, "llvm-nm-19", vmlinux))) {
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasPrefix(f[2], "_R") || strings.ToLower(f[1]) != "t" {
			continue
		}
		address, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		want, known := declared[address]
		if !known {
			unknown++
			t.Logf("%s is no subprogram of llvm-dwarfdump", f[2])
			continue
		}
		functions++
		got := aliases[address]
		if got.file != want.file || got.line != want.line || got.unit != want.unit {
			wrong++
			t.Errorf("%s: %s:%s of %s, want %+v", f[2], got.file, got.line, got.unit, want)
		}
		if at := strings.TrimPrefix(got.alias, got.symbol); hash.MatchString(at) {
			t.Errorf("%s has the path of a host or a hash", got.alias)
		}
	}
	t.Logf("%d functions of Rust, %d wrong, %d symbols not judged", functions, wrong, unknown)
	if functions < 3000 {
		t.Errorf("only %d functions of Rust", functions)
	}
}

// rustFunction is where llvm-dwarfdump has a function of Rust, relative to a source root.
type rustFunction struct{ file, line, unit string }

// rustUnits returns the offsets of the entries of Rust's units in .debug_info.
func rustUnits(t *testing.T, vmlinux string) []uint64 {
	f, err := stdelf.Open(vmlinux)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	section := func(name string) []byte {
		s := f.Section(name)
		if s == nil {
			return nil
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	info := section(".debug_info")
	data, err := dwarf.New(section(".debug_abbrev"), nil, nil, info, nil, nil, nil,
		section(".debug_str"))
	if err != nil {
		t.Fatal(err)
	}
	if err := data.AddSection(".debug_line_str", section(".debug_line_str")); err != nil {
		t.Fatal(err)
	}
	var found []uint64
	r := data.Reader()
	for at := 0; at < len(info); at += 4 + int(binary.LittleEndian.Uint32(info[at:])) {
		entry := at + 11 // DWARF 4, 32 bits
		if version := binary.LittleEndian.Uint16(info[at+4:]); version == 5 {
			entry = at + 12
		}
		r.Seek(dwarf.Offset(entry))
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if language, _ := e.Val(dwarf.AttrLanguage).(int64); language == langRust {
			found = append(found, uint64(entry))
		}
	}
	return found
}

var (
	rustEntry     = regexp.MustCompile(`^0x([0-9a-f]+): +(DW_TAG_\w+|NULL)`)
	rustAttribute = regexp.MustCompile(`^ +DW_AT_(\w+)\t\((.*)\)$`)
	rustRange     = regexp.MustCompile(`^ +\[0x([0-9a-f]+), 0x`)
)

// readRustUnit reads the subprograms of a unit as llvm-dwarfdump prints them, by address.
func readRustUnit(t *testing.T, vmlinux string, offset uint64, into map[uint64]rustFunction) {
	out := tool(t, "llvm-dwarfdump-19", fmt.Sprintf("--debug-info=%#x", offset), "-c", vmlinux)
	type entry struct {
		tag        string
		attributes map[string]string
		start      string
	}
	entries := map[string]*entry{}
	var last, unit *entry
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if m := rustEntry.FindStringSubmatch(line); m != nil {
			last = &entry{tag: m[2], attributes: map[string]string{}}
			entries[strings.TrimLeft(m[1], "0")] = last
			if unit == nil {
				unit = last
			}
		} else if m := rustAttribute.FindStringSubmatch(line); m != nil {
			last.attributes[m[1]] = strings.Trim(m[2], `"`)
			if m[1] == "low_pc" {
				last.start = m[2]
			}
		} else if m := rustRange.FindStringSubmatch(line); m != nil && last.start == "" {
			last.start = m[1]
		}
	}
	attribute := func(e *entry, name string) string {
		for e != nil && e.attributes[name] == "" {
			to := e.attributes["specification"] + e.attributes["abstract_origin"]
			to, _, _ = strings.Cut(strings.TrimLeft(to, "0x"), " ")
			e = entries[to]
		}
		if e == nil {
			return ""
		}
		return e.attributes[name]
	}
	root := regexp.MustCompile(`^(.*/rustlib/src/rust|debian/build/[^/]+)/`)
	name, _, _ := strings.Cut(unit.attributes["name"], "/@/")
	for _, e := range entries {
		if e.tag != "DW_TAG_subprogram" || e.start == "" {
			continue
		}
		address, err := strconv.ParseUint(strings.TrimPrefix(e.start, "0x"), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		into[address] = rustFunction{
			file: root.ReplaceAllString(path.Clean(attribute(e, "decl_file")), ""),
			line: attribute(e, "decl_line"),
			unit: root.ReplaceAllString(name, ""),
		}
	}
}
