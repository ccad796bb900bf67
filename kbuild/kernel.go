package kbuild

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kas/configs"
	"kas/registry"
	"kas/stages"
)

// kernelNames opens the registry of the kernel that the session builds modules for, if it needs
// one, and sets the policy to that of the registry.
func (s *session) kernelNames(policy *configs.Build) (*kernelNames, error) {
	if err := s.checkPaths(); err != nil {
		return nil, err
	}
	files := s.registryFiles()
	if len(files) == 0 {
		if s.tree.ext != "" && !s.tree.built() {
			s.warnNoRegistry()
		}
		return buildNames(), nil
	}
	all, err := registry.OpenAll(files)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		registry.CloseAll(all)
		return nil, fmt.Errorf("%s: %d registries: KAS_REGISTRY must name that of one kernel",
			strings.Join(files, ", "), len(all))
	}
	names, err := s.namesOf(all[0], policy)
	if err != nil {
		all[0].Close()
	}
	return names, err
}

func (s *session) warnNoRegistry() {
	where, how := absolute(s.tree.dir), "kas run"
	if release := s.tree.release(); release != "" {
		where += " or /lib/modules/" + release
		how = "kas registry --install " + release
	}
	warn("no registry of the kernel: no KAS_REGISTRY, and no symbols.kas in %s, so the modules "+
		"get no aliases for names that the kernel has; %s makes one", where, how)
}

// checkPaths refuses relative paths for out-of-tree modules, because make M= changes the folder, to
// one that depends on the kernel's version. It also refuses debug files that are not there.
func (s *session) checkPaths() error {
	if s.tree.ext == "" {
		return nil
	}
	debug := [][2]string{{"KAS_VMLINUX", s.vmlinux}, {"KAS_MODULES", s.modules}}
	named := append([][2]string{{"KAS_OVERLAY", s.overlay}}, debug...)
	for _, path := range s.registries {
		named = append(named, [2]string{"KAS_REGISTRY", path})
	}
	for _, n := range named {
		if n[1] != "" && !filepath.IsAbs(n[1]) {
			return fmt.Errorf("%s: %s is relative, and make M= changes the folder: "+
				"give the whole path", n[0], n[1])
		}
	}
	for _, n := range debug {
		if _, err := os.Stat(n[1]); n[1] != "" && err != nil {
			return fmt.Errorf("%s: %w", n[0], err)
		}
	}
	return nil
}

// registryFiles returns the registry of the kernel that out-of-tree modules are built for, and its
// overlay if that exists. Without KAS_REGISTRY it is the registry beside Module.symvers, or the one
// that is installed for all users. It returns none if the kernel itself was built in the tree, or
// if no out-of-tree modules are built.
func (s *session) registryFiles() []string {
	if s.tree.ext == "" {
		return nil
	}
	var files []string
	for _, file := range s.registries {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			file = cmp.Or(registry.InFolder(file), file)
		}
		files = append(files, file)
	}
	if len(files) == 0 && !s.tree.built() {
		if file := s.installedRegistry(); file != "" {
			files = append(files, file)
		}
	}
	if len(files) > 0 && s.overlay != "" && exists(s.overlay) {
		files = append(files, s.overlay)
	}
	return files
}

// installedRegistry returns the registry of the kernel whose headers the tree has, "" if there is
// none.
func (s *session) installedRegistry() string {
	file := registry.InFolder(s.tree.dir)
	if release := s.tree.release(); file == "" && release != "" {
		modules := filepath.Join("lib/modules", release)
		file = cmp.Or(registry.InFolder(filepath.Join(s.root, modules)),
			registry.InFolder(filepath.Join(s.root, "usr/lib/debug", modules)))
	}
	return file
}

// namesOf prepares the names of a registry for the session's modules.
func (s *session) namesOf(r *registry.Registry, policy *configs.Build) (*kernelNames, error) {
	if err := s.fits(r, policy); err != nil {
		return nil, err
	}
	if s.overlay != "" && !exists(s.overlay) {
		warn("KAS_OVERLAY: %s does not exist: assuming that no module was registered before",
			s.overlay)
	}
	if r.Incomplete.Objects > 0 {
		warn("%s: %s", r.Path, &r.Incomplete)
	}
	policy.Arch = r.Arch
	modules, err := s.tree.modules(s.tree.ext)
	if err != nil {
		return nil, err
	}
	return registryNames(r, modules, policy), nil
}

// fits refuses the registry of another kernel than that of the tree, and one of another policy than
// KAS_CONFIG sets. Without KAS_CONFIG the registry's policy becomes the session's.
func (s *session) fits(r *registry.Registry, policy *configs.Build) error {
	if here := s.tree.release(); here != "" && r.Release != "" && here != r.Release {
		return fmt.Errorf("%s is the registry of %s, but modules in %s are built for %s",
			r.Path, r.Release, absolute(s.tree.dir), here)
	}
	its, err := stages.ParsePolicy(r.Policy)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Path, err)
	}
	if s.config == "" {
		policy.Alias = its
	} else if ours := stages.Policy(&policy.Alias); ours != r.Policy {
		return fmt.Errorf("%s has the policy %s, but KAS_CONFIG sets %s", r.Path, r.Policy, ours)
	}
	return nil
}
