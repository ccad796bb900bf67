package kbuild

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// vmlinuxAliases are the aliases of an image, for the sources in testdata/hooks: see expect.
var vmlinuxAliases = []string{
	"name_show init/main.c", "name_show kernel/irq.c", "name_show lib/text.c",
	"setup init/main.c", "setup kernel/irq.c",
	"probe kernel/irq.c",     // a module has a probe, too
	"text_length lib/text.c", // global; a module has a local one
	"reset include/shared.h init/main.c", "reset include/shared.h kernel/irq.c",
}

// moduleAliases are the aliases of the modules. setup has none: its section is freed after load.
var moduleAliases = map[string][]string{
	"a": {"name_show drivers/a_main.c", "name_show drivers/a_util.c", "probe drivers/a_main.c",
		"reset include/shared.h drivers/a_main.c",
		"common_probe drivers/a_main.c", "common_scan drivers/a_util.c",
		"common_weak drivers/a_main.c"},
	"b": {"name_show drivers/b_main.c", "text_length drivers/b_util.c",
		"common_probe drivers/b_main.c", "common_scan drivers/b_util.c",
		"common_weak drivers/b_main.c"},
}

// A call that the hooks pass through, and with KAS=0 every call, does byte for byte what the real
// tool does.
func TestPassThrough(t *testing.T) {
	eachSuite(t, linkers, func(t *testing.T, s suite) {
		k := newKernel(t, s)
		k.ok(k.run(k.ld, imageArgs(".tmp_vmlinux1")...))
		k.ok(k.run(k.ld, imageArgs("vmlinux")...))
		tool := map[string]string{"nm": k.nm, "ld": k.ld}
		same := func(env []string, hook string, args ...string) {
			t.Helper()
			l, _ := parseLink(args)
			out := l.out
			written := func() string {
				if out == "" || !k.exists(out) {
					return "nothing"
				}
				defer os.Remove(k.path(out))
				return k.read(out)
			}
			real := k.run(tool[hook], args...)
			realFile := written()
			kas := k.runEnv(env, "kas", append([]string{hook}, args...)...)
			kasFile := written()
			if kas.stdout != real.stdout || kas.stderr != real.stderr || kas.status != real.status {
				t.Errorf("kas %s %q: exit %d\n%s%s\nwant exit %d\n%s%s", hook, args, kas.status,
					kas.stdout, kas.stderr, real.status, real.stdout, real.stderr)
			}
			if realFile != kasFile {
				t.Errorf("kas %s %q writes a different %s", hook, args, out)
			}
		}
		for _, args := range [][]string{
			{"--help"}, {"--version"}, {"-V"}, {"--nonsense"}, {},
			{"vmlinux"}, {".tmp_vmlinux1"}, {"-S", "vmlinux"}, {"-n", "-S", "vmlinux"},
			{"vmlinux", "-n"},
			{"-n", "drivers/a.o"}, {"-n", "vmlinux.o"}, {"-n", "drivers/a.o", "vmlinux"},
			{"-n", ".tmp_vmlinux8"}, {"-n", "nosuch.o"},
		} {
			same(nil, "nm", args...)
		}
		for _, args := range [][]string{
			{"--help"}, {"--version"}, {"-v"}, {"--nonsense"}, {},
			{"-r", "-o", "part.o", "drivers/a_main.o", "drivers/a_util.o"},
			{"-r", "-opart.o", "drivers/a_main.o"},
			imageArgs("setup.elf"), imageArgs("vmlinux"),
			imageArgs(".tmp_vmlinux2", "--strip-debug", "kallsyms1.o"),
			imageArgs(".tmp_vmlinux.btf"),
			{"-o", "whole", "drivers/b_main.o"},                          // undefined symbols
			{"-T", "scripts/nosuch.lds", "-r", "-o", "x.o", "vmlinux.o"}, // no such script
			{"-o", "drivers/a.ko", "drivers/nosuch.o"},
		} {
			same(nil, "ld", args...)
		}
		off := []string{"KAS=0"}
		same(off, "nm", "-n", ".tmp_vmlinux1")
		same(off, "nm", "-n", "vmlinux")
		same(off, "nm", "--version")
		same(off, "ld", imageArgs(".tmp_vmlinux1", "--strip-debug")...)
		same(off, "ld", module("drivers/a")...)
		same(off, "ld", "-v")
		for _, name := range []string{".tmp_kas_emitted", "drivers/.tmp_a.o.kas"} {
			if k.exists(name) {
				t.Error(name, "was made")
			}
		}
	})
}

// entries splits a list into its alias lines and the rest. Each alias must follow its original.
func (k *kernel) entries(list string) (aliases []named, addresses []string, rest string) {
	k.Helper()
	var kept strings.Builder
	last := make([]string, 3)
	for line := range strings.Lines(list) {
		c := strings.Fields(line)
		if len(c) != 3 || !isAlias(c[2]) {
			kept.WriteString(line)
			last = c
			continue
		}
		if c[0] != last[0] || c[1] != last[1] || !strings.HasPrefix(c[2], last[2]+"@") {
			k.Errorf("alias %q follows %q", c, last)
		}
		aliases = append(aliases, named{last[2], c[2]})
		addresses = append(addresses, c[0])
	}
	return aliases, addresses, kept.String()
}

