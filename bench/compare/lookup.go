package main

import (
	"fmt"
	"strings"
)

// lookup compares queries of a kernel's registry with a limit and with grep, which reads all of it
// and checks nothing.
func lookup(b *bench) ([]comparison, error) {
	k, err := b.corpus("cloud-amd64")
	if err != nil {
		return nil, err
	}
	config, err := b.config("lookup", []kernel{k},
		"scan", "dedupe", "normalize", "resolve", "stats")
	if err != nil {
		return nil, err
	}
	if _, err := b.runKas(config, b.path("out")); err != nil {
		return nil, err
	}
	symbols := b.path("out/0/symbols.kas")
	rows, err := table(b.path("out/0/aliases.tsv"))
	if err != nil {
		return nil, err
	}
	var chosen []string // alias symbol object section address type file line ...
	for _, r := range rows {
		if r[2] == "vmlinux" && strings.HasPrefix(r[0], "name_show@") {
			chosen = r
			break
		}
	}
	if chosen == nil {
		return nil, fmt.Errorf("no alias of name_show in vmlinux")
	}
	grep := b.processSide(costWall, "grep", "-F", chosen[0], symbols)
	var all []comparison
	for _, c := range []struct{ what, pattern string }{
		{"an alias", chosen[0]},
		{"a file and line", chosen[6] + ":" + chosen[7]},
		{"an address", "0x" + chosen[4]},
	} {
		kas := b.processSide(costWall, b.kas, "lookup", "-r", symbols, c.pattern)
		v, err := b.inTurn("lookup", kas, grep)
		if err != nil {
			return nil, err
		}
		all = append(all, comparison{
			work: "registry of cloud-amd64, by " + c.what,
			kas:  "kas lookup", ours: v[0], show: millis, target: atMost(0.010),
		})
		if len(all) == 1 {
			informed := all[0]
			informed.peer, informed.theirs = "grep -F of the alias", v[1]
			informed.target = informs("faster")
			all = append(all, informed)
		}
	}
	return all, b.quiet("out")
}
