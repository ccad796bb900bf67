//go:build kernel

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

func cacheDir() string {
	if cache := os.Getenv("KAS_CACHE"); cache != "" {
		return cache
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		panic(err)
	}
	return filepath.Join(root, ".cache")
}

// corpus returns the folder of an unpacked Debian kernel; `make corpus-cloud-amd64` gets it.
func corpus(t *testing.T, flavour string) string {
	t.Helper()
	dir := filepath.Join(cacheDir(), "corpus", flavour, "usr", "lib", "debug")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("no kernel to test on: make corpus-%s", flavour)
	}
	return dir
}

func hasCorpus(flavour string) bool {
	_, err := os.Stat(filepath.Join(cacheDir(), "corpus", flavour, "complete"))
	return err == nil
}

func only(t *testing.T, glob string) string {
	t.Helper()
	found, err := filepath.Glob(glob)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %d files, %v", glob, len(found), err)
	}
	return found[0]
}

func tool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return out
}

// aliasRow is a line of aliases.tsv.
type aliasRow struct {
	alias, symbol, object, section, address, kind, file, line, unit, source string
}

func readAliases(t *testing.T, path string) []aliasRow {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []aliasRow
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 10 {
			t.Fatalf("%s:%d: %d columns", path, i+1, len(f))
		}
		if i > 0 {
			how, _, _ := strings.Cut(f[9], ",") // after it, what a suffix means
			rows = append(rows, aliasRow{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], how})
		}
	}
	return rows
}

// corpora are Debian's kernels, with the prefix of the tools for their arch.
var corpora = []struct{ flavour, tools string }{
	{"cloud-amd64", ""},
	{"cloud-arm64", "aarch64-linux-gnu-"},
	{"s390x", "s390x-linux-gnu-"},
}

// TestKernel runs all stages on each of Debian's kernels in the cache, at least on the first, and
// compares the output with other tools.
func TestKernel(t *testing.T) {
	for i, k := range corpora {
		t.Run(k.flavour, func(t *testing.T) {
			if i > 0 && !hasCorpus(k.flavour) {
				t.Skipf("make corpus-%s brings this kernel", k.flavour)
			}
			testKernel(t, k.flavour, k.tools)
		})
	}
}

