package kbuild

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// Registry writes the registry of the kernel that was built in a folder, from its vmlinux and the
// modules that its modules.order lists. The registry is where packages of headers take it along. It
// returns the path and the number of symbols.
func Registry(h Hook, dir string) (path string, symbols int, err error) {
	s := h.session()
	s.tree = tree{dir: dir}
	s.memory = memoryOf(s.tree)
	policy, err := configs.Policy(s.config)
	if err != nil {
		return "", 0, err
	}
	objects, err := s.tree.linked()
	if err != nil {
		return "", 0, err
	}
	policy.Name, policy.Vmlinux = "registry", objects[0].Path
	path = registry.InBuild(dir)
	ctx, stop := untilSignal()
	defer stop()
	jobs, release := jobs(s.makeflags)
	defer release()
	write := stages.Registry(func(*pipeline.Build) (string, error) { return path, nil })
	r, err := spec{
		config: policy,
		out:    s.memory.path("out"), // nothing is written there
		options: pipeline.Options{Jobs: jobs, State: s.memory.state(policy.Name, s.kas()),
			Kas: s.kas(), All: true},
		objects: objects,
		scope:   pipeline.Scope{Release: s.tree.release()},
		collect: func(ctx context.Context, b *pipeline.Build) error {
			err := write.Run(ctx, b)
			symbols = b.Stats.Symbols
			return err
		},
	}.run(ctx)
	if ctx.Err() != nil {
		return "", 0, errors.New("interrupted")
	}
	if err == nil {
		err = firstProblem(r)
	}
	return path, symbols, err
}

// linked returns vmlinux and the linked modules of the tree.
func (t tree) linked() ([]pipeline.Object, error) {
	vmlinux := filepath.Join(t.dir, "vmlinux")
	if !exists(vmlinux) {
		return nil, fmt.Errorf("%s is not there: run make first", vmlinux)
	}
	objects, err := t.objects(vmlinux, true)
	if err != nil {
		return nil, err
	}
	for i := range objects {
		if o := &objects[i]; !o.Vmlinux {
			o.Name = strings.TrimSuffix(o.Name, ".o") + ".ko"
			o.Path = strings.TrimSuffix(o.Path, ".o") + ".ko"
			if !exists(o.Path) {
				return nil, fmt.Errorf("%s is not there: run make first", o.Path)
			}
		}
	}
	return objects, nil
}
