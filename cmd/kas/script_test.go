package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kas/demo"
	"kas/pipeline"
)

// TestMain puts kas on the path: a link to the test binary, which runs the command under that name.
func TestMain(m *testing.M) {
	testscript.Main(ownCache{m}, map[string]func(){
		"kas": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// ownCache gives the tests a user cache of their own, since runs leave there what the next ones
// use.
type ownCache struct{ m *testing.M }

func (o ownCache) Run() int {
	cache, err := os.MkdirTemp("", "kas-test-cache-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(cache)
	os.Setenv("XDG_CACHE_HOME", cache)
	return o.m.Run()
}

var repeated = regexp.MustCompile(`(?m)^kas: \d+ problems?:\n(kas:   .*\n)*`)

// once returns what a run printed without the list that repeats its errors at the end.
func once(text string) string { return repeated.ReplaceAllString(text, "") }

// kasCommand returns the command to run as a process, in folder dir.
func kasCommand(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command("kas", args...)
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	c.Dir = dir
	c.Env = os.Environ() // in full, so that a test can add to it
	return c
}

// TestScript runs testdata/*.txtar, whose scripts use the commands of testscript and
// scriptCommands.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			return nil
		},
		Cmds:                scriptCommands,
		RequireExplicitExec: true, // else a line could run kas without the checks of `exits`
	})
}

type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

// command makes a script's command of f, which cannot be negated. usage names the arguments, with
// ... after one that may be repeated.
func command(usage string, f func(ts *testscript.TestScript, args []string) error) scriptCommand {
	want, more := len(strings.Fields(usage)), strings.Contains(usage, "...")
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < want || len(args) > want && !more {
			ts.Fatalf("usage, without !: %s", usage)
		}
		ts.Check(f(ts, args))
	}
}

// scriptCommands are the commands that scripts have besides those of testscript. A command that
// reads FILE or TEXT accepts stdout and stderr.
var scriptCommands = map[string]scriptCommand{
	// exits runs a program and wants exit code N.
	"exits": command("N PROGRAM...", exits),
	// absent wants that nothing has this name; `! exists` would accept a dangling link.
	"absent": command("FILE...", func(ts *testscript.TestScript, args []string) error {
		for _, a := range args {
			if _, err := os.Lstat(ts.MkAbs(a)); err == nil {
				return fmt.Errorf("%s exists", a)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}),
	"lines": command("TEXT N", func(ts *testscript.TestScript, args []string) error {
		if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
			return fmt.Errorf("%d lines in %s", n, args[0])
		}
		return nil
	}),
	"cptree": command("FROM TO", func(ts *testscript.TestScript, args []string) error {
		return os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0])))
	}),
	// edit replaces text that must exist; \n and \t mean what they do in Go.
	"edit": command("FILE OLD NEW", func(ts *testscript.TestScript, args []string) error {
		text, unescape := ts.ReadFile(args[0]), strings.NewReplacer(`\n`, "\n", `\t`, "\t")
		old := unescape.Replace(args[1])
		if !strings.Contains(text, old) {
			return fmt.Errorf("no %q in %s", old, args[0])
		}
		edited := strings.ReplaceAll(text, old, unescape.Replace(args[2]))
		return os.WriteFile(ts.MkAbs(args[0]), []byte(edited), 0o644)
	}),
	"unpack-demo": command("DIR", func(ts *testscript.TestScript, args []string) error {
		return os.CopyFS(ts.MkAbs(args[0]), demo.FS)
	}),
	// damage spoils a file; the function describes each KIND.
	"damage": command("FILE KIND...", damage),
	// tree lists what is below DIR: path, and hash of the content or target of the link.
	"tree": command("DIR TO", func(ts *testscript.TestScript, args []string) error {
		return writeTree(ts.MkAbs(args[0]), ts.MkAbs(args[1]), false)
	}),
	// times is tree with the modification time of each file.
	"times": command("DIR TO", func(ts *testscript.TestScript, args []string) error {
		return writeTree(ts.MkAbs(args[0]), ts.MkAbs(args[1]), true)
	}),
	// lock holds the lock of an output folder until the script ends.
	"lock": command("DIR", func(ts *testscript.TestScript, args []string) error {
		unlock, err := pipeline.Lock(ts.MkAbs(args[0]))
		if err == nil {
			ts.Defer(unlock)
		}
		return err
	}),
	// kas-to-ko copies each X.ko.kas to X.ko.
	"kas-to-ko": command("DIR TO", func(ts *testscript.TestScript, args []string) error {
		return kasToKo(ts.MkAbs(args[0]), ts.MkAbs(args[1]))
	}),
	// json wants TEXT to be one JSON value that has something at each path.
	"json": command("TEXT PATH...", func(ts *testscript.TestScript, args []string) error {
		return hasPaths(ts.ReadFile(args[0]), args[1:])
	}),
	// holds wants each line of LIST to be a line of TEXT.
	"holds": command("TEXT LIST", func(ts *testscript.TestScript, args []string) error {
		have := strings.Split(ts.ReadFile(args[0]), "\n")
		for _, want := range strings.Split(ts.ReadFile(args[1]), "\n") {
			if want != "" && !slices.Contains(have, want) {
				return fmt.Errorf("%s has no line %q", args[0], want)
			}
		}
		return nil
	}),
	// without copies FILE, except the rows of the objects.
	"without": command("FILE OBJECT... TO", func(ts *testscript.TestScript, args []string) error {
		objects, to := args[1:len(args)-1], args[len(args)-1]
		var kept strings.Builder
		for row := range strings.Lines(ts.ReadFile(args[0])) {
			of := func(object string) bool { return strings.Contains(row, "\t"+object+"\t") }
			if !slices.ContainsFunc(objects, of) {
				kept.WriteString(row)
			}
		}
		return os.WriteFile(ts.MkAbs(to), []byte(kept.String()), 0o644)
	}),
}

