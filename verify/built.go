package verify

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
)

// builtFile marks a finished build.
const builtFile = "build.json"

// built is the content of build.json.
type built struct {
	Version int        `json:"version"`
	Digest  string     `json:"digest"`
	Program string     `json:"program"`
	Config  string     `json:"config"`
	Inputs  inputs     `json:"inputs"`
	Stats   BuildStats `json:"stats"`
}

type inputs struct {
	BuildID string `json:"build_id,omitempty"`
	Files   string `json:"files"` // digest of names and sizes
}

// checkBuilt checks all of build.json. Only its digest protects which program made the build.
func (b *build) checkBuilt() {
	text, ok := b.read(builtFile)
	if !ok {
		return
	}
	var k built
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		b.add("%s: %v", builtFile, err)
		return
	}
	if k.Version != 1 {
		b.add("%s: version %d is unknown", builtFile, k.Version)
		return
	}
	for _, problem := range checkText(builtFile, []byte(text), k.Digest, k) {
		b.add("%s", problem)
	}
	if k.Config != b.Effective {
		b.add("%s: another configuration than that of the run", builtFile)
	}
	if b.Stats != nil && !reflect.DeepEqual(k.Stats, *b.Stats) {
		b.add("%s: other counts than in stats.json", builtFile)
	}
	want := b.inputs()
	if !b.hasVmlinux() {
		want.BuildID = k.Inputs.BuildID // of what cannot be read
	}
	if k.Inputs != want {
		b.add("%s: the inputs are %v, %v expected", builtFile, k.Inputs, want)
	}
}

// inputs works out what the build was made from.
func (b *build) inputs() inputs {
	var in inputs
	h := sha256.New()
	for i := range b.objects {
		o := &b.objects[i]
		size := int64(-1)
		if info, err := os.Stat(o.path); err == nil {
			size = info.Size()
		}
		fmt.Fprintf(h, "%q %d\n", o.name, size)
		if i == 0 && b.Vmlinux != "" {
			in.BuildID = o.buildID
		}
	}
	in.Files = fmt.Sprintf("sha256=%x", h.Sum(nil))
	return in
}
