package configs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// readFile reads a configuration or a list, which has at most limit bytes. A named pipe or a device
// is refused: it may have no end, or nobody at the other one.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &os.PathError{Op: "read", Path: path, Err: syscall.EISDIR}
	case !info.Mode().IsRegular():
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is no regular file")}
	}
	return readLimited(f, path, limit)
}

// readLimited reads what f has. path is for errors.
func readLimited(f io.Reader, path string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &os.PathError{Op: "read", Path: path,
			Err: fmt.Errorf("is larger than %d MB", limit>>20)}
	}
	return data, err
}

// Limits of configurations and lists. All modules of a kernel are some ten thousand, in half a
// megabyte.
const (
	maxConfig  = 8 << 20
	maxList    = 32 << 20
	maxModules = 100_000 // in a list
)
