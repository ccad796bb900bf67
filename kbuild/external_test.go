package kbuild

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
	"kas/stages"
)

// externalKernel returns a kernel with the modules a, b, c and m1, its registry, and a headers
// folder as a distribution ships it for out-of-tree modules: with the registry and without objects.
func externalKernel(t *testing.T, alias string) (k *kernel, headers, symbols string) {
	t.Helper()
	k = newKernel(t, gnu)
	k.order("drivers/a.o", "drivers/b.o", "drivers/c.o", "drivers/m1.o")
	k.ok(k.run(k.ld, imageArgs("vmlinux")...))
	config := filepath.Join(t.TempDir(), "kas.yaml")
	text := "version: 1\nout: out\nalias: {" + alias + "}\nbuilds: [{name: k, vmlinux: " +
		k.path("vmlinux") + ", modules: " + k.path("modules.order") + "}]\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	plan, err := configs.Load(config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pipeline.Run(context.Background(), stages.Tasks(plan), pipeline.Options{})
	if err != nil || len(r.Errors) > 0 {
		t.Fatal(err, r.Errors)
	}
	headers = filepath.Join(t.TempDir(), "headers")
	err = os.CopyFS(filepath.Join(headers, "scripts"), os.DirFS(k.path("scripts")))
	if err != nil {
		t.Fatal(err)
	}
	symbols = filepath.Join(plan.Out, "k", "symbols.kas")
	copyFile(t, symbols, filepath.Join(headers, "symbols.kas"))
	return k, headers, symbols
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// external makes an out-of-tree module of these parts and returns its path without the .o.
func (k *kernel) external(name string, parts ...string) string {
	k.Helper()
	dir := filepath.Join(k.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		k.Fatal(err)
	}
	path := filepath.Join(dir, name)
	k.partial(path, parts...)
	copyFile(k.T, k.path("drivers/m.mod.o"), filepath.Join(dir, "m.mod.o"))
	err := os.WriteFile(filepath.Join(dir, "modules.order"), []byte(path+".o\n"), 0o644)
	if err != nil {
		k.Fatal(err)
	}
	return path
}

// linkExternal runs the final link of a module in folder dir.
func (k *kernel) linkExternal(dir, path string, env ...string) result {
	k.Helper()
	return k.linkExternalBy("", dir, path, env...)
}

// linkExternalBy is linkExternal with an option of the hook, "" for none.
func (k *kernel) linkExternalBy(option, dir, path string, env ...string) result {
	k.Helper()
	tree := k.dir
	defer func() { k.dir = tree }()
	k.dir = dir
	args := append(slices.Clone(ldFlags), "-r", "-T", "scripts/module.lds", "-o", path+".ko",
		path+".o", filepath.Join(filepath.Dir(path), "m.mod.o"))
	if option != "" {
		args = append([]string{option}, args...)
	}
	return k.kasLD(args, append(env, "KBUILD_EXTMOD="+filepath.Dir(path))...)
}

func (k *kernel) aliasNames(path string) []string {
	k.Helper()
	var all []string
	for _, s := range k.symbols(path) {
		if isAlias(s.name) {
			all = append(all, s.name)
		}
	}
	slices.Sort(all)
	return all
}

func (k *kernel) names(list ...string) []string {
	k.Helper()
	var all []string
	for _, n := range k.expect(list...) {
		all = append(all, n.alias)
	}
	slices.Sort(all)
	return all
}

// externalAliases are those of a module of lib/more.c and drivers/m0.c. drivers/m1 has many_show
// and many_probe, too.
var externalAliases = []string{"name_show lib/more.c", "common_scan lib/more.c",
	"many_show drivers/m0.c", "many_probe drivers/m0.c"}

// Names are counted over the kernel's objects if they are there, else over its registry.
func TestExternalRegistry(t *testing.T) {
	k, headers, symbols := externalKernel(t, "")
	m1 := k.names("many_show drivers/m1.c", "many_probe drivers/m1.c")
	const noDebug = "was unique; now it is not, and it has no alias: " +
		"the kernel's debugging information is not at hand"
	withoutAlias := []string{
		"many_probe of drivers/m1.o " + noDebug, "many_show of drivers/m1.o " + noDebug,
	}
	for _, c := range []struct {
		name, dir string
		env       []string
		say       []string
	}{
		{"in the tree", k.dir, nil,
			[]string{"many_probe of drivers/m1.o was unique; it is now also " + m1[0],
				"many_show of drivers/m1.o was unique; it is now also " + m1[1]}},
		{"headers", headers, nil, withoutAlias},
		{"named", k.dir, []string{"KAS_REGISTRY=" + symbols}, withoutAlias},
	} {
		path := k.external("many", "drivers/m0", "lib/more")
		r := k.linkExternal(c.dir, path, c.env...)
		k.ok(r)
		have, want := k.aliasNames(path+".ko"), k.names(externalAliases...)
		if !slices.Equal(have, want) {
			t.Errorf("%s: aliases %q, want %q", c.name, have, want)
		}
		if want := "kas: " + strings.Join(c.say, "\nkas: ") + "\n"; r.stderr != want {
			t.Errorf("%s: printed\n%s, want\n%s", c.name, r.stderr, want)
		}
		if again := k.linkExternal(c.dir, path, c.env...); again.status != 0 || again.stderr != "" {
			t.Errorf("%s: again: %+v", c.name, again)
		}
		if k.exists(filepath.Join(headers, ".tmp_kas_emitted")) {
			t.Errorf("%s: the headers folder was written to", c.name)
		}
	}
}

// Headers of a release without a registry take the one that is installed for that release. If
// there is none, one line says where it would be and how to make it.
func TestExternalInstalled(t *testing.T) {
	k, headers, symbols := externalKernel(t, "")
	if err := os.Remove(filepath.Join(headers, "symbols.kas")); err != nil {
		t.Fatal(err)
	}
	generated := filepath.Join(headers, "include/generated")
	if err := os.MkdirAll(generated, 0o755); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, filepath.Join(generated, "utsrelease.h"),
		"#define UTS_RELEASE \"6.1.0-7-cloud\"\n", 0o644)
	link := func(root string, more ...string) (aliases []string, stderr string) {
		path := k.external("many", "drivers/m0", "lib/more")
		r := k.linkExternal(headers, path, append(more, "TEST_ROOT="+root)...)
		k.ok(r)
		return k.aliasNames(path + ".ko"), r.stderr
	}
	have, stderr := link(t.TempDir())
	if len(have) != 0 || stderr != "kas: no registry of the kernel: no KAS_REGISTRY, and no "+
		"symbols.kas in "+headers+" or /lib/modules/6.1.0-7-cloud, so the "+
		"modules get no aliases for names that the kernel has; kas registry --install "+
		"6.1.0-7-cloud makes one\n" {
		t.Errorf("without a registry: %q, printed %s", have, stderr)
	}
	want := k.names(externalAliases...)
	for _, dir := range []string{"lib/modules", "usr/lib/debug/lib/modules"} {
		root := t.TempDir()
		data := k.read(symbols)
		writeTestFile(t, filepath.Join(root, dir, "6.1.0-7-cloud/symbols.kas"), data, 0o644)
		writeTestFile(t, filepath.Join(root, dir, "6.1.0-8-cloud/symbols.kas"), "damaged", 0o644)
		have, stderr := link(root)
		if !slices.Equal(have, want) || strings.Contains(stderr, "no registry") {
			t.Errorf("%s: aliases %q, want %q, printed %s", dir, have, want, stderr)
		}
	}
}

