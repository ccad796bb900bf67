package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kas/elf"
)

// Kernel is the symbols of a kernel, read from the running one or from a file.
type Kernel struct {
	Path             string // the file that was read, for messages
	Live             bool   // the running kernel: its addresses are valid now
	Release, BuildID string // "" if unknown

	symbols []byte // lines as in /proc/kallsyms
	root    string // if Live: the parent of proc and sys
}

// Symbol is a line of /proc/kallsyms.
type Symbol struct {
	Name, Module string // Module is "" in vmlinux
	Address      uint64
	Type         byte
}

// Code reports whether the symbol may be in a section of instructions, like registry.Record.Code.
func (s *Symbol) Code() bool { return strings.IndexByte("tTwW", s.Type) >= 0 }

// ReadLive reads the running kernel, from the folders proc and sys below root.
func ReadLive(root string) (*Kernel, error) {
	k := &Kernel{Path: filepath.Join(root, "proc/kallsyms"), Live: true, root: root}
	var err error
	if k.symbols, err = readWhole(k.Path); err != nil {
		return nil, fmt.Errorf("cannot read the running kernel's symbols: %w", err)
	}
	if err := checkLines(k.symbols); err != nil {
		return nil, fmt.Errorf("%s: %w", k.Path, err)
	}
	if hidden(k.symbols) {
		return nil, fmt.Errorf("%s shows no addresses: "+
			"be root, or set kernel.kptr_restrict to 0 (sysctl)", k.Path)
	}
	if release, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/osrelease")); err == nil {
		k.Release = strings.TrimSpace(string(release))
	}
	if notes, err := os.ReadFile(filepath.Join(root, "sys/kernel/notes")); err == nil {
		k.BuildID = elf.RunningBuildID(notes)
	}
	return k, nil
}

// readWhole reads a file of proc. Its size is unknown, and small reads of it are slow.
func readWhole(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := bytes.NewBuffer(make([]byte, 0, 16<<20))
	_, err = b.ReadFrom(file)
	return b.Bytes(), err
}

