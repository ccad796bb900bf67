//go:build kernel

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kas/need"
	"kas/registry"
)

// debianBuild is a Debian kernel and the output of a run without copies of modules.
type debianBuild struct {
	vmlinux, modules, dir string
	rows                  []aliasRow
}

func (b *debianBuild) registry() string { return filepath.Join(b.dir, registry.FileName) }

var debianBuilds sync.Map // by flavour: func() *debianBuild

// built runs kas on a kernel of the cache, once for all tests.
func built(t *testing.T, flavour string) *debianBuild {
	t.Helper()
	once, _ := debianBuilds.LoadOrStore(flavour, sync.OnceValue(func() *debianBuild {
		debug, err := filepath.Abs(corpus(t, flavour))
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.MkdirTemp("", "kas-kernel-test-")
		if err != nil {
			t.Fatal(err)
		}
		b := &debianBuild{
			vmlinux: only(t, filepath.Join(debug, "boot", "vmlinux-*")),
			modules: only(t, filepath.Join(debug, "lib", "modules", "*", "kernel")),
			dir:     filepath.Join(out, "k"),
		}
		config := filepath.Join(out, "kas.yaml")
		text := fmt.Sprintf(
			"version: 1\nout: .\nstages: [scan, dedupe, normalize, resolve, stats]\n"+
				"builds: [{name: k, vmlinux: %s, modules: %s}]\n",
			b.vmlinux,
			b.modules,
		)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		kas(t, "run", config)
		b.rows = readAliases(t, filepath.Join(b.dir, "aliases.tsv"))
		return b
	}))
	b := once.(func() *debianBuild)()
	if b == nil || len(b.rows) == 0 {
		t.Fatal("no build of", flavour)
	}
	return b
}

func openOne(t *testing.T, paths ...string) *registry.Registry {
	t.Helper()
	all, err := registry.OpenAll(paths)
	if err != nil || len(all) != 1 {
		t.Fatal(len(all), err)
	}
	t.Cleanup(func() { registry.CloseAll(all) })
	return all[0]
}

// TestKernelLookup finds every alias by itself and by its location, and names at the addresses of
// nm.
func TestKernelLookup(t *testing.T) {
	b := built(t, "cloud-amd64")
	r := openOne(t, b.registry())
	if want := strings.TrimPrefix(filepath.Base(b.vmlinux), "vmlinux-"); r.Release != want {
		t.Errorf("release %s, want %s", r.Release, want)
	}
	// readelf -n, "Build ID: ..."
	_, rest, _ := strings.Cut(string(tool(t, "readelf", "-n", b.vmlinux)), "Build ID: ")
	if id, _, _ := strings.Cut(rest, "\n"); r.BuildID != id || id == "" {
		t.Errorf("build ID %q, readelf says %q", r.BuildID, id)
	}
	holds := func(pattern string, want aliasRow, only bool) {
		found, err := r.Lookup(pattern)
		if err != nil {
			t.Fatal(pattern, err)
		}
		if only && len(found) != 1 {
			t.Errorf("%s: %d symbols", pattern, len(found))
		}
		if !slices.ContainsFunc(found, func(f registry.Record) bool {
			return f.Alias == want.alias && f.Name == want.symbol && f.Object == want.object &&
				f.Section == want.section && strconv.FormatUint(f.Address, 16) == want.address
		}) {
			t.Errorf("%s: did not find %+v", pattern, want)
		}
	}
	for i, row := range b.rows {
		holds(row.alias, row, true)
		if row.line != "0" {
			holds(row.symbol+"@"+row.file+":"+row.line, row, false)
		}
		if i%40 == 0 { // these read the whole file
			holds(row.file+":"+row.line, row, false)
			if row.object == "vmlinux" {
				holds("0x"+row.address, row, false)
			} else {
				holds(filepath.Base(row.object), row, false)
			}
		}
	}

	// What scripts/mksysmap and scripts/kallsyms of 6.1 leave out on x86.
	dropped := regexp.MustCompile(`^(\$|\.L|__crc_|__kstrtab_|__kstrtabns_|L0$|kallsyms_)`)
	addresses := map[string][]string{}
	for line := range strings.Lines(string(tool(t, "nm", "-n", b.vmlinux))) {
		c := strings.Fields(line)
		if len(c) == 3 && strings.Contains("tTdDbBrRwWvV", c[1]) && !dropped.MatchString(c[2]) {
			addresses[c[2]] = append(addresses[c[2]], strings.TrimLeft(c[0], "0"))
		}
	}
	names := make([]string, 0, len(addresses))
	for name := range addresses {
		names = append(names, name)
	}
	slices.Sort(names)
	random := rand.New(rand.NewPCG(6, 1))
	for range 3000 {
		name := names[random.IntN(len(names))]
		var got []string
		for _, f := range r.Named(name) {
			if f.Object == "vmlinux" {
				got = append(got, strings.TrimLeft(strconv.FormatUint(f.Address, 16), "0"))
			}
		}
		// kallsyms has every symbol of these types that nm prints.
		want := slices.Clone(addresses[name])
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, nm says %v", name, got, want)
		}
	}
	out := kas(t, "lookup", "-r", b.registry(), b.rows[0].alias)
	if !strings.HasPrefix(out, b.rows[0].alias+" ") {
		t.Error(out)
	}
}