// A vmlinux beside the registry, as some distributions ship one, gives locations. The names come
// from the registry.
func TestExternalVmlinux(t *testing.T) {
	k, headers, _ := externalKernel(t, "")
	copyFile(t, k.path("vmlinux"), filepath.Join(headers, "vmlinux"))
	r := k.linkExternal(headers, k.external("more", "init/main"))
	k.ok(r)
	// The module is made from the same file and has its alias already, so the late alias gets an
	// ordinal.
	want := "kas: start_kernel of vmlinux was unique; it is now also " +
		k.names("start_kernel init/main.c")[0] + "_1\n"
	if r.stderr != want {
		t.Errorf("printed %q, want %q", r.stderr, want)
	}
}

// KAS_VMLINUX and KAS_MODULES name the kernel's debug files, and --registry its registry: unlike
// the environment, make sees the command.
func TestExternalDebug(t *testing.T) {
	k, headers, symbols := externalKernel(t, "")
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, k.path("scripts/module.lds"), filepath.Join(other, "scripts/module.lds"))
	m1 := k.names("many_show drivers/m1.c", "many_probe drivers/m1.c")
	path := k.external("more", "init/main", "drivers/m0")
	for _, c := range []struct {
		name, dir string
		option    string
		env       []string
		want      []string
	}{
		{"vmlinux", headers, "", []string{"KAS_VMLINUX=" + k.path("vmlinux")},
			[]string{"start_kernel of vmlinux was unique; it is now also " +
				k.names("start_kernel init/main.c")[0] + "_1"}},
		{"modules", headers, "", []string{"KAS_MODULES=" + k.dir},
			[]string{"many_probe of drivers/m1.o was unique; it is now also " + m1[0],
				"many_show of drivers/m1.o was unique; it is now also " + m1[1]}},
		{"registry", other, "--registry=" + symbols, []string{"KAS_REGISTRY=/nosuch",
			"KAS_MODULES=" + k.dir},
			[]string{"many_probe of drivers/m1.o was unique; it is now also " + m1[0]}},
	} {
		r := k.linkExternalBy(c.option, c.dir, path, c.env...)
		k.ok(r)
		for _, want := range c.want {
			if !strings.Contains(r.stderr, "kas: "+want+"\n") {
				t.Errorf("%s: printed\n%s, want\n%s", c.name, r.stderr, want)
			}
		}
		again := k.linkExternalBy(c.option, c.dir, path, c.env...)
		if again.status != 0 || again.stderr != "" {
			t.Errorf("%s: again: %+v", c.name, again)
		}
	}
	k.refused(k.linkExternal(headers, path, "KAS_VMLINUX=/nosuch"),
		"KAS_VMLINUX: stat /nosuch: no such file or directory")
	k.refused(k.linkExternal(headers, path, "KAS_MODULES=debug"),
		"KAS_MODULES: debug is relative, and make M= changes the folder")
}