// list returns the aliases in the list of an image, and checks the rest of it against the real nm.
func (k *kernel) list(image string) (aliases []named, addresses []string) {
	k.Helper()
	aliases, addresses, rest := k.entries(k.ok(k.run("kas", "nm", "-n", image)))
	if want := k.ok(k.run(k.nm, "-n", image)); rest != want {
		k.Errorf("%s: the list without aliases is\n%s, want\n%s", image, rest, want)
	}
	return aliases, addresses
}

// checkLocations checks the locations in aliases of an image against llvm-addr2line.
func (k *kernel) checkLocations(image string, aliases []named, addresses []string) {
	k.Helper()
	args := append([]string{"-e", image}, addresses...)
	locations := strings.Fields(k.ok(k.run("llvm-addr2line-19", args...)))
	for i, a := range aliases {
		file, line, _ := strings.Cut(locations[i], ":")
		if from, err := filepath.Rel(filepath.Join(shared, k.cc), file); err == nil {
			file = from
		}
		if !strings.Contains(a.alias, "@"+underscored(file)+"_") ||
			!strings.HasSuffix(a.alias, "_"+line) {
			k.Errorf("%s: llvm-addr2line says %s", a.alias, locations[i])
		}
	}
}

func sorted(list []named) []named {
	return slices.SortedFunc(slices.Values(list),
		func(a, b named) int { return strings.Compare(a.alias, b.alias) })
}

func TestVmlinux(t *testing.T) {
	eachSuite(t, append(linkers, clang), func(t *testing.T, s suite) {
		for _, names := range [][]string{
			// 6.1, which may need a third pass
			{".tmp_vmlinux.kallsyms1", ".tmp_vmlinux.kallsyms2", ".tmp_vmlinux.kallsyms3",
				"vmlinux"},
			{".tmp_vmlinux1", ".tmp_vmlinux2", "vmlinux.unstripped"},
		} {
			k := newKernel(t, s)
			k.linkImages(names, false)
			// Without the object, the aliases of the first image are read from its own debugging
			// information.
			if err := os.Remove(k.path("vmlinux.o")); err != nil {
				t.Fatal(err)
			}
			k.linkImages(names, true)
		}
	})
}

// linkImages links images of vmlinux as link-vmlinux.sh does, and checks their lists. debug says
// whether the first must have debugging information.
func (k *kernel) linkImages(names []string, debug bool) {
	k.Helper()
	first, last := names[0], names[len(names)-1]
	whole := filepath.Join(k.TempDir(), "whole")
	args := func(image string, more ...string) []string {
		args := imageArgs(image, more...)
		if debug {
			args[slices.Index(args, "vmlinux.o")] = "saved.o"
		}
		return args
	}
	if !debug {
		copyFile(k.T, k.path("vmlinux.o"), k.path("saved.o"))
	}
	k.ok(k.kasLD(args(first, "--strip-debug")))
	k.ok(k.run(k.ld, args(whole)...))
	have, want := k.ok(k.run("nm", "-n", first)), k.ok(k.run("nm", "-n", whole))
	if have != want {
		k.Errorf("%s has the symbols\n%s, without kas\n%s", first, have, want)
	}
	hasDebug := func(image string) bool {
		return strings.Contains(k.ok(k.run("readelf", "-SW", image)), ".debug_info")
	}
	if hasDebug(first) != debug {
		k.Errorf("%s has debugging information: %t", first, !debug)
	}
	aliases, addresses := k.list(first)
	k.wantAliases(first, sorted(aliases), vmlinuxAliases)
	k.checkLocations(whole, aliases, addresses)
	for i, image := range names[1:] {
		args := args(image, fmt.Sprintf("kallsyms%d.o", min(i+1, 2)))
		if image != last {
			args = append(args, "--strip-debug")
		}
		k.ok(k.kasLD(args))
		if hasDebug(image) != (image == last) {
			k.Errorf("%s has debugging information: %t", image, image != last)
		}
		again, moved := k.list(image)
		if !slices.Equal(again, aliases) {
			k.Errorf("%s: aliases\n%v, those of %s\n%v", image, again, first, aliases)
		}
		if slices.Equal(moved, addresses) {
			k.Errorf("%s: no address moved, so the test proves nothing", image)
		}
	}
}

// If the first image does not have the symbols of vmlinux.o, it is linked with its debugging
// information. If vmlinux does not have the aliases of the first image, the next make does that.
func TestFirstImage(t *testing.T) {
	eachSuite(t, linkers, func(t *testing.T, s suite) {
		k := newKernel(t, s)
		link := func(image string, more ...string) {
			t.Helper()
			k.ok(k.kasLD(imageArgs(image, append(more, "--strip-debug")...)))
			have := strings.Contains(k.ok(k.run("readelf", "-SW", image)), ".debug_info")
			if want := len(more) > 0 || k.exists(".tmp_kas_slow"); have != want {
				t.Errorf("%s has debugging information: %t", image, have)
			}
		}
		more := "name_show@lib_more_c_"
		link(".tmp_vmlinux1", "lib/more.o")
		if list := k.ok(k.run("kas", "nm", "-n", ".tmp_vmlinux1")); !strings.Contains(list, more) {
			t.Errorf("no alias of lib/more.c:\n%s", list)
		}
		link(".tmp_vmlinux1")
		k.list(".tmp_vmlinux1")
		k.ok(k.kasLD(imageArgs("vmlinux", "lib/more.o")))
		k.refused(k.run("kas", "nm", "-n", "vmlinux"), "first image.*: run make again")
		link(".tmp_vmlinux1")
		k.list(".tmp_vmlinux1")
		if r := k.run("kas", "nm", "-n", "vmlinux"); strings.Contains(r.stderr, "run make again") {
			t.Errorf("twice: %s", r.stderr)
		} else {
			k.refused(r, "first image")
		}
		k.ok(k.kasLD(imageArgs("vmlinux")))
		k.list("vmlinux")
	})
}

