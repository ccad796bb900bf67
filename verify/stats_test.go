package verify

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// golden is a stats.json that report wrote.
const golden = "../report/testdata/stats.golden"

// TestReadStats changes each byte of a stats.json.
func TestReadStats(t *testing.T) {
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if s, problems, err := ReadStats(data); err != nil || problems != nil || len(s.Builds) != 4 {
		t.Fatal(s, problems, err)
	}
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 1
		if _, problems, err := ReadStats(changed); err == nil && problems == nil {
			t.Errorf("byte %d, %q, may be %q", i, data[i], changed[i])
		}
	}
	for _, changed := range [][]byte{data[1:], data[:len(data)-1], append(data, ' '), nil} {
		if _, problems, err := ReadStats(changed); err == nil && problems == nil {
			t.Errorf("%d bytes are accepted", len(changed))
		}
	}
}

func TestCheckConfig(t *testing.T) {
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := ReadStats(data)
	if err != nil {
		t.Fatal(err)
	}
	for text, same := range map[string]bool{
		"version: 1\n": true, "version: 1": false, "version: 2\n": false, "": false,
	} {
		if problem := s.CheckConfig("c.yaml", []byte(text)); (problem == "") != same {
			t.Errorf("%q: %q", text, problem)
		}
	}
}