// Debug packages that are unpacked have the debug files where they would be installed.
func TestFindDebug(t *testing.T) {
	root := t.TempDir()
	path := func(name string) string { return filepath.Join(root, name) }
	for _, c := range []struct{ file, vmlinux, modules string }{
		{"a/usr/lib/debug/boot/vmlinux-6.1.0-1", "a/usr/lib/debug/boot/vmlinux-6.1.0-1", ""},
		{"b/boot/vmlinux-6.1.0-1", "b/boot/vmlinux-6.1.0-1", ""},
		{"c/usr/lib/modules/6.1.0-1/vmlinux", "c/usr/lib/modules/6.1.0-1/vmlinux",
			"c/usr/lib/modules/6.1.0-1"},
		{"d/lib/modules/6.1.0-1/kernel/a.ko", "", "d/lib/modules/6.1.0-1/kernel"},
		{"e/lib/modules/6.1.0-2/vmlinux", "", ""},
	} {
		writeTestFile(t, path(c.file), "", 0o644)
		have := FindDebug("6.1.0-1", "", "", path("nosuch"), path(c.file[:1]))
		var want KernelDebug
		if c.vmlinux != "" {
			want.Vmlinux = path(c.vmlinux)
		}
		if c.modules != "" {
			want.Modules = path(c.modules)
		}
		if have != want {
			t.Errorf("%s: %v, want %v", c.file, have, want)
		}
		have = FindDebug("6.1.0-1", "v", "m", path(c.file[:1]))
		if want := (KernelDebug{"v", "m"}); have != want {
			t.Errorf("named: %v", have)
		}
	}
}

