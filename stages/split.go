package stages

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// splits says where the split units of an object are: in a .dwp file beside the object, else in
// .dwo files where the compiler wrote them, beside the object, or below a folder that the build is
// known to have its files in.
func splits(b *pipeline.Build, o *pipeline.Object) *dwarf.Splits {
	folder := filepath.Dir(o.Path)
	roots := []string{folder}
	if o.Debug.Path != "" {
		roots = append(roots, filepath.Dir(o.Debug.Path))
	}
	if root, ok := strings.CutSuffix(o.Path, "/"+o.Name); ok && !o.Vmlinux {
		roots = append(roots, root)
	}
	roots = append(roots, b.Config.Source...)
	return &dwarf.Splits{
		Package: packageOf(o),
		Paths: func(name, compDir string) []string {
			if name == "" {
				return nil
			}
			var paths []string
			add := func(path string) {
				if !slices.Contains(paths, path) {
					paths = append(paths, path)
				}
			}
			if filepath.IsAbs(name) {
				add(filepath.Clean(name))
			} else if filepath.IsAbs(compDir) {
				add(filepath.Join(compDir, name))
			}
			add(filepath.Join(folder, filepath.Base(name)))
			if o.Debug.Path != "" {
				add(filepath.Join(filepath.Dir(o.Debug.Path), filepath.Base(name)))
			}
			for _, root := range roots {
				if !filepath.IsAbs(name) {
					add(filepath.Join(root, name))
				}
			}
			return paths
		},
	}
}

// packageOf returns the path of an object's .dwp file: beside its debug file if it is there, else
// beside the object.
func packageOf(o *pipeline.Object) string {
	if o.Debug.Path != "" {
		path := elf.Uncompressed(o.Debug.Path) + ".dwp"
		id := elf.IdentifyTarget(path)
		if o.Depends(path, id); id != (elf.Identity{}) {
			return path
		}
	}
	return elf.Uncompressed(o.Path) + ".dwp"
}

// missingSplits says which units of an object are without their split unit.
type missingSplits struct {
	Units int
	Why   string // the first one's file was not used
}

// noteSplits keeps what reading the split units of an object gave.
func (d *declarations) noteSplits(o *pipeline.Object, s *dwarf.Splits) {
	for _, in := range s.Inputs {
		o.Depends(in.Path, in.Identity)
	}
	if d.Split.Units = len(s.Missing); d.Split.Units > 0 {
		d.Split.Why = s.Missing[0].Error()
	}
}

// reportSplits reports the units without their split unit, once for the build.
func reportSplits(
	ctx context.Context, b *pipeline.Build, objects []*pipeline.Object,
	found map[*pipeline.Object]*declarations,
) {
	var lacking []*pipeline.Object
	units := 0
	for _, o := range objects {
		if n := found[o].Split.Units; n > 0 {
			lacking = append(lacking, o)
			units += n
		}
	}
	if units == 0 {
		return
	}
	why := found[lacking[0]].Split.Why
	if units > 1 {
		why = fmt.Sprintf("%s (and of %d more units in %d objects of the build)", why, units-1,
			len(lacking))
	}
	b.Fail(ctx, lacking[0], fmt.Errorf("split debugging information: %s", why))
}
