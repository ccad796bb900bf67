package packages

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kas/need"
)

// tree is what the packages of these tests have: path -> content; a content "-> X" is a symbolic
// link, and "= X" a hard link.
var tree = map[string]string{
	"boot/vmlinuz-6.1-x":                                    "no object",
	"boot/System.map-6.1-x":                                 "0 T x",
	"lib/modules/6.1-x/kernel/fs/ext4.ko.xz":                strings.Repeat("ext4", 99),
	"lib/modules/6.1-x/modules.order":                       "kernel/fs/ext4.ko",
	"lib/modules/6.1-x/build":                               "-> /usr/src/linux",
	"usr/lib/debug/boot/vmlinux-6.1-x":                      strings.Repeat("vmlinux\x00", 9000),
	"usr/lib/debug/lib/modules/6.1-x/vmlinux":               "-> ../../../boot/vmlinux-6.1-x",
	"usr/lib/debug/lib/modules/6.1-x/kernel/fs/ext4.ko":     "ext4, not stripped",
	"usr/lib/debug/lib/modules/6.1-x/kernel/fs/same.ko":     "= lib/modules/6.1-x/kernel/fs/ext4.ko.xz",
	"usr/lib/debug/lib/modules/6.1-x/vdso/vdso64.so":        "vdso",
	"usr/lib/debug/.build-id/ab/cdef.debug":                 "-> ../../lib/modules/6.1-x/kernel/fs/ext4.ko",
	"usr/lib/debug/.build-id/ab/cdef":                       "-> /lib/modules/6.1-x/kernel/fs/ext4.ko",
	"usr/lib/debug/.build-id/00/11.debug":                   "-> ../../usr/bin/gone.debug",
	"usr/lib/debug/lib/modules/6.1-x/kernel/fs/x.ko.debug":  "",
	"usr/lib/debug/.dwz/linux-6.1-x":                        "shared",
	"usr/share/doc/linux-image-6.1-x/vmlinux.ko.copyright":  "GPL",
	"usr/lib/debug/usr/lib/modules/6.1-x/vmlinux.debug":     "debug",
	"usr/lib/debug/usr/bin/perf-6.1-x.debug":                "perf",
	"usr/lib/debug/lib/modules/6.1-x/kernel/fs/absolute.ko": "-> /usr/lib/debug/boot/vmlinux-6.1-x",
}

// unneeded is what is not unpacked.
var unneeded = []string{"boot/vmlinuz-6.1-x", "boot/System.map-6.1-x",
	"lib/modules/6.1-x/modules.order", "lib/modules/6.1-x/build",
	"usr/lib/debug/lib/modules/6.1-x/vdso/vdso64.so", "usr/lib/debug/.build-id/ab/cdef",
	"usr/lib/debug/.build-id/00/11.debug",
	"usr/share/doc/linux-image-6.1-x/vmlinux.ko.copyright",
	"usr/lib/debug/usr/bin/perf-6.1-x.debug"}

