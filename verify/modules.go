package verify

import (
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// LeftOut is a module that the run left out because another one has its name.
type LeftOut struct{ Object, Counts string }

// identify reads the module's name and build ID. known is set if the name is in the file or the
// file is a linked module.
func (o *object) identify(m *image) {
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
	o.buildID = m.buildID()
}

// moduleName returns name= of .modinfo, or else the name in struct module, "" if there is neither.
func (m *image) moduleName() string {
	info, this := "", ""
	for i := range m.sections {
		data, err := m.content(i)
		if err != nil {
			continue
		}
		switch m.sections[i].name {
		case ".modinfo":
			for entry := range strings.SplitSeq(string(data), "\x00") {
				if name, ok := strings.CutPrefix(entry, "name="); ok && info == "" {
					info = name
				}
			}
		case ".gnu.linkonce.this_module":
			// After an int and two pointers; the field is 64 bytes less a pointer.
			pointer := 4
			if m.is64 {
				pointer = 8
			}
			if from := 3 * pointer; len(data) >= from+64-pointer {
				name, _, ended := strings.Cut(string(data[from:from+64-pointer]), "\x00")
				unprintable := func(c rune) bool { return c <= ' ' || c >= 0x7f }
				if ended && !strings.ContainsFunc(name, unprintable) {
					this = name
				}
			}
		}
	}
	if info != "" {
		return info
	}
	return this
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

// checkHeader checks what the header of symbols.kas says about the modules and about what is
// missing.
func (b *build) checkHeader(data string) {
	const prefix = "#module\t"
	var want, have []string
	missing := 0
	for i := range b.objects {
		switch o := &b.objects[i]; {
		case o.skipped && !o.leftOut:
			missing++
		case o.emitted != "" && !o.skipped:
			want = append(want, prefix+o.name+"\t"+o.module+"\t"+o.buildID)
		}
	}
	incomplete := ""
	for line := range strings.Lines(data) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "#") {
			break
		}
		if strings.HasPrefix(line, prefix) {
			have = append(have, line)
		}
		if value, ok := strings.CutPrefix(line, "#incomplete\t"); ok {
			incomplete, _, _ = strings.Cut(value, ": ")
		}
	}
	slices.Sort(want)
	if !slices.Equal(want, have) {
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
	}
	if stated := fmt.Sprint(missing); incomplete != stated && (incomplete != "" || missing > 0) {
		b.add("symbols.kas: %d objects are missing, the header has %q", missing, incomplete)
	}
	if missing > 0 && !b.AllowIncomplete {
		b.add("incomplete: %s could not be read, so other symbols may share names with theirs "+
			"(--allow-incomplete accepts this)", b.unreadableNames())
	}
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