// The real tools are found by --tool, LLVM and CROSS_COMPILE, and every nm gives the same list.
func TestTools(t *testing.T) {
	k := newKernel(t, gnu)
	for _, link := range []struct {
		env  []string
		tool []string
		real string
	}{
		{nil, nil, "ld"},
		{nil, []string{"--tool", "ld.lld-19"}, "ld.lld-19"},
		{nil, []string{"--tool=ld -z nodynamic-undefined-weak"}, "ld"},
		{[]string{"LLVM=-19"}, nil, "ld.lld-19"},
		{[]string{"CROSS_COMPILE=x86_64-linux-gnu-"}, nil, "x86_64-linux-gnu-ld"},
		{[]string{"LLVM=0", "CROSS_COMPILE=x86_64-linux-gnu-"}, nil, "x86_64-linux-gnu-ld"},
		{[]string{"LLVM=-19", "CROSS_COMPILE=x86_64-linux-gnu-"}, nil, "ld.lld-19"}, // as in kbuild
	} {
		have := k.ok(k.kasLD(append(slices.Clone(link.tool), "--version"), link.env...))
		if want := k.ok(k.run(link.real, "--version")); have != want {
			t.Errorf("%v %q is %s, want %s", link.env, link.tool, have, want)
		}
	}
	// LLVM=FOLDER/ and LLVM=1 need tools whose names have no version.
	folder := filepath.Join(t.TempDir(), "llvm")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ld.lld", "llvm-nm"} {
		script := "#!/bin/sh\necho " + name + " of a folder: \"$@\"\nexit 5\n"
		if err := os.WriteFile(filepath.Join(folder, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, env := range [][]string{{"LLVM=" + folder + "/"},
		{"LLVM=1", "PATH=" + folder + ":" + os.Getenv("PATH")}} {
		for hook, name := range map[string]string{"ld": "ld.lld", "nm": "llvm-nm"} {
			r := k.runEnv(env, "kas", hook, "a  b", "--tool", "c")
			if r.stdout != name+" of a folder: a  b --tool c\n" || r.stderr != "" || r.status != 5 {
				t.Errorf("%v: %+v", env, r)
			}
		}
	}

	k.ok(k.kasLD(imageArgs(".tmp_vmlinux1", "--strip-debug")))
	want, _ := k.list(".tmp_vmlinux1")
	for _, tool := range []string{"nm", "llvm-nm-19", "x86_64-linux-gnu-nm"} {
		have, _, rest := k.entries(k.ok(k.run("kas", "nm", "--tool", tool, "-n", ".tmp_vmlinux1")))
		if !slices.Equal(have, want) {
			t.Errorf("%s: aliases %v, want %v", tool, have, want)
		}
		if real := k.ok(k.run(tool, "-n", ".tmp_vmlinux1")); rest != real {
			t.Errorf("%s: the rest of the list is\n%s, want\n%s", tool, rest, real)
		}
	}
}

// Images that do not match fail the link, and nm prints nothing that could be used as a list.
func TestVmlinuxRefused(t *testing.T) {
	eachSuite(t, linkers, func(t *testing.T, s suite) {
		k := newKernel(t, s)
		ld := func(args []string) {
			t.Helper()
			k.ok(k.kasLD(args))
		}
		nm := func(image string) result { return k.run("kas", "nm", "-n", image) }
		first := imageArgs(".tmp_vmlinux1", "--strip-debug")
		second := imageArgs(".tmp_vmlinux2", "--strip-debug", "kallsyms1.o")

		ld(second)
		k.refused(nm(".tmp_vmlinux2"),
			`no aliases from the first image: open \.tmp_kas_first: no such file`)

		ld(first)
		k.ok(nm(".tmp_vmlinux1"))
		k.ok(nm(".tmp_vmlinux2"))
		more := imageArgs(".tmp_vmlinux2", "--strip-debug", "kallsyms1.o", "lib/more.o")
		ld(more)
		k.refused(nm(".tmp_vmlinux2"), "does not match the first image")

		// It lacks a symbol.
		k.partial("vmlinux", "init/main", "kernel/irq")
		ld(second)
		k.refused(nm(".tmp_vmlinux2"), "does not match the first image")

		// It has the same symbols in another order.
		k.partial("vmlinux", "kernel/irq", "init/main", "lib/text")
		ld(second)
		k.refused(nm(".tmp_vmlinux2"), "does not match the first image")

		k.partial("vmlinux", vmlinuxParts...)
		ld(second)
		k.ok(nm(".tmp_vmlinux2"))
		k.ok(k.run(k.ld, first...))
		k.refused(nm(".tmp_vmlinux2"), `\.tmp_vmlinux1 was removed or linked again`)

		ld(first)
		k.ok(nm(".tmp_vmlinux1"))
		k.ok(nm(".tmp_vmlinux2"))
		k.ok(k.run(k.ld, first...))
		k.refused(nm(".tmp_vmlinux1"), "has no debugging information, but its objects have")
		k.refused(nm(".tmp_vmlinux2"), `open \.tmp_kas_first: no such file`)

		// The last image does not depend on the first.
		ld(imageArgs("vmlinux", "kallsyms1.o"))
		k.ok(nm("vmlinux"))
		k.ok(k.run(k.ld, imageArgs("vmlinux", "--strip-debug")...))
		k.refused(nm("vmlinux"), "has no debugging information, but its objects have")

		k.write(".tmp_vmlinux1", k.read(".tmp_vmlinux1")[:4000])
		if r := nm(".tmp_vmlinux1"); r.status == 0 || r.stdout != "" {
			t.Errorf("truncated image: %+v", r)
		}
		if left := k.leftovers(); left != nil {
			t.Error("temporary files left:", left)
		}
	})
}

// In a tree without modules only the names of vmlinux count.
func TestVmlinuxAlone(t *testing.T) {
	k := newKernel(t, gnu)
	if err := os.Remove(k.path("modules.order")); err != nil {
		t.Fatal(err)
	}
	k.ok(k.kasLD(imageArgs(".tmp_vmlinux1", "--strip-debug")))
	have, _ := k.list(".tmp_vmlinux1")
	var want []string
	for _, a := range vmlinuxAliases {
		// only modules have these, too
		if !strings.HasPrefix(a, "probe ") && !strings.HasPrefix(a, "text_length ") {
			want = append(want, a)
		}
	}
	k.wantAliases("vmlinux", sorted(have), want)
	// A module that is listed but not built does not count.
	k.order("drivers/a.o", "drivers/b.o")
	for _, name := range []string{"drivers/a.o", "drivers/b.o"} {
		if err := os.Remove(k.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if again, _ := k.list(".tmp_vmlinux1"); !slices.Equal(again, have) {
		t.Errorf("with modules that are not built: %v, want %v", again, have)
	}
}

func TestModules(t *testing.T) {
	eachSuite(t, append(linkers, clang), func(t *testing.T, s suite) {
		for _, suffix := range []string{".ko", ".o"} { // 6.1, 6.12
			k := newKernel(t, s)
			k.order("drivers/a"+suffix, "drivers/b"+suffix, "drivers/c"+suffix)
			for _, name := range []string{"a", "b", "c"} {
				path := "drivers/" + name
				before, content := k.state(path+".o"), k.read(path+".o")
				k.linkModule(path)
				k.wantAliases(path, k.aliased(path), moduleAliases[name])
				if k.state(path+".o") != before || k.read(path+".o") != content {
					t.Errorf("%s.o was written", path)
				}
			}
			for _, name := range []string{"a", "b"} {
				copied := "drivers/.tmp_" + name + ".o.kas"
				if out := k.ok(k.run("readelf", "-sW", copied)); !isAlias(out) {
					t.Error(copied, "has no aliases")
				}
			}
			if k.exists("drivers/.tmp_c.o.kas") {
				t.Error("a module without aliases has a copy")
			}
			kas := k.read("drivers/c.ko")
			if k.ok(k.kasLD(module("drivers/c"), "KAS=0")); k.read("drivers/c.ko") != kas {
				t.Error("a module without aliases is not the same as without kas")
			}
			if left := k.leftovers(); left != nil {
				t.Error("temporary files left:", left)
			}
		}
	})
}

// A change makes the copies that depend on it again, and no others.
func TestModulesAgain(t *testing.T) {
	eachSuite(t, linkers, func(t *testing.T, s suite) {
		k := newKernel(t, s)
		states := func(names ...string) (all []string) {
			for _, name := range names {
				all = append(all, name+" "+k.state(name))
			}
			return all
		}
		k.linkModule("drivers/a")
		k.linkModule("drivers/b")
		copies := states("drivers/.tmp_a.o.kas", "drivers/.tmp_b.o.kas", ".tmp_kas_emitted")
		linked := k.read("drivers/a.ko")
		k.linkModule("drivers/a")
		k.linkModule("drivers/b")
		now := states("drivers/.tmp_a.o.kas", "drivers/.tmp_b.o.kas", ".tmp_kas_emitted")
		if !slices.Equal(now, copies) {
			t.Errorf("no input changed, but files did, from\n%s\nto\n%s",
				strings.Join(copies, "\n"), strings.Join(now, "\n"))
		}
		if k.read("drivers/a.ko") != linked {
			t.Error("the second link is different")
		}

		// b is built again, from c's source instead of b_main.
		k.partial("drivers/b", "drivers/b_util", "drivers/c")
		k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
		k.linkModule("drivers/b")
		var names []string
		for _, a := range k.aliased("drivers/b") {
			names = append(names, a.name)
		}
		if want := []string{"common_scan", "lonely", "text_length"}; !slices.Equal(names, want) {
			t.Errorf("b has aliases of %q, want %q", names, want)
		}
		k.linkModule("drivers/a")
		for _, a := range k.aliased("drivers/a") {
			if a.name == "common_probe" {
				t.Error("common_probe is only in one module now, and has an alias")
			}
		}
		k.linkModule("drivers/c")
		if len(k.aliased("drivers/c")) != 1 {
			t.Error("lonely is in two modules now, and has no alias")
		}

		// b is as before: c shares no name again.
		k.partial("drivers/b", moduleParts["b"]...)
		k.order("drivers/a.o", "drivers/b.o", "drivers/c.o")
		k.linkModule("drivers/c")
		if have := k.aliased("drivers/c"); have != nil {
			t.Errorf("lonely is unique again, but c has aliases %v", have)
		}
		k.linkModule("drivers/b")
		k.wantAliases("b again", k.aliased("drivers/b"), moduleAliases["b"])

		// vmlinux.o is built again, without its probe: a's is unique.
		k.partial("vmlinux", "init/main", "lib/text")
		k.linkModule("drivers/a")
		for _, a := range k.aliased("drivers/a") {
			if a.name == "probe" {
				t.Error("probe is in no other object any more, and has an alias")
			}
		}

		// A copy that was removed or changed is made again.
		want := k.read("drivers/.tmp_a.o.kas")
		if err := os.Remove(k.path("drivers/.tmp_a.o.kas")); err != nil {
			t.Fatal(err)
		}
		k.linkModule("drivers/a")
		if k.read("drivers/.tmp_a.o.kas") != want {
			t.Error("the copy made in place of a removed one is different")
		}
		k.write("drivers/.tmp_a.o.kas", "nonsense")
		k.linkModule("drivers/a")
		if k.read("drivers/.tmp_a.o.kas") != want {
			t.Error("a changed copy was kept")
		}
	})
}

// newMany returns a tree with many modules of one source.
func newMany(t *testing.T) *kernel {
	t.Helper()
	k := newKernel(t, gnu)
	k.order(k.manyObjects()...)
	return k
}

func (k *kernel) manyObjects() (all []string) {
	for i := range many {
		all = append(all, fmt.Sprintf("drivers/m%d.o", i))
	}
	return all
}

// checkMany checks the aliases of module i of newMany.
func (k *kernel) checkMany(i int) {
	k.Helper()
	path := fmt.Sprintf("drivers/m%d", i)
	var have []string
	for _, s := range k.symbols(path + ".ko") {
		if isAlias(s.name) {
			have = append(have, s.name)
		}
	}
	slices.Sort(have)
	var want []string
	for _, n := range k.expect("many_probe "+path+".c", "many_show "+path+".c") {
		want = append(want, n.alias)
	}
	if !slices.Equal(have, want) {
		k.Errorf("%s: aliases %q, want %q", path, have, want)
	}
}

// Of many links at once, one makes the copies and all use them.
func TestAtOnce(t *testing.T) {
	k := newMany(t)
	// The real ld of each link writes down which versions of the files it finds.
	k.write("ld.sh", `#!/bin/sh
stat -c '%i %.Y' .tmp_kas_emitted drivers/.tmp_m[0-7].o.kas > $$.seen
exec ld "$@"
`)
	if err := os.Chmod(k.path("ld.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	results := make([]result, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			args := append([]string{"--tool", "./ld.sh"}, module(fmt.Sprintf("drivers/m%d", i))...)
			results[i] = k.kasLD(args)
		})
	}
	all.Wait()
	for i, r := range results {
		k.ok(r)
		k.checkMany(i)
	}
	seen, err := filepath.Glob(k.path("*.seen"))
	if err != nil || len(seen) != many {
		t.Fatal(seen, err)
	}
	for _, path := range seen[1:] {
		if k.read(path) != k.read(seen[0]) {
			t.Errorf("the copies were made more than once:\n%s\n%s", k.read(seen[0]), k.read(path))
		}
	}
	if left := k.leftovers(); left != nil {
		t.Error("temporary files left:", left)
	}
}

// A bad input fails the call with one line, and leaves nothing that looks like a result.
func TestBadInput(t *testing.T) {
	link := func(k *kernel, env ...string) result {
		return k.kasLD(module("drivers/a"), env...)
	}
	write := func(name, text string) func(*kernel) {
		return func(k *kernel) { k.write(name, text) }
	}
	truncate := func(name string) func(*kernel) {
		return func(k *kernel) { k.write(name, k.read(name)[:1000]) }
	}
	const bitcode = "BC\xc0\xde5\x14\x00\x00\x05\x00\x00\x00"
	const (
		noYAML   = "alias: {separator: [\n"
		badKey   = "alias:\n  seperator: '~'\n"
		badValue = "alias: {line: some}\n"
	)
	for _, c := range []struct {
		name   string
		spoil  func(k *kernel)
		env    string
		reason string
	}{
		{"truncated", truncate("drivers/b.o"), "", `drivers/b\.o`},
		{"empty", write("drivers/b.o", ""), "", `drivers/b\.o`},
		{"truncated itself", truncate("drivers/a.o"), "", `drivers/a\.o`},
		{"text", write("drivers/a.o", "#!/bin/sh\nexit 0\n"), "", `drivers/a\.o.*ELF`},
		{"bitcode", write("drivers/a.o", bitcode), "", `drivers/a\.o.*ELF`},
		{"vmlinux", truncate("vmlinux.o"), "", `vmlinux`},
		{"not listed", func(k *kernel) { k.order("drivers/b.o") }, "",
			`drivers/a\.o is not in modules\.order`},
		{"no configuration", func(k *kernel) {}, "KAS_CONFIG=nosuch.yaml",
			`nosuch\.yaml.*no such file`},
		{"no YAML", write("k.yaml", "version: 1\n"+noYAML), "KAS_CONFIG=k.yaml",
			`k\.yaml:\d+(:\d+)?: `},
		{"key", write("k.yaml", "version: 1\n"+badKey), "KAS_CONFIG=k.yaml",
			`k\.yaml:3:3: .*seperator`},
		{"value", write("k.yaml", "version: 1\n"+badValue), "KAS_CONFIG=k.yaml", `k\.yaml:2:15: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKernel(t, gnu)
			c.spoil(k)
			k.refused(link(k, c.env), c.reason)
			if k.exists("drivers/a.ko") {
				t.Error("a module was linked")
			}
			if left := k.leftovers(); left != nil {
				t.Error("temporary files left:", left)
			}
			copies, err := filepath.Glob(k.path("*/*.kas"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range copies { // those of intact objects may be there, and must be valid
				k.symbols(path)
			}
			// With KAS=0 the real tool decides.
			off := link(k, c.env, "KAS=0")
			real := k.run("ld", module("drivers/a")...)
			if off.status != real.status || off.stderr != real.stderr {
				t.Errorf("with KAS=0: %+v", off)
			}
		})
	}

	t.Run("tools", func(t *testing.T) {
		t.Parallel()
		k := newKernel(t, gnu)
		const none = `the real tool nosuch is not on the path: name it with --tool`
		k.refused(k.kasLD(append([]string{"--tool", "nosuch"}, module("drivers/a")...)), none)
		k.refused(k.run("kas", "ld", "--tool=nosuch", "--version"), none)
		k.refused(k.run("kas", "nm", "--tool", "nosuch", "-n", "vmlinux"), none)
		k.refused(k.run("kas", "nm", "--tool", "nosuch", "vmlinux.o"), none)
		k.refused(k.run("kas", "nm", "--tool", "./nosuch", "vmlinux.o"), `\./nosuch`)
		k.refused(k.run("kas", "nm", "--tool", "", "vmlinux.o"), "--tool")
		k.refused(k.runEnv([]string{"CROSS_COMPILE=nosuch-"}, "kas", "ld", "-v"),
			"nosuch-ld is not on the path")
		k.refused(k.runEnv([]string{"LLVM=-1"}, "kas", "nm", "-V"), "llvm-nm-1 is not on the path")

		// The real tool fails while kas waits for it.
		r := k.kasLD(append([]string{"--tool", "false"}, module("drivers/a")...))
		if r.status != 1 || r.stdout+r.stderr != "" {
			t.Errorf("%+v", r)
		}
		k.write("die.sh", "kill -KILL $$\n")
		r = k.kasLD(append([]string{"--tool", "sh die.sh"}, module("drivers/a")...))
		if r.status != 128+9 {
			t.Errorf("%+v", r)
		}
		bad := append(module("drivers/a"), "--nonsense")
		kas, real := k.kasLD(bad), k.run("ld", bad...)
		if kas.status != real.status || kas.stdout != real.stdout || kas.stderr != real.stderr {
			t.Errorf("%+v\nwant\n%+v", kas, real)
		}
		// A tool that succeeds but links something else.
		k.write("lie.sh", "cp drivers/c.o drivers/a.ko\n")
		k.refused(k.kasLD(append([]string{"--tool", "sh lie.sh"}, module("drivers/a")...)),
			`drivers/a\.ko`)
		if k.exists("drivers/a.ko") {
			t.Error("a module without its aliases is left")
		}
	})

	t.Run("nm", func(t *testing.T) {
		t.Parallel()
		k := newKernel(t, gnu)
		first := imageArgs(".tmp_vmlinux1", "--strip-debug")
		k.ok(k.kasLD(imageArgs("vmlinux")))
		bad := []string{"KAS_CONFIG=nosuch.yaml"}
		k.refused(k.runEnv(bad, "kas", "nm", "-n", "vmlinux"), `nosuch\.yaml`)
		// The linker itself may warn, too.
		fails := func(r result, want string) {
			t.Helper()
			if r.status != 1 || strings.Count(r.stderr, "kas: ld: ") != 1 ||
				!strings.Contains(r.stderr, want) {
				t.Errorf("%+v, want %q", r, want)
			}
		}
		fails(k.kasLD(first, bad...), "nosuch.yaml")
		if k.exists(".tmp_vmlinux1") {
			t.Error("an image without aliases is left")
		}
		k.write("drivers/b.o", k.read("drivers/b.o")[:1000])
		k.refused(k.run("kas", "nm", "-n", "vmlinux"), `drivers/b\.o`)
		fails(k.kasLD(first), "drivers/b.o")
		// A tool whose list lacks symbols that have aliases.
		k.partial("drivers/b", moduleParts["b"]...)
		k.ok(k.kasLD(first))
		k.write("lie.sh", "nm -n \"$2\" | grep -v name_show\n")
		r := k.run("kas", "nm", "--tool", "sh lie.sh", "-n", ".tmp_vmlinux1")
		if r.status != 1 || !strings.Contains(r.stderr, "not in the list of the real nm") ||
			strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// KAS_CONFIG sets the policy, and another policy makes other copies.
func TestPolicy(t *testing.T) {
	k := newKernel(t, gnu)
	aliases := func(config, mark string) []string {
		t.Helper()
		var env []string
		if config != "" {
			env = append(env, "KAS_CONFIG="+config)
		}
		k.ok(k.kasLD(module("drivers/a"), env...))
		k.ok(k.kasLD(imageArgs(".tmp_vmlinux1", "--strip-debug"), env...))
		list := k.ok(k.runEnv(env, "kas", "nm", "-n", ".tmp_vmlinux1"))
		var all []string
		for _, s := range k.symbols("drivers/a.ko") {
			if strings.Contains(s.name, mark) {
				all = append(all, s.name)
			}
		}
		for line := range strings.Lines(list) {
			if c := strings.Fields(line); strings.Contains(c[2], mark) {
				all = append(all, c[2])
			}
		}
		return all
	}
	want := func(what string, have []string, names ...string) {
		t.Helper()
		for _, name := range names {
			if !slices.Contains(have, name) {
				t.Errorf("%s: no %s in %q", what, name, have)
			}
		}
	}
	plain := aliases("", "@")
	if n := len(vmlinuxAliases) + len(moduleAliases["a"]); len(plain) != n {
		t.Fatalf("%d aliases, want %d", len(plain), n)
	}
	k.write("k.yaml", "version: 1\nalias: {separator: '~'}\n")
	other := aliases("k.yaml", "~")
	for i := range plain {
		plain[i] = strings.Replace(plain[i], "@", "~", 1)
	}
	if !slices.Equal(other, plain) {
		t.Errorf("with another separator\n%q, want\n%q", other, plain)
	}
	k.write("k.yaml", "version: 1\nalias: {line: none}\n")
	want("without lines", aliases("k.yaml", "@"), "name_show@drivers_a_main_c",
		"name_show@init_main_c", "common_probe@drivers_a_main_c")
	k.write("k.yaml", "version: 1\nalias: {symbols: all}\n")
	data := aliases("k.yaml", "@")
	want("with data", data, k.expect("name_show drivers/a_main.c")[0].alias)
	if n := strings.Count(strings.Join(data, " "), "state@"); n != 3 {
		t.Errorf("%d aliases of state, want one in a and two in vmlinux: %q", n, data)
	}
	// The hooks ignore everything in the configuration except the policy.
	k.write("k.yaml", "version: 1\nout: elsewhere\nalias: {separator: '~'}\n"+
		"emit: {beside: false, unaliased: link}\nbuilds: [{name: x, vmlinux: nosuch}]\n")
	if again := aliases("k.yaml", "~"); !slices.Equal(again, plain) {
		t.Errorf("with a whole configuration\n%q, want\n%q", again, plain)
	}
	if k.exists("elsewhere") || k.exists("drivers/.tmp_c.o.kas") {
		t.Error("the hooks wrote the output that the configuration describes")
	}
	if again := aliases("", "@"); len(again) != len(plain) {
		t.Errorf("without a configuration again: %q", again)
	}
}

// With make M=DIR only the modules there are written. The names of the tree count.
func TestExternal(t *testing.T) {
	for _, inside := range []bool{false, true} { // make runs in the tree, from 6.13 on in DIR
		k := newKernel(t, gnu)
		tree := k.dir
		k.linkModule("drivers/a")
		before := k.state("drivers/.tmp_a.o.kas") + k.state(".tmp_kas_emitted")
		ext := filepath.Join(t.TempDir(), "ext")
		err := os.CopyFS(filepath.Join(ext, "scripts"), os.DirFS(k.path("scripts")))
		if err != nil {
			t.Fatal(err)
		}
		k.partial(filepath.Join(ext, "many"), "drivers/m0", "lib/more")
		if err := os.Rename(k.path("drivers/m.mod.o"), filepath.Join(ext, "m.mod.o")); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(ext, "many")
		k.env = append(k.env, "KBUILD_EXTMOD="+ext)
		listed := name + ".o"
		if inside {
			k.env = append(k.env, "objtree="+tree)
			k.dir, name, listed = ext, "many", "many.o"
		}
		err = os.WriteFile(filepath.Join(ext, "modules.order"), []byte(listed+"\n"), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		args := append(slices.Clone(ldFlags), "-r", "-T", "scripts/module.lds", "-o", name+".ko",
			name+".o", filepath.Join(ext, "m.mod.o"))
		k.ok(k.kasLD(args))
		var have []string
		for _, s := range k.symbols(name + ".ko") {
			if isAlias(s.name) {
				have = append(have, s.name)
			}
		}
		// The tree has name_show and common_scan, too. many_show and many_probe are only here.
		k.dir = tree
		want := []string{k.expect("name_show lib/more.c")[0].alias,
			k.expect("common_scan lib/more.c")[0].alias}
		if !slices.Equal(have, want) {
			t.Errorf("inside %t: aliases %q, want %q", inside, have, want)
		}
		if k.state("drivers/.tmp_a.o.kas")+k.state(".tmp_kas_emitted") != before ||
			k.exists("drivers/b.ko") {
			t.Errorf("inside %t: the tree was written to", inside)
		}
		if !k.exists(filepath.Join(ext, ".tmp_many.o.kas")) ||
			!k.exists(filepath.Join(ext, ".tmp_kas_emitted")) {
			t.Errorf("inside %t: the copy or .kas is not in the module's folder", inside)
		}
		if inside {
			continue
		}
		// A folder of headers has neither the objects nor, from most builds, a registry.
		for _, name := range []string{"vmlinux.o", "modules.order"} {
			if err := os.Remove(filepath.Join(tree, name)); err != nil {
				t.Fatal(err)
			}
		}
		r := k.kasLD(args)
		k.ok(r)
		if n := strings.Count(r.stderr, "no registry of the kernel"); n != 1 {
			t.Errorf("without a registry there are %d warnings: %s", n, r.stderr)
		}
	}
}

// make M=drivers builds modules of the tree itself. Up to 6.12 the modules.order in the folder
// names them relative to where make runs, as in a whole build.
func TestPartOfTree(t *testing.T) {
	for _, c := range []struct {
		name     string
		absolute bool // M=$PWD/drivers
		whole    bool // after a build of the whole tree
	}{
		{"relative", false, true},
		{"absolute", true, true},
		{"relative alone", false, false},
		{"absolute alone", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKernel(t, gnu)
			folder := "drivers"
			if c.absolute {
				folder = k.path(folder)
			}
			k.write("drivers/modules.order", folder+"/a.o\n"+folder+"/b.o\n")
			if !c.whole {
				if err := os.Remove(k.path("modules.order")); err != nil {
					t.Fatal(err)
				}
			}
			args := append(slices.Clone(ldFlags), "-r", "--build-id=sha1", "-T",
				"scripts/module.lds", "-o", folder+"/a.ko", folder+"/a.o", folder+"/a.mod.o")
			k.ok(k.kasLD(args, "KBUILD_EXTMOD="+folder))
			k.wantAliases("a", k.aliased("drivers/a"), moduleAliases["a"])
		})
	}
}

// An output that cannot be written fails the call.
func TestFull(t *testing.T) {
	k := newKernel(t, gnu)
	k.ok(k.kasLD(imageArgs("vmlinux")))
	r := k.run("sh", "-c", "kas nm -n vmlinux >/dev/full")
	if r.status != 1 || !strings.Contains(r.stderr, "no space left") {
		t.Errorf("%+v", r)
	}
}

// In a kernel without debugging information the file symbols distinguish the local symbols, in
// every pass alike.
func TestNoDebug(t *testing.T) {
	k := newKernel(t, gnu)
	for _, part := range slices.Concat(vmlinuxParts, moduleParts["a"], moduleParts["b"],
		[]string{"drivers/c"}) {
		k.ok(k.run(k.cc, slices.Concat(cFlags, []string{part + ".o", part + ".c", "-g0"})...))
	}
	k.partial("vmlinux", vmlinuxParts...)
	k.partial("drivers/a", moduleParts["a"]...)
	k.partial("drivers/b", moduleParts["b"]...)
	var first []named
	for i, image := range []string{".tmp_vmlinux1", ".tmp_vmlinux2", "vmlinux"} {
		k.ok(k.kasLD(imageArgs(image, fmt.Sprintf("kallsyms%d.o", min(i+1, 2)))))
		aliases, _ := k.list(image)
		if first == nil {
			first = aliases
		}
		if !slices.Equal(aliases, first) {
			t.Errorf("%s: aliases\n%v, those of the first image\n%v", image, aliases, first)
		}
	}
	all := map[string]bool{}
	for _, name := range []string{"a", "b", "c"} {
		k.linkModule("drivers/" + name)
		first = append(first, k.aliased("drivers/"+name)...)
	}
	for _, a := range first {
		if all[a.alias] {
			t.Errorf("%s is not unique", a.alias)
		}
		all[a.alias] = true
	}
	for _, alias := range []string{"name_show@main_c", "name_show@irq_c", "name_show@text_c",
		"name_show@a_main_c", "name_show@b_main_c"} {
		if !all[alias] {
			t.Errorf("no %s in %v", alias, all)
		}
	}
}

// With the same source file in vmlinux and in modules, which are made in separate calls, every
// alias is unique.
func TestSameSource(t *testing.T) {
	k := newKernel(t, gnu)
	k.partial("vmlinux", "init/main", "lib/more")
	k.partial("drivers/a", "drivers/a_main", "lib/more")
	k.partial("drivers/b", "drivers/b_main", "lib/more")
	k.ok(k.kasLD(imageArgs(".tmp_vmlinux1", "--strip-debug")))
	all, _ := k.list(".tmp_vmlinux1")
	for _, name := range []string{"drivers/a", "drivers/b"} {
		k.linkModule(name)
		all = append(all, k.aliased(name)...)
	}
	seen := map[string]bool{}
	more := 0
	for _, a := range all {
		if seen[a.alias] {
			t.Errorf("%s is not unique", a.alias)
		}
		seen[a.alias] = true
		if strings.HasPrefix(a.alias, "name_show@lib_more_c_") {
			more++
		}
	}
	if more != 3 {
		t.Errorf("%d aliases of name_show of lib/more.c, want 3: %v", more, all)
	}
}
