package kbuild

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kas/need"
)

var update = flag.Bool("update", false, "write the golden files")

// installTree copies the build files of a version that testdata has.
func installTree(t *testing.T, version string) string {
	t.Helper()
	tree := t.TempDir()
	if err := os.CopyFS(tree, os.DirFS(filepath.Join("testdata/install", version))); err != nil {
		t.Fatal(err)
	}
	return tree
}

// kernelTrees calls f with a copy of the build files of each kernel in KAS_KERNEL_SOURCES, a list
// of folders as in PATH.
func kernelTrees(t *testing.T, f func(t *testing.T, tree string)) {
	sources := filepath.SplitList(os.Getenv("KAS_KERNEL_SOURCES"))
	if len(sources) == 0 {
		t.Skip("KAS_KERNEL_SOURCES names no kernel source trees")
	}
	for _, source := range sources {
		t.Run(filepath.Base(source), func(t *testing.T) {
			tree := t.TempDir()
			files, err := filepath.Glob(filepath.Join(source, "scripts/Makefile.*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Makefile", "init/Kconfig", "scripts/link-vmlinux.sh",
				"scripts/mksysmap", "scripts/Kbuild.include"} {
				files = append(files, filepath.Join(source, name))
			}
			for _, path := range files {
				name, err := filepath.Rel(source, path)
				if err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				writeTestFile(t, filepath.Join(tree, name), string(data), info.Mode().Perm())
			}
			f(t, tree)
		})
	}
}

func writeTestFile(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// listTree returns the mode and content of each file of a tree.
func listTree(t *testing.T, tree string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(tree, path)
		files[name] = info.Mode().String() + "\n" + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// change makes the changes of Install or Remove and returns the number of changed files.
func change(t *testing.T, plan func(string) (Changes, error), tree string) int {
	t.Helper()
	list, err := plan(tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Write(); err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// thereAndBack installs twice and removes twice. The second time must change nothing.
func thereAndBack(t *testing.T, tree string) {
	before := listTree(t, tree)
	list, err := Install(tree)
	if err != nil {
		t.Fatal(err)
	}
	var diff strings.Builder
	if err := list.Diff(&diff); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, listTree(t, tree)); d != "" {
		t.Fatalf("Install itself wrote:\n%s", d)
	}
	if n := change(t, Install, tree); n != len(insertions) {
		t.Errorf("install changed %d files", n)
	}
	with := listTree(t, tree)
	if len(with) != len(before) {
		t.Errorf("install added files:\n%s", cmp.Diff(before, with))
	}
	for name := range before {
		was, _, _ := strings.Cut(before[name], "\n")
		mode, _, _ := strings.Cut(with[name], "\n")
		if mode != was {
			t.Errorf("%s: mode %s became %s", name, was, mode)
		}
	}
	if n := change(t, Install, tree); n != 0 {
		t.Errorf("install changed %d files of a tree that has the option", n)
	}
	if n := change(t, Remove, tree); n != len(insertions) {
		t.Errorf("remove changed %d files", n)
	}
	if d := cmp.Diff(before, listTree(t, tree)); d != "" {
		t.Errorf("remove left:\n%s", d)
	}
	if n := change(t, Remove, tree); n != 0 {
		t.Errorf("remove changed %d files of a tree without the option", n)
	}
	// patch makes the same tree from the diff.
	patch := exec.Command(need.Tool(t, "patch"), "-p1", "-s", "--no-backup-if-mismatch", "-F0")
	patch.Dir, patch.Stdin = tree, strings.NewReader(diff.String())
	if out, err := patch.CombinedOutput(); err != nil {
		t.Fatalf("patch: %v\n%s\n%s", err, out, diff.String())
	}
	if d := cmp.Diff(with, listTree(t, tree)); d != "" {
		t.Errorf("patch made another tree from the diff:\n%s", d)
	}
}

func TestInstall(t *testing.T) {
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			tree := installTree(t, version)
			list, err := Install(tree)
			if err != nil {
				t.Fatal(err)
			}
			var diff strings.Builder
			if err := list.Diff(&diff); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata/install", version+".diff")
			if *update {
				writeTestFile(t, golden, diff.String(), 0o644)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), diff.String()); d != "" {
				t.Error(d)
			}
			thereAndBack(t, tree)
		})
	}
}

