package kbuild

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Option is the configuration option that Install adds to a kernel.
const Option = "CONFIG_KALLSYMS_ALIAS"

// insertion is one change of a kernel's file: put goes between before and after. These must be in
// the file side by side, exactly once. Nothing is ever replaced, so removing put restores the file.
type insertion struct {
	before, put, after string

	// block means that put is whole lines. It gets marks around it and an empty line before it.
	// before is the end of a line then, and after begins with an empty line.
	block bool

	// newer means that an older kas did not have it: the file may have the other parts only.
	newer bool
}

// insertions is everything that the option needs, by file. The anchors fit 6.1, 6.12 and later.
var insertions = []fileInsertions{
	{"init/Kconfig", []insertion{
		{before: "\n", put: kconfigText, after: "\nconfig KALLSYMS_ALL\n", block: true},
	}},
	{"scripts/Makefile.modfinal", []insertion{
		// With the option off, both insertions within a line expand to nothing, so the saved
		// command stays the same.
		{before: "-o $@ $(filter %.o", put: " %.o$(kas-ext)", after: ", $^)"},
		// This must come after the definition of the command and before the rule.
		{before: "\n", put: modfinalText, after: "\nquiet_cmd_btf_ko = BTF [M] $@\n", block: true},
		{before: "%.ko: %.o", put: "$(kas-ext)", after: " %.mod.o"},
	}},
	{"scripts/link-vmlinux.sh", []insertion{
		// This is the script's last call of make, which must not inherit the hooks.
		{
			before: "\n${MAKE} -f \"${srctree}/scripts/Makefile.build\" " +
				"obj=init init/version-timestamp.o\n",
			put:   linkText,
			after: "\n",
			block: true,
		},
	}},
	{"scripts/Makefile.modinst", []insertion{
		{
			before: "\nifdef INSTALL_MOD_STRIP\n",
			put:    modinstText,
			after:  "\nifeq ($(INSTALL_MOD_STRIP),1)\n",
			block:  true,
		},
	}},
	{"Makefile", []insertion{
		{
			before: "\nendif # CONFIG_MODULES\n",
			put:    makefileText,
			after:  "\n###\n# Cleaning is done on three levels.\n",
			block:  true,
			newer:  true,
		},
		// For make clean. The list of names in 6.1 applies to regular files only, but a copy may be
		// a symbolic link.
		{
			put: "-name '*.o.kas' -exec rm -f {} + \\\n\t\t" +
				"-o -type d -name .kas -prune -exec rm -rf {} + \\\n\t\t-o ",
			after: `\( -name '*.[aios]'`,
		},
	}},
}

type fileInsertions struct {
	file string // relative to the tree
	all  []insertion
}

const kconfigText = `config KALLSYMS_ALIAS
	bool "Unique aliases for duplicate symbols, by kas"
	depends on KALLSYMS && !UML
	help
	  Many functions share a name: a kernel has dozens of name_show. This
	  option gives each of them a second name that is unique and says where
	  the function is declared, for example name_show@drivers_pnp_card_c_186.
	  kprobes and tracers accept that name.

	  The program kas must be on the path. Otherwise, name it with
	  make KAS_PROGRAM=/path/to/kas. Without debugging information an alias
	  has only the name of the source file.

	  If unsure, say N.
`

const modfinalText = `ifdef CONFIG_KALLSYMS_ALIAS
KAS_PROGRAM ?= kas

# Those who build modules for this kernel later may not have kas.
ifeq ($(if $(KBUILD_EXTMOD),$(shell command -v $(KAS_PROGRAM) 2>/dev/null),tree),)
$(warning $(KAS_PROGRAM) not found: the modules get no aliases)
else
kas-ext := .kas

# X.o.kas is X.o with aliases. A change of one module may change the aliases of
# another, so kas runs each time. It leaves a file alone that is up to date.
# The saved command and the line below it are what make sbom reads.
cmd_kas_o = $(KAS_PROGRAM) kbuild object $< && { [ -e $(dot-target).cmd ] || \
	printf 'savedcmd_%s := false || %s\n%s : %s\n' \
		$@ '$(KAS_PROGRAM) kbuild object $<' $@ $< >$(dot-target).cmd; }

kas-copies := $(addsuffix .o.kas,$(basename $(modules)))
$(kas-copies): %.kas: % FORCE
	+$(call cmd,kas_o)

# A linker may reorder global symbols, but an alias must follow its original. So
# the aliases of global symbols are added after the link. If X.o.kas becomes a
# link to X.o, it is not newer than X.ko: the command differs then instead. make
# sbom fails on a command that it does not know, but it passes over true and false.
cmd_ld_ko_o += ; $(if $(filter %.kas,$(realpath $<)),true copy;) \
	false || $(KAS_PROGRAM) kbuild finish $@ $(<:.kas=)
endif
endif
`

const linkText = `if is_enabled CONFIG_KALLSYMS_ALIAS; then
	LD="${KAS_PROGRAM:-kas} ld --tool=${LD}"
	export NM="${KAS_PROGRAM:-kas} nm --tool=${NM}"
fi
`

