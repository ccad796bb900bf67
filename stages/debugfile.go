package stages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/elf"
	"kas/pipeline"
)

// debugRoots returns the folders in which the debug files of a build are looked for, besides those
// of its objects: those of the configuration, and /usr/lib/debug below each, as packages are
// unpacked.
func debugRoots(b *pipeline.Build) []string {
	const global = "usr/lib/debug"
	if len(b.Config.Debug) == 0 {
		return []string{"/" + global}
	}
	var roots []string
	for _, root := range b.Config.Debug {
		roots = append(roots, root)
		if !strings.HasSuffix(root, "/"+global) {
			roots = append(roots, filepath.Join(root, global))
		}
	}
	return roots
}

// findDebug looks for the debug file of an object that has no debugging information: by build ID,
// by .gnu_debuglink, where distributions have it, and under the object's own name. Each path that
// was looked at becomes an input of the object.
func findDebug(b *pipeline.Build, o *pipeline.Object, f *elf.File) {
	o.NoDebug = true
	link, crc := f.DebugLink()
	var refused []error
	for _, path := range debugPaths(b, o, link) {
		id := elf.IdentifyTarget(path)
		if id == o.Identity {
			continue // the object itself
		}
		if id == (elf.Identity{}) {
			o.Depends(path, id)
			continue
		}
		d, err := openDebug(path)
		if err == nil {
			id = d.Identity()
		}
		o.Depends(path, id)
		if err == nil && d == nil {
			continue
		}
		if err == nil {
			err = belongs(f, d, link == filepath.Base(path), crc)
			d.Close()
		}
		if err == nil {
			o.NoDebug, o.Debug = false, pipeline.Separate{Path: path, Identity: id}
			return
		}
		refused = append(refused, fmt.Errorf("%s: %w", path, err))
	}
	if len(refused) > 0 {
		o.Debug.Refused = refused[0]
	}
}

// openDebug opens a file that may have the debugging information of another. It returns nil without
// an error if the file has none itself.
func openDebug(path string) (*elf.File, error) {
	if err := elf.CheckRegular(path); err != nil {
		return nil, err
	}
	f, err := elf.OpenTables(path)
	if err != nil {
		return nil, err
	}
	if !f.HasDebug() {
		f.Close()
		return nil, nil
	}
	return f, nil
}

// belongs returns why a file is not the debug file of an object, nil if it is. Both have the same
// build ID; if neither has one, the checksum in the object's .gnu_debuglink proves it. linked says
// that the file has the name that is there.
func belongs(f, debug *elf.File, linked bool, crc uint32) error {
	if f.Machine != debug.Machine || f.Is64 != debug.Is64 || f.Big != debug.Big ||
		f.Type != debug.Type {
		return errors.New("for another machine or of another type")
	}
	want, got := f.BuildID(), debug.BuildID()
	switch {
	case want != got && want != "" && got != "":
		return fmt.Errorf("of another build: build ID %s, want %s", got, want)
	case want != "" && got != "":
		return nil
	case !linked && want != "":
		return fmt.Errorf("without a build ID, want %s", want)
	case !linked:
		return errors.New("nothing proves that it belongs to the object, which has neither a " +
			"build ID nor a .gnu_debuglink to it")
	}
	sum, err := debug.CRC()
	if err == nil && sum != crc {
		err = fmt.Errorf("of another build: CRC %08x, want %08x by .gnu_debuglink", sum, crc)
	}
	return err
}

