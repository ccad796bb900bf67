package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kas/elf"
)

// Kernel is what a kernel, or a file about one, says of its symbols.
type Kernel struct {
	Path             string // what was read, for messages
	Live             bool   // the kernel that runs here: its addresses hold now
	Release, BuildID string // "" if it is not told

	symbols []byte // lines as in /proc/kallsyms
	root    string // of a live one: what stands before /proc and /sys
}

// Symbol is a line of kallsyms.
type Symbol struct {
	Name, Module string // Module is "" in vmlinux
	Address      uint64
	Type         byte
}

// Code says whether the symbol is one of instructions, as registry.Record.Code does.
func (s *Symbol) Code() bool { return strings.IndexByte("tTwW", s.Type) >= 0 }

// ReadLive reads the kernel that runs here, from the folders proc and sys below root.
func ReadLive(root string) (*Kernel, error) {
	k := &Kernel{Path: filepath.Join(root, "proc/kallsyms"), Live: true, root: root}
	var err error
	if k.symbols, err = readWhole(k.Path); err != nil {
		return nil, fmt.Errorf("no list of the running kernel's symbols: %w", err)
	}
	if err := checkLines(k.symbols); err != nil {
		return nil, fmt.Errorf("%s: %w", k.Path, err)
	}
	if hidden(k.symbols) {
		return nil, fmt.Errorf("%s shows no addresses: be root, or set kernel.kptr_restrict to 0 (sysctl)", k.Path)
	}
	if release, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/osrelease")); err == nil {
		k.Release = strings.TrimSpace(string(release))
	}
	if notes, err := os.ReadFile(filepath.Join(root, "sys/kernel/notes")); err == nil {
		k.BuildID = elf.RunningBuildID(notes)
	}
	return k, nil
}

// readWhole reads a file of proc: it tells no size, and each small read of it costs.
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
	rest, err := io.ReadAll(file) // of a pipe, which cannot be opened twice
	if err != nil {
		return nil, err
	}
	k.symbols = append(magic[:n:n], rest...)
	if err := checkLines(k.symbols); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if hidden(k.symbols) {
		return nil, fmt.Errorf("%s shows no addresses: it was saved by somebody who may not see them", path)
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
	if table == nil {
		return nil, fmt.Errorf("%s: no symbols: it was stripped", path)
	}
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

// checkLines looks at the first line, which tells a list of symbols from other files.
func checkLines(text []byte) error {
	line, _, ok := bytes.Cut(text, []byte("\n"))
	if _, good := parseSymbol(line); !ok || !good {
		return errors.New("neither a list of symbols (kallsyms, System.map) nor a vmlinux")
	}
	return nil
}

// hidden says whether all addresses are zero.
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

// notModules stand where the name of a module does, and are made while the kernel runs.
var notModules = []string{"bpf", "__builtin__ftrace", "__builtin__kprobes"}

// holding returns the symbols of the lines that hold text, in their order. Of 200,000 lines only those few are read.
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
		if s, ok := parseSymbol(k.symbols[begin:end]); ok && !slices.Contains(notModules, s.Module) {
			found = append(found, s)
		}
		at = end
	}
	return found
}

// Named returns the symbols of this name in vmlinux and all modules.
func (k *Kernel) Named(name string) []Symbol {
	return slices.DeleteFunc(k.holding(" "+name), func(s Symbol) bool { return s.Name != name })
}

// Module returns the symbols of a loaded module, in the order of its table.
func (k *Kernel) Module(name string) []Symbol {
	return k.holding("\t[" + name + "]")
}

// HasModules says whether the list tells of modules, and not of vmlinux alone.
func (k *Kernel) HasModules() bool { return k.Live || bytes.Contains(k.symbols, []byte("\t[")) }

// sectionAddress is where the running kernel says that a section of a module lies; false if it does not say.
func (k *Kernel) sectionAddress(module, section string) (uint64, bool) {
	if !k.Live {
		return 0, false
	}
	text, err := os.ReadFile(filepath.Join(k.root, "sys/module", module, "sections", section))
	if err != nil {
		return 0, false
	}
	address, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(text)), "0x"), 16, 64)
	return address, err == nil && address != 0
}

// blacklisted says whether the running kernel's list of what kprobes may not be set on has the address. It stands in
// debugfs, which may not be mounted.
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
		if n, _ := fmt.Sscanf(line, "0x%x-0x%x", &begin, &end); n == 2 && address >= begin && address < end {
			return true
		}
	}
	return false
}

// Write adds a definition to the kprobe_events of the kernel that runs here, and returns that file's path. The error
// tells why the kernel refused it.
func Write(root, definition string) (string, error) {
	var file *os.File
	var err error
	for _, dir := range []string{"sys/kernel/tracing", "sys/kernel/debug/tracing"} {
		file, err = os.OpenFile(filepath.Join(root, dir, "kprobe_events"), os.O_WRONLY|os.O_APPEND, 0)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("no kprobe_events: mount tracefs (mount -t tracefs tracefs /sys/kernel/tracing), in a kernel with CONFIG_KPROBE_EVENTS")
	}
	if err != nil {
		return "", err
	}
	path := file.Name()
	_, err = file.WriteString(definition + "\n")
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		return path, nil
	}
	if pe := new(fs.PathError); errors.As(err, &pe) {
		err = pe.Err
	}
	if reason := refusal(filepath.Join(filepath.Dir(path), "error_log"), definition); reason != "" {
		return "", fmt.Errorf("%s refuses %q: %s (%w)", path, definition, reason, err)
	}
	return "", fmt.Errorf("%s refuses %q: %w", path, definition, err)
}

// refusal is what the kernel noted last about a definition.
func refusal(path, definition string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	for i := len(lines) - 1; i > 0; i-- {
		if command, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "Command: "); ok && command == definition {
			_, reason, _ := strings.Cut(lines[i-1], "error: ")
			return strings.TrimSpace(reason)
		}
	}
	return ""
}
