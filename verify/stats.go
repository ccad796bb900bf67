package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Stats is the content of stats.json.
type Stats struct {
	Version int          `json:"version"`
	Digest  string       `json:"digest"`
	Config  string       `json:"config"`
	Builds  []BuildStats `json:"builds"`
}

// BuildStats is what stats.json says about a build.
type BuildStats struct {
	Name       string         `json:"name"`
	Arch       string         `json:"arch"`
	Toolchain  string         `json:"toolchain,omitempty"`
	LTO        string         `json:"lto,omitempty"`
	Release    string         `json:"release,omitempty"`
	Objects    int            `json:"objects"`
	Modules    int            `json:"modules"`
	Unreadable int            `json:"unreadable"`
	Failed     int            `json:"failed"`
	BytesIn    int64          `json:"bytes_in"`
	Symbols    int            `json:"symbols"`
	Names      int            `json:"names"`
	Repeated   int            `json:"repeated_names"`
	Groups     int            `json:"groups"`
	Duplicates int            `json:"duplicates"`
	Aliases    int            `json:"aliases"`
	InVmlinux  int            `json:"aliases_vmlinux"`
	InModules  int            `json:"aliases_modules"`
	ByUnit     int            `json:"aliases_with_unit"`
	ByOrdinal  int            `json:"aliases_with_ordinal"`
	Shortened  int            `json:"aliases_shortened"`
	SuffixFree int            `json:"aliases_suffix_free"`
	Cut        int            `json:"suffixes_cut"`
	Unaliased  map[string]int `json:"unaliased,omitempty"`
	Emitted    int            `json:"modules_emitted"`
	BytesOut   int64          `json:"bytes_emitted"`
	Signed     int            `json:"signed_modules_emitted,omitempty"`
	NoDebug    int            `json:"objects_without_debug,omitempty"`
	LeftOut    []LeftOut      `json:"modules_left_out,omitempty"`

	UnreadableObjects []string `json:"unreadable_objects,omitempty"`
	Errors            []string `json:"errors,omitempty"`
}

// ReadStats reads stats.json and checks it against its digest: the SHA-256 of the file without the
// line of the digest. problems says what is wrong. The error is not nil if data is no such file.
func ReadStats(data []byte) (s *Stats, problems []string, err error) {
	s = &Stats{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, nil, fmt.Errorf("stats.json: %w", err)
	}
	if s.Version != 1 {
		return nil, nil, fmt.Errorf("stats.json: version %d is unknown", s.Version)
	}
	problems = checkText("stats.json", data, s.Digest, s)
	return s, problems, nil
}

// checkText checks the text of a JSON file with a digest, and that it is written as kas writes the
// value in it. It returns the problems.
func checkText(name string, data []byte, digest string, value any) (problems []string) {
	hash := sha256.New()
	for line := range bytes.Lines(data) {
		if !bytes.HasPrefix(line, []byte(`  "digest": `)) {
			hash.Write(line)
		}
	}
	want := "sha256=" + hex.EncodeToString(hash.Sum(nil))
	if digest != want {
		problems = append(problems, fmt.Sprintf("%s: the digest is %q, %q expected", name,
			digest, want))
	}
	text, err := encode(value)
	if err != nil {
		return append(problems, fmt.Sprintf("%s: %v", name, err))
	}
	if at := firstDifference(text, data); !bytes.Equal(text, data) {
		problems = append(problems, fmt.Sprintf(
			"%s: offset %d: it is not written as kas writes it", name, at))
	}
	return problems
}

// encode returns a value in the format of kas: indented, with escapes only for control characters
// and for bytes that are not UTF-8.
func encode(value any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	var text []byte
	for _, r := range b.String() {
		if r == unicode.ReplacementChar || r > unicode.MaxASCII && unicode.IsControl(r) ||
			r == 0x7f {
			text = fmt.Appendf(text, `\u%04x`, r)
		} else {
			text = utf8.AppendRune(text, r)
		}
	}
	return text, nil
}

// CheckConfig compares the effective configuration with its digest in stats.json. It returns "" if
// it is what the run wrote.
func (s *Stats) CheckConfig(name string, data []byte) string {
	sum := sha256.Sum256(data)
	if want := "sha256=" + hex.EncodeToString(sum[:]); s.Config != want {
		return fmt.Sprintf("%s: not as the run wrote it: the digest in stats.json is %q, "+
			"%q expected", name, s.Config, want)
	}
	return ""
}

