package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// Report names the files of the report that a run writes at its end, as resolved paths. "" means
// none.
type Report struct {
	HTML       string `yaml:",omitempty"`
	JUnit      string `yaml:",omitempty"`
	Prometheus string `yaml:",omitempty"`
	CSV        string `yaml:",omitempty"`
	SQLite     string `yaml:",omitempty"`

	History string `yaml:",omitempty"` // folder with the stats.json of earlier runs, if it is there
}

// reportKey is a key of the report, and its value in a Report.
type reportKey struct {
	name  string
	value *string
}

func (r *Report) keys() []reportKey {
	return []reportKey{
		{"html", &r.HTML}, {"junit", &r.JUnit}, {"prometheus", &r.Prometheus}, {"csv", &r.CSV},
		{"sqlite", &r.SQLite}, {"history", &r.History},
	}
}

// Writes reports whether the report has a file.
func (r *Report) Writes() bool {
	files := *r
	files.History = ""
	return files != Report{}
}

// CheckReport returns an error if a file of the report is in the output folder. What is there
// follows from the input alone, and a report has the times of the run.
func (p *Plan) CheckReport() error {
	if _, err := p.reportInOut(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func (p *Plan) reportInOut() (key string, err error) {
	for _, k := range p.Report.keys() {
		if *k.value == "" || k.name == "history" {
			continue
		}
		rel, err := relativeTo(p.Out, *k.value)
		if err != nil {
			return "", err
		}
		if rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return k.name, fmt.Errorf("%s: %s is in the output folder %s, "+
				"which has only what follows from the input: choose another place", k.name,
				*k.value, p.Out)
		}
	}
	return "", nil
}

// checkReport checks the paths of the report, whose keys have these values.
func (l *loader) checkReport(p *Plan, set map[string]pair) {
	if key, err := p.reportInOut(); err != nil {
		l.errorf(set[key].val, "%v", err)
	}
	if dir := p.Report.History; dir != "" {
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			l.errorf(set["history"].val, "history: %s is not a folder", dir)
		}
	}
}

// reportPath returns the path that n, the value of a key of the report, stands for.
func (l *loader) reportPath(n *yaml.Node, name string) string {
	path := l.expandEnv(n, name, func(value string) string { return value })
	switch path {
	case "":
		return ""
	case "-":
		l.errorf(n, "%s: a run writes a file; kas report writes to standard output", name)
		return ""
	}
	return l.out(path)
}
