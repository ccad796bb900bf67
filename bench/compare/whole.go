package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Whole runs of kas: beside cp, beside a pipeline of other tools, with many builds, with more and
// more modules, and with nothing or little changed since the run before.

// kasSide runs kas on a configuration into a new folder.
func (b *bench) kasSide(config string, value func(kasCost) float64, flags ...string) side {
	return func() (float64, error) {
		// Not reuse what earlier rounds left.
		c, err := b.runKas(config, b.path("out"), append(flags, "--fresh")...)
		if err != nil {
			return 0, err
		}
		return value(c), b.quiet("out")
	}
}

// processSide runs a program. What it writes, if anything, is the file or folder copy.
func (b *bench) processSide(value func(cost) float64, name string, args ...string) side {
	return func() (float64, error) {
		c, err := b.process(name, args...)
		if err != nil {
			return 0, err
		}
		return value(c), b.quiet("copy")
	}
}

func kasWall(c kasCost) float64 { return c.wall }
func kasCPU(c kasCost) float64  { return c.cpu }
func costWall(c cost) float64   { return c.wall }
func costCPU(c cost) float64    { return c.cpu }

func runCloud(b *bench) ([]comparison, error) { return runBesideCopy(b, "cloud-amd64") }
func runAMD64(b *bench) ([]comparison, error) { return runBesideCopy(b, "amd64") }

// runBesideCopy compares a run on a whole kernel with a copy of its modules. Both end when the
// files are on disk.
func runBesideCopy(b *bench, flavour string) ([]comparison, error) {
	k, err := b.corpus(flavour)
	if err != nil {
		return nil, err
	}
	files, err := moduleFiles(k)
	if err != nil {
		return nil, err
	}
	config, err := b.config("run", []kernel{k})
	if err != nil {
		return nil, err
	}
	v, err := b.inTurn(flavour,
		b.kasSide(config, kasWall),
		b.processSide(costWall, "sh", "-c", `cp -r "$0" "$1" && sync -f "$1"`, k.modules, "copy"))
	if err != nil {
		return nil, err
	}
	return []comparison{{
		work: fmt.Sprintf("%s, vmlinux and %d modules", flavour, len(files)),
		kas:  "kas run", peer: "cp -r of the modules, and sync",
		ours: v[0], theirs: v[1], show: wall, target: atMost(1),
	}}, nil
}

//go:embed peers.sh
var peersScript string

// runPeers compares the CPU time of a run with the best that other tools can do.
func runPeers(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	config, err := b.config("run", []kernel{k})
	if err != nil {
		return nil, err
	}
	v, err := b.inTurn("run-peers",
		func() (float64, error) {
			c, err := b.runKas(config, b.path("out"), "--fresh")
			if err != nil {
				return 0, err
			}
			rows, err := table(b.path("out/0/aliases.tsv"))
			if err != nil {
				return 0, err
			}
			b.note("run-peers: kas: %d aliases", len(rows))
			return c.cpu, b.quiet("out")
		},
		func() (float64, error) {
			c, err := b.process("sh", "-c", peersScript, "peers.sh",
				k.vmlinux, k.modules, b.path("copy"))
			if err != nil {
				return 0, err
			}
			b.note("run-peers: peers.sh: %s", strings.TrimSpace(c.output))
			return c.cpu, b.quiet("copy")
		})
	if err != nil {
		return nil, err
	}
	return []comparison{{
		work: "the same run", kas: "kas run", peer: "llvm-nm, eu-addr2line, objcopy: peers.sh",
		ours: v[0], theirs: v[1], show: cpu, target: atLeast(60, "less"),
	}}, nil
}

// memory runs ten builds at once. A peak needs no rounds.
func memory(b *bench) ([]comparison, error) {
	const builds, space = 10, 12e9
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	var free syscall.Statfs_t
	if err := syscall.Statfs(b.work, &free); err != nil {
		return nil, err
	}
	if float64(free.Bavail)*float64(free.Bsize) < space {
		b.note("memory: skipped; ten builds need %s on the disk", megabytes(space))
		return nil, nil
	}
	kernels := make([]kernel, builds)
	for i := range kernels {
		kernels[i] = k
	}
	config, err := b.config("memory", kernels)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "compare: memory: ten builds")
	c, err := b.runKas(config, b.path("out"), "--fresh")
	if err != nil {
		return nil, err
	}
	b.note("memory: the run took %s and %s", wall(c.wall), cpu(c.cpu))
	return []comparison{{
		work: "ten builds of cloud-amd64 at once, peak",
		kas:  "kas run", ours: []float64{c.memory}, show: megabytes, target: atMost(1e9),
	}}, b.quiet("out")
}

