package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kas/pipeline"
	"kas/registry"
)

// StatsFile is the name of the counts in an output folder. A finished run writes it last.
const StatsFile = "stats.json"

// Outputs are the builds of one or several output folders, as a report shows them.
type Outputs struct {
	builds  []*output // those with problems first
	history []snapshot
	stages  []string // that have times, in order
}

// output is a build, or a folder without a finished run.
type output struct {
	buildStats
	label    string   // Name, with the folder if several folders have the name
	out      string   // the output folder
	finished bool     // the folder has stats.json
	problems []string // a text for each
	damage   string   // why there is no registry: the last of problems, "" if there is one

	file   *registry.File   // closed; nil if there is no readable registry
	survey *registry.Survey // nil if there is none
	cost   Cost

	seconds map[string]float64 // by stage, of the run that writes the report
}

// Read reads output folders. The builds of a folder without a finished run, and builds whose
// registry is damaged, are there with their problems. An error means that a folder is missing.
func Read(outs []string) (*Outputs, error) {
	o := &Outputs{}
	for _, out := range outs {
		switch info, err := os.Stat(out); {
		case err != nil:
			return nil, err
		case !info.IsDir():
			return nil, fmt.Errorf("%s: not a folder", out)
		}
		builds, err := readStats(filepath.Join(out, StatsFile))
		if err != nil {
			o.builds = append(o.builds, unfinished(out, err))
			continue
		}
		for _, b := range builds {
			o.builds = append(o.builds, &output{buildStats: b, out: out, finished: true})
		}
	}
	o.label()
	// The largest first, so that no core reads a large one while the others have nothing to do.
	largest := slices.SortedStableFunc(slices.Values(o.builds), func(a, b *output) int {
		return b.Symbols - a.Symbols
	})
	pipeline.Parallel(0, len(largest), func(i int) { largest[i].read() })
	o.failuresFirst()
	return o, nil
}

// readStats reads the counts of each build.
func readStats(path string) ([]buildStats, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s struct {
		Version int
		Builds  []buildStats
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("%s: version %d, not 1", filepath.Base(path), s.Version)
	}
	return s.Builds, nil
}

// unfinished stands for the builds of a folder whose run did not end.
func unfinished(out string, err error) *output {
	problem := err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		problem = "the folder has no finished run: there is no " + StatsFile
	}
	return &output{
		buildStats: buildStats{Name: folderName(out)}, out: out, problems: []string{problem},
		damage: problem,
	}
}

// label makes labels of the builds' names. Builds of one name get their folders, too.
func (o *Outputs) label() {
	seen := map[string]int{}
	for _, b := range o.builds {
		seen[b.Name]++
	}
	for _, b := range o.builds {
		b.label = b.Name
		if seen[b.Name] > 1 {
			b.label = folderName(b.out) + "/" + b.Name
		}
	}
}

func folderName(dir string) string {
	if whole, err := filepath.Abs(dir); err == nil {
		dir = whole
	}
	return filepath.Base(dir)
}

// read reads the build's registry, and gathers the build's problems.
func (b *output) read() {
	b.problems = append(b.problems, b.Errors...)
	for _, object := range b.UnreadableObjects {
		named := func(e string) bool { return strings.Contains(e, object) }
		if !slices.ContainsFunc(b.Errors, named) {
			b.problems = append(b.problems, object+": unreadable")
		}
	}
	if !b.finished {
		return
	}
	path := registry.InFolder(b.path(""))
	if path == "" {
		if b.Symbols > 0 { // else the configuration left out the stage that writes it
			b.damaged("there is no " + registry.FileName)
		}
		return
	}
	var err error
	if b.file, b.survey, err = registry.SurveyFile(path); err != nil {
		b.damaged(registry.FileName + ": " + err.Error())
		return
	}
	for i := range b.survey.Aliased {
		if r := &b.survey.Aliased[i]; !r.Late() {
			b.cost.Add(b.Arch, r.Object == registry.Vmlinux, len(r.Alias))
		}
	}
}