// debugPaths returns where the debug file of an object may be, in the order of gdb and elfutils:
// by its build ID, by the name in its .gnu_debuglink, and then in the layout of distributions.
func debugPaths(b *pipeline.Build, o *pipeline.Object, link string) []string {
	var paths []string
	add := func(elements ...string) {
		if path := filepath.Join(elements...); !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	dir := filepath.Dir(o.Path)
	var roots []string
	for _, root := range debugRoots(b) {
		if _, err := os.Stat(root); err == nil {
			roots = append(roots, root)
		} else {
			add(root) // one look instead of many; when it appears, the object counts as changed
		}
	}
	beside := []string{dir}
	if root, ok := strings.CutSuffix(o.Path, "/"+o.Name); ok && !o.Vmlinux && root != dir {
		beside = append(beside, root)
	}
	if id := o.BuildID; len(id) > 2 {
		for _, root := range slices.Concat(beside, roots) {
			add(root, ".build-id", id[:2], id[2:]+".debug")
		}
	}
	full := dir
	if abs, err := filepath.Abs(dir); err == nil {
		full = abs
	}
	if link != "" {
		link = filepath.Base(link)
		add(dir, link)
		add(dir, ".debug", link)
		for _, root := range roots {
			add(root, full, link)
		}
	}
	base := elf.Uncompressed(filepath.Base(o.Path))
	add(dir, base+".debug")
	for _, name := range []string{base, base + ".debug"} {
		add(dir, ".debug", name)
	}
	for _, root := range roots {
		for _, name := range placesOf(o, filepath.Join(full, base)) {
			add(root, name)
			add(root, name+".debug")
		}
	}
	return paths
}

// placesOf returns where distributions have the debug file of an object, below a root: Debian in
// lib/modules/R/ and boot/vmlinux-R, Fedora and SUSE in usr/lib/modules/R/ and lib/modules/R/; also
// under the path of the object below its own root. path is the object's, without a suffix of
// compression.
func placesOf(o *pipeline.Object, path string) []string {
	var below, places []string
	if o.Vmlinux {
		below = []string{"vmlinux"}
		places = append(places, "vmlinux", filepath.Base(path))
		if o.Release != "" {
			places = append(places, "boot/vmlinux-"+o.Release)
		}
	} else {
		name := elf.Uncompressed(o.Name)
		below = []string{name, "kernel/" + name}
		if o.Release != "" {
			if _, rest, ok := strings.Cut(path, "/lib/modules/"+o.Release+"/"); ok {
				below = append([]string{rest}, below...)
			}
		}
		places = append(places, below...)
	}
	if o.Release != "" {
		for _, name := range below {
			places = append(places,
				"lib/modules/"+o.Release+"/"+name, "usr/lib/modules/"+o.Release+"/"+name)
		}
	}
	return places
}

// settleDebug reports once for the build that objects have no debugging information, unless no
// object has any: then the kernel was built without. Their symbols count in both cases, because
// they make names ambiguous. A file in the place of a debug file that belongs to another build is
// reported in both cases.
func settleDebug(ctx context.Context, b *pipeline.Build) {
	if b.Scope.FindDebug != nil {
		return // findElsewhere reports what is still missing
	}
	lacking := b.Every(func(o *pipeline.Object) bool { return o.Readable() && o.NoDebug })
	with := b.Every(func(o *pipeline.Object) bool { return o.Readable() && !o.NoDebug })
	refused := slices.DeleteFunc(slices.Clone(lacking),
		func(o *pipeline.Object) bool { return o.Debug.Refused == nil })
	if len(refused) > 0 {
		b.FailAll(ctx, refused, fmt.Errorf("the debug file is not used: %w%s",
			refused[0].Debug.Refused, andMore(len(refused))))
	}
	lacking = slices.DeleteFunc(lacking,
		func(o *pipeline.Object) bool { return o.Debug.Refused != nil })
	if len(lacking) == 0 || len(with) == 0 {
		return
	}
	o := lacking[0]
	b.FailAll(ctx, lacking, formatErrorf(o.Headers,
		"no debugging information among %d sections%s, %s", len(o.Sections),
		andMore(len(lacking)), NoDebug(b)))
}

// findElsewhere asks for the debug files of the objects that own a duplicate and have none on this
// machine. What is not found is reported once for the build.
func findElsewhere(ctx context.Context, b *pipeline.Build) error {
	if b.Scope.FindDebug == nil {
		return nil
	}
	lacking := b.Every(func(o *pipeline.Object) bool { return o.NoDebug && len(chosen(o)) > 0 })
	err := b.Each(ctx, lacking, func(o *pipeline.Object) error {
		path, err := b.Scope.FindDebug(ctx, o)
		if err != nil {
			o.Debug.Refused = err
			return nil
		}
		o.NoDebug = false
		o.Debug = pipeline.Separate{Path: path, Identity: elf.IdentifyTarget(path)}
		return nil
	})
	lacking = slices.DeleteFunc(lacking, func(o *pipeline.Object) bool { return !o.NoDebug })
	if err != nil || len(lacking) == 0 {
		return err
	}
	b.FailAll(ctx, lacking, fmt.Errorf("no debug file: %w%s", lacking[0].Debug.Refused,
		andMore(len(lacking))))
	return nil
}

// andMore returns what is said when n objects have the same problem.
func andMore(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" (the same for %d more objects of the build)", n-1)
}

// NoDebug returns where a run looked for debug files, and where the debugging information of a
// build comes from, as the end of a message.
func NoDebug(b *pipeline.Build) string {
	release := cmp.Or(b.Release, "RELEASE")
	return fmt.Sprintf("and no debug file is beside an object or below %s: Debian has it in "+
		"linux-image-%s-dbg, Fedora in kernel-debuginfo, a build of your own with "+
		"CONFIG_DEBUG_INFO; `debug:` names the folder", strings.Join(debugRoots(b), ", "), release)
}
