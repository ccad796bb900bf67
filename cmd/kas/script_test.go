package main

import (
	"bytes"
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

	"github.com/google/go-cmp/cmp"

	"kas/demo"
)

// beKas makes the test binary the command itself.
const beKas = "KAS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(beKas) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// kasCommand is the command as a process of its own, in folder dir.
func kasCommand(t testing.TB, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), beKas+"=1")
	return c
}

// TestScript runs testdata/*.txtar: a script of commands and behind it the files it starts with. A line is one command
// of script.commands; `!` before it says that it must fail, '...' quotes, $WORK is the script's folder, # a comment.
// Every run of kas says what exit code it must have: `kas` 0, `exits N kas` N.
func TestScript(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t, dir: t.TempDir(), file: file}
			lines := s.unpack(string(data))
			for i, line := range lines {
				s.line = i + 1
				s.do(line)
			}
		})
	}
}

type script struct {
	t              *testing.T
	dir            string
	file           string
	line           int
	code           int // of the last run of kas
	stdout, stderr string
}

func (s *script) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s:%d: %s\n[exit %d]\n[stdout]\n%s[stderr]\n%s", s.file, s.line, fmt.Sprintf(format, args...), s.code, s.stdout, s.stderr)
}

func (s *script) check(err error) {
	s.t.Helper()
	if err != nil {
		s.fatalf("%v", err)
	}
}

var fileMark = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

// unpack writes the files and returns the lines of the script.
func (s *script) unpack(data string) []string {
	marks := fileMark.FindAllStringSubmatchIndex(data, -1)
	head := len(data)
	for i, m := range marks {
		head = min(head, m[0])
		end := len(data)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		path := s.path(data[m[2]:m[3]])
		s.check(os.MkdirAll(filepath.Dir(path), 0o755))
		s.check(os.WriteFile(path, []byte(data[m[1]:end]), 0o644))
	}
	return strings.Split(data[:head], "\n")
}

func (s *script) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir, name)
}

// text is the content of a file, or what the last command wrote.
func (s *script) text(name string) string {
	switch name {
	case "stdout":
		return s.stdout
	case "stderr":
		return s.stderr
	}
	data, err := os.ReadFile(s.path(name))
	s.check(err)
	return string(data)
}

var word = regexp.MustCompile(`'[^']*'|[^\s']+`)

func (s *script) do(line string) {
	s.t.Helper()
	var args []string
	for _, w := range word.FindAllString(line, -1) {
		if w[0] == '\'' {
			w = w[1 : len(w)-1]
		} else if w[0] == '#' {
			break
		} else {
			w = strings.ReplaceAll(w, "$WORK", s.dir)
		}
		args = append(args, w)
	}
	if len(args) == 0 {
		return
	}
	not := args[0] == "!"
	if not {
		args = args[1:]
	}
	command, ok := s.commands()[args[0]]
	if !ok {
		s.fatalf("unknown command %s", args[0])
	}
	err := command(args[1:])
	switch {
	case err != nil && !not:
		s.fatalf("%s: %v", strings.Join(args, " "), err)
	case err == nil && not:
		s.fatalf("! %s: it holds", strings.Join(args, " "))
	}
}

