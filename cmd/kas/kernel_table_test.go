//go:build kernel

package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kas/registry"
)

var (
	tableFile = flag.String("table", "", "file whose table TestTable replaces; none: print it")
	tableOnly = flag.String("only", "", "kernels of TestTable, separated by commas; none: all")
	tableKas  = flag.String("kas", "", "the kas that TestTable runs")
)

// tableKernels are Debian's kernels that the table shows.
var tableKernels = []string{
	"cloud-amd64", "cloud-arm64", "s390x", "686", "mips64r2el",
	"next-cloud-amd64", "next-cloud-arm64", "next-riscv64", "next-loong64",
}

// judgement is what the standard library's readers say about a build.
type judgement struct {
	right    int
	wrong    []string       // a line for each false alias
	unjudged map[string]int // by reason
	causes   map[string]int // of functions without a location
	examples map[string][]string
}

// judgeAll judges the aliases, and finds why the unlocated symbols have no location.
func judgeAll(rows []aliasRow, vmlinux, modules string, unlocated []aliasRow) *judgement {
	type object struct{ rows, unlocated []aliasRow }
	objects := map[string]*object{}
	of := func(name string) *object {
		if objects[name] == nil {
			objects[name] = &object{}
		}
		return objects[name]
	}
	for _, r := range rows {
		of(r.object).rows = append(of(r.object).rows, r)
	}
	for _, r := range unlocated {
		of(r.object).unlocated = append(of(r.object).unlocated, r)
	}
	names := slices.Sorted(maps.Keys(objects))
	if i := slices.Index(names, registry.Vmlinux); i >= 0 {
		// vmlinux takes longest: it is first.
		names = slices.Insert(slices.Delete(names, i, i+1), 0, registry.Vmlinux)
	}
	j := &judgement{
		unjudged: map[string]int{}, causes: map[string]int{}, examples: map[string][]string{},
	}
	var mu sync.Mutex
	each(len(names), func(i int) {
		name, o := names[i], objects[names[i]]
		path := filepath.Join(modules, name)
		if name == registry.Vmlinux {
			path = vmlinux
		}
		truth, err := declarations(path)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			if len(o.rows) > 0 {
				j.unjudged[err.Error()] += len(o.rows)
			}
			j.causes["not read: "+err.Error()] += len(o.unlocated)
			return
		}
		for _, r := range o.rows {
			switch why, known := truth.judge(r); {
			case !known:
				j.unjudged[why]++
			case why == "":
				j.right++
			default:
				j.wrong = append(j.wrong, fmt.Sprintf("%s %s %s %s: %s", r.alias, r.object,
					r.section, r.address, why))
			}
		}
		for _, r := range o.unlocated {
			why := truth.cause(r)
			j.causes[why]++
			j.examples[why] = append(j.examples[why], r.symbol)
		}
	})
	slices.Sort(j.wrong)
	return j
}

// notLocated returns the functions of unaliased.tsv whose location kas did not find, and counts all
// reasons.
func notLocated(t *testing.T, path string) (functions []aliasRow, reasons map[string]int) {
	t.Helper()
	reasons = map[string]int{}
	for i, line := range strings.Split(strings.TrimSuffix(string(readFile(t, path)), "\n"), "\n") {
		c := strings.Split(line, "\t")
		if i == 0 || len(c) != 6 {
			continue
		}
		code := strings.Contains("tTwW", c[4])
		if code {
			reasons[c[5]]++
		}
		if code && strings.Contains(c[5], "debugging information") {
			functions = append(functions, aliasRow{
				symbol: c[0], object: c[1], section: c[2], address: c[3], kind: c[4],
			})
		}
	}
	return functions, reasons
}

