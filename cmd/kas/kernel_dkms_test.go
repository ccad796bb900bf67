//go:build kernel

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/need"
)

// TestKernelDKMS has dkms build a package of two modules for two of Debian's kernels, whose headers
// and debug packages are installed in a namespace of its own. kas comes in by the file that
// docs/kbuild.md shows.
func TestKernelDKMS(t *testing.T) {
	need.Tools(t, "dkms", "unshare", "gcc-12", "ld.lld-19", "nm")
	if os.Geteuid() != 0 {
		need.Missing(t, "root, to mount")
	}
	var packages, releases []string
	for _, name := range []string{"cloud-amd64", "cloud-amd64-old", "headers", "headers-old"} {
		dir := filepath.Join(cacheDir(), "corpus", name)
		if _, err := os.Stat(filepath.Join(dir, "complete")); err != nil {
			t.Fatalf("make corpus-%s: %v", name, err)
		}
		packages = append(packages, absolute(dir))
		if strings.HasPrefix(name, "headers") {
			build := only(t, filepath.Join(dir, "lib/modules/*/build"))
			releases = append(releases, filepath.Base(filepath.Dir(build)))
		}
	}
	bin, own, out := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.Symlink(need.Tool(t, "kas"), filepath.Join(bin, "kas")); err != nil {
		t.Fatal(err)
	}
	for _, hook := range []string{"kas-nm", "kas-ld"} {
		err := os.Symlink(absolute("../../kbuild/hook.sh"), filepath.Join(bin, hook))
		if err != nil {
			t.Fatal(err)
		}
	}
	scripts := absolute("testdata/dkms")
	cmd := exec.Command("unshare", "--mount", "sh", filepath.Join(scripts, "inside.sh"), own,
		strings.Join(packages, " "), "sh", filepath.Join(scripts, "build.sh"),
		filepath.Join(scripts, "twins-1.0"), out, releases[0], releases[1])
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+bin+":"+os.Getenv("PATH"))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}

	const late = "vfs_fallocate of vmlinux was unique; it is now also vfs_fallocate@fs_open_c_"
	all := []string{"name_show", "twin_reset", "vfs_fallocate"}
	for name, want := range map[string]struct {
		left []string // names that have aliases
		say  string   // the only line of kas in make's output
	}{
		"plain": {}, "new": {all, late}, "old": {all, late}, "command": {all, late},
		"lld": {all, late}, "debug": {all, late},
		"away": {all, "vfs_fallocate of vmlinux was unique; "},
		"none": {all[:2], "no registry of the kernel: no KAS_REGISTRY, and no symbols.kas in " +
			"/usr/src/linux-headers-" + releases[1] + " or /lib/modules/" + releases[1]},
		"other": {nil, "/lib/modules/" + releases[1] + "/symbols.kas is the registry of " +
			releases[1] + ", but modules in "},
	} {
		log := string(readFile(t, filepath.Join(out, name, "make.log")))
		status := strings.TrimSpace(string(readFile(t, filepath.Join(out, name, "status"))))
		if failed := name == "other"; failed != (status == "10") || !failed && status != "0" {
			t.Errorf("%s: dkms build: exit %s\n%s", name, status, log)
			continue
		}
		if n := strings.Count(log, "kas: "); n != strings.Count(log, want.say) && want.say != "" ||
			n > 0 != (want.say != "") {
			t.Errorf("%s: want only %q from kas:\n%s", name, want.say, log)
		}
		if status == "0" {
			checkTwins(t, filepath.Join(out, name), want.left)
		}
	}
}

// checkTwins wants these names of kas_left, and those of them that kas_right has, to have aliases.
func checkTwins(t *testing.T, dir string, names []string) {
	t.Helper()
	for module, names := range map[string][]string{
		"kas_left": names,
		"kas_right": slices.DeleteFunc(slices.Clone(names),
			func(n string) bool { return n == "vfs_fallocate" }),
	} {
		source := string(readFile(t, "testdata/dkms/twins-1.0/"+module+".c"))
		var want []string
		for _, name := range names {
			before, _, _ := strings.Cut(source, " "+name+"(")
			line := strings.Count(before, "\n") + 2 // that of the brace
			want = append(want, fmt.Sprintf("%s %s@%s_c_%d", name, name, module, line))
		}
		if have := aliasesIn(t, filepath.Join(dir, module+".ko")); !slices.Equal(have, want) {
			t.Errorf("%s: %s has aliases %q, want %q", dir, module, have, want)
		}
	}
}