func exits(ts *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		code = exit.ExitCode()
	}
	if strings.ContainsRune(ts.ReadFile("stdout")+ts.ReadFile("stderr"), '\x1b') {
		return errors.New("escape sequences in output that is not a terminal")
	}
	if code != want {
		return fmt.Errorf("exit %d, want %d", code, want)
	}
	return nil
}

func hasPaths(text string, paths []string) error {
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return err
	}
	for _, path := range paths {
		at := value
		for key := range strings.SplitSeq(path, ".") {
			switch v := at.(type) {
			case map[string]any:
				at = v[key]
			case []any:
				i, err := strconv.Atoi(key)
				if err != nil || i >= len(v) {
					return fmt.Errorf("no %s", path)
				}
				at = v[i]
			default:
				at = nil
			}
			if at == nil {
				return fmt.Errorf("no %s", path)
			}
		}
	}
	return nil
}

func damage(ts *testscript.TestScript, args []string) error {
	path, kind := ts.MkAbs(args[0]), args[1]
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	number := func() int {
		if len(args) != 3 {
			ts.Fatalf("damage %s: one number", kind)
		}
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		return n
	}
	switch kind {
	case "truncate": // to N bytes
		data = data[:number()]
	case "cut": // N bytes off the end
		data = data[:len(data)-number()]
	case "empty":
		data = nil
	case "notelf":
		data = []byte("#!/bin/sh\nexit 0\n")
	case "type": // e_type N, little endian
		data[16], data[17] = byte(number()), 0
	case "flip": // the byte N before the end
		data[len(data)-number()] ^= 0xff
	case "gone":
		return os.Remove(path)
	default:
		return fmt.Errorf("no damage %s", kind)
	}
	return os.WriteFile(path, data, 0o644)
}

func writeTree(dir, to string, times bool) error {
	list, err := treeOf(dir, times)
	if err != nil {
		return err
	}
	return os.WriteFile(to, []byte(strings.Join(list, "\n")+"\n"), 0o644)
}

// treeOf lists the files and links below a folder with their contents.
func treeOf(dir string, times bool) ([]string, error) {
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			list = append(list, name+" -> "+target)
			return err
		}
		data, err := os.ReadFile(path)
		line := fmt.Sprintf("%s %d %x", name, len(data), sha256.Sum256(data))
		if times {
			line += " " + info.ModTime().UTC().String()
		}
		list = append(list, line)
		return err
	})
	return list, err
}

func kasToKo(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimSuffix(name, ".kas"))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
}
