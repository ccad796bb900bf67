package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/elf"
	"kas/fetch"
	"kas/kernels"
	"kas/pipeline"
	"kas/registry"
	"kas/report"
	"kas/stages"
)

const registryLong = `Make the registry (symbols.kas) of a kernel, without a configuration. Without
arguments, of the running kernel: from its installed debug package, from
/lib/modules/RELEASE and its build folder. What is named otherwise is

  6.1.0-56-cloud-amd64   a release that is installed
  PACKAGE.deb .rpm       packages; those that belong together may be named
                         together, as image and debugging information
  FOLDER                 a build tree, or where a package was unpacked
  vmlinux X.ko FOLDER    a vmlinux, and its modules if they are named too

A debug file that is not here is fetched from the servers in DEBUGINFOD_URLS, by
its build ID. Of modules only those are fetched that share a name.

The registry is kept in the user's cache, where kas lookup and kas probe find
it: that of the running kernel without a flag, another with -r RELEASE.`

type registryFlags struct {
	out     string
	install bool
	jobs    int
	json    bool
	sysroot string
}

func newRegistry() *cobra.Command {
	var f registryFlags
	cmd := &cobra.Command{
		Use:   "registry [RELEASE | PACKAGE | FOLDER | FILE]...",
		Short: "Make the registry of the running kernel, or of another",
		Long:  registryLong,
		Example: `  kas registry
  kas registry linux-image-6.1.0-56-cloud-amd64-dbg_*.deb
  DEBUGINFOD_URLS=https://debuginfod.example.org kas registry`,
		Args:              argCount(0, noLimit),
		ValidArgsFunction: completeReleases,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.out != "" && f.install {
				return errors.New("--output does not go with --install")
			}
			if f.out == toStdout && f.json {
				return errors.New("--json and -o - both write to standard output")
			}
			if err := checkJobs(f.jobs); err != nil {
				return err
			}
			return makeRegistries(cmd.Context(), args, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "output", "o", "",
		"write to `FILE`, compressed if its name ends in .zst, - is standard output\n"+
			"(default: the user's cache)")
	flags.BoolVar(&f.install, "install", false,
		"write to /lib/modules/RELEASE, where all users' commands look")
	flags.IntVarP(&f.jobs, "jobs", "j", 0, "use `N` workers (default: all cores)")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	addSysroot(cmd, &f.sysroot)
	cmd.AddCommand(newPublish())
	return cmd
}

// making is a registry to make.
type making struct {
	kernel  kernels.Kernel
	name    string // of its build, for messages
	vmlinux string
	absent  []string // modules that are loaded and not here

	path   string // of the registry
	sample string // a name that is worth a look
	unlock func()
}

func makeRegistries(
	ctx context.Context, args []string, f registryFlags, stdout, stderr io.Writer,
) error {
	servers, err := fetch.FromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	s := &search{ctx: ctx, f: f, servers: servers, stderr: stderr}
	s.packages.stderr = stderr
	defer s.close()
	if servers != nil {
		s.downloads.watch(servers, stderr)
	}
	all, err := s.find(args)
	if err != nil {
		return err
	}
	if len(all) > 1 && f.out != "" {
		return fmt.Errorf("--output %s: one file, but these are %d kernels: %s", f.out, len(all),
			strings.Join(names(all), ", "))
	}
	collectLess()
	var tasks []pipeline.Task
	for _, w := range all {
		task, err := s.task(w)
		if err != nil {
			return err
		}
		tasks = append(tasks, task)
		defer func() {
			if w.unlock != nil {
				w.unlock()
			}
		}()
	}
	if servers != nil {
		servers.Progress = nil // from here on the bar is that of the stages
	}
	progress := newProgress(stderr, usual, tasks)
	result, err := pipeline.Run(ctx, tasks, pipeline.Options{
		Jobs: f.jobs, Events: progress.events(tasks),
	})
	progress.erase()
	if err != nil {
		return failure{err}
	}
	s.downloads.note(stderr)
	for _, b := range result.Builds {
		noteLeftOut(stderr, b.Config.Name, b.Stats.LeftOut)
		noteDebug(stderr, b, result.Errors)
	}
	if err := printMade(all, result, f, stdout, stderr); err != nil {
		return failure{err}
	}
	if len(result.Errors) > 0 {
		return errReported
	}
	return nil
}

func names(all []*making) (names []string) {
	for _, w := range all {
		names = append(names, w.name)
	}
	return names
}

// task returns the task that makes a registry.
func (s *search) task(w *making) (pipeline.Task, error) {
	config, err := configs.Policy("")
	if err != nil {
		return pipeline.Task{}, err
	}
	config.Name, config.Vmlinux, config.Debug = w.name, w.vmlinux, w.kernel.Debug
	for _, entry := range w.kernel.Modules {
		config.Modules = append(config.Modules, configs.Literal(entry))
	}
	scope := pipeline.Scope{Absent: w.absent, Release: w.kernel.Release}
	if s.servers != nil {
		scope.FindDebug = s.findDebug
	}
	list := append(stages.Select([]string{"scan", "dedupe", "normalize", "resolve"}),
		stages.Registry(func(b *pipeline.Build) (string, error) { return s.place(w, b) }))
	return pipeline.Task{Config: config, Scope: scope, Stages: list}, nil
}

// place returns the path of the registry and locks its folder.
func (s *search) place(w *making, b *pipeline.Build) (path string, err error) {
	switch f := s.f; {
	case f.install:
		path = filepath.Join(f.sysroot, "lib/modules", w.kernel.Release, registry.FileName)
	case f.out == toStdout || strings.HasSuffix(f.out, ".zst"):
		if path, err = s.temporary(); err == nil {
			path = filepath.Join(path, registry.FileName)
		}
	case f.out != "":
		path = f.out
	default:
		path, err = keepPath(b.Release, b.BuildID)
	}
	if err != nil {
		return "", err
	}
	w.path, w.sample = path, sample(b)
	w.unlock, err = pipeline.LockWait(filepath.Dir(path))
	return path, err
}

// sample returns a name to look up: a known one, else the first that has an alias.
func sample(b *pipeline.Build) string {
	const known = "name_show"
	first := ""
	for _, g := range b.Groups {
		for _, r := range g.Members {
			o, s := b.Ref(r)
			if d := &o.Duplicates[s.Duplicate-1]; d.Alias == "" {
				continue
			}
			if g.Base == known {
				return known
			}
			first = cmp.Or(first, g.Base)
		}
	}
	return first
}

// madeJSON is a registry that was made, for programs.
type madeJSON struct {
	Path       string `json:"path"`
	Release    string `json:"release,omitempty"`
	BuildID    string `json:"build_id,omitempty"`
	Arch       string `json:"arch,omitempty"`
	Symbols    int    `json:"symbols"`
	Modules    int    `json:"modules"`
	Aliases    int    `json:"aliases"`
	Incomplete string `json:"incomplete,omitempty"`
}

func printMade(
	all []*making, result *pipeline.Result, f registryFlags, stdout, stderr io.Writer,
) error {
	made := []madeJSON{}
	for i, w := range all {
		b := result.Builds[i]
		if w.unlock == nil { // an error ended it, and was reported
			continue
		}
		path, err := w.finish(f, stdout)
		if err != nil {
			return err
		}
		missing := registry.Missing(b.Missing())
		if missing.Objects > 0 {
			fmt.Fprintf(stderr, "kas: %s: %s\n", path, &missing)
		}
		if f.out == toStdout {
			continue
		}
		if f.json {
			made = append(made, madeJSON{path, b.Release, b.BuildID, b.Arch, b.Stats.Symbols,
				b.Stats.Modules, b.Stats.Aliases, missing.String()})
			continue
		}
		if err := report.Made(stdout, b, path, w.next(b, path, f)); err != nil {
			return err
		}
	}
	if f.json {
		return report.WriteJSON(stdout, struct {
			Registries []madeJSON `json:"registries"`
		}{made})
	}
	return nil
}

// finish compresses or prints the registry if that is wanted. It returns the path.
func (w *making) finish(f registryFlags, stdout io.Writer) (string, error) {
	if f.out != toStdout && !strings.HasSuffix(f.out, ".zst") {
		return w.path, nil
	}
	r, err := registry.Open(w.path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if f.out == toStdout {
		return f.out, r.Copy(stdout)
	}
	return f.out, pipeline.WriteNamed(f.out, r.Compress)
}

// next returns the command to try next.
func (w *making) next(b *pipeline.Build, path string, f registryFlags) string {
	command := "kas lookup " + cmp.Or(w.sample, "NAME")
	found, err := (&finder{root: f.sysroot}).files(context.Background(), nil)
	switch {
	case err == nil && len(found) == 1 && sameFile(found[0], path):
		return command
	case f.out == "" && !f.install && filepath.Base(filepath.Dir(filepath.Dir(path))) == b.Release:
		return command + " -r " + b.Release
	}
	return command + " -r " + path
}

func sameFile(a, b string) bool { return elf.IdentifyTarget(a) == elf.IdentifyTarget(b) }

// completeReleases completes the releases that are installed, and files.
func completeReleases(
	_ *cobra.Command, _ []string, toComplete string,
) (names []string, _ cobra.ShellCompDirective) {
	for _, k := range kernels.Below("/") {
		if strings.HasPrefix(k.Release, toComplete) {
			names = append(names, k.Release)
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}