// Modules that were registered before count. A registry with names: all knows all locations.
func TestExternalOverlay(t *testing.T) {
	k, headers, _ := externalKernel(t, "names: all")
	r := openRegistry(t, filepath.Join(headers, "symbols.kas"))
	first := k.external("first", "drivers/m0")
	k.ok(k.linkExternal(headers, first))
	// names: all is the policy here, too.
	want := k.names("many_show drivers/m0.c", "many_probe drivers/m0.c")
	if have := k.aliasNames(first + ".ko"); !slices.Equal(have, want) {
		t.Errorf("aliases %q, want %q", have, want)
	}
	overlay := filepath.Join(t.TempDir(), "overlay.kas")
	e := External{Registry: r, Modules: []string{first + ".ko"}}
	outcome, err := e.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := UpdateOverlay(overlay, r, outcome); err != nil {
		t.Fatal(err)
	}
	both := openRegistry(t, filepath.Join(headers, "symbols.kas"), overlay)
	for name, want := range map[string][]string{"many_show": {"drivers/m1.o", "first.ko"},
		"many_probe": {"drivers/m1.o", "first.ko"}} {
		var objects []string
		for _, f := range both.Named(name) {
			objects = append(objects, f.Object)
			if f.Count != 2 || f.Alias == "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		slices.Sort(objects)
		if !slices.Equal(objects, want) {
			t.Errorf("%s: in %q, want %q", name, objects, want)
		}
	}

	// The second module has the same names from the same source file: its aliases get ordinals.
	second := k.external("second", "drivers/m0")
	res := k.linkExternal(headers, second, "KAS_OVERLAY="+overlay)
	k.ok(res)
	have := k.aliasNames(second + ".ko")
	if !slices.Equal(have, []string{want[0] + "_1", want[1] + "_1"}) {
		t.Errorf("the second: %q", have)
	}
	if res.stderr != "" {
		t.Errorf("printed %q", res.stderr)
	}
}

// Many modules are written in parallel.
func TestExternalMany(t *testing.T) {
	k, headers, _ := externalKernel(t, "")
	r := openRegistry(t, filepath.Join(headers, "symbols.kas"))
	e := External{Registry: r, Emit: true, Options: pipeline.Options{Jobs: 8}}
	for _, name := range []string{"e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"} {
		e.Modules = append(e.Modules, k.external(name, "drivers/m0", "lib/more")+".o")
	}
	outcome, err := e.Run(context.Background())
	if err != nil || len(outcome.Written) != len(e.Modules) {
		t.Fatal(err, outcome)
	}
	seen := map[string]bool{}
	for _, m := range e.Modules {
		for _, alias := range k.aliasNames(m + ".kas") {
			if seen[alias] {
				t.Errorf("%s is not unique", alias)
			}
			seen[alias] = true
		}
	}
	if len(seen) != 8*len(externalAliases) {
		t.Errorf("%d aliases", len(seen))
	}
	e.Modules = append(e.Modules, k.external("other", "drivers/m0")+".o",
		filepath.Join(t.TempDir(), "e3.ko"))
	_, err = e.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "are both module e3") {
		t.Error(err)
	}
}

// A module may be made from a file that the kernel has, too, for example a newer driver. Late
// aliases stay unique.
func TestExternalSameFile(t *testing.T) {
	k, headers, _ := externalKernel(t, "")
	r := openRegistry(t, filepath.Join(headers, "symbols.kas"))
	path := k.external("newer", "drivers/m1") + ".o"
	e := External{Registry: r, Modules: []string{path}, Debug: KernelDebug{Modules: k.dir}}
	outcome, err := e.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, s := range outcome.Symbols {
		if s.Alias != "" {
			have[s.Name] = s.Alias
		}
	}
	want := k.names("many_probe drivers/m1.c", "many_show drivers/m1.c")
	if have["many_probe"] != want[0] || have["many_show"] != want[1] {
		t.Errorf("aliases %v, want %v", have, want)
	}
	var late []string
	for _, a := range outcome.Ambiguous {
		late = append(late, a.Alias)
	}
	if !slices.Equal(late, []string{want[0] + "_1", want[1] + "_1"}) {
		t.Errorf("late aliases %q beside %q", late, want)
	}
}

