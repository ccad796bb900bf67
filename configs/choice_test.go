package configs

import (
	"path/filepath"
	"slices"
	"testing"
)

const shards = `version: 1
matrix:
  - {arch: [x86_64, arm64], toolchain: [gcc, llvm], build: {name: "m-{arch}-{toolchain}", vmlinux: v}}
builds:
  - {name: last, vmlinux: nowhere}
`

// TestShards deals five builds to shards. Only the shard of the one whose file is missing fails.
func TestShards(t *testing.T) {
	file := filepath.Join(write(t, "kas.yaml", shards, "v", ""), "kas.yaml")
	for _, c := range []struct {
		Choice
		want []string // nil for an error
	}{
		{Choice{}, nil},
		{Choice{Shard: 1, Shards: 2}, nil},
		{Choice{Shard: 2, Shards: 2}, []string{"m-x86_64-gcc", "m-arm64-gcc"}},
		{Choice{Shard: 5, Shards: 5}, []string{"m-arm64-llvm"}},
		{Choice{Shard: 6, Shards: 6}, []string{}},
		{Choice{Names: []string{"m-arm64-llvm", "last"}, Shard: 2, Shards: 2},
			[]string{"m-arm64-llvm"}},
		{Choice{Names: []string{"m-arm64-llvm"}, Unlisted: true}, []string{"m-arm64-llvm"}},
		{Choice{Optional: true}, []string{
			"m-x86_64-gcc", "m-x86_64-llvm", "m-arm64-gcc", "m-arm64-llvm"}},
		{Choice{Names: []string{"nobody"}}, nil},
	} {
		p, err := LoadSome(file, c.Choice)
		if err != nil {
			if c.want != nil {
				t.Errorf("%+v: %v", c.Choice, err)
			}
			continue
		}
		names := []string{}
		for _, b := range p.Builds {
			names = append(names, b.Name)
		}
		if c.want == nil || !slices.Equal(names, c.want) {
			t.Errorf("%+v: %q, want %q", c.Choice, names, c.want)
		}
	}
}
