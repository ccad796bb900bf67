package kbuild

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kas/configs"
	"kas/elf"
	"kas/pipeline"
	"kas/registry"
)

// Which symbols of the kernel does a module with these names make ambiguous?
func TestAmbiguousNames(t *testing.T) {
	data := function("data", registry.Vmlinux, "")
	data.Type = 'd'
	renamed := function("renamed.llvm.1", registry.Vmlinux, "renamed")
	renamed.Base = "renamed"
	renamedToo := function("renamed_too.llvm.1", registry.Vmlinux, "renamed_too@a_c_1")
	renamedToo.Base = "renamed_too"
	r := newRegistry(t, registry.Header{}, []registry.Record{
		function("unique", registry.Vmlinux, ""),
		function("unique_in_module", "a.ko", "unique_in_module@a_c_1"),
		function("twice", registry.Vmlinux, "twice@a_c_1"),
		function("twice", "a.ko", "twice@a_c_2"),
		function("twice_plain", registry.Vmlinux, ""),
		function("twice_plain", "a.ko", ""),
		function("missed", registry.Vmlinux, ""),
		function("resolved", registry.Vmlinux, ""),
		function("mine", "m.ko", ""),
		function("other", registry.Vmlinux, ""),
		data, renamed, renamedToo,
	},
		// Earlier modules made these ambiguous, and only one late alias was found.
		function("missed", "first.ko", "missed@f_c_1"),
		function("missed", "second.ko", ""),
		function("resolved", "first.ko", "resolved@f_c_1"),
		function("resolved", registry.Vmlinux, "resolved@a_c_1"),
	)
	names := registryNames(r, []string{"m.ko"}, &configs.Build{})
	bases := map[string]bool{}
	for _, base := range []string{
		"unique", "unique_in_module", "twice", "twice_plain", "missed", "resolved", "mine", "data",
		"renamed", "renamed_too", "new",
	} {
		bases[base] = true
	}
	for symbols, want := range map[string][]string{
		"text": {
			"missed vmlinux ", "renamed.llvm.1 vmlinux ",
			"renamed_too.llvm.1 vmlinux renamed_too@a_c_1",
			"unique vmlinux ", "unique_in_module a.ko unique_in_module@a_c_1",
		},
		"data": {"data vmlinux "},
		"all": {
			"data vmlinux ", "missed vmlinux ", "renamed.llvm.1 vmlinux ",
			"renamed_too.llvm.1 vmlinux renamed_too@a_c_1",
			"unique vmlinux ", "unique_in_module a.ko unique_in_module@a_c_1",
		},
	} {
		var have []string
		for _, a := range names.ambiguousOf(bases, symbols) {
			have = append(have, a.Name+" "+a.Object+" "+a.Alias)
		}
		if !slices.Equal(have, want) {
			t.Errorf("symbols %s: ambiguous\n%q, want\n%q", symbols, have, want)
		}
	}
}

func TestLateAlias(t *testing.T) {
	a := Ambiguous{Record: function("foo", registry.Vmlinux, "")}
	a.Address = 0x10
	same := function("foo", registry.Vmlinux, "foo@a_c_7")
	same.Address, same.File, same.Line, same.Unit, same.Method = 0x10, "a.c", 7, "a.c", "subprogram"
	for what, change := range map[string]func(*registry.Record){
		"name":    func(r *registry.Record) { r.Name = "bar" },
		"section": func(r *registry.Record) { r.Section = ".init.text" },
		"address": func(r *registry.Record) { r.Address++ },
		"size":    func(r *registry.Record) { r.Size++ },
	} {
		other := same
		if change(&other); a.isSymbol(&other) {
			t.Errorf("a symbol of another %s is taken for the same", what)
		}
	}
	if !a.isSymbol(&same) {
		t.Error("the same symbol is not recognized")
	}

	unnamed := same
	unnamed.Alias = ""
	if a.takeAlias(unnamed); a.File != "" || a.Late() {
		t.Errorf("took %+v from a symbol without an alias", a.Record)
	}
	a.takeAlias(same)
	want := same
	want.MakeLate()
	if a.Record != want {
		t.Errorf("took %+v, want %+v", a.Record, want)
	}
}