// makeModule builds an out-of-tree module against Debian's headers. With hooks, the registry is
// beside their Module.symvers.
func makeModule(t *testing.T, b *debianBuild, hooks bool) (module, log string) {
	t.Helper()
	headers := filepath.Join(cacheDir(), "corpus", "headers", "usr")
	build, err := filepath.Abs(only(t, headers+"/src/linux-headers-*-cloud-amd64"))
	if err != nil {
		t.Fatal("make corpus-headers:", err)
	}
	// Links make a folder that is the package as shipped, and has room for the registry.
	usr, root := filepath.Dir(filepath.Dir(build)), t.TempDir()
	own := filepath.Join(root, "src", filepath.Base(build))
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	link := func(from, to string) {
		if err := os.Symlink(from, to); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(usr, "lib"), filepath.Join(root, "lib"))
	link(only(t, filepath.Join(usr, "src", "linux-headers-*-common")),
		filepath.Join(root, "src", "common"))
	tool(t, "cp", "-a", build+"/.", own)
	if hooks {
		data, err := os.ReadFile(b.registry())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(own, registry.FileName), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	dir := filepath.Join(root, "twin")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "external"))); err != nil {
		t.Fatal(err)
	}
	makefile := filepath.Join(dir, "Makefile")
	if err := os.WriteFile(makefile, []byte("obj-m := kas_twin.o\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Debian's Makefile names the common headers by their installed path.
	args := []string{"-C", own, "-f", "../common/Makefile", "M=" + dir}
	if hooks {
		kas := need.Tool(t, "kas")
		args = append(args, "NM="+kas+" nm", "LD="+kas+" ld")
	}
	cmd := exec.Command("make", append(args, "modules")...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	return filepath.Join(dir, "kas_twin.ko"), string(out)
}

// aliasesIn returns "ORIGINAL ALIAS" for each alias in an object's symbol table, by nm.
func aliasesIn(t *testing.T, object string) []string {
	t.Helper()
	var all []string
	last := make([]string, 3)
	for line := range strings.Lines(string(tool(t, "nm", "-p", object))) {
		c := strings.Fields(line)
		if len(c) == 3 && strings.Contains(c[2], "@") {
			if c[0] != last[0] || c[1] != last[1] {
				t.Errorf("%s: %v follows %v", object, c, last)
			}
			all = append(all, last[2]+" "+c[2])
		}
		last = c
	}
	slices.Sort(all)
	return all
}

// TestKernelModule builds an out-of-tree module against Debian's headers, with the hooks and by kas
// module. It compares the late aliases with the kernel's debugging information.
func TestKernelModule(t *testing.T) {
	b := built(t, "cloud-amd64")
	source, err := os.ReadFile("testdata/external/kas_twin.c")
	if err != nil {
		t.Fatal(err)
	}
	opening := func(name string) int { // the line of the brace below the function's name
		for i, line := range strings.Split(string(source), "\n") {
			if strings.HasPrefix(line, "DISTINCT ") && strings.Contains(line, " "+name+"(") {
				return i + 2
			}
		}
		t.Fatal("no", name)
		return 0
	}
	var want []string
	for _, name := range []string{"name_show", "vfs_fallocate", "xfs_inode_alloc"} {
		want = append(want, fmt.Sprintf("%s %s@kas_twin_c_%d", name, name, opening(name)))
	}

	linked, log := makeModule(t, b, true)
	if got := aliasesIn(t, linked); !slices.Equal(got, want) {
		t.Errorf("the hooks made %v, want %v", got, want)
	}
	for _, name := range []string{
		"vfs_fallocate of vmlinux was unique; ", "xfs_inode_alloc of fs/xfs/xfs.ko was unique; ",
	} {
		if !strings.Contains(log, "kas: "+name) {
			t.Errorf("make does not say %q:\n%s", name, log)
		}
	}

	plain, log := makeModule(t, b, false)
	if strings.Contains(log, "kas:") || len(aliasesIn(t, plain)) != 0 {
		t.Errorf("aliases without the hooks:\n%s", log)
	}
	overlay := filepath.Join(t.TempDir(), "overlay.kas")
	kas(t, "module", plain, "-r", b.registry(), "--update", overlay, "--vmlinux", b.vmlinux,
		"--modules", b.modules)
	if got := aliasesIn(t, plain+".kas"); !slices.Equal(got, want) {
		t.Errorf("kas module made %v, want %v", got, want)
	}

	r := openOne(t, overlay, b.registry())
	for _, c := range []struct{ name, object, file string }{
		{"vfs_fallocate", "vmlinux", b.vmlinux},
		{"xfs_inode_alloc", "fs/xfs/xfs.ko", filepath.Join(b.modules, "fs/xfs/xfs.ko")},
	} {
		found := r.Named(c.name)
		i := slices.IndexFunc(found, func(f registry.Record) bool { return f.Object == c.object })
		if len(found) != 2 || i < 0 {
			t.Errorf("%s: %+v", c.name, found)
			continue
		}
		f := found[i]
		// Another reader of the debugging information finds the row at the function's address.
		location := strings.TrimSpace(string(tool(t, "llvm-addr2line-19", "-e", c.file,
			fmt.Sprintf("%#x", f.Address))))
		file, line, _ := strings.Cut(location, ":")
		if !strings.HasSuffix(file, "/"+f.File) || line != strconv.FormatInt(f.Line, 10) ||
			!f.Late() || f.Count != 2 {
			t.Errorf("%s: %+v, addr2line says %s", c.name, f, location)
		}
		spelled := strings.NewReplacer("/", "_", ".", "_").Replace(f.File)
		if want := c.name + "@" + spelled + "_" + line; f.Alias != want {
			t.Errorf("late alias %s, want %s", f.Alias, want)
		}
	}
	if found := r.Named("kas_twin_only"); len(found) != 1 || !found[0].Late() ||
		found[0].Count != 1 {
		t.Errorf("kas_twin_only: %+v", found)
	}
}

// TestKernelVersions compares two versions of one kernel, and checks the kind of each alias against
// the aliases of both runs.
func TestKernelVersions(t *testing.T) {
	older, newer := built(t, "cloud-amd64-old"), built(t, "cloud-amd64")
	type location struct{ name, file, unit string }
	byAlias := func(b *debianBuild) (map[string]aliasRow, map[location]int) {
		rows, count := map[string]aliasRow{}, map[location]int{}
		for _, r := range b.rows {
			rows[r.alias] = r
			count[location{r.symbol, r.file, r.unit}]++
		}
		return rows, count
	}
	was, wasCount := byAlias(older)
	is, isCount := byAlias(newer)

	kinds, seen := map[string]int{}, map[string]bool{}
	list := kas(t, "diff", older.registry(), newer.registry(), "--list")
	for i, line := range strings.Split(strings.TrimSuffix(list, "\n"), "\n") {
		c := strings.Split(line, "\t")
		if i == 0 || c[3] == "" && c[4] == "" {
			continue // the header, or a name
		}
		kinds[c[0]]++
		a, b := was[c[3]], is[c[4]]
		if c[3] != "" {
			if seen[c[3]] || a.alias == "" {
				t.Errorf("%s: twice, or not an alias of the older kernel", line)
			}
			seen[c[3]] = true
		}
		same := a.symbol == b.symbol && a.file == b.file && a.unit == b.unit
		one := isCount[location{a.symbol, a.file, a.unit}] == 1 &&
			wasCount[location{a.symbol, a.file, a.unit}] == 1
		switch c[0] {
		case "same":
			if !same || a.alias != b.alias {
				t.Errorf("%s: %+v, %+v", line, a, b)
			}
		case "line":
			if !same || a.line == b.line {
				t.Errorf("%s: %+v, %+v", line, a, b)
			}
		case "gone":
			if one {
				t.Errorf("%s: a function of this name, file and unit is there", line)
			}
		case "new":
			if wasCount[location{b.symbol, b.file, b.unit}] > 0 && one {
				t.Errorf("%s: a function of this name, file and unit was there", line)
			}
		}
	}
	if len(seen) != len(was) {
		t.Errorf("diff lists %d of %d aliases", len(seen), len(was))
	}
	if kinds["same"] < len(was)/2 || kinds["reused"] > 0 {
		t.Errorf("%v of %d", kinds, len(was))
	}
	t.Log(kinds)

	// Compared with itself, every alias is the same.
	list = kas(t, "diff", newer.registry(), newer.registry(), "--list")
	for i, line := range strings.Split(strings.TrimSuffix(list, "\n"), "\n") {
		if c := strings.Split(line, "\t"); i > 0 && (c[0] != "same" || c[3] != c[4]) {
			t.Errorf("with itself: %s", line)
		}
	}
	var stdout, stderr strings.Builder
	moved := []string{"diff", older.registry(), newer.registry(), "--fail-on", "moved"}
	code := run(moved, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "moved") {
		t.Errorf("--fail-on moved: exit %d, %s", code, stderr.String())
	}
}

// TestKernelEveryAlias is TestEveryAlias for the real kernels in the cache.
func TestKernelEveryAlias(t *testing.T) {
	for i, k := range corpora {
		t.Run(k.flavour, func(t *testing.T) {
			if i > 0 && !hasCorpus(k.flavour) {
				t.Skipf("make corpus-%s brings this kernel", k.flavour)
			}
			b := built(t, k.flavour)
			probed := everyAlias(t, b.registry(), func(object string) []byte {
				if object == registry.Vmlinux {
					return readFile(t, b.vmlinux)
				}
				return readFile(t, filepath.Join(b.modules, object))
			})
			const format = "%d of %d aliases can be probed without asking the running kernel"
			t.Logf(format, probed, len(b.rows))
			if probed < len(b.rows)*9/10 {
				t.Errorf(format, probed, len(b.rows))
			}
		})
	}
}
