package kbuild

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// Option is the kernel's configuration option that Install adds.
const Option = "CONFIG_KALLSYMS_ALIAS"

// oldest is the first version whose build files are known: before it, modules are linked from other objects.
var oldest = [2]int{6, 1}

// insertion is one change of a kernel's file: put goes between before and after, which the file must have in one place,
// side by side. Nothing is ever replaced, so taking put out again restores the file.
type insertion struct {
	before, put, after string

	block bool // put is lines of its own, which get marks and an empty line; before is a line's end, after an empty line
}

// insertions is all that the option needs, by file. The anchors are those of 6.1, 6.12 and later.
var insertions = []struct {
	file string
	all  []insertion
}{
	{"init/Kconfig", []insertion{
		{before: "\n", put: kconfigText, after: "\nconfig KALLSYMS_ALL\n", block: true},
	}},
	{"scripts/Makefile.modfinal", []insertion{
		// With the option off, both insertions within a line come to nothing, so the command is the one that was saved.
		{before: "-o $@ $(filter %.o", put: " %.o$(kas-ext)", after: ", $^)"},
		// This is after the command is defined and before the rule.
		{before: "\n", put: modfinalText, after: "\nquiet_cmd_btf_ko = BTF [M] $@\n", block: true},
		{before: "%.ko: %.o", put: "$(kas-ext)", after: " %.mod.o"},
	}},
	{"scripts/link-vmlinux.sh", []insertion{
		// That make is the last one, which must not inherit these tools.
		{before: "\n${MAKE} -f \"${srctree}/scripts/Makefile.build\" obj=init init/version-timestamp.o\n", put: linkText, after: "\n", block: true},
	}},
	{"Makefile", []insertion{
		// make clean. A copy may be a symbolic link, and the list of 6.1 is for files alone; so these go on their own.
		{put: "-name '*.o.kas' -exec rm -f {} + \\\n\t\t-o -type d -name .kas -prune -exec rm -rf {} + \\\n\t\t-o ", after: `\( -name '*.[aios]'`},
	}},
}

const kconfigText = `config KALLSYMS_ALIAS
	bool "Unique aliases for duplicate symbols, by kas"
	depends on KALLSYMS && !UML
	help
	  Many functions share their names: there are dozens of name_show. This
	  gives each of them a second name that is its alone and says where it
	  is declared, name_show@drivers_pnp_card_c_186 for instance, by which
	  kprobes and tracers can ask for it.

	  The program kas must be on the path, or be named as
	  make KAS_PROGRAM=/path/to/kas. Without debugging information the
	  aliases do not say where.

	  If unsure, say N.
`

const modfinalText = `ifdef CONFIG_KALLSYMS_ALIAS
KAS_PROGRAM ?= kas
kas-ext := .kas

# X.o.kas is X.o with aliases. Another module's change may change them, so kas
# looks each time; it leaves a file alone that is as it should be.
cmd_kas_o = $(KAS_PROGRAM) kbuild object $<

kas-copies := $(addsuffix .o.kas,$(basename $(modules)))
$(kas-copies): %.kas: % FORCE
	+$(call cmd,kas_o)

# A linker orders global symbols as it likes, and an alias must stand after its
# original: these are added last. Where X.o.kas is a link to X.o, it has no time
# of its own, so the command itself says that there is a copy.
cmd_ld_ko_o += ; $(if $(filter %.kas,$(realpath $<)),: copy;) \
	$(KAS_PROGRAM) kbuild finish $@ $(<:.kas=)
endif
`

const linkText = `if is_enabled CONFIG_KALLSYMS_ALIAS; then
	LD="${KAS_PROGRAM:-kas} ld --tool=${LD}"
	export NM="${KAS_PROGRAM:-kas} nm --tool=${NM}"
fi
`

// Marks stand around what was inserted. They are comments in all languages of a kernel's build.
const (
	beginMark = "# kas: begin "
	endMark   = "# kas: end\n"
)

// text is what is put in: with marks, if it is a block. Its digest lets it be known for unedited by a kas whose own block
// is another.
func (in insertion) text() string {
	if !in.block {
		return in.put
	}
	return "\n" + beginMark + digest(in.put) + ", as `kas kbuild install` wrote it\n" + in.put + endMark
}

