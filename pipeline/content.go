package pipeline

import "kas/elf"

// A farm unpacks the same kernel again and again. Its files then have other inodes, and the same
// content: a file is the same if it came from the same place of a package with the same digest, or
// if its build ID, section headers, size and time of change are the same. Unpacking keeps that
// time; what changes the file in place does not.

// contentOf names the content of an object that was opened, "" if nothing does. If the file is what
// it was, so is its content: a fingerprint may need all bytes of the file.
func (b *Build) contentOf(o *Object, f *elf.File) string {
	if origin := b.Config.Origin(o.Path); origin != "" {
		return origin
	}
	if b.last != nil {
		if k := b.last.objects[o.Name]; k != nil && k.identity == o.Identity {
			return k.content
		}
	}
	return f.Fingerprint()
}

// contentAt names the content of the file at path, "" if nothing does.
func (b *Build) contentAt(path string) string {
	if origin := b.Config.Origin(path); origin != "" {
		return origin
	}
	if elf.CheckRegular(path) != nil {
		return ""
	}
	f, err := elf.OpenTables(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	return f.Fingerprint()
}

// same reports whether the file at path is what it was when it had this identity, the zero value if
// there was none, and this content, "" for an unknown one.
func (b *Build) same(path string, was elf.Identity, content string) bool {
	now := elf.IdentifyTarget(path)
	return now == was ||
		content != "" && now.Size == was.Size && content == b.contentAt(path)
}