func TestInstallKernels(t *testing.T) {
	kernelTrees(t, func(t *testing.T, tree string) {
		thereAndBack(t, tree)
		change(t, Install, tree)
		out, err := exec.Command("sh", "-n",
			filepath.Join(tree, "scripts/link-vmlinux.sh")).CombinedOutput()
		if err != nil {
			t.Errorf("link-vmlinux.sh: %v\n%s", err, out)
		}
	})
}

// Install and Remove report every problem of a tree, and write nothing then.
func TestInstallRefused(t *testing.T) {
	edit := func(file, old, new string) func(t *testing.T, tree string) {
		return func(t *testing.T, tree string) {
			path := filepath.Join(tree, file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(data), old) {
				t.Fatalf("no %q in %s", old, file)
			}
			err = os.WriteFile(path, []byte(strings.ReplaceAll(string(data), old, new)), 0o644)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	both := func(f ...func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, tree string) {
			for _, f := range f {
				f(t, tree)
			}
		}
	}
	install := func(t *testing.T, tree string) { change(t, Install, tree) }
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, tree string)
		plan   func(string) (Changes, error)
		errors []string // one pattern for each line
	}{
		"no tree": {func(t *testing.T, tree string) { os.Remove(filepath.Join(tree, "Makefile")) },
			Install,
			[]string{`^TREE is not a kernel source tree: .*TREE/Makefile: no such file`}},
		"no kernel": {edit("Makefile", "PATCHLEVEL", "LEVEL"), Install,
			[]string{`^TREE is not a kernel source tree: TREE/Makefile has no lines VERSION `}},
		"old": {edit("Makefile", "VERSION = 6", "VERSION = 5"), Install,
			[]string{`^TREE is Linux 5\.12: kas needs 6\.1 or later$`}},
		"no anchors": {both(edit("init/Kconfig", "KALLSYMS_ALL", "KALLSYMS_EVERY"),
			edit("scripts/Makefile.modfinal", "%.o, $^", "%.o,$^")), Install,
			[]string{
				`^TREE/init/Kconfig: "config KALLSYMS_ALL" not found: kas does not know where `,
				`^TREE/scripts/Makefile.modfinal: "-o \$@ \$\(filter %\.o, \$\^\)" not found: `,
			}},
		"two anchors": {edit("init/Kconfig", "config KALLSYMS\n", "\nconfig KALLSYMS_ALL\n"),
			Install,
			[]string{`^TREE/init/Kconfig: "config KALLSYMS_ALL" found more than once: `}},
		"no file": {func(t *testing.T, tree string) {
			os.Remove(filepath.Join(tree, "scripts/link-vmlinux.sh"))
		}, Install,
			[]string{`TREE/scripts/link-vmlinux\.sh: no such file`}},
		"a link": {func(t *testing.T, tree string) {
			path := filepath.Join(tree, "init/Kconfig")
			if err := os.Rename(path, path+".real"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("Kconfig.real", path); err != nil {
				t.Fatal(err)
			}
		}, Install, []string{`^TREE/init/Kconfig is not a regular file$`}},
		"edited block": {both(install, edit("init/Kconfig", "by kas\"", "by Kas\"")), Remove,
			[]string{`^TREE/init/Kconfig:5: this block was edited after kas wrote it: `}},
		"edited block, again": {both(install, edit("init/Kconfig", "by kas\"", "by Kas\"")),
			Install,
			[]string{`^TREE/init/Kconfig:5: this block was edited after`}},
		"no end": {both(install, edit("scripts/link-vmlinux.sh", "# kas: end", "# kas end")),
			Remove,
			[]string{`^TREE/scripts/link-vmlinux\.sh:17: this block has no end, "# kas: end": `}},
		"edited line": {both(install,
			edit("scripts/Makefile.modfinal", "%.o$(kas-ext) %.mod.o", "%.o$(kas-ext)  %.mod.o")),
			Remove,
			[]string{`^TREE/scripts/Makefile\.modfinal: "kas-ext" is not as kas wrote it: `}},
		"part gone": {both(install,
			edit("scripts/Makefile.modfinal", "%.o$(kas-ext) %.mod.o", "%.o %.mod.o")), Remove,
			[]string{`^TREE/scripts/Makefile\.modfinal: 1 of the 3 parts of the option are `}},
		"another's": {edit("init/Kconfig", "config KALLSYMS\n", "config KALLSYMS_ALIAS\n"), Install,
			[]string{`^TREE/init/Kconfig: "KALLSYMS_ALIAS" is not as kas wrote it`}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := installTree(t, "6.12")
			c.spoil(t, tree)
			before := listTree(t, tree)
			_, err := c.plan(tree)
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Split(strings.ReplaceAll(err.Error(), tree, "TREE"), "\n")
			if len(got) != len(c.errors) {
				t.Fatalf("%d errors, want %d:\n%s", len(got), len(c.errors),
					strings.Join(got, "\n"))
			}
			for i, want := range c.errors {
				if !regexp.MustCompile(want).MatchString(got[i]) {
					t.Errorf("error %q, want %q", got[i], want)
				}
			}
			if d := cmp.Diff(before, listTree(t, tree)); d != "" {
				t.Error(d)
			}
		})
	}
}