// growth runs on more and more modules, with one worker and with two. For all modules it also
// measures a run that writes none, since more workers do not make a disk faster.
func growth(b *bench) ([]comparison, error) {
	k, err := b.corpus("amd64")
	if err != nil {
		return nil, err
	}
	files, err := moduleFiles(k)
	if err != nil {
		return nil, err
	}
	var all []comparison
	for _, n := range []int{100, 1000} {
		c, err := b.grow(files, n)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	whole, err := b.grow(files, len(files))
	if err != nil {
		return nil, err
	}
	whole.target = atLeast(1.7, "faster")
	read, err := b.grow(files, len(files), "scan", "dedupe", "normalize", "resolve", "stats")
	if err != nil {
		return nil, err
	}
	read.work += ", without emit"
	return append(all, whole, read), nil
}

// grow runs on n of the modules, evenly spaced in the list, so that large and small ones are as
// frequent as in the whole.
func (b *bench) grow(files []module, n int, stages ...string) (comparison, error) {
	var list strings.Builder
	var size int64
	for i := range n {
		f := files[i*len(files)/n]
		size += f.size
		fmt.Fprintln(&list, f.path)
	}
	path := b.path("modules.list")
	if err := os.WriteFile(path, []byte(list.String()), 0o644); err != nil {
		return comparison{}, err
	}
	config, err := b.config("growth", []kernel{{modules: path}}, stages...)
	if err != nil {
		return comparison{}, err
	}
	// Bind the peer to one core: beside a single worker, Go's garbage collector would use the
	// other.
	v, err := b.inTurn(fmt.Sprintf("growth: %d modules", n), b.kasSide(config, kasWall),
		b.processSide(costWall, "taskset", "-c", "0",
			b.kas, "run", config, "--out", b.path("copy"), "--fresh"))
	if err != nil {
		return comparison{}, err
	}
	gb := float64(size) / 1e9
	return comparison{
		work: fmt.Sprintf("%d modules of amd64, %.2f GB", n, gb),
		kas:  "two cores", peer: "one core", ours: v[0], theirs: v[1],
		show:   func(v float64) string { return fmt.Sprintf("%.3g s, %.3g s/GB", v, v/gb) },
		target: informs("faster"),
	}, nil
}

// again runs twice into one folder, with no change in between.
func again(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	config, err := b.config("run", []kernel{k})
	if err != nil {
		return nil, err
	}
	v, err := b.inRounds("again", func() ([]float64, error) {
		return b.runs(config, nil, nil)
	})
	if err != nil {
		return nil, err
	}
	return []comparison{{
		work: "cloud-amd64, nothing changed",
		kas:  "second run", peer: "first run",
		ours: v[1], theirs: v[0], show: wall, target: atMost(0.1),
	}}, nil
}

// runs makes each change, if it is not nil, and then runs kas into the same folder. The first run
// starts fresh. It returns the time of each run.
func (b *bench) runs(config string, changes ...func() error) ([]float64, error) {
	var times []float64
	for i, change := range changes {
		var flags []string
		if i == 0 {
			flags = []string{"--fresh"}
		}
		if change != nil {
			if err := change(); err != nil {
				return nil, err
			}
		}
		syscall.Sync()
		c, err := b.runKas(config, b.path("out"), flags...)
		if err != nil {
			return nil, err
		}
		times = append(times, c.wall)
	}
	return times, b.quiet("out")
}

// againOne runs again after one module was replaced: first by a copy of itself, then by one with a
// symbol more. It works on a copy of the modules, since the cache is never written.
func againOne(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	original := filepath.Join(k.modules, xfs)
	if _, err := b.process("cp", "-r", k.modules, "modules"); err != nil {
		return nil, err
	}
	k.modules = b.path("modules")
	config, err := b.config("run", []kernel{k})
	if err != nil {
		return nil, err
	}
	replace := func(program string, args ...string) func() error {
		return func() error {
			if _, err := b.process(program, append(args, original, "new.ko")...); err != nil {
				return err
			}
			return os.Rename(b.path("new.ko"), filepath.Join(k.modules, xfs))
		}
	}
	const symbol = "kas_compare=.text:0x0,local,function"
	v, err := b.inRounds("again-one", func() ([]float64, error) {
		return b.runs(config, nil, replace("cp"), replace("objcopy", "--add-symbol", symbol))
	})
	if err != nil {
		return nil, err
	}
	return []comparison{
		{
			work: "cloud-amd64, one module a new file of the same content",
			kas:  "second run", peer: "first run", ours: v[1], theirs: v[0], show: wall,
		},
		{
			work: "cloud-amd64, one module changed",
			kas:  "third run", peer: "first run", ours: v[2], theirs: v[0], show: wall,
		},
	}, b.quiet("modules")
}