// These options of strip drop local symbols, except those that relocations need and those that
// --keep-symbol names.
const modinstText = `ifdef CONFIG_KALLSYMS_ALIAS
ifneq ($(filter -s --strip-all -x --discard-all --strip-unneeded,$(INSTALL_MOD_STRIP)),)
ifeq ($(findstring *@*,$(INSTALL_MOD_STRIP)),)
$(warning INSTALL_MOD_STRIP=$(INSTALL_MOD_STRIP) drops aliases from the modules; 1 keeps them)
endif
endif
endif
`

const makefileText = `ifdef CONFIG_KALLSYMS_ALIAS
quiet_cmd_kas_registry = KAS     $@
      cmd_kas_registry = $(or $(KAS_PROGRAM),kas) kbuild registry >/dev/null

# Packages of headers take include/generated along.
all: include/generated/symbols.kas
include/generated/symbols.kas: vmlinux $(if $(CONFIG_MODULES),modules.order | modules)
	+$(call cmd,kas_registry)
endif
`

// The marks enclose an inserted block. They are comments in Kconfig, make and shell.
const (
	beginMark = "# kas: begin "
	endMark   = "# kas: end\n"
)

// text returns what is inserted: put, and for a block the marks. The first mark has the digest of
// put. By that, a kas with other texts recognizes the block as unedited.
func (in insertion) text() string {
	if !in.block {
		return in.put
	}
	return "\n" + beginMark + digest(in.put) + ", as `kas kbuild install` wrote it\n" +
		in.put + endMark
}

func digest(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:8] }

// into returns the text of a file with the insertion.
func (in insertion) into(text string) (string, error) {
	anchor := in.before + in.after
	switch strings.Count(text, anchor) {
	case 1:
		return strings.Replace(text, anchor, in.before+in.text()+in.after, 1), nil
	case 0:
		if line := strings.TrimSpace(anchor); !strings.Contains(text, line) {
			anchor = line // otherwise the line is there, and the empty lines around it are missing
		}
		return text, fmt.Errorf(
			"%q not found: kas does not know where the option belongs in this version", anchor)
	}
	return text, fmt.Errorf("%q found more than once: kas does not know which one to use",
		strings.TrimSpace(anchor))
}

// trace matches what a file has only if some part of the option is in it.
var trace = lazily(
	`# kas: |\bkas-ext\b|\bKALLSYMS_ALIAS\b|\bCONFIG_KALLSYMS_ALIAS\b|\bKAS_PROGRAM\b|\.o\.kas\b`)

// lazily returns a function that compiles a regular expression when it is called first: a build
// starts the hooks for each module, and most need none.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// without returns the text of a file without its insertions. The error begins with ":LINE:" if it
// belongs to a line, else with ":".
func without(text string, all []insertion) (string, error) {
	plain, parts := text, 0
	// Within lines only the text of this kas is known. A change of it must keep the old one here.
	for _, in := range all {
		if whole := in.before + in.put + in.after; !in.block && strings.Count(plain, whole) == 1 {
			plain = strings.Replace(plain, whole, in.before+in.after, 1)
			parts++
		}
	}
	plain, blocks, err := withoutBlocks(plain)
	if err != nil {
		return "", err
	}
	if left := trace().FindString(plain); left != "" {
		return "", fmt.Errorf(": %q is not as kas wrote it: remove it by hand", left)
	}
	newer := 0
	for _, in := range all {
		if in.newer {
			newer++
		}
	}
	if parts += blocks; parts != 0 && parts != len(all) && parts != len(all)-newer {
		return "", fmt.Errorf(
			": %d of the %d parts of the option are missing: remove the others by hand",
			len(all)-parts, len(all))
	}
	return plain, nil
}

// withoutBlocks removes the blocks that are between marks and unedited. It fails at any other.
func withoutBlocks(text string) (plain string, blocks int, err error) {
	lines := 0 // removed so far
	for at := mark(text); at >= 0; at = mark(text) {
		line := 1 + lines + strings.Count(text[:at], "\n")
		first := at + strings.IndexByte(text[at:], '\n') + 1
		end := strings.Index(text[first:], endMark)
		if end < 0 {
			return "", 0, fmt.Errorf(":%d: this block has no end, %q: remove it by hand", line,
				strings.TrimSpace(endMark))
		}
		body := text[first : first+end]
		was, _, _ := strings.Cut(text[at+len(beginMark):first], ",")
		if was != digest(body) || !strings.HasSuffix(text[:at], "\n\n") {
			return "", 0, fmt.Errorf(
				":%d: this block was edited after kas wrote it: remove it by hand", line)
		}
		text = text[:at-1] + text[first+end+len(endMark):]
		lines += strings.Count(body, "\n") + 3
		blocks++
	}
	return text, blocks, nil
}

// mark returns the offset of the first begin mark, -1 if there is none.
func mark(text string) int {
	if strings.HasPrefix(text, beginMark) {
		return 0
	}
	if at := strings.Index(text, "\n"+beginMark); at >= 0 {
		return at + 1
	}
	return -1
}
