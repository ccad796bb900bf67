package kbuild

import "strings"

// llvmTools has the names of LLVM's tools that hooks stand for. Those of GNU binutils have the
// names of the hooks.
var llvmTools = map[string]string{"nm": "llvm-nm", "ld": "ld.lld"}

// call is the arguments of a hook. Its own options come first, each in two words or in one with =.
type call struct {
	registry string   // of --registry
	args     []string // for the real tool

	tool  []string // of --tool: the tool with options of its own
	named bool     // --tool is there
}

// parse reads the arguments of a hook.
func parse(args []string) call {
	var c call
	for {
		if value, rest, ok := option(args, "--tool"); ok {
			c.tool, c.named, args = strings.Fields(value), true, rest
		} else if value, rest, ok := option(args, "--registry"); ok {
			c.registry, args = value, rest
		} else {
			c.args = args
			return c
		}
	}
}

// option returns the value of an option if the arguments begin with it, and those after it.
func option(args []string, name string) (value string, rest []string, ok bool) {
	if len(args) == 0 {
		return "", nil, false
	}
	if value, ok = strings.CutPrefix(args[0], name+"="); ok {
		return value, args[1:], true
	}
	if len(args) > 1 && args[0] == name {
		return args[1], args[2:], true
	}
	return "", nil, false
}

// real returns the real tool: that of --tool or, without it, the one that kbuild selects by LLVM
// and CROSS_COMPILE. It is empty if --tool is. hook.sh does the same.
func (c *call) real(hook string, getenv func(string) string) []string {
	if c.named {
		return c.tool
	}
	llvm := llvmTools[hook]
	switch suite := getenv("LLVM"); {
	case strings.HasSuffix(suite, "/"): // a folder
		return []string{suite + llvm}
	case strings.HasPrefix(suite, "-"): // a version
		return []string{llvm + suite}
	case suite != "" && suite != "0":
		return []string{llvm}
	}
	return []string{getenv("CROSS_COMPILE") + hook}
}

// twoWords reports whether $(NM) is a hook of two words where kbuild takes it for one: in a build
// of the kernel with LTO, scripts/generate_initcall_order.pl does.
func twoWords(getenv func(string) string) bool {
	words := strings.Fields(getenv("NM"))
	return len(words) > 1 && words[1] == "nm" && getenv("CC_FLAGS_LTO") != "" &&
		getenv("KBUILD_EXTMOD") == ""
}
