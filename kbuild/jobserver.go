package kbuild

import (
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// jobs returns how many workers a call may have. Under a make with a jobserver that is the one which every recipe has,
// and one more for each token that is free now (GNU make manual, "Sharing Job Slots with GNU make"); release gives the
// tokens back. Under a make without one it is one, and as many as there are cores where there is no make.
func jobs(makeflags string) (n int, release func()) {
	cores := runtime.GOMAXPROCS(0)
	if makeflags == "" {
		return cores, func() {}
	}
	get, put := "", ""
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
			// Opened anew: the one that make handed down is shared with make, and must go on to block.
			get, put = "/proc/self/fd/"+r, "/proc/self/fd/"+w
		}
	}
	if get == "" {
		return 1, func() {}
	}
	in, err := syscall.Open(get, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 1, func() {} // make did not hand it down: the recipe has no `+`
	}
	defer syscall.Close(in)
	out, err := os.OpenFile(put, os.O_WRONLY, 0)
	if err != nil {
		return 1, func() {}
	}
	// Without the `+` the numbers may be those of any file.
	if info, err := out.Stat(); err != nil || info.Mode().Type() != fs.ModeNamedPipe || !isPipe(in) {
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

func isPipe(fd int) bool {
	var st syscall.Stat_t
	return syscall.Fstat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFIFO
}
