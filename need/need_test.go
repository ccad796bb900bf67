package need

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recorder is a test that records how it ended.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.end = "failed"; panic(r) }
func (r *recorder) Skipf(string, ...any)  { r.end = "skipped"; panic(r) }

// ended returns how a test ends that needs the tools: "", "failed" or "skipped".
func ended(names ...string) (end string, paths []string) {
	r := &recorder{}
	defer func() {
		if e := recover(); e != nil && e != any(r) {
			panic(e)
		}
		end = r.end
	}()
	paths = Tools(r, names...)
	return r.end, paths
}

func TestTools(t *testing.T) {
	for _, c := range []struct{ ci, noSkip, want string }{
		{"", "", "skipped"},
		{"false", "0", "skipped"},
		{"true", "", "failed"},
		{"", "1", "failed"},
	} {
		t.Setenv("CI", c.ci)
		t.Setenv("KAS_NO_SKIP", c.noSkip)
		if end, _ := ended("sh", "kas-no-such-tool"); end != c.want {
			t.Errorf("CI=%s KAS_NO_SKIP=%s: the test %s, want %s", c.ci, c.noSkip, end, c.want)
		}
		end, paths := ended("sh", "cat")
		if end != "" || len(paths) != 2 || filepath.Base(paths[1]) != "cat" {
			t.Errorf("CI=%s KAS_NO_SKIP=%s: %s, %q", c.ci, c.noSkip, end, paths)
		}
	}
}

// provided matches the reasons for which a test may skip although no tool is missing: it needs
// input, and the reason says which variable or target provides it.
var provided = regexp.MustCompile(`\bKAS_[A-Z_]+\b|\bmake (corpus|kernel)-`)

// TestOnlySkips keeps a missing tool from skipping a test unseen: tests look for tools with this
// package, and skip only for input that is not there. Fuzz targets may skip an input for any
// reason.
func TestOnlySkips(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (path == filepath.Join("..", ".cache") || e.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, problem := range refused(set, file) {
			t.Error(problem)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// refused reports the calls in a file that find a tool or skip in another way.
func refused(set *token.FileSet, file *ast.File) (problems []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		at := set.Position(call.Pos())
		switch f.Sel.Name {
		case "Fuzz":
			return false
		case "LookPath":
			problems = append(problems, fmt.Sprintf("%s: look for a tool with need.Tools", at))
		case "Skip", "Skipf", "SkipNow":
			reason := "no reason"
			if len(call.Args) > 0 {
				if text, ok := call.Args[0].(*ast.BasicLit); ok {
					reason = text.Value
				}
			}
			if !provided.MatchString(reason) {
				problems = append(problems, fmt.Sprintf(
					"%s: %s for %s: use need.Missing, or name what provides the input",
					at, f.Sel.Name, reason))
			}
		}
		return true
	})
	return problems
}

func TestRefused(t *testing.T) {
	const text = `package p
func f() {
	f.Fuzz(func(t *testing.T, data []byte) { t.Skip("too long") })
	t.Skip("KAS_REGISTRY names no registry")
	t.Skip(err)
	t.SkipNow()
	exec.LookPath("as")
}`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := refused(set, file)
	if len(got) != 3 || !strings.HasPrefix(got[0], "p.go:5:") {
		t.Errorf("%q", got)
	}
}
