package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestModuleFiles(t *testing.T) {
	dir := write(t,
		// An installed kernel. Its list has no suffixes of compression.
		"lib/kernel/fs/ext4.ko.xz", "", "lib/kernel/fs/xfs.ko.zst", "", "lib/kernel/a.ko", "",
		"lib/kernel/b.ko.gz", "", "lib/kernel/a.ko.kas", "", "lib/kernel/c.o", "",
		"lib/kernel/.tmp.ko", "", "lib/kernel/README", "",
		"lib/modules.order", "kernel/fs/ext4.ko\nkernel/a.ko\n",
		// A build tree after modpost.
		"obj/x/m.o", "", "obj/x/m.mod.o", "", "obj/x/m.o.kas", "", "obj/n.o", "",
		"obj/modules.order", "# made by hand\n\nx/m.ko\r\nn.o\n  gone.o\n../lib/kernel/a.ko\n",
		// Two versions side by side.
		"multi/6.1/kernel/p.ko", "", "multi/6.2/kernel/q.ko", "", "multi/notes", "",
		"multi/6.2/kernel/deep/.git/r.ko", "",
		"clash/1/same.ko", "", "clash/2/same.ko", "",
		"empty/README", "", "binary", "\x7fELF\x00",
	)
	put(t, filepath.Join(dir, "abs.list"),
		filepath.Join(dir, "obj/n.o")+"\n/no/where.ko\n../../up.o\n")
	for link, target := range map[string]string{
		"link": "lib/kernel", "lib/kernel/source": "../../obj",
		"lib/kernel/linked.ko": "../../multi/6.1/kernel/p.ko", "obj/folder.o": "x",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	folder := "a.ko b.ko.gz fs/ext4.ko.xz fs/xfs.ko.zst linked.ko"
	for _, c := range []struct{ entries, want string }{
		{"lib/kernel", folder},
		{"link", folder},
		{"lib/kernel link", "two modules have the name a.ko: D/lib/kernel/a.ko and D/link/a.ko"},
		{"obj", "n.o x/m.o"},
		{"empty", ""},
		{"lib/modules.order", "kernel/a.ko kernel/fs/ext4.ko.xz"},
		{"obj/modules.order", "gone.o lib/kernel/a.ko n.o x/m.o"},
		{"abs.list", "no/where.ko obj/n.o up.o"},
		{"multi/*", "kernel/p.ko kernel/q.ko"},
		{"multi/*/kernel", "p.ko q.ko"},
		{"multi/6.[^1]/kernel", "q.ko"},
		{"multi/**/*.ko", "6.1/kernel/p.ko 6.2/kernel/q.ko"},
		{"multi/**", "6.1/kernel/p.ko 6.2/kernel/q.ko"},
		{"multi/**/6.?/**/**/[pq].ko", "6.1/kernel/p.ko 6.2/kernel/q.ko"},
		{"lib/**/*.ko", "kernel/a.ko kernel/linked.ko"}, // not through the source link
		{"lib/*/*/x/*.o", "kernel/source/x/m.o"},
		{"obj/*.o", "m.o n.o"}, // folder.o is a link to a folder
		{"lib/kernel/a.ko", "a.ko"},
		{"lib/kernel lib/kernel/fs/*.ko.*", folder},
		{"clash/*", "two modules have the name same.ko: D/clash/1/same.ko and D/clash/2/same.ko"},
		{"binary", "D/binary is not a list of modules: it contains a zero byte"},
		{"none", "stat D/none: no such file or directory"},
	} {
		t.Run(strings.ReplaceAll(c.entries, "/", "-"), func(t *testing.T) {
			var b Build
			for _, e := range strings.Fields(c.entries) {
				b.Modules = append(b.Modules, filepath.Join(dir, e))
			}
			files, err := b.ModuleFiles()
			var names []string
			for _, f := range files {
				names = append(names, f.Name)
				if !strings.HasSuffix(f.Path, "/"+f.Name) || !filepath.IsLocal(f.Name) {
					t.Errorf("%+v", f)
				}
			}
			got := strings.Join(names, " ")
			if err != nil {
				got = err.Error()
			}
			same(t, c.want, strings.ReplaceAll(got, dir, "D"))
		})
	}
}

// Relative entries give the same names as absolute ones.
func TestModuleFilesRelative(t *testing.T) {
	dir := write(t, "here/list", "m.ko\n../../out/n.ko\n", "here/m.o", "")
	t.Chdir(filepath.Join(dir, "here"))
	files, err := (&Build{Modules: []string{"list"}}).ModuleFiles()
	if err != nil {
		t.Fatal(err)
	}
	same(t, []ModuleFile{
		{Name: "m.o", Path: "m.o"},
		{Name: "out/n.ko", Path: "../../out/n.ko", Absent: true},
	}, files)
}

func TestFindVmlinux(t *testing.T) {
	dir := write(t, "a/vmlinux-1", "", "b/vmlinux-1", "", "b/vmlinux-2", "", "c/vmlinux-1/x", "")
	if err := os.Symlink("../a/vmlinux-1", filepath.Join(dir, "a/vmlinux-link")); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"a/vmlinux-*":   "D/a/vmlinux-1",
		"a/vmlinux-1":   "D/a/vmlinux-1",
		"b/vmlinux-*":   "D/b/vmlinux-* matches 2 files, not one: D/b/vmlinux-1, D/b/vmlinux-2",
		"b/vmlinux-?2":  "",
		"c/vmlinux-*":   "",
		"c/vmlinux-1":   "D/c/vmlinux-1 is a folder",
		"d/vmlinux":     "",
		"d/*/vmlinux":   "",
		"**/vmlinux-2":  "D/b/vmlinux-2",
		"./b//./*-2":    "D/b/vmlinux-2",
		"b/vmlinux-[2]": "D/b/vmlinux-2",
	} {
		got, err := findVmlinux(filepath.Join(dir, pattern))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			got = err.Error()
		}
		same(t, want, strings.ReplaceAll(got, dir, "D"))
	}
}

// TestLargeFiles: a configuration and a list have a largest size, and a list a largest number of
// modules. One error says so, and no file is looked for.
func TestLargeFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	head := "version: 1\nout: o\nbuilds:\n  - name: k\n    modules:"
	for what, c := range map[string]struct{ list, config, want string }{
		"modules in the configuration": {"", head + strings.Repeat("\n      - d/m.ko", 1<<20),
			"k.yaml: is larger than 8 MB"},
		"a list of 50 MB": {strings.Repeat("drivers/net/m.ko\n", 3<<20), head + " list",
			"list: is larger than 32 MB"},
		"a list of many modules": {strings.Repeat("m\n", 100_001), head + " list",
			"list lists more than 100000 modules"},
	} {
		file("list", c.list)
		_, err := Load(file("k.yaml", c.config))
		if err == nil || !strings.HasSuffix(err.Error(), c.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %.300v", what, err)
		}
	}
}
