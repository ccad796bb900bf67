package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/kernels"
	"kas/packages"
	"kas/pipeline"
	"kas/report"
)

const initLong = `Write a configuration with the kernels that are found at each PATH (default: the
current folder), and check it as kas check does. PATH is

  linux               the folder a kernel was built in, or one with several
  *.deb, *.rpm        packages, or a folder with packages; those of one kernel
                      are one build
  /usr/lib/debug      kernels of installed debug packages
  debs                a folder where such packages were unpacked
  /lib/modules/6.1.0  modules alone; with the vmlinux of a debug package, if
                      one is installed
  vmlinux, xfs.ko     single files

A file that is there is not replaced. For FILE, - is standard output.`

type initFlags struct {
	to   string
	json bool
}

func newInit() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init [PATH...]",
		Short: "Write a configuration for the kernels in a folder",
		Long:  initLong,
		Example: `  kas init linux && kas run
  kas init /usr/lib/debug -o -`,
		Args: argCount(0, noLimit),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			if f.json && f.to == toStdout {
				return errors.New("--json and -o - both write to standard output")
			}
			return writeInit(cmd.Context(), args, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&f.to, "output", "o", defaultConfig, "write to `FILE`")
	cmd.Flags().BoolVar(&f.json, "json", false, "print what was found as JSON")
	return cmd
}

func writeInit(
	ctx context.Context, paths []string, f initFlags, stdout, stderr io.Writer,
) error {
	to := f.to
	if to != toStdout {
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("%s exists: remove it, or name another file with -o", to)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	all, err := findAllKernels(paths)
	if err != nil {
		return err
	}
	file := to
	if to == toStdout {
		file = defaultConfig
	}
	text, err := initText(all, filepath.Dir(file))
	if err != nil {
		return err
	}
	plan, err := configs.LoadText(file, text)
	if err != nil {
		return err
	}
	done, err := unpack(ctx, plan, stderr)
	if err != nil {
		return err
	}
	defer done()
	if err := checkPlan(plan, false, stderr); err != nil {
		return err
	}
	if to == toStdout {
		if _, err := stdout.Write(text); err != nil {
			return failure{err}
		}
		return nil
	}
	_, err = pipeline.WriteFile(to, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return failure{err}
	}
	fmt.Fprintf(stderr, "kas: wrote %s: %s\n", to, strings.Join(buildNames(plan), ", "))
	if !f.json {
		return nil
	}
	values, err := configs.Values(text)
	if err != nil {
		return failure{err}
	}
	return asFailure(report.WriteJSON(stdout, struct {
		File   string `json:"file"`
		Builds any    `json:"builds"`
	}{to, values["builds"]}))
}

// kernelFiles are the files of a build.
type kernelFiles struct {
	name, vmlinux            string // "" if there is none
	modules, debug, packages []string
}

// findAllKernels returns the kernels at all paths. Packages of one kernel are one build.
func findAllKernels(paths []string) (all []kernelFiles, err error) {
	var files []string
	for _, path := range paths {
		if packages.Is(path) && !isFolder(path) {
			files = append(files, path)
			continue
		}
		found, err := findKernels(path)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: found no kernel here: neither vmlinux nor modules "+
				"(kas help init says where they are looked for)", path)
		}
		all = append(all, found...)
	}
	return append(all, packagedKernels(files)...), nil
}

// packageRelease finds the release of the kernel, or its version, in the name of a package, without
// what distinguishes the packages of one kernel.
var packageRelease = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`-(\d.*?)(-dbg|-dbgsym)?(_[^_]+_[^_]+)?\.\w+$`)
})

// packagedKernels makes a build of the packages of each kernel.
func packagedKernels(files []string) (all []kernelFiles) {
	for _, file := range files {
		name := filepath.Base(file)
		if m := packageRelease().FindStringSubmatch(name); m != nil {
			name = m[1]
		}
		at := slices.IndexFunc(all, func(k kernelFiles) bool { return k.name == name })
		if at < 0 {
			at = len(all)
			all = append(all, kernelFiles{name: name})
		}
		all[at].packages = append(all[at].packages, file)
	}
	return all
}

// findKernels returns the kernels at a path.
func findKernels(path string) ([]kernelFiles, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	switch {
	case info.IsDir():
		return kernelsIn(path), nil
	case strings.HasPrefix(base, "vmlinux"):
		return []kernelFiles{{name: releaseOf(path), vmlinux: path}}, nil
	default:
		name, _, _ := strings.Cut(base, ".")
		return []kernelFiles{{name: name, modules: []string{path}}}, nil
	}
}