func digest(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:8] }

// Changes is what a tree's files are to become.
type Changes []Change

type Change struct {
	File          string // relative to the tree
	Before, After string

	path string
	mode fs.FileMode
}

// Install returns the changes that add the option to a kernel's source tree; none if it has it. Nothing is written yet.
func Install(tree string) (Changes, error) {
	if err := known(tree); err != nil {
		return nil, err
	}
	return changes(tree, func(file, plain string, all []insertion) (string, error) {
		var missing []error
		for _, in := range all {
			var err error
			if plain, err = in.into(plain); err != nil {
				missing = append(missing, fmt.Errorf("%s: %w", filepath.Join(tree, file), err))
			}
		}
		return plain, errors.Join(missing...)
	})
}

// Remove returns the changes that restore a tree as it was before Install; none if it has no option.
func Remove(tree string) (Changes, error) {
	return changes(tree, func(_, plain string, _ []insertion) (string, error) { return plain, nil })
}

// changes asks of each file what becomes of it; plain is the file without the option.
func changes(tree string, become func(file, plain string, all []insertion) (string, error)) (Changes, error) {
	var list Changes
	var problems []error
	for _, f := range insertions {
		c := Change{File: f.file, path: filepath.Join(tree, f.file)}
		info, err := os.Lstat(c.path)
		if err == nil && !info.Mode().IsRegular() {
			// What it leads to may be shared with another tree.
			err = fmt.Errorf("%s is no regular file", c.path)
		}
		var data []byte
		if err == nil {
			c.mode = info.Mode().Perm()
			data, err = os.ReadFile(c.path)
		}
		if err == nil {
			c.Before = string(data)
			var plain string
			if plain, err = without(c.Before, f.all); err != nil {
				err = fmt.Errorf("%s:%w", c.path, err)
			} else {
				c.After, err = become(f.file, plain, f.all)
			}
		}
		if err != nil {
			problems = append(problems, err)
		} else if c.After != c.Before {
			list = append(list, c)
		}
	}
	return list, errors.Join(problems...)
}

// KernelVersion is that of a source tree, as 6.12.
func KernelVersion(tree string) (string, error) {
	major, minor, err := kernelVersion(tree)
	return fmt.Sprintf("%d.%d", major, minor), err
}

var versionLine = regexp.MustCompile(`(?m)^(VERSION|PATCHLEVEL) *= *([0-9]+)$`)

func kernelVersion(tree string) (major, minor int, err error) {
	path := filepath.Join(tree, "Makefile")
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, fmt.Errorf("%s is no kernel's source tree: %w", tree, err)
	}
	found := map[string]int{}
	for _, m := range versionLine.FindAllStringSubmatch(string(data), -1) {
		if _, twice := found[m[1]]; !twice {
			found[m[1]], _ = strconv.Atoi(m[2])
		}
	}
	if len(found) != 2 {
		return 0, 0, fmt.Errorf("%s is no kernel's source tree: looked in %s for the lines VERSION = and PATCHLEVEL =", tree, path)
	}
	return found["VERSION"], found["PATCHLEVEL"], nil
}

// known refuses trees that are too old. Of the others the anchors decide.
func known(tree string) error {
	major, minor, err := kernelVersion(tree)
	if err == nil && (major < oldest[0] || major == oldest[0] && minor < oldest[1]) {
		err = fmt.Errorf("%s is Linux %d.%d: looked for %d.%d or later", tree, major, minor, oldest[0], oldest[1])
	}
	return err
}

// into puts it in.
func (in insertion) into(text string) (string, error) {
	anchor := in.before + in.after
	switch strings.Count(text, anchor) {
	case 1:
		return strings.Replace(text, anchor, in.before+in.text()+in.after, 1), nil
	case 0:
		if line := strings.TrimSpace(anchor); !strings.Contains(text, line) {
			anchor = line // else it is for the empty lines around it
		}
		return text, fmt.Errorf("looked for %q and found none: no way to add the option to this version is known", anchor)
	}
	return text, fmt.Errorf("looked for %q and found more than one", strings.TrimSpace(anchor))
}

