//go:build kernel

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kas/need"
)

// TestKernelPackages packs vmlinux and each sixteenth module of Debian's cloud kernel as Debian and
// Fedora do: one package with the whole objects, an image and its debug package, and three .rpm
// files with the debug files by build ID. The tables are those of the folders that were packed, and
// those of stripped modules with a debug tree. A second run finds nothing to do.
func TestKernelPackages(t *testing.T) {
	need.Tools(t, "dpkg-deb", "rpmbuild", "eu-strip", "strip", "readelf")
	debug := corpus(t, "cloud-amd64")
	vmlinux := only(t, filepath.Join(debug, "boot/vmlinux-*"))
	release := strings.TrimPrefix(filepath.Base(vmlinux), "vmlinux-")
	modules := filepath.Join(debug, "lib/modules", release)
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	p := packer{t: t, dir: dir, release: release}
	p.link(vmlinux, "dbg/usr/lib/debug/boot/vmlinux-"+release)
	p.link(vmlinux, "rpm-debug/usr/lib/debug/lib/modules/"+release+"/vmlinux")
	for i, name := range modulesIn(t, modules) {
		if i%16 == 0 {
			p.module(filepath.Join(modules, name), name)
		}
	}
	p.deb("dbg", "-Zzstd", "-z1")
	p.deb("image", "-Zxz", "-z1")
	p.rpm("rpm-core", "w2.xzdio")
	p.rpm("rpm-debug", "w1.zstdio")
	config := `version: 1
out: out
alias: {symbols: all}
builds:
  - {name: plain, vmlinux: dbg/usr/lib/debug/boot/vmlinux-R, modules: dbg/usr/lib/debug/lib/modules/R}
  - {name: dbg, package: dbg.deb}
  - {name: both, package: [image.deb, dbg.deb]}
  - {name: parts, vmlinux: dbg.deb, modules: image.deb}
  - {name: rpm, package: rpm-*.rpm}
  - {name: folders, vmlinux: dbg/usr/lib/debug/boot/vmlinux-R, modules: image/lib/modules/R, debug: dbg}
`
	config = strings.ReplaceAll(config, "R,", release+",")
	config = strings.ReplaceAll(config, "R}", release+"}")
	if err := os.WriteFile(filepath.Join(dir, "kas.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "kas.yaml"}, {"verify", "out"}, {"run", "kas.yaml"}} {
		out, err := kasCommand(t, dir, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		again := !strings.Contains(string(out), "unpacking") && args[0] == "run"
		if again && strings.Contains(string(out), "resolve done") {
			t.Errorf("the second run made something again:\n%s", out)
		}
	}
	want := read(t, filepath.Join(dir, "out/plain/aliases.tsv"))
	if strings.Count(want, "\n") < 1000 {
		t.Fatalf("only %d bytes of aliases", len(want))
	}
	for _, build := range []string{"dbg", "both", "parts", "rpm", "folders"} {
		for _, table := range []string{"aliases.tsv", "unaliased.tsv", "vmlinux.syms"} {
			if read(t, filepath.Join(dir, "out", build, table)) !=
				read(t, filepath.Join(dir, "out/plain", table)) {
				t.Errorf("%s: %s differs from that of the folders", build, table)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// packer makes folders and packs them.
type packer struct {
	t            *testing.T
	dir, release string
}

// link puts a file into a folder that will be packed.
func (p *packer) link(path, to string) {
	p.t.Helper()
	to = filepath.Join(p.dir, to)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if os.Link(path, to) != nil { // on another file system
		tool(p.t, "cp", "-a", path, to)
	}
}

// module puts a module into the folders: whole, stripped as in Debian, and as find-debuginfo does.
func (p *packer) module(path, name string) {
	p.t.Helper()
	lib := "lib/modules/" + p.release + "/" + name
	p.link(path, "dbg/usr/lib/debug/"+lib)
	for _, folder := range []string{"image/" + lib, "rpm-core/" + lib,
		"rpm-debug/usr/lib/debug/" + lib} {
		at := filepath.Join(p.dir, folder)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	tool(p.t, "strip", "--strip-debug", "-o", filepath.Join(p.dir, "image", lib), path)
	file := filepath.Join(p.dir, "rpm-debug/usr/lib/debug", lib+".debug")
	tool(p.t, "eu-strip", "--reloc-debug-sections", "-f", file,
		"-o", filepath.Join(p.dir, "rpm-core", lib), path)
	_, note, _ := strings.Cut(string(tool(p.t, "readelf", "-n", path)), "Build ID: ")
	id := strings.Fields(note)[0]
	ids := filepath.Join(p.dir, "rpm-debug/usr/lib/debug/.build-id", id[:2])
	if err := os.MkdirAll(ids, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Symlink("../../"+lib+".debug", filepath.Join(ids, id[2:]+".debug")); err != nil {
		p.t.Fatal(err)
	}
}

// deb packs a folder as NAME.deb.
func (p *packer) deb(name string, options ...string) {
	p.t.Helper()
	root := filepath.Join(p.dir, name)
	control := "Package: " + name + "\nVersion: 1\nArchitecture: amd64\n" +
		"Maintainer: A B <a@example.org>\nDescription: a kernel\n"
	if err := os.MkdirAll(filepath.Join(root, "DEBIAN"), 0o755); err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(root, "DEBIAN/control")
	if err := os.WriteFile(file, []byte(control), 0o644); err != nil {
		p.t.Fatal(err)
	}
	tool(p.t, "dpkg-deb", append(options, "--root-owner-group", "-b", root, root+".deb")...)
}

// rpm packs a folder as NAME.rpm.
func (p *packer) rpm(name, payload string) {
	p.t.Helper()
	root := filepath.Join(p.dir, name)
	top, _ := filepath.Glob(root + "/*")
	spec := "Name: " + name + "\nVersion: 1\nRelease: 1\nSummary: a kernel\nLicense: GPL\n" +
		"AutoReqProv: no\n%description\na kernel\n%install\ncp -a " + root +
		"/. %{buildroot}\n%files\n"
	for _, folder := range top {
		spec += "/" + filepath.Base(folder) + "\n"
	}
	file := root + ".spec"
	if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
		p.t.Fatal(err)
	}
	build := filepath.Join(p.dir, "rpmbuild-"+name)
	tool(p.t, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+build,
		"--define", "_binary_payload "+payload, "--define", "debug_package %{nil}",
		"--define", "__os_install_post %{nil}", "--define", "_build_id_links none",
		"--target", "x86_64-linux", file)
	made := only(p.t, filepath.Join(build, "RPMS/x86_64/*.rpm"))
	if err := os.Rename(made, root+".rpm"); err != nil {
		p.t.Fatal(err)
	}
}
