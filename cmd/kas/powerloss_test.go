package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"kas/demo"
	"kas/need"
)

// The test of power failures runs on a file system of its own and cuts it off from its disk. What
// was not on disk by then is lost. `make crash` sets these variables.
const (
	crashesVariable = "KAS_CRASHES"      // how often
	configVariable  = "KAS_CRASH_CONFIG" // of what kernels; the default is the demo
	configSizeMB    = "KAS_CRASH_MB"     // size of the file system
)

// disk is a file system in a file.
type disk struct {
	t          *testing.T
	image, dir string
	mounted    bool
}

// newDisk mounts one, which only root can do.
func newDisk(t *testing.T) *disk {
	t.Helper()
	mkfs := need.Tool(t, "mkfs.ext4")
	if os.Getuid() != 0 {
		need.Missing(t, "root, who mounts a file system,")
	}
	size, err := strconv.Atoi(os.Getenv(configSizeMB))
	if err != nil {
		size = 100
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(int64(size) << 20)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", d.image).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(d.unmount)
	// The journal is written every second, so that names and sizes get to the disk early.
	out, err := exec.Command("mount", "-o", "loop,commit=1", d.image, d.dir).CombinedOutput()
	if err != nil {
		need.Missing(t, "a loop device to mount ("+strings.TrimSpace(string(out))+")")
	}
	d.mounted = true
	return d
}

func (d *disk) unmount() {
	if d.mounted {
		if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
			d.t.Errorf("%v\n%s", err, out)
		}
	}
	d.mounted = false
}

// cut makes the file system lose everything that is not on disk (EXT4_IOC_SHUTDOWN without a flush
// of the journal). restart mounts what is left.
func (d *disk) cut() {
	d.t.Helper()
	const shutdown, noFlush = 0x8004587d, 2
	dir, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer dir.Close()
	flags := uint32(noFlush)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), shutdown,
		uintptr(unsafe.Pointer(&flags)))
	if errno != 0 {
		need.Missing(d.t, "the ioctl that cuts ext4 off ("+errno.Error()+")")
	}
}

func (d *disk) restart() {
	d.t.Helper()
	d.unmount()
	out, err := exec.Command("mount", "-o", "loop,commit=1", d.image, d.dir).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	d.mounted = true
}

// content returns what is below a folder, by name. It leaves out temporary files.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil
	}
	list, err := treeOf(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, line := range list {
		name, rest, _ := strings.Cut(line, " ")
		if base := filepath.Base(name); base[0] != '.' || !strings.HasSuffix(base, ".tmp") {
			all[name] = rest
		}
	}
	return all
}

// crash is a kind of power failure.
type crash struct {
	second bool // in a run over the output of another configuration
	after  bool // after the run has ended
}

// TestPowerLoss: after a power failure every file with a final name is whole, a folder with
// stats.json has all files of its run, and the next run takes nothing for done that is not.
func TestPowerLoss(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(crashesVariable))
	if err != nil {
		n = 2
	}
	in := t.TempDir()
	config := os.Getenv(configVariable)
	if config == "" {
		if err := os.CopyFS(in, demo.FS); err != nil {
			t.Fatal(err)
		}
		config = filepath.Join(in, demo.ConfigFile)
	}
	text := readFile(t, config)
	other := filepath.Join(filepath.Dir(config), "crash-other.yaml")
	if err := os.WriteFile(other, append(text, "\nalias: {line: none}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(other) })
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // on a disk that survives
	for i := range n {
		kind := crash{second: i%4 >= 2, after: i%2 == 0}
		t.Run(fmt.Sprint(i), func(t *testing.T) { powerLoss(t, kind, config, other) })
	}
}

func powerLoss(t *testing.T, kind crash, config, other string) {
	d := newDisk(t)
	out := filepath.Join(d.dir, "out")
	run := func(config string, flags ...string) *exec.Cmd {
		c := kasCommand(t, d.dir, append([]string{"run", config, "--out", out}, flags...)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	finish := func(c *exec.Cmd) {
		t.Helper()
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Now()
	finish(run(config, "--fresh"))
	took := time.Since(started)
	want := content(t, out)
	var before map[string]string
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	if kind.second {
		finish(run(other, "--fresh"))
		before = content(t, out)
	}
	syscall.Sync()

	c := run(config)
	moment := rand.N(took * 5 / 4)
	if kind.after {
		moment = time.Second + rand.N(2*time.Second)
		finish(c)
	}
	time.Sleep(moment)
	d.cut()
	c.Process.Kill()
	c.Wait()
	d.restart()

	got := content(t, out)
	damaged := checkCrashed(t, got, want, before, kind.after)
	finish(run(config))
	accepted := 0
	now := content(t, out)
	for name := range want {
		if now[name] != want[name] {
			accepted++
			t.Errorf("%s: the next run leaves %q, want %q", name, now[name], want[name])
		}
	}
	verify := kasCommand(t, d.dir, "verify", out)
	if text, err := verify.CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, text)
	}
	t.Logf("run over another: %t; cut %.2f s after its %s: %d of %d files, %d not whole, "+
		"%d accepted by the next run", kind.second, moment.Seconds(),
		map[bool]string{true: "end", false: "begin"}[kind.after], len(got), len(want), damaged,
		accepted)
}

// checkCrashed compares what is left with the outputs of the run, and with those of the run before.
// It returns the number of files that are neither.
func checkCrashed(t *testing.T, got, want, before map[string]string, ended bool) (damaged int) {
	t.Helper()
	for name, text := range got {
		if text != want[name] && text != before[name] && filepath.Base(name) != "kas.files" {
			damaged++
			t.Errorf("%s is %q, want %q", name, text, want[name])
		}
	}
	if ended && got["stats.json"] != want["stats.json"] {
		t.Error("the run had ended, but stats.json is not there")
	}
	if _, finished := got["stats.json"]; !finished {
		return damaged
	}
	same := func(a map[string]string) bool {
		for name, text := range a {
			if got[name] != text && !strings.HasSuffix(name, "kas.files") {
				return false
			}
		}
		return a != nil
	}
	if !same(want) && !same(before) {
		t.Error("stats.json is there, but not the output of its run")
	}
	return damaged
}
