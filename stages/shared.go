package stages

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"kas/elf"
	"kas/elf/dwarf"
	"kas/pipeline"
)

// openInfo reads the debugging information in f, the object or its debug file, together with what
// dwz moved to another file. If that file is not here, found says so. The caller calls done when it
// no longer uses the result, which is nil if there is no debugging information.
func openInfo(
	b *pipeline.Build, o *pipeline.Object, f *elf.File, found *declarations,
) (info *dwarf.Data, done func(), err error) {
	done = func() {}
	link, id := f.AltLink()
	if link == "" {
		info, err = dwarf.New(f)
		return info, done, err
	}
	s, shared, err := openShared(b, o, link, id)
	if err == nil {
		done = func() { s.Close() }
	} else {
		found.Shared = fmt.Sprintf("%q is not read: %s", link, err)
	}
	info, err = dwarf.NewSharing(f, shared)
	return info, done, err
}

// openShared opens the file that dwz made: it has the build ID that the link to it has.
func openShared(
	b *pipeline.Build, o *pipeline.Object, link, id string,
) (*elf.File, *dwarf.Data, error) {
	why := errors.New("no such file")
	for _, path := range sharedPaths(b, o, link, id) {
		found := elf.IdentifyTarget(path)
		if found == (elf.Identity{}) {
			o.Depends(path, found)
			continue
		}
		f, shared, err := readShared(path, id)
		if err == nil {
			o.Depends(path, f.Identity())
			return f, shared, nil
		}
		o.Depends(path, found)
		why = fmt.Errorf("%s: %w", path, err)
	}
	return nil, nil, why
}

func readShared(path, id string) (*elf.File, *dwarf.Data, error) {
	if err := elf.CheckRegular(path); err != nil {
		return nil, nil, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	var shared *dwarf.Data
	if got := f.AltID(); got != id {
		err = fmt.Errorf("build ID %s, want %s", got, id)
	} else {
		shared, err = dwarf.NewShared(f)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, shared, nil
}

// sharedPaths returns where the file that dwz made may be: the link is relative to the file that
// has it, or the path on the machine that has the packages installed.
func sharedPaths(b *pipeline.Build, o *pipeline.Object, link, id string) []string {
	var paths []string
	add := func(elements ...string) {
		if path := filepath.Join(elements...); !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	from, roots := o.Path, debugRoots(b)
	if o.Debug.Path != "" {
		from = o.Debug.Path
	}
	if filepath.IsAbs(link) {
		add(link)
		for _, root := range roots {
			add(root, link)
		}
	} else {
		// A tree of build IDs has symbolic links to the files.
		if real, err := filepath.EvalSymlinks(from); err == nil {
			add(filepath.Dir(real), link)
		}
		add(filepath.Dir(from), link)
	}
	beside := []string{filepath.Dir(o.Path), filepath.Dir(from)}
	for _, root := range slices.Concat(beside, roots) {
		if len(id) > 2 {
			add(root, ".build-id", id[:2], id[2:]+".debug")
		}
		add(root, ".dwz", filepath.Base(link))
	}
	return paths
}

// reportShared reports once for the build that shared debugging information is not read.
func reportShared(
	ctx context.Context, b *pipeline.Build, objects []*pipeline.Object,
	found map[*pipeline.Object]*declarations,
) {
	var sharing []*pipeline.Object
	for _, o := range objects {
		if found[o].Shared != "" {
			sharing = append(sharing, o)
		}
	}
	if len(sharing) > 0 {
		b.Fail(ctx, sharing[0], fmt.Errorf("debugging information that dwz moved to %s%s",
			found[sharing[0]].Shared, andMore(len(sharing))))
	}
}