func (b *output) damaged(problem string) {
	b.damage = problem
	b.problems = append(b.problems, problem)
}

// path returns the path of a file of the build.
func (b *output) path(name string) string { return filepath.Join(b.out, b.Name, name) }

func (b *output) failed() bool { return len(b.problems) > 0 }

func (o *Outputs) failuresFirst() {
	slices.SortStableFunc(o.builds, func(a, b *output) int {
		switch {
		case a.failed() == b.failed():
			return 0
		case a.failed():
			return -1
		}
		return 1
	})
}

// Damaged returns a message for each folder without a finished run and each registry that is not
// whole. What a run reported about its objects is not among them.
func (o *Outputs) Damaged() []string {
	var all []string
	for _, b := range o.builds {
		switch {
		case b.damage == "":
		case b.finished:
			all = append(all, b.path("")+": "+b.damage)
		default:
			all = append(all, b.out+": "+b.damage)
		}
	}
	return all
}

// Summary is what a gate looks at in a build.
type Summary struct {
	Build        string
	Damage       string   // why there is no finished run or no registry, "" if there is
	Problems     []string // with the damage
	Unreadable   int      // objects
	WithoutAlias int      // duplicates
}

// Summaries returns a summary of each build, in the order of their names.
func (o *Outputs) Summaries() []Summary {
	var all []Summary
	for _, b := range o.builds {
		all = append(all, Summary{
			b.label, b.damage, b.problems, b.Unreadable, b.Duplicates - b.Aliases,
		})
	}
	slices.SortFunc(all, func(a, b Summary) int { return strings.Compare(a.Build, b.Build) })
	return all
}

// AddRun adds what only the run itself knows: the times of its stages and, if a build did not end,
// the builds and their errors.
func (o *Outputs) AddRun(r *pipeline.Result) {
	o.stages = stageNames(r)
	for _, b := range r.Builds {
		for _, to := range o.builds {
			if to.finished && to.Name == b.Config.Name {
				to.seconds = map[string]float64{}
				for _, t := range b.Timings {
					to.seconds[t.Stage] = t.Wall.Seconds()
				}
			}
		}
	}
	if len(o.builds) == 1 && !o.builds[0].finished {
		o.builds = failedBuilds(o.builds[0], r)
		o.failuresFirst()
	}
}

// failedBuilds returns the builds of a run that did not end, for the folder that has no stats.json.
func failedBuilds(folder *output, r *pipeline.Result) []*output {
	var all []*output
	for _, b := range r.Builds {
		to := &output{
			buildStats: buildStats{
				Name: b.Config.Name, Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO,
				Release: b.Release,
			},
			label: b.Config.Name, out: folder.out,
		}
		for _, e := range r.Errors {
			if e.Build == to.Name {
				to.problems = append(to.problems, e.Error())
			}
		}
		if len(to.problems) == 0 {
			to.problems = []string{"another build of the run did not end: " + folder.problems[0]}
		}
		all = append(all, to)
	}
	return all
}

// snapshot is the stats.json of an earlier run.
type snapshot struct {
	path   string
	builds []buildStats
}

// ErrNoHistory is in the error of ReadHistory if no run has left a file yet.
var ErrNoHistory = errors.New("no *.json in this folder")

// mostHistory is how many snapshots a report shows, the last ones.
const mostHistory = 50

// ReadHistory reads the files *.json of a folder, each the stats.json of an earlier run. The names
// of the files give their order.
func (o *Outputs) ReadHistory(dir string) error {
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, ErrNoHistory)
	}
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".json" {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%s: %w", dir, ErrNoHistory)
	}
	for _, name := range names[max(0, len(names)-mostHistory):] {
		path := filepath.Join(dir, name)
		builds, err := readStats(path)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		o.history = append(o.history, snapshot{path, builds})
	}
	return nil
}
