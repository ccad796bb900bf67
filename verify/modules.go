package verify

import (
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// LeftOut is a module that the run left out because another one has its name.
type LeftOut struct {
	Object string `json:"object"`
	Module string `json:"module"` // the kernel's name of both
	Counts string `json:"counts"`
}

// identify reads the module's name and build ID. known is set if the name is in the file or the
// file is a linked module.
func (o *object) identify(m *image) {
	o.buildID = m.buildID()
	if o.emitted == "" {
		return
	}
	base := path.Base(uncompressed(o.name))
	plain, linked := strings.CutSuffix(base, ".ko")
	o.module = strings.ReplaceAll(strings.TrimSuffix(plain, ".o"), "-", "_")
	o.known = linked
	if name := m.moduleName(); name != "" {
		o.module, o.known = name, true
	}
}

// moduleName returns name= of .modinfo, or else the name in struct module, "" if there is neither.
func (m *image) moduleName() string {
	if name := m.modinfo("name"); name != "" {
		return name
	}
	for i := 1; i < len(m.sections); i++ {
		if m.sections[i].name != ".gnu.linkonce.this_module" {
			continue
		}
		// After an int and two pointers; the field is 64 bytes less a pointer.
		pointer := 4
		if m.is64 {
			pointer = 8
		}
		data, err := m.content(i)
		if from := 3 * pointer; err == nil && len(data) >= from+64-pointer {
			name, _, ended := strings.Cut(string(data[from:from+64-pointer]), "\x00")
			unprintable := func(c rune) bool { return c <= ' ' || c >= 0x7f }
			if ended && !strings.ContainsFunc(name, unprintable) {
				return name
			}
		}
		break
	}
	return ""
}

// buildID returns the first GNU build ID among the notes, in hexadecimal.
func (m *image) buildID() string {
	const shtNote, ntGNUBuildID = 7, 3
	for i := range m.sections {
		if m.sections[i].typ != shtNote {
			continue
		}
		data, err := m.content(i)
		for err == nil && len(data) >= 12 {
			name, desc := int(m.order.Uint32(data)), int(m.order.Uint32(data[4:]))
			from := 12 + (name+3)/4*4
			if from > len(data) || desc > len(data)-from {
				break
			}
			if m.order.Uint32(data[8:]) == ntGNUBuildID && string(data[12:12+name]) == "GNU\x00" {
				return hex.EncodeToString(data[from : from+desc])
			}
			data = data[min(from+(desc+3)/4*4, len(data)):]
		}
	}
	return ""
}

// checkNames checks that the objects that count have different module names, and that each object
// that was left out has the name of one that counts and is after it in the order of depmod.
func (b *build) checkNames() {
	byName := map[string]*object{}
	for i := range b.objects {
		o := &b.objects[i]
		if !o.known || o.skipped {
			continue
		}
		if other := byName[o.module]; other != nil {
			b.add("%s and %s are both module %s", other.name, o.name, o.module)
		}
		byName[o.module] = o
	}
	for _, l := range b.LeftOut {
		i, ok := b.index[l.Object]
		if !ok {
			b.add("stats.json: no object %q that could be left out", l.Object)
			continue
		}
		o := &b.objects[i]
		switch counts := byName[o.module]; {
		case counts == nil || counts.name != l.Counts:
			o.add("was left out as another file of %q, which is not module %s", l.Counts, o.module)
		case depmodKey(o) < depmodKey(counts):
			o.add("was left out, but depmod prefers it to %s", counts.name)
		case l.Module != o.module:
			o.add("was left out as module %q, but is %q", l.Module, o.module)
		}
	}
}

// depmodKey sorts files of one module, the one that depmod prefers first.
func depmodKey(o *object) string {
	below := o.name
	if full, err := filepath.Abs(o.path); err == nil {
		parts := strings.Split(full, "/lib/modules/")
		if _, rest, ok := strings.Cut(parts[len(parts)-1], "/"); ok && len(parts) > 1 {
			below = rest
		}
	}
	order := "c"
	switch {
	case strings.HasPrefix(below, "updates/"):
		order = "a"
	case strings.HasPrefix(below, "extra/"):
		order = "b"
	case strings.HasPrefix(below, "weak-updates/"):
		order = "d"
	}
	return order + below + "\x00" + o.path
}

// checkHeader compares the header of symbols.kas with what is known of the build.
func (b *build) checkHeader(data string) {
	want := b.header()
	var have []string
	for line := range strings.Lines(data) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		line = strings.TrimSuffix(line, "\n")
		switch first(line) {
		case "#digest", "#symbols", "#parts": // see checkDigest and checkParts
		default:
			have = append(have, line)
		}
	}
	for _, line := range want {
		if !slices.Contains(have, line) {
			b.add("symbols.kas: the header has no line %q", line)
		}
	}
	for _, line := range have {
		if !slices.Contains(want, line) {
			b.add("symbols.kas: the header has the line %q, which is false", line)
		}
	}
	if len(have) != len(want) {
		b.add("symbols.kas: the header has %d other lines, %d expected", len(have), len(want))
	}
	if len(b.missing()) > 0 && !b.AllowIncomplete {
		b.add("incomplete: %s could not be read, so other symbols may share names with theirs "+
			"(--allow-incomplete accepts this)", b.unreadableNames())
	}
}

