package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kas/elf"
	"kas/need"
)

// stock is a kernel as a distribution ships it, below sysroot/ as an installed and running one: its
// modules are stripped. dbg/ has the package of its debugging information, whose files are whole.
type stock struct {
	t   *testing.T
	dir string
	*twoFiles
}

const stockRelease = "6.12.0"

func newStock(t *testing.T) *stock {
	need.Tools(t, "dpkg-deb")
	k := &stock{t, "", newTwoFiles(t)}
	k.dir = k.twoFiles.dir
	modules := "sysroot/lib/modules/" + stockRelease
	whole := "tree/usr/lib/debug/lib/modules/" + stockRelease
	for _, dir := range []string{
		"tree/usr/lib/debug/boot", "tree/DEBIAN", "dbg", "sysroot/proc/sys/kernel",
		"sysroot/sys/kernel", "sysroot/sys/module", "sysroot/lib",
	} {
		k.must(os.MkdirAll(k.path(dir), 0o755))
	}
	id := k.path("id")
	const note = "\x04\x00\x00\x00\x14\x00\x00\x00\x03\x00\x00\x00GNU\x00abcdefghijklmnopqrst"
	k.must(os.WriteFile(id, []byte(note), 0o644))
	k.sh("cd full; "+
		"objcopy --add-section .note.gnu.build-id=../id "+
		"--set-section-flags .note.gnu.build-id=alloc,readonly vmlinux 2>/dev/null; "+
		"cp vmlinux ../tree/usr/lib/debug/boot/vmlinux-"+stockRelease+"; "+
		"mkdir -p ../"+whole+" ../"+modules+"; cp -r modules/* ../"+whole+"; "+
		"cp -r modules/* ../"+modules+"; cp ../id ../sysroot/sys/kernel/notes; "+
		"find ../"+modules+" -name '*.ko' -exec strip --strip-debug {} +", "vmlinux", "")
	k.must(os.WriteFile(k.path("tree/DEBIAN/control"), []byte("Package: linux-image-dbg\n"+
		"Version: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: none\n"),
		0o644))
	k.must(os.WriteFile(k.path("sysroot/proc/sys/kernel/osrelease"),
		[]byte(stockRelease+"\n"), 0o644))
	k.sh("dpkg-deb -Zgzip --root-owner-group -b tree dbg/linux-image-dbg.deb", "vmlinux", "")
	return k
}

func (k *stock) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// registry runs kas registry in a folder of its own, and returns the registry.
func (k *stock) registry(code int, env []string, args ...string) (file, out string) {
	k.t.Helper()
	cache := k.t.TempDir()
	args = append([]string{"registry", "-o", filepath.Join(cache, "symbols.kas")}, args...)
	c := kasCommand(k.t, k.dir, args...)
	c.Env = append(c.Env, env...)
	text, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != code {
		k.t.Errorf("%v, want exit code %d\n%s", err, code, text)
	}
	data, _ := os.ReadFile(filepath.Join(cache, "symbols.kas"))
	return string(data), string(text)
}

// wanted returns the registry that the whole files give.
func (k *stock) wanted() string {
	k.t.Helper()
	want, out := k.registry(0, nil, "tree")
	if strings.Count(want, "name_show@") < 5 {
		k.t.Fatalf("%s\n%s", out, want)
	}
	return want
}

// load makes modules loaded that have a build ID, and returns the IDs by their names.
func (k *stock) load() map[string]string {
	ids := map[string]string{}
	all := k.path("full/modules")
	err := filepath.WalkDir(all, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := elf.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		dir := k.path("sysroot/sys/module/" + f.ModuleName() + "/notes")
		ids[f.ModuleName()] = f.BuildID()
		k.must(os.MkdirAll(dir, 0o755))
		return exec.Command("objcopy", "--dump-section",
			".note.gnu.build-id="+dir+"/.note.gnu.build-id", path, "/dev/null").Run()
	})
	k.must(err)
	return ids
}

// requests of debuginfod's log.
var requests = regexp.MustCompile(`GET /buildid/([0-9a-f]+)/(\w+) (\d+)`)

