package pipeline

import (
	"crypto/sha256"
	"fmt"
	"os"

	"kas/elf"
)

// BuildFile is in the folder of each build that a run finished, and says from what.
const BuildFile = "build.json"

// Inputs identifies what a build was made from, on any machine.
type Inputs struct {
	BuildID string `json:"build_id,omitempty"` // of vmlinux, in hexadecimal
	Files   string `json:"files"`              // digest of the names and sizes of the objects
}

// InputsOf returns the identity of objects as they are now. vmlinux comes first, if there is one.
func InputsOf(objects []Object) Inputs {
	var in Inputs
	h := sha256.New()
	for i := range objects {
		o := &objects[i]
		size := int64(-1) // there is no such file
		if info, err := os.Stat(o.Path); err == nil {
			size = info.Size()
		}
		fmt.Fprintf(h, "%q %d\n", o.Name, size)
		if !o.Vmlinux {
			continue
		}
		if f, err := elf.OpenTables(o.Path); err == nil {
			in.BuildID = f.BuildID()
			f.Close()
		}
	}
	in.Files = fmt.Sprintf("sha256=%x", h.Sum(nil))
	return in
}
