// Package configs reads the YAML file that says which kernels to process, where their files are
// and how to name their duplicates. It also embeds the configurations that ship with kas.
package configs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"kas/packages"
)

// FS holds the shipped configurations: example.yaml, matrix.yaml, debian.yaml and kbuild.yaml.
//
//go:embed *.yaml
var FS embed.FS

// Plan is a loaded configuration. The matrix is expanded, overrides are merged and paths are
// resolved against the folder of the file.
type Plan struct {
	File    string   // path of the configuration as given to Load
	Out     string   // resolved output folder
	Jobs    int      // number of workers; 0 means all cores
	OnError string   // continue or stop
	Report  Report   // what a run writes besides its output
	Gate    Gate     // what the output must meet
	Builds  []Build  // never empty after Load; a shard may be
	Skipped []string // names of the optional builds that have no file on this machine

	// relative holds the resolved paths that the file gives as relative; Effective keeps them so.
	relative map[string]bool

	order []string // names of all builds of the file, in its order
	outAt position // of the value of out
}

// Build is one kernel: a vmlinux and its modules, for one architecture and one toolchain.
type Build struct {
	Name      string
	Arch      string `yaml:",omitempty" enum:"arch"`      // canonical name; "" means any
	Toolchain string `yaml:",omitempty" enum:"toolchain"` // gcc or llvm; "" means any
	LTO       string `yaml:",omitempty" enum:"lto"`       // none, thin or full; "" means any
	Vmlinux   string `yaml:",omitempty"`                  // resolved path; "" if there is none

	// Modules holds resolved list files, folders, modules and globs, for ModuleFiles. A literal
	// *, ?, [ or \ is escaped by a backslash.
	Modules []string `yaml:",omitempty"`
	Source  []string `yaml:",omitempty"` // source roots as written: prefixes of paths in the DWARF

	// Package holds resolved packages and globs, for Unpack. What is in them is the same wherever
	// they are.
	Package []string `yaml:",omitempty" json:"-"`

	// Debug holds the resolved folders with the debug files of stripped objects; none means
	// /usr/lib/debug.
	Debug []string `yaml:",omitempty"`

	Alias  Alias    `yaml:",omitempty"`
	Stages []string `yaml:",omitempty,flow" enum:"stages"` // in the order they run
	Emit   Emit     `yaml:",omitempty"`

	file  string              // the configuration
	combo string              // what the build was expanded from: "matrix: ..." or "glob: ..."
	at    map[string]position // position of the value of each key; "" is the build itself
	found []ModuleFile        // the result of ModuleFiles, once Load has called it

	packages []packageFile      // found by Load
	given    *given             // set by Unpack
	origins  []packages.Package // set by Unpack
}

// Alias says which symbols get an alias and how it is spelled.
type Alias struct {
	Separator string // between name and location
	Line      string `enum:"line"`    // opening, declaration or none
	Symbols   string `enum:"symbols"` // text, data or all
	Names     Names
	MaxLength int `yaml:"max_length"` // in bytes; 0 means the limit of the kernel's version
	Never     Never

	// SuffixFree gives a symbol that link-time optimization renamed an alias of its original name
	// (foo for foo.llvm.123), if no other symbol of the build has that name.
	SuffixFree bool `yaml:"suffix_free"`
}

// Names selects symbols by name. The zero value selects duplicates.
type Names struct {
	All   bool
	Globs []string
}

// Never holds regular expressions that match whole symbol names. Matching symbols get no alias.
type Never struct {
	Replace  bool // Patterns replaces the built-in list; otherwise it is added to it
	Patterns []string
}

// Emit says what is written.
type Emit struct {
	Beside    bool   // write X.o.kas beside X.o, not to the output folder
	Unaliased string `enum:"unaliased"` // what to write for a module without aliases: skip or link
}

// Load reads the configuration at path and checks it against the file system. The error is nil or
// of type Errors, and holds every problem found.
func Load(path string) (*Plan, error) { return LoadSome(path, Choice{}) }

// Stdin is the path that stands for standard input. Relative paths in it are those of a file in the
// current folder.
const Stdin = "-"

