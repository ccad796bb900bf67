package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kas/fetch"
	"kas/pipeline"
	"kas/registry"
	"kas/report"
)

type publishFlags struct{ incomplete, json bool }

// publishedJSON is a registry that is where servers have it.
type publishedJSON struct {
	Path      string `json:"path"`
	Release   string `json:"release,omitempty"`
	BuildID   string `json:"build_id"`
	Unchanged bool   `json:"unchanged,omitempty"` // it was there
}

func newPublish() *cobra.Command {
	var f publishFlags
	cmd := &cobra.Command{
		Use:   "publish OUT DIR",
		Short: "Copy registries to a folder that a web server serves",
		Long: `Copy the registries of OUT, the output of a run or a registry, to
DIR/buildid/BUILDID/symbols.kas.zst. A web server that serves DIR, or a shared
folder, is all that other machines need: kas lookup and kas probe fetch the
registry of their kernel. What is there already stays as it is.`,
		Example: `  kas registry publish out /srv/kernels
  KAS_REGISTRY_URL=https://kernels.example.org kas lookup name_show`,
		Args:              argCount(2, 2),
		ValidArgsFunction: completeFolders,
		RunE: func(cmd *cobra.Command, args []string) error {
			return publish(args[0], args[1], f, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&f.incomplete, "allow-incomplete", false,
		"publish registries that lack objects of their builds, too")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func publish(out, dir string, f publishFlags, stdout io.Writer) error {
	info, err := os.Stat(out)
	if err != nil {
		return err
	}
	files := []string{out}
	if info.IsDir() {
		if files, err = registriesIn(out); err != nil {
			return err
		}
	}
	// All or none: a server must not have half of a release.
	var all []*registry.File
	defer func() {
		for _, r := range all {
			r.Close()
		}
	}()
	for _, file := range files {
		r, err := registry.Open(file)
		if err != nil {
			return failure{fmt.Errorf("%s: %w", file, err)}
		}
		all = append(all, r)
		if err := publishable(r, f.incomplete); err != nil {
			return failure{fmt.Errorf("%s: %w", file, err)}
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return failure{err}
	}
	unlock, err := pipeline.LockWait(dir)
	if err != nil {
		return failure{err}
	}
	defer unlock()
	done := []publishedJSON{}
	for _, r := range all {
		path := filepath.Join(dir, fetch.Path(r.BuildID, registry.FileName+".zst"))
		p := publishedJSON{path, r.Release, r.BuildID, isThere(path, r.Digest)}
		what := "unchanged"
		if !p.Unchanged {
			what = "published"
			if _, err := pipeline.WriteFile(path, r.Compress); err != nil {
				return failure{err}
			}
		}
		done = append(done, p)
		if !f.json {
			fmt.Fprintf(stdout, "%s: %s %s\n", what, cmp.Or(r.Release, r.BuildID), path)
		}
	}
	if f.json {
		return asFailure(report.WriteJSON(stdout, done))
	}
	return nil
}

// isThere reports whether a file is the registry with this digest.
func isThere(path, digest string) bool {
	r, err := registry.Open(path)
	if err != nil {
		return false
	}
	defer r.Close()
	return r.Digest == digest
}

// publishable returns why a registry cannot be found by others, or would mislead them.
func publishable(r *registry.File, incomplete bool) error {
	switch {
	case r.OverlayOf != "":
		return errors.New("an overlay, which belongs to one machine")
	case !fetch.IsBuildID(r.BuildID):
		return errors.New("it has no build ID, by which it would be found: " +
			"the kernel was linked without --build-id")
	case r.Incomplete.Objects > 0 && !incomplete:
		return fmt.Errorf("%s; --allow-incomplete publishes it", &r.Incomplete)
	}
	return nil
}
