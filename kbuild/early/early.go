// Package early runs the real tool in place of a hook before the other packages of the program are
// initialized: a kernel's build calls nm and ld thousands of times, and the hooks change a few of
// these calls. Which calls they change is decided in kbuild. This package passes on those that are
// certainly none of them, and leaves all others alone.
//
// Packages are initialized in the order of their import paths, each as soon as those that it
// imports are (Go specification, "Program initialization"). So this package comes among the first
// as long as it imports nothing but syscall. With os or strings it would come among the last.
package early

import "syscall"

func init() {
	argv := arguments()
	hook, args := called(argv)
	if hook == "" || !Passed(hook, args, getenv) {
		return
	}
	call := Parse(args)
	if tool := call.Tool(hook, getenv); len(tool) > 0 {
		become(tool[0], append(tool, call.Args...))
	}
}

// tools has the names of the tools that hooks stand for, by hook: that of GNU binutils, and that of
// LLVM.
var tools = map[string][2]string{"nm": {"nm", "llvm-nm"}, "ld": {"ld", "ld.lld"}}

// cmdline is where arguments reads first. On the stack it would make the stack grow, which costs
// more than all else here.
var cmdline [4096]byte

// arguments returns what os.Args will be, nil if that is unknown.
func arguments() []string {
	f, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(f)
	text := cmdline[:0]
	for {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := syscall.Read(f, text[len(text):cap(text)])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil
		}
		if n <= 0 {
			return split(string(text))
		}
		text = text[:len(text)+n]
	}
}

// split splits a text into its parts, each of which ends with a zero byte.
func split(text string) []string {
	var all []string
	for start, i := 0, 0; i < len(text); i++ {
		if text[i] == 0 {
			all, start = append(all, text[start:i]), i+1
		}
	}
	return all
}

// called returns the hook that a command line calls, with its arguments, or "".
func called(argv []string) (hook string, args []string) {
	if len(argv) == 0 {
		return "", nil
	}
	name := base(argv[0])
	if name == "kas" && len(argv) > 1 {
		hook, args = argv[1], argv[2:]
	} else if hasPrefix(name, "kas-") {
		hook, args = name[len("kas-"):], argv[1:]
	}
	if _, ok := tools[hook]; !ok {
		return "", nil
	}
	return hook, args
}

// Passed reports whether a call is certainly one that the hook passes through: the output of a link
// is neither a module nor an image of vmlinux, and nm does not list such an image. How the
// arguments are spelled does not matter.
func Passed(hook string, args []string, getenv func(string) string) bool {
	if SingleWord(getenv) {
		return false // kbuild may refuse it
	}
	if getenv("KAS") == "0" {
		return true
	}
	if hook == "nm" {
		return len(args) == 0 || !contains(args[len(args)-1], "vmlinux")
	}
	for _, a := range args {
		if hasSuffix(a, ".ko") || contains(a, ".tmp_vmlinux") || hasPrefix(a, "@") {
			return false
		}
	}
	return true
}

// SingleWord reports whether $(NM) is a hook of two words where kbuild takes it for one: in a build
// of the kernel with LTO, scripts/generate_initcall_order.pl does.
func SingleWord(getenv func(string) string) bool {
	words := fields(getenv("NM"))
	return len(words) > 1 && words[1] == "nm" && getenv("CC_FLAGS_LTO") != "" &&
		getenv("KBUILD_EXTMOD") == ""
}

// Call is the arguments of a hook. Its own options come first, each in two words or in one with =.
type Call struct {
	Registry string   // of --registry
	Args     []string // for the real tool

	tool  []string // of --tool: the tool with options of its own
	named bool     // --tool is there
}

// Parse reads the arguments of a hook.
func Parse(args []string) Call {
	var c Call
	for {
		if value, rest, ok := option(args, "--tool"); ok {
			c.tool, c.named, args = fields(value), true, rest
		} else if value, rest, ok := option(args, "--registry"); ok {
			c.Registry, args = value, rest
		} else {
			c.Args = args
			return c
		}
	}
}

// option returns the value of an option if the arguments begin with it, and those after it.
func option(args []string, name string) (value string, rest []string, ok bool) {
	if len(args) > 0 && hasPrefix(args[0], name+"=") {
		return args[0][len(name)+1:], args[1:], true
	}
	if len(args) > 1 && args[0] == name {
		return args[1], args[2:], true
	}
	return "", nil, false
}

// Tool returns the real tool: that of --tool or, without it, the one that kbuild selects by LLVM
// and CROSS_COMPILE. It is empty if --tool is.
func (c *Call) Tool(hook string, getenv func(string) string) []string {
	if c.named {
		return c.tool
	}
	gnu, llvm := tools[hook][0], tools[hook][1]
	switch suite := getenv("LLVM"); {
	case hasSuffix(suite, "/"): // a folder
		return []string{suite + llvm}
	case hasPrefix(suite, "-"): // a version
		return []string{llvm + suite}
	case suite != "" && suite != "0":
		return []string{llvm}
	}
	return []string{getenv("CROSS_COMPILE") + gnu}
}

// become replaces this process by a tool. It returns if that fails: kbuild then tries the same and
// reports why.
func become(tool string, argv []string) {
	if contains(tool, "/") {
		syscall.Exec(tool, argv, syscall.Environ())
		return
	}
	path := getenv("PATH")
	for len(path) > 0 {
		end := 0
		for end < len(path) && path[end] != ':' {
			end++
		}
		dir := path[:end]
		path = path[min(end+1, len(path)):]
		if !hasPrefix(dir, "/") {
			return // the current folder, which kbuild refuses
		}
		// To try Exec in each folder would cost more: it copies the environment.
		const executable = 1
		if syscall.Access(dir+"/"+tool, executable) == nil {
			syscall.Exec(dir+"/"+tool, argv, syscall.Environ())
			return
		}
	}
}

func getenv(key string) string {
	value, _ := syscall.Getenv(key)
	return value
}

// What follows is in strings and path, which this package must not import.

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

func hasSuffix(s, suffix string) bool {
	return len(s) >= len(suffix) && s[len(s)-len(suffix):] == suffix
}

func contains(s, part string) bool {
	for ; len(s) >= len(part); s = s[1:] {
		if hasPrefix(s, part) {
			return true
		}
	}
	return false
}

func base(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// fields splits at blanks, tabs and line breaks.
func fields(s string) []string {
	var all []string
	start := -1 // of the word that s[i] is in
	for i := 0; i <= len(s); i++ {
		blank := i == len(s) || s[i] == ' ' || s[i] == '\t' || s[i] == '\n'
		if blank && start >= 0 {
			all, start = append(all, s[start:i]), -1
		} else if !blank && start < 0 {
			start = i
		}
	}
	return all
}
