package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kas/pipeline"
	"kas/registry"
	"kas/report"
)

// baseline is a folder with what is compared of the last run that passed: its stats.json and the
// registry of each build. history in it has the stats.json of every such run, for the trend of a
// report.
type baseline struct {
	dir string
	old string // dir, or "" if it has no run yet
}

const historyDir = "history"

// begin locks the folder. out is the output that will be compared with it.
func (b *baseline) begin(out string) (end func(), err error) {
	if isBelow(out, b.dir) || isBelow(b.dir, out) {
		return nil, fmt.Errorf("--baseline %s is in the output folder %s, or has it: "+
			"choose another place", b.dir, out)
	}
	// keep removes files. A folder that it has filled has a history.
	history := filepath.Join(b.dir, historyDir)
	if all, _ := os.ReadDir(b.dir); len(all) > 0 && !isFolder(history) {
		return nil, fmt.Errorf("--baseline %s has other files: choose an empty folder", b.dir)
	}
	if _, err := os.Stat(out); err != nil {
		return nil, err
	}
	end, err = pipeline.LockWait(b.dir)
	if err == nil && isFile(filepath.Join(b.dir, report.StatsFile)) {
		b.old = b.dir
	}
	return end, asFailure(err)
}

// keep replaces the run in the folder by that of an output folder. stats.json is removed first and
// written last, so that half a run does not count.
func (b *baseline) keep(out string) error {
	stats, err := os.ReadFile(filepath.Join(out, report.StatsFile))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(b.dir, historyDir), 0o777); err != nil {
		return err
	}
	if err := pipeline.RemoveFile(filepath.Join(b.dir, report.StatsFile)); err != nil {
		return err
	}
	for _, path := range registriesBelow(b.dir) {
		err := errors.Join(pipeline.RemoveFile(path), os.Remove(filepath.Dir(path)))
		if err != nil {
			return err
		}
	}
	for _, path := range registriesBelow(out) {
		if err := b.keepRegistry(path); err != nil {
			return err
		}
	}
	write := func(w io.Writer) error { _, err := w.Write(stats); return err }
	if err := b.addHistory(write); err != nil {
		return err
	}
	_, err = pipeline.WriteFile(filepath.Join(b.dir, report.StatsFile), write)
	return err
}

func (b *baseline) keepRegistry(path string) error {
	r, err := registry.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	build := filepath.Base(filepath.Dir(path))
	to := filepath.Join(b.dir, build, registry.FileName+".zst")
	_, err = pipeline.WriteFile(to, r.Compress)
	return err
}

// addHistory adds the counts of a run to the history, under the next number.
func (b *baseline) addHistory(write func(io.Writer) error) error {
	last := 0
	dir := filepath.Join(b.dir, historyDir)
	all, _ := os.ReadDir(dir) // it may not be there yet
	for _, e := range all {
		if n, err := strconv.Atoi(strings.TrimSuffix(e.Name(), ".json")); err == nil {
			last = max(last, n)
		}
	}
	_, err := pipeline.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.json", last+1)), write)
	return err
}
