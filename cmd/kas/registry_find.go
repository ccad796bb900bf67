package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/configs"
	"kas/elf"
	"kas/fetch"
	"kas/kernels"
	"kas/packages"
	"kas/pipeline"
)

// search finds the files of the kernels whose registries are wanted.
type search struct {
	ctx     context.Context
	f       registryFlags
	servers *fetch.Debuginfod // nil if there are none
	stderr  io.Writer

	downloads downloads
	packages  unpacker
	folders   []string // temporary ones
}

func (s *search) close() {
	s.packages.close()
	for _, dir := range s.folders {
		os.RemoveAll(dir)
	}
}

// temporary makes a folder that close removes.
func (s *search) temporary() (string, error) {
	dir, err := os.MkdirTemp("", "kas-registry-")
	if err == nil {
		s.folders = append(s.folders, dir)
	}
	return dir, err
}

// find returns the registries that the arguments mean.
func (s *search) find(args []string) ([]*making, error) {
	running, err := kernels.ReadRunning(s.f.sysroot)
	if len(args) == 0 {
		if err != nil {
			return nil, failure{fmt.Errorf("%w: name a release, a folder or a package", err)}
		}
		return s.running(running)
	}
	if len(args) == 1 && running != nil && args[0] == running.Release && isAbsent(args[0]) {
		return s.running(running)
	}
	return s.named(args)
}

func isAbsent(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// running finds the running kernel. Its vmlinux is proved by the build ID.
func (s *search) running(r *kernels.Running) ([]*making, error) {
	w := &making{kernel: r.Kernel(), name: r.Release}
	if err := s.canInstall(w); err != nil {
		return nil, err
	}
	var other string
	w.vmlinux, other = w.kernel.Choose(r.BuildID)
	switch {
	case w.vmlinux != "" && r.BuildID == "":
		fmt.Fprintf(s.stderr, "kas: %s is taken for that of the running kernel by its name: "+
			"sys/kernel/notes shows no build ID\n", w.vmlinux)
	case w.vmlinux != "":
	case s.servers == nil || r.BuildID == "":
		return nil, failure{s.noVmlinux(r, other)}
	default:
		var err error
		check := checkFile(r.BuildID, true)
		w.vmlinux, err = s.servers.Find(s.ctx, r.BuildID, fetch.Debuginfo, check)
		if err != nil {
			return nil, failure{
				fmt.Errorf("no vmlinux of the running kernel, %s: %w", r.Release, err),
			}
		}
	}
	if len(w.kernel.Modules) > 0 {
		return []*making{w}, nil
	}
	return []*making{w}, s.loaded(w, r)
}

// noVmlinux says what to do when there is no vmlinux of the running kernel.
func (s *search) noVmlinux(r *kernels.Running, other string) error {
	release := r.Release
	if other != "" {
		other = fmt.Sprintf(" (%s, and %s is running)", other, r.BuildID)
	}
	servers := "set DEBUGINFOD_URLS"
	if s.servers != nil {
		servers = "make sys/kernel/notes readable: DEBUGINFOD_URLS are asked for its build ID"
	}
	return fmt.Errorf("no vmlinux with debugging information of the running kernel, %[1]s, is "+
		"below /usr/lib/debug or /lib/modules/%[1]s%[2]s: install it (Debian: "+
		"linux-image-%[1]s-dbg, Fedora: kernel-debuginfo), name a package or folder that has it, "+
		"or %[3]s", release, other, servers)
}

// loaded fetches the loaded modules where none is installed, as in a container.
func (s *search) loaded(w *making, r *kernels.Running) error {
	ids := r.Loaded()
	names := slices.Sorted(maps.Keys(ids))
	if len(names) == 0 {
		fmt.Fprintf(s.stderr, "kas: no modules of %s are here, and none that is loaded shows its "+
			"build ID: the registry has only vmlinux\n", r.Release)
		return nil
	}
	failed := make([]error, len(names))
	if s.servers == nil {
		for i := range failed {
			failed[i] = errors.New("DEBUGINFOD_URLS is not set")
		}
	} else {
		dir, err := s.temporary()
		if err != nil {
			return failure{err}
		}
		pipeline.Parallel(s.f.jobs, len(names), func(i int) {
			id := ids[names[i]]
			path, err := s.servers.Find(s.ctx, id, fetch.Executable, checkFile(id, false))
			if err == nil {
				path, err = filepath.Abs(path)
			}
			failed[i] = cmp.Or(err, os.Symlink(path, filepath.Join(dir, names[i]+".ko")))
		})
		if s.ctx.Err() != nil {
			return failure{context.Cause(s.ctx)}
		}
		w.kernel.Modules = []string{dir}
	}
	var why error
	for i, err := range failed {
		if err != nil {
			why = cmp.Or(why, err)
			w.absent = append(w.absent, names[i]+".ko")
		}
	}
	if n := len(w.absent); n > 0 {
		if n == len(names) {
			w.kernel.Modules = nil
		}
		fmt.Fprintf(s.stderr, "kas: the registry lacks %d of %d loaded modules, which are not in "+
			"/lib/modules/%s: %v\n", n, len(names), r.Release, why)
	} else {
		fmt.Fprintf(s.stderr, "kas: /lib/modules/%s is not here: only the %d loaded modules "+
			"count\n", r.Release, len(names))
	}
	return nil
}

// named finds the kernels that the arguments name. Files and folders of packages that belong
// together may be named together.
func (s *search) named(args []string) ([]*making, error) {
	var all []kernels.Kernel
	var explicit kernels.Kernel
	var unpacked []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case errors.Is(err, fs.ErrNotExist) && filepath.Base(arg) == arg:
			k := kernels.Of(arg, s.f.sysroot)
			if len(k.Vmlinux)+len(k.Modules) == 0 {
				return nil, fmt.Errorf("%s: neither a file nor the release of a kernel that is "+
					"installed here", arg)
			}
			all = append(all, k)
		case err != nil:
			return nil, err
		case info.IsDir():
			found := kernels.In(arg)
			if len(found) == 0 {
				return nil, fmt.Errorf("%s: neither vmlinux nor a module is in this folder", arg)
			}
			all = append(all, found...)
		case configs.Linked(arg) || filepath.Base(arg) == "modules.order":
			explicit.Modules = append(explicit.Modules, arg)
		case packages.Is(arg):
			p, err := s.packages.unpack(s.ctx, arg)
			if err != nil {
				return nil, failure{err}
			}
			unpacked = append(unpacked, p.Dir)
		default:
			explicit.Vmlinux = append(explicit.Vmlinux, arg)
		}
	}
	found := kernels.Below(unpacked...)
	if len(found) == 0 && len(unpacked) > 0 {
		return nil, fmt.Errorf("%s: neither vmlinux nor a module is in these packages",
			strings.Join(slices.DeleteFunc(slices.Clone(args), func(a string) bool {
				return !packages.Is(a)
			}), ", "))
	}
	return s.choose(join(append(all, found...), explicit))
}