// Of returns the entry of a build, nil if there is none.
func (s *Stats) Of(build string) *BuildStats {
	for i := range s.Builds {
		if s.Builds[i].Name == build {
			return &s.Builds[i]
		}
	}
	return nil
}

// checkStats compares what stats.json says about the build with the inputs and the other outputs.
func (b *build) checkStats() {
	if b.Stats == nil {
		return
	}
	want := b.count()
	if lack := b.lackDebug(want.Failed > 0); want.Failed < b.Stats.Failed {
		want.Failed = min(b.Stats.Failed, want.Failed+lack)
	}
	if b.Stats.NoDebug < want.NoDebug {
		want.NoDebug = b.Stats.NoDebug // the others have a debug file
	}
	have := fields(b.Stats)
	for i, f := range fields(want) {
		if have[i] != f {
			b.add("stats.json: %s is %v, %v expected", f.name, have[i].value, f.value)
		}
	}
	reasons := slices.Sorted(maps.Keys(b.Stats.Unaliased))
	for _, why := range slices.Compact(slices.Sorted(slices.Values(
		slices.AppendSeq(reasons, maps.Keys(want.Unaliased))))) {
		if n := b.Stats.Unaliased[why]; n != want.Unaliased[why] {
			b.add("stats.json: %d symbols are unaliased with the reason %q, %d expected",
				n, why, want.Unaliased[why])
		}
	}
	if !slices.IsSortedFunc(b.Stats.LeftOut,
		func(x, y LeftOut) int { return strings.Compare(x.Object, y.Object) }) {
		b.add("stats.json: modules_left_out is not sorted")
	}
	at := -1
	for _, name := range b.Stats.UnreadableObjects {
		i, ok := b.index[name]
		if !ok || i <= at {
			b.add("stats.json: unreadable_objects has %q, which is no object or out of order", name)
			continue
		}
		if at = i; b.failed[name] == 0 {
			b.add("stats.json: %s is unreadable, but no error says why", name)
		}
	}
}

// lackDebug returns the number of objects without debugging information that no error names. If a
// run reports that, one error stands for all of them.
func (b *build) lackDebug(reported bool) (n int) {
	for i := range b.objects {
		if o := &b.objects[i]; reported && !o.skipped && !o.debug && b.failed[o.name] == 0 {
			n++
		}
	}
	return n
}

type field struct {
	name  string
	value any
}

// fields lists the values of a build that can be compared.
func fields(s *BuildStats) []field {
	return []field{
		{"name", s.Name}, {"arch", s.Arch}, {"toolchain", s.Toolchain}, {"lto", s.LTO},
		{"release", s.Release}, {"objects", s.Objects}, {"modules", s.Modules},
		{"unreadable", s.Unreadable}, {"failed", s.Failed}, {"bytes_in", s.BytesIn},
		{"symbols", s.Symbols}, {"names", s.Names}, {"repeated_names", s.Repeated},
		{"groups", s.Groups}, {"duplicates", s.Duplicates}, {"aliases", s.Aliases},
		{"aliases_vmlinux", s.InVmlinux}, {"aliases_modules", s.InModules},
		{"aliases_with_unit", s.ByUnit}, {"aliases_with_ordinal", s.ByOrdinal},
		{"aliases_shortened", s.Shortened}, {"aliases_suffix_free", s.SuffixFree},
		{"suffixes_cut", s.Cut}, {"modules_emitted", s.Emitted}, {"bytes_emitted", s.BytesOut},
		{"signed_modules_emitted", s.Signed}, {"objects_without_debug", s.NoDebug},
	}
}

