package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"kas/configs"
	"kas/pipeline"
	"kas/report"
	"kas/stages"
)

func newCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [CONFIG]",
		Short: "Validate a configuration and print it with its defaults",
		Long: `Validate CONFIG (default kas.yaml): its syntax, its files, and whether the
objects have the arch, the toolchain and the LTO mode that it names. Print it
with all defaults filled in. Name files that do not count, because another file
is a module of the same name.`,
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configArg(args)
			if err != nil {
				return err
			}
			return check(cmd.Context(), path, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the keys of the configuration")
	return cmd
}

func check(ctx context.Context, path string, asJSON bool, stdout, stderr io.Writer) error {
	plan, err := configs.Load(path)
	if err != nil {
		return err
	}
	done, err := unpack(ctx, plan, stderr)
	if err != nil {
		return err
	}
	defer done()
	if err := checkPlan(plan, true, stderr); err != nil {
		return err
	}
	text, err := plan.Effective(".")
	if err != nil {
		return failure{err}
	}
	if openingDiffers(plan.Builds) {
		fmt.Fprintln(stderr, "kas: note: builds of gcc and llvm with `line: opening`: a function "+
			"may have a different alias in each; `line: declaration` gives it the same alias")
	}
	if asJSON {
		values, err := configs.Values(text)
		if err != nil {
			return failure{err}
		}
		return asFailure(report.WriteJSON(stdout, values))
	}
	_, err = stdout.Write(text)
	return asFailure(err)
}

// checkPlan looks into the files of a plan. It names the modules that do not count. whole says that
// every module of a list must be there: a tree may have built only some.
func checkPlan(plan *configs.Plan, whole bool, stderr io.Writer) error {
	if err := plan.CheckOut(); err != nil {
		return err
	}
	if _, err := parseRules(plan.Gate.FailOn); err != nil {
		return fmt.Errorf("gate: fail_on: %w", err)
	}
	var errs configs.Errors
	leftOut := make([][]pipeline.LeftOut, len(plan.Builds))
	for i := range plan.Builds {
		b := &plan.Builds[i]
		modules, err := b.ModuleFiles()
		if err != nil {
			errs = append(errs, b.At("modules", err.Error()))
			continue
		}
		headings := stages.Headings(modules, plan.Jobs)
		wrong := checkObjects(b, headings)
		if whole && len(wrong) == 0 {
			wrong = checkListed(b, modules)
		}
		errs = append(errs, wrong...)
		errs = append(errs, checkToolchain(b)...)
		errs = append(errs, checkLTO(b)...)
		leftOut[i] = stages.LeftOut(headings)
	}
	if len(errs) > 0 {
		return errs
	}
	for i := range plan.Builds {
		noteLeftOut(stderr, plan.Builds[i].Name, leftOut[i])
	}
	return nil
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

// checkLTO compares the configuration's LTO mode with that which the names of vmlinux, or of the
// first module, show. If they show none, it may be any.
func checkLTO(b *configs.Build) configs.Errors {
	name, path := compiled(b)
	if path == "" || b.LTO == "" {
		return nil
	}
	toolchain := b.Toolchain
	if toolchain == "" {
		toolchain, _ = stages.Toolchain(path) // checkToolchain ignores an error, too
	}
	found, err := stages.LTO(path, toolchain)
	if err != nil || found == "" || found == b.LTO {
		return nil
	}
	msg := fmt.Sprintf("lto is %s, but the names in %s are of LTO %s", b.LTO, name, found)
	return configs.Errors{b.At("lto", msg)}
}

// checkListed reports modules that a list names and that are not there.
func checkListed(b *configs.Build, modules []configs.ModuleFile) configs.Errors {
	var absent []string
	for _, m := range modules {
		if m.Absent {
			absent = append(absent, m.Path)
		}
	}
	switch n := len(absent); {
	case n == 1:
		return configs.Errors{b.At("modules", "modules: no such file: "+absent[0])}
	case n > 1:
		return configs.Errors{b.At("modules", fmt.Sprintf(
			"modules: %d of %d files are not there; the first: %s", n, len(modules), absent[0]))}
	}
	return nil
}

// checkObjects reports a vmlinux that is no object, modules of which none is one, and objects of
// another arch than the configuration's. A single damaged module is left to the run, because it
// costs only itself.
func checkObjects(b *configs.Build, modules []stages.Heading) (errs configs.Errors) {
	objects := modules
	if b.Vmlinux != "" {
		vmlinux := stages.Headings([]configs.ModuleFile{{Name: "vmlinux", Path: b.Vmlinux}}, 1)
		if err := vmlinux[0].Err; err != nil {
			errs = append(errs, b.At("vmlinux", fmt.Sprintf("vmlinux: %v: %s", err, b.Vmlinux)))
		}
		objects = append(vmlinux, modules...)
	}
	readable := func(h stages.Heading) bool { return h.Err == nil }
	if len(modules) > 0 && !slices.ContainsFunc(modules, readable) {
		first := fmt.Sprintf("%v: %s", modules[0].Err, modules[0].Path)
		if len(modules) > 1 {
			first = fmt.Sprintf("none of %d can be read; the first: %s", len(modules), first)
		}
		errs = append(errs, b.At("modules", "modules: "+first))
	}
	return append(errs, otherArch(b, objects)...)
}

// otherArch compares the configuration's arch with that of the build's objects.
func otherArch(b *configs.Build, objects []stages.Heading) configs.Errors {
	var others []*stages.Heading
	for i := range objects {
		if o := &objects[i]; o.Err == nil && o.Arch != b.Arch {
			others = append(others, o)
		}
	}
	if b.Arch == "" || len(others) == 0 {
		return nil
	}
	msg := fmt.Sprintf("arch is %s, but %s is an object of %s", b.Arch, others[0].Name,
		others[0].Arch)
	if more := len(others) - 1; more > 0 {
		msg += fmt.Sprintf("; %d more of %d objects are not of %s", more, len(objects), b.Arch)
	}
	return configs.Errors{b.At("arch", msg)}
}
