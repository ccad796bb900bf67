package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	root := sysroot(t, listing(lab(), true, true, nil))
	events := filepath.Join(root, "sys/kernel/tracing/kprobe_events")
	path, err := Write(root, "p:kas/a b")
	if err != nil || path != events {
		t.Fatal(path, err)
	}
	if got, _ := os.ReadFile(events); string(got) != "p:old/one two\np:kas/a b\n" {
		t.Errorf("%q", got)
	}

	// /dev/full refuses the definition, and error_log has the reasons.
	if err := os.Remove(events); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", events); err != nil {
		t.Fatal(err)
	}
	const log = `[    1.000000] trace_kprobe: error: Older reason
  Command: p:kas/a b
             ^
[    2.000000] trace_kprobe: error: The symbol is not unique
  Command: p:kas/a b
             ^
[    3.000000] trace_kprobe: error: Another command's
  Command: p:x/y z
             ^
`
	write(t, filepath.Join(filepath.Dir(events), "error_log"), log)
	for definition, want := range map[string]string{
		"p:kas/a b":      "The symbol is not unique (no space left on device)",
		"p:kas/absent b": "no space left on device",
	} {
		want = fmt.Sprintf("%s refuses %q: %s", events, definition, want)
		if _, err := Write(root, definition); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	_, err = Write(t.TempDir(), "p:kas/a b")
	if err == nil || !strings.HasPrefix(err.Error(), "no kprobe_events: mount tracefs") {
		t.Error(err)
	}

	// Kernels before 4.1 have tracefs only in debugfs.
	old := t.TempDir()
	events = filepath.Join(old, "sys/kernel/debug/tracing/kprobe_events")
	write(t, events, "")
	if path, err := Write(old, "p:kas/a b"); err != nil || path != events {
		t.Error(path, err)
	}
}
