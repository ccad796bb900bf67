package elf

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Identity identifies one state of a file. It changes when the file is written or replaced.
type Identity struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64 // nanoseconds since 1970
}

// Identity returns the identity that the file had when it was opened, the zero value for New.
func (f *File) Identity() Identity {
	if f.source == nil {
		return Identity{}
	}
	return f.source.identity
}

// Identify returns the identity of the file or symbolic link at path, the zero value if there is
// none.
func Identify(path string) Identity { return identify(unix.Lstat, path) }

// IdentifyTarget is like Identify but follows symbolic links.
func IdentifyTarget(path string) Identity { return identify(unix.Stat, path) }

func identify(stat func(string, *unix.Stat_t) error, path string) Identity {
	var st unix.Stat_t
	if stat(path, &st) != nil {
		return Identity{}
	}
	return identityOf(&st)
}

func identityOf(st *unix.Stat_t) Identity {
	return Identity{
		Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size,
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
	}
}

// Settling is the time between the last change of a file and its reading that makes its identity
// reliable. A file that is changed twice within a clock tick keeps its times.
const Settling = 100 * time.Millisecond

// Settled reports whether the last change of the file was long enough before it was read.
func (id Identity) Settled(read time.Time) bool {
	return read.Sub(time.Unix(0, max(id.Mtime, id.Ctime))) > Settling
}

// Text appends the identity to b in the form that ParseIdentity reads, a word without blanks.
func (id Identity) Text(b []byte) []byte {
	numbers := [...]uint64{
		id.Dev, id.Ino, uint64(id.Size), uint64(id.Mtime), uint64(id.Ctime),
	}
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ':')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return b
}

func (id Identity) String() string { return string(id.Text(nil)) }

// ParseIdentity parses the result of String; false if s is something else.
func ParseIdentity(s string) (id Identity, ok bool) {
	var n [5]uint64
	for i := range n {
		word, rest, more := strings.Cut(s, ":")
		v, err := strconv.ParseUint(word, 10, 64)
		if err != nil || more != (i < len(n)-1) {
			return Identity{}, false
		}
		n[i], s = v, rest
	}
	return Identity{
		Dev: n[0], Ino: n[1], Size: int64(n[2]), Mtime: int64(n[3]), Ctime: int64(n[4]),
	}, true
}
