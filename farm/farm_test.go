// Package farm tests the files for schedulers beside it. It is a module of its own: the types of
// Kubernetes are exact, and kas itself does not need them. make farm-test puts kas on the path.
package farm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batch "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

// TestKubernetes decodes kubernetes.yaml into the types of its API, where an unknown or repeated
// key is an error, and does what its two Jobs do.
func TestKubernetes(t *testing.T) {
	data, err := os.ReadFile("kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var run, merge batch.Job
	jobs := []*batch.Job{&run, &merge}
	texts := bytes.Split(data, []byte("\n---\n"))
	if len(texts) != len(jobs) {
		t.Fatalf("%d documents", len(texts))
	}
	for i, job := range jobs {
		if err := yaml.UnmarshalStrict(texts[i], job); err != nil {
			t.Fatal(err)
		}
		if job.APIVersion != "batch/v1" || job.Kind != "Job" {
			t.Errorf("%s %s", job.APIVersion, job.Kind)
		}
	}
	// What the API server demands of such a Job.
	s := &run.Spec
	if *s.CompletionMode != batch.IndexedCompletion || *s.PodReplacementPolicy != batch.Failed ||
		*s.BackoffLimitPerIndex < 1 || *s.MaxFailedIndexes > *s.Completions ||
		s.Template.Spec.RestartPolicy != "Never" {
		t.Errorf("%+v", s)
	}
	d := newDemo(t)
	for i := range 5 {
		c := s.Template.Spec.Containers[0]
		d.run(append(c.Command, c.Args...), fmt.Sprintf("JOB_COMPLETION_INDEX=%d", i))
	}
	d.run(merge.Spec.Template.Spec.Containers[0].Command)
	d.check()
}

// TestGitLab does what the jobs of gitlab-ci.yml do.
func TestGitLab(t *testing.T) {
	data, err := os.ReadFile("gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	type job struct{ Script []string }
	var file struct {
		Run   job `json:"kas"`
		Merge job `json:"kas-merge"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	d := newDemo(t)
	sh := func(j job, env ...string) {
		t.Helper()
		d.run([]string{"sh", "-ec", strings.Join(j.Script, "\n")}, append(env, "KAS_OUT=/out")...)
	}
	for i := range 3 {
		sh(file.Run, fmt.Sprintf("CI_NODE_INDEX=%d", i+1), "CI_NODE_TOTAL=3")
	}
	sh(file.Merge)
	d.check()
}

// TestPipeline does what the job of gitlab-pipeline.yml does, with the rules of kas.yaml and the
// demo's kernels: a first run, one with an equal result, and one with a damaged module.
func TestPipeline(t *testing.T) {
	var file struct {
		Kas struct {
			Script    []string
			Cache     struct{ Paths []string }
			Artifacts struct {
				Paths   []string
				Reports struct {
					JUnit   []string `json:"junit"`
					Metrics string
				}
			}
		} `json:"kas"`
	}
	data, err := os.ReadFile("gitlab-pipeline.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(data, []byte("\n")); n >= 20 {
		t.Errorf("%d lines", n)
	}
	d := newDemo(t)
	dir := filepath.Join(d.dir, "kernels")
	d.rules(dir)
	job := []string{"sh", "-ec", strings.Join(file.Kas.Script, "\n")}
	made := slices.Concat(file.Kas.Cache.Paths, file.Kas.Artifacts.Paths,
		file.Kas.Artifacts.Reports.JUnit, []string{file.Kas.Artifacts.Reports.Metrics})
	for i := range 2 {
		d.run(job)
		for _, pattern := range made {
			if found, err := filepath.Glob(filepath.Join(dir, pattern)); len(found) == 0 {
				t.Errorf("run %d: no %s: %v", i, pattern, err)
			}
		}
	}
	d.run([]string{"truncate", "-s", "1000", "matrix/x86_64-gcc/modules/kernel/fs/fat/fat.ko"})
	c := exec.Command(job[0], job[1:]...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("kas: x86_64-gcc: problems: 1, at most 0: ")) {
		t.Errorf("%v\n%s", err, out)
	}
	for file, want := range map[string]string{
		"gate.xml": "<failure", "junit.xml": `failures="1"`, "report.html": "History",
	} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s has no %s: %v", file, want, err)
		}
	}
	if all, _ := os.ReadDir(filepath.Join(dir, "last", "history")); len(all) != 2 {
		t.Errorf("%d runs passed", len(all))
	}
}

// demo is the kernels of the demo, what one run makes of them, and an output folder.
type demo struct {
	t   *testing.T
	dir string
}

func newDemo(t *testing.T) *demo {
	if err := exec.Command("kas").Err; err != nil {
		t.Fatal(err)
	}
	d := &demo{t, t.TempDir()}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	d.run([]string{"kas", "demo", "/kernels"})
	d.run([]string{"cp", "/kernels/demo.yaml", "/kernels/kas.yaml"})
	return d
}

// run runs a command with /kernels and /out in the folder of the test. /out is beside the output of
// one run: the configuration says where the kernels are from there.
func (d *demo) run(command []string, env ...string) {
	d.t.Helper()
	in := strings.NewReplacer("/kernels", filepath.Join(d.dir, "kernels"),
		"/out", filepath.Join(d.dir, "kernels", "shards"))
	command, env = slices.Clone(command), slices.Clone(env)
	for _, list := range [][]string{command, env} {
		for i := range list {
			list[i] = in.Replace(list[i])
		}
	}
	c := exec.Command(command[0], command[1:]...)
	c.Dir = d.dir
	if kernels := filepath.Join(d.dir, "kernels"); exists(kernels) {
		c.Dir = kernels
	}
	c.Env = append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// rules makes kas.yaml of the demo's builds and what the kas.yaml beside this test says but builds.
func (d *demo) rules(dir string) {
	d.t.Helper()
	rules, err := os.ReadFile("kas.yaml")
	if err != nil {
		d.t.Fatal(err)
	}
	path := filepath.Join(dir, "kas.yaml")
	builds, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	head, _, _ := bytes.Cut(rules, []byte("builds:"))
	for _, key := range []string{"version: 1\n", "out: out\n"} {
		builds = bytes.Replace(builds, []byte(key), nil, 1)
	}
	if err := os.WriteFile(path, append(head, builds...), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// check compares the output with that of one run.
func (d *demo) check() {
	d.t.Helper()
	d.run([]string{"diff", "-r", "out", "/out"}) // in /kernels
}
