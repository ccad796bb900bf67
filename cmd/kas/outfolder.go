package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kas/configs"
	"kas/pipeline"
	"kas/report"
	"kas/stages"
)

// outFolder is the output folder of a run, and what the run before left in it.
type outFolder struct {
	dir    string
	record *pipeline.Record
	config []byte        // kas.effective.yaml
	stats  []byte        // stats.json
	last   *configs.Plan // of kas.effective.yaml, nil if there is none
}

// openOut prepares an output folder, which must be locked, for a run. It refuses one where another
// program has a file that the run would replace.
func openOut(plan *configs.Plan) (*outFolder, error) {
	o := &outFolder{dir: plan.Out}
	var err error
	if o.record, err = pipeline.OpenRecord(o.dir); err != nil {
		return nil, err
	}
	own := []string{o.path(effectiveConfig), o.path(statsFile)}
	o.config, err = os.ReadFile(own[0])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if o.record.Empty() && configs.IsEffective(o.config) {
		for i := range plan.Builds {
			b := &plan.Builds[i]
			if err := stages.Adopt(b, o.path(b.Name)); err != nil {
				return nil, err
			}
		}
		err = o.record.Adopt(own)
	} else {
		err = claim(o.record, own)
	}
	if err == nil {
		err = o.record.RemoveTemporary()
	}
	if err != nil {
		return nil, err
	}
	// Builds of what cannot be read are not counted again: see finish.
	o.stats, _ = os.ReadFile(own[1])
	o.last, _ = configs.LoadSome(own[0], configs.Choice{Optional: true, Unlisted: true})
	return o, nil
}

// claim makes sure that kas may write the files.
func claim(record *pipeline.Record, paths []string) error {
	foreign, err := record.Claim(paths)
	for _, there := range foreign {
		err = cmp.Or(err, pipeline.Foreign(there))
	}
	return err
}

func (o *outFolder) path(name string) string { return filepath.Join(o.dir, name) }

// begin removes stats.json, without which the folder does not look like that of a finished run. Its
// second step puts that on disk.
func (o *outFolder) begin() (settled func() error, err error) {
	err = os.Remove(o.path(statsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return func() error { return pipeline.SyncFolder(o.dir) }, err
}

// finish writes what belongs to the run as a whole. stats.json comes last: it marks a finished run.
// Both files cover all builds of the folder, also those that only earlier runs made.
func (o *outFolder) finish(plan *configs.Plan, result *pipeline.Result, stderr io.Writer) error {
	before := report.ReadBuilds(o.stats, o.config)
	whole := plan.With(o.last, func(name string) bool {
		_, counted := before[name]
		return counted && isFolder(o.path(name))
	})
	o.noteOthers(whole, stderr)
	effective, err := whole.Effective(o.dir)
	if err != nil {
		return err
	}
	if err := o.finishBuilds(plan, result); err != nil {
		return err
	}
	return o.sum(effective, result, buildNames(whole), before)
}

// finishBuilds marks the builds of a run finished.
func (o *outFolder) finishBuilds(plan *configs.Plan, result *pipeline.Result) error {
	program := programOf()
	for _, b := range result.Builds {
		config, err := plan.EffectiveBuild(o.dir, &b.Config)
		if err != nil {
			return err
		}
		built := report.NewBuilt(program, config, b.Inputs)
		built.Count(result, b)
		if err := writeBuilt(b.Dir, built); err != nil {
			return err
		}
	}
	return nil
}

// sum writes the two files about the folder as a whole.
func (o *outFolder) sum(
	effective []byte, result *pipeline.Result, names []string, before report.Earlier,
) error {
	if err := writeChanged(o.path(effectiveConfig), effective); err != nil {
		return err
	}
	var stats bytes.Buffer
	if err := report.Stats(&stats, result, effective, names, before); err != nil {
		return err
	}
	return writeChanged(o.path(statsFile), stats.Bytes())
}

// writeBuilt marks the build in a folder finished.
func writeBuilt(dir string, built *report.Built) error {
	path := filepath.Join(dir, pipeline.BuildFile)
	record, err := pipeline.OpenRecord(dir)
	if err != nil {
		return err
	}
	// A build of few stages has claimed nothing.
	if err := claim(record, []string{path}); err != nil {
		return err
	}
	text, err := built.Text()
	if err != nil {
		return err
	}
	return writeChanged(path, text)
}

// writeChanged writes a file, unless it has this content already.
func writeChanged(path string, text []byte) error {
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, text) {
		return nil
	}
	_, err := pipeline.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	return err
}

// noteOthers names the folders of builds that the summary does not cover: those of a run that did
// not end, or whose objects are gone.
func (o *outFolder) noteOthers(whole *configs.Plan, stderr io.Writer) {
	names := buildNames(whole)
	for _, name := range unlisted(o.dir, names) {
		fmt.Fprintf(stderr, "kas: %s is of an earlier run, and %s does not count it: "+
			"run its build again, or remove it\n", o.path(name), statsFile)
	}
}

// unlisted returns the folders of builds in an output folder that are not among names.
func unlisted(out string, names []string) (others []string) {
	entries, _ := os.ReadDir(out)
	for _, e := range entries {
		_, err := os.Lstat(filepath.Join(out, e.Name(), pipeline.RecordFile))
		if err == nil && !slices.Contains(names, e.Name()) {
			others = append(others, e.Name())
		}
	}
	return others
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
