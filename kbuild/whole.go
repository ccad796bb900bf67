package kbuild

import (
	"context"
	"fmt"
	"path/filepath"

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
	policy.Vmlinux = objects[0].Path
	path = registry.InBuild(dir)
	write := stages.Registry(func(*pipeline.Build) (string, error) { return path, nil })
	err = s.run("registry", spec{
		config:  policy,
		objects: objects,
		scope:   pipeline.Scope{Release: s.tree.release()},
		collect: func(ctx context.Context, b *pipeline.Build) error {
			err := write.Run(ctx, b)
			symbols = b.Stats.Symbols
			return err
		},
	})
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
			o.Name, o.Path = moduleOf(o.Name), moduleOf(o.Path)
			if !exists(o.Path) {
				return nil, fmt.Errorf("%s is not there: run make first", o.Path)
			}
		}
	}
	return objects, nil
}
