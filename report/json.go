package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"kas/pipeline"
)

// Stats writes stats.json, the counts of every build. It is the same for the same input.
func Stats(w io.Writer, r *pipeline.Result) error {
	return WriteJSON(w, struct {
		Version int          `json:"version"`
		Builds  []buildStats `json:"builds"`
	}{1, statsOf(r)})
}

// JSON writes what Stats does, and the time that each stage took in seconds.
func JSON(w io.Writer, r *pipeline.Result, took time.Duration) error {
	type timed struct {
		buildStats
		Unchanged bool               `json:"unchanged,omitempty"` // an earlier run made all outputs
		Seconds   map[string]float64 `json:"seconds"`
	}
	var all []timed
	for i, b := range statsOf(r) {
		t := timed{b, r.Builds[i].Skipped, map[string]float64{}}
		for _, x := range r.Builds[i].Timings {
			t.Seconds[x.Stage] = x.Wall.Seconds()
		}
		all = append(all, t)
	}
	return WriteJSON(w, struct {
		Version int     `json:"version"`
		Seconds float64 `json:"seconds"`
		Builds  []timed `json:"builds"`
	}{1, took.Seconds(), all})
}

// buildStats is the entry of a build in stats.json.
type buildStats struct {
	Name      string `json:"name"`
	Arch      string `json:"arch"`
	Toolchain string `json:"toolchain,omitempty"`
	LTO       string `json:"lto,omitempty"`
	Release   string `json:"release,omitempty"`
	pipeline.Stats
	UnreadableObjects []string `json:"unreadable_objects,omitempty"`
	Errors            []string `json:"errors,omitempty"`
}

func statsOf(r *pipeline.Result) []buildStats {
	var all []buildStats
	for _, b := range r.Builds {
		s := buildStats{Name: b.Config.Name, Arch: b.Arch, Toolchain: b.Toolchain, LTO: b.LTO,
			Release: b.Release, Stats: b.Stats}
		if !b.Skipped { // a build with unreadable objects is never skipped
			s.UnreadableObjects = b.Missing()
		}
		for _, e := range r.Errors {
			if e.Build == s.Name {
				s.Errors = append(s.Errors, e.Error())
			}
		}
		all = append(all, s)
	}
	return all
}

// Unused is what a run did not use of a build's objects.
type Unused struct {
	Unreadable []string
	LeftOut    []pipeline.LeftOut
}

// ReadUnused reads the unused objects of each build, by its name, from stats.json.
func ReadUnused(stats []byte) (map[string]Unused, error) {
	var s struct{ Builds []buildStats }
	if err := json.Unmarshal(stats, &s); err != nil {
		return nil, fmt.Errorf("stats.json: %w", err)
	}
	objects := map[string]Unused{}
	for _, b := range s.Builds {
		objects[b.Name] = Unused{b.UnreadableObjects, b.LeftOut}
	}
	return objects, nil
}

// WriteJSON writes a value in the format of all commands: indented, and without escapes for HTML.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