// The debugging information must be that of the registry's kernel.
func TestLateBuildID(t *testing.T) {
	k := newKernel(t, gnu)
	k.ok(k.run(k.ld, append(slices.Clone(ldFlags), "--build-id=sha1", "-o", "image",
		"drivers/c.o")...))
	f, err := elf.Open(k.path("image"))
	if err != nil {
		t.Fatal(err)
	}
	id := f.BuildID()
	syms, err := f.Symtab()
	if err != nil {
		t.Fatal(err)
	}
	lonely := function("lonely", registry.Vmlinux, "")
	for i := elf.SymID(1); int(i) < syms.Len(); i++ {
		if s, err := syms.At(i); err == nil && string(s.Name) == lonely.Name {
			lonely.Address, lonely.Size = s.Value, s.Size
		}
	}
	f.Close()
	const alias = "lonely@drivers_c_c_"
	for _, c := range []struct{ name, id, taken, alias, why string }{
		{name: "same", id: id, alias: alias + "2"},
		{name: "unknown", alias: alias + "2"},
		{name: "taken", id: id, taken: alias + "2", alias: alias + "2_1"},
		{name: "other", id: "1234", why: "has build ID " + id + ", but "},
	} {
		names := registryNames(newRegistry(t, registry.Header{BuildID: c.id}, nil), nil,
			&configs.Build{})
		policy, err := configs.Policy("")
		if err != nil {
			t.Fatal(err)
		}
		a := &Ambiguous{Record: lonely}
		taken := func(name string) bool { return name == c.taken }
		why, err := names.resolveLate(context.Background(), policy.Alias, registry.Vmlinux,
			k.path("image"),
			[]*Ambiguous{a}, taken)
		if err != nil || a.Alias != c.alias || c.why != "" && !strings.Contains(why, c.why) {
			t.Errorf("%s: alias %q, want %q; why %q; error %v", c.name, a.Alias, c.alias, why, err)
		}
	}
}

func TestDebugFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"vmlinux", "a.ko", "b.ko.xz", "c.ko.zst", "d.ko.gz"} {
		writeTestFile(t, path(name), "", 0o644)
	}
	full := KernelDebug{Vmlinux: path("vmlinux"), Modules: dir}
	const nothing = "the kernel's debugging information is not at hand"
	for _, c := range []struct {
		debug             KernelDebug
		object, file, why string
	}{
		{full, "vmlinux", "vmlinux", ""},
		{full, "a.ko", "a.ko", ""},
		{full, "a.ko.xz", "a.ko", ""},
		{full, "b.ko", "b.ko.xz", ""},
		{full, "c.ko.gz", "c.ko.zst", ""},
		{full, "d.ko", "d.ko.gz", ""},
		{full, "e.ko.xz", "", path("e.ko") + " is not there"},
		{full, "a.ko/b.ko", "", "not a directory"},
		{KernelDebug{Modules: dir}, "vmlinux", "", nothing},
		{KernelDebug{Vmlinux: path("vmlinux")}, "a.ko", "", nothing},
		{KernelDebug{Vmlinux: path("nosuch")}, "vmlinux", "", path("nosuch") + " is not there"},
	} {
		file, why := c.debug.file(c.object)
		want := c.file
		if want != "" {
			want = path(want)
		}
		if file != want || (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s of %+v: file %q, why %q", c.object, c.debug, file, why)
		}
	}
}

