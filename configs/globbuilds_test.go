package configs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestGlobBuilds makes a build of each match, and takes names from what the glob matched.
func TestGlobBuilds(t *testing.T) {
	dir := write(t, "conf/kas.yaml", `version: 1
x-common: &common {source: /s}
x-tree: &tree {glob: "trees/*-6.1", name: "t-{1}", vmlinux: "{0}/vmlinux"}
x-maybe: &maybe {optional: True}
builds:
  - {glob: "${POOL:-pool}/linux-image-*-dbg_*.deb", name: "${PREFIX}{1}", <<: *common}
  - {glob: "trees/*/v[0-9]?", name: "{1}-{2}{3}", vmlinux: "{0}/vmlinux", modules: "{0}/m\\[x]"}
  - {glob: "none/**/x*", name: "{2}", optional: true}
  - {<<: *tree, source: /t}
  - {glob: "none/y*", name: "{1}", <<: *maybe}
matrix:
  - version: [6.1, 6.12]
    flavour: [rt, cloud]
    exclude: [{version: 6.12, flavour: rt}]
    build: {name: "${version}-{flavour}", vmlinux: "trees/{flavour}-${version}/vmlinux"}
`)
	t.Chdir(dir)
	t.Setenv("PREFIX", "p-")
	for _, name := range []string{"pool/linux-image-6.1-a-dbg_1_amd64.deb",
		"pool/linux-image-6.12-dbg-b-dbg_2_amd64.deb", "pool/linux-image-6.1-a_1_amd64.deb",
		"trees/x[1]/v1a/vmlinux", "trees/x[1]/v1a/m[x]/a.ko", "trees/rt-6.1/vmlinux",
		"trees/cloud-6.1/vmlinux", "trees/cloud-6.12/vmlinux"} {
		put(t, filepath.Join("conf", name), "")
	}
	p, err := Load("conf/kas.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type short struct{ Name, Vmlinux, Package, Source string }
	var got []short
	for _, b := range p.Builds {
		s := short{b.Name, b.Vmlinux, "", ""}
		if len(b.Package) > 0 {
			s.Package = b.Package[0]
		}
		if len(b.Source) > 0 {
			s.Source = b.Source[0]
		}
		got = append(got, s)
	}
	want := []short{
		{"p-6.1-a", "", "conf/pool/linux-image-6.1-a-dbg_1_amd64.deb", "/s"},
		{"p-6.12-dbg-b", "", "conf/pool/linux-image-6.12-dbg-b-dbg_2_amd64.deb", "/s"},
		{"x[1]-1a", "conf/trees/x[1]/v1a/vmlinux", "", ""},
		{"t-cloud", "conf/trees/cloud-6.1/vmlinux", "", "/t"},
		{"t-rt", "conf/trees/rt-6.1/vmlinux", "", "/t"},
		{"6.1-rt", "conf/trees/rt-6.1/vmlinux", "", ""},
		{"6.1-cloud", "conf/trees/cloud-6.1/vmlinux", "", ""},
		{"6.12-cloud", "conf/trees/cloud-6.12/vmlinux", "", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	same(t, []string{"none/**/x*", "none/y*"}, p.Skipped)
	text, err := p.Effective("conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("conf/effective.yaml", text, 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := Load("conf/effective.yaml"); err != nil || len(again.Builds) != len(want) {
		t.Error(again, err)
	}
}
