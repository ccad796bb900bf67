package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// kernel is the input of one build of a configuration.
type kernel struct {
	vmlinux string // "" for none
	modules string // a folder, a module or a list; "" for none
	pkg     string // a package that has them; "" for none
	names   string // a glob of names that get aliases although they are unique; "" for none
}

// corpus finds the kernel that `make corpus-FLAVOUR` fetched.
func (b *bench) corpus(flavour string) (kernel, error) {
	var k kernel
	debug := filepath.Join(b.cache, "corpus", flavour, "usr", "lib", "debug")
	for _, f := range []struct {
		path *string
		glob string
	}{
		{&k.vmlinux, filepath.Join(debug, "boot", "vmlinux-*")},
		{&k.modules, filepath.Join(debug, "lib", "modules", "*", "kernel")},
	} {
		var err error
		if *f.path, err = match(f.glob); err != nil {
			return k, err
		}
	}
	return k, nil
}

// match returns the only file that matches a glob.
func match(glob string) (string, error) {
	found, err := filepath.Glob(glob)
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%d files match %s, not one", len(found), glob)
	}
	return found[0], nil
}

// module is a file of a kernel.
type module struct {
	path string
	size int64
}

// moduleFiles lists the modules of a kernel, sorted by path.
func moduleFiles(k kernel) ([]module, error) {
	var all []module
	err := filepath.WalkDir(k.modules, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".ko") {
			return err
		}
		info, err := e.Info()
		if err == nil {
			all = append(all, module{path, info.Size()})
		}
		return err
	})
	return all, err
}

// config writes a configuration, in JSON, which is YAML that quotes every path. The builds are
// named 0, 1 and so on. Without stages a run has all of them.
func (b *bench) config(name string, kernels []kernel, stages ...string) (string, error) {
	var builds []map[string]any
	for i, k := range kernels {
		build := map[string]any{"name": fmt.Sprint(i)}
		if k.vmlinux != "" {
			build["vmlinux"] = k.vmlinux
		}
		if k.modules != "" {
			build["modules"] = k.modules
		}
		if k.pkg != "" {
			build["package"] = k.pkg
		}
		if k.names != "" {
			build["alias"] = map[string]any{"names": []string{k.names}}
		}
		builds = append(builds, build)
	}
	config := map[string]any{"version": 1, "builds": builds}
	if len(stages) > 0 {
		config["stages"] = stages
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	path := b.path(name + ".yaml")
	return path, os.WriteFile(path, text, 0o644)
}

// table reads a table that a run wrote: its rows without the header, split into cells.
func table(path string) ([][]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s is empty", filepath.Base(path))
	}
	return rows[1:], nil
}