// In a build that holds the kernel, too, only a symbol that was unique until now is reported.
func TestAmbiguousHere(t *testing.T) {
	b := &pipeline.Build{}
	b.Config.Alias.Symbols = "text"
	b.Scope.Own = func(o *pipeline.Object) bool { return o.Vmlinux || o.Name == "ext.ko" }
	for _, name := range []string{"vmlinux", "tree.ko", "ext.ko"} {
		b.Objects = append(b.Objects, pipeline.Object{Name: name, Vmlinux: name == "vmlinux"})
	}
	add := func(base string, members ...pipeline.Duplicate) {
		g := pipeline.Group{Base: base}
		for _, d := range members {
			o := &b.Objects[d.Symbol] // until here the index of its object
			i := int32(len(o.Symbols))
			g.Members = append(g.Members, pipeline.Ref{Object: d.Symbol, Symbol: i})
			letter := byte('t')
			if strings.HasPrefix(base, "data") {
				letter = 'd'
			}
			d.Symbol = i
			o.Duplicates = append(o.Duplicates, d)
			o.Symbols = append(o.Symbols, pipeline.Symbol{
				Name: base, Letter: letter, Code: letter == 't',
				Duplicate: int32(len(o.Duplicates)),
			})
		}
		b.Groups = append(b.Groups, g)
	}
	in := func(object int32, alias, has, reason string) pipeline.Duplicate {
		return pipeline.Duplicate{Symbol: object, Alias: alias, Has: has, Reason: reason}
	}
	add("in_vmlinux", in(0, "in_vmlinux@a", "", ""), in(2, "in_vmlinux@e", "", ""))
	add("in_module", in(1, "in_module@m", "", ""), in(2, "in_module@e", "", ""))
	add("has_alias", in(1, "", "has_alias@m", ""), in(2, "has_alias@e", "", ""))
	add("no_alias", in(0, "", "", "in assembly"), in(2, "no_alias@e", "", ""))
	add("twice", in(0, "twice@a", "", ""), in(1, "twice@m", "", ""), in(2, "twice@e", "", ""))
	add("not_named", in(0, "not_named@a", "", ""), in(2, "", "", "in assembly"))
	add("only_here", in(2, "only_here@e", "", ""), in(2, "only_here@f", "", ""))
	add("not_here", in(0, "not_here@a", "", ""), in(1, "not_here@m", "", ""))
	add("data", in(0, "data@a", "", ""), in(2, "data@e", "", ""))
	var have []string
	for _, a := range ambiguousHere(b) {
		have = append(have, a.Name+" "+a.Object+" "+a.Alias+" "+a.Why)
	}
	want := []string{
		"in_vmlinux vmlinux in_vmlinux@a ", "in_module tree.ko in_module@m ",
		"has_alias tree.ko has_alias@m ", "no_alias vmlinux  in assembly",
	}
	if !slices.Equal(have, want) {
		t.Errorf("ambiguous\n%q, want\n%q", have, want)
	}
}

func TestUpdateOverlay(t *testing.T) {
	r := newRegistry(t, registry.Header{}, []registry.Record{
		function("foo", registry.Vmlinux, ""), function("bar", registry.Vmlinux, ""),
	})
	overlay := filepath.Join(t.TempDir(), "overlay.kas")
	late := func(name, alias string) Ambiguous {
		a := Ambiguous{Record: function(name, registry.Vmlinux, alias)}
		if alias != "" {
			a.MakeLate()
		}
		return a
	}
	update := func(symbols []registry.Record, ambiguous []Ambiguous, want ...string) {
		t.Helper()
		outcome := &Outcome{Symbols: symbols, Ambiguous: ambiguous}
		if err := UpdateOverlay(overlay, r, outcome); err != nil {
			t.Fatal(err)
		}
		r = openRegistry(t, r.Path, overlay)
		var have []string
		for s := range r.Overlay.Prefixed("") {
			have = append(have, strings.TrimSpace(s.Name+" "+s.Object+" "+s.Alias))
		}
		if !slices.Equal(have, want) {
			t.Errorf("the overlay has\n%q, want\n%q", have, want)
		}
	}
	foo1, bar2 := function("foo", "m1.ko", "foo@m1_c_1"), function("bar", "m2.ko", "bar@m2_c_1")
	update([]registry.Record{foo1, function("gone", "m1.ko", "")},
		[]Ambiguous{late("foo", "foo@a_c_1")},
		"foo m1.ko foo@m1_c_1", "foo vmlinux foo@a_c_1", "gone m1.ko")
	// A symbol without a late alias is not in the overlay. The first module stays.
	update([]registry.Record{bar2}, []Ambiguous{late("bar", "")},
		"bar m2.ko bar@m2_c_1", "foo m1.ko foo@m1_c_1", "foo vmlinux foo@a_c_1", "gone m1.ko")
	// The first module again: its former symbols are replaced, and so is the late alias.
	update([]registry.Record{foo1}, []Ambiguous{late("foo", "foo@a_c_2")},
		"bar m2.ko bar@m2_c_1", "foo m1.ko foo@m1_c_1", "foo vmlinux foo@a_c_2")
	// Without its foo the kernel's is unique again.
	update([]registry.Record{function("new", "m1.ko", "")}, nil, "bar m2.ko bar@m2_c_1",
		"new m1.ko")
}