// join makes one kernel of those of one release; one without a release, and the files that were
// named, belong to the only other.
func join(all []kernels.Kernel, explicit kernels.Kernel) []kernels.Kernel {
	var merged []kernels.Kernel
	add := func(k kernels.Kernel, same func(kernels.Kernel) bool) {
		i := slices.IndexFunc(merged, same)
		if i < 0 {
			merged = append(merged, k)
			return
		}
		merged[i].Add(k)
	}
	for _, k := range all {
		add(k, func(m kernels.Kernel) bool {
			return m.Release == k.Release && (k.Release != "" || len(m.Vmlinux) == 0 ||
				len(k.Vmlinux) == 0)
		})
	}
	if len(merged) == 2 && merged[0].Release == "" != (merged[1].Release == "") {
		one := merged[1]
		merged = merged[:1]
		add(one, func(kernels.Kernel) bool { return true })
	}
	if len(explicit.Vmlinux) > 0 && len(merged) == 1 {
		merged[0].Vmlinux = nil // the file that was named counts
	}
	if len(explicit.Vmlinux)+len(explicit.Modules) > 0 {
		add(explicit, func(kernels.Kernel) bool { return len(merged) == 1 })
	}
	return merged
}

// choose makes a registry of each kernel and gives each a name of its own.
func (s *search) choose(all []kernels.Kernel) ([]*making, error) {
	var list []*making
	for _, k := range all {
		w := &making{kernel: k}
		w.vmlinux, _ = k.Choose("")
		if w.vmlinux == "" {
			return nil, fmt.Errorf("%s: no vmlinux: name it too, or the package or folder that "+
				"has it", cmp.Or(k.Release, strings.Join(k.Modules, ", ")))
		}
		w.name = cmp.Or(k.Release, filepath.Base(strings.TrimSuffix(w.vmlinux, "/vmlinux")))
		for n := 2; slices.Contains(names(list), w.name); n++ {
			w.name = fmt.Sprintf("%s (%d)", cmp.Or(k.Release, "kernel"), n)
		}
		if len(k.Modules) == 0 {
			fmt.Fprintf(s.stderr, "kas: %s: no modules: a name that is unique in vmlinux may not "+
				"be unique in the kernel\n", w.name)
		}
		if err := s.canInstall(w); err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// canInstall refuses --install where it would fail at the end.
func (s *search) canInstall(w *making) error {
	if !s.f.install {
		return nil
	}
	if w.kernel.Release == "" {
		return errors.New("--install: no path names the release of this kernel: use -o")
	}
	dir := filepath.Join(s.f.sysroot, "lib/modules", w.kernel.Release)
	probe, err := os.CreateTemp(dir, ".kas-")
	if err != nil {
		if pe := new(fs.PathError); errors.As(err, &pe) {
			err = pe.Err
		}
		return failure{fmt.Errorf("--install: %s: %w", dir, err)}
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// findDebug asks the servers for the debug file of an object.
func (s *search) findDebug(ctx context.Context, o *pipeline.Object) (string, error) {
	if o.BuildID == "" {
		return "", errors.New("no build ID to ask DEBUGINFOD_URLS for")
	}
	return s.servers.Find(ctx, o.BuildID, fetch.Debuginfo, checkFile(o.BuildID, true))
}

// checkFile returns a check that a file from outside has a build ID and, if that is wanted,
// debugging information.
func checkFile(id string, debug bool) func(path string) error {
	return func(path string) error {
		if err := elf.CheckRegular(path); err != nil {
			return err
		}
		f, err := elf.OpenTables(path)
		if err != nil {
			return err
		}
		defer f.Close()
		switch got := f.BuildID(); {
		case got != id:
			return fmt.Errorf("it has build ID %q", got)
		case debug && !f.HasDebug():
			return errors.New("it has no debugging information")
		}
		return nil
	}
}
