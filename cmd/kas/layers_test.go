package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows says which packages of kas a package may import, and why no others.
var arrows = map[string]struct {
	may    []string
	reason string
}{
	"cmd/kas": {
		[]string{"configs", "demo", "elf", "elf/btf", "elf/dwarf", "fetch", "kbuild", "kernels",
			"packages", "pipeline", "probe", "registry", "report", "stages", "verify"},
		"the command line ties everything together",
	},
	"report": {
		[]string{"pipeline", "registry", "report/sqlite"},
		"it reports the result of a run and what the run wrote, whatever its stages did",
	},
	"report/sqlite": {nil, "it writes a file format"},
	"stages": {
		[]string{"pipeline", "elf", "elf/dwarf", "registry", "configs"},
		"it has what is done to a build; others run it, read files and report",
	},
	"kbuild": {
		[]string{"configs", "pipeline", "stages", "elf", "registry"},
		"it runs the stages within a kernel's build",
	},
	"pipeline": {[]string{"configs", "elf"}, "it runs stages without knowing any of them"},
	"bench": {[]string{"configs", "pipeline", "stages", "elf"},
		"it measures what a run does"},
	"bench/compare": {nil, "it runs kas as users do, and measures it from outside"},
	"probe":         {[]string{"elf", "registry"}, "it compares a kernel with its registry"},
	"registry":      {nil, "others import it to read the exported file"},
	"packages":      {[]string{"elf"}, "it makes folders of packages, and reads no object in them"},
	"elf":           {nil, "it reads bytes and knows nothing of kernels and builds"},
	"elf/btf":       {nil, "it reads bytes of a section or a file, wherever they are from"},
	"elf/dwarf":     {[]string{"elf"}, "it is the debugging information of elf"},
	"configs": {[]string{"elf", "kernels", "packages"},
		"it is read before anything but the files that it names exists"},
	"verify":        {nil, "it proves what the others wrote, so it must not share their mistakes"},
	"demo":          {nil, "it is files"},
	"kernels":       {[]string{"elf"}, "it finds files, and others read them"},
	"fetch":         {nil, "it gets bytes from servers, and others check what they are"},
	"need":          {nil, "only tests import it"},
	"need/kallsyms": {nil, "only tests import it"},
	"bench/mutants": {nil, "it runs the tests from outside"},
}

// doors says in which packages an outside dependency, or a package below its path, may be imported.
var doors = map[string][]string{
	"gopkg.in/yaml.v3":                 {"configs"},
	"github.com/bmatcuk/doublestar/v4": {"configs"}, // ** in globs: path/filepath has none
	"github.com/hbollon/go-edlib": {
		"configs",
	}, // edit distance that counts swapped letters once, which agext/levenshtein does not
	"github.com/spf13/cobra":        {"cmd/kas"},
	"github.com/spf13/pflag":        {"cmd/kas"},
	"golang.org/x/term":             {"cmd/kas"},
	"github.com/sourcegraph/conc":   {"pipeline"},
	"golang.org/x/sync/semaphore":   {"pipeline"},
	"github.com/dustin/go-humanize": {"report"},
	"github.com/ianlancetaylor/demangle": {
		"registry",
	}, // has no releases; rustfilt's rules
	"github.com/klauspost/compress": {
		"elf",
		"packages",
		"registry",
		"verify",
	}, // verify has its own reader
	"github.com/cavaliergopher/cpio":  {"packages"},
	"github.com/mikelolasagasti/xz":   {"elf", "packages", "verify"},
	"golang.org/x/sys/unix":           {"elf", "packages", "pipeline", "registry", "verify"},
	"net/http":                        {"fetch"},            // makes the program 3 MB larger
	"debug/elf":                       {"elf", "elf/dwarf"}, // constants; its readers panic
	"debug/dwarf":                     {"elf", "elf/dwarf"},
	"github.com/rogpeppe/go-internal": {"kbuild"}, // for its diff; tests use the rest
	"github.com/google/go-cmp":        nil,
}

// TestLayers wants imports to run downward only.
func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "kas/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, "kas/")
		rule, known := arrows[from]
		if !known {
			t.Errorf("package %s has no entry in arrows", from)
			continue
		}
		for _, imported := range p.Imports {
			if to, ours := strings.CutPrefix(imported, "kas/"); ours {
				if !slices.Contains(rule.may, to) {
					t.Errorf("%s imports %s: %s", from, to, rule.reason)
				}
				continue
			}
			checkDoor(t, from, imported)
		}
	}
}

func checkDoor(t *testing.T, from, imported string) {
	for path, packages := range doors {
		if imported != path && !strings.HasPrefix(imported, path+"/") {
			continue
		}
		if !slices.Contains(packages, from) {
			t.Errorf("%s imports %s, which only %s may, so that it can be replaced there",
				from, imported, strings.Join(packages, " and "))
		}
		return
	}
	if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
		t.Errorf("%s imports %s: a new dependency needs an entry in doors, with one package",
			from, imported)
	}
}

// TestStagesAreSequential wants package stages to start nothing that runs at the same time. Only
// methods of pipeline.Build do, so stages have nothing to lock.
func TestStagesAreSequential(t *testing.T) {
	files, err := filepath.Glob("../../stages/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no stages", err)
	}
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		refuse := func(n ast.Node, what string) {
			t.Errorf(
				"%s: %s: only Each, Split and WriteLines of pipeline.Build run things at the same time",
				set.Position(n.Pos()),
				what,
			)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				p := strings.Trim(n.Path.Value, `"`)
				if p == "sync" || strings.HasPrefix(p, "sync/") {
					refuse(n, "import of "+p)
				}
			case *ast.GoStmt:
				refuse(n, "go statement")
			case *ast.ChanType:
				refuse(n, "channel")
			case *ast.SelectStmt:
				refuse(n, "select")
			case *ast.SendStmt:
				refuse(n, "send")
			}
			return true
		})
	}
}