func testKernel(t *testing.T, flavour, tools string) {
	debug := corpus(t, flavour)
	vmlinux := only(t, filepath.Join(debug, "boot", "vmlinux-*"))
	modules := only(t, filepath.Join(debug, "lib", "modules", "*", "kernel"))
	config := filepath.Join("..", "..", "configs", "debian.yaml")
	out := filepath.Join(t.TempDir(), "out")

	var summary struct {
		Builds []struct {
			Modules, Unreadable, Failed, Aliases int
		}
	}
	stdout := kas(t, "run", config, "--build", flavour, "--out", out, "--json")
	if err := json.Unmarshal([]byte(stdout), &summary); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(out, flavour)
	rows := readAliases(t, filepath.Join(dir, "aliases.tsv"))

	t.Run("every module scanned", func(t *testing.T) {
		want := 0
		filepath.WalkDir(modules, func(path string, _ fs.DirEntry, _ error) error {
			if strings.HasSuffix(path, ".ko") {
				want++
			}
			return nil
		})
		got := summary.Builds[0]
		if got.Modules != want || got.Unreadable != 0 || got.Failed != 0 || want < 900 {
			t.Errorf("%+v, want %d modules", got, want)
		}
		if got.Aliases != len(rows) {
			t.Errorf("stats say %d aliases, aliases.tsv has %d", got.Aliases, len(rows))
		}
	})

	t.Run("every duplicate is listed", func(t *testing.T) {
		everyDuplicate(t, dir, vmlinux, modules, rows)
	})

	t.Run("unique and without host path", func(t *testing.T) {
		seen := map[string]bool{}
		for _, r := range rows {
			if seen[r.alias] {
				t.Errorf("repeated alias %s", r.alias)
			}
			seen[r.alias] = true
			for _, host := range []string{"reproducible", "debian_build", "linux_6"} {
				if strings.Contains(r.alias, host) {
					t.Errorf("host path in %s", r.alias)
				}
			}
			if filepath.IsAbs(r.file) || strings.Contains(r.file, "..") {
				t.Errorf("file %s", r.file)
			}
		}
		if alias := "name_show@drivers_pnp_card_c_186"; flavour == "cloud-amd64" && !seen[alias] {
			t.Errorf("no %s", alias)
		}
	})

	t.Run("vmlinux.syms is nm -n", func(t *testing.T) {
		syms, err := os.ReadFile(filepath.Join(dir, "vmlinux.syms"))
		if err != nil {
			t.Fatal(err)
		}
		aliases := 0
		var rest bytes.Buffer
		for line := range bytes.Lines(syms) {
			if bytes.Contains(line, []byte("@")) {
				aliases++
			} else {
				rest.Write(line)
			}
		}
		if !bytes.Equal(rest.Bytes(), tool(t, tools+"nm", "-n", vmlinux)) {
			t.Error("vmlinux.syms without its aliases differs from nm -n")
		}
		want := 0
		for _, r := range rows {
			if r.object == "vmlinux" {
				want++
			}
		}
		if aliases != want {
			t.Errorf("%d alias lines, aliases.tsv has %d of vmlinux", aliases, want)
		}
	})

	t.Run("verify", func(t *testing.T) { kas(t, "verify", out) })

	t.Run("locations", func(t *testing.T) { compareLocations(t, rows, vmlinux, modules) })

	t.Run("same bytes with eight workers", func(t *testing.T) {
		again := filepath.Join(t.TempDir(), "out")
		kas(t, "run", config, "--build", flavour, "--out", again, "-j", "8")
		sameTrees(t, dir, filepath.Join(again, flavour))
	})

	t.Run("modules", func(t *testing.T) {
		byModule := map[string][]string{}
		for _, r := range rows {
			byModule[r.object] = append(byModule[r.object], r.alias)
		}
		var names []string
		for name := range byModule {
			if name != "vmlinux" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		temp := t.TempDir()
		each(len(names), func(i int) {
			original := filepath.Join(modules, names[i])
			rewritten := filepath.Join(dir, "modules", names[i]+".kas")
			own := filepath.Join(temp, fmt.Sprint(i))
			if err := judge(tools, original, rewritten, byModule[names[i]], own); err != nil {
				t.Errorf("%s: %v", names[i], err)
			}
		})
		t.Logf("%d modules judged by ld, eu-elflint and objcopy", len(names))
	})
}

// number matches what compilers append to the names of variables inside functions.
var number = regexp.MustCompile(`\.\d+$`)

// everyDuplicate counts names with nm over vmlinux and all modules. Each text symbol whose name
// occurs twice or more must be in aliases.tsv or unaliased.tsv, and each row must be such a symbol.
func everyDuplicate(t *testing.T, dir, vmlinux, modules string, rows []aliasRow) {
	count := map[string]int{}
	text := map[string]int{} // by object and name
	var names []string
	filepath.WalkDir(modules, func(path string, _ fs.DirEntry, _ error) error {
		if strings.HasSuffix(path, ".ko") {
			names = append(names, path)
		}
		return nil
	})
	listings := make([][]byte, len(names)+1)
	each(len(listings), func(i int) {
		path := vmlinux
		if i > 0 {
			path = names[i-1]
		}
		listings[i], _ = exec.Command("llvm-nm-19", "--defined-only", path).Output()
	})
	for i, listing := range listings {
		object := "vmlinux"
		if i > 0 {
			object, _ = filepath.Rel(modules, names[i-1])
		}
		if len(listing) == 0 {
			t.Fatalf("nm printed nothing for %s", object)
		}
		for line := range strings.Lines(string(listing)) {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			// A variable's number is not part of its base name: error.3 makes the function error a
			// duplicate.
			if name := f[2]; strings.Contains("tTwW", f[1]) {
				count[name]++
			} else {
				count[number.ReplaceAllString(name, "")]++
			}
			if strings.Contains("tTwW", f[1]) {
				text[object+" "+f[2]]++
			}
		}
	}
	listed := map[string]int{}
	for _, r := range rows {
		listed[r.object+" "+r.symbol]++
		if count[r.symbol] < 2 {
			t.Errorf("%s: nm prints %d symbols of its name", r.alias, count[r.symbol])
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "unaliased.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(line, "\t")
		listed[f[1]+" "+f[0]]++
	}
	duplicates := 0
	for symbol, n := range text {
		if _, name, _ := strings.Cut(symbol, " "); count[name] > 1 {
			duplicates += n
			if listed[symbol] < n {
				t.Errorf("%s: nm prints it %d times, the tables list it %d times",
					symbol, n, listed[symbol])
			}
		}
	}
	t.Logf("%d text symbols share %d names with others", duplicates, len(count))
}

// TestKernelData gives aliases to data, too, and compares every location with the standard
// library's reader.
func TestKernelData(t *testing.T) {
	for i, k := range corpora {
		t.Run(k.flavour, func(t *testing.T) {
			if i > 0 && !hasCorpus(k.flavour) {
				t.Skipf("make corpus-%s brings this kernel", k.flavour)
			}
			testKernelData(t, k.flavour)
		})
	}
}

func testKernelData(t *testing.T, flavour string) {
	debug := corpus(t, flavour)
	vmlinux := only(t, filepath.Join(debug, "boot", "vmlinux-*"))
	modules := only(t, filepath.Join(debug, "lib", "modules", "*", "kernel"))
	temp := t.TempDir()
	config := dataConfig(t, temp, vmlinux, modules)
	kas(t, "run", config)
	kas(t, "verify", filepath.Join(temp, "out"))
	rows := readAliases(t, filepath.Join(temp, "out", "all", "aliases.tsv"))
	data := 0
	for _, r := range rows {
		if r.source == "variable" {
			data++
		}
	}
	if data < 1000 {
		t.Errorf("%d variables of %d aliases", data, len(rows))
	}
	compareLocations(t, rows, vmlinux, modules)
}

// dataConfig writes a configuration that gives aliases to data, too, and returns its path.
func dataConfig(t *testing.T, dir, vmlinux, modules string) string {
	t.Helper()
	for _, path := range []*string{&vmlinux, &modules} {
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "kas.yaml")
	text := fmt.Sprintf("version: 1\nalias: {symbols: all}\n"+
		"builds: [{name: all, vmlinux: %s, modules: %s}]\n", vmlinux, modules)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return config
}

// each calls f for 0 to n-1, four at a time.
func each(n int, f func(int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range n {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			f(i)
		}()
	}
	wg.Wait()
}

// judge compares a rewritten module with its original by tools that know nothing of kas: ld links
// it, eu-elflint has no more complaints than about the original, and without the aliases it is what
// objcopy makes of the original.
func judge(tools, original, rewritten string, aliases []string, temp string) error {
	out, err := exec.Command(tools+"ld", "-r", "-o", temp+".ld", rewritten).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ld -r: %v: %s", err, out)
	}
	linked, err := exec.Command(tools+"nm", temp+".ld").Output()
	if err != nil {
		return fmt.Errorf("nm: %v", err)
	}
	for _, a := range aliases {
		if !bytes.Contains(linked, []byte(" "+a+"\n")) {
			return fmt.Errorf("ld -r lost %s", a)
		}
	}
	before, after := lint(original), lint(rewritten)
	if len(after) > len(before) {
		return fmt.Errorf("eu-elflint complains %d times, about the original %d times: %s",
			len(after), len(before), after[0])
	}
	list := temp + ".list"
	if err := os.WriteFile(list, []byte(strings.Join(aliases, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	// objcopy changes the layout of a file, so the original goes through it, too.
	for _, c := range [][]string{
		{"--strip-symbols=" + list, rewritten, temp + ".stripped"},
		{original, temp + ".copied"},
	} {
		if out, err := exec.Command(tools+"objcopy", c...).CombinedOutput(); err != nil {
			return fmt.Errorf("objcopy: %v: %s", err, out)
		}
	}
	stripped, err := os.ReadFile(temp + ".stripped")
	if err != nil {
		return err
	}
	copied, err := os.ReadFile(temp + ".copied")
	if err != nil {
		return err
	}
	for _, suffix := range []string{".ld", ".stripped", ".copied", ".list"} {
		os.Remove(temp + suffix)
	}
	if !bytes.Equal(stripped, copied) {
		return fmt.Errorf("without its aliases it differs from what objcopy makes of the original")
	}
	return nil
}

// lint returns eu-elflint's complaints. Compare only their number: offsets in them differ.
func lint(path string) []string {
	out, _ := exec.Command("eu-elflint", "--gnu-ld", path).CombinedOutput()
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" && line != "No errors" {
			lines = append(lines, line)
		}
	}
	return lines
}

func sameTrees(t *testing.T, a, b string) {
	t.Helper()
	files := func(dir string) []string {
		var all []string
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				rel, _ := filepath.Rel(dir, path)
				all = append(all, rel)
			}
			return nil
		})
		return all
	}
	// build.json has the paths of the inputs, as seen from each folder.
	other := func(name string) bool { return name == "build.json" }
	names := files(a)
	if !slices.Equal(names, files(b)) {
		t.Fatalf("%s and %s have different files", a, b)
	}
	for _, name := range slices.DeleteFunc(names, other) {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s differs", name)
		}
	}
}

// compareLocations has the standard library's readers judge every alias.
func compareLocations(t *testing.T, rows []aliasRow, vmlinux, modules string) {
	j := judgeAll(rows, vmlinux, modules, nil)
	for _, why := range j.wrong {
		t.Error(why)
	}
	t.Logf("%d locations judged true, not judged: %v", j.right, j.unjudged)
}
