package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Stages of a run beside the tool that does the same work.

// xfs is a large module.
const xfs = "fs/xfs/xfs.ko"

// stage returns the function that picks the time of one stage.
func stage(name string) func(kasCost) float64 {
	return func(c kasCost) float64 { return c.stages[name] }
}

// scanDedupe compares reading all symbols and finding the duplicates with nm, which only reads all
// symbols: in one process a file, as kbuild and kas_alias call it, and, for information, in as few
// processes as the command line allows.
func scanDedupe(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	config, err := b.config("scan", []kernel{k}, "scan", "dedupe")
	if err != nil {
		return nil, err
	}
	const script = `find "$@" -type f \( -name '*.ko' -o -name 'vmlinux*' \) |
		xargs -P 2 -n "$FILES" llvm-nm-19 >/dev/null`
	nm := func(files string) func() (float64, error) {
		return b.processSide(costCPU,
			"env", "FILES="+files, "sh", "-c", script, "sh", k.vmlinux, k.modules)
	}
	v, err := b.inTurn("scan-dedupe", b.kasSide(config, kasCPU), nm("1"), nm("64"))
	if err != nil {
		return nil, err
	}
	c := comparison{
		work: "cloud-amd64, all symbols and their duplicates",
		kas:  "kas run, scan and dedupe", peer: "llvm-nm, a process for each file",
		ours: v[0], theirs: v[1], show: cpu, target: atLeast(50, "less"),
	}
	batched := c
	batched.peer, batched.theirs = "llvm-nm, 64 files a process", v[2]
	batched.target = informs("less")
	return []comparison{c, batched}, nil
}

// resolveVmlinux compares finding the locations of the duplicates in vmlinux with eu-addr2line,
// which gets all addresses at once.
func resolveVmlinux(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	k.modules = ""
	addresses, err := lookedUp(b, k)
	if err != nil {
		return nil, err
	}
	config, err := b.config("resolve", []kernel{k}, "scan", "dedupe", "normalize", "resolve")
	if err != nil {
		return nil, err
	}
	kas := b.kasSide(config, stage("resolve"))
	v, err := b.inTurn("resolve-vmlinux", kas, func() (float64, error) {
		cmd := exec.CommandContext(b.ctx, "eu-addr2line", "-e", k.vmlinux)
		cmd.Stdin = strings.NewReader(strings.Join(addresses, "\n") + "\n")
		c, err := measure(cmd)
		return c.wall, err
	})
	if err != nil {
		return nil, err
	}
	return []comparison{{
		work: fmt.Sprintf("locations of %d functions of vmlinux", len(addresses)),
		kas:  "stage resolve", peer: "eu-addr2line with all addresses at once",
		ours: v[0], theirs: v[1], show: millis, target: atLeast(2, "faster"),
	}}, nil
}

// lookedUp returns the addresses that a run looks up in the debugging information of vmlinux, found
// or not. It does not look up duplicates that get no alias for another reason.
func lookedUp(b *bench, k kernel) ([]string, error) {
	config, err := b.config("lookup", []kernel{k})
	if err != nil {
		return nil, err
	}
	if _, err := b.runKas(config, b.path("out")); err != nil {
		return nil, err
	}
	named, err := table(b.path("out/0/aliases.tsv"))
	if err != nil {
		return nil, err
	}
	unnamed, err := table(b.path("out/0/unaliased.tsv"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, r := range named { // alias symbol object section address ...
		all = append(all, "0x"+r[4])
	}
	for _, r := range unnamed { // symbol object section address type reason
		if r[5] == "not in the debugging information" {
			all = append(all, "0x"+r[3])
		}
	}
	return all, b.quiet("out")
}

// emitAll compares writing the modules that have aliases with copying their originals.
func emitAll(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	config, err := b.config("run", []kernel{k})
	if err != nil {
		return nil, err
	}
	var files []string
	v, err := b.inTurn("emit-all",
		func() (float64, error) {
			c, err := b.runKas(config, b.path("out"), "--fresh")
			if err != nil {
				return 0, err
			}
			if files, err = emitted(b.path("out/0/modules")); err != nil {
				return 0, err
			}
			return c.stages["emit"], b.quiet("out")
		},
		func() (float64, error) {
			if err := os.Mkdir(b.path("copy"), 0o755); err != nil {
				return 0, err
			}
			args := append([]string{"--parents", "-t", b.path("copy")}, files...)
			cmd := exec.CommandContext(b.ctx, "cp", args...)
			cmd.Dir = k.modules
			c, err := measure(cmd)
			if err != nil {
				return 0, err
			}
			return c.wall, b.quiet("copy")
		})
	if err != nil {
		return nil, err
	}
	return []comparison{{
		work: fmt.Sprintf("%d modules of cloud-amd64 with aliases written", len(files)),
		kas:  "stage emit", peer: "cp of the originals",
		ours: v[0], theirs: v[1], show: wall, target: atMost(1.3),
	}}, nil
}

// emitted lists the modules that a run wrote, by the paths of their originals.
func emitted(dir string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if original, ok := strings.CutSuffix(path, ".kas"); ok && err == nil {
			original, err = filepath.Rel(dir, original)
			all = append(all, original)
		}
		return err
	})
	return all, err
}

// emitXFS compares writing one large module with the tools that can add a symbol; each adds one.
// All end when the file is on disk.
func emitXFS(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	module := filepath.Join(k.modules, xfs)
	config, err := b.config("xfs", []kernel{{modules: module, names: "xfs_attr_*"}})
	if err != nil {
		return nil, err
	}
	aliases := 0
	const symbol = "xfs_attr_get@fs_xfs_libxfs_xfs_attr_c_1=.text:0x10,local,function"
	alias := []string{"--add-symbol", symbol, module, "copy"}
	onDisk := func(args ...string) side {
		script := []string{"-c", `"$@" && sync --data copy`, "sh"}
		return b.processSide(costWall, "sh", append(script, args...)...)
	}
	v, err := b.inTurn("emit-xfs",
		func() (float64, error) {
			c, err := b.runKas(config, b.path("out"), "--fresh")
			if err != nil {
				return 0, err
			}
			rows, err := table(b.path("out/0/aliases.tsv"))
			if err != nil {
				return 0, err
			}
			aliases = len(rows)
			return c.stages["emit"], b.quiet("out")
		},
		onDisk(append([]string{"objcopy"}, alias...)...),
		onDisk(append([]string{"llvm-objcopy-19"}, alias...)...),
		onDisk("cp", module, "copy"),
	)
	if err != nil {
		return nil, err
	}
	if aliases == 0 {
		return nil, fmt.Errorf("no aliases in %s", xfs)
	}
	line := func(peer string, theirs []float64, t target) comparison {
		return comparison{
			work: fmt.Sprintf("xfs.ko with %d aliases written", aliases),
			kas:  "stage emit", peer: peer, ours: v[0], theirs: theirs, show: millis, target: t,
		}
	}
	return []comparison{
		line("objcopy, one alias, and sync", v[1], atLeast(4, "faster")),
		line("llvm-objcopy, one alias, and sync", v[2], informs("faster")),
		line("cp and sync", v[3], informs("")),
	}, nil
}
