package main

import "path/filepath"

// packaged compares a run on a package with unpacking it by dpkg-deb. kas begins without a cache;
// its second run finds the package there and nothing to do.
func packaged(b *bench) ([]comparison, error) {
	deb, err := match(filepath.Join(b.cache, "corpus", "package", "*.deb"))
	if err != nil {
		return nil, err
	}
	config, err := b.config("package", []kernel{{pkg: deb}})
	if err != nil {
		return nil, err
	}
	run := func() (cost, error) {
		return b.process("env", "XDG_CACHE_HOME="+b.path("cache"), b.kas, "run",
			config, "--out", b.path("out"))
	}
	v, err := b.inRounds("package", func() ([]float64, error) {
		first, err := run()
		if err != nil {
			return nil, err
		}
		second, err := run()
		if err != nil {
			return nil, err
		}
		if err := b.quiet("cache", "out"); err != nil {
			return nil, err
		}
		peer, err := b.process("dpkg-deb", "-x", deb, b.path("unpacked"))
		if err != nil {
			return nil, err
		}
		return []float64{first.wall, peer.wall, first.memory, second.wall}, b.quiet("unpacked")
	})
	if err != nil {
		return nil, err
	}
	const work = "the -dbg package of cloud-amd64"
	return []comparison{
		{work: work, kas: "kas run", peer: "dpkg-deb -x", ours: v[0], theirs: v[1], show: wall,
			target: atMost(1.1)},
		{work: work + ", peak", kas: "kas run", ours: v[2], show: megabytes, target: atMost(1e9)},
		{work: work + ", again", kas: "kas run", ours: v[3], show: wall, target: atMost(0.2)},
	}, nil
}
