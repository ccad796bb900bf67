package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"kas/pipeline"
)

// Stats writes stats.json, the counts of every build. It is the same for the same input. config is
// the effective configuration: its digest is in the file. The digest of the file itself is the
// SHA-256 of all its other lines. names are the builds in their order. Those that the run did not
// make have the counts of an earlier run. nil means the builds of the run.
func Stats(
	w io.Writer, r *pipeline.Result, config []byte, names []string, earlier Earlier,
) error {
	s := struct {
		Version int          `json:"version"`
		Digest  string       `json:"digest"`
		Config  string       `json:"config"`
		Builds  []buildStats `json:"builds"`
	}{1, "", digest(config), earlier.with(statsOf(r), names)}
	return writeWithDigest(w, &s, &s.Digest)
}

// writeWithDigest writes a value, which has the digest, with that of its other lines.
func writeWithDigest(w io.Writer, v any, digest *string) error {
	*digest = ""
	var b bytes.Buffer
	if err := WriteJSON(&b, v); err != nil {
		return err
	}
	*digest = digestOf(b.Bytes())
	return WriteJSON(w, v)
}

// digestOf returns the digest of a stats.json or build.json.
func digestOf(file []byte) string {
	var others []byte
	for line := range bytes.Lines(file) {
		if !bytes.HasPrefix(line, []byte(`  "digest": `)) {
			others = append(others, line...)
		}
	}
	return digest(others)
}

// Earlier has what stats.json says of each build, by its name.
type Earlier map[string]buildStats

// with returns the named builds: those that the run made, and of the others what is known.
func (e Earlier) with(made []buildStats, names []string) []buildStats {
	if names == nil {
		return made
	}
	var all []buildStats
	for _, name := range names {
		i := slices.IndexFunc(made, func(b buildStats) bool { return b.Name == name })
		if i >= 0 {
			all = append(all, made[i])
		} else {
			all = append(all, e[name])
		}
	}
	return all
}

// ReadBuilds reads a stats.json and what it says of each build. It returns nothing if the file is
// damaged, or if it does not belong to this effective configuration.
func ReadBuilds(stats, config []byte) Earlier {
	var s struct {
		Digest, Config string
		Builds         []buildStats
	}
	err := json.Unmarshal(stats, &s)
	if err != nil || s.Digest != digestOf(stats) || s.Config != digest(config) {
		return nil
	}
	all := Earlier{}
	for _, b := range s.Builds {
		all[b.Name] = b
	}
	return all
}

func digest(data []byte) string { return fmt.Sprintf("sha256=%x", sha256.Sum256(data)) }

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
		all = append(all, buildStatsOf(r, b))
	}
	return all
}

func buildStatsOf(r *pipeline.Result, b *pipeline.Build) buildStats {
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
	return s
}

// WriteJSON writes a value in the format of all commands: indented, and without escapes for HTML.
// All control characters are escaped, also those that JSON allows in a string, so that a value that
// was read from a file is written as it was.
func WriteJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	out := make([]byte, 0, text.Len())
	for _, r := range text.String() {
		// The encoder escapes this one only in place of a byte that is not UTF-8.
		if r != '\n' && unicode.IsControl(r) || r == utf8.RuneError {
			out = fmt.Appendf(out, "\\u%04x", r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	_, err := w.Write(out)
	return err
}
