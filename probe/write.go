package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tracingDirs are where tracefs may be mounted.
var tracingDirs = []string{"sys/kernel/tracing", "sys/kernel/debug/tracing"}

// Write adds a definition to kprobe_events of the running kernel and returns the path of that file.
// root is the parent of sys. The error includes the reason that the kernel logged.
func Write(root, definition string) (string, error) {
	var file *os.File
	var err error
	for _, dir := range tracingDirs {
		events := filepath.Join(root, dir, "kprobe_events")
		file, err = os.OpenFile(events, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("no kprobe_events: mount tracefs " +
			"(mount -t tracefs tracefs /sys/kernel/tracing); the kernel needs CONFIG_KPROBE_EVENTS")
	}
	if err != nil {
		return "", err
	}
	path := file.Name()
	_, err = file.WriteString(definition + "\n")
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		return path, nil
	}
	if pe := new(fs.PathError); errors.As(err, &pe) {
		err = pe.Err
	}
	log := filepath.Join(filepath.Dir(path), "error_log")
	if reason := refusal(log, definition); reason != "" {
		return "", fmt.Errorf("%s refuses %q: %s (%w)", path, definition, reason, err)
	}
	return "", fmt.Errorf("%s refuses %q: %w", path, definition, err)
}

// refusal returns the last error that the kernel logged for a definition, "" if there is none.
func refusal(path, definition string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	for i := len(lines) - 1; i > 0; i-- {
		command, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "Command: ")
		if ok && command == definition {
			_, reason, _ := strings.Cut(lines[i-1], "error: ")
			return strings.TrimSpace(reason)
		}
	}
	return ""
}