// systemMap compares the registry's symbols of vmlinux with System.map. It returns "yes", or what
// differs.
func systemMap(t *testing.T, path, symbols string) string {
	t.Helper()
	count := map[string]int{}
	for line := range strings.Lines(string(readFile(t, path))) {
		c := strings.Fields(line)
		if len(c) != 3 {
			t.Fatalf("%s: %q", path, line)
		}
		address, err := strconv.ParseUint(c[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		count[fmt.Sprintf("%s %x", c[2], address)]++
	}
	for line := range bytes.Lines(readFile(t, symbols)) {
		c := bytes.SplitN(line, []byte("\t"), 5)
		if len(c) == 5 && string(c[1]) == registry.Vmlinux {
			count[string(c[0])+" "+string(c[3])]--
		}
	}
	missing, more := 0, 0
	var some []string
	for _, symbol := range slices.Sorted(maps.Keys(count)) {
		n := count[symbol]
		if n != 0 && len(some) < 40 {
			some = append(some, fmt.Sprintf("%s (%+d)", symbol, -n))
		}
		missing += max(n, 0)
		more += max(-n, 0)
	}
	if missing+more == 0 {
		return "yes"
	}
	t.Logf("not as in System.map: %s", strings.Join(some, ", "))
	return fmt.Sprintf("%d missing, %d more", missing, more)
}

// measured runs a program and returns its exit code, how long it took and its peak memory in MB.
func measured(
	t *testing.T, name string, args ...string,
) (code int, took time.Duration, peak int64) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	took = time.Since(start)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = usage.Maxrss >> 10
	}
	if code = cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s: exit %d: %.2000s", strings.Join(args, " "), code, &out)
	}
	return code, took, peak
}

// uniqueAliases wants every alias to be no other symbol's name and no other alias, by the symbol
// tables that the standard library reads.
func uniqueAliases(t *testing.T, rows []aliasRow, vmlinux, modules string) {
	t.Helper()
	aliases := map[string]bool{}
	for _, r := range rows {
		if aliases[r.alias] {
			t.Errorf("%s twice", r.alias)
		}
		aliases[r.alias] = true
	}
	paths := []string{vmlinux}
	filepath.WalkDir(modules, func(path string, _ fs.DirEntry, _ error) error {
		if strings.HasSuffix(path, ".ko") {
			paths = append(paths, path)
		}
		return nil
	})
	each(len(paths), func(i int) {
		f, err := elf.Open(paths[i])
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		symbols, err := f.Symbols()
		if err != nil {
			t.Errorf("%s: %v", paths[i], err)
		}
		for _, s := range symbols {
			if aliases[s.Name] {
				t.Errorf("%s is a symbol of %s", s.Name, paths[i])
			}
		}
	})
}

// resolved wants each alias to be a symbol at its original's address: in the copies of the modules,
// and in vmlinux.syms.
func resolved(t *testing.T, rows []aliasRow, out string) {
	t.Helper()
	byObject := map[string][]aliasRow{}
	for _, r := range rows {
		byObject[r.object] = append(byObject[r.object], r)
	}
	listed := map[string]uint64{}
	for line := range strings.Lines(string(readFile(t, filepath.Join(out, "vmlinux.syms")))) {
		if c := strings.Fields(line); len(c) == 3 {
			listed[c[2]], _ = strconv.ParseUint(c[0], 16, 64)
		}
	}
	for _, r := range byObject[registry.Vmlinux] {
		if address, err := strconv.ParseUint(r.address, 16, 64); err != nil ||
			listed[r.alias] != address {
			t.Errorf("%s is at %x in vmlinux.syms, not at %s", r.alias, listed[r.alias], r.address)
		}
	}
	delete(byObject, registry.Vmlinux)
	names := slices.Sorted(maps.Keys(byObject))
	each(len(names), func(i int) {
		f, err := elf.Open(filepath.Join(out, "modules", names[i]+".kas"))
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		symbols, err := f.Symbols()
		if err != nil {
			t.Errorf("%s: %v", names[i], err)
			return
		}
		at := map[string]string{}
		for _, s := range symbols {
			if int(s.Section) < len(f.Sections) {
				at[s.Name] = fmt.Sprintf("%s %x", f.Sections[s.Section].Name, s.Value)
			}
		}
		for _, r := range byObject[names[i]] {
			if got := at[r.alias]; got != r.section+" "+r.address {
				t.Errorf("%s: %s is at %q, not at %s %s", names[i], r.alias, got, r.section,
					r.address)
			}
		}
	})
}

