package early

import (
	"slices"
	"strings"
	"testing"
)

// What a hook may change is never passed on early, however it is spelled, and what a build calls
// most often is.
func TestPassed(t *testing.T) {
	for _, c := range []struct {
		call, env string
		want      bool
	}{
		{"nm -n vmlinux", "", false},
		{"nm -n .tmp_vmlinux.kallsyms1", "", false},
		{"nm --numeric-sort ./vmlinux.unstripped", "", false},
		{"nm -n vmlinux", "KAS=0", true},
		{"nm -n vmlinux", "KAS=1", false},
		{"nm vmlinux drivers/a.o", "", true},
		{"nm", "", true},
		{"ld -r -o a.ko a.o a.mod.o", "", false},
		{"ld -r -oa.ko a.o", "", false},
		{"ld -r --output=a.ko a.o", "", false},
		{"ld -dro a.ko a.o", "", false},
		{"ld @link.rsp", "", false},
		{"ld -o .tmp_vmlinux1 --strip-debug", "", false},
		{"ld --output=./.tmp_vmlinux.kallsyms1 -S", "", false},
		{"ld -r -o a.ko a.o", "KAS=0", true},
		{"ld -r -o drivers/a.o drivers/b.o", "", true},
		{"ld -o vmlinux vmlinux.o", "", true},
		{"ld -v", "", true},
		{"ld", "", true},
		{"ld -v", "NM=kas nm,CC_FLAGS_LTO=-flto", false},
		{"ld -v", "NM=kas nm,CC_FLAGS_LTO=-flto,KAS=0", false},
		{"ld -v", "NM=kas nm,CC_FLAGS_LTO=-flto,KBUILD_EXTMOD=m", true},
		{"ld -v", "NM=kas nm", true},
		{"ld -v", "NM=kas-nm,CC_FLAGS_LTO=-flto", true},
		{"ld -v", "NM=llvm-nm --no-sort,CC_FLAGS_LTO=-flto", true},
	} {
		getenv := func(key string) string {
			for pair := range strings.SplitSeq(c.env, ",") {
				if value, ok := strings.CutPrefix(pair, key+"="); ok {
					return value
				}
			}
			return ""
		}
		call := strings.Fields(c.call)
		if have := Passed(call[0], call[1:], getenv); have != c.want {
			t.Errorf("%s with %q: %t, want %t", c.call, c.env, have, c.want)
		}
	}
}

func TestCalled(t *testing.T) {
	for _, c := range []struct{ argv, want string }{
		{"kas nm -n x", "nm -n x"},
		{"/usr/bin/kas ld", "ld"},
		{"kas-nm -v", "nm -v"},
		{"bin/kas-ld nm", "ld nm"},
		{"kas run x", ""},
		{"kas", ""},
		{"kas-run nm", ""},
		{"other nm", ""},
		{"", ""},
	} {
		hook, args := called(strings.Fields(c.argv))
		if have := strings.TrimSpace(hook + " " + strings.Join(args, " ")); have != c.want {
			t.Errorf("%q: %q, want %q", c.argv, have, c.want)
		}
	}
}

// The parts of the command line are those of the kernel, and an empty argument is one.
func TestSplit(t *testing.T) {
	if have := split("kas\x00\x00a b\x00"); !slices.Equal(have, []string{"kas", "", "a b"}) {
		t.Errorf("%q", have)
	}
	for _, s := range []string{"", " a\tb \n c", "one", "  "} {
		if have, want := fields(s), strings.Fields(s); !slices.Equal(have, want) {
			t.Errorf("%q: %q, want %q", s, have, want)
		}
	}
}

// A hook's own options come first; later ones are the tool's.
func TestParse(t *testing.T) {
	for _, c := range []struct{ args, env, tool, registry, rest string }{
		{"-r a", "", "ld", "", "-r a"},
		{"--tool x -r", "", "x", "", "-r"},
		{"--tool=x --registry /r -r", "", "x", "/r", "-r"},
		{"--registry=/r --tool=x -r", "", "x", "/r", "-r"},
		{"-r --tool=x --registry=/r", "", "ld", "", "-r --tool=x --registry=/r"},
		{"--registry", "", "ld", "", "--registry"},
		{"-r", "LLVM=1", "ld.lld", "", "-r"},
		{"-r", "LLVM=0", "ld", "", "-r"},
		{"-r", "CROSS_COMPILE=arm-", "arm-ld", "", "-r"},
		{"--tool= -r", "", "", "", "-r"},
	} {
		key, value, _ := strings.Cut(c.env, "=")
		call := Parse(strings.Fields(c.args))
		tool := call.Tool("ld", func(k string) string {
			if k == key {
				return value
			}
			return ""
		})
		if strings.Join(tool, " ") != c.tool || call.Registry != c.registry ||
			strings.Join(call.Args, " ") != c.rest {
			t.Errorf("%s: %q, registry %q, %q", c.args, tool, call.Registry, call.Args)
		}
	}
}
