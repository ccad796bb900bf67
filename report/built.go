package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"kas/pipeline"
)

// Built is what build.json says of a finished build. It is the same for the same input.
type Built struct {
	Version int             `json:"version"`
	Digest  string          `json:"digest"`  // of the other lines, as in stats.json
	Program string          `json:"program"` // identifies the kas that made the build
	Config  string          `json:"config"`  // the build's part of the effective configuration
	Inputs  pipeline.Inputs `json:"inputs"`
	Stats   buildStats      `json:"stats"` // the build's part of stats.json
}

// NewBuilt returns what is known before a build begins.
func NewBuilt(program, config string, inputs pipeline.Inputs) *Built {
	return &Built{Version: 1, Program: program, Config: config, Inputs: inputs}
}

// Count adds what a run says of one of its builds.
func (k *Built) Count(r *pipeline.Result, b *pipeline.Build) { k.Stats = buildStatsOf(r, b) }

// SameAs reports whether two builds are from the same inputs, configuration and program.
func (k *Built) SameAs(o *Built) bool {
	return k.Program == o.Program && k.Config == o.Config && k.Inputs == o.Inputs
}

// Errors returns the errors of the build's objects.
func (k *Built) Errors() []string { return k.Stats.Errors }

// Fill sets what a summary shows of the build.
func (k *Built) Fill(b *pipeline.Build) {
	b.Arch, b.Toolchain, b.LTO, b.Release = k.Stats.Arch, k.Stats.Toolchain, k.Stats.LTO,
		k.Stats.Release
	b.Stats, b.Inputs, b.Skipped = k.Stats.Stats, k.Inputs, true
}

// Text returns the content of build.json.
func (k *Built) Text() ([]byte, error) {
	full := *k
	var b bytes.Buffer
	err := writeWithDigest(&b, &full, &full.Digest)
	return b.Bytes(), err
}

// ReadBuilt reads the build.json of a build's folder. The error is an fs.ErrNotExist if the build
// is not finished.
func ReadBuilt(dir string) (*Built, error) {
	path := filepath.Join(dir, pipeline.BuildFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k := &Built{}
	if json.Unmarshal(data, k) != nil || k.Version != 1 || k.Digest != digestOf(data) {
		return nil, fmt.Errorf("%s is damaged, or of another version of kas", path)
	}
	return k, nil
}

// Together returns what stats.json says of builds.
func Together(all []*Built) Earlier {
	e := Earlier{}
	for _, k := range all {
		e[k.Stats.Name] = k.Stats
	}
	return e
}
