package kernels

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree makes files, and the links among them (NAME -> TARGET), below a new folder.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		name, target, link := strings.Cut(name, " -> ")
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && link {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// below takes a root off the paths of a kernel.
func below(all []Kernel, roots ...string) (text []string) {
	for _, k := range all {
		line := fmt.Sprintf("%s: vmlinux %q modules %q twins %t debug %q",
			k.Release, k.Vmlinux, k.Modules, k.Twins, k.Debug)
		for i, root := range roots {
			line = strings.ReplaceAll(line, root, fmt.Sprint(i))
		}
		text = append(text, line)
	}
	return text
}

// TestBelow: where distributions have the files of a kernel.
func TestBelow(t *testing.T) {
	const ko = "/kernel/fs/ext4/ext4.ko"
	for name, c := range map[string]struct {
		names []string
		want  []string
	}{
		"Debian, debugging information": {
			[]string{"usr/lib/debug/boot/vmlinux-6.1", "usr/lib/debug/lib/modules/6.1" + ko,
				"usr/lib/debug/lib/modules/6.1/vmlinux -> ../../../boot/vmlinux-6.1",
				"usr/share/doc/x"},
			[]string{`6.1: vmlinux ["0/usr/lib/debug/lib/modules/6.1/vmlinux"] ` +
				`modules ["0/usr/lib/debug/lib/modules/6.1"] twins true debug ["0"]`},
		},
		"Debian, installed": {
			[]string{"usr/lib/debug/boot/vmlinux-6.1", "usr/lib/debug/lib/modules/6.1" + ko,
				"usr/lib/modules/6.1" + ko + ".xz", "lib -> usr/lib", "boot/vmlinuz-6.1"},
			[]string{`6.1: vmlinux ["0/usr/lib/debug/boot/vmlinux-6.1"] ` +
				`modules ["0/lib/modules/6.1"] twins false debug ["0"]`},
		},
		"Fedora": {
			[]string{"usr/lib/debug/lib/modules/6.9.fc40/vmlinux",
				"usr/lib/debug/lib/modules/6.9.fc40" + ko + ".debug",
				"lib/modules/6.9.fc40" + ko + ".xz", "lib/modules/6.9.fc40/vmlinuz"},
			[]string{`6.9.fc40: vmlinux ["0/usr/lib/debug/lib/modules/6.9.fc40/vmlinux"] ` +
				`modules ["0/lib/modules/6.9.fc40"] twins false debug ["0"]`},
		},
		"SUSE": {
			[]string{"boot/vmlinux-6.4-default.xz", "usr/lib/debug/boot/vmlinux-6.4-default.debug",
				"usr/lib/modules/6.4-default" + ko + ".zst",
				"usr/lib/debug/usr/lib/modules/6.4-default" + ko + ".debug"},
			[]string{`6.4-default: vmlinux ["0/boot/vmlinux-6.4-default.xz" ` +
				`"0/usr/lib/debug/boot/vmlinux-6.4-default.debug"] ` +
				`modules ["0/usr/lib/modules/6.4-default"] twins false debug ["0"]`},
		},
		"two kernels, and what is left of a third": {
			[]string{"boot/vmlinux-1", "lib/modules/2" + ko, "lib/modules/3/modules.dep"},
			[]string{`1: vmlinux ["0/boot/vmlinux-1"] modules [] twins false debug ["0"]`,
				`2: vmlinux [] modules ["0/lib/modules/2"] twins false debug ["0"]`},
		},
		"no kernel": {[]string{"etc/passwd", "lib/modules/x"}, nil},
		"a link out of the package": {
			[]string{"lib/modules/6.1/build -> /", "lib/modules/6.1" + ko},
			[]string{`6.1: vmlinux [] modules ["0/lib/modules/6.1"] twins false debug ["0"]`},
		},
	} {
		root := tree(t, c.names...)
		if d := cmp.Diff(c.want, below(Below(root), root)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	// Image and debugging information in two folders.
	image, debug := tree(t, "lib/modules/6.1"+ko), tree(t, "usr/lib/debug/boot/vmlinux-6.1",
		"usr/lib/debug/lib/modules/6.1"+ko)
	want := []string{`6.1: vmlinux ["1/usr/lib/debug/boot/vmlinux-6.1"] ` +
		`modules ["0/lib/modules/6.1"] twins false debug ["0" "1"]`}
	if d := cmp.Diff(want, below(Below(image, debug), image, debug)); d != "" {
		t.Errorf("two packages (-want +got):\n%s", d)
	}
	// The same kernels, one after the other.
	for _, roots := range [][]string{{image, debug}, {debug, image}} {
		k := Kernel{}
		for _, root := range roots {
			k.Add(Below(root)[0])
		}
		got := below([]Kernel{k}, image, debug)[0]
		if !strings.Contains(got, `modules ["0/lib/modules/6.1"] twins false`) {
			t.Error(got)
		}
	}
}

// TestFolders: folders that somebody names.
func TestFolders(t *testing.T) {
	const ko = "fs/ext4/ext4.ko"
	root := tree(t, "build/vmlinux", "build/modules.order", "build/Module.symvers", "build/"+ko,
		"half/vmlinux", "half/Module.symvers", "half/"+ko, "copy/vmlinux", "copy/"+ko, "mods/"+ko,
		"none/text", "pool/lib/modules/6.1/"+ko, "pool/usr/lib/debug/boot/vmlinux-6.1",
		"pool/usr/lib/debug/lib/modules/6.1/"+ko)
	for dir, want := range map[string][]string{
		"build": {`: vmlinux ["0/build/vmlinux"] modules ["0/build/modules.order"] twins false ` +
			`debug []`},
		"half": {`: vmlinux ["0/half/vmlinux"] modules [] twins false debug []`},
		"copy": {`: vmlinux ["0/copy/vmlinux"] modules ["0/copy"] twins false debug []`},
		"mods": {`: vmlinux [] modules ["0/mods"] twins false debug []`},
		"none": nil, "absent": nil,
		"pool/lib/modules/6.1": {`6.1: vmlinux ["0/pool/usr/lib/debug/boot/vmlinux-6.1"] ` +
			`modules ["0/pool/lib/modules/6.1"] twins false debug ["0/pool"]`},
		"pool/usr/lib/debug/lib/modules/6.1": {
			`6.1: vmlinux ["0/pool/usr/lib/debug/boot/vmlinux-6.1"] ` +
				`modules ["0/pool/usr/lib/debug/lib/modules/6.1"] twins true debug ["0/pool"]`},
		"pool": {`6.1: vmlinux ["0/pool/usr/lib/debug/boot/vmlinux-6.1"] ` +
			`modules ["0/pool/lib/modules/6.1"] twins false debug ["0/pool"]`},
	} {
		if d := cmp.Diff(want, below(In(filepath.Join(root, dir)), root)); d != "" {
			t.Errorf("%s (-want +got):\n%s", dir, d)
		}
	}
}

func note(id string) string {
	return fmt.Sprintf("\x04\x00\x00\x00%c\x00\x00\x00\x03\x00\x00\x00GNU\x00%s", len(id), id)
}

func TestReadRunning(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadRunning(root); err == nil || !strings.Contains(err.Error(), "osrelease") {
		t.Error(err)
	}
	for _, release := range []string{"", "../6.1\n"} {
		write("proc/sys/kernel/osrelease", release)
		if _, err := ReadRunning(root); err == nil {
			t.Errorf("release %q", release)
		}
	}
	write("proc/sys/kernel/osrelease", "6.1\n")
	got, err := ReadRunning(root)
	if err != nil || got.Release != "6.1" || got.BuildID != "" || len(got.Loaded()) != 0 {
		t.Error(err, got)
	}
	write("sys/kernel/notes", note("abcd"))
	write("sys/module/ext4/notes/.note.gnu.build-id", note("efgh"))
	write("sys/module/printk/parameters/time", "Y")
	write("sys/module/odd/notes/.note.gnu.build-id", "")
	got, err = ReadRunning(root)
	if err != nil || got.Release != "6.1" || got.BuildID != "61626364" {
		t.Error(err, got)
	}
	if d := cmp.Diff(map[string]string{"ext4": "65666768"}, got.Loaded()); d != "" {
		t.Error(d)
	}
	// A debug file by build ID is the last that may be vmlinux.
	write("usr/lib/debug/boot/vmlinux-6.1", "")
	write("usr/lib/debug/.build-id/61/626364.debug", "")
	k := got.Kernel()
	if len(k.Vmlinux) != 2 || !strings.HasSuffix(k.Vmlinux[1], "/61/626364.debug") {
		t.Error(k.Vmlinux)
	}
	path, other := k.Choose("61626364")
	if path != "" || !strings.Contains(other, "626364.debug: ") {
		t.Error(path, other)
	}
	if path, _ = k.Choose(""); path != k.Vmlinux[0] {
		t.Error(path)
	}
}
