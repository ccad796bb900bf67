package kbuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
)

// session is one call of a hook that does more than run the real tool: the tree it runs in and the
// settings from the environment.
type session struct {
	tree   tree
	memory memory

	config     string   // KAS_CONFIG: file whose alias section is the policy; "" is the default
	registries []string // --registry or KAS_REGISTRY: registries of the kernel, files or folders
	overlay    string   // KAS_OVERLAY: overlay of the registry
	vmlinux    string   // KAS_VMLINUX: the kernel's vmlinux with debugging information
	modules    string   // KAS_MODULES: the folder of its modules with debugging information
	srctree    string   // the kernel's source tree, "" if kbuild does not export it
	makeflags  string
	ld         string // kbuild's $(LD), which may be a hook
	root       string // Hook.root, or else /

	// linked is whether the modules without aliases get a symbolic link in place of a copy: there,
	// the copies are targets of make, and one recipe must not remove another's target.
	linked bool

	kas func() string // Hook.Kas
}

// session reads the environment. Nothing else in the package does, except off and tool.
func (h *Hook) session() *session {
	t := treeOf(h.Getenv)
	return &session{
		tree: t, memory: memoryOf(t),
		config: h.Getenv("KAS_CONFIG"),
		registries: filepath.SplitList(cmp.Or(parse(h.Args).registry,
			h.Getenv("KAS_REGISTRY"))),
		overlay:   h.Getenv("KAS_OVERLAY"),
		vmlinux:   h.Getenv("KAS_VMLINUX"),
		modules:   h.Getenv("KAS_MODULES"),
		srctree:   h.Getenv("srctree"),
		makeflags: h.Getenv("MAKEFLAGS"),
		ld:        h.Getenv("LD"),
		kas:       h.Kas,
		root:      cmp.Or(h.root, "/"),
	}
}

// warn prints a message that does not fail the call.
func warn(format string, args ...any) {
	fmt.Fprintln(os.Stderr, "kas:", elf.Escape(fmt.Sprintf(format, args...)))
}

// beside is where the hooks write copies: beside the objects of the modules that have aliases.
var beside = configs.Emit{Beside: true, Unaliased: "skip"}

// aliases finds the aliases of the objects of the tree, writes the copies of its modules if write
// is set, and passes the build to collect. vmlinux is the file to read the kernel's symbols from;
// it is not read if a registry lists them.
func (s *session) aliases(name, vmlinux string, write bool,
	collect func(*pipeline.Build, *kernelNames) error) error {
	policy, err := configs.Policy(s.config)
	if err != nil {
		return err
	}
	names, err := s.kernelNames(&policy)
	if err != nil {
		return err
	}
	defer names.close()
	if names.fromRegistry {
		vmlinux = ""
	}
	objects, err := s.tree.objects(vmlinux, !names.fromRegistry)
	if err != nil {
		return err
	}
	policy.Vmlinux, policy.Emit = vmlinux, beside
	if s.linked {
		policy.Emit.Unaliased = "link"
	}
	return s.run(name, spec{
		config:  policy,
		objects: objects,
		write:   write,
		check:   names.check,
		mark:    names.mark,
		scope:   s.scope(names),
		collect: func(ctx context.Context, b *pipeline.Build) error {
			if err := collect(b, names); err != nil {
				return err
			}
			return s.warnAmbiguous(ctx, b, names, policy.Debug)
		},
	})
}

// run runs the stages of a spec, with as many workers as make has free. name is that of what it
// leaves in memory for the next run.
func (s *session) run(name string, run spec) error {
	ctx, stop := untilSignal()
	defer stop()
	jobs, release := jobs(s.makeflags)
	defer release()
	run.config.Name = name
	run.out = s.memory.path("out") // nothing is written there
	run.options = pipeline.Options{Jobs: jobs, State: s.memory.state(name, s.kas()), Kas: s.kas(),
		All: true}
	r, err := run.run(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	if r.Unsaved != nil {
		warn("warning: the next call reads all objects again: the cache cannot be written: %v",
			r.Unsaved)
	}
	return firstProblem(r)
}

// untilSignal returns a context that ends at a signal that would end the process, so that a call
// returns its tokens to make and removes its temporary files. A signal that is ignored stays so.
func untilSignal() (ctx context.Context, stop func()) {
	var all []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			all = append(all, s)
		}
	}
	return signal.NotifyContext(context.Background(), all...)
}

// scope returns which modules of a build get copies, what the copies have, and what else counts for
// it.
func (s *session) scope(names *kernelNames) pipeline.Scope {
	scope := pipeline.Scope{
		Copy: s.copyOf,
		Own:  func(o *pipeline.Object) bool { return o.Vmlinux || s.tree.owns(o.Path) },
		// The copy has the aliases of local symbols. Those of global symbols are added after the
		// link: see globals.go.
		Carry: func(o *pipeline.Object, d *pipeline.Duplicate) bool {
			return o.Symbols[d.Symbol].Local && names.needed(d)
		},
		Later: func(o *pipeline.Object) string {
			if text := globalLines(o, names); len(text) > 0 {
				return pipeline.Digest(string(text))
			}
			return ""
		},
	}
	if s.tree.ext != "" {
		scope.Roots = append(scope.Roots, absolute(s.tree.ext))
	}
	if names.fromRegistry {
		scope.Taken = names.taken
		if s.srctree != "" {
			scope.Roots = append(scope.Roots, absolute(s.srctree))
		}
	}
	return scope
}

// copyOf returns the path of an object's copy with aliases. With the option of Install it is a
// target of make, X.o.kas. Otherwise its name is one that `make clean` removes.
func (s *session) copyOf(object string) string {
	if s.linked {
		return object + ".kas"
	}
	return filepath.Join(filepath.Dir(object), ".tmp_"+filepath.Base(object)+".kas")
}

// warnAmbiguous prints which symbols of the kernel were unique until the out-of-tree modules of the
// tree came.
func (s *session) warnAmbiguous(ctx context.Context, b *pipeline.Build, names *kernelNames,
	roots []string) error {
	if s.tree.ext == "" || !names.fromRegistry && below(s.tree.dir, s.tree.ext) {
		return nil
	}
	var debug KernelDebug
	if names.fromRegistry {
		vmlinux := s.vmlinux
		if here := filepath.Join(s.tree.dir, "vmlinux"); vmlinux == "" && exists(here) {
			vmlinux = here
		}
		debug = FindDebug(names.Release, vmlinux, s.modules, roots...)
	}
	all, err := names.ambiguous(ctx, b, debug)
	for i := range all {
		warn("%s", &all[i])
	}
	return err
}
