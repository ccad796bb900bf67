package packages

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// arMagic begins an ar archive.
const arMagic = "!<arch>\n"

// arHeader is the size of a member's header: a name of 16 bytes, times and owners, the size as ten
// decimal digits at 48, and "`\n" (ar(5)). A member begins at an even offset.
const arHeader = 60

type member struct {
	name       string
	from, size int64
}

// members lists an ar archive. deb(5) allows only short names.
func (in *input) members() (all []member, err error) {
	header := make([]byte, arHeader)
	for at := int64(len(arMagic)); at < in.size; {
		if _, err := in.file.ReadAt(header, at); err != nil {
			return nil, fmt.Errorf("offset %d: a member's header: %w", at, truncated(err))
		}
		size, err := strconv.ParseInt(strings.TrimRight(string(header[48:58]), " "), 10, 64)
		if err != nil || size < 0 || string(header[58:]) != "`\n" {
			return nil, fmt.Errorf("offset %d: not the header of an ar member", at)
		}
		name := strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/")
		at += arHeader
		if size > in.size-at {
			return nil, fmt.Errorf("offset %d: %s needs %d bytes, and %d are left: the file is "+
				"truncated", at, show(name), size, in.size-at)
		}
		if all = append(all, member{name, at, size}); len(all) > 100 {
			return nil, errors.New("more than 100 ar members")
		}
		at += size + size&1
	}
	return all, nil
}

// readDeb reads a Debian package (deb(5)): the members debian-binary with the version of the
// format, control.tar and data.tar. A member whose name begins with _ does not count.
func readDeb(in *input, u *unpacker) error {
	all, err := in.members()
	if err != nil {
		return err
	}
	var need = []string{"debian-binary", "control.tar", "data.tar"}
	for _, m := range all {
		if strings.HasPrefix(m.name, "_") {
			continue
		}
		if m.name != need[0] && !strings.HasPrefix(m.name, need[0]+".") && len(need) < 3 {
			return fmt.Errorf("offset %d: member %s where %s belongs", m.from, show(m.name),
				need[0])
		}
		switch len(need) {
		case 3:
			err = checkVersion(in, m)
		case 1:
			err = readData(in, m, u)
		}
		if err != nil {
			return fmt.Errorf("%s at %d: %w", m.name, m.from, err)
		}
		if need = need[1:]; len(need) == 0 {
			return nil
		}
	}
	return fmt.Errorf("no %s in it: the file is truncated, or no Debian package", need[0])
}

func checkVersion(in *input, m member) error {
	text := make([]byte, min(m.size, 16))
	if _, err := in.file.ReadAt(text, m.from); err != nil {
		return err
	}
	if m.name != "debian-binary" || !strings.HasPrefix(string(text), "2.") {
		return errors.New("not a Debian package of format 2")
	}
	return nil
}

func readData(in *input, m member, u *unpacker) error {
	_, suffix, _ := strings.Cut(strings.TrimPrefix(m.name, "data.tar"), ".")
	r, err := in.decompress(m.from, m.size, suffix)
	if err != nil {
		return truncated(err)
	}
	r = u.limited(r)
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return truncated(err)
		}
		e := entry{name: h.Name, kind: device, link: h.Linkname, size: h.Size}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			e.kind = regular
		case tar.TypeSymlink:
			e.kind = symlink
		case tar.TypeLink:
			e.kind = hardlink
		case tar.TypeDir:
			e.kind = folder
		}
		if err := u.add(e, t); err != nil {
			return truncated(err)
		}
	}
	// What follows the end of the archive must be whole, too: the checksums are there.
	_, err = io.Copy(io.Discard, r)
	return truncated(err)
}
