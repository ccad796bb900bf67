package kbuild

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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
		call := parse(strings.Fields(c.args))
		tool := call.real("ld", getenv(c.env))
		if strings.Join(tool, " ") != c.tool || call.registry != c.registry ||
			strings.Join(call.args, " ") != c.rest {
			t.Errorf("%s: %q, registry %q, %q", c.args, tool, call.registry, call.args)
		}
	}
}

func TestTwoWords(t *testing.T) {
	for env, want := range map[string]bool{
		"NM=kas nm,CC_FLAGS_LTO=-flto":                 true,
		"NM=kas nm,CC_FLAGS_LTO=-flto,KBUILD_EXTMOD=m": false,
		"NM=kas nm":                               false,
		"NM=kas-nm,CC_FLAGS_LTO=-flto":            false,
		"NM=llvm-nm --no-sort,CC_FLAGS_LTO=-flto": false,
	} {
		if have := twoWords(getenv(env)); have != want {
			t.Errorf("%s: %t", env, have)
		}
	}
}

// getenv returns the environment that a text like A=1,B=2 describes.
func getenv(env string) func(string) string {
	return func(key string) string {
		for pair := range strings.SplitSeq(env, ",") {
			if value, ok := strings.CutPrefix(pair, key+"="); ok {
				return value
			}
		}
		return ""
	}
}

// hook.sh runs kas for every call that a hook may change, however it is spelled, and for all others
// the tool that kas would run.
func TestHookScript(t *testing.T) {
	script, err := os.ReadFile("hook.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const fake = "#!/bin/sh\nfor a; do t=\"$t [$a]\"; done\necho \"${0##*/}$t\"\n"
	for _, name := range []string{"nm", "ld", "arm-nm", "arm-ld", "llvm-nm", "ld.lld", "ld.lld-19",
		"llvm/ld.lld", "hooks/kas"} {
		write(name, fake)
	}
	for _, name := range []string{"hooks/kas-nm", "hooks/kas-ld", "alone/kas-ld"} {
		write(name, string(script))
	}
	run := func(program, env string, args ...string) string {
		cmd := exec.Command(filepath.Join(dir, program), args...)
		cmd.Env = append(strings.Split(env, ","), "PATH="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return strings.TrimSuffix(string(out), "\n")
	}
	for _, c := range []struct{ call, env, tool string }{
		{"nm -n vmlinux", "", "kas"},
		{"nm -n .tmp_vmlinux.kallsyms1", "", "kas"},
		{"nm --numeric-sort ./vmlinux.unstripped", "", "kas"},
		{"nm -n vmlinux", "KAS=1,LLVM=1", "kas"},
		{"nm -n vmlinux", "KAS=0", "nm"},
		{"nm vmlinux drivers/a.o", "", "nm"},
		{"nm", "", "nm"},
		{"nm -n a.o", "LLVM=1", "llvm-nm"},
		{"nm -n a.o", "CROSS_COMPILE=arm-", "arm-nm"},
		{"ld -r -o a.ko a.o a.mod.o", "", "kas"},
		{"ld -r -oa.ko a.o", "", "kas"},
		{"ld -r --output=a.ko a.o", "", "kas"},
		{"ld -dro a.ko a.o", "", "kas"},
		{"ld @link.rsp", "", "kas"},
		{"ld -o .tmp_vmlinux1 --strip-debug", "", "kas"},
		{"ld --output=./.tmp_vmlinux.kallsyms1 -S", "", "kas"},
		{"ld --tool=x -v", "", "kas"},
		{"ld --tool x -v", "KAS=0", "kas"},
		{"ld --registry /r -r -o a.ko a.o", "", "kas"},
		{"ld -r -o a.ko a.o", "KAS=0", "ld"},
		{"ld -r -o drivers/a.o drivers/b.o", "", "ld"},
		{"ld -r -o a.o b.o --tool=x", "", "ld"},
		{"ld -o vmlinux vmlinux.o", "", "ld"},
		{"ld -v", "LLVM=1", "ld.lld"},
		{"ld -v", "LLVM=0,CROSS_COMPILE=arm-", "arm-ld"},
		{"ld -v", "LLVM=-19", "ld.lld-19"},
		{"ld -v", "LLVM=" + dir + "/llvm/", "ld.lld"},
		{"ld", "", "ld"},
	} {
		args := strings.Fields(c.call)
		hook, args := args[0], args[1:]
		want := c.tool
		if want == "kas" {
			want += " [" + hook + "]"
		} else if real := (&call{}).real(hook, getenv(c.env)); filepath.Base(real[0]) != want {
			t.Errorf("%s with %q: kas runs %q", c.call, c.env, real)
		}
		for _, a := range args {
			want += " [" + a + "]"
		}
		if have := run("hooks/kas-"+hook, c.env, args...); have != want {
			t.Errorf("%s with %q: %s, want %s", c.call, c.env, have, want)
		}
		l, _ := parseLink(args)
		changes := hook == "nm" && listed(args) != "" || hook == "ld" && passOf(l.out) > 0 ||
			strings.HasSuffix(l.out, ".ko")
		if changes && c.env != "KAS=0" && c.tool != "kas" {
			t.Errorf("%s with %q: kas would change it", c.call, c.env)
		}
	}
	if have := run("hooks/kas-ld", "", "-r", "a b", "", "*"); have != "ld [-r] [a b] [] [*]" {
		t.Errorf("words with blanks: %s", have)
	}
	write("kas", fake) // where kas is not beside the hook, it is on the path
	if have := run("alone/kas-ld", "", "-o", "a.ko"); have != "kas [ld] [-o] [a.ko]" {
		t.Errorf("kas on the path: %s", have)
	}
	none := run("hooks/kas-ld", "CROSS_COMPILE=no-", "-v")
	if !strings.HasPrefix(none, "exit status 127: ") ||
		!strings.Contains(none, "no-ld: not found") || strings.Contains(none, "\n\n") {
		t.Errorf("no tool: %s", none)
	}
}