// LoadText is Load of the text of a file that need not be there: relative paths are those of a file
// at path.
func LoadText(path string, text []byte) (*Plan, error) {
	l := newLoader(path)
	return l.load(l.parse(text))
}

// Choice says which builds of a configuration LoadSome loads, and how. The zero value means all.
type Choice struct {
	Names []string // of builds; none means all

	// Shards is the number of shards that the chosen builds are dealt to, in turn and in the order
	// of the file; 0 means none. Shard counts from 1. A shard may have no build.
	Shard, Shards int

	// Unlisted says that the modules are not listed, only looked for: ModuleFiles lists them.
	Unlisted bool
	// Optional says that all builds are optional.
	Optional bool
}

// LoadSome is Load for some builds. It looks for no files of others.
func LoadSome(path string, c Choice) (*Plan, error) {
	l := newLoader(path)
	l.some = c
	p, err := l.read()
	if err != nil {
		return nil, err
	}
	return l.load(p)
}

// load checks a plan that was parsed against the file system.
func (l *loader) load(p *Plan) (*Plan, error) {
	for i := range p.Builds {
		p.order = append(p.order, p.Builds[i].Name)
	}
	if err := l.choose(p); err != nil {
		return nil, err
	}
	l.checkFiles(p)
	if errs := l.errors(); len(errs) > 0 {
		return nil, errs
	}
	p.outAt = at(l.top["out"].val)
	return p, nil
}

// choose leaves the builds of the choice in the plan.
func (l *loader) choose(p *Plan) error {
	for _, name := range l.some.Names {
		if !slices.Contains(p.order, name) && len(l.problems) == 0 {
			return Errors{{Msg: fmt.Sprintf("no build is named %s; the builds are %s", name,
				strings.Join(p.order, ", "))}}
		}
	}
	var builds []Build
	var paths []buildPaths
	k := 0
	for i := range p.Builds {
		if n := l.some.Names; len(n) > 0 && !slices.Contains(n, p.Builds[i].Name) {
			continue
		}
		if n := l.some.Shards; n == 0 || k%n == l.some.Shard-1 {
			builds, paths = append(builds, p.Builds[i]), append(paths, l.paths[i])
		}
		k++
	}
	p.Builds, l.paths = builds, paths
	return nil
}

// Policy returns what the configuration at path sets for all builds, and ignores the builds
// themselves: the kbuild hooks know their tree. An empty path returns the defaults. The error is
// nil or of type Errors.
func Policy(path string) (Build, error) {
	if path == "" {
		return defaults(), nil
	}
	l := newLoader(path)
	l.policyOnly = true
	if _, err := l.read(); err != nil {
		return Build{}, err
	}
	if errs := l.errors(); len(errs) > 0 {
		return Build{}, errs
	}
	return l.base, nil
}

// loader reads one file and collects its problems.
type loader struct {
	file     string
	problems []problem
	combo    string // what is being expanded, for messages: see Build
	budget   int    // nodes left to visit: YAML aliases can make a small file huge
	env      func(string) (string, bool)
	glob     func(pattern string) ([]match, error) // nil finds nothing

	policyOnly bool  // ignore the builds
	base       Build // what holds for all builds
	some       Choice

	top      map[string]pair // the keys of the file
	report   map[string]pair // the keys of report
	gate     map[string]pair // the keys of gate
	entries  []pathEntry     // of the build being decoded
	folders  []pathEntry     // of the build being decoded
	common   []pathEntry     // folders for all builds
	paths    []buildPaths    // by index of the plan's builds
	relative map[string]bool // see Plan
}

const maxNodes = 200_000

func newLoader(path string) *loader {
	return &loader{file: path, budget: maxNodes, env: os.LookupEnv, glob: glob,
		relative: map[string]bool{}}
}

func (l *loader) read() (*Plan, error) {
	var data []byte
	var err error
	if l.file == Stdin {
		data, err = readLimited(os.Stdin, l.file, maxConfig)
	} else {
		data, err = readFile(l.file, maxConfig)
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // Error prints the path
		}
		return nil, Errors{{File: l.file, Msg: err.Error(), cause: err}}
	}
	return l.parse(data), nil
}