// stats returns the statistics of the test build, counted by hand.
func stats(e *emission, t *testing.T) *BuildStats {
	s := &BuildStats{
		Name: "test", Arch: "x86_64", LTO: "thin", Objects: 4, Modules: 3, Symbols: 15, Names: 9,
		Repeated: 4, Groups: 4, Duplicates: 11, Aliases: 7, InVmlinux: 2, InModules: 5, ByUnit: 1,
		Cut: 4, Unaliased: map[string]int{
			"variable of a macro": 3, "not in the debugging information": 1,
		}, Emitted: 2, Signed: 2,
	}
	for _, name := range []string{"drivers/a.ko", "drivers/b.ko"} {
		info, err := os.Stat(filepath.Join(e.Dir, "modules", name+".kas"))
		if err != nil {
			t.Fatal(err)
		}
		s.BytesOut += info.Size()
	}
	for _, m := range append(e.Modules, Module{"vmlinux", e.Vmlinux}) {
		data, err := os.ReadFile(m.Path)
		if err == nil {
			data, err = decompress(data)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.BytesIn += int64(len(data))
	}
	return s
}

// TestCheckStats changes each value of a build in stats.json.
func TestCheckStats(t *testing.T) {
	e := emit(t, layouts[0], false)
	check := func(want string, change func(s *BuildStats)) {
		t.Helper()
		e.Stats = stats(e, t)
		change(e.Stats)
		e.record(t)
		if _, problems := verify(t, e.Target); want == "" && problems != "" ||
			!strings.Contains(problems, want) {
			t.Errorf("want %q in\n%s", want, problems)
		}
	}
	check("", func(*BuildStats) {})
	numbers := func(s *BuildStats) []*int {
		return []*int{&s.Objects, &s.Modules, &s.Unreadable, &s.Failed, &s.Symbols, &s.Names,
			&s.Repeated, &s.Groups, &s.Duplicates, &s.Aliases, &s.InVmlinux, &s.InModules,
			&s.ByUnit, &s.ByOrdinal, &s.Shortened, &s.SuffixFree, &s.Cut, &s.Emitted, &s.Signed}
	}
	for i := range numbers(&BuildStats{}) {
		check("test: stats.json: ", func(s *BuildStats) { *numbers(s)[i]++ })
	}
	for _, change := range []func(s *BuildStats){
		func(s *BuildStats) { s.BytesIn++ }, func(s *BuildStats) { s.BytesOut-- },
		func(s *BuildStats) { s.Name = "tesu" }, func(s *BuildStats) { s.Arch = "x86_65" },
		func(s *BuildStats) { s.Toolchain = "gdc" }, func(s *BuildStats) { s.LTO = "full" },
		func(s *BuildStats) { s.Release = "6.1.0" },
		func(s *BuildStats) { s.Unaliased["not text"] = 1 },
		func(s *BuildStats) { s.Unaliased["variable of a macro"]++ },
		func(s *BuildStats) { s.UnreadableObjects = []string{"x.ko"} },
		func(s *BuildStats) { s.Errors = []string{"test: scan: x.ko: damaged"} },
		func(s *BuildStats) { s.Errors = []string{"test: scan: drivers/a.ko: damaged"} },
		func(s *BuildStats) { s.Errors = []string{"text: scan: drivers/a.ko: damaged"} },
		func(s *BuildStats) { s.Errors = []string{"test: scam: drivers/a.ko: damaged"} },
	} {
		check("test: stats.json: ", change)
	}
	check("", func(s *BuildStats) {
		s.Failed, s.Errors = 1, []string{"test: resolve: drivers/a.ko: damaged: part: 1"}
	})
	check("", func(s *BuildStats) { s.NoDebug = 1 }) // the others may have debug files
	check("objects_without_debug is 9, ", func(s *BuildStats) { s.NoDebug = 9 })
	one := []string{"test: scan: drivers/a.ko: no debugging information in 4 objects"}
	check("", func(s *BuildStats) { s.Failed, s.Errors = 4, one })
	check("failed is 5, 4 expected", func(s *BuildStats) { s.Failed, s.Errors = 5, one })
	check("failed is 4, 0 expected", func(s *BuildStats) { s.Failed = 4 })
}

// TestReasons has a reason that does not hold in each table.
func TestReasons(t *testing.T) {
	const section = "in a section that is gone after load"
	broken(t, []spoiled{
		{"reason of another name", replaced("unaliased.tsv", "variable of a macro", "not text"),
			`"__key.1" has the reason "not text", not "variable of a macro"`},
		{"reason that holds for no symbol",
			replaced("unaliased.tsv", "not in the debugging information", section),
			`"arch_hook" has the reason "` + section + `", which does not hold`},
		{"changed byte of a reason",
			replaced("unaliased.tsv", "not in the debugging", "not in the debbgging"),
			"which does not hold"},
		{"not read", replaced("unaliased.tsv", "not in the debugging information",
			"name as long as the kernel's limit"), "which does not hold"},
		{"has its alias", replaced("unaliased.tsv", "not in the debugging information",
			"has its alias already"), "which does not hold"},
		{"excluded", func(t *testing.T, e *emission) { e.Config.Never = []string{"^name"} },
			`"name_show" must not have an alias: excluded by the configuration`},
		{"not data", func(t *testing.T, e *emission) { e.Config.Symbols = "data" },
			`must not have an alias: not data`},
		{"no built-in list", func(t *testing.T, e *emission) { e.Config.NeverReplaces = true },
			`"__key.1" has the reason "variable of a macro", which does not hold`},
		{"unknown source", replaced("aliases.tsv", "\tsubprogram", "\tsubprogran"),
			`has the source "subprogran"`},
		{"source of a variable", replaced("aliases.tsv", "\tsubprogram", "\tvariable"),
			`has the source "variable"`},
		{"file symbol", replaced("aliases.tsv", "\tsubprogram", "\tfile symbol"),
			`has the source "file symbol"`},
		{"meaning of a suffix", replaced("aliases.tsv", ", promoted by ThinLTO", ""),
			"the suffix means promoted by ThinLTO"},
		{"second name", replaced("aliases.tsv", "\tsubprogram", "\tsubprogram of "),
			`has the source "subprogram of "`},
		{"row of a single symbol", func(t *testing.T, e *emission) {
			e.edit(t, "unaliased.tsv", func(l []string) []string {
				return slices.Insert(l, 2, "schedule\tvmlinux\t.text\t10080\tT\tnot text")
			})
		}, `"schedule" at .text+0x10080 is in a table, but no other symbol has its name`},
	})
}

// TestCheckFolder has what may be beside the folders of builds.
func TestCheckFolder(t *testing.T) {
	out := t.TempDir()
	for _, name := range []string{
		"stats.json", "k/aliases.tsv", ".stats.json.tmp", "notes.txt", ".x.tmp", "old/symbols.kas",
	} {
		write(t, filepath.Join(out, name), nil)
	}
	if err := os.Mkdir(filepath.Join(out, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	problems, notes, err := CheckFolder(out, []string{"stats.json", "c.yaml"}, []string{"k"})
	wantProblems := []string{
		".stats.json.tmp: a temporary file of a run that did not end",
		"old: no build of the run has this folder",
	}
	wantNotes := []string{
		".x.tmp: not checked: the run did not write it",
		"notes.txt: not checked: the run did not write it",
	}
	if err != nil || !slices.Equal(problems, wantProblems) || !slices.Equal(notes, wantNotes) {
		t.Error(problems, notes, err)
	}
}