// ReadFile reads a saved /proc/kallsyms, a System.map or a vmlinux.
func ReadFile(path string) (*Kernel, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var magic [4]byte
	n, err := io.ReadFull(file, magic[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(magic[:n]) == "\x7fELF" {
		return readVmlinux(path)
	}
	k := &Kernel{Path: path}
	rest, err := io.ReadAll(file) // not os.ReadFile, because a pipe cannot be opened twice
	if err != nil {
		return nil, err
	}
	k.symbols = append(magic[:n:n], rest...)
	if err := checkLines(k.symbols); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if hidden(k.symbols) {
		return nil, fmt.Errorf("%s shows no addresses: save it as root", path)
	}
	return k, nil
}

func readVmlinux(path string) (*Kernel, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	if f.Type == elf.Relocatable {
		return nil, fmt.Errorf("%s: a relocatable object, not a vmlinux", path)
	}
	table, err := f.Symtab()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k := &Kernel{Path: path, BuildID: f.BuildID()}
	for i := range table.Len() {
		s, err := table.At(elf.SymID(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(s.Name) > 0 && s.Section != elf.Undef && f.NMListed(&s) {
			k.symbols = fmt.Appendf(k.symbols, "%016x %c %s\n", f.NMValue(&s), f.NMType(&s), s.Name)
		}
	}
	return k, nil
}

// checkLines returns an error if the first line shows that the text is not a list of symbols.
func checkLines(text []byte) error {
	line, _, ok := bytes.Cut(text, []byte("\n"))
	if _, good := parseSymbol(line); !ok || !good {
		return errors.New("neither a list of symbols (kallsyms, System.map) nor a vmlinux")
	}
	return nil
}

// hidden reports whether all addresses are zero.
func hidden(text []byte) bool {
	for len(text) > 0 {
		if digits := bytes.TrimLeft(text, "0"); len(digits) == 0 || digits[0] != ' ' {
			return false
		}
		n := bytes.IndexByte(text, '\n')
		if n < 0 {
			break
		}
		text = text[n+1:]
	}
	return true
}

func parseSymbol(line []byte) (Symbol, bool) {
	address, rest, _ := strings.Cut(string(line), " ")
	kind, name, ok := strings.Cut(rest, " ")
	if !ok || len(kind) != 1 {
		return Symbol{}, false
	}
	s := Symbol{Type: kind[0]}
	if name, module, ok := strings.Cut(name, "\t"); ok {
		s.Name, s.Module = name, strings.Trim(module, "[]")
	} else {
		s.Name = name
	}
	var err error
	s.Address, err = strconv.ParseUint(address, 16, 64)
	return s, err == nil && s.Name != ""
}

// notModules are in the module column of kallsyms but are not modules. The kernel makes their
// symbols while it runs.
var notModules = []string{"bpf", "__builtin__ftrace", "__builtin__kprobes"}

// holding returns the symbols whose lines contain text, in order. It parses only those of some
// 200,000 lines.
func (k *Kernel) holding(text string) []Symbol {
	var found []Symbol
	key := []byte(text)
	for at := 0; at < len(k.symbols); {
		i := bytes.Index(k.symbols[at:], key)
		if i < 0 {
			break
		}
		i += at
		begin := bytes.LastIndexByte(k.symbols[:i], '\n') + 1
		end := len(k.symbols)
		if n := bytes.IndexByte(k.symbols[i:], '\n'); n >= 0 {
			end = i + n
		}
		s, ok := parseSymbol(k.symbols[begin:end])
		if ok && !slices.Contains(notModules, s.Module) {
			found = append(found, s)
		}
		at = end
	}
	return found
}

// Named returns the symbols with exactly this name in vmlinux and all modules.
func (k *Kernel) Named(name string) []Symbol {
	return slices.DeleteFunc(k.holding(" "+name), func(s Symbol) bool { return s.Name != name })
}

// Module returns the symbols of a loaded module, in the order of its symbol table.
func (k *Kernel) Module(name string) []Symbol {
	return k.holding("\t[" + name + "]")
}

// HasModules reports whether the list covers modules.
func (k *Kernel) HasModules() bool { return k.Live || bytes.Contains(k.symbols, []byte("\t[")) }

// sectionAddress returns the address of a loaded module's section, false if the kernel does not
// show it.
func (k *Kernel) sectionAddress(module, section string) (uint64, bool) {
	if !k.Live {
		return 0, false
	}
	text, err := os.ReadFile(filepath.Join(k.root, "sys/module", module, "sections", section))
	if err != nil {
		return 0, false
	}
	digits := strings.TrimPrefix(strings.TrimSpace(string(text)), "0x")
	address, err := strconv.ParseUint(digits, 16, 64)
	return address, err == nil && address != 0
}

// moduleBuildID returns the build ID of a loaded module, "" if the kernel does not show one.
func (k *Kernel) moduleBuildID(module string) string {
	if !k.Live {
		return ""
	}
	note := filepath.Join(k.root, "sys/module", module, "notes/.note.gnu.build-id")
	data, err := os.ReadFile(note)
	if err != nil {
		return ""
	}
	return elf.RunningBuildID(data)
}

// blacklisted reports whether the running kernel forbids kprobes at the address. The list is in
// debugfs; if that is not mounted, the answer is false.
func (k *Kernel) blacklisted(address uint64) bool {
	if !k.Live {
		return false
	}
	text, err := os.ReadFile(filepath.Join(k.root, "sys/kernel/debug/kprobes/blacklist"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		var begin, end uint64
		n, _ := fmt.Sscanf(line, "0x%x-0x%x", &begin, &end)
		if n == 2 && address >= begin && address < end {
			return true
		}
	}
	return false
}

// untraced reports whether the function tracer of the running kernel has a list of functions
// without this one. Its lines are NAME, or NAME [MODULE].
func (k *Kernel) untraced(name, module string) bool {
	if module != "" {
		name += " [" + module + "]"
	}
	for _, dir := range tracingDirs {
		text, err := os.ReadFile(filepath.Join(k.root, dir, "available_filter_functions"))
		if err != nil || len(text) == 0 {
			continue
		}
		return !bytes.Contains(append([]byte("\n"), text...), []byte("\n"+name+"\n"))
	}
	return false
}