// commands is the language of the scripts.
func (s *script) commands() map[string]func([]string) error {
	match := func(args []string) error {
		count := -1
		if rest, ok := strings.CutPrefix(args[0], "-count="); ok {
			n, err := strconv.Atoi(rest)
			s.check(err)
			count, args = n, args[1:]
		}
		found := len(regexp.MustCompile("(?m)"+args[0]).FindAllString(s.text(args[1]), -1))
		if found == 0 && count != 0 || count >= 0 && found != count {
			return fmt.Errorf("%d matches in %s", found, args[1])
		}
		return nil
	}
	return map[string]func([]string) error{
		"kas":   func(args []string) error { return s.kas(0, args) },
		"exits": func(args []string) error { n, err := strconv.Atoi(args[0]); s.check(err); return s.kas(n, args[2:]) },
		// exec runs another program; the script ends if there is none, and the rest of it is not tested.
		"exec": func(args []string) error {
			if _, err := exec.LookPath(args[0]); err != nil {
				s.t.Skip(err)
			}
			return s.run(exec.Command(args[0], args[1:]...))
		},
		// [-count=N] REGEXP, a line of it at most
		"stdout": func(args []string) error { return match(append(args, "stdout")) },
		"stderr": func(args []string) error { return match(append(args, "stderr")) },
		"grep":   match, // and FILE
		"lines": func(args []string) error { // FILE N
			if n := strings.Count(s.text(args[0]), "\n"); strconv.Itoa(n) != args[1] {
				return fmt.Errorf("%d lines in %s", n, args[0])
			}
			return nil
		},
		"cmp": func(args []string) error {
			if diff := cmp.Diff(strings.Split(s.text(args[0]), "\n"), strings.Split(s.text(args[1]), "\n")); diff != "" {
				return fmt.Errorf("- %s, + %s\n%s", args[0], args[1], diff)
			}
			return nil
		},
		"exists": func(args []string) error {
			for _, a := range args {
				if _, err := os.Lstat(s.path(a)); err != nil {
					return err
				}
			}
			return nil
		},
		"cp": func(args []string) error {
			return os.WriteFile(s.path(args[1]), []byte(s.text(args[0])), 0o644)
		},
		"cptree": func(args []string) error { return os.CopyFS(s.path(args[1]), os.DirFS(s.path(args[0]))) },
		"mv":     func(args []string) error { return os.Rename(s.path(args[0]), s.path(args[1])) },
		"mkdir":  func(args []string) error { return os.MkdirAll(s.path(args[0]), 0o755) },
		"rm": func(args []string) error {
			for _, a := range args {
				s.check(os.RemoveAll(s.path(a)))
			}
			return nil
		},
		// edit FILE OLD NEW replaces text that must be there; \n and \t mean what they do in Go.
		"edit": func(args []string) error {
			text, unescape := s.text(args[0]), strings.NewReplacer(`\n`, "\n", `\t`, "\t")
			old := unescape.Replace(args[1])
			if !strings.Contains(text, old) {
				return fmt.Errorf("no %q in %s", old, args[0])
			}
			return os.WriteFile(s.path(args[0]), []byte(strings.ReplaceAll(text, old, unescape.Replace(args[2]))), 0o644)
		},
		"unpack-demo": func(args []string) error { return os.CopyFS(s.path(args[0]), demo.FS) },
		"damage":      func(args []string) error { return s.damage(s.path(args[0]), args[1], args[2:]) },
		// tree DIR FILE lists what is below DIR: path, hash of the content or target of the link.
		"tree": func(args []string) error { return s.tree(args[0], args[1], false) },
		// times does so, too, with the time of each file's last change.
		"times": func(args []string) error { return s.tree(args[0], args[1], true) },
		// kas-to-ko DIR TO copies each X.ko.kas to X.ko.
		"kas-to-ko": func(args []string) error { return s.kasToKo(s.path(args[0]), s.path(args[1])) },
		// json TEXT PATH... asks whether TEXT is one JSON value that has something at each path.
		"json": func(args []string) error { return hasPaths(s.text(args[0]), args[1:]) },
		// holds TEXT LIST asks whether each line of LIST is one of TEXT.
		"holds": func(args []string) error {
			have := strings.Split(s.text(args[0]), "\n")
			for _, want := range strings.Split(s.text(args[1]), "\n") {
				if want != "" && !slices.Contains(have, want) {
					return fmt.Errorf("%s has no line %q", args[0], want)
				}
			}
			return nil
		},
		// without FILE OBJECT... TO leaves out the rows of the objects.
		"without": func(args []string) error {
			objects, to := args[1:len(args)-1], args[len(args)-1]
			var kept strings.Builder
			for row := range strings.Lines(s.text(args[0])) {
				if !slices.ContainsFunc(objects, func(o string) bool { return strings.Contains(row, "\t"+o+"\t") }) {
					kept.WriteString(row)
				}
			}
			return os.WriteFile(s.path(to), []byte(kept.String()), 0o644)
		},
	}
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

func (s *script) kas(code int, args []string) error {
	err := s.run(kasCommand(s.t, s.dir, args...))
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return err
	}
	if strings.ContainsRune(s.stdout+s.stderr, '\x1b') {
		return errors.New("escape codes where there is no terminal")
	}
	if s.code != code {
		return fmt.Errorf("exit %d, want %d", s.code, code)
	}
	return nil
}

func (s *script) run(c *exec.Cmd) error {
	var stdout, stderr bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = s.dir, &stdout, &stderr
	err := c.Run()
	s.stdout, s.stderr, s.code = stdout.String(), stderr.String(), c.ProcessState.ExitCode()
	return err
}

// damage spoils a file: KIND and its argument.
func (s *script) damage(path, kind string, args []string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	number := func() int {
		n, err := strconv.Atoi(args[0])
		s.check(err)
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

func (s *script) tree(dir, to string, times bool) error {
	list, err := treeOf(s.path(dir), times)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path(to), []byte(strings.Join(list, "\n")+"\n"), 0o644)
}

// treeOf lists the files and links below a folder with what they hold.
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

func (s *script) kasToKo(from, to string) error {
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