// TestRegistryDebuginfod makes the registry of a running kernel from elfutils' own server, which
// serves the debug package: only the modules that own a duplicate are fetched.
func TestRegistryDebuginfod(t *testing.T) {
	need.Tools(t, "debuginfod", "bsdtar")
	k := newStock(t)
	want := k.wanted()
	port := freePort(t)
	var log bytes.Buffer
	server := exec.Command("debuginfod", "-v", "-U", "-d", ":memory:", "-p", port, "-t", "0",
		"--fdcache-mintmp=0", k.path("dbg"))
	server.Stdout, server.Stderr = &log, &log
	k.must(server.Start())
	stop := func() {
		server.Process.Kill()
		server.Wait()
	}
	defer stop()
	url := "http://127.0.0.1:" + port
	// It answers before it has read all of the package.
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if r, err := http.Get(url + "/metrics"); err == nil {
			text, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err == nil && strings.Contains(string(text), `thread_work_total{role="scan"}`) {
				break
			}
		}
		if time.Since(began) > time.Minute {
			stop()
			t.Fatalf("debuginfod has not read the package\n%s", &log)
		}
	}
	env := []string{"DEBUGINFOD_URLS=" + url, "DEBUGINFOD_CACHE_PATH=" + k.path("cache"),
		"DEBUGINFOD_PROGRESS=1"}
	got, out := k.registry(0, env, "--sysroot", "sysroot")
	if got != want {
		t.Errorf("another registry than that of the package\n%s", out)
	}
	// A second run asks for nothing.
	if got, out := k.registry(0, env, "--sysroot", "sysroot"); got != want ||
		strings.Contains(out, "fetched") {
		t.Errorf("the second run:\n%s", out)
	}
	stop()
	fetched := fetchedBy(log.String())
	if n := strings.Count(out, "kas: fetched http://"); n != len(fetched) {
		t.Errorf("%d lines about %d files\n%s\n%s", n, len(fetched), out, &log)
	}
	if unwanted := k.unaliased(want); slices.ContainsFunc(fetched, func(id string) bool {
		return slices.Contains(unwanted, id)
	}) || len(unwanted) == 0 {
		t.Errorf("fetched %q, and %q own no duplicate", fetched, unwanted)
	}
}

// fetchedBy returns the build IDs of the debug files that a log of debuginfod names.
func fetchedBy(log string) (ids []string) {
	for _, m := range requests.FindAllStringSubmatch(log, -1) {
		if m[3] == "200" {
			ids = append(ids, m[1])
		}
	}
	return ids
}

// unaliased returns the build IDs of the modules of which no symbol has an alias.
func (k *stock) unaliased(registry string) (ids []string) {
	for line := range strings.Lines(registry) {
		column := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if column[0] != "#module" {
			continue
		}
		has := regexp.MustCompile(`(?m)^\S+\t` + regexp.QuoteMeta(column[1]) + `\t.*@`)
		if !has.MatchString(registry) {
			ids = append(ids, column[3])
		}
	}
	return ids
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// files is a server of what is in a stock kernel, by build ID. spoil may change what it sends.
func (k *stock) files(spoil func(w http.ResponseWriter, r *http.Request, path string) bool) string {
	byID := map[string]string{fmt.Sprintf("%x", "abcdefghijklmnopqrst"): k.path("full/vmlinux")}
	paths := map[string]string{}
	for _, name := range k.objects() {
		if name == "vmlinux" {
			continue
		}
		f, err := elf.Open(k.path("full/" + name))
		k.must(err)
		byID[f.BuildID()] = k.path("full/" + name)
		paths[f.BuildID()] = k.path("sysroot/lib/modules/" + stockRelease +
			strings.TrimPrefix(name, "modules"))
		f.Close()
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part := strings.Split(r.URL.Path, "/")
		path := byID[part[2]]
		if part[3] == "executable" {
			path = paths[part[2]]
		}
		if path == "" || !spoil(w, r, path) {
			http.ServeFile(w, r, path)
		}
	}))
	k.t.Cleanup(s.Close)
	return s.URL
}