// missing returns the names of the objects that the run could not read.
func (b *build) missing() []string {
	var names []string
	for i := range b.objects {
		if o := &b.objects[i]; o.skipped && !o.leftOut {
			names = append(names, o.name)
		}
	}
	return names
}

// header returns the lines of the header of symbols.kas, without those that say what follows.
func (b *build) header() []string {
	lines := []string{"#format\tkas symbols 2", "#columns\tname object section address size type " +
		"count position base alias file line unit source"}
	id := ""
	for i := range b.objects {
		switch o := &b.objects[i]; {
		case o.skipped:
		case o.emitted == "":
			id = o.buildID
		default:
			lines = append(lines, "#module\t"+o.name+"\t"+o.module+"\t"+o.buildID)
		}
	}
	for _, f := range [][2]string{
		{"arch", b.arch}, {"toolchain", b.tools.compiler}, {"lto", b.tools.lto},
		{"release", b.release}, {"build-id", id}, {"policy", b.Config.policy(&b.Target)},
	} {
		if f[1] != "" {
			lines = append(lines, "#"+f[0]+"\t"+f[1])
		}
	}
	if missing := b.missing(); len(missing) > 0 {
		const named = 10
		names := slices.Clone(missing[:min(named, len(missing))])
		for i, name := range names {
			if q := strconv.Quote(name); q != `"`+name+`"` || strings.Contains(name, ", ") {
				names[i] = q
			}
		}
		if more := len(missing) - named; more > 0 {
			names = append(names, fmt.Sprintf("and %d more", more))
		}
		lines = append(lines,
			fmt.Sprintf("#incomplete\t%d: %s", len(missing), strings.Join(names, ", ")))
	}
	slices.Sort(lines)
	return lines
}

// policy returns what the header says about the configuration: words KEY=VALUE.
func (c *Config) policy(t *Target) string {
	list := func(key string, values []string) string {
		var words []string
		for _, v := range values {
			var w strings.Builder
			for i := range len(v) {
				if strings.IndexByte("%, \t\n\r\v\f", v[i]) >= 0 {
					fmt.Fprintf(&w, "%%%02X", v[i])
				} else {
					w.WriteByte(v[i])
				}
			}
			words = append(words, w.String())
		}
		return " " + key + "=" + strings.Join(words, ",")
	}
	text := "separator=" + t.Separator + " line=" + t.Line + " symbols=" + c.Symbols
	switch {
	case c.NamesAll:
		text += " names=all"
	case len(c.Names) > 0:
		text += list("globs", c.Names)
	default:
		text += " names=duplicates"
	}
	if c.SuffixFree {
		text += " suffix_free=true"
	}
	if c.MaxLength > 0 {
		text += " max_length=" + strconv.Itoa(c.MaxLength)
	}
	switch {
	case c.NeverReplaces:
		text += list("never_only", c.Never)
	case len(c.Never) > 0:
		text += list("never", c.Never)
	}
	return text
}

// unreadableNames names the first unreadable objects.
func (b *build) unreadableNames() string {
	const most = 5
	names := b.Unreadable[:min(most, len(b.Unreadable))]
	text := strings.Join(names, ", ")
	if more := len(b.Unreadable) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