// count counts again what a run counts.
func (b *build) count() *BuildStats {
	s := &BuildStats{
		Name: b.Build, Arch: b.arch, Toolchain: b.tools.compiler, LTO: b.tools.lto,
		Release: b.release, Names: len(b.counts), Unaliased: map[string]int{},
		Duplicates: len(b.aliases) + len(b.unaliased), Aliases: len(b.aliases),
	}
	for _, n := range b.counts {
		if n > 1 {
			s.Repeated++
		}
	}
	bases := map[string]bool{}
	for i := range b.objects {
		o := &b.objects[i]
		if o.leftOut {
			continue
		}
		s.Objects++
		if o.emitted != "" {
			s.Modules++
		}
		if o.skipped {
			s.Unreadable++
		}
		if b.failed[o.name] != 0 {
			s.Failed++
		}
		s.BytesIn += o.size
		s.Symbols += len(o.visible)
		for k := range o.visible {
			v := &o.visible[k]
			if v.base != v.name {
				s.Cut++
			}
			if v.row > 0 || v.without > 0 {
				bases[v.base] = true
			}
		}
		if !o.skipped && !o.debug {
			s.NoDebug++
		}
		s.add(&o.counts)
		if len(o.aliases) > 0 && o.emitted != "" && o.counts.Emitted == 0 {
			b.lacksCopies = true
		}
	}
	s.Groups = len(bases)
	if b.Stats != nil && b.lacksCopies {
		// That is reported already.
		s.Emitted, s.BytesOut, s.Signed = b.Stats.Emitted, b.Stats.BytesOut, b.Stats.Signed
	}
	for i := range b.unaliased {
		s.Unaliased[b.unaliased[i].reason]++
	}
	return s
}

// add adds what was counted in an object.
func (s *BuildStats) add(o *BuildStats) {
	s.InVmlinux += o.InVmlinux
	s.InModules += o.InModules
	s.ByUnit += o.ByUnit
	s.ByOrdinal += o.ByOrdinal
	s.Shortened += o.Shortened
	s.SuffixFree += o.SuffixFree
	s.Emitted += o.Emitted
	s.BytesOut += o.BytesOut
	s.Signed += o.Signed
}

// countCopy counts the copy of a module. A link is none.
func (o *object) countCopy() {
	if o.emitted == "" || o.skipped {
		return
	}
	if info, err := os.Lstat(o.emitted); err == nil && info.Mode().IsRegular() {
		o.counts.Emitted++
		o.counts.BytesOut += info.Size()
		if o.signed && len(o.aliases) > 0 {
			o.counts.Signed++
		}
	}
}

// Stages in which an object failed.
const (
	inOther = 1 << iota
	inEmit
)

// readErrors finds the objects that the errors in stats.json are about. An error is
// BUILD: STAGE: OBJECT: TEXT.
func (b *build) readErrors() {
	b.failed = map[string]int{}
	if b.Stats == nil {
		return
	}
	for _, text := range b.Stats.Errors {
		rest, ok := strings.CutPrefix(text, b.Build+": ")
		stage, rest, found := strings.Cut(rest, ": ")
		object := ""
		for end := 0; ok && found; {
			k := strings.Index(rest[end:], ": ")
			if k < 0 {
				break
			}
			if _, known := b.index[rest[:end+k]]; known {
				object = rest[:end+k]
			}
			end += k + 1
		}
		kind := inOther
		switch stage {
		case "emit":
			kind = inEmit
		case "scan", "resolve":
		default:
			object = ""
		}
		if object == "" {
			b.add("stats.json: the error %q names no stage and object of the build", text)
			continue
		}
		b.failed[object] |= kind
	}
}

// CheckFolder looks for what a run of these builds did not write in its output folder. The folder
// of another build and what is left of a run that did not end are problems. Any other file is a
// note: it may be somebody's, and nothing reads it. CheckFolder does not look into the folders of
// the builds.
func CheckFolder(out string, own, builds []string) (problems, notes []string, err error) {
	entries, err := os.ReadDir(out)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case slices.Contains(own, name), slices.Contains(builds, name) && e.IsDir():
		case isTemporary(name, own):
			problems = append(problems, name+": a temporary file of a run that did not end")
		case !e.IsDir():
			notes = append(notes, name+": not checked: the run did not write it")
		default:
			found, err := anyFile(filepath.Join(out, name))
			if err != nil {
				return nil, nil, err
			}
			if found != "" {
				problems = append(problems, name+": no build of the run has this folder")
			}
		}
	}
	return problems, notes, nil
}

// isTemporary reports whether name is the one that a run gives a file until it is whole.
func isTemporary(name string, of []string) bool {
	rest, hidden := strings.CutPrefix(name, ".")
	rest, temporary := strings.CutSuffix(rest, ".tmp")
	return hidden && temporary && slices.Contains(of, rest)
}

// anyFile returns a file below a folder, "" if there is none.
func anyFile(dir string) (found string, err error) {
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found, err = path, filepath.SkipAll
		}
		return err
	})
	return found, err
}