// A killed install leaves the option in some files only. Install completes it, Remove removes it.
func TestInstallParts(t *testing.T) {
	for _, f := range insertions {
		tree := installTree(t, "6.1")
		before := listTree(t, tree)
		list, err := Install(tree)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if c.File == f.file {
				if err := (Changes{c}).Write(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := change(t, Install, tree); n != len(insertions)-1 {
			t.Errorf("after only %s was installed, install changed %d files", f.file, n)
		}
		change(t, Remove, tree)
		if d := cmp.Diff(before, listTree(t, tree)); d != "" {
			t.Errorf("after only %s was installed, remove left:\n%s", f.file, d)
		}
	}
}

// If one file cannot be written, none is.
func TestInstallAll(t *testing.T) {
	for i, f := range insertions {
		tree := installTree(t, "6.12")
		list, err := Install(tree)
		if err != nil {
			t.Fatal(err)
		}
		before := listTree(t, tree)
		// First a folder takes the name of the temporary file, then that of the file itself.
		if err := os.Mkdir(list[i].temporary(), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := list.Write(); err == nil {
			t.Errorf("%s was written although its temporary file is a folder", f.file)
		}
		if d := cmp.Diff(before, listTree(t, tree)); d != "" {
			t.Errorf("%s cannot be written, but:\n%s", f.file, d)
		}
		os.Remove(list[i].temporary())
		delete(before, f.file)
		if err := os.Remove(list[i].path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(list[i].path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := list.Write(); err == nil {
			t.Errorf("%s replaced a folder of that name", f.file)
		}
		if d := cmp.Diff(before, listTree(t, tree)); d != "" {
			t.Errorf("%s cannot be replaced, but:\n%s", f.file, d)
		}
	}
}

// Install replaces, and Remove removes, blocks that another version of kas wrote: their digests
// prove them unedited.
func TestInstallOlderText(t *testing.T) {
	tree := installTree(t, "6.12")
	before := listTree(t, tree)
	change(t, Install, tree)
	with := listTree(t, tree)
	path := filepath.Join(tree, "init/Kconfig")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	older := insertion{put: "config KALLSYMS_ALIAS\n\tbool\n", block: true}
	text := strings.Replace(string(data), insertions[0].all[0].text(), older.text(), 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := change(t, Install, tree); n != 1 {
		t.Errorf("install changed %d files", n)
	}
	if d := cmp.Diff(with, listTree(t, tree)); d != "" {
		t.Error(d)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	change(t, Remove, tree)
	if d := cmp.Diff(before, listTree(t, tree)); d != "" {
		t.Error(d)
	}
}

// fakeTools adds kas, ld, nm, cc and fixdep to a tree. They write their arguments to the file
// calls. kas makes X.o.kas a copy of X.copy if that exists, else a link.
func fakeTools(t *testing.T, tree string) {
	t.Helper()
	for name, script := range map[string]string{
		"kas": `echo "kas $*" >>calls
case $1$2 in
kbuildobject)
	if test -e $3; then :; else exit 1; fi
	if test -e ${3%.o}.copy; then
		cmp -s ${3%.o}.copy $3.kas || { rm -f $3.kas; cp ${3%.o}.copy $3.kas; }
	elif test -L $3.kas; then :
	else rm -f $3.kas; ln -s $(basename $3) $3.kas; fi ;;
kbuildregistry) mkdir -p include/generated; echo >include/generated/symbols.kas ;;
esac`,
		"ld":     `echo "ld $*" >>calls; while test $1 != -o; do shift; done; cat $3 >$2`,
		"nm":     `echo "nm $*" >>calls`,
		"cc":     `while test $1 != -o; do shift; done; : >$2; : >$(dirname $2)/.$(basename $2).d`,
		"fixdep": `echo "savedcmd_$2 := $3"; echo "cmd_$2 := $3"`,
		"make":   `:`,
	} {
		writeTestFile(t, filepath.Join(tree, "tools", name), "#!/bin/sh\n"+script+"\n", 0o755)
	}
	if err := os.MkdirAll(filepath.Join(tree, "scripts/basic"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := os.Symlink("../../tools/fixdep", filepath.Join(tree, "scripts/basic/fixdep"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a.o": "a", "b.o": "b", "a.mod.o": "", "b.mod.o": "", "a.mod.c": "", "b.mod.c": "",
		"scripts/module-common.c": "", "scripts/module.lds": "",
	} {
		path := filepath.Join(tree, name)
		writeTestFile(t, path, text, 0o644)
		hourAgo := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
	}
	order := "a.o\nb.o\n"
	if v, err := KernelVersion(tree); err != nil {
		t.Fatal(err)
	} else if v == "6.1" {
		order = "a.ko\nb.ko\n"
	}
	writeTestFile(t, filepath.Join(tree, "modules.order"), order, 0o644)
	turn(t, tree, false)
}

// turn switches the option on or off.
func turn(t *testing.T, tree string, on bool) {
	t.Helper()
	config := "CONFIG_MODULES=y\nCONFIG_KALLSYMS=y\n"
	if on {
		config += Option + "=y\n"
	}
	writeTestFile(t, filepath.Join(tree, "include/config/auto.conf"), config, 0o644)
}

// calls runs a program in the tree and returns the calls of the fake tools, one per line, without
// linker options.
func calls(t *testing.T, tree string, env []string, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(tree, "calls")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	c := exec.Command(name, args...)
	c.Dir = tree
	tools := filepath.Join(tree, "tools")
	c.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"), "MAKEFLAGS=", "MAKELEVEL=",
		"srctree=.", "objtree=.", "MAKE=true", "CONFIG_SHELL=sh")
	c.Env = append(c.Env, env...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return regexp.MustCompile(` -T \S+| \S*module-common\.o| -m \S+`).ReplaceAllString(string(data),
		"")
}

func wantCalls(t *testing.T, what, got string, want ...string) {
	t.Helper()
	text := strings.Join(want, "\n")
	if text != "" {
		text += "\n"
	}
	if d := cmp.Diff(text, got); d != "" {
		t.Errorf("%s:\n%s", what, d)
	}
}

// modfinal links the modules of a tree.
func modfinal(t *testing.T, tree string) string { return modfinalJobs(t, tree, "-j1") }

func modfinalJobs(t *testing.T, tree, jobs string, more ...string) string {
	t.Helper()
	return calls(t, tree, nil, need.Tool(t, "make"), append([]string{"-rR", "--no-print-directory",
		"-f", "scripts/Makefile.modfinal", jobs,
		"MODORDER=modules.order", "LD=ld", "CC=cc", "srctree=.", "objtree=.", "VPATH=.",
		"SRCARCH=x86"}, more...)...)
}

// With the option on, modules are linked from X.o.kas and finished. With it off, kas is not called.
func TestInstalledRules(t *testing.T) {
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			tree := installTree(t, version)
			fakeTools(t, tree)
			change(t, Install, tree)
			off := []string{"ld -r -o a.ko a.o a.mod.o", "ld -r -o b.ko b.o b.mod.o"}
			on := []string{
				"kas kbuild object a.o",
				"ld -r -o a.ko a.o.kas a.mod.o",
				"kas kbuild finish a.ko a.o",
				"kas kbuild object b.o",
				"ld -r -o b.ko b.o.kas b.mod.o",
				"kas kbuild finish b.ko b.o",
			}
			wantCalls(t, "off", modfinal(t, tree), off...)
			turn(t, tree, true)
			wantCalls(t, "on", modfinal(t, tree), on...)

			again := func(more ...string) string {
				for _, name := range []string{"a.ko", "b.ko"} {
					if err := os.Remove(filepath.Join(tree, name)); err != nil {
						t.Fatal(err)
					}
				}
				return modfinalJobs(t, tree, "-j1", more...)
			}
			wantCalls(t, "a module, with kas", again("KBUILD_EXTMOD=."), on...)
			wantCalls(t, "a module, without kas",
				again("KBUILD_EXTMOD=.", "KAS_PROGRAM=nosuch/kas"), off...)
			for _, name := range []string{"a.o", "b.o"} {
				data, err := os.ReadFile(filepath.Join(tree, name))
				if err != nil || len(data) != 1 {
					t.Errorf("%s was changed: %q %v", name, data, err)
				}
			}
		})
	}
}

// checkSaved wants the saved commands to lead from a.ko to a.o by way of a.o.kas, for make sbom. It
// fails on commands whose first word it does not know.
func checkSaved(t *testing.T, tree string) {
	t.Helper()
	for name, want := range map[string]string{
		"a.ko": `^(saved)?cmd_a.ko := ld -r -o a.ko a.o.kas a.mod.o( |;).*; (true copy;)? *` +
			`false \|\| kas kbuild finish a.ko a.o\n`,
		"a.o.kas": `^savedcmd_a.o.kas := false \|\| kas kbuild object a.o\n` +
			`a.o.kas : a.o\n$`,
	} {
		path := filepath.Join(tree, "."+name+".cmd")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		// What differs by linker is between the objects and the rest.
		text := regexp.MustCompile(` -T \S+| \S*module-common\.o| -m \S+| \./`).ReplaceAllString(
			string(data), " ")
		text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// With kbuild's own rules, a module is linked again if and only if its copy has changed.
func TestInstalledRulesOfKernels(t *testing.T) {
	kernelTrees(t, func(t *testing.T, tree string) {
		fakeTools(t, tree)
		linkA, linkB := "ld -r -o a.ko a.o a.mod.o", "ld -r -o b.ko b.o b.mod.o"
		wantCalls(t, "before", modfinal(t, tree), linkA, linkB)
		change(t, Install, tree)
		wantCalls(t, "installed, but off", modfinal(t, tree))
		turn(t, tree, true)
		lookA, lookB := "kas kbuild object a.o", "kas kbuild object b.o"
		newA, newB := "ld -r -o a.ko a.o.kas a.mod.o", "ld -r -o b.ko b.o.kas b.mod.o"
		endA, endB := "kas kbuild finish a.ko a.o", "kas kbuild finish b.ko b.o"
		wantCalls(t, "on", modfinal(t, tree), lookA, newA, endA, lookB, newB, endB)
		wantCalls(t, "again", modfinal(t, tree), lookA, lookB)
		checkSaved(t, tree)
		writeTestFile(t, filepath.Join(tree, "a.copy"), "a with aliases", 0o644)
		wantCalls(t, "a gets aliases", modfinal(t, tree), lookA, newA, endA, lookB)
		wantCalls(t, "again", modfinal(t, tree), lookA, lookB)
		data, err := os.ReadFile(filepath.Join(tree, "a.ko"))
		if err != nil || string(data) != "a with aliases" {
			t.Errorf("a.ko is %q: %v", data, err)
		}
		os.Remove(filepath.Join(tree, "a.copy"))
		// The link that replaces the copy is as old as a.o. With one job, make itself notices that
		// the file is another one.
		got := modfinalJobs(t, tree, "-j2")
		if !strings.Contains(got, newA+"\n") || !strings.Contains(got, endA+"\n") ||
			strings.Contains(got, newB) {
			t.Errorf("a loses its aliases: calls:\n%s", got)
		}
		wantCalls(t, "again", modfinal(t, tree), lookA, lookB)
		writeTestFile(t, filepath.Join(tree, "b.o"), "c", 0o644)
		wantCalls(t, "b.o is new", modfinal(t, tree), lookA, lookB, newB, endB)
		wantCalls(t, "again", modfinal(t, tree), lookA, lookB)
		turn(t, tree, false)
		wantCalls(t, "off", modfinal(t, tree), linkA, linkB)
		change(t, Remove, tree)
		wantCalls(t, "removed", modfinal(t, tree))
	})
}

// With the option on, link-vmlinux.sh calls kas with the real tools as --tool.
func TestInstalledLink(t *testing.T) {
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			tree := installTree(t, version)
			fakeTools(t, tree)
			change(t, Install, tree)
			link := func(env ...string) string {
				return calls(t, tree, append(env, "NM=nm"), "scripts/link-vmlinux.sh", "ld")
			}
			wantCalls(t, "off", link(), "ld -o vmlinux", "nm -n vmlinux")
			turn(t, tree, true)
			wantCalls(t, "on", link(), "kas ld --tool=ld -o vmlinux", "kas nm --tool=nm -n vmlinux")
			wantCalls(t, "named", link("KAS_PROGRAM=./tools/kas"), "kas ld --tool=ld -o vmlinux",
				"kas nm --tool=nm -n vmlinux")
		})
	}
}

// With the option on, make all ends with the registry, unless that is newer than vmlinux and the
// list of modules. Without modules it is that of vmlinux.
func TestInstalledRegistry(t *testing.T) {
	for _, version := range []string{"6.1", "6.12"} {
		t.Run(version, func(t *testing.T) {
			tree := installTree(t, version)
			fakeTools(t, tree)
			writeTestFile(t, filepath.Join(tree, ".config"), "", 0o644)
			change(t, Install, tree)
			build := func(more ...string) string {
				return calls(t, tree, nil, need.Tool(t, "make"), append([]string{"-s"}, more...)...)
			}
			wantCalls(t, "off", build())
			turn(t, tree, true)
			wantCalls(t, "on", build(), "kas kbuild registry")
			wantCalls(t, "again", build())
			later := time.Now().Add(time.Hour)
			for _, name := range []string{"vmlinux", "modules.order"} {
				if err := os.Chtimes(filepath.Join(tree, name), later, later); err != nil {
					t.Fatal(err)
				}
				wantCalls(t, name+" is newer", build("KAS_PROGRAM=./tools/kas"),
					"kas kbuild registry")
				later = time.Now()
				if err := os.Chtimes(filepath.Join(tree, name), later, later); err != nil {
					t.Fatal(err)
				}
				later = later.Add(time.Hour)
			}
			wantCalls(t, "only vmlinux", build("vmlinux"))
			wantCalls(t, "without modules", build("CONFIG_MODULES=", "-W", "vmlinux"),
				"kas kbuild registry")
		})
	}
}

// An option of strip that drops local symbols gets one warning, with the option on.
func TestInstalledStrip(t *testing.T) {
	tree := installTree(t, "6.12")
	change(t, Install, tree)
	for _, c := range []struct {
		on     bool
		strip  string
		warned bool
	}{
		{true, "1", false}, {true, "--strip-debug", false}, {true, "", false},
		{true, "--strip-unneeded", true}, {true, "-v -x", true}, {true, "--strip-all", true},
		{true, "--strip-unneeded --wildcard --keep-symbol=*@*", false},
		{false, "--strip-unneeded", false},
	} {
		turn(t, tree, c.on)
		make := exec.Command(need.Tool(t, "make"), "-f", "scripts/Makefile.modinst")
		make.Dir = tree
		if c.strip != "" {
			make.Args = append(make.Args, "INSTALL_MOD_STRIP="+c.strip)
		}
		out, err := make.CombinedOutput()
		if err != nil {
			t.Fatalf("%+v: %v\n%s", c, err, out)
		}
		n := strings.Count(string(out), "INSTALL_MOD_STRIP="+c.strip+" drops aliases")
		if n > 1 || n == 1 != c.warned {
			t.Errorf("%+v: %d warnings: %s", c, n, out)
		}
	}
}

// A tree to which an older kas added the option has no registry. Install adds it, and Remove
// restores the tree.
func TestInstallOlderParts(t *testing.T) {
	tree := installTree(t, "6.12")
	before := listTree(t, tree)
	change(t, Install, tree)
	with := listTree(t, tree)
	older := func() {
		path := filepath.Join(tree, "Makefile")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		registry := insertion{put: makefileText, block: true}.text()
		if !strings.Contains(string(data), registry) {
			t.Fatal("no registry in the Makefile")
		}
		writeTestFile(t, path, strings.Replace(string(data), registry, "", 1), 0o644)
	}
	older()
	if n := change(t, Install, tree); n != 1 {
		t.Errorf("install changed %d files", n)
	}
	if d := cmp.Diff(with, listTree(t, tree)); d != "" {
		t.Error(d)
	}
	older()
	change(t, Remove, tree)
	if d := cmp.Diff(before, listTree(t, tree)); d != "" {
		t.Error(d)
	}
}

// make clean removes the copies and the folder .kas, and no file or folder of another name.
func TestInstalledClean(t *testing.T) {
	tree := installTree(t, "6.1")
	change(t, Install, tree)
	for _, name := range []string{"d/a.o", "d/b.o", "d/b.o.kas", ".kas/first", "d/x.kas",
		"d/.kas.c"} {
		writeTestFile(t, filepath.Join(tree, name), "", 0o644)
	}
	if err := os.Symlink("a.o", filepath.Join(tree, "d/a.o.kas")); err != nil {
		t.Fatal(err)
	}
	calls(t, tree, nil, need.Tool(t, "make"), "-s", "clean")
	for _, name := range []string{"d/a.o", "d/b.o", "d/a.o.kas", "d/b.o.kas", ".kas"} {
		if _, err := os.Lstat(filepath.Join(tree, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range []string{"d/x.kas", "d/.kas.c", "Makefile"} {
		if _, err := os.Lstat(filepath.Join(tree, name)); err != nil {
			t.Error(err)
		}
	}
}
