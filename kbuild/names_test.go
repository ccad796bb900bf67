package kbuild

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/configs"
	"kas/pipeline"
	"kas/registry"
)

// The policy of the registries in these tests, which is the default one.
const testPolicy = "separator=@ line=opening symbols=text names=duplicates"

// newRegistry writes and opens a registry of these symbols. An overlay of it may follow.
func newRegistry(t *testing.T, h registry.Header, records []registry.Record,
	overlay ...registry.Record,
) *registry.Registry {
	t.Helper()
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, registry.FileName)}
	if h.Policy == "" {
		h.Policy = testPolicy
	}
	writeRegistry(t, paths[0], h, records)
	r := openRegistry(t, paths...)
	if len(overlay) == 0 {
		return r
	}
	paths = append(paths, filepath.Join(dir, "overlay.kas"))
	f, err := os.Create(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.WriteOverlay(f, r.File, nil, overlay); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return openRegistry(t, paths...)
}

func writeRegistry(t *testing.T, path string, h registry.Header, records []registry.Record) {
	t.Helper()
	byName := map[string][]registry.Record{}
	for _, r := range records {
		byName[r.Name] = append(byName[r.Name], r)
	}
	var names []string
	for name := range byName {
		names = append(names, name)
	}
	slices.Sort(names)
	var lines []byte
	for _, name := range names {
		lines = registry.AppendName(lines, byName[name])
	}
	h.Symbols = len(records)
	head := registry.NewHead(h)
	head.Add(lines)
	writeTestFile(t, path, string(append(head.Bytes(), lines...)), 0o644)
}

// function returns the record of a function.
func function(name, object, alias string) registry.Record {
	return registry.Record{
		Name: name, Object: object, Section: ".text", Size: 4, Type: 't', Count: 1, Position: 1,
		Alias: alias,
	}
}

func TestNeededNames(t *testing.T) {
	r := newRegistry(t, registry.Header{}, []registry.Record{
		function("in_kernel", registry.Vmlinux, ""),
		function("in_former_self", "m.ko", ""),
	}, function("in_other_module", "other.ko", ""), function("again", "m.ko", ""))
	policy := configs.Build{Alias: configs.Alias{Names: configs.Names{Globs: []string{"want*"}}}}
	names := registryNames(r, []string{"/build/m.o"}, &policy)
	if !policy.Alias.Names.All {
		t.Error("the policy does not ask for the aliases of all names")
	}
	b := &pipeline.Build{Groups: []pipeline.Group{
		{Base: "in_kernel", Members: make([]pipeline.Ref, 1)},
		{Base: "in_other_module", Members: make([]pipeline.Ref, 1)},
		{Base: "twice", Members: make([]pipeline.Ref, 2)},
		{Base: "wanted", Members: make([]pipeline.Ref, 1)},
		{Base: "unique", Members: make([]pipeline.Ref, 1)},
		{Base: "in_former_self", Members: make([]pipeline.Ref, 1)},
		{Base: "again", Members: make([]pipeline.Ref, 1)},
	}}
	names.mark(b)
	for g := range b.Groups {
		want := g < 4
		if have := names.needed(&pipeline.Duplicate{Group: int32(g)}); have != want {
			t.Errorf("%s: needs an alias: %t, want %t", b.Groups[g].Base, have, want)
		}
		whole := buildNames()
		whole.mark(b)
		if !whole.needed(&pipeline.Duplicate{Group: int32(g)}) {
			t.Errorf("%s: no alias in a build that holds the kernel", b.Groups[g].Base)
		}
	}
}

func TestTakenNames(t *testing.T) {
	r := newRegistry(t, registry.Header{}, []registry.Record{
		function("symbol", registry.Vmlinux, "symbol@a_c_1"),
		function("mine", "m.ko", "mine@m_c_1"),
	}, function("later", "other.ko", "later@o_c_1"), function("mine_too", "m.ko", "mine_too@m_c_2"))
	names := registryNames(r, []string{"m.ko.xz"}, &configs.Build{})
	for name, want := range map[string]bool{
		"symbol": true, "symbol@a_c_1": true, "later": true, "later@o_c_1": true,
		"mine": false, "mine@m_c_1": false, "mine_too": false, "mine_too@m_c_2": false,
		"free": false,
	} {
		if have := names.taken(name); have != want {
			t.Errorf("%s: taken %t, want %t", name, have, want)
		}
	}
}

// Modules must be built for the release of the registry.
func TestModuleRelease(t *testing.T) {
	for _, c := range []struct{ registry, module, refused, release string }{
		{"6.12.1", "6.12.1", "", "6.12.1"},
		{"6.12.1", "", "", "6.12.1"},
		{"", "6.12.1", "", ""},
		{"6.12.1", "6.12.2", "/build/m.ko is built for 6.12.2, but ", ""},
	} {
		r := newRegistry(t, registry.Header{Release: c.registry}, nil)
		names := registryNames(r, nil, &configs.Build{})
		b := &pipeline.Build{Objects: []pipeline.Object{{Path: "/build/m.ko", Release: c.module}}}
		err := names.check(b)
		if c.refused != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.refused) {
				t.Errorf("%+v: error %v", c, err)
			}
		} else if err != nil || b.Release != c.release {
			t.Errorf("%+v: error %v, release %q", c, err, b.Release)
		}
	}
	b := &pipeline.Build{Release: "6.12.1", Objects: []pipeline.Object{{Release: "6.12.2"}}}
	if err := buildNames().check(b); err != nil || b.Release != "6.12.1" {
		t.Errorf("a build that holds the kernel: error %v, release %q", err, b.Release)
	}
}

