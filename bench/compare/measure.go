package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is what a process took, including the children that it waited for.
type cost struct {
	wall, cpu float64 // seconds
	memory    float64 // bytes: the highest peak of any one of these processes
	output    string
}

// measure runs a program. This process must stay small: in the kernel's accounting, a child's peak
// is at least its parent's.
func measure(cmd *exec.Cmd) (cost, error) {
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	started := time.Now()
	err := cmd.Run()
	wall := time.Since(started)
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", cmd.Args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	state := cmd.ProcessState
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("this system does not report what a process took")
	}
	return cost{
		wall:   wall.Seconds(),
		cpu:    (state.UserTime() + state.SystemTime()).Seconds(),
		memory: float64(usage.Maxrss) * 1024,
		output: stdout.String(),
	}, nil
}

// process runs a program in the folder of this run.
func (b *bench) process(name string, args ...string) (cost, error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir = b.work
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return measure(cmd)
}

// kasCost is what a run of kas took, and each of its stages in seconds.
type kasCost struct {
	cost
	stages map[string]float64
}

// runKas runs kas on a configuration into an output folder.
func (b *bench) runKas(config, out string, flags ...string) (kasCost, error) {
	times := b.path("stages.txt")
	args := append([]string{"run", config, "--out", out, "--benchfmt", times}, flags...)
	c, err := b.process(b.kas, args...)
	if err != nil {
		return kasCost{}, err
	}
	text, err := os.ReadFile(times)
	if err != nil {
		return kasCost{}, err
	}
	stages, err := stageTimes(string(text))
	return kasCost{c, stages}, err
}

// stageTimes reads the times of the stages, added up over the builds, from Go's benchmark format.
func stageTimes(text string) (map[string]float64, error) {
	stages := map[string]float64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "BenchmarkStage/") {
			continue
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil || fields[3] != "ns/op" {
			return nil, fmt.Errorf("no time in %q", line)
		}
		for _, key := range strings.Split(fields[0], "/") {
			if stage, ok := strings.CutPrefix(key, "stage="); ok {
				stages[stage] += ns / 1e9
			}
		}
	}
	if len(stages) == 0 {
		return nil, errors.New("kas reported no stage's time")
	}
	return stages, nil
}

// quiet removes what a measured process wrote and waits for the disk, so that the next process does
// not pay for it.
func (b *bench) quiet(names ...string) error {
	for _, name := range names {
		if err := os.RemoveAll(b.path(name)); err != nil {
			return err
		}
	}
	syscall.Sync()
	return b.ctx.Err()
}

// side is one side of a comparison: a call runs it once, cleans up and returns the measured value.
type side func() (float64, error)

// inTurn runs the sides one after the other, once to warm up and then in each round. It returns the
// values of each side.
func (b *bench) inTurn(what string, sides ...side) ([][]float64, error) {
	return b.inRounds(what, func() ([]float64, error) {
		var values []float64
		for _, s := range sides {
			v, err := s()
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
		return values, nil
	})
}

// inRounds calls round once to warm up and then for each round. The result has a column for each
// value that round returns.
func (b *bench) inRounds(what string, round func() ([]float64, error)) ([][]float64, error) {
	var columns [][]float64
	for i := range b.rounds + 1 {
		values, err := round()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			columns = make([][]float64, len(values))
			fmt.Fprintf(os.Stderr, "compare: %s: warm-up %.3g\n", what, values)
			continue
		}
		fmt.Fprintf(os.Stderr, "compare: %s: round %d of %d %.3g\n", what, i, b.rounds, values)
		for j, v := range values {
			columns[j] = append(columns[j], v)
		}
	}
	return columns, nil
}
