package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
	"kas/stages"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [CONFIG]",
		Short: "Validate a configuration and print it with its defaults",
		Long: `Validate CONFIG (default kas.yaml): its syntax, its files, and whether the
objects have the arch and the toolchain that it names. Print it with all
defaults filled in. Name files that do not count, because another file is a
module of the same name.`,
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configArg(args)
			if err != nil {
				return err
			}
			return check(path, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func check(path string, stdout, stderr io.Writer) error {
	plan, err := configs.Load(path)
	if err != nil {
		return err
	}
	if err := plan.CheckOut(); err != nil {
		return err
	}
	var errs configs.Errors
	for i := range plan.Builds {
		errs = append(errs, checkObjects(&plan.Builds[i], plan.Jobs)...)
		errs = append(errs, checkToolchain(&plan.Builds[i])...)
	}
	if len(errs) > 0 {
		return errs
	}
	for i := range plan.Builds {
		modules, err := plan.Builds[i].ModuleFiles()
		if err != nil {
			return err
		}
		noteLeftOut(stderr, plan.Builds[i].Name, stages.LeftOut(modules, plan.Jobs))
	}
	text, err := plan.Effective(".")
	if err != nil {
		return failure{err}
	}
	if openingDiffers(plan.Builds) {
		fmt.Fprintln(stderr, "kas: note: builds of gcc and llvm with `line: opening`: a function "+
			"may have a different alias in each; `line: declaration` gives it the same alias")
	}
	_, err = stdout.Write(text)
	return err
}

// openingDiffers reports whether builds of both toolchains name the line where a function opens.
// The compilers put the first instruction of a function on different lines.
func openingDiffers(builds []configs.Build) bool {
	found := map[string]bool{}
	for i := range builds {
		b := &builds[i]
		if b.Alias.Line != "opening" {
			continue
		}
		toolchain := b.Toolchain
		if _, path := compiled(b); toolchain == "" && path != "" {
			toolchain, _ = stages.Toolchain(path) // checkToolchain ignores an error, too
		}
		found[toolchain] = true
	}
	return found["gcc"] && found["llvm"]
}

// compiled returns the name and the path of the object whose compiler counts as the build's:
// vmlinux, or the first module. It returns "" if there is none; checkObjects and the run report
// that.
func compiled(b *configs.Build) (name, path string) {
	if b.Vmlinux != "" {
		return "vmlinux", b.Vmlinux
	}
	modules, err := b.ModuleFiles()
	if err != nil || len(modules) == 0 {
		return "", ""
	}
	return modules[0].Name, modules[0].Path
}

// checkToolchain compares the configuration's toolchain with that of vmlinux, or of the first
// module.
func checkToolchain(b *configs.Build) configs.Errors {
	name, path := compiled(b)
	if path == "" || b.Toolchain == "" {
		return nil
	}
	found, err := stages.Toolchain(path)
	if err != nil || found == "" || found == b.Toolchain {
		return nil
	}
	msg := fmt.Sprintf("toolchain is %s, but %s was compiled by %s", b.Toolchain, name, found)
	return configs.Errors{b.At("toolchain", msg)}
}

// checkObjects opens the objects of a build. It reports a vmlinux that is no object, modules of
// which none is one, and objects of another arch than the configuration's. A single damaged module
// is left to the run, because it costs only itself.
func checkObjects(b *configs.Build, jobs int) (errs configs.Errors) {
	modules, err := b.ModuleFiles()
	if err != nil {
		return configs.Errors{b.At("modules", err.Error())}
	}
	objects := slices.Clone(modules)
	if b.Vmlinux != "" {
		vmlinux := configs.ModuleFile{Name: "vmlinux", Path: b.Vmlinux}
		objects = slices.Insert(objects, 0, vmlinux)
	}
	arch := make([]string, len(objects))
	failed := make([]error, len(objects))
	pipeline.Parallel(jobs, len(objects), func(i int) {
		arch[i], failed[i] = archOf(objects[i].Path)
	})
	if b.Vmlinux != "" && failed[0] != nil {
		msg := fmt.Sprintf("vmlinux: %v: %s", failed[0], b.Vmlinux)
		errs = append(errs, b.At("vmlinux", msg))
	}
	its := failed[len(objects)-len(modules):]
	if len(modules) > 0 && !slices.Contains(its, nil) {
		msg := fmt.Sprintf("modules: %v: %s", its[0], modules[0].Path)
		if len(modules) > 1 {
			msg = fmt.Sprintf("modules: none of %d can be read; the first: %v: %s",
				len(modules), its[0], modules[0].Path)
		}
		errs = append(errs, b.At("modules", msg))
	}
	return append(errs, otherArch(b, objects, arch)...)
}

// archOf returns the arch of an object.
func archOf(path string) (string, error) {
	f, err := elf.OpenTables(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Arch(), nil
}

// otherArch compares the configuration's arch with that of the build's objects, "" for an object
// that cannot be read.
func otherArch(b *configs.Build, objects []configs.ModuleFile, arch []string) configs.Errors {
	var others []int
	for i, a := range arch {
		if a != "" && a != b.Arch {
			others = append(others, i)
		}
	}
	if b.Arch == "" || len(others) == 0 {
		return nil
	}
	first, its := objects[others[0]].Name, arch[others[0]]
	msg := fmt.Sprintf("arch is %s, but %s is an object of %s", b.Arch, first, its)
	if more := len(others) - 1; more > 0 {
		msg += fmt.Sprintf("; %d more of %d objects are not of %s", more, len(objects), b.Arch)
	}
	return configs.Errors{b.At("arch", msg)}
}
