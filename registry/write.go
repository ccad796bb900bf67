package registry

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Head is the header of a file that is being written. The header holds the digest and the parts of
// the lines, so it is final only after the last line; its length is fixed up front.
type Head struct {
	lines   []string // of the header; those of the digest and the parts are only their keys
	symbols int
	parts   lineParts // of what was added so far
	err     error     // the first one of Err
}

// NewHead begins a file.
func NewHead(h Header) *Head {
	head := &Head{symbols: h.Symbols}
	lines := []string{
		fmt.Sprintf("#format\tkas symbols %d\n", Format),
		"#columns\t" + strings.Join(Columns, " ") + "\n",
		fmt.Sprintf("#symbols\t%d\n", h.Symbols),
	}
	for _, f := range [][2]string{
		{"arch", h.Arch}, {"toolchain", h.Toolchain}, {"lto", h.LTO}, {"release", h.Release},
		{"build-id", h.BuildID}, {"policy", h.Policy}, {"overlay-of", h.OverlayOf},
	} {
		if f[1] != "" {
			lines = append(lines, "#"+f[0]+"\t"+f[1]+"\n")
		}
	}
	for _, m := range h.Modules {
		lines = append(lines, "#module\t"+m.Object+"\t"+m.Name+"\t"+m.BuildID+"\n")
	}
	if i := h.Incomplete; i.Objects > 0 {
		lines = append(lines, fmt.Sprintf("#incomplete\t%d: %s\n", i.Objects, i.Names))
	}
	for _, line := range lines {
		if head.err == nil {
			head.err = checkText([]byte(line))
		}
		if head.err == nil && (line[0] != '#' || strings.Count(line, "\n") != 1) {
			head.err = fmt.Errorf("header line %q", line)
		}
	}
	head.lines = append(lines, digestKey)
	if h.Symbols > linesPerPart {
		head.lines = append(head.lines, partsKey)
	}
	slices.Sort(head.lines)
	return head
}

// Err returns an error if what was added is no registry: a name has control bytes. Such a file must
// not be written, since a name could forge a line.
func (h *Head) Err() error {
	err := h.err
	if want, have := h.partCount(), len(h.parts.all()); err == nil && want > 0 && have != want {
		err = fmt.Errorf("%d parts, %d expected", have, want)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s cannot be written: %w", FileName, err)
}

// partCount returns how many parts the header has.
func (h *Head) partCount() int {
	if h.symbols <= linesPerPart {
		return 0
	}
	return (h.symbols + linesPerPart - 1) / linesPerPart
}

// Add takes the next lines of the file, in order.
func (h *Head) Add(lines []byte) {
	if h.err == nil {
		_, err := checkColumns(lines)
		h.err = cmp.Or(checkText(lines), err)
	}
	h.parts.add(lines)
}

// Bytes returns the header of a file that holds the lines added so far. The length of the header
// does not depend on them.
func (h *Head) Bytes() []byte {
	parts := h.parts.all()
	var header []byte
	digestAt := 0
	for _, line := range h.lines {
		switch line {
		case digestKey:
			digestAt = len(header)
		case partsKey:
			inHeader := make([]part, h.partCount())
			copy(inHeader, parts)
			header = append(header, partsLine(inHeader)...)
		default:
			header = append(header, line...)
		}
	}
	crc := joinCRC(crc32.ChecksumIEEE(header), parts)
	size := int64(len(header)) + digestLength + int64(h.parts.last.end)
	return slices.Insert(header, digestAt, digestLine(crc, size)...)
}

const digestKey = "#digest\t"

// digestLine returns the header line of the digest: the CRC-32 (IEEE 802.3) of the file without
// this line, and the size of the file in bytes.
func digestLine(crc uint32, size int64) []byte {
	return fmt.Appendf(nil, "%scrc32=%08x bytes=%012d\n", digestKey, crc, size)
}

var digestLength = int64(len(digestLine(0, 0)))

// Copy writes what Open read and checked, not compressed.
func (f *File) Copy(w io.Writer) error {
	_, headerErr := w.Write(f.head)
	_, linesErr := w.Write(f.lines)
	return cmp.Or(headerErr, linesErr)
}

// Compress writes what Open read and checked as a zstd file (RFC 8878).
func (f *File) Compress(w io.Writer) error {
	e, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return err
	}
	return cmp.Or(f.Copy(e), e.Close())
}

// AppendName appends the lines of all symbols with one name. A file is the header followed by the
// lines of every name, in the byte order of the names.
func AppendName(b []byte, records []Record) []byte {
	start := len(b)
	for i := range records {
		b = records[i].appendLine(b)
	}
	if len(records) > 1 {
		text := string(b[start:])
		b = b[:start]
		for _, line := range slices.Sorted(strings.Lines(text)) {
			b = append(b, line...)
		}
	}
	return b
}

func (r *Record) appendLine(b []byte) []byte {
	b = append(b, r.Name...)
	b = append(append(b, '\t'), r.Object...)
	b = append(append(b, '\t'), r.Section...)
	b = strconv.AppendUint(append(b, '\t'), r.Address, 16)
	b = strconv.AppendUint(append(b, '\t'), r.Size, 10)
	b = append(b, '\t', r.Type)
	b = strconv.AppendInt(append(b, '\t'), int64(r.Count), 10)
	b = strconv.AppendInt(append(b, '\t'), int64(r.Position), 10)
	b = append(append(b, '\t'), r.Base...)
	b = append(append(b, '\t'), r.Alias...)
	b = append(append(b, '\t'), r.File...)
	b = append(b, '\t')
	if r.Line > 0 {
		b = strconv.AppendInt(b, r.Line, 10)
	}
	b = append(append(b, '\t'), r.Unit...)
	b = append(append(b, '\t'), r.Method...)
	return append(b, '\n')
}

// WriteOverlay writes an overlay of the registry base: modules and their records, in any order. It
// sets their counts, each over the registry and the overlay together.
func WriteOverlay(w io.Writer, base *File, modules []Module, records []Record) error {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Name+"\t", b.Name+"\t"),
			strings.Compare(a.Object, b.Object),
			strings.Compare(a.Section, b.Section), cmp.Compare(a.Address, b.Address),
			cmp.Compare(a.Position, b.Position))
	})
	restated := map[string]bool{} // objects with records
	for i := range records {
		restated[records[i].Object] = true
		// A line begins with the name, and a header line begins with "#".
		if r := &records[i]; strings.ContainsAny(r.Name, "\t\n") || strings.HasPrefix(r.Name, "#") {
			return fmt.Errorf("%s: symbol %q cannot be written in a registry", r.Object, r.Name)
		}
	}
	both := &Registry{File: base}
	both.setOverlay(slices.Values(records))
	var lines []byte
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Name == records[0].Name {
			n++
		}
		count := n
		for b := range base.Named(records[0].Name) {
			if !both.hides(&b) {
				count++
			}
		}
		for i := range records[:n] {
			records[i].Count = count
		}
		lines = AppendName(lines, records[:n])
		records = records[n:]
	}
	h := base.Header
	h.OverlayOf, h.Incomplete = base.Digest, Incomplete{}
	h.Modules = slices.Clone(modules)
	for _, m := range base.Modules {
		known := func(o Module) bool { return o.Object == m.Object }
		if restated[m.Object] && !slices.ContainsFunc(modules, known) {
			h.Modules = append(h.Modules, m)
		}
	}
	h.Symbols = strings.Count(string(lines), "\n")
	head := NewHead(h)
	head.Add(lines)
	if err := head.Err(); err != nil {
		return err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	_, err := w.Write(lines)
	return err
}
