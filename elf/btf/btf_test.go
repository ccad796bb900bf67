package btf

import (
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, name string, base *Types) *Types {
	t.Helper()
	types, err := Parse(fixture(t, name), base)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return types
}

// dumped returns the functions that bpftool printed. A name that is there twice has no ID.
func dumped(t testing.TB, name string) map[string]uint32 {
	t.Helper()
	line := regexp.MustCompile(`(?m)^\[(\d+)\] FUNC '([^']*)'`)
	all := map[string]uint32{}
	for _, m := range line.FindAllStringSubmatch(string(fixture(t, name)), -1) {
		id, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		if _, again := all[m[2]]; again {
			id = 0
		}
		all[m[2]] = uint32(id)
	}
	return all
}

// TestFunc compares with bpftool: little and big endian, whole and split.
func TestFunc(t *testing.T) {
	for _, arch := range []string{"x86_64", "s390x"} {
		base := parse(t, arch+"-base.btf", nil)
		module := parse(t, arch+"-module.btf", base)
		for name, types := range map[string]*Types{"base": base, "module": module} {
			want := dumped(t, arch+"-"+name+".txt")
			if d := cmp.Diff(want, types.funcs); d != "" || len(want) == 0 {
				t.Errorf("%s %s: %s", arch, name, d)
			}
			for f, id := range want {
				if got, ok := types.Func(f); got != id || !ok {
					t.Errorf("%s %s: %s is %d, want %d", arch, name, f, got, id)
				}
			}
		}
		// The module has this function, with the type that the base's has.
		if id, ok := module.Func("sum"); ok {
			t.Errorf("%s: sum of the module is %d", arch, id)
		}
	}
}

// TestFuncTwice: a name that two functions have stands for neither.
func TestFuncTwice(t *testing.T) {
	data := fixture(t, "x86_64-base.btf")
	at := strings.Index(string(data), "\x00half\x00")
	copy(data[at:], "\x00own1\x00")
	at = strings.Index(string(data), "\x00twin\x00")
	copy(data[at:], "\x00own1\x00")
	types, err := Parse(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := types.Func("own1"); ok {
		t.Errorf("own1 is %d", id)
	}
	if _, ok := types.Func("sum"); !ok {
		t.Error("sum is gone")
	}
}

// TestDamaged: BTF that is cut is an error, and so is split BTF on another base.
func TestDamaged(t *testing.T) {
	data := fixture(t, "x86_64-base.btf")
	for n := range data {
		if types, err := Parse(data[:n], nil); err == nil {
			t.Errorf("%d bytes: %v", n, types.funcs)
		}
	}
	module := fixture(t, "x86_64-module.btf")
	const typeLen, oneStruct = 12, typeSize + 2*12
	data[typeLen], data[typeLen+1] = oneStruct, 0
	other, err := Parse(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, base := range map[string]*Types{"none": nil, "other": other} {
		if types, err := Parse(module, base); err == nil {
			t.Errorf("%s: %v", name, types.funcs)
		}
	}
	for at, b := range map[int]byte{0: 1, 2: 2, 4: 4, 7: 1, 24 + 7: 31} {
		broken := fixture(t, "x86_64-base.btf")
		broken[at] = b
		if _, err := Parse(broken, nil); err == nil || !strings.Contains(err.Error(), "offset 0x") {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	base := fixture(f, "x86_64-base.btf")
	f.Add(base, fixture(f, "x86_64-module.btf"))
	f.Add(fixture(f, "s390x-base.btf"), fixture(f, "s390x-module.btf"))
	f.Fuzz(func(t *testing.T, data, split []byte) {
		types, err := Parse(data, nil)
		if err != nil {
			return
		}
		module, err := Parse(split, types)
		if err != nil {
			return
		}
		// IDs follow from the order, so those of the module come after those of the base.
		end := types.first + uint32(len(types.kinds))
		for name := range maps.Keys(module.funcs) {
			if id, ok := module.Func(name); ok && id < end {
				t.Errorf("%q is %d of %d", name, id, end)
			}
		}
	})
}