// Where a session finds the registry of the kernel that it builds modules for.
func TestRegistryFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{
		"headers/symbols.kas", "built/symbols.kas", "built/vmlinux.o", "parts/symbols.kas",
		"parts/a.o", "shipped/symbols.kas", "shipped/vmlinux", "overlay.kas", "named.kas",
	} {
		writeTestFile(t, path(name), "", 0o644)
	}
	writeTestFile(t, path("parts/modules.order"), "a.o\n", 0o644)
	for _, c := range []struct {
		name       string
		tree       string
		inTree     bool // not an out-of-tree module
		registries []string
		overlay    string
		want       []string
	}{
		{name: "headers", tree: "headers", want: []string{"headers/symbols.kas"}},
		{name: "headers with vmlinux", tree: "shipped", want: []string{"shipped/symbols.kas"}},
		{name: "with overlay", tree: "headers", overlay: "overlay.kas",
			want: []string{"headers/symbols.kas", "overlay.kas"}},
		{name: "no such overlay", tree: "headers", overlay: "nosuch.kas",
			want: []string{"headers/symbols.kas"}},
		{name: "only overlay", tree: "nosuch", overlay: "overlay.kas"},
		{name: "built", tree: "built"},
		{name: "modules built", tree: "parts"},
		{name: "no registry", tree: "nosuch"},
		{name: "named", tree: "built", registries: []string{"named.kas"},
			want: []string{"named.kas"}},
		{name: "named folder", tree: "built", registries: []string{"headers"},
			want: []string{"headers/symbols.kas"}},
		{name: "two", tree: "headers", registries: []string{"named.kas", "nosuch"},
			want: []string{"named.kas", "nosuch"}},
		{name: "not out-of-tree", tree: "headers", inTree: true, registries: []string{"named.kas"}},
	} {
		s := session{tree: tree{dir: path(c.tree), ext: path("ext")}}
		if c.inTree {
			s.tree.ext = ""
		}
		for _, r := range c.registries {
			s.registries = append(s.registries, path(r))
		}
		if c.overlay != "" {
			s.overlay = path(c.overlay)
		}
		var want []string
		for _, w := range c.want {
			want = append(want, path(w))
		}
		if have := s.registryFiles(); !slices.Equal(have, want) {
			t.Errorf("%s: %q, want %q", c.name, have, want)
		}
	}
}

// make M= changes the folder, so a relative path would name another file there.
func TestRelativeRegistry(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		s    session
		want string
	}{
		{session{registries: []string{filepath.Join(dir, "a"), "b/symbols.kas"}},
			"KAS_REGISTRY: b/symbols.kas is relative"},
		{session{overlay: "o.kas"}, "KAS_OVERLAY: o.kas is relative"},
	} {
		if err := c.s.checkPaths(); err != nil {
			t.Errorf("in the tree: %v", err)
		}
		c.s.tree = tree{dir: dir, ext: dir}
		_, err := c.s.kernelNames(&configs.Build{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// A registry must be that of the tree's kernel, with the policy that KAS_CONFIG sets.
func TestRegistryFits(t *testing.T) {
	const other = "separator=~ line=none symbols=all names=all"
	for _, c := range []struct {
		name           string
		release, tree  string // of the registry and of the tree
		policy, config string
		refused        string
	}{
		{name: "same", release: "6.12.1", tree: "6.12.1"},
		{name: "registry unknown", tree: "6.12.1"},
		{name: "tree unknown", release: "6.12.1"},
		{name: "other release", release: "6.12.1", tree: "6.12.2", refused: "built for 6.12.2"},
		{name: "other policy", policy: other},
		{name: "same policy", config: "KAS_CONFIG"},
		{name: "policies differ", policy: other, config: "KAS_CONFIG",
			refused: "but KAS_CONFIG sets"},
		{name: "no policy", policy: "nonsense=1", refused: "nonsense"},
	} {
		dir := t.TempDir()
		if c.tree != "" {
			writeTestFile(t, filepath.Join(dir, "include/generated/utsrelease.h"),
				"#define UTS_RELEASE \""+c.tree+"\"\n", 0o644)
		}
		r := newRegistry(t, registry.Header{Release: c.release, Policy: c.policy}, nil)
		policy, err := configs.Policy("")
		if err != nil {
			t.Fatal(err)
		}
		s := session{tree: tree{dir: dir}, config: c.config}
		err = s.fits(r, &policy)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: error %v", c.name, err)
			}
			continue
		}
		if separator := r.Separator(); err != nil || policy.Alias.Separator != separator {
			t.Errorf("%s: separator %q, want %q, error %v", c.name, policy.Alias.Separator,
				separator, err)
		}
	}
}