// A late alias that was not found at first must not be that of a module registered meanwhile.
func TestExternalSameFileLater(t *testing.T) {
	k, headers, _ := externalKernel(t, "")
	symbols, overlay := filepath.Join(headers, "symbols.kas"), filepath.Join(t.TempDir(),
		"overlay.kas")
	r := openRegistry(t, symbols)
	first := External{Registry: r, Modules: []string{k.external("first", "drivers/m1") + ".o"}}
	outcome, err := first.Run(context.Background()) // without the kernel's debugging information
	if err != nil {
		t.Fatal(err)
	}
	if err := UpdateOverlay(overlay, r, outcome); err != nil {
		t.Fatal(err)
	}
	second := External{
		Registry: openRegistry(t, symbols, overlay),
		Modules:  []string{k.external("second", "drivers/m0") + ".o"},
		Debug:    KernelDebug{Modules: k.dir},
	}
	if outcome, err = second.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	var late []string
	for _, a := range outcome.Ambiguous {
		late = append(late, a.Object+" "+a.Alias)
	}
	taken := k.names("many_probe drivers/m1.c", "many_show drivers/m1.c")
	want := []string{"drivers/m1.o " + taken[0] + "_1", "drivers/m1.o " + taken[1] + "_1"}
	if !slices.Equal(late, want) {
		t.Errorf("late aliases %q, want %q", late, want)
	}
}

func openRegistry(t *testing.T, paths ...string) *registry.Registry {
	t.Helper()
	all, err := registry.OpenAll(paths)
	if err != nil || len(all) != 1 {
		t.Fatal(len(all), err)
	}
	t.Cleanup(func() { registry.CloseAll(all) })
	return all[0]
}

func TestExternalRefused(t *testing.T) {
	k, headers, symbols := externalKernel(t, "")
	path := k.external("many", "drivers/m0")
	config := filepath.Join(t.TempDir(), "kas.yaml")
	err := os.WriteFile(config,
		[]byte("version: 1\nalias: {line: none}\nbuilds: [{name: x, vmlinux: x}]\n"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	k.refused(k.linkExternal(headers, path, "KAS_CONFIG="+config),
		`symbols\.kas has the policy separator=@ line=opening symbols=text names=duplicates, `+
			`but KAS_CONFIG sets separator=@ line=none`)
	k.refused(k.linkExternal(headers, path, "KAS_REGISTRY="+config), `not a registry of kas`)
	k.refused(k.linkExternal(headers, path,
		"KAS_REGISTRY="+symbols+":"+filepath.Join(headers, "symbols.kas")), `2 registries`)
	damaged := filepath.Join(t.TempDir(), "symbols.kas")
	data, err := os.ReadFile(symbols)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, data[:len(data)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	k.refused(k.linkExternal(headers, path, "KAS_REGISTRY="+damaged), `the file was cut or edited`)

	// The registry is of another release than the headers.
	other := filepath.Join(t.TempDir(), "symbols.kas")
	r := openRegistry(t, symbols)
	h := r.Header
	h.Release = "6.1.0-1"
	writeRegistry(t, other, h, nil)
	release := filepath.Join(headers, "include", "generated", "utsrelease.h")
	if err := os.MkdirAll(filepath.Dir(release), 0o755); err != nil {
		t.Fatal(err)
	}
	err = os.WriteFile(release, []byte("#define UTS_RELEASE \"6.1.0-2\"\n"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	k.refused(k.linkExternal(headers, path, "KAS_REGISTRY="+other),
		`is the registry of 6\.1\.0-1, but modules in .*/headers are built for 6\.1\.0-2`)
	copied := filepath.Join(filepath.Dir(path), ".tmp_"+filepath.Base(path)+".o.kas")
	if k.exists(path+".ko") || k.exists(copied) {
		t.Error("a module or a copy was made")
	}
	k.ok(k.linkExternal(headers, path)) // this registry has no release
}