// Only the missing debugging information of an object is no problem.
func TestFirstProblem(t *testing.T) {
	failed := errors.New("failed")
	sections := []pipeline.Section{{}}
	b := &pipeline.Build{Objects: []pipeline.Object{
		{Name: "plain", NoDebug: true, Sections: sections},
		{Name: "unreadable", NoDebug: true},
		{Name: "debug", Sections: sections},
	}}
	for _, c := range []struct {
		stage, object string
		problem       bool
	}{
		{"scan", "plain", false}, {"emit", "plain", true}, {"scan", "unreadable", true},
		{"scan", "debug", true}, {"resolve", "debug", true}, {"collect", "", true},
	} {
		r := &pipeline.Result{Builds: []*pipeline.Build{b}, Errors: []*pipeline.Error{
			{Stage: "scan", Object: "plain", Err: errors.New("no debugging information")},
			{Stage: c.stage, Object: c.object, Err: failed},
		}}
		if err := firstProblem(r); errors.Is(err, failed) != c.problem || err != nil && !c.problem {
			t.Errorf("%s of %q: problem %v", c.stage, c.object, err)
		}
		if err := allProblems(r); !errors.Is(err, failed) {
			t.Errorf("%s of %q: problems %v", c.stage, c.object, err)
		}
	}
}

func TestGlobals(t *testing.T) {
	text := "/build/a.o\tfoo\tfoo@a_c_1\n/build/a.o\tbar\tbar@a_c_2\n/build/b.o\tfoo\tfoo@b_c_1\n"
	e := &emitted{globals: []byte(text)}
	have := e.globalsOf("/build/a.o")
	if len(have) != 2 || have["foo"] != "foo@a_c_1" || have["bar"] != "bar@a_c_2" {
		t.Errorf("globals %v", have)
	}
	if have := e.globalsOf("/build/c.o"); len(have) != 0 {
		t.Errorf("globals of a module without any: %v", have)
	}

	k := newKernel(t, gnu)
	before := k.read("drivers/a_util.o")
	// a_util calls common_probe and does not define it. name_show is a local symbol.
	for _, name := range []string{"common_probe", "name_show", "nosuch"} {
		err := addGlobals(k.path("drivers/a_util.o"), map[string]string{
			name: name + "@alias", "common_scan": "common_scan@alias",
		})
		if err == nil || !strings.Contains(err.Error(), "has only 1 of the 2 global symbols") {
			t.Errorf("%s: error %v", name, err)
		}
		if k.read("drivers/a_util.o") != before {
			t.Errorf("%s: the object was written", name)
		}
	}
}

// Finish adds the aliases of global symbols to a module that was linked from X.o.kas.
func TestFinish(t *testing.T) {
	k := newKernel(t, gnu)
	t.Chdir(k.dir)
	hook := func(env string) Hook {
		return Hook{Kas: func() string { return "test" }, Getenv: func(key string) string {
			value, _ := strings.CutPrefix(env, key+"=")
			if value == env {
				return ""
			}
			return value
		}}
	}
	if err := Object(hook(""), "drivers/a.o"); err != nil {
		t.Fatal(err)
	}
	args := module("drivers/a")
	args[slices.Index(args, "drivers/a.o")] = "drivers/a.o.kas"
	k.ok(k.run(k.ld, args...))
	if err := Finish(hook("KAS=0"), "drivers/a.ko", "drivers/a.o"); err != nil {
		t.Fatal(err)
	}
	var locals []string
	for _, name := range moduleAliases["a"] {
		if !strings.HasPrefix(name, "common_") {
			locals = append(locals, name)
		}
	}
	k.wantAliases("before", k.aliased("drivers/a"), locals)
	if err := Finish(hook(""), "drivers/a.ko", "drivers/a.o"); err != nil {
		t.Fatal(err)
	}
	k.wantAliases("after", k.aliased("drivers/a"), moduleAliases["a"])
	// c has no aliases: its module is not touched, and need not even be there.
	if err := Finish(hook(""), "drivers/nosuch.ko", "drivers/c.o"); err != nil {
		t.Error(err)
	}
	if err := os.Remove("drivers/a.ko"); err != nil {
		t.Fatal(err)
	}
	if err := Finish(hook(""), "drivers/a.ko", "drivers/a.o"); err == nil {
		t.Error("no error for a module that is not there")
	}
}
