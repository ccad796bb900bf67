package elf

import (
	"crypto/sha256"
	stdelf "debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// BuildID returns the GNU build ID of the object in hexadecimal, "" if it has none.
func (f *File) BuildID() string {
	left := f.size // sections may share their bytes
	for i := range f.Sections {
		// The size comes first: sections that share their bytes take memory each.
		s := &f.Sections[i]
		if s.Type != uint32(stdelf.SHT_NOTE) || s.Size > left {
			continue
		}
		notes, err := f.Data(i)
		if err != nil || uint64(len(notes)) > left {
			continue
		}
		left -= uint64(len(notes))
		if id := noteBuildID(notes, f.u32); id != "" {
			return id
		}
	}
	return ""
}

// smallFile is the size in bytes up to which Fingerprint reads a whole file.
const smallFile = 4 << 20

// Fingerprint names the content of an opened file by what costs little to read: a digest of its
// build ID, its size and time of change, its ELF header and its section headers. The build ID is a
// digest of the linked content. Of a small file without one it is a digest of all bytes, of
// another it is "".
func (f *File) Fingerprint() string {
	if f.source == nil {
		return ""
	}
	id, file := f.BuildID(), f.source.identity
	h := sha256.New()
	switch {
	case id != "":
		fmt.Fprintf(h, "%s %d %d ", id, file.Size, file.Mtime)
		h.Write(f.header)
		h.Write(f.headers)
	case file.Size <= smallFile:
		whole := make([]byte, file.Size)
		if ReadAt(f.source.fd, whole, 0) != nil {
			return ""
		}
		h.Write(whole)
	default:
		return ""
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// RunningBuildID returns the build ID of the running kernel, given the content of
// /sys/kernel/notes; "" if it has none.
func RunningBuildID(notes []byte) string { return noteBuildID(notes, binary.NativeEndian.Uint32) }

// noteBuildID finds NT_GNU_BUILD_ID among notes. A note is three words (name size, description
// size, type), the name and the description, both padded to four bytes (gABI "Note Section").
func noteBuildID(notes []byte, u32 func([]byte) uint32) string {
	const header, buildID = 12, 3
	padded := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(notes) >= header {
		nameSize, descSize, kind := u32(notes), u32(notes[4:]), u32(notes[8:])
		desc := header + padded(nameSize)
		if desc+uint64(descSize) > uint64(len(notes)) {
			return ""
		}
		if kind == buildID && string(notes[header:header+uint64(nameSize)]) == "GNU\x00" {
			return hex.EncodeToString(notes[desc : desc+uint64(descSize)])
		}
		notes = notes[min(desc+padded(descSize), uint64(len(notes))):]
	}
	return ""
}

// Modinfo returns the value of a key ("vermagic") in the .modinfo section, "" if it is not there.
func (f *File) Modinfo(key string) string {
	data, err := f.Data(f.Section(".modinfo"))
	if err != nil {
		return ""
	}
	for at := uint64(0); at < uint64(len(data)); {
		entry, ok := cstring(data, at)
		if !ok {
			return ""
		}
		if len(entry) > len(key) && entry[len(key)] == '=' && string(entry[:len(key)]) == key {
			return string(entry[len(key)+1:])
		}
		at += uint64(len(entry)) + 1
	}
	return ""
}

// mostComments is how many bytes of .comment are read. Linkers write equal strings only once.
const mostComments = 1 << 20

// Comments returns the strings of the .comment section: the compilers and linkers of the object.
func (f *File) Comments() []string {
	data, err := f.Data(f.Section(".comment"))
	if err != nil {
		return nil
	}
	data = data[:min(len(data), mostComments)]
	var all []string
	for at := uint64(0); at < uint64(len(data)); {
		s, ok := cstring(data, at)
		if !ok {
			break
		}
		if len(s) > 0 {
			all = append(all, string(s))
		}
		at += uint64(len(s)) + 1
	}
	return all
}