// TestRegistryServers: what servers do wrong costs the objects that it is about, and one line.
func TestRegistryServers(t *testing.T) {
	k := newStock(t)
	want := k.wanted()
	lm75 := func(path string) bool { return strings.HasSuffix(path, "/lm75.ko") }
	for name, c := range map[string]struct {
		spoil func(w http.ResponseWriter, r *http.Request, path string) bool
		code  int
		says  string // once, "" for the whole registry
	}{
		"all is well": {
			func(http.ResponseWriter, *http.Request, string) bool { return false }, 0, "",
		},
		"absent": {func(w http.ResponseWriter, r *http.Request, path string) bool {
			if lm75(path) {
				http.NotFound(w, r)
			}
			return lm75(path)
		}, 1, `resolve: kernel/drivers/hwmon/lm75\.ko: no debug file: ` +
			`http://\S+/debuginfo: not found\n`},
		"another file": {func(w http.ResponseWriter, r *http.Request, path string) bool {
			if lm75(path) {
				http.ServeFile(w, r, strings.Replace(path, "lm75", "coretemp", 1))
			}
			return lm75(path)
		}, 1, `lm75\.ko: no debug file: http://\S+: what came is refused: ` +
			`it has build ID "[0-9a-f]{40}"\n`},
		"stripped": {func(w http.ResponseWriter, r *http.Request, path string) bool {
			if lm75(path) {
				http.ServeFile(w, r, k.path("sysroot/lib/modules/"+stockRelease+
					"/kernel/drivers/hwmon/lm75.ko"))
			}
			return lm75(path)
		}, 1, `lm75\.ko: no debug file: \S+: what came is refused: ` +
			`it has no debugging information\n`},
		"hangs": {func(_ http.ResponseWriter, r *http.Request, path string) bool {
			if strings.HasSuffix(path, ".ko") {
				<-r.Context().Done()
				return true
			}
			return false
		}, 1, `no debug file: \S+: less than 100 KiB in 1s: the server hangs ` +
			`\(DEBUGINFOD_TIMEOUT sets the time\) \(the same for \d+ more objects ` +
			`of the build\)\n`,
		},
		"vmlinux is absent": {func(w http.ResponseWriter, r *http.Request, path string) bool {
			if strings.HasSuffix(path, "vmlinux") {
				http.NotFound(w, r)
				return true
			}
			return false
		}, 1, `^kas: no vmlinux of the running kernel, 6\.12\.0: ` +
			`http://\S+/debuginfo: not found\n$`},
	} {
		t.Run(name, func(t *testing.T) {
			k := &stock{t, k.dir, &twoFiles{t: t, dir: k.dir}}
			cache := t.TempDir()
			got, out := k.registry(c.code, []string{"DEBUGINFOD_URLS=" + k.files(c.spoil),
				"DEBUGINFOD_CACHE_PATH=" + cache, "DEBUGINFOD_TIMEOUT=1"}, "--sysroot", "sysroot")
			if c.says == "" {
				if got != want {
					t.Errorf("another registry\n%s", out)
				}
				return
			}
			if n := len(regexp.MustCompile(c.says).FindAllString(out, -1)); n != 1 ||
				strings.Count(out, "no debug file") > 1 {
				t.Errorf("%d times %q in\n%s", n, c.says, out)
			}
			if got == want {
				t.Error("the whole registry")
			}
			k.must(filepath.WalkDir(cache, func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				if f, err := elf.Open(path); err == nil {
					defer f.Close()
					if !f.HasDebug() || f.BuildID() != filepath.Base(filepath.Dir(path)) {
						t.Errorf("kept %s", path)
					}
				}
				return nil
			}))
		})
	}
}

// TestRegistryOnlyDebug: debuginfo of vmlinux may have no bytes of its sections, and so neither its
// release nor what kind of data a section has. Everything else is the same.
func TestRegistryOnlyDebug(t *testing.T) {
	k := newStock(t)
	k.sh("objcopy --only-keep-debug full/vmlinux only", "vmlinux", "")
	server := k.files(func(w http.ResponseWriter, r *http.Request, path string) bool {
		if strings.HasSuffix(path, "vmlinux") {
			http.ServeFile(w, r, k.path("only"))
		}
		return strings.HasSuffix(path, "vmlinux")
	})
	got, out := k.registry(0, []string{"DEBUGINFOD_URLS=" + server,
		"DEBUGINFOD_CACHE_PATH=" + k.path("cache")}, "--sysroot", "sysroot")
	known := regexp.MustCompile(`(?m)^#(digest|parts).*\n|[bBdDrR](\t\d+\t\d+\t)`)
	plain := func(registry string) string { return known.ReplaceAllString(registry, "$2") }
	if d := cmp.Diff(plain(k.wanted()), plain(got)); d != "" {
		t.Errorf("(-whole +only):\n%s\n%s", d, out)
	}
}

