package elf

import (
	"bytes"
	"encoding/hex"
	"hash/crc32"
)

// HasDebug reports whether the object has debugging information of its own.
func (f *File) HasDebug() bool {
	i := f.DebugSection(".debug_info")
	return i > 0 && !f.Sections[i].NoBits() && f.Sections[i].Size > 0
}

// DebugLink returns the name of the file that has the debugging information of a stripped object,
// and the CRC-32 of that file, from .gnu_debuglink: a string, padding to four bytes, and a word
// (GDB manual, "Debugging Information in Separate Files"). The name is "" if there is none.
func (f *File) DebugLink() (name string, crc uint32) {
	data, err := f.Data(f.Section(".gnu_debuglink"))
	if err != nil {
		return "", 0
	}
	text, ok := cstring(data, 0)
	at := (len(text) + 4) &^ 3
	if !ok || len(data) < at+4 {
		return "", 0
	}
	return string(text), f.u32(data[at:])
}

// AltLink returns the name and the build ID in hexadecimal of the file that several objects share
// debugging information in. dwz writes both to .gnu_debugaltlink, or with DWARF 5 to .debug_sup
// (DWARF 5, section 7.3.6). The name is "" if there is none.
func (f *File) AltLink() (name, buildID string) {
	if i := f.Section(".gnu_debugaltlink"); i > 0 {
		data, err := f.Data(i)
		if text, id, ok := bytes.Cut(data, []byte{0}); err == nil && ok {
			return string(text), hex.EncodeToString(id)
		}
		return "", ""
	}
	name, id, shared := f.debugSup()
	if shared {
		return "", ""
	}
	return name, id
}

// AltID returns the ID by which AltLink names this file: the checksum of its .debug_sup, else its
// build ID.
func (f *File) AltID() string {
	if _, id, shared := f.debugSup(); shared {
		return id
	}
	return f.BuildID()
}

// debugSup reads .debug_sup (DWARF 5, section 7.3.6): the version (two bytes), whether this is the
// shared file itself, its name, and the checksum after its length, a LEB128 number that is below
// 128 for a build ID. All results are zero if the section is missing or damaged.
func (f *File) debugSup() (name, id string, shared bool) {
	data, err := f.Data(f.Section(".debug_sup"))
	if err != nil || len(data) < 3 || data[2] > 1 {
		return "", "", false
	}
	text, rest, ok := bytes.Cut(data[3:], []byte{0})
	if !ok || len(rest) == 0 || len(rest)-1 < int(rest[0]) {
		return "", "", false
	}
	return string(text), hex.EncodeToString(rest[1:][:rest[0]]), data[2] == 1
}

// CRC returns the CRC-32 of the whole file as it is on disk, which .gnu_debuglink has.
func (f *File) CRC() (uint32, error) {
	if f.source == nil {
		return crc32.ChecksumIEEE(f.data), nil
	}
	size := uint64(f.source.identity.Size)
	buf := make([]byte, min(size, 1<<20))
	crc := uint32(0)
	for at := uint64(0); at < size; at += uint64(len(buf)) {
		buf = buf[:min(uint64(len(buf)), size-at)]
		if err := ReadAt(f.source.fd, buf, int64(at)); err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, crc32.IEEETable, buf)
	}
	return crc, nil
}

// Signed reports whether a signature of the kernel's build follows the object
// (scripts/sign-file.c). It covers every byte before it.
func (f *File) Signed() bool {
	const trailer = "~Module signature appended~\n"
	if f.size < uint64(len(trailer)) {
		return false
	}
	end, err := f.bytes(f.size-uint64(len(trailer)), uint64(len(trailer)))
	return err == nil && string(end) == trailer
}
