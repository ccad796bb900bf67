package kbuild

import (
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// jobs returns how many workers a call may have; release must be called when they are done. Without
// make that is the number of cores, and below a make without a jobserver it is 1. With a jobserver
// it is 1, which every recipe has, and one more for each token that is free now (GNU make manual,
// "Sharing Job Slots with GNU make"). release returns the tokens.
func jobs(makeflags string) (n int, release func()) {
	cores := runtime.GOMAXPROCS(0)
	if makeflags == "" {
		return cores, func() {}
	}
	get, put := jobserver(makeflags)
	if get == "" {
		return 1, func() {}
	}
	in, err := syscall.Open(get, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 1, func() {} // without `+` in the recipe, make does not pass the jobserver on
	}
	defer syscall.Close(in)
	out, err := os.OpenFile(put, os.O_WRONLY, 0)
	if err != nil {
		return 1, func() {}
	}
	// Without `+`, the descriptors may be those of any files.
	if info, err := out.Stat(); err != nil || info.Mode().Type() != fs.ModeNamedPipe ||
		!isPipe(in) {
		out.Close()
		return 1, func() {}
	}
	tokens := make([]byte, max(cores-1, 0))
	got, err := syscall.Read(in, tokens)
	if err != nil || got < 0 {
		got = 0
	}
	tokens = tokens[:got]
	return 1 + got, func() {
		out.Write(tokens)
		out.Close()
	}
}

// jobserver returns the paths from which tokens are read and to which they are written, "" if
// MAKEFLAGS names none. The last one that it names counts.
func jobserver(makeflags string) (get, put string) {
	for _, word := range strings.Fields(makeflags) {
		auth, ok := strings.CutPrefix(word, "--jobserver-auth=")
		if !ok {
			auth, ok = strings.CutPrefix(word, "--jobserver-fds=")
		}
		if !ok {
			continue
		}
		if path, fifo := strings.CutPrefix(auth, "fifo:"); fifo {
			get, put = path, path
		} else if r, w, ok := strings.Cut(auth, ","); ok && !strings.HasPrefix(r, "-") {
			// The pipe is opened again: the inherited descriptor is shared with make, and must keep
			// blocking.
			get, put = "/proc/self/fd/"+r, "/proc/self/fd/"+w
		}
	}
	return get, put
}

func isPipe(fd int) bool {
	var st syscall.Stat_t
	return syscall.Fstat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFIFO
}