// TestRegistryContainer: where no modules are installed, those that are loaded are fetched, with
// the debug files of those that own a duplicate.
func TestRegistryContainer(t *testing.T) {
	k := newStock(t)
	want := k.wanted()
	ids := k.load()
	k.must(os.Rename(k.path("sysroot/lib/modules"), k.path("modules")))
	k.must(os.MkdirAll(k.path("sysroot/lib/modules/"+stockRelease), 0o755))
	sent := map[string]int{}
	server := k.files(func(w http.ResponseWriter, r *http.Request, path string) bool {
		sent[filepath.Base(r.URL.Path)]++
		if filepath.Base(r.URL.Path) == "executable" {
			http.ServeFile(w, r, strings.Replace(path, "sysroot/lib/", "", 1))
			return true
		}
		return false
	})
	env := []string{"DEBUGINFOD_URLS=" + server, "DEBUGINFOD_CACHE_PATH=" + k.path("cache")}
	got, out := k.registry(0, env, "-j", "1", "--sysroot", "sysroot")
	// The files have the kernel's names and no folders; everything else is the same.
	symbols := func(registry string) (names []string) {
		for line := range strings.Lines(registry) {
			if column := strings.Split(line, "\t"); line[0] != '#' {
				column[1] = strings.ReplaceAll(filepath.Base(column[1]), "-", "_")
				names = append(names, strings.Join(column, "\t"))
			}
		}
		slices.Sort(names)
		return names
	}
	if d := cmp.Diff(symbols(want), symbols(got)); d != "" {
		t.Errorf("(-installed +loaded):\n%s\n%s", d, out)
	}
	count := fmt.Sprintf("is not here: only the %d loaded modules count\n", len(ids))
	if !strings.Contains(out, count) {
		t.Error(out)
	}
	if sent["executable"] != len(ids) || sent["debuginfo"] != 1+len(ids)-len(k.unaliased(got)) {
		t.Errorf("sent %v of %d modules", sent, len(ids))
	}
	// Without vmlinux's debug file the modules are of no use; without a server the registry is
	// incomplete, and says so.
	k.must(os.MkdirAll(k.path("sysroot/usr/lib/debug/boot"), 0o755))
	k.must(os.Rename(k.path("full/vmlinux"),
		k.path("sysroot/usr/lib/debug/boot/vmlinux-"+stockRelease)))
	got, out = k.registry(0, nil, "--sysroot", "sysroot")
	lacks := fmt.Sprintf("kas: the registry lacks %d of %[1]d loaded modules, which are not in "+
		"/lib/modules/%s: DEBUGINFOD_URLS is not set\n", len(ids), stockRelease)
	incomplete := fmt.Sprintf("#incomplete\t%d: ", len(ids))
	if !strings.Contains(out, lacks) || !strings.Contains(got, incomplete) {
		t.Errorf("no %q\n%s", lacks, out)
	}
}

// TestRegistryPackage: packages give the registry of what is in them, whatever way.
func TestRegistryPackage(t *testing.T) {
	k := newStock(t)
	want := k.wanted()
	image := "image/lib/modules/" + stockRelease
	k.sh("mkdir -p image/DEBIAN $(dirname "+image+") && cp tree/DEBIAN/control image/DEBIAN && "+
		"cp -r sysroot/lib/modules/"+stockRelease+" "+image+" && dpkg-deb -Zgzip --root-owner-group -b "+
		"image dbg/linux-image.deb", "vmlinux", "")
	for _, args := range [][]string{
		{"dbg/linux-image-dbg.deb"}, {"dbg/linux-image-dbg.deb", "dbg/linux-image.deb"},
		{"dbg/linux-image.deb", "tree"},
	} {
		if got, out := k.registry(0, nil, args...); got != want {
			t.Errorf("%s: another registry\n%s", args, out)
		}
	}
	if _, out := k.registry(2, nil, "dbg/linux-image.deb"); !strings.Contains(out, "no vmlinux") {
		t.Error(out)
	}
}