// trace is what a file has only if there is something of the option in it.
var trace = regexp.MustCompile(`# kas: |\bkas-ext\b|\bKALLSYMS_ALIAS\b|\bCONFIG_KALLSYMS_ALIAS\b|\bKAS_PROGRAM\b|\.o\.kas\b`)

// without takes out all that was inserted. Its error begins with the line's number, if there is one.
func without(text string, all []insertion) (string, error) {
	plain, parts := text, 0
	// Within lines it is the text of this version of kas: should it ever change, the former one has to be known here.
	for _, in := range all {
		if whole := in.before + in.put + in.after; !in.block && strings.Count(plain, whole) == 1 {
			plain = strings.Replace(plain, whole, in.before+in.after, 1)
			parts++
		}
	}
	lines := 0 // of the blocks that are taken out
	for at := mark(plain); at >= 0; at = mark(plain) {
		first := at + strings.IndexByte(plain[at:], '\n') + 1
		end := strings.Index(plain[first:], endMark)
		how := "was edited since kas wrote it"
		if end < 0 {
			how = fmt.Sprintf("has no end, %q", strings.TrimSpace(endMark))
		} else {
			body := plain[first : first+end]
			was, _, _ := strings.Cut(plain[at+len(beginMark):first], ",")
			if was == digest(body) && strings.HasSuffix(plain[:at], "\n\n") {
				plain = plain[:at-1] + plain[first+end+len(endMark):]
				lines += strings.Count(body, "\n") + 3
				parts++
				continue
			}
		}
		return "", fmt.Errorf("%d: what begins here %s; take it out by hand", 1+lines+strings.Count(plain[:at], "\n"), how)
	}
	if left := trace.FindString(plain); left != "" {
		return "", fmt.Errorf(" %q is there, but not as kas wrote it: take it out by hand", left)
	}
	if parts != 0 && parts != len(all) {
		return "", fmt.Errorf(" %d of the option's %d parts are gone: take out the others by hand", len(all)-parts, len(all))
	}
	return plain, nil
}

// mark is where the first begin mark stands, -1 if there is none.
func mark(text string) int {
	if strings.HasPrefix(text, beginMark) {
		return 0
	}
	if at := strings.Index(text, "\n"+beginMark); at >= 0 {
		return at + 1
	}
	return -1
}

// Write makes the changes. Each file is written whole or not at all, keeps its mode, and none is written if one cannot be.
func (list Changes) Write() (err error) {
	var done []Change
	defer func() {
		if err == nil {
			return
		}
		for _, c := range list {
			os.Remove(c.temporary())
		}
		for _, c := range done {
			c.After = c.Before
			if e := c.stage(); e == nil {
				e = os.Rename(c.temporary(), c.path)
				err = errors.Join(err, e)
			}
		}
	}()
	for _, c := range list {
		if err = c.stage(); err != nil {
			return err
		}
	}
	for _, c := range list {
		if err = os.Rename(c.temporary(), c.path); err != nil {
			return err
		}
		done = append(done, c)
	}
	return nil
}

// temporary is the same each time, so that what a killed run left is written over by the next.
func (c Change) temporary() string {
	return filepath.Join(filepath.Dir(c.path), "."+filepath.Base(c.path)+".kas.tmp")
}

// stage writes the file under its temporary name.
func (c Change) stage() error {
	f, err := os.OpenFile(c.temporary(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, c.mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(c.After)
	// The mode that was asked for passed the umask; a script stays one that can be run.
	return errors.Join(err, f.Chmod(c.mode), f.Close())
}

// Diff writes the changes for patch -p1.
func (list Changes) Diff(w io.Writer) error {
	for _, c := range list {
		text := diff.Diff("a/"+c.File, []byte(c.Before), "b/"+c.File, []byte(c.After))
		_, hunks, _ := bytes.Cut(text, []byte("\n")) // the first line names the files again
		if _, err := w.Write(hunks); err != nil {
			return err
		}
	}
	return nil
}