// TestTable runs and verifies kernels with aliases for functions and variables, has other code
// judge them, and makes the table of docs/kernels.md.
func TestTable(t *testing.T) {
	if *tableKas == "" {
		t.Skip("make kernel-table runs it")
	}
	selected := tableKernels
	if *tableOnly != "" {
		selected = strings.Split(*tableOnly, ",")
	}
	var table, details strings.Builder
	table.WriteString("| kernel | objects | symbols equal System.map's | aliases | true | false |" +
		" not judged | functions without a location | seconds | peak memory, MB | run | verify |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, flavour := range selected {
		if !hasCorpus(flavour) {
			fmt.Fprintf(&table, "| %s | not fetched%s\n", flavour, strings.Repeat(" |", 11))
			continue
		}
		t.Run(flavour, func(t *testing.T) { tableRow(t, flavour, &table, &details) })
	}
	text := table.String()
	if details.Len() > 0 {
		text += "\nNot judged, and without a location:\n\n" + details.String()
	}
	if *tableFile == "" {
		t.Log("\n" + text)
		return
	}
	const begin, end = "<!-- make kernel-table writes from here -->\n", "<!-- to here -->\n"
	page := string(readFile(t, *tableFile))
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", *tableFile)
	}
	page = before + begin + text + end + after
	if err := os.WriteFile(*tableFile, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tableRow(t *testing.T, flavour string, table, details *strings.Builder) {
	debug := corpus(t, flavour)
	vmlinux := only(t, filepath.Join(debug, "boot", "vmlinux-*"))
	modules := only(t, filepath.Join(debug, "lib", "modules", "*", "kernel"))
	release := strings.TrimPrefix(filepath.Base(vmlinux), "vmlinux-")
	mapFile := filepath.Join(debug, "boot", "System.map-"+release)
	if _, err := os.Stat(mapFile); err != nil {
		mapFile = filepath.Join(debug, "lib", "modules", release, "System.map")
	}
	temp := t.TempDir()
	config := dataConfig(t, temp, vmlinux, modules)
	runCode, took, peak := measured(t, *tableKas, "run", config, "--fresh")
	out := filepath.Join(temp, "out", "all")
	verifyCode, _, _ := measured(t, *tableKas, "verify", filepath.Join(temp, "out"))
	rows := readAliases(t, filepath.Join(out, "aliases.tsv"))
	same := systemMap(t, mapFile, filepath.Join(out, registry.FileName))
	uniqueAliases(t, rows, vmlinux, modules)
	resolved(t, rows, out)
	unlocated, reasons := notLocated(t, filepath.Join(out, "unaliased.tsv"))
	objects := 1
	filepath.WalkDir(modules, func(path string, _ fs.DirEntry, _ error) error {
		if strings.HasSuffix(path, ".ko") {
			objects++
		}
		return nil
	})

	j := judgeAll(rows, vmlinux, modules, unlocated)
	for i, why := range j.wrong {
		if i < 100 {
			t.Errorf("false: %s", why)
		}
	}
	unjudged := 0
	for _, n := range j.unjudged {
		unjudged += n
	}
	t.Logf("functions without an alias: %v", reasons)
	t.Logf("functions without a location: %v", j.examples)
	fmt.Fprintf(table, "| %s | %s | %s | %s | %s | %s | %s | %s | %.1f | %d | %d | %d |\n", release,
		thousands(objects), same, thousands(len(rows)), thousands(j.right), thousands(len(j.wrong)),
		thousands(unjudged), thousands(len(unlocated)), took.Seconds(), peak, runCode, verifyCode)
	for _, c := range []struct {
		what  string
		count map[string]int
	}{{"not judged", j.unjudged}, {"without a location", j.causes}} {
		for _, why := range slices.Sorted(maps.Keys(c.count)) {
			fmt.Fprintf(details, "- %s, %s: %s: %s%s\n", release, c.what, thousands(c.count[why]),
				why, examples(j.examples[why]))
		}
	}
}

// examples returns the first names of a list, for the end of a line.
func examples(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	switch n := len(names); {
	case n == 0:
		return ""
	case n > 5:
		return " (`" + strings.Join(names[:5], "`, `") + "`, ...)"
	}
	return " (`" + strings.Join(names, "`, `") + "`)"
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
