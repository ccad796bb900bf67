package main

import (
	"bytes"
	stdelf "debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"kas/demo"
	"kas/probe"
	"kas/registry"
)

// TestEveryAlias takes each alias that a run writes: lookup finds it, probe probes its address, and
// diff of the build with itself says that it is the same.
func TestEveryAlias(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, demo.FS); err != nil {
		t.Fatal(err)
	}
	kas(t, "run", filepath.Join(dir, "demo.yaml"))
	builds, err := filepath.Glob(filepath.Join(dir, "out", "*", registry.FileName))
	if err != nil || len(builds) != 5 {
		t.Fatal(builds, err)
	}
	for _, path := range builds {
		build := filepath.Base(filepath.Dir(path))
		t.Run(build, func(t *testing.T) {
			matrix := filepath.Join(dir, "matrix", build)
			probed := everyAlias(t, path, func(object string) []byte {
				if object == registry.Vmlinux {
					return readFile(t, filepath.Join(matrix, "vmlinux"))
				}
				file := filepath.Join(matrix, "modules", object)
				data := readFile(t, file)
				switch filepath.Ext(file) {
				case ".xz":
					return readAll[*xz.Reader](t)(xz.NewReader(bytes.NewReader(data), 0))
				case ".zst":
					return readAll[*zstd.Decoder](t)(zstd.NewReader(bytes.NewReader(data)))
				}
				return data
			})
			if probed < 50 {
				t.Errorf("%d aliases were probed", probed)
			}
		})
	}
}

// kas runs a command in this process, wants success, and returns what it printed.
func kas(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("kas %s: exit %d\n%s%s", strings.Join(args, " "), code, &stdout, &stderr)
	}
	return stdout.String()
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readAll[R io.Reader](t *testing.T) func(R, error) []byte {
	return func(r R, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}

// elfAddresses is a symbol table, read with the standard library. It has the addresses of each
// name: "SECTION+VALUE", or "VALUE" in vmlinux.
type elfAddresses map[string][]string

func readAddresses(t *testing.T, data []byte, vmlinux bool) elfAddresses {
	t.Helper()
	f, err := stdelf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	addresses := elfAddresses{}
	for _, s := range symbols {
		if int(s.Section) >= len(f.Sections) || s.Section == stdelf.SHN_UNDEF ||
			f.Sections[s.Section].Flags&stdelf.SHF_ALLOC == 0 {
			continue
		}
		address := f.Sections[s.Section].Name + "+" + strconv.FormatUint(s.Value, 16)
		if vmlinux {
			address = strconv.FormatUint(s.Value, 16)
		}
		addresses[s.Name] = append(addresses[s.Name], address)
	}
	return addresses
}

// everyAlias looks up, probes and compares all aliases of a registry. It returns how many can be
// probed without asking the running kernel.
func everyAlias(t *testing.T, path string, object func(string) []byte) (probed int) {
	t.Helper()
	all, err := (&finder{root: "/"}).open(t.Context(), []string{path}, registry.OpenForLookup)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.CloseAll(all)
	tables := map[string]elfAddresses{}
	table := func(name string) elfAddresses {
		if tables[name] == nil {
			tables[name] = readAddresses(t, object(name), name == registry.Vmlinux)
		}
		return tables[name]
	}
	var aliased []registry.Record
	for r := range all[0].Prefixed("") {
		if r.Alias != "" {
			aliased = append(aliased, r)
		}
	}
	seen := map[string]bool{}
	for _, r := range aliased {
		if seen[r.Alias] {
			t.Errorf("%s twice", r.Alias)
		}
		seen[r.Alias] = true
		found, err := all[0].Lookup(r.Alias)
		if err != nil || len(found) != 1 || found[0] != r {
			t.Errorf("lookup %s: %v %v", r.Alias, found, err)
			continue
		}
		if !r.Code() {
			continue
		}
		reg, chosen, err := probe.Choose(all, r.Alias, "", nil)
		if err != nil || chosen != r {
			t.Errorf("probe %s: %v %v", r.Alias, chosen, err)
			continue
		}
		target, err := probe.Find(reg, chosen, nil)
		if err != nil {
			// Some need the running kernel: they precede every uniquely named symbol of their
			// section.
			if !strings.Contains(err.Error(), "--live") &&
				!strings.Contains(err.Error(), "gone once the module is loaded") {
				t.Errorf("probe %s: %v", r.Alias, err)
			}
			continue
		}
		probed++
		if err := means(target.Where(), r, table); err != nil {
			t.Errorf("probe %s: %s: %v", r.Alias, target.Where(), err)
		}
	}
	// The comparison with itself lists the same aliases.
	list := strings.Split(strings.TrimSuffix(kas(t, "diff", path, path, "--list"), "\n"), "\n")
	for _, line := range list[1:] {
		if c := strings.Split(line, "\t"); c[0] != "same" || c[3] != c[4] || !seen[c[3]] {
			t.Errorf("diff with itself: %s", line)
		}
	}
	if len(list)-1 != len(aliased) {
		t.Errorf("diff with itself lists %d aliases of %d", len(list)-1, len(aliased))
	}
	return probed
}

// means resolves the target of a kprobe event as the kernel would, by the symbol tables, and wants
// the address of the record.
func means(where string, r registry.Record, table func(string) elfAddresses) error {
	object := registry.Vmlinux
	if module, rest, ok := strings.Cut(where, ":"); ok {
		if module != r.Module() {
			return errors.New("another module")
		}
		object, where = r.Object, rest
	}
	symbol, offset, ok := strings.Cut(where, "+")
	by := uint64(0)
	if ok {
		var err error
		if by, err = strconv.ParseUint(offset, 0, 64); err != nil {
			return err
		}
	}
	addresses := slices.Clone(table(object)[symbol])
	if len(addresses) != 1 {
		return fmt.Errorf("%s has %d addresses in %s", symbol, len(addresses), object)
	}
	section, value, ok := strings.Cut(addresses[0], "+")
	if !ok {
		section, value = r.Section, addresses[0]
	}
	at, err := strconv.ParseUint(value, 16, 64)
	if err != nil {
		return err
	}
	if object != r.Object || section != r.Section || at+by != r.Address {
		return fmt.Errorf("that is %s %s+%#x, not %s+%#x", object, section, at+by, r.Section,
			r.Address)
	}
	return nil
}