// plant makes the tree in a folder.
func plant(t *testing.T, dir string) {
	t.Helper()
	for name, content := range tree {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(link, path)
		} else if _, ok := strings.CutPrefix(content, "= "); !ok {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range tree {
		if link, ok := strings.CutPrefix(content, "= "); ok {
			if err := os.Link(filepath.Join(dir, link), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// files returns the content of all files below a folder, through links, without the index.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == indexName {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func newCache(t *testing.T) *Cache {
	c := &Cache{Dir: t.TempDir()}
	t.Cleanup(c.Close)
	return c
}

// wantTree compares an unpacked package with the tree.
func wantTree(t *testing.T, p Package) {
	t.Helper()
	got := files(t, p.Dir)
	for name := range tree {
		content := tree[name]
		for {
			link, ok := strings.CutPrefix(content, "-> ")
			if !ok {
				if link, ok = strings.CutPrefix(content, "= "); !ok {
					break
				}
				content = tree[link]
				continue
			}
			if !strings.HasPrefix(link, "/") {
				link = filepath.Join("/", filepath.Dir(name), link)
			}
			content = tree[link[1:]]
		}
		text, ok := got[name]
		delete(got, name)
		if want := !slices.Contains(unneeded, name); ok != want || ok && text != content {
			t.Errorf("%s: unpacked %t, want %t; %.20q, want %.20q", name, ok, want, text, content)
		}
	}
	if len(got) > 0 {
		t.Errorf("also unpacked: %q", got)
	}
}

func debOf(t *testing.T, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	plant(t, root)
	return pack(t, root, filepath.Join(dir, "linux-image-6.1-x_1_amd64.deb"), options...)
}

// pack makes a .deb of a folder with dpkg-deb.
func pack(t *testing.T, root, deb string, options ...string) string {
	t.Helper()
	control := "Package: linux-image-6.1-x\nVersion: 1\nArchitecture: amd64\n" +
		"Maintainer: A B <a@b.c>\nDescription: a kernel\n"
	if err := os.MkdirAll(filepath.Join(root, "DEBIAN"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "DEBIAN/control")
	if err := os.WriteFile(file, []byte(control), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, "dpkg-deb", append(options, "--root-owner-group", "-b", root, deb)...)
	return deb
}

func TestDeb(t *testing.T) {
	need.Tools(t, "dpkg-deb")
	for _, z := range []string{"none", "gzip", "xz", "zstd"} {
		t.Run(z, func(t *testing.T) {
			c := newCache(t)
			p, err := c.Unpack(t.Context(), debOf(t, "-Z"+z))
			if err != nil {
				t.Fatal(err)
			}
			wantTree(t, p)
		})
	}
}

// TestRPM unpacks what rpmbuild makes, with each compression that distributions use.
func TestRPM(t *testing.T) {
	need.Tools(t, "rpmbuild")
	for _, z := range []string{"w2.xzdio", "w3.zstdio", "w6.gzdio", "w.ufdio"} {
		t.Run(z, func(t *testing.T) {
			c := newCache(t)
			rpm := rpmOf(t, z)
			p, err := c.Unpack(t.Context(), rpm)
			if err != nil {
				t.Fatal(err)
			}
			wantTree(t, p)
			data, err := os.ReadFile(rpm)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{len(data) - 40, len(data) - 9} {
				bad := bytes.Clone(data)
				bad[at] ^= 1
				wantError(t, bad, "damaged or truncated")
			}
			wantError(t, data[:len(data)-9], "damaged or truncated")
		})
	}
}

// rpmOf makes an .rpm of the tree.
func rpmOf(t *testing.T, payload string) string {
	t.Helper()
	dir := t.TempDir()
	plant(t, filepath.Join(dir, "tree"))
	spec := "Name: kernel-core\nVersion: 6.1\nRelease: x\nSummary: a kernel\nLicense: GPL\n" +
		"AutoReqProv: no\n%description\na kernel\n%install\ncp -a " + dir +
		"/tree/. %{buildroot}\n%files\n/boot\n/lib\n/usr\n"
	file := filepath.Join(dir, "kernel.spec")
	if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, "rpmbuild", "-bb", "--define", "_topdir "+dir, "--define",
		"_binary_payload "+payload, "--define", "debug_package %{nil}",
		"--define", "__os_install_post %{nil}", "--define", "_build_id_links none",
		"--target", "x86_64-linux", file)
	all, err := filepath.Glob(filepath.Join(dir, "RPMS/*/*.rpm"))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

// wantError unpacks a package and wants one line of error with this text, and nothing in the cache.
func wantError(t *testing.T, data []byte, want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bad.deb")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCache(t)
	p, err := c.Unpack(t.Context(), path)
	switch {
	case err == nil:
		t.Errorf("unpacked %+v, want an error: %s", p, want)
	case !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) ||
		strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), path) != 1:
		t.Errorf("the error is %q, want %q", err, want)
	}
	if left, _ := os.ReadDir(c.packages()); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
}

func TestUnpackTwice(t *testing.T) {
	need.Tools(t, "dpkg-deb")
	deb := debOf(t)
	dir := t.TempDir()
	type result struct {
		p   Package
		err error
	}
	results := make(chan result)
	for range 4 {
		go func() {
			c := &Cache{Dir: dir}
			defer c.Close()
			p, err := c.Unpack(context.Background(), deb)
			results <- result{p, err}
		}()
	}
	for range 4 {
		if r := <-results; r.err != nil {
			t.Error(r.err)
		}
	}
	c := &Cache{Dir: dir}
	defer c.Close()
	p, err := c.Unpack(t.Context(), deb)
	if err != nil {
		t.Fatal(err)
	}
	wantTree(t, p)
	before, _ := os.Stat(p.Dir)
	moved := filepath.Join(t.TempDir(), "other.deb")
	if err := os.Rename(deb, moved); err != nil {
		t.Fatal(err)
	}
	if p, err = c.Unpack(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(p.Dir); !os.SameFile(before, after) {
		t.Error("the package was unpacked again")
	}
}

// TestStoredDamage wants a damaged folder of an earlier start of the machine to be made again, as
// after a power failure.
func TestStoredDamage(t *testing.T) {
	need.Tools(t, "dpkg-deb")
	deb := debOf(t)
	c := newCache(t)
	p, err := c.Unpack(t.Context(), deb)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	name := filepath.Join(p.Dir, "usr/lib/debug/boot/vmlinux-6.1-x")
	if err := os.WriteFile(name, make([]byte, 72000), 0o644); err != nil {
		t.Fatal(err)
	}
	ix, err := readIndex(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	ix.boot = "an earlier one"
	index := filepath.Join(p.Dir, indexName)
	if err := os.WriteFile(index, []byte(ix.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if p, err = c.Unpack(t.Context(), deb); err != nil {
		t.Fatal(err)
	}
	wantTree(t, p)
}

func TestListAndClear(t *testing.T) {
	need.Tools(t, "dpkg-deb")
	c := newCache(t)
	first, err := c.Unpack(t.Context(), debOf(t))
	if err != nil {
		t.Fatal(err)
	}
	other := &Cache{Dir: c.Dir}
	defer other.Close()
	second, err := other.Unpack(t.Context(), debOf(t, "-Znone"))
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(-time.Hour)
	os.Chtimes(filepath.Join(first.Dir, indexName), hour, hour)
	all, err := c.List()
	if err != nil || len(all) != 2 || all[0].Digest != first.Digest ||
		all[0].Name != "linux-image-6.1-x_1_amd64.deb" || all[0].Size < 72000 {
		t.Fatal(all, err)
	}
	if removed, used, err := c.Clear(time.Now()); err != nil || len(removed) > 0 || len(used) != 2 {
		t.Error("removed what is used:", removed, used, err)
	}
	c.Close()
	other.Limit = all[1].Size // two do not fit
	other.shrink()
	if all, err = c.List(); err != nil || len(all) != 1 || all[0].Digest != second.Digest {
		t.Error(all, err)
	}
	other.Close()
	if removed, _, err := c.Clear(hour); err != nil || len(removed) > 0 {
		t.Error("removed what was used later:", removed, err)
	}
	if removed, _, err := c.Clear(time.Now().Add(time.Hour)); err != nil || len(removed) != 1 {
		t.Error(removed, err)
	}
	if _, err := os.Stat(second.Dir); err == nil {
		t.Error("the folder is still there")
	}
}