// kernelsIn returns the kernels in a folder: the one that was built there, else those of packages
// that were unpacked or installed there, else those that were built in its subfolders or are in
// packages there, else its modules.
func kernelsIn(dir string) (all []kernelFiles) {
	if tree, ok := builtIn(dir); ok {
		return []kernelFiles{tree}
	}
	found := kernels.In(dir)
	for _, k := range found {
		if k.Release == "" {
			continue
		}
		files := kernelFiles{name: k.Release, modules: k.Modules, debug: k.Debug}
		if len(k.Vmlinux) > 0 {
			files.vmlinux = k.Vmlinux[0]
		}
		all = append(all, files)
	}
	if len(all) > 0 {
		return all
	}
	entries, _ := os.ReadDir(dir)
	var files []string
	for _, e := range entries {
		if packages.Is(e.Name()) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
		if tree, ok := builtIn(filepath.Join(dir, e.Name())); ok {
			tree.name = e.Name()
			all = append(all, tree)
		}
	}
	all = append(all, packagedKernels(files)...)
	if len(all) == 0 && len(found) > 0 {
		return []kernelFiles{{name: filepath.Base(absolute(dir)), modules: found[0].Modules}}
	}
	return all
}

// builtIn returns the kernel whose vmlinux is in a folder.
func builtIn(dir string) (kernelFiles, bool) {
	found := kernelFiles{vmlinux: filepath.Join(dir, "vmlinux")}
	if !isFile(found.vmlinux) {
		return found, false
	}
	// A tree without modules.order has not built its modules, or only some.
	if list := filepath.Join(dir, "modules.order"); isFile(list) {
		found.modules = []string{list}
	} else if below := filepath.Join(dir, "modules"); kernels.HasModules(below) {
		found.modules = []string{below}
	}
	found.name = filepath.Base(absolute(dir))
	release, err := os.ReadFile(filepath.Join(dir, "include/config/kernel.release"))
	if name := strings.TrimSpace(string(release)); err == nil && name != "" {
		found.name = name
	}
	return found, true
}

// releaseOf returns the kernel release in the path of a vmlinux, or the name of its folder.
func releaseOf(vmlinux string) string {
	if _, release, ok := strings.Cut(filepath.Base(vmlinux), "vmlinux-"); ok {
		return release
	}
	return filepath.Base(filepath.Dir(absolute(vmlinux)))
}

func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// initText returns the configuration that will be a file in folder dir.
func initText(all []kernelFiles, dir string) ([]byte, error) {
	text := []byte("# Written by kas init. docs/configuration.md has all keys.\n" +
		"version: 1\nout: out\n\nbuilds:\n")
	seen := map[string]int{}
	for _, k := range all {
		name := strings.TrimLeft(cmp.Or(k.name, "kernel"), ".")
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, seen[name])
		}
		text = fmt.Appendf(text, "  - name: %s\n", quoteYAML(name))
		for _, f := range []struct {
			key   string
			paths []string
		}{{"vmlinux", []string{k.vmlinux}}, {"modules", k.modules}, {"debug", k.debug},
			{"package", k.packages}} {
			var err error
			if text, err = appendPaths(text, f.key, f.paths, dir); err != nil {
				return nil, err
			}
		}
	}
	return text, nil
}

// appendPaths appends the key of a build with one path or a list, if there are any.
func appendPaths(text []byte, key string, paths []string, dir string) ([]byte, error) {
	if len(paths) == 0 || paths[0] == "" {
		return text, nil
	}
	text = fmt.Appendf(text, "    %s:", key)
	for _, path := range paths {
		path, err := initPath(path, dir)
		if err != nil {
			return nil, err
		}
		if key != "debug" { // the others are globs
			path = configs.Literal(path)
		}
		if len(paths) > 1 {
			text = append(text, "\n      -"...)
		}
		text = fmt.Appendf(text, " %s", quoteYAML(path))
	}
	return append(text, '\n'), nil
}

// initPath spells a path for a file in folder dir. A relative path stays relative.
func initPath(path, dir string) (string, error) {
	if !filepath.IsAbs(path) {
		rel, err := filepath.Rel(absolute(dir), absolute(path))
		if err != nil {
			return "", err
		}
		path = rel
	}
	if strings.Contains(path, "${") {
		return "", fmt.Errorf("%s: a configuration takes ${ for a variable: use another name", path)
	}
	return path, nil
}

// plainYAML matches texts that YAML reads as strings without quotes.
var plainYAML = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z_/.][A-Za-z0-9_/.+-]*[A-Za-z_/-][A-Za-z0-9_/.+-]*$`)
})

// quoteYAML spells a string. A single-quoted string of YAML has no escapes but that of the quote.
func quoteYAML(s string) string {
	words := []string{"true", "false", "null", "yes", "no", "on", "off"}
	if plainYAML().MatchString(s) && !slices.Contains(words, strings.ToLower(s)) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
