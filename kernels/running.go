package kernels

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kas/elf"
)

// Running is what the running kernel says about itself.
type Running struct {
	Release string
	BuildID string // in hexadecimal, "" if it is not shown, as in many containers

	root string // the parent of proc, sys and lib
}

// ReadRunning asks the running kernel by the folders proc and sys below root.
func ReadRunning(root string) (*Running, error) {
	release, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/osrelease"))
	if err != nil {
		return nil, fmt.Errorf("cannot read which kernel is running: %w", err)
	}
	r := &Running{Release: strings.TrimSpace(string(release)), root: root}
	if r.Release == "" || filepath.Base(r.Release) != r.Release {
		return nil, fmt.Errorf("the running kernel's release is %q", r.Release)
	}
	if notes, err := os.ReadFile(filepath.Join(root, "sys/kernel/notes")); err == nil {
		r.BuildID = elf.RunningBuildID(notes)
	}
	return r, nil
}

// Loaded returns the build IDs of the loaded modules that have one, by the kernel's names.
func (r *Running) Loaded() map[string]string {
	loaded := map[string]string{}
	modules := filepath.Join(r.root, "sys/module")
	entries, _ := os.ReadDir(modules)
	for _, e := range entries {
		notes, err := os.ReadFile(filepath.Join(modules, e.Name(), "notes/.note.gnu.build-id"))
		if id := elf.RunningBuildID(notes); err == nil && id != "" {
			loaded[e.Name()] = id
		}
	}
	return loaded
}

// Path returns the path of a file below the parent of proc and sys.
func (r *Running) Path(parts ...string) string {
	return filepath.Join(r.root, filepath.Join(parts...))
}

// Kernel returns the files of the running kernel.
func (r *Running) Kernel() Kernel {
	k := Of(r.Release, r.root)
	if id := r.BuildID; id != "" {
		path := filepath.Join(r.root, debugDir, ".build-id", id[:2], id[2:]+".debug")
		if elf.CheckRegular(path) == nil {
			k.Vmlinux = append(k.Vmlinux, path)
		}
	}
	return k
}
